"""A small convolutional classifier, trained from scratch to measure how useful labelled pictures are for training.

Three 3x3 convolutions with batch normalisation (Ioffe and Szegedy, 2015), each halving the side, and one linear
layer on the last map. It replaces the ResNet-50 of Ravuri and Vinyals (2019), to train in seconds.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import PictureShape

WIDTHS = (32, 64, 128)


class Classifier(nn.Module):
    """Pictures (N, C, H, W) in [0, 1], any size, to class logits (N, K)."""

    def __init__(self, shape: PictureShape) -> None:
        super().__init__()
        steps = pairwise((shape.channels, *WIDTHS))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False) for a, b in steps)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        high, wide = (-(-side // 2 ** len(WIDTHS)) for side in shape.sides)
        self.head = nn.Linear(WIDTHS[-1] * high * wide, shape.classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K)."""
        x = 2 * image - 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
        return self.head(x.flatten(1))
