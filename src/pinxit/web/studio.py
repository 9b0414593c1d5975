"""What the routes share: the places, the jobs, and how a job is asked for and waited for."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from pinxit.errors import UsageError
from pinxit.web.answers import AGAIN, FullError
from pinxit.web.queue import Queue
from pinxit.web.references import MissingError, Places
from pinxit.web.requests import asked, kind_of
from pinxit.web.store import ENDED, QUEUED, Job, Store

MOST_WAITING, MOST_OF_CLIENT = 64, 16
"""Jobs that may wait, of all clients and of one."""
LONGEST_WAIT = 60.0
VIEWS, VIEW = "view", "view.png"
"""The client in whose name pictures are shown, and the file that shows one."""


@dataclass(frozen=True)
class Studio:
    """The server behind its routes."""

    places: Places
    store: Store
    queue: Queue

    def found(self, name: str) -> Job:
        """Return a job; `MissingError` if there is none of this name."""
        job = self.store.get(name)
        if job is None:
            raise MissingError("no such job; it may have expired")
        return job

    def ask(self, name: str, client: str, action: str, request: Mapping[str, Any]) -> Job:
        """Put a job into its queue and return it. The same name and request again is the same job.

        Raises `UsageError` if the request is wrong, `FullError` if too many jobs wait.
        """
        job = self.store.get(name)
        if job is not None:
            if (job.action, job.request) != (action, request):
                raise UsageError("this name is taken by a job with another request; choose another name")
            return job
        if self.store.waiting() >= MOST_WAITING or self.store.waiting(client=client) >= MOST_OF_CLIENT:
            raise FullError(f"too many jobs wait; ask again in {AGAIN} seconds")
        asked(action, request, self.places.find, self.places.jobs / name / "out")
        lane = kind_of(action)[1].lane
        job = Job(name, client, action, request, lane, QUEUED, 0, time.time(), None, None, None, None)
        self.queue.add(job)
        return job

    async def ended(self, name: str, seconds: float) -> Job:
        """Return a job, when it has ended or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for _ in self.queue.follow(name):
                    pass
        return self.found(name)

    async def view(self, reference: str, side: int) -> tuple[Job, Path]:
        """Return the ended job that shows a picture as a PNG, and the PNG's place."""
        shown = Path(self.places.find(reference))
        changed = shown.stat().st_mtime_ns if shown.is_absolute() else 0
        name = f"view-{hashlib.sha256(f'{reference} {side} {changed}'.encode()).hexdigest()[:32]}"
        place = self.places.jobs / name / "out" / VIEW
        job = self.store.get(name)
        if job is not None and job.state in ENDED and not place.exists():
            self.store.forget(name)
        self.ask(name, VIEWS, "view", {"picture": reference, "side": side})
        return await self.ended(name, LONGEST_WAIT), place


def _studio(request: Request) -> Studio:
    return request.app.state.studio


Here = Annotated[Studio, Depends(_studio)]
"""A parameter of a route: the server."""
Client = Annotated[
    str,
    Header(alias="x-client", pattern="^[0-9a-zA-Z-]{1,64}$", description="Who asks; each gets a fair share."),
]
"""A parameter of a route: the name by which a client gets a fair share of the time."""
