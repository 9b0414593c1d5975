"""How often each class was met in training, and what it should count because of that."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Seen(nn.Module):
    """How often each class was met in training, as a buffer; each counts once more."""

    count: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.ones(classes))

    def add(self, label: Tensor) -> None:
        """Count labels (N,)."""
        self.count.add_(label.bincount(minlength=len(self.count)))

    def weights(self, power: float = 1.0) -> Tensor:
        """Return a weight for each class (K,): 1 on average over what was met, and larger for rare classes.

        With power 1 all classes count alike in sum; with 0 each weight is 1.
        """
        share = self.count / self.count.sum()
        weight = share**-power
        return weight / (share * weight).sum()
