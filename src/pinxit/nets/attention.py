"""Self-attention between the positions of a map (Zhang et al., 2019, SAGAN, section 3)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pinxit.nets.shapes import Sides

REDUCTION = 8


class Attention(nn.Module):
    """Each position adds what it reads at the positions that match it, times `gamma`, which starts at 0.

    Follows the paper: all positions, C / 8 channels inside. Its authors' code also reduces the positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = max(1, channels // REDUCTION)
        self.query, self.key, self.value = (nn.Conv2d(channels, inside, 1, bias=False) for _ in range(3))
        self.last = nn.Conv2d(inside, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        match = (query.mT @ key).float().softmax(2).to(value.dtype)
        return x + self.gamma * self.last((value @ match.mT).unflatten(2, x.shape[2:]))


def looks(channels: Iterable[int], sizes: Iterable[Sides], side: int) -> nn.ModuleList:
    """Return a layer for each map: attention where its shorter side is `side`, elsewhere one that changes nothing."""
    return nn.ModuleList(
        Attention(width) if min(size) == side else nn.Identity() for width, size in zip(channels, sizes, strict=True)
    )
