"""Progress as events: how much of an action is done, in what words, with what picture. By default they are printed.

`say`, `track` and `Line` report to the listener of `watched`, or to stderr: a live line on a terminal, else a plain
line now and then. Lines nest: one that opens while another is open reports on a part of that other's current item.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pinxit.errors import printable
from pinxit.streams import is_terminal, tell

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from pinxit.training.diagnosis import Finding

T = TypeVar("T")

PLAIN_INTERVAL = 15.0
LIVE_INTERVAL = 0.2
CLEAR = "\r\x1b[K"
USUAL_SHARE = 0.5


@dataclass(frozen=True)
class Event:
    """A report of progress.

    `fraction` is the share of the action that is done, in [0, 1]. It never falls. `text` is one line, and empty when a
    stage ends; it cannot act on a terminal. `picture` is an intermediate result: a file, or an array (H, W, C) uint8. A
    `remark` is a message to a person, not a measure of progress. It may tell of a `finding` in a training.
    """

    fraction: float
    text: str
    picture: Path | np.ndarray | None = None
    remark: bool = False
    finding: Finding | None = None


Listener = Callable[[Event], None]


def to_stderr(event: Event) -> None:
    """Print an event on stderr, where it cannot mix with a result."""
    live = is_terminal()
    if event.picture is not None:
        return
    if event.remark:
        tell((CLEAR if live else "") + event.text + "\n")
    elif live:
        tell(CLEAR + event.text[:120])
    elif event.text:
        tell(event.text + "\n")


@dataclass
class Watch:
    """A listener, and the part of the action that is still open to the next line of progress."""

    listener: Listener
    at: float = 0.0
    end: float = 1.0
    lines: list[Line] = field(default_factory=list)

    @property
    def interval(self) -> float:
        """The shortest time between two events of a line, in seconds."""
        plain = self.listener is to_stderr and not is_terminal()
        return PLAIN_INTERVAL if plain else LIVE_INTERVAL

    @property
    def innermost(self) -> Watch | Line:
        """What the next line is a part of."""
        return self.lines[-1] if self.lines else self

    def tell(
        self,
        text: str,
        picture: Path | np.ndarray | None = None,
        remark: bool = False,
        finding: Finding | None = None,
    ) -> None:
        """Send an event to the listener."""
        self.listener(Event(self.innermost.at, printable(text), picture, remark, finding))


_TERMINAL = Watch(to_stderr)
_WATCH: ContextVar[Watch] = ContextVar("watch", default=_TERMINAL)


@contextmanager
def watched(listener: Listener) -> Iterator[None]:
    """Send the events of the block to `listener`: fractions rise from 0 to 1, and 1 means that the block ended well."""
    token = _WATCH.set(Watch(listener))
    try:
        listener(Event(0.0, ""))
        yield
        listener(Event(1.0, ""))
    finally:
        _WATCH.reset(token)


def track(items: Iterable[T], what: str, total: int, done: int = 0, share: float = USUAL_SHARE) -> Iterator[T]:
    """Yield `items` unchanged while reporting how many of `total` are done, `done` of them earlier, and the time left.

    `share` is as for `Line`.
    """
    line = Line(what, total, done, share)
    try:
        for number, item in enumerate(items, start=done + 1):
            yield item
            line.update(number)
    finally:
        line.close()


class Line:
    """A stage of an action that reports how many of its items are done; `update` may be called at any rate.

    `share` is how much of the rest of the action, or of the item of the line around it, the stage takes.
    """

    def __init__(self, what: str, total: int, done: int = 0, share: float = USUAL_SHARE) -> None:
        self.what, self.total, self.first, self.done = what, total, done, done
        self.watch = _WATCH.get()
        self.around: Watch | Line = self.watch.innermost
        self.low: float = self.around.at
        self.at: float = self.low
        self.high = self.low + (self.around.end - self.low) * share
        self.watch.lines.append(self)
        self.started = self.reported = time.monotonic()

    @property
    def end(self) -> float:
        """The fraction of the action at which the current item is done."""
        return self.low + (self.high - self.low) * min(1.0, (self.done + 1) / max(1, self.total))

    def update(self, done: int, note: str = "") -> None:
        """Report that `done` of the total are done, with a short note such as the losses."""
        self.done = done
        self.at = self.low + (self.high - self.low) * min(1.0, done / max(1, self.total))
        now = time.monotonic()
        if now - self.reported >= self.watch.interval:
            self.reported = now
            self.watch.tell(f"{self.what} {done:,}/{self.total:,}  {self.left(now)} left  {note}".rstrip())

    def left(self, now: float) -> str:
        """Return the time left at the rate so far."""
        rate = (now - self.started) / max(1, self.done - self.first)
        return duration(rate * (self.total - self.done))

    def close(self) -> None:
        """End the stage."""
        if self in self.watch.lines:
            self.watch.lines.remove(self)
            self.around.at = self.high
            self.watch.tell("")


def say(text: str, finding: Finding | None = None) -> None:
    """Send the person a remark on a line of its own, and what is found of a training if it tells of that."""
    _WATCH.get().tell(text, remark=True, finding=finding)


def show(picture: Path | np.ndarray, text: str) -> None:
    """Report an intermediate result: a file, or an array (H, W, C) uint8."""
    _WATCH.get().tell(text, picture)


def duration(seconds: float) -> str:
    """Return seconds in words: '8 s', '3 min 20 s', '1 h 05 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
