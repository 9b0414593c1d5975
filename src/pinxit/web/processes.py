"""The processes that compute: one that stays for short jobs, and one for each training, which outlives the server.

Both carry out a job by a line of JSON and give back what it reports. If that ends without "done" or "failed", the
process has died.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from pinxit.files import write_json
from pinxit.web.store import DONE, FAILED
from pinxit.web.worker import EVENTS, PID, REQUEST

COMMAND = (sys.executable, "-P", "-m", "pinxit.web.worker")
LONGEST = 1 << 24
"""Bytes of the longest line that a worker may write."""
GRACE, LOOKED, SAVING = 10.0, 0.1, 120.0
"""Seconds that a job gets to stop, after which a file is looked at again, and that a training gets to save."""
LOCK = ".lock"


class Computer(Protocol):
    """What carries out the jobs of a lane, one at a time."""

    def carry_out(self, line: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield what a job reports, the last being "done" or "failed" unless its process died."""

    async def stop(self, line: Mapping[str, Any]) -> None:
        """Stop a job that runs; return when it has stopped or was made to."""

    async def close(self) -> None:
        """End, as the server ends."""


class Staying:
    """A process that stays, so that networks are loaded once."""

    def __init__(self, log: Path) -> None:
        self.log, self.running = log, ""
        self.process: Process | None = None

    async def carry_out(self, line: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Send a job to the process, and yield what it reports."""
        self.running = line["job"]
        try:
            process = await self._started()
            await _send(process, line)
            assert process.stdout is not None
            while raw := await process.stdout.readline():
                event = json.loads(raw)
                if event["job"] == line["job"]:
                    yield event
                    if event["event"] in (DONE, FAILED):
                        return
            await process.wait()
        finally:
            self.running = ""

    async def stop(self, line: Mapping[str, Any]) -> None:
        """Interrupt a job; if it does not end soon, kill its process."""
        if self.process is None or self.running != line["job"]:
            return
        await _send(self.process, {"cancel": line["job"]})
        await asyncio.sleep(GRACE)
        if self.running == line["job"]:
            await self.close()

    async def close(self) -> None:
        """Kill the process."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    async def _started(self) -> Process:
        if self.process is None or self.process.returncode is not None:
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *COMMAND, stdin=PIPE, stdout=PIPE, stderr=log, limit=LONGEST, start_new_session=True
                )
        return self.process


class Alone:
    """A process for each job, which goes on when the server dies. It reports in a file of the job's folder.

    The process holds a lock on that folder, which the system releases when it ends, so that a later server finds it.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: Process | None = None

    async def carry_out(self, line: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Start a process for the job, unless one was started before, and yield what it reports."""
        folder = Path(line["folder"])
        if not (folder / REQUEST).exists():
            write_json(folder / REQUEST, dict(line))
            await self._start(folder)
        async for event in _lines(folder):
            yield event
            if event["event"] in (DONE, FAILED):
                break
        if self.process is not None:
            await self.process.wait()

    async def stop(self, line: Mapping[str, Any]) -> None:
        """Ask the process to save and to end."""
        folder = Path(line["folder"])
        while is_alive(folder) and not (folder / PID).exists():
            await asyncio.sleep(LOOKED)
        if is_alive(folder):
            with suppress(ProcessLookupError):
                os.kill(int((folder / PID).read_text()), signal.SIGTERM)

    async def close(self) -> None:
        """Leave the process to itself; a later server finds it."""

    async def _start(self, folder: Path) -> None:
        with (folder / LOCK).open("wb") as lock, self.log.open("ab") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.process = await asyncio.create_subprocess_exec(
                *COMMAND, str(folder), str(lock.fileno()),
                stdin=DEVNULL, stdout=DEVNULL, stderr=log, start_new_session=True, pass_fds=[lock.fileno()],
            )  # fmt: skip


def is_alive(folder: Path) -> bool:
    """Say whether a process works on the job of this folder."""
    with suppress(FileNotFoundError), (folder / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


async def _lines(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Yield what a process has written and writes into its file, until it ends."""
    rest, place = b"", 0
    while True:
        alive = is_alive(folder)
        with suppress(FileNotFoundError), (folder / EVENTS).open("rb") as file:
            file.seek(place)
            new = file.read()
            place += len(new)
            *whole, rest = (rest + new).split(b"\n")
            for line in whole:
                yield json.loads(line)
        if not alive:
            return
        await asyncio.sleep(LOOKED)


async def _send(process: Process, line: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        assert process.stdin is not None
        process.stdin.write((json.dumps(line) + "\n").encode())
        await process.stdin.drain()
