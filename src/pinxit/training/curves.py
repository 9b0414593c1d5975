"""The curves of a run's log: each logged value over time, whole or as the means of windows of steps. No torch here."""

from __future__ import annotations

import io
import json
from array import array
from collections import defaultdict
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pinxit.files import open_plain
from pinxit.progress import say

STEP = "step"
WATCH = "watch/"  # before the name of what the watch reads
FOUND = "finding/"  # before the name of a finding, in the record of the step at which it appeared

EVERY = 50
"""Steps from one look of the watch to the next, and steps in a window."""

MOST_APART = 1000
"""A step beyond this many for each point of its curve is damage: no value is logged as seldom."""

Numbers = np.ndarray[Any, np.dtype[np.float64]]


class Curve(NamedTuple):
    """A logged value over time, both (n,) float64: `at` in steps or in pictures seen, and `values`."""

    at: Numbers
    values: Numbers


def read_log(path: Path) -> dict[str, Curve]:
    """Return the curves of a `log.jsonl` by name, over steps. A missing log or a cut-off line is no error."""
    steps: dict[str, array[float]] = defaultdict(lambda: array("d"))
    values: dict[str, array[float]] = defaultdict(lambda: array("d"))
    damaged = 0
    with open_plain(path, path.parent) if path.exists() else io.BytesIO() as lines:
        for line in lines:
            record = _record(line)
            if record is None:
                damaged += line.endswith(b"\n")
                continue
            step = record.pop(STEP)
            for name, value in record.items():
                steps[name].append(step)
                values[name].append(value)
    if damaged:
        say(f"{path}: {damaged} damaged lines are left out")
    return {name: Curve(np.asarray(steps[name]), np.asarray(values[name])) for name in steps}


def _record(line: bytes) -> dict[str, float] | None:
    """Return a line of the log: finite numbers by name, one of them the step; None if it is damaged."""
    try:
        record = json.loads(line)
        numbers = [float(value) for value in record.values() if type(value) in (int, float)]
    except (ValueError, OverflowError, RecursionError, AttributeError):
        return None
    good = len(numbers) == len(record) and all(map(isfinite, numbers)) and record.get(STEP, -1) >= 0
    return record if good else None


class Windows:
    """The mean of each logged value over each window of `EVERY` steps; window w begins with step `EVERY` w + 1.

    It grows step by step, so a training can keep it, or comes from whole curves; both give the same numbers.
    """

    def __init__(self) -> None:
        self.count, self.last = 0, 0
        self._sums: dict[str, array[float]] = {}
        self._numbers: dict[str, array[float]] = {}

    @classmethod
    def of(cls, log: Mapping[str, Curve]) -> Windows:
        """Return the windows of whole curves, whose points may stand in any order."""
        windows = cls()
        for name, (at, values) in log.items():
            order = np.argsort(at, kind="stable")
            order = order[at[order] <= MOST_APART * len(at)]
            if len(order):
                place = ((at[order] - 1) // EVERY).clip(min=0).astype(np.int64)
                windows._sums[name] = array("d", np.bincount(place, values[order]).tobytes())
                windows._numbers[name] = array("d", np.bincount(place).astype(np.float64).tobytes())
                windows._reach(int(at[order][-1]))
        return windows

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Count one step's values in."""
        place = max(0, (step - 1) // EVERY)
        for name, value in values.items():
            sums, numbers = (kept.setdefault(name, array("d")) for kept in (self._sums, self._numbers))
            missing = place + 1 - len(sums)
            sums.extend([0.0] * missing)
            numbers.extend([0.0] * missing)
            sums[place] += value
            numbers[place] += 1
        self._reach(step)

    def _reach(self, step: int) -> None:
        self.last = max(self.last, step)
        self.count = max(0, self.last - 1) // EVERY + 1

    def means(self, name: str) -> Numbers:
        """Return a value's means (count,), NaN where it was not logged."""
        found = np.full(self.count, np.nan)
        if name in self._sums:
            sums, numbers = (np.asarray(kept[name]) for kept in (self._sums, self._numbers))
            known = np.flatnonzero(numbers)
            found[known] = sums[known] / numbers[known]
        return found

    def names(self) -> list[str]:
        """Return the names of all values."""
        return list(self._sums)
