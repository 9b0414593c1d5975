"""The process that computes. By itself it takes jobs from stdin, one JSON line each, and writes events to stdout.

A line to it is `{"job": ID, "action": NAME, "request": {...}, "folder": PATH}`, with paths in place of references, or
`{"cancel": ID}`. It answers with lines `{"job": ID, "event": ..., ...}`, of which the last says "done" or "failed".
When stdin closes, it ends with the job at hand.

`python -m pinxit.web.worker FOLDER LOCK` carries out the one job of FOLDER/request.json and writes its events to
FOLDER/events.jsonl. LOCK is the descriptor that holds the folder's lock while it lives.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import IO, Any

from pinxit.errors import UserError, as_user_error
from pinxit.progress import Event, watched
from pinxit.streams import prepare, silence_libraries
from pinxit.training.run import SAMPLES, is_run
from pinxit.web.requests import kind_of

REQUEST, EVENTS, PID = "request.json", "events.jsonl", "pid"
PREVIEWS, PREVIEW = "previews", "preview-{:04d}.png"
MOST_PREVIEWS = 100
STOPPED = {"error": "stopped", "code": 130}
LIKELY = "500"
"""How much sooner than others the system ends this process if memory is used up (oom_score_adj)."""


class Reports:
    """What a job says while it runs, as lines of JSON. `run` has name and folder of the run that it is to train."""

    def __init__(self, stream: IO[str], job: str, folder: Path, run: Mapping[str, str] | None = None) -> None:
        self.stream, self.job, self.folder, self.run = stream, job, folder, run
        self.previews = 0

    def write(self, event: str, **values: Any) -> None:
        """Write one line; if nobody reads, nothing else changes."""
        line = {"job": self.job, "event": event, "time": time.time()} | values
        with suppress(OSError, ValueError):
            self.stream.write(json.dumps(finite(line)) + "\n")
            self.stream.flush()

    def listen(self, event: Event) -> None:
        """Report an event of the action."""
        self._tell_run()
        if isinstance(event.picture, Path):
            self._written(event.picture, event)
        elif event.picture is not None:
            self.write("picture", text=event.text, fraction=event.fraction, file=self._kept(event.picture))
        elif event.finding is not None:
            self.write("finding", text=event.text, **asdict(event.finding))
        elif event.remark:
            self.write("remark", text=event.text)
        elif event.text:
            self.write("progress", text=event.text, fraction=event.fraction)

    def _written(self, picture: Path, event: Event) -> None:
        """Report a picture that was written: a sheet of a run, or a result of the job."""
        out = self.folder / "out"
        if picture.parent.name == SAMPLES:
            self.write("sheet", text=event.text, fraction=event.fraction, step=int(picture.stem))
        elif picture.absolute().is_relative_to(out):
            file = str(picture.absolute().relative_to(out))
            self.write("result", text=event.text, fraction=event.fraction, file=file)

    def _tell_run(self) -> None:
        """Report the run once it is there."""
        if self.run is not None and is_run(Path(self.run["folder"])):
            self.write("run", run=self.run["name"])
            self.run = None

    def _kept(self, picture: Any) -> str | None:
        """Return the name of an intermediate picture in the job's folder; None if there are too many."""
        if self.previews >= MOST_PREVIEWS:
            return None
        from pinxit.images import save_image

        self.previews += 1
        name = PREVIEW.format(self.previews)
        save_image(self.folder / PREVIEWS / name, picture)
        return name


def finite(value: Any) -> Any:
    """Return a document with null in place of numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Inbox:
    """The lines from stdin, read by a thread so that a job can be cancelled while it runs."""

    def __init__(self, stream: IO[str]) -> None:
        self.jobs: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self.running = ""
        self.cancelled: set[str] = set()
        signal.signal(signal.SIGINT, self.interrupt)
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            asked = json.loads(line)
            if "cancel" in asked:
                self.cancelled.add(asked["cancel"])
                os.kill(os.getpid(), signal.SIGINT)
            else:
                self.jobs.put(asked)
        self.jobs.put(None)

    def interrupt(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Interrupt the job that runs if it is cancelled."""
        if self.running in self.cancelled:
            self.cancelled.discard(self.running)
            raise KeyboardInterrupt

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the jobs until stdin closes."""
        while (asked := self.jobs.get()) is not None:
            yield asked


def work(inbox: Inbox, stream: IO[str]) -> None:
    """Carry out the jobs, one after the other."""
    for asked in inbox:
        reports = Reports(stream, asked["job"], Path(asked["folder"]))
        try:
            inbox.running = asked["job"]
            try:
                inbox.interrupt()
                carry_out(asked, reports)
            finally:
                inbox.running = ""
        except KeyboardInterrupt:
            reports.write("failed", **STOPPED)


def alone(folder: Path, lock: int) -> None:
    """Carry out the job of a folder in this process, which signals stop as they stop a command."""
    os.set_inheritable(lock, False)
    (folder / PID).write_text(str(os.getpid()))
    asked = json.loads((folder / REQUEST).read_text())
    with (folder / EVENTS).open("a", encoding="utf-8") as stream:
        reports = Reports(stream, asked["job"], folder, asked.get("run"))
        try:
            carry_out(asked, reports)
        except KeyboardInterrupt:
            reports.write("failed", **STOPPED)


def carry_out(asked: Mapping[str, Any], reports: Reports) -> None:
    """Carry out one job in its own folder, and report how it ended."""
    os.chdir(reports.folder)  # a word that is no path of ours finds nothing here
    try:
        kind, _ = kind_of(asked["action"])
        with watched(reports.listen):
            outcome = kind.parse(asked["request"]).do()
            lines = [str(line) for line in outcome.lines or ()]
        document = outcome.json()
        json.dumps(document)
        failed = _failure(outcome)
    except UserError as error:
        reports.write("failed", error=str(error), code=error.exit_code)
    except Exception as error:
        plain = as_user_error(error)
        reports.write("failed", error=str(plain), code=plain.exit_code)
    else:
        reports.write("done", document=document, lines=lines, **failed)


def _failure(outcome: Any) -> dict[str, Any]:
    """Return what failed of several files, if some did."""
    try:
        outcome.check()
    except UserError as error:
        return {"error": str(error), "code": error.exit_code}
    return {}


def main() -> None:
    """Work until stdin closes, or on one job. What libraries print goes to stderr; stdout holds events alone."""
    prepare()
    silence_libraries()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(LIKELY)
    if len(sys.argv) > 1:
        alone(Path(sys.argv[1]), int(sys.argv[2]))
        return
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    work(Inbox(sys.stdin), events)


if __name__ == "__main__":
    main()
