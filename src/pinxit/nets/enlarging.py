"""Layers that double a map's sides: three ways to enlarge and convolve, by name (`ENLARGE`).

A strided transposed convolution computes neighbouring pixels from different weights, and a grid of squares shows where
they differ (Odena et al., 2016). Enlarging first and then convolving by 3 x 3 gives every pixel the same weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import Sides, odd, padding


def repeated(x: Tensor, weight: Tensor, bias: Tensor | None, size: Sides) -> Tensor:
    """Return a map (N, A, h, w) with each pixel repeated 2 x 2 times, then convolved by weights (B, A, 3, 3).

    A repeated pixel meets sums of weights, so this is a transposed convolution by a kernel of 4 x 4 sums: 16 products
    for each pixel of the input instead of 36. `size` is the result's; an odd side loses its first row or column.
    """
    kernel = _sums(weight.flip(2, 3)).transpose(0, 1)
    return F.conv_transpose2d(x, kernel, bias, 2, padding(size), odd(size))


def halving(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return a map (N, A, H, W) convolved by weights (B, A, 3, 3), then averaged over 2 x 2 pixels, in one step.

    The reverse of `repeated`. An odd last row or column is averaged with one that continues it by zeros.
    """
    down, right = odd((x.shape[2], x.shape[3]))
    return F.conv2d(F.pad(x, (1, 1 + right, 1, 1 + down)), _sums(weight) / 4, bias, 2)


def _sums(weight: Tensor) -> Tensor:
    """Return the sums (B, A, 4, 4) of the weights (B, A, 3, 3) that meet in two neighbours across and down."""
    wide = F.pad(weight, (1, 1, 1, 1))
    rows = wide[:, :, 1:] + wide[:, :, :-1]
    return rows[..., 1:] + rows[..., :-1]


class Repeated(nn.Conv2d):
    """Repeat each pixel, then convolve by 3 x 3; `size` is the output's."""

    def __init__(self, inputs: int, outputs: int, size: Sides, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W), `size` = (H, W), of (N, inputs, H / 2, W / 2), rounded up."""
        return repeated(x, self.weight, self.bias, self.size)


class Interpolated(Repeated):
    """Enlarge by bilinear interpolation, then convolve by 3 x 3; beyond its edges a map is 0.

    Bilinear enlarging is repeating, then averaging by (1, 2, 1) / 4 across and down. Here the average comes after the
    convolution, which gives the same sums in less time.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W), `size` = (H, W), of (N, inputs, H / 2, W / 2), rounded up."""
        y = averaged(repeated(x, self.weight, None, self.size))
        return y if self.bias is None else y + self.bias[:, None, None]


def averaged(x: Tensor) -> Tensor:
    """Return a map (N, C, H, W) averaged by (1, 2, 1) / 4 across and down; beyond its edges it is 0."""
    side = x.new_tensor([0.25, 0.5, 0.25])
    return F.conv2d(x, torch.outer(side, side).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


class Doubled(nn.Module):
    """Enlarge by bilinear interpolation alone; `size` is the output's. An odd side loses its first row or column."""

    kernel_size, stride = (3, 3), (1, 1)
    """As of a convolution that reads one pixel beyond each."""

    def __init__(self, size: Sides) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W), `size` = (H, W), of (N, C, H / 2, W / 2), rounded up."""
        top, left = odd(self.size)
        return F.interpolate(x, scale_factor=2, mode="bilinear")[..., top:, left:]


def strided(inputs: int, outputs: int, size: Sides, bias: bool = True) -> nn.ConvTranspose2d:
    """Return a transposed convolution by 4 x 4 that doubles a map to `size`."""
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, padding(size), odd(size), bias=bias)


ENLARGE: dict[str, Callable[[int, int, Sides, bool], nn.Module]] = {
    # Radford et al., 2016.
    "strided": strided,
    # Odena et al., 2016.
    "nearest": Repeated,
    "bilinear": Interpolated,
}
