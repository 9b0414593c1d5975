"""A network from pictures to mattes: a small decoder that reads the maps of a frozen network from coarse to fine.

The frozen network, EfficientNet-Lite0, knows a thousand kinds of things. So a decoder that learns from some hundred
pictures finds subjects that it has not seen. The maps at a thirty-second of the picture's sides, which say what is
where, are enlarged step by step. At each step the finer map is added, as in a feature pyramid (Lin et al., 2017). The
last step adds the picture's own pixels, at half its sides.

Maps are normalised in groups of channels (Wu and He, 2018), because batches are small; the frozen ones are, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import keep_variance

STAGES, WIDTHS = (1, 3, 5, 11, 16), (16, 24, 40, 112, 320)
"""Of the maps of `EfficientNetLite0.stages`, at strides 2, 4, 8, 16 and 32: which are read, and their widths."""
FACTORS = (0.5, 1, 2, 3, 4)
"""Channels of the decoder's own maps at these strides, as multiples of its `channels`."""
COARSE = 2
"""The number of the map, of stride 8, at which a coarse matte is judged."""
GROUPS = 4


class Logits(NamedTuple):
    """Logits of mattes at a half of the picture's sides, and at an eighth, (N, 1, h, w) float32."""

    matte: Tensor
    coarse: Tensor


class Pyramid(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] and their maps to maps of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widths = [int(channels * factor) for factor in FACTORS]
        self.reads = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in zip(WIDTHS, self.widths, strict=True))
        self.whole = nn.Linear(WIDTHS[-1], self.widths[-1])
        self.ups = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(self.widths))
        self.blocks = nn.ModuleList(_Block(width) for width in self.widths[1:])
        self.pixels = nn.Conv2d(12, self.widths[0], 3, padding=1)

    def read(self, image: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps from coarse to fine, the last at a half of the sides; `maps` are those of `STAGES`."""
        read = [own(F.group_norm(given, GROUPS)) for own, given in zip(self.reads, maps, strict=True)]
        x = read[-1] + self.whole(maps[-1].mean((2, 3)))[:, :, None, None]
        found = []
        for level in range(len(maps) - 1, 0, -1):
            found.append(self.blocks[level - 1](x))
            x = read[level - 1] + _enlarged(self.ups[level - 1](found[-1]), read[level - 1])
        return [*found, F.relu(x + self.pixels(_halves(image, x)))]


class MatteDecoder(Pyramid):
    """Pictures (N, 3, H, W) in [0, 1] and their maps to the logits of mattes."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.coarse, self.fine = nn.Conv2d(self.widths[COARSE], 1, 1), nn.Conv2d(self.widths[0], 1, 3, padding=1)
        self.apply(keep_variance)
        for last in (self.coarse, self.fine):
            nn.init.zeros_(last.weight)

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> Logits:
        """Return the logits; `maps` are those of `STAGES`, from fine to coarse."""
        *coarser, finest = self.read(image, maps)
        return Logits(self.fine(finest).float(), self.coarse(coarser[-COARSE]).float())


class _Block(nn.Module):
    """A residual block of two 3 x 3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape, at least 0."""
        x = F.relu(x)
        inner = F.relu(self.norms[0](self.first(x)))
        return F.relu(x + self.norms[1](self.second(inner)))


def _enlarged(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _halves(image: Tensor, like: Tensor) -> Tensor:
    """Return the four pixels of each 2 x 2 as channels, about 0; an odd last row or column is repeated."""
    high, wide = like.shape[-2:]
    given = F.pad(image, (0, 2 * wide - image.shape[-1], 0, 2 * high - image.shape[-2]), mode="replicate")
    return F.pixel_unshuffle(given - 0.5, 2)
