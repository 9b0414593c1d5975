"""How well classes are recognised: functions of probabilities (N, K) and true classes (N,).

`RECOGNITION` has them by name. Each is a number that resampled pictures give an interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pinxit.metrics.intervals import Estimate, resampled, share_estimate

BINS = 15


def accuracy(probabilities: Tensor, label: Tensor) -> float:
    """Return the share of pictures whose likeliest class is the true one."""
    return float((probabilities.argmax(1) == label).double().mean())


def balanced_accuracy(probabilities: Tensor, label: Tensor) -> float:
    """Return the mean over classes of the share of its pictures that are recognised; classes without pictures drop."""
    right = (probabilities.argmax(1) == label).double()
    classes = probabilities.shape[1]
    count = label.bincount(minlength=classes)
    share = torch.zeros(classes, dtype=torch.float64).index_add_(0, label, right) / count
    return float(share[count > 0].mean())


def auroc(probabilities: Tensor, label: Tensor) -> float:
    """Return the area under the ROC curve, the mean over classes of one class against the rest.

    That is the probability that a picture of the class gets a higher probability of it than one of another; equal ones
    count half (Mann and Whitney, 1947). Classes that have no picture, or all, drop; 0.5 if none is left.
    """
    areas = []
    for number in label.unique().tolist():
        own, column = label == number, probabilities[:, number].double()
        if own.all():
            continue
        values, place = column.unique(return_inverse=True)  # in ascending order
        each = place.bincount(minlength=len(values)).double()
        rank = each.cumsum(0) - (each - 1) / 2  # the mean rank of equal values, from 1
        inside = own.sum().double()
        above = rank[place][own].sum() - inside * (inside + 1) / 2
        areas.append(above / (inside * (len(own) - inside)))
    return float(torch.stack(areas).mean()) if areas else 0.5


def calibration_error(probabilities: Tensor, label: Tensor) -> float:
    """Return the expected calibration error (Guo et al., 2017, eq. 3) with 15 bins of equal width.

    It is the mean distance of confidence and accuracy in bins of like confidence, weighted by their pictures.
    """
    confidence, found = probabilities.double().max(1)
    right = (found == label).double()
    bin_of = (confidence * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    gap = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bin_of, confidence - right)
    return float(gap.abs().sum() / len(label))


def confusion(probabilities: Tensor, label: Tensor) -> Tensor:
    """Return how many pictures of each class (rows) were taken for each class (columns), (K, K) int64."""
    classes = probabilities.shape[1]
    return (label * classes + probabilities.argmax(1)).bincount(minlength=classes**2).view(classes, classes)


@dataclass(frozen=True)
class RecognitionMetric:
    """A metric, its definition in one line, which way is better, and whether it may be quoted alone.

    One that `compares` classes needs pictures of two.
    """

    measure: Callable[[Tensor, Tensor], float]
    definition: str
    better: Literal["larger", "smaller"] = "larger"
    headline: bool = True
    compares: bool = False


RECOGNITION: dict[str, RecognitionMetric] = {
    "accuracy": RecognitionMetric(accuracy, "share of pictures whose likeliest class is the true one"),
    "balanced accuracy": RecognitionMetric(balanced_accuracy, "mean over classes of the share that is recognised"),
    "auroc": RecognitionMetric(
        auroc, "area under the ROC curve, mean over classes of one class against the rest", compares=True
    ),
    "calibration error": RecognitionMetric(
        calibration_error, f"expected calibration error of the likeliest class, {BINS} bins of equal width", "smaller",
        headline=False,
    ),
}  # fmt: skip
"""The metrics of a classifier by name."""


def estimate(name: str, probabilities: Tensor, label: Tensor, seed: int = 0) -> Estimate:
    """Return a metric of `RECOGNITION` with its 95 % interval over the choice of pictures."""
    if name == "accuracy":
        return share_estimate(probabilities.argmax(1) == label)
    measure = RECOGNITION[name].measure
    return resampled(lambda rows: measure(probabilities[rows], label[rows]), len(label), seed)
