"""How a training went, as the rules of the diagnosis read it. No torch here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.training.curves import EVERY, Numbers, Windows
from pinxit.training.recipes import Recipe

GENERATOR, DISCRIMINATOR = "generator", "discriminator"

# How long signs must last, in windows of 50 steps.
PATIENCE = 3  # one look alone is noise: 64 samples
SHORT_PATIENCE = 2  # for what no healthy training shows: the looks are medians of three
LONG_PATIENCE = 4  # for what healthy trainings show in their first windows too
YOUNG = 6  # for samples that have been alike from the beginning: a generator may take so long to tell latents apart,
YOUTH = 0.05  # or this share of the planned steps, if that is longer
BEGINNING = 3  # windows in which samples are like nothing yet, and a discriminator may be ahead

# Shares and ratios without a unit. The training pictures' own diversity, coverage and nearest are 1.
ALIKE = 0.2  # diversity: samples that differ less from each other are one picture to a person
FEW_KINDS = 0.45  # coverage: a set of two of the ten digits meets 0.57, of all digits 0.98
RISING = 1.15  # a value this much above that of some windows before still gets better
UNLIKE = 1.5  # nearest: pictures blurred or noisy by a fifth of the range are at 1.6; noise is at 4

Marks = np.ndarray[Any, np.dtype[np.bool_]]
"""Whether something is so, by window."""


class Sign(NamedTuple):
    """What a rule saw: the window in which it began, the numbers, and a sentence if it is not that of the row."""

    window: int
    evidence: dict[str, float]
    sentence: str = ""


class Course:
    """How a training went, as its rules read it: means by window, and for how long something has been so."""

    def __init__(self, windows: Windows, recipe: Recipe, ended: bool) -> None:
        self.windows, self.recipe, self.ended = windows, recipe, ended
        self.count = windows.count
        self._steady: dict[str, Numbers] = {}
        names = windows.names()
        found = [name.split("/")[1] for name in names if name.startswith("watch/") and name.endswith("/update_ratio")]
        self.players = found or sorted({name.partition("/")[0] for name in names if name.endswith("/gradient_norm")})

    def mean(self, name: str) -> Numbers:
        """Return a value by window; where it was not logged, that of the window before; NaN where there is none."""
        values = self.windows.means(name)
        known = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(self.count)))
        return np.where(known < 0, np.nan, values[known])

    def look(self, name: str) -> Numbers:
        """Return a reading of the watch by window, each the median of at most three looks up to it."""
        return self.steady(f"watch/{name}")

    def steady(self, name: str) -> Numbers:
        """Return a value by window, each the median of at most three, so that one odd window counts nothing."""
        if name not in self._steady:
            padded = np.concatenate([np.full(2, np.nan), self.mean(name)])
            self._steady[name] = middle(padded[2:], padded[1:-1], padded[:-2])
        return self._steady[name]

    def since(self, so: Marks, patience: int = PATIENCE) -> int | None:
        """Return the window since which something has been so up to the last one; None if that is not long enough."""
        if not len(so) or not so[-1]:
            return None
        found = start(so)
        return found if self.count - found >= patience else None

    def youth(self) -> int:
        """Return for how many windows a generator may be excused for samples that have always been alike."""
        return max(YOUNG, round(YOUTH * self.recipe.training.steps / EVERY))

    def late(self) -> Marks:
        """Return which windows come after the beginning."""
        return np.arange(self.count) >= BEGINNING

    def healthy(self) -> tuple[float, float] | None:
        """Return the healthy range of the discriminator's loss, if it is known."""
        row = ADVERSARIAL.get(getattr(self.recipe.settings, "loss", ""))
        return row.healthy if row else None


def middle(now: Numbers, before: Numbers, earlier: Numbers) -> Numbers:
    """Return the median of three values, the lower of two where one is not known, or the only one."""
    median = np.maximum(np.minimum(now, before), np.minimum(np.maximum(now, before), earlier))
    return np.where(np.isnan(median), np.fmin(now, before), median)


def rising(values: Numbers, by: float = RISING) -> Marks:
    """Return where a value is well above what it was `PATIENCE` windows before."""
    before = np.concatenate([np.full(PATIENCE, np.nan), values[:-PATIENCE]])[: len(values)]
    return values > by * before


def start(so: Marks) -> int:
    """Return the first window of the last unbroken stretch that reaches the end."""
    other = np.flatnonzero(~so)
    return int(other[-1]) + 1 if len(other) else 0


def last(**values: Numbers) -> dict[str, float]:
    """Return the last of each value as evidence, where there is one."""
    return {name: float(value[-1]) for name, value in values.items() if np.isfinite(value[-1])}


def unlikeness(course: Course) -> Marks:
    """Return in which windows samples are unlike the pictures, or of few kinds; in all of them if nobody looked."""
    nearest, few = course.look("nearest"), course.look("coverage") < FEW_KINDS
    return (nearest > UNLIKE) | (course.look("diversity") < ALIKE) | few | np.isnan(nearest)
