"""Pictures to maps of vectors and back (van den Oord et al., 2017, section 4.1): strided convolutions, residual blocks.

Differs from the paper: any sides from 16 (those of a map are the rounded-up halves of those before); the width is
`channels` at half the picture's side and doubles towards the map, at most 8-fold.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import PictureShape, keep_variance, odd, padding, size_ladder, widths

BLOCKS = 2


class MapEncoder(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to vectors (N, h * w, dimensions), row by row of the map."""

    def __init__(self, shape: PictureShape, channels: int, halvings: int, dimensions: int) -> None:
        super().__init__()
        sizes = size_ladder(shape)[::-1][:halvings]
        width = [shape.channels, *reversed(widths(channels, halvings))]
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, padding(size)) for (a, b), size in zip(pairwise(width), sizes, strict=True)
        )
        self.blocks = nn.Sequential(*(Block(width[-1]) for _ in range(BLOCKS)))
        self.vectors = nn.Conv2d(width[-1], dimensions, 1)
        self.apply(keep_variance)

    def forward(self, image: Tensor) -> Tensor:
        """Return vectors (N, h * w, dimensions)."""
        x = self.downs[0](2 * image - 1)
        for down in self.downs[1:]:
            x = down(F.relu(x))
        return self.vectors(F.relu(self.blocks(x))).flatten(2).mT


class MapDecoder(nn.Module):
    """Vectors (N, h * w, dimensions) to logits (N, C, H, W), unbounded."""

    def __init__(self, shape: PictureShape, channels: int, halvings: int, dimensions: int) -> None:
        super().__init__()
        self.map, *sizes = size_ladder(shape)[-halvings - 1 :]
        width = [*widths(channels, halvings), shape.channels]
        self.first = nn.Conv2d(dimensions, width[0], 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width[0]) for _ in range(BLOCKS)))
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, padding(size), odd(size))
            for (a, b), size in zip(pairwise(width), sizes, strict=True)
        )
        self.apply(keep_variance)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits (N, C, H, W)."""
        x = self.blocks(self.first(vectors.mT.unflatten(2, self.map)))
        for up in self.ups:
            x = up(F.relu(x))
        return x


class Block(nn.Module):
    """ReLU, 3 x 3 convolution, ReLU, 1 x 1 convolution; plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))
