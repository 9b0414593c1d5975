"""How well things are found: average precision as COCO measures it (Lin et al., 2014, and its code of 2015).

Found boxes of a class are taken from the best score down, in each picture at most `MOST`. Each takes the true box that
it overlaps most of those that are left, if by the threshold at least. What takes an ignored box, such as a crowd, is
neither right nor wrong; there the share of the found box that lies in the ignored one counts as overlap. Precision is
made to fall with recall, and is averaged over 101 recalls from 0 to 1. Classes without a true box drop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from pinxit.metrics.intervals import Estimate, resampled

MOST = 100
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
USUAL_LIMIT = 0.5
"""The score from which on boxes are kept if nothing tells a better one."""
LEAST_OVERLAP = 1 - 1e-10
"""The highest threshold: boxes that are equal but for rounding overlap fully."""


class Things(NamedTuple):
    """The true boxes (k, 4) of a picture, their classes (k,), and which are ignored (k,)."""

    boxes: np.ndarray
    kind: np.ndarray
    ignored: np.ndarray


@dataclass(frozen=True)
class Taken:
    """The found boxes of one class in all pictures, from the best score down: what each took, by threshold.

    `score` and `picture` (n,) are how sure each is and where it was found; `right` and `counts` (10, n) are whether it
    took a true box, and whether it counts at all. `true` (pictures,) is how many there are to find.
    """

    score: np.ndarray
    picture: np.ndarray
    right: np.ndarray
    counts: np.ndarray
    true: np.ndarray

    def limit(self) -> float:
        """Return the score from which on boxes are kept for the best F1 at an overlap of .5; the middle to the next."""
        right = (self.right[0] & self.counts[0]).cumsum()
        kept = self.counts[0].cumsum()
        ends = np.append(np.diff(self.score) < 0, True)[: self.score.size]  # of runs of equal scores
        measure = np.where(ends, 2 * right / np.maximum(kept + self.true.sum(), 1), 0)
        if not right.size or not right[-1]:
            return USUAL_LIMIT
        best = int(measure.argmax())
        return float(self.score[best : best + 2].mean())

    def precision(self, times: np.ndarray) -> np.ndarray:
        """Return the average precision (10,) where each picture counts so many `times`; NaN if nothing is true."""
        all_true = float((self.true * times).sum())
        if not all_true:
            return np.full(len(THRESHOLDS), np.nan)
        weight = times[self.picture] * self.counts
        right = (weight * self.right).cumsum(1)
        every = weight.cumsum(1)
        recall = right / all_true
        precision = right / np.maximum(every, np.finfo(float).tiny)
        falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        found = np.zeros(len(THRESHOLDS))
        for row in range(len(THRESHOLDS)):
            place = np.searchsorted(recall[row], RECALLS, side="left")
            found[row] = falling[row, place[place < self.picture.size]].sum() / RECALLS.size
        return found


def taken(found: Sequence[np.ndarray], true: Sequence[Things], classes: int) -> list[Taken]:
    """Return what the found boxes took, by class.

    `found` are boxes (k, 6) a picture: left, top, right, bottom, score and class.
    """
    return [_of_class(found, true, kind) for kind in range(classes)]


def _of_class(found: Sequence[np.ndarray], true: Sequence[Things], kind: int) -> Taken:
    rows = [
        _in_picture(boxes[boxes[:, 5] == kind], _of(things, kind)) for boxes, things in zip(found, true, strict=True)
    ]
    score = np.concatenate([row[0] for row in rows])
    order = np.argsort(-score, kind="stable")
    picture = np.repeat(np.arange(len(rows)), [len(row[0]) for row in rows])[order]
    right, counts = (np.concatenate([row[place] for row in rows], axis=1)[:, order] for place in (1, 2))
    there = [int((~things.ignored[things.kind == kind]).sum()) for things in true]
    return Taken(score[order], picture, right, counts, np.array(there))


def _of(things: Things, kind: int) -> Things:
    """Return the things of a class, the ignored ones last."""
    own = things.kind == kind
    boxes, ignored = things.boxes[own], things.ignored[own]
    order = np.argsort(ignored, kind="stable")
    return Things(boxes[order], things.kind[own][order], ignored[order])


def _in_picture(found: np.ndarray, true: Things) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scores (n,) of found boxes of one class, and `right` and `counts` (10, n) as in `Taken`."""
    found = found[np.argsort(-found[:, 4], kind="stable")][:MOST]
    overlap = shared(found[:, :4], true.boxes, true.ignored)
    right, counts = (np.full((len(THRESHOLDS), len(found)), value) for value in (False, True))
    for row, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(true.boxes), bool)
        for number in range(len(found)):
            best = _best(overlap[number], free, true.ignored, min(threshold, LEAST_OVERLAP))
            if best is not None:
                free[best] = true.ignored[best]  # an ignored one may be taken again
                right[row, number], counts[row, number] = not true.ignored[best], not true.ignored[best]
    return found[:, 4], right, counts


def _best(overlap: np.ndarray, free: np.ndarray, ignored: np.ndarray, threshold: float) -> int | None:
    """Return the free true box that is overlapped most, by the threshold at least; an ignored one only if no other."""
    for group in (free & ~ignored, free & ignored):
        open_ones = np.where(group, overlap, -1.0)
        if open_ones.size and open_ones.max() >= threshold:
            return int(open_ones.size - 1 - open_ones[::-1].argmax())  # the last of equal ones, as COCO takes it
    return None


def shared(boxes: np.ndarray, others: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Return the intersection over union (A, B) of boxes (A, 4) and others (B, 4); over the box's area in crowds."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    own, other = ((one[:, 2:] - one[:, :2]).prod(1) for one in (boxes, others))
    whole = np.where(crowds[None], own[:, None], own[:, None] + other[None] - both)
    result: np.ndarray = both / np.maximum(whole, np.finfo(float).tiny)
    return result


def ap50(known: Sequence[Taken], times: np.ndarray) -> float:
    """Return the average precision at an overlap of .5, the mean over classes."""
    return _mean([one.precision(times)[0] for one in known])


def ap(known: Sequence[Taken], times: np.ndarray) -> float:
    """Return the mean over classes and over the overlaps .5, .55 ... .95 of the average precision."""
    return _mean([float(one.precision(times).mean()) for one in known])


def _mean(values: Sequence[float]) -> float:
    """Return the mean of what is a number; 0 if nothing is."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else 0.0


class DetectionMetric(NamedTuple):
    """A metric of what was taken, and its definition in one line."""

    measure: Callable[[Sequence[Taken], np.ndarray], float]
    definition: str


DETECTION = {
    "ap50": DetectionMetric(ap50, "COCO's average precision at an overlap of .5, mean over classes"),
    "ap": DetectionMetric(ap, "COCO's average precision, mean over overlaps of .5 to .95 and over classes"),
}
"""The metrics of a detector by name."""


def estimate(name: str, known: Sequence[Taken], seed: int = 0) -> Estimate:
    """Return a metric of `DETECTION` with its 95 % interval over the choice of pictures."""
    measure, pictures = DETECTION[name].measure, len(known[0].true)

    def of(rows: Tensor) -> float:
        return measure(known, rows.bincount(minlength=pictures).double().numpy())

    return resampled(of, pictures, seed)
