"""Adaptive augmentation (Karras et al., 2020, section 3): augment as much as keeps the discriminator from overfitting.

A discriminator that overfits gives nearly all training pictures a positive score. So the probability of augmentation
rises while the mean sign of real scores is above a target, and falls below it.

Differs from the paper: the probability moves after every step, not every fourth, and can go from 0 to 1 in 12,500
pictures instead of 500,000, because a training here sees a hundred thousand, not 25 million. With 50,000, the
discriminator of 178 photographs knew them by heart before the probability had risen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PICTURES = 12_500
"""The pictures in which the probability can go from 0 to 1."""


class AdaptiveProbability(nn.Module):
    """A probability from 0 to `largest`, which only `follow` moves: it has a buffer, no parameters."""

    value: Tensor

    def __init__(self, target: float, largest: float) -> None:
        super().__init__()
        self.target, self.largest = target, largest
        self.register_buffer("value", torch.zeros(()))

    def follow(self, sign: float, pictures: int) -> None:
        """Move by one step of `pictures` pictures, whose real scores had the mean sign `sign`."""
        step = pictures / PICTURES if sign > self.target else -pictures / PICTURES
        self.value.add_(step).clamp_(0, self.largest)
