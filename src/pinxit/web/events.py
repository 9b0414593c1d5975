"""What jobs report while they run, kept for those who follow them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

PROGRESS = "progress"
MOST_KEPT, CHECKED = 1000, 15.0
"""Events that are kept of a job, and seconds after which a follower looks whether the job has ended unseen."""


@dataclass
class Events:
    """What a job has reported lately. Of lines of progress that follow each other, only the last is kept."""

    last: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    count: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, event: Mapping[str, Any]) -> None:
        """Keep an event under the next number, and wake those who wait for it."""
        async with self.changed:
            self.count += 1
            if self.last and event["event"] == self.last[-1]["event"] == PROGRESS:
                self.last.pop()
            self.last.append({**event, "number": self.count})
            self.changed.notify_all()

    async def wake(self) -> None:
        """Let those who wait look again."""
        async with self.changed:
            self.changed.notify_all()

    async def follow(self, after: int, over: Callable[[], bool]) -> AsyncIterator[dict[str, Any]]:
        """Yield the events after a number, until the job is over."""
        if after > self.count:  # the number is of an earlier server, which counted others
            after = 0
        while True:
            ended = over()
            for event in [event for event in self.last if event["number"] > after]:
                after = event["number"]
                yield event
            if ended:
                return
            async with self.changed:
                if self.count <= after and not over():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self.changed.wait(), CHECKED)
