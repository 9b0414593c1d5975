"""Who computes what and when: jobs wait in lanes, and each lane carries out one at a time."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pinxit.errors import as_user_error
from pinxit.files import read_json
from pinxit.web.events import Events
from pinxit.web.processes import SAVING, Alone, Computer, Staying
from pinxit.web.references import Places
from pinxit.web.requests import asked, run_of
from pinxit.web.store import CANCELLED, DONE, ENDED, FAILED, QUEUED, RUNNING, Job, Store
from pinxit.web.uploads import forget_uploads
from pinxit.web.worker import REQUEST, STOPPED

TRAIN = "train"
LANES: dict[str, type[Staying | Alone]] = {"view": Staying, "work": Staying, TRAIN: Alone}
"""What carries out the jobs of each lane."""
MOST_TRIES = 2
BY_SIGNAL = 128
"""Exit codes from here on say that a signal stopped a job."""
LONGEST = {"view": 30.0}
"""Seconds that a job of a lane may take, where that is bounded."""
LIFETIME, SWEPT = 24 * 3600.0, 600.0
"""Seconds for which results and uploads are kept, and after which old ones are looked for."""
DIED = {"error": "the process that computed this ended at once; it was killed, or ran out of memory", "code": 5}
DIED_TRAINING = DIED | {"error": f"{DIED['error']}; resume goes on from what it saved last"}
TOO_LONG = {"error": "this takes too long; a smaller picture would work", "code": 3}


class Queue:
    """Runs the jobs of a store, one at a time in each lane."""

    def __init__(self, store: Store, places: Places) -> None:
        self.store, self.places = store, places
        self.events: dict[str, Events] = {}
        self.wake = {lane: asyncio.Event() for lane in LANES}
        self.computers: dict[str, Computer] = {lane: kind(places.state / f"{lane}.log") for lane, kind in LANES.items()}
        self.running: dict[str, Mapping[str, Any]] = {}
        self.lanes: dict[str, asyncio.Task[None]] = {}
        self.others: set[asyncio.Task[None]] = set()
        self.cancelled: set[str] = set()
        self.closing = False

    def start(self) -> None:
        """Go on with what an earlier server left, and run what waits."""
        left = self.store.of_state(RUNNING)
        for job in left:
            if job.lane != TRAIN:
                self._died(job)
        trained = [job for job in left if job.lane == TRAIN]
        self.lanes = {lane: asyncio.create_task(self._lane(lane, trained if lane == TRAIN else [])) for lane in LANES}
        self._aside(self._expire())

    async def stop(self) -> None:
        """End; a training saves first. If that takes too long, it is left to a later server."""
        self.closing = True
        training = self.lanes.pop(TRAIN)
        if job := self.running.get(TRAIN):
            await self.computers[TRAIN].stop(job)
            await asyncio.wait([training], timeout=SAVING)
        for task in (training, *self.lanes.values(), *self.others):
            task.cancel()
        for computer in self.computers.values():
            await computer.close()

    def add(self, job: Job) -> None:
        """Put a job into its queue."""
        self.store.add(job)
        self.wake[job.lane].set()

    async def cancel(self, job: Job) -> None:
        """Stop a job: one that waits at once, one that runs when it has put away what it holds."""
        if job.state == QUEUED:
            await self._end(job, CANCELLED, STOPPED)
        elif job.state == RUNNING and job.id not in self.cancelled:
            self.cancelled.add(job.id)
            if line := self._line(job):
                self._aside(self.computers[job.lane].stop(line))

    async def follow(self, name: str, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a job, those after a number, until it ends."""

        def over() -> bool:
            job = self.store.get(name)
            return job is None or job.state in ENDED

        async for event in self.events.setdefault(name, Events()).follow(after, over):
            yield event

    def _line(self, job: Job) -> Mapping[str, Any] | None:
        """Return what a job's process was told, if it runs."""
        line = self.running.get(job.lane)
        return line if line and line["job"] == job.id else None

    def _aside(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.others.add(task)
        task.add_done_callback(self.others.discard)

    async def _lane(self, lane: str, left: list[Job]) -> None:
        """Run the jobs of a lane for ever, those first that an earlier server left running."""
        for job in left:
            await self._run(job)
        while not self.closing:
            following = self.store.next(lane)
            if following is None:
                self.wake[lane].clear()
                await self.wake[lane].wait()
            else:
                self.store.start(following.id)
                shutil.rmtree(self._folder(following), ignore_errors=True)
                await self._run(following)

    async def _run(self, job: Job) -> None:
        """Carry out a job, or go on following a training that an earlier server began."""
        try:
            line = self.running[job.lane] = self._told(job)
            if job.id in self.cancelled:
                await self._end(job, CANCELLED, STOPPED)
                return
            async with asyncio.timeout(LONGEST.get(job.lane)):
                await self._listen(job, line)
        except TimeoutError:
            await self.computers[job.lane].close()
            await self._end(job, FAILED, TOO_LONG)
        except Exception as error:
            plain = as_user_error(error)
            await self._end(job, FAILED, self.places.hide({"error": str(plain), "code": plain.exit_code}))
        finally:
            self.running.pop(job.lane, None)

    def _told(self, job: Job) -> dict[str, Any]:
        """Return what the process of a job is told: the action with paths, its folder, and the run that it trains."""
        folder = self._folder(job)
        if (folder / REQUEST).exists():
            return dict(read_json(folder / REQUEST))
        (folder / "out").mkdir(parents=True, exist_ok=True)
        action = asked(job.action, job.request, self.places.find, folder / "out")
        action, run = run_of(action, job.request, self.places)
        request = action.model_dump(mode="json", exclude_unset=True)
        return {"job": job.id, "action": job.action, "request": request, "folder": str(folder), "run": run}

    async def _listen(self, job: Job, line: Mapping[str, Any]) -> None:
        """Pass on the events of a job until it ends or its process dies."""
        async for event in self.computers[job.lane].carry_out(line):
            shown = self.places.hide({key: value for key, value in event.items() if key != "job"})
            if event["event"] in (DONE, FAILED):
                await self._end(job, self._state(job, event), self._result(job, shown))
                return
            if event["event"] == "run":
                self.store.trains(job.id, event["run"])
            await self._tell(job.id, shown)
        self._died(job)
        await self.events.setdefault(job.id, Events()).wake()

    def _state(self, job: Job, last: Mapping[str, Any]) -> str:
        """Return the state in which a job's last event leaves it."""
        stopped = job.id in self.cancelled or last.get("code", 0) >= BY_SIGNAL
        return CANCELLED if last["event"] == FAILED and stopped else str(last["event"])

    def _result(self, job: Job, last: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a job's last event says, with the names of its files, those in folders with a slash."""
        out = self._folder(job) / "out"
        files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        return {key: value for key, value in last.items() if key not in ("event", "time")} | {"files": files}

    def _folder(self, job: Job) -> Path:
        return self.places.jobs / job.id

    def _died(self, job: Job) -> None:
        """Run a job whose process died once more, unless it trained, was stopped, or died before."""
        known = self.store.get(job.id)
        if job.id in self.cancelled:
            self._over(job, CANCELLED, STOPPED)
        elif job.lane == TRAIN:
            self._over(job, FAILED, DIED_TRAINING)
        elif known is None or known.tries >= MOST_TRIES:
            self._over(job, FAILED, DIED)
        else:
            self.store.wait_again(job.id)
            self.wake[job.lane].set()

    def _over(self, job: Job, state: str, result: Mapping[str, Any]) -> None:
        """Note how a job ended; nothing is left of one that was stopped, but a run."""
        if state == CANCELLED:
            shutil.rmtree(self._folder(job), ignore_errors=True)
            result = {**result, "files": []}
        self.store.end(job.id, state, result)
        self.cancelled.discard(job.id)

    async def _end(self, job: Job, state: str, result: Mapping[str, Any]) -> None:
        self._over(job, state, result)
        await self._tell(job.id, {"event": state, "time": time.time()})

    async def _tell(self, name: str, event: Mapping[str, Any]) -> None:
        await self.events.setdefault(name, Events()).add(event)

    async def _expire(self) -> None:
        """Remove results and uploads that are older than their lifetime, from time to time."""
        while True:
            before = time.time() - LIFETIME
            for name in self.store.expired(before):
                shutil.rmtree(self.places.jobs / name, ignore_errors=True)
                self.store.forget(name)
                self.events.pop(name, None)
            with suppress(OSError):
                await asyncio.to_thread(forget_uploads, self.places, before)
            await asyncio.sleep(SWEPT)
