"""Losses of the classes of pixels: rows of `SEGMENTATION`, from log-probabilities to a term. Imports no torch.

A row takes log-probabilities (N, K, H, W), the classes of pixels (N, H, W), 1 for pixels that count and 0 for those
that are void (N, H, W), and weights of the classes (K,).
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

    term: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    purpose: str


def cross_entropy(log_probability: Tensor, label: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Return the mean cross entropy in nats."""
    return -(weight[label] * known * _own(log_probability, label)).sum() / known.sum().clamp(min=1)


def focal(log_probability: Tensor, label: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Return the mean focal loss (Lin et al., 2017, eq. 4): pixels that are sure already count little."""
    own = _own(log_probability, label)
    return -(weight[label] * known * (1 - own.exp()) ** FOCUS * own).sum() / known.sum().clamp(min=1)


def dice(log_probability: Tensor, label: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Return one minus the Dice coefficient of probabilities (Milletari et al., 2016), mean over the classes present.

    Differs from it: the sums are those of the whole batch, so that a picture without a class does not count as wrong;
    and sums of probabilities, not of squares, stand below. All classes count alike, whatever their weights.
    """
    zeros = weight.new_zeros(len(weight))
    both = zeros.index_add(0, label.flatten(), (known * _own(log_probability, label).exp()).flatten())
    true = zeros.index_add(0, label.flatten(), known.flatten())
    found = (log_probability.exp() * known[:, None]).sum((0, 2, 3))
    coefficient = 2 * both / (found + true).clamp(min=1e-6)
    return ((1 - coefficient) * (true > 0)).sum() / (true > 0).sum().clamp(min=1)


def _own(log_probability: Tensor, label: Tensor) -> Tensor:
    """Return the log-probability (N, H, W) of each pixel's own class."""
    return log_probability.gather(1, label[:, None])[:, 0]


SEGMENTATION: dict[str, MaskLoss] = {
    "cross-entropy": MaskLoss(cross_entropy, "the usual one"),
    # Lin et al., 2017.
    "focal": MaskLoss(focal, "pixels that are sure already count little"),
    # Milletari et al., 2016.
    "dice": MaskLoss(dice, "the overlap of each class, whatever its size"),
}
"""Losses by name."""
