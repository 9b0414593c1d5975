"""Who computes what and when: a worker that stays for short jobs, and a process of its own for each training."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pinxit.web.references import Places
from pinxit.web.requests import asked
from pinxit.web.store import CANCELLED, DONE, ENDED, FAILED, QUEUED, RUNNING, Job, Store

LANES = ("view", "work", "train")
MOST_TRIES, GRACE, KEPT_EVENTS = 2, 10.0, 200
LIFETIME = 24 * 3600.0
"""Seconds for which the results of a job are kept."""
DIED = "the process that computed this ended at once; it was killed, or ran out of memory"
LINE = 1 << 24
"""Bytes of the longest line that a worker may write."""


@dataclass
class Events:
    """What a job has reported lately, for those who follow it."""

    last: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    count: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, event: dict[str, Any]) -> None:
        """Keep an event and wake those who wait for it."""
        async with self.changed:
            self.count += 1
            self.last.append(event | {"number": self.count})
            self.changed.notify_all()


class Queue:
    """Runs the jobs of a store, one at a time in each lane."""

    def __init__(self, store: Store, places: Places) -> None:
        self.store, self.places = store, places
        self.events: dict[str, Events] = {}
        self.wake = {lane: asyncio.Event() for lane in LANES}
        self.processes: dict[str, Process] = {}
        self.running: dict[str, str] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.cancelled: set[str] = set()

    def start(self) -> None:
        """Go on with what an earlier server left, and run what waits."""
        for job in self.store.of_state(RUNNING):
            self._died(job)
        self.tasks = [asyncio.create_task(self._lane(lane)) for lane in LANES] + [asyncio.create_task(self._expire())]

    async def stop(self) -> None:
        """Stop; a training saves first."""
        for task in self.tasks:
            task.cancel()
        for lane, process in self.processes.items():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM if lane == "train" else signal.SIGKILL)
                await process.wait()

    def add(self, job: Job) -> None:
        """Put a job into its queue."""
        self.store.add(job)
        self.wake[job.lane].set()

    async def cancel(self, job: Job) -> None:
        """Stop a job: one that waits at once, one that runs when it has put away what it holds."""
        if job.state == QUEUED:
            await self._end(job.id, CANCELLED, {"error": "stopped", "code": 130})
        elif job.state == RUNNING:
            self.cancelled.add(job.id)
            process = self.processes.get(job.lane)
            if process and self.running.get(job.lane) == job.id:
                await self._interrupt(process, job)

    async def _interrupt(self, process: Process, job: Job) -> None:
        if job.lane == "train":
            process.send_signal(signal.SIGTERM)  # saves, then ends
            return
        await _send(process, {"cancel": job.id})
        await asyncio.sleep(GRACE)
        if self.running.get(job.lane) == job.id:
            with suppress(ProcessLookupError):
                process.kill()

    async def follow(self, name: str, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a job, those after a number, until it ends."""
        events = self.events.setdefault(name, Events())
        while True:
            for event in [event for event in events.last if event["number"] > after]:
                after = event["number"]
                yield event
            job = self.store.get(name)
            if job is None or job.state in ENDED:
                return
            async with events.changed:
                if events.count <= after:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(events.changed.wait(), 15)

    async def _lane(self, lane: str) -> None:
        """Run the jobs of a lane for ever."""
        while True:
            job = self.store.next(lane)
            if job is None:
                self.wake[lane].clear()
                await self.wake[lane].wait()
                continue
            await self._run(job)

    async def _run(self, job: Job) -> None:
        self.store.start(job.id)
        self.running[job.lane] = job.id
        folder = self.places.jobs / job.id
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "out").mkdir(parents=True)
        try:
            action = asked(job.action, job.request, self.places, folder / "out")
            request = action.model_dump(mode="json", exclude_unset=True)
            process = await self._process(job.lane)
            line = {"job": job.id, "action": job.action, "request": request, "folder": str(folder)}
            await _send(process, line)
            if job.lane == "train" and process.stdin:
                process.stdin.close()
            await self._listen(process, job)
        except Exception as error:
            from pinxit.errors import as_user_error

            plain = as_user_error(error)
            await self._end(job.id, FAILED, {"error": str(plain), "code": plain.exit_code})
        finally:
            self.running.pop(job.lane, None)

    async def _process(self, lane: str) -> Process:
        """Return the process of a lane: the worker that stays, or a new one for a training."""
        process = self.processes.get(lane)
        if process is None or process.returncode is not None or lane == "train":
            words = [sys.executable, "-P", "-m", "pinxit.web.worker"]
            log = (self.places.state / f"{lane}.log").open("ab")
            with log:
                process = await asyncio.create_subprocess_exec(
                    *words, stdin=PIPE, stdout=PIPE, stderr=log, limit=LINE, start_new_session=True
                )
            self.processes[lane] = process
        return process

    async def _listen(self, process: Process, job: Job) -> None:
        """Pass on the events of a job until it ends or its process dies."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            event = json.loads(self.places.hide(line.decode()))
            if event["job"] != job.id:
                continue
            if event["event"] in (DONE, FAILED):
                stopped = job.id in self.cancelled or event.get("code", 0) >= 128
                state = CANCELLED if event["event"] == FAILED and stopped else event["event"]
                result = {key: value for key, value in event.items() if key not in ("job", "event", "time")}
                await self._end(job.id, state, result | {"files": self._files(job)})
                if job.lane == "train":
                    await process.wait()
                return
            await self._tell(job.id, event)
        await process.wait()
        self._died(job)

    def _files(self, job: Job) -> list[str]:
        """Return the names of a job's results, those in folders with a slash."""
        out = self.places.jobs / job.id / "out"
        return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())

    def _died(self, job: Job) -> None:
        """Run a job whose process died once more, unless it trained, was stopped, or died before."""
        known = self.store.get(job.id)
        tries = known.tries if known else MOST_TRIES
        if job.id in self.cancelled:
            self.store.end(job.id, CANCELLED, {"error": "stopped", "code": 130})
        elif job.lane == "train" or tries >= MOST_TRIES:
            self.store.end(job.id, FAILED, {"error": DIED, "code": 5})
        else:
            self.store.wait_again(job.id)
            self.wake[job.lane].set()

    async def _tell(self, name: str, event: dict[str, Any]) -> None:
        await self.events.setdefault(name, Events()).add(event)

    async def _end(self, name: str, state: str, result: Mapping[str, Any]) -> None:
        self.store.end(name, state, result)
        self.cancelled.discard(name)
        await self._tell(name, {"job": name, "event": state, "time": time.time()})

    async def _expire(self) -> None:
        """Remove what is older than its lifetime, every ten minutes."""
        while True:
            for name in self.store.expired(time.time() - LIFETIME):
                shutil.rmtree(self.places.jobs / name, ignore_errors=True)
                self.store.forget(name)
                self.events.pop(name, None)
            await asyncio.sleep(600)


async def _send(process: Process, line: dict[str, Any]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        assert process.stdin is not None
        process.stdin.write((json.dumps(line) + "\n").encode())
        await process.stdin.drain()
