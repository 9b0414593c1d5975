"""The hourglass with skip connections of the deep image prior (Ulyanov et al., 2018, supplementary material).

Differs from it: zero padding instead of reflection, and another width. Normalisation always uses the picture's own
statistics, so that every pixel depends on all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Hourglass(nn.Module):
    """Codes (N, code, H, W) to pictures (N, C, H, W) in [0, 1], H and W multiples of `multiple`, at least twice it.

    `width` is the number of channels at every level, `skip` that of each skip connection.
    """

    def __init__(self, code: int, channels: int, width: int, levels: int = 5, skip: int = 4) -> None:
        super().__init__()
        self.multiple = 2**levels
        self.body: nn.Module = nn.Identity()
        for inputs in [*[width] * (levels - 1), code]:
            self.body = Level(inputs, width, skip, self.body)
        self.picture = nn.Conv2d(width, channels, 1)

    def forward(self, code: Tensor) -> Tensor:
        """Return the pictures."""
        return self.picture(self.body(code)).float().sigmoid()


class Level(nn.Module):
    """Halve, convolve, apply the level below, enlarge; concatenate the skip connection and convolve."""

    def __init__(self, inputs: int, width: int, skip: int, below: nn.Module) -> None:
        super().__init__()
        self.down = nn.Sequential(*convolved(inputs, width, 3, stride=2), *convolved(width, width, 3))
        self.below = below
        self.skip = nn.Sequential(*convolved(inputs, skip, 1))
        self.join = nn.Sequential(
            nn.BatchNorm2d(width + skip), *convolved(width + skip, width, 3), *convolved(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, width, H, W) of (N, inputs, H, W), H and W even."""
        deeper = F.interpolate(self.below(self.down(x)), scale_factor=2, mode="bilinear")
        return self.join(torch.cat([self.skip(x), deeper], dim=1))


def convolved(inputs: int, outputs: int, kernel: int, stride: int = 1) -> tuple[nn.Module, ...]:
    """Return a convolution, its normalisation and its leaky ReLU."""
    return (
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    )
