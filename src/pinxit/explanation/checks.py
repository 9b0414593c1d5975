"""Whether a map explains anything: it must depend on what was learned, and on the pixels that decide.

`likeness` compares a map with that of the same network with random weights (Adebayo et al., 2018). `removal` hides the
pixels in the order of the map, or shows them in that order (Petsiuk et al., 2018), and does the same in random orders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.nets.shapes import keep_variance
from pinxit.objectives.objective import Predictor
from pinxit.objectives.settings import ClassifySettings
from pinxit.recognition.classes import ClassReader

CELLS = 14
"""Cells on a side in which pixels are hidden and maps compared, at most."""

POINTS, ORDERS = 12, 3
"""Points of a curve, and random orders beside it."""


@dataclass(frozen=True)
class Check:
    """How a map did: its likeness to one of random weights, and areas under the curves of removal.

    `likeness` is Spearman's rank correlation, near 0 if the map depends on the weights. `deletion` is the mean
    probability of the class while the most important cells are hidden first, lower is better; `insertion` while they
    are shown first, higher is better. Beside both stand the means of random orders.
    """

    likeness: float
    deletion: float
    random_deletion: float
    insertion: float
    random_insertion: float


def randomised(objective: Predictor, seed: int = 0) -> Predictor:
    """Return the same networks with random weights throughout, also those that are shared and frozen in training."""
    settings = objective.settings
    if isinstance(settings, ClassifySettings) and settings.network == "lite0":
        settings = settings.changed(trained_blocks=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = settings.build(objective.shape)
        fresh.networks.apply(keep_variance)
    fresh.networks.eval().requires_grad_(False)
    assert isinstance(fresh, Predictor)
    return fresh


def likeness(one: Tensor, other: Tensor) -> float:
    """Return Spearman's rank correlation of two maps (H, W), compared in cells; 0 if one is the same everywhere."""
    ranks = [_ranks(cells(found).flatten()) for found in (one, other)]
    centred = [rank - rank.mean() for rank in ranks]
    size = torch.stack([rank.norm() for rank in centred]).prod()
    return float((centred[0] * centred[1]).sum() / size) if size else 0.0


def _ranks(values: Tensor) -> Tensor:
    """Return the ranks of values (N,), equal ones with their mean rank."""
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    return (count.cumsum(0) - (count - 1) / 2)[place].double()


def cells(found: Tensor) -> Tensor:
    """Return the means of a map (H, W) in at most `CELLS` x `CELLS` cells."""
    side = min(CELLS, *found.shape)
    return F.adaptive_avg_pool2d(found[None, None], side)[0, 0]


def removal(known: ClassReader, image: Tensor, target: int, order: Tensor) -> tuple[float, float]:
    """Return the mean probability of a class while cells are hidden in an order (N,), and while they are shown in it.

    What is hidden has the picture's mean colour.
    """
    side = min(CELLS, *image.shape[-2:])
    rank = torch.empty(side * side)
    rank[order] = torch.arange(side * side, dtype=torch.float32)
    rank = F.interpolate(rank.view(1, 1, side, side), image.shape[-2:], mode="nearest")
    counts = torch.linspace(0, side * side, POINTS)[:, None, None, None]
    first = (rank < counts).float()
    hidden = image.mean((2, 3), keepdim=True)
    with torch.no_grad():
        curves = [
            known.probabilities(known.objective.logits(image.lerp(hidden, share)))[:, target].mean().item()
            for share in (first, 1 - first)
        ]
    return curves[0], curves[1]


def random_removal(known: ClassReader, image: Tensor, target: int, seed: int = 0) -> tuple[float, float]:
    """Return the means of `removal` in `ORDERS` random orders."""
    rng = torch.Generator().manual_seed(seed)
    count = cells(image[0, 0]).numel()
    shuffled = [removal(known, image, target, torch.randperm(count, generator=rng)) for _ in range(ORDERS)]
    hidden, shown = (sum(column) / ORDERS for column in zip(*shuffled, strict=True))
    return hidden, shown


def check(
    known: ClassReader, image: Tensor, target: int, found: Tensor, blind: Tensor, by_chance: tuple[float, float]
) -> Check:
    """Return how a map of a picture (1, C, H, W) did.

    `blind` is the map of the network with random weights, and `by_chance` what `random_removal` gives. A map that is
    the same everywhere has no order, so it does as random ones.
    """
    important = cells(found).flatten()
    order = important.argsort(descending=True, stable=True)
    flat = bool((important == important[0]).all())
    deletion, insertion = by_chance if flat else removal(known, image, target, order)
    return Check(likeness(found, blind), deletion, by_chance[0], insertion, by_chance[1])
