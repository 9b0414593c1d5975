"""Whether generated pictures are copies of training pictures: functions of feature matrices (N, D), one row a picture.

Near is what is nearer than real pictures are that no one trained on, so held-out real pictures set every scale.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pinxit.errors import DataError
from pinxit.metrics.neighbours import nearest
from pinxit.metrics.seen import check

SPACING = 5
"""How many neighbours of a training picture tell how densely the training pictures lie there."""

FALSE_FLAGS = 0.01
"""The share of real pictures that the threshold lets be called copies."""

FEWEST_HELD_OUT = 200
"""Half of them must have a hundredth part."""

CELL_PICTURES, MOST_CELLS, FEWEST_IN_CELL, ROUNDS = 200, 50, 20, 10


class Closeness(NamedTuple):
    """Each of N pictures beside its nearest training picture.

    `row` (N,) is that training picture, `distance` (N,) is how far it is, and `spacing` (N, 5) are the distances from
    it to its own nearest other training pictures, ascending.
    """

    row: Tensor
    distance: Tensor
    spacing: Tensor

    @property
    def ratio(self) -> Tensor:
        """The distance in units of the mean spacing (N,): far below 1 for a copy, in dense and sparse places alike."""
        mean = self.spacing.mean(1)
        return self.distance / mean.clamp(min=torch.finfo(mean.dtype).tiny)

    @property
    def authentic(self) -> Tensor:
        """Whether each picture is farther from its training picture than any other training picture is (N,)."""
        return self.distance > self.spacing[:, 0]


def closeness(pictures: Tensor, training: Tensor) -> Closeness:
    """Return how near features (N, D) come to training features (M, D), M at least 6; fewer are a `DataError`."""
    check(training, least=SPACING + 1)
    distance, row = nearest(pictures, training)
    met, place = row[:, 0].unique(return_inverse=True)
    spacing, _ = nearest(training[met], training, SPACING + 1)
    return Closeness(row[:, 0], distance[:, 0], spacing[place, 1:])  # the first is the training picture itself


def threshold(held_out: Tensor) -> float:
    """Return the ratio at or below which a picture is flagged, from the ratios (N,) of held-out real pictures.

    It is the k-th smallest, k = floor((N + 1) / 100), so that one more real picture falls there with a probability of
    at most 1 % whatever the distribution (conformal prediction, Vovk et al., 2005). Fewer than 99 are a `DataError`.
    """
    rank = int(FALSE_FLAGS * (len(held_out) + 1) + 1e-9)
    if rank < 1:
        raise DataError(f"{len(held_out)} held-out pictures have no nearest hundredth; give at least 99")
    return float(held_out.sort().values[rank - 1])


def authenticity(generated: Tensor, training: Tensor) -> float:
    """Return the share of generated pictures that are authentic, from features (N, D) and (M, D), M at least 6.

    A picture is, if it is farther from its nearest training picture than that one is from its own nearest other (Alaa
    et al., 2022, there in an embedding of their own). Of real pictures about one half are, not all.
    """
    return float(closeness(generated, training).authentic.double().mean())


def copying_z(generated: Tensor, training: Tensor, held_out: Tensor, seed: int = 0) -> float:
    """Return C_T: how much farther from the training pictures generated ones lie than held-out ones, in deviations.

    In each cell of the training set the z-value of the Mann-Whitney test of both sides' distances to their nearest
    training picture; then the mean over cells, weighted by the share of held-out pictures (Meehan et al., 2020).
    Far below 0 (-3 and less) the model copies, far above it misses the data; it grows with the root of N. Features are
    (N, D), (M, D) and (L, D).

    Differs from the paper: the nearest training picture may lie in the next cell; there are L / 200 cells, at most 50,
    from ten rounds of k-means by `seed`; cells with fewer than 20 pictures on either side are left out. If no cell has
    20 on both sides that is a `DataError`.
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
            f"no part of the training pictures has {FEWEST_IN_CELL} of {len(generated)} generated and "
            f"{len(held_out)} held-out pictures near it; give more of both"
        )
    return total / weight


def _centres(points: Tensor, count: int, seed: int) -> Tensor:
    """Return the means (count, D) of k-means cells (Lloyd, 1982), begun at random points; an empty cell stays put."""
    rng = torch.Generator().manual_seed(seed)
    centres = points[torch.randperm(len(points), generator=rng)[:count]].double()
    for _ in range(ROUNDS):
        _, cell = nearest(points, centres)
        centres = torch.stack(
            [points[cell[:, 0] == number].double().mean(0) if (cell == number).any() else centre
             for number, centre in enumerate(centres)]
        )  # fmt: skip
    return centres


def _mann_whitney(one: Tensor, other: Tensor) -> float:
    """Return the z-value of the Mann-Whitney test, below 0 if `one` (N,) tends to be smaller than `other` (M,)."""
    n, m = len(one), len(other)
    ordered = other.sort().values
    below, upto = (torch.searchsorted(ordered, one, right=right) for right in (False, True))
    larger = float((below + upto).sum()) / 2  # pairs in which `one` is the larger; equal ones count half
    return (larger - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5
