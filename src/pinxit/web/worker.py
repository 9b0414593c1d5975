"""The process that computes: takes jobs from stdin, one JSON line each, and writes their events to stdout.

A line to it is `{"job": ID, "action": NAME, "request": {...}, "folder": PATH}`, with paths in place of references, or
`{"cancel": ID}`. It answers with lines `{"job": ID, "event": ..., ...}`, of which the last says "done" or "failed".
When stdin closes, it ends with the job at hand. If nobody reads its events any more, it goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from pinxit.errors import UserError, as_user_error
from pinxit.progress import Event, watched
from pinxit.streams import prepare, silence_libraries
from pinxit.web.requests import kind_of

PREVIEW = "preview-{:04d}.png"
MOST_PREVIEWS = 100


class Reports:
    """What a job says while it runs, as lines of JSON."""

    def __init__(self, stream: IO[str], job: str, folder: Path) -> None:
        self.stream, self.job, self.folder, self.previews = stream, job, folder, 0

    def write(self, event: str, **values: Any) -> None:
        """Write one line; if nobody reads, nothing else changes."""
        with suppress(OSError, ValueError):
            self.stream.write(json.dumps({"job": self.job, "event": event, "time": time.time(), **values}) + "\n")
            self.stream.flush()

    def listen(self, event: Event) -> None:
        """Report an event of the action."""
        if event.picture is not None:
            self.write("picture", text=event.text, fraction=event.fraction, file=self._kept(event.picture))
        elif event.remark:
            self.write("remark", text=event.text)
        elif event.text:
            self.write("progress", text=event.text, fraction=event.fraction)

    def _kept(self, picture: Any) -> str | None:
        """Return the name of an intermediate picture in the job's folder; None for a file, or if there are too many."""
        if isinstance(picture, Path) or self.previews >= MOST_PREVIEWS:
            return None
        from pinxit.images import save_image

        self.previews += 1
        name = PREVIEW.format(self.previews)
        save_image(self.folder / "previews" / name, picture)
        return name


class Inbox:
    """The lines from stdin, read by a thread so that a job can be cancelled while it runs."""

    def __init__(self, stream: IO[str]) -> None:
        self.jobs: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self.running = ""
        self.lock = threading.Lock()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            asked = json.loads(line)
            if "cancel" not in asked:
                self.jobs.put(asked)
                continue
            with self.lock:
                if asked["cancel"] == self.running:
                    os.kill(os.getpid(), signal.SIGINT)
        self.jobs.put(None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the jobs until stdin closes."""
        while (asked := self.jobs.get()) is not None:
            yield asked


def work(inbox: Inbox, stream: IO[str]) -> None:
    """Carry out the jobs, one after the other."""
    for asked in inbox:
        reports = Reports(stream, asked["job"], Path(asked["folder"]))
        try:
            with inbox.lock:
                inbox.running = asked["job"]
            _carry_out(asked, reports)
        except KeyboardInterrupt:
            reports.write("failed", error="stopped", code=130)
        finally:
            with inbox.lock:
                inbox.running = ""


def _carry_out(asked: dict[str, Any], reports: Reports) -> None:
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
    """Work until stdin closes. What libraries print goes to stderr, so that stdout holds events alone."""
    prepare()
    silence_libraries()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    work(Inbox(sys.stdin), events)


if __name__ == "__main__":
    main()
