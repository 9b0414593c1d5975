"""Networks that paint a picture in a style in one pass: one learned style (TransformNet), or any (StyleDecoder).

TransformNet: Johnson, Alahi and Fei-Fei, 2016, with instance normalisation (Ulyanov et al., 2017). Differs from it: the
picture's 2 x 2 pixels become channels first, so that no layer works at full size; the layers' output is added to the
picture in the style's colours, so that it stays sharp; the blocks work at an eighth of the size, for long strokes.

StyleDecoder: Huang and Belongie, 2017 (AdaIN): the content's maps in a frozen encoder get the mean and deviation of the
style's, and a trained decoder turns them into a picture. The decoder has no instance normalisation: with it, it painted
specks into a corner to control the deviation of its channels. Differs from the paper: the encoder is
EfficientNet-Lite0, whose maps inside its blocks are wide; AdaIN acts at strides 2, 4 and 8 and on the colours
themselves, where the paper has one map; and the style's statistics also scale and shift the decoder's blocks (as
Dumoulin et al., 2017, do for learned styles).

Only means and deviations over the whole picture connect its distant parts. They can be given, so that tiles are painted
like the whole picture; a tile then needs `radius` pixels around it.
`Statistics` is the mean and deviation of each channel, (N, 2, C, 1, 1) float32; sides can have any length.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.shapes import keep_variance

Statistics = Tensor
EPSILON = 4e-3
COLOURS = 3
FOLD = 2
STRIDE = 8
WIDTHS = (32, 64, 96)
"""Channels of both networks at a half, a quarter and an eighth of the picture's side."""


class Painted(NamedTuple):
    """Pictures (N, 3, H, W), not clipped, and the statistics of the layers they went through."""

    image: Tensor
    statistics: list[Statistics]


def statistics(maps: Tensor) -> Statistics:
    """Return mean and standard deviation of each channel of maps (N, C, H, W), (N, 2, C, 1, 1) float32."""
    values = maps.float()
    return from_powers(means(values), means(values.square()))


def means(values: Tensor) -> Tensor:
    """Return the mean of each channel of (N, C, H, W), (N, C).

    An exported network averages the rows' means instead: onnxruntime sums sequentially, and over a whole map it loses
    so many bits that pictures differ by more than a thousandth.
    """
    return values.mean(3).mean(2) if torch.compiler.is_exporting() else values.mean((2, 3))


def from_powers(first: Tensor, second: Tensor) -> Statistics:
    """Return the statistics of channels from the means of their values and squared values, (N, C) float32."""
    deviation = (second - first.square()).clamp(min=0).add(EPSILON).sqrt()
    return torch.stack([first, deviation], dim=1)[..., None, None]


def transferred(maps: Tensor, own: Statistics, wanted: Statistics) -> Tensor:
    """Return maps with the wanted statistics instead of their own (Huang and Belongie, 2017, eq. 8)."""
    (mean, deviation), (mean_wanted, deviation_wanted) = own.unbind(1), wanted.unbind(1)
    scale = deviation_wanted / deviation
    return maps * scale.to(maps.dtype) + (mean_wanted - mean * scale).to(maps.dtype)


def toward(own: Sequence[Statistics], styles: Sequence[Statistics], strength: float | Tensor) -> list[Statistics]:
    """Return statistics between a picture's own and those of styles, at a strength in [0, 1]."""
    return [torch.lerp(*pair, strength) for pair in zip(own, styles, strict=True)]


class InstanceNorm(nn.Module):
    """Instance normalisation: each channel gets a learned mean and deviation."""

    def __init__(self, channels: int, mean: float = 0.0, deviation: float = 1.0) -> None:
        super().__init__()
        self.wanted = nn.Parameter(torch.tensor([mean, deviation])[:, None].repeat(1, channels))

    def forward(self, maps: Tensor, own: Statistics) -> Tensor:
        """Return maps (N, C, H, W), whose statistics are `own`, with the learned statistics instead."""
        return transferred(maps, own, self.wanted[None, :, :, None, None])


class TransformNet(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] to pictures in the one learned style."""

    stride = STRIDE

    def __init__(self, widths: Sequence[int] = WIDTHS, blocks: int = 5) -> None:
        super().__init__()
        folded = COLOURS * FOLD**2
        self.colours = InstanceNorm(COLOURS, 0.5, 0.25)
        self.downs = nn.ModuleList(
            convolution(before, after, stride=1 if before == folded else 2)
            for before, after in pairwise([folded, *widths])
        )
        inner = [widths[-1]] * blocks
        self.firsts, self.seconds = (nn.ModuleList(convolution(width, width) for width in inner) for _ in range(2))
        self.ups = nn.ModuleList(convolution(after, before) for before, after in reversed(list(pairwise(widths))))
        normed = [*widths, *(width for width in inner for _ in range(2)), *reversed(widths[:-1])]
        self.norms = nn.ModuleList(InstanceNorm(width) for width in normed)
        self.last = convolution(widths[0], folded)
        self.apply(keep_variance)
        nn.init.zeros_(self.last.weight)
        levels = [FOLD * 2**level for level in range(len(widths))]
        down, up = sum([2, *levels[:-1]]), sum([*levels[:-1], levels[0]])
        self.radius = down + 2 * blocks * levels[-1] + up + 2 * STRIDE

    def forward(self, image: Tensor) -> Tensor:
        """Return the pictures painted, not clipped."""
        return self.paint(image).image

    def paint(self, image: Tensor, known: Sequence[Statistics] = ()) -> Painted:
        """Return the pictures painted, with the `known` statistics of a whole picture, or else with their own."""
        found: list[Statistics] = []

        def normed(maps: Tensor) -> Tensor:
            place = len(found) - 1  # the first is that of the colours, which have their own norm
            found.append(known[len(found)] if known else statistics(maps))
            norm = self.colours if place < 0 else self.norms[place]
            normal: Tensor = norm(maps, found[-1])
            return normal

        given = padded(image)
        colours = normed(given)
        x = F.pixel_unshuffle(given - 0.5, FOLD)
        for down in self.downs:
            x = F.relu(normed(down(x)), inplace=True)
        for first, second in zip(self.firsts, self.seconds, strict=True):
            x = x + normed(second(F.relu(normed(first(x)), inplace=True)))
        for up in self.ups:
            x = F.relu(normed(up(doubled(x))), inplace=True)
        change = F.pixel_shuffle(self.last(x), FOLD).float()
        return Painted(cropped(colours + change, image), found)


class StyleEncoder(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] to themselves and three maps of a frozen network, at strides 2, 4 and 8."""

    blocks = (1, 3, 5)
    channels = (96, 144, 240)
    radius = 48
    """The receptive field of a map's value in pixels to each side: 41 by the kernels, and the offset in a stride."""

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the pictures, padded to multiples of 8 by repeating the edge, and the maps inside three blocks."""
        given = padded(image)
        return (given, *self.network.widened(given, self.blocks))


class StyleDecoder(nn.Module):
    """Pictures and maps of a `StyleEncoder` to pictures with other statistics.

    `blocks` is the number of residual blocks at a half, a quarter and an eighth of the side.
    """

    stride = STRIDE

    def __init__(self, widths: Sequence[int] = WIDTHS, blocks: Sequence[int] = (1, 2, 4), knowledge: int = 128) -> None:
        super().__init__()
        channels = StyleEncoder.channels
        self.reads = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in zip(channels, widths, strict=True))
        self.ups = nn.ModuleList(convolution(after, before) for before, after in pairwise(widths))
        self.levels = nn.ModuleList(
            nn.ModuleList(_Block(width, knowledge) for _ in range(number))
            for width, number in zip(widths, blocks, strict=True)
        )
        self.know = nn.Linear(2 * (COLOURS + sum(channels)), knowledge)
        self.last = convolution(widths[0], COLOURS * FOLD**2)
        self.apply(keep_variance)
        for module in self.modules():
            if isinstance(module, _Block):
                nn.init.zeros_(module.modulate.weight)
        nn.init.zeros_(self.last.weight)
        reach = sum((2 * number + 1) * FOLD * 2**level for level, number in enumerate(blocks))
        self.radius = StyleEncoder.radius + reach + STRIDE

    def forward(self, maps: Sequence[Tensor], own: Sequence[Statistics], wanted: Sequence[Statistics]) -> Tensor:
        """Return pictures (N, 3, H, W) with the wanted statistics, not clipped; H and W are multiples of 8.

        `maps` are the pictures and the three maps of `StyleEncoder`; `own` are the statistics of the whole picture.
        """
        knowledge = F.relu(self.know(torch.cat([part.flatten(1) for part in wanted], dim=1)))
        colours, *normed = [transferred(*each) for each in zip(maps, own, wanted, strict=True)]
        x = self.reads[-1](normed[-1])
        for level in reversed(range(len(self.levels))):
            for block in cast(nn.ModuleList, self.levels[level]):
                x = block(x, knowledge)
            if level:
                x = self.reads[level - 1](normed[level - 1]) + self.ups[level - 1](doubled(x))
        return colours.float() + F.pixel_shuffle(self.last(F.relu(pixel_norm(x))), FOLD).float()


class AnyStyle(nn.Module):
    """Encoder and decoder as one network: pictures and a style to pictures painted in it; for export."""

    def __init__(self, encoder: StyleEncoder, decoder: StyleDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, image: Tensor, style: Tensor, strength: float | Tensor = 1.0) -> Tensor:
        """Return pictures (N, 3, H, W), not clipped, in the styles of others (N or 1, 3, h, w), both in [0, 1]."""
        maps = self.encoder(image)
        own, wanted = ([statistics(part) for part in parts] for parts in (maps, self.encoder(style)))
        return cropped(self.decoder(maps, own, toward(own, wanted, strength)), image)


class _Block(nn.Module):
    """A residual block: two convolutions, each with pixel norm, scaled and shifted by the style."""

    def __init__(self, width: int, knowledge: int) -> None:
        super().__init__()
        self.first, self.second = convolution(width, width), convolution(width, width)
        self.modulate = nn.Linear(knowledge, 4 * width)

    def forward(self, x: Tensor, knowledge: Tensor) -> Tensor:
        """Return maps of the same shape."""
        scale, shift, scale2, shift2 = self.modulate(knowledge)[:, :, None, None].to(x.dtype).chunk(4, dim=1)
        inner = F.relu(pixel_norm(self.first(x)) * (1 + scale) + shift)
        return x + pixel_norm(self.second(inner)) * (1 + scale2) + shift2


def pixel_norm(maps: Tensor) -> Tensor:
    """Return maps with channels of mean square 1 at every pixel (Karras et al., 2018, section 4.2)."""
    return maps * (maps.square().mean(1, keepdim=True, dtype=torch.float32) + EPSILON).rsqrt().to(maps.dtype)


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3 x 3 convolution with replicated edges as padding."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, padding_mode="replicate")


def doubled(maps: Tensor) -> Tensor:
    """Return maps (N, C, H, W) enlarged to (N, C, 2 H, 2 W) by repeating pixels."""
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")


def padded(image: Tensor) -> Tensor:
    """Return pictures (N, 3, H, W) padded to multiples of 8 by repeating the last row and column."""
    # Rounded up without negative numbers, because ONNX rounds their division differently.
    below, beside = ((side + STRIDE - 1) // STRIDE * STRIDE - side for side in image.shape[-2:])
    return F.pad(image, (0, beside, 0, below), mode="replicate")


def cropped(painted: Tensor, image: Tensor) -> Tensor:
    """Return a painting of a padded picture, cropped to the picture's size."""
    return painted[..., : image.shape[-2], : image.shape[-1]]
