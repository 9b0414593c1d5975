"""The colours of a subject and of its background where a matte mixes them: multi-level foreground estimation.

Germer, Uelwer, Conrad and Harmeling, 2020, "Fast Multi-Level Foreground Estimation". At each level of a pyramid, the
colours F and B of a pixel i with the colour I and the matte a minimise

    (a F + (1 - a) B - I)^2 + sum over j of (u + w |a_i - a_j|) (F_i - F_j)^2 + (v + w |a_i - a_j|) (B_i - B_j)^2

where j are its four neighbours with their values of the round before: two equations in each channel. Differs from the
paper: colours are linear light, where a mixed pixel is a mixture. Neighbours are those of the round before (Jacobi), so
that parts of a picture give the values of the whole. u is larger than v: what is seen through a half-transparent
subject has more detail than the subject. w is smaller, and large levels take more rounds; each was measured on
composites (`benchmarks/quality/matting.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SUBJECT, BACKGROUND, STEEP = 1e-3, 1e-5, 0.03
"""u, v and w."""
ROUNDS = 10
PART = 512
"""Pixels of the side of a part, which is worked on at once."""
PART_BYTES = 160 * (PART + 2 * ROUNDS) ** 2
START = 64
"""The longest side of the level from which the first colours are taken."""

Light = Callable[[np.ndarray, np.ndarray], Tensor]
"""Returns the linear light (C, h, w) float32 of the pixels in these rows and columns of a picture."""


class Part(NamedTuple):
    """A part of a picture, as rows and columns, and the linear light of subject and background in it, (C, h, w)."""

    rows: slice
    columns: slice
    subject: Tensor
    background: Tensor


def bytes_for(size: tuple[int, int], channels: int) -> int:
    """Return the memory that `unmixed` takes for a picture of `size` = (H, W): two levels of both colours, a part."""
    return 2 * channels * 4 * (size[0] * size[1] // 4 + size[0] * size[1] // 16) + PART_BYTES


@torch.no_grad()
def unmixed(light: Light, matte: np.ndarray) -> Iterator[Part]:
    """Yield the parts of a picture with the colours of its subject and of its background.

    `matte` is (H, W) float32 in [0, 1], the share of the subject. Where it is 1 the subject has the picture's colour,
    where it is 0 the background has; the other of the two goes on smoothly.
    """
    colours = _start(light, matte)
    for size in _levels(matte.shape):
        grid = tuple(_places(length, to) for length, to in zip(matte.shape, size, strict=True))
        parts = (_part(light, matte, grid, colours, part) for part in _cut(size))
        if size == matte.shape:
            yield from parts
        else:
            channels = len(colours[0])
            finer = torch.empty(channels, *size), torch.empty(channels, *size)
            for part in parts:
                for plane, found in zip(finer, (part.subject, part.background), strict=True):
                    plane[:, part.rows, part.columns] = found
            colours = finer


def _levels(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the sizes of the levels, from one pixel to the whole picture, each about twice as large as the last."""
    halvings = range(int(np.ceil(np.log2(max(size)))), -1, -1)
    return [tuple(-(-side // 2**halving) for side in size) for halving in halvings]


def _places(length: int, to: int) -> np.ndarray:
    """Return the pixels that stand for those of a smaller level along one side: the nearest ones."""
    return (2 * np.arange(to) + 1) * length // (2 * to)


def _start(light: Light, matte: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the mean colours (C, 1, 1) of pixels that belong mostly to the subject, and to the background."""
    rows, columns = (_places(length, min(length, START)) for length in matte.shape)
    seen, share = light(rows, columns), torch.from_numpy(matte[rows[:, None], columns])
    weights = (share**4, (1 - share) ** 4)
    subject, background = (
        ((seen * weight).sum((1, 2)) / weight.sum().clamp(min=1e-6))[:, None, None] for weight in weights
    )
    return subject, background


def _cut(size: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, size[0], PART):
        for left in range(0, size[1], PART):
            yield slice(top, min(top + PART, size[0])), slice(left, min(left + PART, size[1]))


def _part(
    light: Light,
    matte: np.ndarray,
    grid: tuple[np.ndarray, ...],
    coarse: tuple[Tensor, Tensor],
    part: tuple[slice, slice],
) -> Part:
    """Return the colours in a part of a level, whose pixels are `grid` of the picture, from those of the level before.

    A round reads one pixel to each side, so that a window with as many more pixels gives what the whole level gives.
    """
    window = [slice(max(side.start - ROUNDS, 0), side.stop + ROUNDS) for side in part]
    rows, columns = (places[side] for places, side in zip(grid, window, strict=True))
    share = torch.from_numpy(matte[rows[:, None], columns])[None]
    before = [
        torch.from_numpy(_places(plane, len(places)))[side]
        for plane, places, side in zip(coarse[0].shape[1:], grid, window, strict=True)
    ]
    subject, background = (plane[:, before[0][:, None], before[1]] for plane in coarse)
    if ((share > 0) & (share < 1)).any() or max(map(len, grid)) < PART:
        subject, background = _solved(light(rows, columns), share, subject, background)
    inside = [
        slice(side.start - whole.start, side.stop - whole.start) for side, whole in zip(part, window, strict=True)
    ]
    return Part(*part, *(plane[:, inside[0], inside[1]] for plane in (subject, background)))


def _solved(seen: Tensor, share: Tensor, subject: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
    steps = [STEEP * (share - near).abs() for near in _neighbours(share)]
    of_subject, of_background = ([step + least for step in steps] for least in (SUBJECT, BACKGROUND))
    rest = 1 - share
    first, second, both = share**2 + sum(of_subject), rest**2 + sum(of_background), share * rest
    determinant = first * second - both**2
    for _ in range(ROUNDS):
        one = share * seen + _weighted(of_subject, subject)
        other = rest * seen + _weighted(of_background, background)
        subject = ((second * one - both * other) / determinant).clamp_(0, 1)
        background = ((first * other - both * one) / determinant).clamp_(0, 1)
    return subject, background


def _weighted(weights: list[Tensor], plane: Tensor) -> Tensor:
    total = torch.zeros_like(plane)
    for weight, near in zip(weights, _neighbours(plane), strict=True):
        total.addcmul_(weight, near)
    return total


def _neighbours(plane: Tensor) -> tuple[Tensor, ...]:
    """Return the pixels above, below, left and right of each; beyond the edges, the pixel itself."""
    wide = F.pad(plane[None], (1, 1, 1, 1), mode="replicate")[0]
    return wide[:, :-2, 1:-1], wide[:, 2:, 1:-1], wide[:, 1:-1, :-2], wide[:, 1:-1, 2:]
