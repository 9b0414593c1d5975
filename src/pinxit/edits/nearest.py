"""The nearest chosen pixel of every pixel, exactly, for pictures of any size: strip by strip, in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

STRIP = 1 << 19
"""Pixels of a strip of rows; working on one takes about 40 bytes for each."""
_FAR = 1 << 29


class Nearest(NamedTuple):
    """For the pixels of a strip of rows, the nearest chosen pixel: its row and column, both (h, W) int32.

    `found` is False where no chosen pixel is within reach. Of equally near pixels, the leftmost counts, then the upper.
    """

    strip: slice
    rows: np.ndarray
    columns: np.ndarray
    found: np.ndarray

    def squares(self) -> np.ndarray:
        """Return the squared distances, (h, W) int64; they mean nothing where none is found."""
        lines, places = np.ogrid[self.strip, : self.rows.shape[1]]
        return (self.rows - lines).astype(np.int64) ** 2 + (self.columns - places).astype(np.int64) ** 2


def strips(shape: tuple[int, ...]) -> list[slice]:
    """Return the strips of rows into which a picture (H, W, ...) is cut."""
    high, wide = shape[:2]
    rows = max(1, STRIP // wide)
    return [slice(top, min(top + rows, high)) for top in range(0, high, rows)]


def nearest(chosen: np.ndarray, reach: float = _FAR) -> Iterator[Nearest]:
    """Yield strips of a picture with the nearest pixel of `chosen` (H, W) bool, at most about `reach` pixels away.

    Strips of chosen pixels only are left out. The method is that of Meijster, Roerdink and Hesselink (2000): first
    along columns, then along all rows of a strip at once. The results equal those of scipy's
    `distance_transform_edt`, which takes 60 bytes for each pixel of the whole picture.
    """
    cuts = strips(chosen.shape)
    above = np.full(chosen.shape[1], -_FAR, np.int32)
    for strip, after in zip(cuts, _first_below(chosen, cuts), strict=True):
        part, lines = chosen[strip], np.arange(strip.start, strip.stop, dtype=np.int32)[:, None]
        upper = np.maximum.accumulate(np.maximum(np.where(part, lines, -_FAR), above), axis=0, dtype=np.int32)
        lower = np.minimum.accumulate(np.minimum(np.where(part, lines, _FAR), after)[::-1], axis=0, dtype=np.int32)
        above = upper[-1]
        if part.all():
            continue
        rows = np.where(lines - upper <= lower[::-1] - lines, upper, lower[::-1])
        gaps = np.abs(rows - lines)
        columns = _along_rows(gaps, (gaps <= reach) & _edges(part))
        found = columns >= 0
        found[part] = True
        np.copyto(columns, np.arange(chosen.shape[1], dtype=np.int32), where=part)
        yield Nearest(strip, np.take_along_axis(rows, columns, axis=1), columns, found)


def _first_below(chosen: np.ndarray, cuts: list[slice]) -> list[np.ndarray]:
    """Return, for each strip, the first row below it with a chosen pixel, in each column."""
    below = [np.full(chosen.shape[1], _FAR, np.int32)]
    for strip in reversed(cuts[1:]):
        first = chosen[strip].argmax(axis=0)
        has = chosen[strip][first, np.arange(len(first))]
        below.append(np.where(has, first + strip.start, below[-1]).astype(np.int32))
    return below[::-1]


def _edges(part: np.ndarray) -> np.ndarray:
    """Return where a pixel is not chosen, or has a neighbour in its row that is not: no other pixel can be nearest."""
    inner = part.copy()
    inner[:, 1:] &= part[:, :-1]
    inner[:, :-1] &= part[:, 1:]
    return ~inner


def _along_rows(gaps: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return the column x' that minimises (x - x')^2 + gaps[x']^2 among the usable ones, for each pixel; -1 if none.

    Each row keeps a stack of columns, and where each begins to be the best; all rows go from left to right together.
    """
    high, wide = gaps.shape
    gaps, usable = np.ascontiguousarray(gaps.T), np.ascontiguousarray(usable.T)
    stack, begins = np.zeros((wide, high), np.int32), np.zeros((wide, high), np.int32)
    top, begin = np.full(high, -1), np.zeros(high, np.int64)
    for column in np.flatnonzero(usable.any(axis=1)):
        rows = np.flatnonzero(usable[column])
        begin[rows] = 0
        against = rows[top[rows] >= 0]
        while len(against):
            at = top[against]
            best = stack[at, against].astype(np.int64)
            here, there = gaps[column, against].astype(np.int64), gaps[best, against].astype(np.int64)
            from_here = (here**2 + column**2 - there**2 - best**2) // (2 * (column - best)) + 1
            begin[against] = from_here
            against = against[from_here <= begins[at, against]]
            top[against] -= 1
            begin[against] = 0
            against = against[top[against] >= 0]
        rows = rows[begin[rows] < wide]
        top[rows] += 1
        stack[top[rows], rows], begins[top[rows], rows] = column, begin[rows]
    return _read(stack, begins, top)


def _read(stack: np.ndarray, begins: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Return, for each pixel, the last column of its row's stack that has begun: columns of a stack increase."""
    numbers, rows = np.nonzero(np.arange(top.max() + 1)[:, None] <= top)
    columns = np.full_like(stack, -1)
    columns[begins[numbers, rows], rows] = stack[numbers, rows]
    return np.ascontiguousarray(np.maximum.accumulate(columns, axis=0, out=columns).T)
