"""AlexNet made shift-tolerant (Ghildyal and Liu, 2022), whose maps measure the perceptual distance of pictures.

It has the convolutions of AlexNet (Krizhevsky et al., 2012), but the first has stride 1 instead of 4, and maps are
blurred before they are subsampled (Zhang, 2019). There are no fully connected layers. Written from the paper; blur and
borders are those of the weights' package, `stlpips-pytorch`: binomial 1-2-1, with two reflected pixels on each side
where Zhang's filter needs one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Mean and standard deviation of ImageNet's pixels in [0, 1], as LPIPS rounds them for pictures in [-1, 1].
_MEAN = tuple((1 + shift) / 2 for shift in (-0.030, -0.088, -0.188))
_DEVIATION = tuple(scale / 2 for scale in (0.458, 0.448, 0.450))


class ShiftTolerantAlexNet(nn.Module):
    """Five convolutions, and for each a head: the learned weights of its channels in the distance, (C,)."""

    channels = (64, 192, 384, 256, 256)
    smallest_side = 21
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )
        self.heads = nn.ParameterList([torch.ones(count) for count in self.channels])
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the five maps after each ReLU of colour pictures (N, 3, H, W) in [0, 1], sides of at least 21.

        They have 64, 192, 384, 256 and 256 channels; the first has about half the sides of the picture, the second a
        quarter, the others an eighth.
        """
        one, two, three, four, five = self.convolutions
        first = halved(one((image - self.mean) / self.deviation)).relu()
        second = two(_pooled(first)).relu()
        third = three(_pooled(second)).relu()
        fourth = four(third).relu()
        return first, second, third, fourth, five(fourth).relu()


def halved(maps: Tensor) -> Tensor:
    """Return maps (N, C, H, W) blurred by 1-2-1 both ways, and every second pixel of them."""
    binomial = maps.new_tensor([1, 2, 1]) / 4
    kernel = torch.outer(binomial, binomial).expand(maps.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(maps, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=maps.shape[1])


def _pooled(maps: Tensor) -> Tensor:
    """Return the maximum over 3x3 pixels, halved: max pooling with stride 2, with a blur before the subsampling."""
    return halved(F.max_pool2d(maps, 3, stride=1))
