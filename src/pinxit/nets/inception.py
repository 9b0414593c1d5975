"""The Inception network (Szegedy et al., 2016) whose features FID and KID use (Heusel et al., 2017).

Its modules have the names of the well-known PyTorch port of TensorFlow's file of 2015-12-05, pytorch-fid's, so that the
port's tensors fit ("Mixed_5b.branch1x1.bn.bias"). As in that file, and unlike the paper and the later ImageNet network
of the same name: average pools do not count their padding, the last block's pool takes the maximum, and there are 1008
classes. Differs from the port: the logits have no bias, as in the script of Salimans et al. (2016), so `fc.bias` stays
unused. Not yet run on real weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import Reading

Sides = int | tuple[int, int]
BATCH_NORM_EPS = 1e-3


class Inception2015(nn.Module):
    """Pictures (N, 3, 299, 299) in [0, 1] to the means of the last maps ("pool3") and logits; 23,850,960 parameters."""

    side = 299
    dimensions = 2048
    classes = 1008

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3)
        self.Mixed_5b = _BlockA(192, pool=32)
        self.Mixed_5c = _BlockA(256, pool=64)
        self.Mixed_5d = _BlockA(288, pool=64)
        self.Mixed_6a = _ShrinkB(288)
        self.Mixed_6b = _BlockC(768, inner=128)
        self.Mixed_6c = _BlockC(768, inner=160)
        self.Mixed_6d = _BlockC(768, inner=160)
        self.Mixed_6e = _BlockC(768, inner=192)
        self.Mixed_7a = _ShrinkD(768)
        self.Mixed_7b = _BlockE(1280, pool=_mean_pool)
        self.Mixed_7c = _BlockE(2048, pool=_max_pool)
        self.fc = nn.Linear(self.dimensions, self.classes)

    def forward(self, image: Tensor) -> Reading:
        """Read pictures (N, 3, H, W) in [0, 1]; trained at 299 x 299, and 75 is the least side."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(2 * image - 1)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        features = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
        return Reading(features, F.linear(features, self.fc.weight))


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU; a kernel of (1, 7) is one row."""

    def __init__(self, inputs: int, width: int, kernel: Sides, stride: int = 1, padding: Sides = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _row(inputs: int, width: int) -> _Conv:
    return _Conv(inputs, width, (1, 7), padding=(0, 3))


def _column(inputs: int, width: int) -> _Conv:
    return _Conv(inputs, width, (7, 1), padding=(3, 0))


def _mean_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


class _BlockA(nn.Module):
    """35 x 35: 1x1, 5x5, two 3x3, pool (Szegedy et al., 2016, figure 5)."""

    def __init__(self, inputs: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(inputs, 64, 1)
        self.branch5x5_1 = _Conv(inputs, 48, 1)
        self.branch5x5_2 = _Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Conv(inputs, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, padding=1)
        self.branch_pool = _Conv(inputs, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_mean_pool(x))], 1)


class _ShrinkB(nn.Module):
    """35 x 35 to 17 x 17 (figure 10)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Conv(inputs, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class _BlockC(nn.Module):
    """17 x 17: 7x7 as a row and a column, twice that, pool (figure 6)."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(inputs, 192, 1)
        self.branch7x7_1 = _Conv(inputs, inner, 1)
        self.branch7x7_2 = _row(inner, inner)
        self.branch7x7_3 = _column(inner, 192)
        self.branch7x7dbl_1 = _Conv(inputs, inner, 1)
        self.branch7x7dbl_2 = _column(inner, inner)
        self.branch7x7dbl_3 = _row(inner, inner)
        self.branch7x7dbl_4 = _column(inner, inner)
        self.branch7x7dbl_5 = _row(inner, 192)
        self.branch_pool = _Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_mean_pool(x))], 1)


class _ShrinkD(nn.Module):
    """17 x 17 to 8 x 8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Conv(inputs, 192, 1)
        self.branch3x3_2 = _Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Conv(inputs, 192, 1)
        self.branch7x7x3_2 = _row(192, 192)
        self.branch7x7x3_3 = _column(192, 192)
        self.branch7x7x3_4 = _Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), self.branch7x7x3_4(seven), F.max_pool2d(x, 3, 2)], 1)


class _BlockE(nn.Module):
    """8 x 8: 1x1, 3x3 as a row beside a column, a 3x3 before the same, pool (figure 7)."""

    def __init__(self, inputs: int, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = _Conv(inputs, 320, 1)
        self.branch3x3_1 = _Conv(inputs, 384, 1)
        self.branch3x3_2a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = _Conv(inputs, 448, 1)
        self.branch3x3dbl_2 = _Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(three),
                self.branch3x3_2b(three),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(self.pool(x)),
            ],
            1,
        )
