"""Losses of the classes of pixels: rows of `SEGMENTATION`, from log-probabilities to a term. Imports no torch.

A row takes log-probabilities (P, K) of the pixels that are not void, their classes (P,), and weights of the classes
(K,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FOCUS = 2.0
"""The power of the focal loss."""


@dataclass(frozen=True)
class MaskLoss:
    """A loss, and what it is for."""

    term: Callable[[Tensor, Tensor, Tensor], Tensor]
    purpose: str


def cross_entropy(log_probability: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Return the mean cross entropy in nats."""
    own = log_probability.gather(1, label[:, None])[:, 0]
    return -(weight[label] * own).mean()


def focal(log_probability: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Return the mean focal loss (Lin et al., 2017, eq. 4): pixels that are sure already count little."""
    own = log_probability.gather(1, label[:, None])[:, 0]
    return -(weight[label] * (1 - own.exp()) ** FOCUS * own).mean()


def dice(log_probability: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Return one minus the Dice coefficient of probabilities (Milletari et al., 2016), mean over the classes present.

    Differs from it: the sums are those of the whole batch, so that a picture without a class does not count as wrong;
    and sums of probabilities, not of squares, stand below. All classes count alike, whatever their weights.
    """
    probability = log_probability.exp()
    own = probability.gather(1, label[:, None])[:, 0]
    zeros = probability.new_zeros(probability.shape[1])
    both, true = zeros.index_add(0, label, own), label.bincount(minlength=len(zeros))
    return 1 - (2 * both / (probability.sum(0) + true))[true > 0].mean()


SEGMENTATION: dict[str, MaskLoss] = {
    "cross-entropy": MaskLoss(cross_entropy, "the usual one"),
    # Lin et al., 2017.
    "focal": MaskLoss(focal, "pixels that are sure already count little"),
    # Milletari et al., 2016.
    "dice": MaskLoss(dice, "the overlap of each class, whatever its size"),
}
"""Losses by name."""
