"""Progress with the time left, on stderr: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

PLAIN_INTERVAL = 15.0
LIVE_INTERVAL = 0.2
CLEAR = "\r\x1b[K"


def track(items: Iterable[T], what: str, total: int, done: int = 0) -> Iterator[T]:
    """Yield `items` unchanged while telling how many of `total` are done, `done` of them before, and the time left."""
    line = Line(what, total, done)
    try:
        for number, item in enumerate(items, start=done + 1):
            yield item
            line.update(number)
    finally:
        line.close()


class Line:
    """One line of progress; `update` may be called as often as one likes."""

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self.what, self.total, self.first, self.done = what, total, done, done
        self.live = sys.stderr.isatty()
        self.started = self.shown = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` of the total are done, with a short note such as the losses."""
        self.done = done
        now = time.monotonic()
        if now - self.shown >= (LIVE_INTERVAL if self.live else PLAIN_INTERVAL):
            self.shown = now
            self._write(f"{self.what} {done:,}/{self.total:,}  {self.left(now)} left  {note}".rstrip())

    def left(self, now: float) -> str:
        """Return the time left at the rate so far."""
        rate = (now - self.started) / max(1, self.done - self.first)
        return duration(rate * (self.total - self.done))

    def close(self) -> None:
        """End the line."""
        if self.live and self.shown > self.started:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def _write(self, text: str) -> None:
        sys.stderr.write(f"{CLEAR}{text[:120]}" if self.live else text + "\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """Tell the person something on stderr, where it cannot get into a result, in place of a line of progress."""
    sys.stderr.write((CLEAR if sys.stderr.isatty() else "") + text + "\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """Return seconds as a person says them: '8 s', '3 min 20 s', '1 h 05 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
