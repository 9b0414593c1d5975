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

SUMS = [
    [float(2 <= row + t <= 3 and 2 <= column + u <= 3) for t in range(4) for u in range(4)]
    for row in range(3)
    for column in range(3)
]
"""The matrix (9, 16) from a 3 x 3 kernel over repeated pixels to the kernel of the same transposed convolution."""


class Repeated(nn.Conv2d):
    """Repeat each pixel 2 x 2 times, then convolve by 3 x 3, in one step.

    A repeated pixel meets sums of weights, so this is a transposed convolution by a kernel of 4 x 4 sums: 16 products
    for each pixel of the input instead of 36. `size` is the output's; an odd side loses its first row or column.
    """

    def __init__(self, inputs: int, outputs: int, size: Sides, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=padding(size), bias=bias)
        self.output_padding = odd(size)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W), `size` = (H, W), of (N, inputs, H / 2, W / 2), rounded up."""
        return self.enlarged(x, self.bias)

    def enlarged(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return the repeated and convolved map, plus a bias."""
        kernel = (self.weight.flatten(2) @ self.weight.new_tensor(SUMS)).unflatten(2, (4, 4)).transpose(0, 1)
        return F.conv_transpose2d(x, kernel, bias, 2, self.padding, self.output_padding)  # type: ignore[arg-type]


class Interpolated(Repeated):
    """Enlarge by bilinear interpolation, then convolve by 3 x 3; beyond its edges a map is 0.

    Bilinear enlarging is repeating, then averaging by (1, 2, 1) / 4 across and down. Here the average comes after the
    convolution, which gives the same sums in less time.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W), `size` = (H, W), of (N, inputs, H / 2, W / 2), rounded up."""
        y = averaged(self.enlarged(x, None))
        return y if self.bias is None else y + self.bias[:, None, None]


def averaged(x: Tensor) -> Tensor:
    """Return a map (N, C, H, W) averaged by (1, 2, 1) / 4 across and down; beyond its edges it is 0."""
    side = x.new_tensor([0.25, 0.5, 0.25])
    return F.conv2d(x, torch.outer(side, side).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


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
