"""Measures of copying: functions of feature matrices (N, D), one row per picture.

Held-out real pictures set the scale: a generated picture counts as near a training picture if it is nearer than
held-out ones are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pinxit.errors import DataError
from pinxit.metrics.features import check
from pinxit.metrics.neighbours import nearest

SPACING = 5
"""The number of neighbours that measure the local density of training pictures."""

FALSE_FLAGS = 0.01
"""The share of real pictures that the threshold flags."""

FEWEST_HELD_OUT = 200
"""The fewest held-out pictures for a verdict. The threshold is set by half of them: their nearest hundredth."""

CELL_PICTURES, MOST_CELLS, FEWEST_IN_CELL, ROUNDS = 200, 50, 20, 10


class Closeness(NamedTuple):
    """The nearest training picture of each of N pictures.

    `row` (N,) is the number of that training picture and `distance` (N,) the distance to it. `spacing` (N, 5) are the
    ascending distances from it to its own nearest training pictures.
    """

    row: Tensor
    distance: Tensor
    spacing: Tensor

    @property
    def ratio(self) -> Tensor:
        """The distance in units of the mean spacing (N,): far below 1 for a copy, whatever the local density."""
        mean = self.spacing.mean(1)
        return self.distance / mean.clamp(min=torch.finfo(mean.dtype).tiny)

    @property
    def authentic(self) -> Tensor:
        """Whether each picture is farther from its training picture than that one's nearest neighbour is, (N,).

        About half of all real pictures are (Alaa et al., 2022, who use an embedding of their own).
        """
        return self.distance > self.spacing[:, 0]


def closeness(pictures: Tensor, training: Tensor) -> Closeness:
    """Return the nearest of training features (M, D) for each of (N, D); M below 6 is a `DataError`."""
    check(training, least=SPACING + 1)
    distance, row = nearest(pictures, training)
    met, place = row[:, 0].unique(return_inverse=True)
    spacing, _ = nearest(training[met], training, SPACING + 1)
    return Closeness(row[:, 0], distance[:, 0], spacing[place, 1:])  # the first is the training picture itself


def threshold(held_out: Tensor) -> float:
    """Return the ratio at or below which a picture is flagged, from the ratios (N,) of held-out real pictures.

    It is the k-th smallest, k = floor((N + 1) / 100). A further real picture is flagged with a probability of at most
    1 %, whatever the continuous distribution (conformal prediction, Vovk et al., 2005). Leave out held-out pictures
    that are training pictures too: if they are a hundredth, the threshold is 0. Fewer than 99 ratios are a `DataError`.
    """
    rank = int(FALSE_FLAGS * (len(held_out) + 1) + 1e-9)
    if rank < 1:
        raise DataError(f"{len(held_out)} held-out pictures have no nearest hundredth; give at least 99")
    return float(held_out.sort().values[rank - 1])


def copying_z(generated: Tensor, training: Tensor, held_out: Tensor, seed: int = 0) -> float:
    """Return C_T: how much farther from the training pictures generated ones are than held-out ones, as a z-value.

    Each cell of the training set gives the z-value of a Mann-Whitney test of both sides' distances to their nearest
    training picture. C_T is the mean over cells, weighted by the share of held-out pictures (Meehan et al., 2020). Far
    below 0 (-3 and less) the model copies; far above 0 it misses the data. |C_T| grows with the root of N. Features
    are (N, D), (M, D) and (L, D). The test assumes independent pictures: a repeated row counts as a copy would, so
    pass each row once.

    Differs from the paper: the nearest training picture may lie in another cell. There are L / 200 cells, at most 50,
    from ten rounds of k-means by `seed`. Cells with fewer than 20 pictures on either side are left out; if none
    remains, that is a `DataError`.
    """
    check(generated, training, held_out)
    centres = _centres(training, min(MOST_CELLS, max(1, len(held_out) // CELL_PICTURES)), seed)
    sides = [(nearest(pictures, centres)[1], nearest(pictures, training)[0]) for pictures in (generated, held_out)]
    total, weight = 0.0, 0
    for cell in range(len(centres)):
        one, other = (distances[cells == cell] for cells, distances in sides)
        if min(len(one), len(other)) >= FEWEST_IN_CELL:
            total, weight = total + len(other) * _mann_whitney(one, other), weight + len(other)
    if not weight:
        raise DataError(
            f"no cell of the training set has {FEWEST_IN_CELL} of {len(generated)} generated and {len(held_out)} "
            "held-out pictures; give more of both"
        )
    return total / weight


def _centres(points: Tensor, count: int, seed: int) -> Tensor:
    """Return the centres (count, D) of k-means (Lloyd, 1982) from random points; the centre of an empty cell stays."""
    rng = torch.Generator().manual_seed(seed)
    points = points.double()
    centres = points[torch.randperm(len(points), generator=rng)[:count]]
    for _ in range(ROUNDS):
        cell = nearest(points, centres)[1][:, 0]
        members = cell.bincount(minlength=len(centres))[:, None]
        sums = torch.zeros_like(centres).index_add_(0, cell, points)
        centres = torch.where(members > 0, sums / members, centres)
    return centres


def _mann_whitney(one: Tensor, other: Tensor) -> float:
    """Return the z-value of the Mann-Whitney test, below 0 if `one` (N,) tends to be smaller than `other` (M,)."""
    n, m = len(one), len(other)
    ordered = other.sort().values
    below, upto = (torch.searchsorted(ordered, one, right=right) for right in (False, True))
    larger = float((below + upto).sum()) / 2  # pairs in which `one` is the larger; equal ones count half
    return (larger - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5
