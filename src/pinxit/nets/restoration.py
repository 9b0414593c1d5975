"""U-Nets from pictures to pictures, for restoration, built of residual blocks (Zhang et al., 2021, DRUNet) or NAFNet's.

Differs from DRUNet: the picture's 2 x 2 pixels become channels first (Shi et al., 2016; FFDNet), so that no layer works
at full size; fewer and narrower levels, with biases. Differs from NAFNet (Chen et al., 2022): no channel attention,
because it averages over the whole picture; the layer norm is over channels only. The receptive field is therefore
`radius` pixels to each side, and tiles give the same result as the whole picture. The network starts as the identity:
the last layer is zero, and its output is added to the picture, which is enlarged first if `scale` > 1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import keep_variance

Block = Literal["residual", "nafnet"]


class UNet(nn.Module):
    """Pictures (N, C, H, W), with planes beside them, to pictures (N, C, scale H, scale W), for any H, W >= 1.

    `width` is the number of channels of the largest map and doubles per level; `blocks` is the number on each side of a
    level. Pictures are padded to multiples of `stride` by reflection and cropped again: repeated rows of noise would
    look like stripes.
    """

    def __init__(
        self, channels: int, planes: int, width: int, levels: int, blocks: int, block: Block, scale: int = 1
    ) -> None:
        super().__init__()
        self.channels, self.scale = channels, scale
        self.fold = 2 if scale == 1 else 1  # enlarging begins at the size of the small picture
        self.stride = self.fold * 2 ** (levels - 1)
        kind = BLOCKS[block]
        widths = [width * 2**level for level in range(levels)]
        self.first = nn.Conv2d((channels + planes) * self.fold**2, width, 3, padding=1)
        self.encoders = nn.ModuleList(nn.Sequential(*(kind(wide) for _ in range(blocks))) for wide in widths[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(4 * a, b, 1) for a, b in pairwise(widths))
        self.bottom = nn.Sequential(*(kind(widths[-1]) for _ in range(blocks)))
        self.ups = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.decoders = nn.ModuleList(nn.Sequential(*(kind(wide) for _ in range(blocks))) for wide in widths[:-1])
        self.last = nn.Conv2d(width, channels * (self.fold * scale) ** 2, 3, padding=1)
        self.apply(keep_variance)
        for module in self.modules():
            if isinstance(module, ResidualBlock | NAFBlock):
                module.start_small()
        nn.init.zeros_(self.last.weight)
        self.radius = self._radius(levels, blocks, kind.convolutions)

    def forward(self, image: Tensor, planes: Tensor | None = None) -> Tensor:
        """Return restored pictures, not clipped, from images in [0, 1] and `planes` (N, P, H, W) beside them."""
        high, wide = image.shape[-2:]
        given = image if planes is None else torch.cat([image, planes], dim=1)
        given = mirrored(mirrored(given, -high % self.stride, -2), -wide % self.stride, -1)
        change = F.pixel_shuffle(self._features(F.pixel_unshuffle(given - 0.5, self.fold)), self.fold * self.scale)
        return enlarged(image, self.scale) + change[..., : high * self.scale, : wide * self.scale].float()

    def _features(self, x: Tensor) -> Tensor:
        x = self._first(x)
        beside = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            beside.append(encoder(x))
            x = down(F.pixel_unshuffle(beside[-1], 2))
        x = self.bottom(x)
        for decoder, up in zip(reversed(self.decoders), reversed(self.ups), strict=True):
            x = decoder(F.pixel_shuffle(up(x), 2).add_(beside.pop()))
        return self.last(x)

    def _first(self, x: Tensor) -> Tensor:
        """Return the first layer's map; an odd number of channels is made even by one of zeros.

        With an odd number, the rounding of convolutions in bf16 depends on the picture's width (observed with AMX).
        """
        if x.shape[1] % 2 == 0:
            return cast(Tensor, self.first(x))
        even = (0, 0, 0, 0, 0, 1)
        return F.conv2d(F.pad(x, even), F.pad(self.first.weight, even), self.first.bias, padding=1)

    def _radius(self, levels: int, blocks: int, convolutions: int) -> int:
        """Return the receptive field to each side in pixels of the input, along the path through the lowest level.

        A 3 x 3 convolution adds one pixel of its map to each side; a map's pixel covers a square of pixels and may lie
        at its edge.
        """
        sides = [self.fold * 2**level for level in range(levels)]
        at_level = blocks * convolutions
        convolved = 2 * sides[0] + sum(2 * at_level * side for side in sides[:-1]) + at_level * sides[-1]
        return max(convolved + sides[-1] - 1, ENLARGED_RADIUS if self.scale > 1 else 0)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a ReLU between them; plus the input."""

    convolutions = 2

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def start_small(self) -> None:
        """Make the block add little at first: without normalisation, sums of blocks grow."""
        with torch.no_grad():
            self.conv2.weight *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return self.conv2(F.relu(self.conv1(x), inplace=True)).add_(x)  # in place, which is cheaper for large maps


class NAFBlock(nn.Module):
    """NAFNet's block (Chen et al., 2022, figure 3c) without channel attention: gates instead of activations."""

    convolutions = 1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.look = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.narrow = nn.Conv2d(channels, channels, 1)
        self.mix = nn.Conv2d(channels, 2 * channels, 1)
        self.join = nn.Conv2d(channels, channels, 1)

    def start_small(self) -> None:
        """Make both halves of the block add nothing at first, as the authors do."""
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.join.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        x = x + self.narrow(gate(self.look(self.widen(over_channels(self.norm1, x)))))
        return x + self.join(gate(self.mix(over_channels(self.norm2, x))))


BLOCKS: dict[Block, type[ResidualBlock] | type[NAFBlock]] = {"residual": ResidualBlock, "nafnet": NAFBlock}

ENLARGED_RADIUS = 2


def enlarged(image: Tensor, scale: int) -> Tensor:
    """Return pictures `scale` times as large: bicubic with a = -0.5, reading `ENLARGED_RADIUS` pixels to each side."""
    if scale == 1:
        return image
    return F.interpolate(image.float(), scale_factor=scale, mode="bicubic", antialias=True, align_corners=False)


def mirrored(x: Tensor, more: int, axis: int) -> Tensor:
    """Return a map padded along an axis by reflection, and beyond that by its first line."""
    side = x.shape[axis]
    place = torch.arange(side + more, device=x.device)
    return x.index_select(axis, torch.minimum(place, 2 * (side - 1) - place).clamp(min=0))


def gate(x: Tensor) -> Tensor:
    """Return the product of the two halves of the channels."""
    values, weights = x.chunk(2, dim=1)
    return values * weights


def over_channels(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Return a map (N, C, H, W) normalised at each pixel over its channels."""
    normed: Tensor = norm(x.permute(0, 2, 3, 1))
    return normed.permute(0, 3, 1, 2)
