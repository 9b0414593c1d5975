"""How well the classes of pixels are found: functions of counts (N, K, K), summed over pictures.

`counts[i, a, b]` is how many pixels of picture i that are of class a were taken for class b. Void pixels do not count.
`MASKS` has the functions by name. Each is a number that resampled pictures give an interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pinxit.metrics.intervals import Estimate, resampled


def counted_pixels(found: Tensor, true: Tensor, classes: int, void: int) -> Tensor:
    """Return the counts (K, K) int64 of a picture from the classes found and the true ones (H, W)."""
    known = true != void
    return (true[known].long() * classes + found[known].long()).bincount(minlength=classes**2).view(classes, classes)


def parts(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each class, the pixels that are right, those of the class, and those taken for it, (K,) float64."""
    total = counts.sum(0).double()
    return total.diagonal(), total.sum(1), total.sum(0)


def class_iou(counts: Tensor) -> Tensor:
    """Return the intersection over union of each class (K,); NaN for a class that no picture has."""
    right, own, taken = parts(counts)
    return (right / (own + taken - right)).where(own > 0, torch.nan)


def class_dice(counts: Tensor) -> Tensor:
    """Return the Dice coefficient of each class (K,), twice the intersection over the sum; NaN as above."""
    right, own, taken = parts(counts)
    return (2 * right / (own + taken)).where(own > 0, torch.nan)


def mean_iou(counts: Tensor) -> float:
    """Return the mean over classes of their intersection over union; classes that no picture has are left out."""
    return float(class_iou(counts).nanmean())


def micro_iou(counts: Tensor) -> float:
    """Return the intersection over union of all classes together: right pixels over those, and twice those wrong."""
    right, own, taken = parts(counts)
    return float(right.sum() / (own + taken - right).sum())


def mean_dice(counts: Tensor) -> float:
    """Return the mean over classes of their Dice coefficient; classes that no picture has are left out."""
    return float(class_dice(counts).nanmean())


def pixel_accuracy(counts: Tensor) -> float:
    """Return the share of pixels whose class is found."""
    right, own, _ = parts(counts)
    return float(right.sum() / own.sum())


@dataclass(frozen=True)
class MaskMetric:
    """A metric, and its definition in one line; larger is better."""

    measure: Callable[[Tensor], float]
    definition: str
    headline: bool = True


MASKS: dict[str, MaskMetric] = {
    "iou": MaskMetric(
        mean_iou, "intersection over union, counted over all pictures, mean over the classes that occur in them"
    ),
    "iou[micro]": MaskMetric(
        micro_iou, "intersection over union of all classes together, counted over all pictures", headline=False
    ),
    "dice": MaskMetric(
        mean_dice, "Dice coefficient, counted over all pictures, mean over the classes that occur in them"
    ),
    "pixel accuracy": MaskMetric(pixel_accuracy, "share of pixels whose class is found", headline=False),
}
"""The metrics of masks by name."""


def estimate(name: str, counts: Tensor, seed: int = 0) -> Estimate:
    """Return a metric of `MASKS` with its 95 % interval over the choice of pictures."""
    measure = MASKS[name].measure
    return resampled(lambda rows: measure(counts[rows]), len(counts), seed)
