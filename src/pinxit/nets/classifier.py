"""A small convolutional classifier, learned from scratch to see what a set of labelled pictures teaches.

Plain 3x3 convolutions with batch normalisation (Ioffe and Szegedy, 2015), the first at the picture's side, each of the
others halving it, and the mean of the last map. It differs from the ResNet-50 of Ravuri and Vinyals (2019) in size
alone: it learns in seconds.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import PictureShape

WIDTHS = (16, 32, 64, 128)


class Classifier(nn.Module):
    """Pictures (N, C, size, size) in [0, 1], any size from 8, to class logits (N, K)."""

    def __init__(self, shape: PictureShape) -> None:
        super().__init__()
        steps = list(pairwise((shape.channels, *WIDTHS)))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 if number == 0 else 2, padding=1, bias=False)
            for number, (a, b) in enumerate(steps)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        self.head = nn.Linear(WIDTHS[-1], shape.classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K)."""
        x = 2 * image - 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
        return self.head(x.mean((2, 3)))
