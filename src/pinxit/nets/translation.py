"""Networks that translate pictures: generators from planes to planes, and a discriminator of patches.

A generator is a ladder of maps that halve, with residual blocks at the bottom. With skip connections it is the U-Net of
Isola et al. (2017, pix2pix), without them the residual network of Johnson et al. (2016) as in CycleGAN (Zhu et al.,
2017). `GENERATORS` has both. Four things differ from the published networks:

- The 2 x 2 pixels of a picture become channels first, and halving and doubling do the same, so only one small layer
  works at full size.
- Maps are normalised at each pixel over their channels ("pixel"), not over the whole picture ("instance"). A generator
  therefore sees `radius` pixels to each side, and tiles of a picture give what the whole picture gives.
- Any size works: pictures are continued by reflection to whole cells, and cut again.
- Variety is not dropout of single values but of whole channels of the lowest map (`kept`). So a draw is one short
  vector, which means the same at every place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets import spectral
from pinxit.nets.restoration import mirrored
from pinxit.nets.shapes import keep_variance

Norm = Literal["pixel", "instance", "none"]
PatchNorm = Literal["instance", "spectral", "none"]
FOLD = 2
FINE = 8
"""Channels of the last map, at full size."""


class Ladder(NamedTuple):
    """A generator's form: how many sizes of maps, residual blocks at the smallest, and whether maps skip across."""

    levels: int
    blocks: int
    skips: bool


GENERATORS: dict[str, Ladder] = {
    # Ronneberger et al., 2015, as in pix2pix: keeps edges in place, sees far.
    "unet": Ladder(levels=5, blocks=1, skips=True),
    # Johnson et al., 2016, as in CycleGAN: may move edges, sees near.
    "residual": Ladder(levels=2, blocks=6, skips=False),
}


class PixelNorm(nn.LayerNorm):
    """Normalises a map (N, C, H, W) at each pixel over its channels (Ba et al., 2016), with a learned scale."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class InstanceNorm(nn.Module):
    """Normalises each channel of a map (N, C, H, W) over its picture (Ulyanov et al., 2016), with a learned scale.

    A group normalisation of single channels is the same; in bf16 on a processor it takes five times as long.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return torch.instance_norm(x, self.weight, self.bias, None, None, True, 0.0, 1e-5, False)


NORMS: dict[str, type[PixelNorm] | type[InstanceNorm] | type[nn.Identity]] = {
    "pixel": PixelNorm, "instance": InstanceNorm, "none": nn.Identity, "spectral": nn.Identity
}  # fmt: skip


class Convolution(nn.Sequential):
    """A 3 x 3 convolution, a normalisation and a ReLU."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, padding=1), NORMS[norm](outputs), nn.ReLU())


class Block(nn.Module):
    """Two 3 x 3 convolutions with normalisations, and a ReLU between them; plus the input."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.first = Convolution(channels, channels, norm)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), NORMS[norm](channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return x + self.second(self.first(x))


class Generator(nn.Module):
    """Planes (N, inputs, H, W) in [0, 1] to planes (N, outputs, H, W) in [0, 1], for any H, W >= 1.

    `width` is the number of channels of the largest map; it doubles with each halving, at most 8-fold. With `labels`
    the planes of the output are probabilities of classes, which sum to one at each pixel.
    """

    def __init__(self, inputs: int, outputs: int, ladder: Ladder, width: int, norm: Norm, labels: bool = False) -> None:
        super().__init__()
        self.labels, self.stride = labels, 2**ladder.levels
        self.widths = [width * min(8, 2**level) for level in range(ladder.levels)]
        self.inputs = nn.ModuleList([Convolution(FOLD**2 * inputs, width, norm)])
        self.inputs.extend(Convolution(wide, wide, norm) for wide in self.widths[1:-1])
        self.downs = nn.ModuleList(nn.Conv2d(4 * a, b, 1) for a, b in pairwise(self.widths))
        self.bottom = nn.ModuleList(Block(self.widths[-1], norm) for _ in range(ladder.blocks))
        self.ups = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(self.widths))
        beside = 2 if ladder.skips else 1
        self.outputs = nn.ModuleList(Convolution(beside * wide, wide, norm) for wide in self.widths[:-1])
        self.fine = nn.Conv2d(width, FINE * FOLD**2, 3, padding=1)
        self.last = nn.Conv2d(FINE, outputs, 3, padding=1)
        self.skips = ladder.skips
        self.apply(keep_variance)
        with torch.no_grad():
            self.last.weight *= 0.1  # a sigmoid learns slowly far from its middle
        self.radius = None if norm == "instance" else self._radius(ladder)

    @property
    def lowest(self) -> int:
        """How many channels the lowest map has, which `kept` chooses among."""
        return self.widths[-1]

    def forward(self, image: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the translated planes, float32.

        `kept` (N, lowest) multiplies the channels of the lowest map; None keeps all as they are.
        """
        high, wide = image.shape[-2:]
        return self.decoded(self.encoded(image), kept)[..., :high, :wide]

    def decoded(self, maps: Sequence[Tensor], kept: Tensor | None = None) -> Tensor:
        """Return the planes of the maps of `encoded`, float32, of whole cells."""
        x, beside = maps[-1], [*maps[: len(self.downs)]]
        if kept is not None:
            x = x * kept[:, :, None, None]
        for up, output in zip(reversed(self.ups), reversed(self.outputs), strict=True):
            x = F.pixel_shuffle(up(x), 2)
            x = output(torch.cat([x, beside.pop()], dim=1) if self.skips else x)
        x = self.last(F.relu(F.pixel_shuffle(self.fine(x), FOLD))).float()
        return x.softmax(1) if self.labels else x.sigmoid()

    def encoded(self, image: Tensor) -> list[Tensor]:
        """Return the maps on the way down, one of each size, and below them one after each residual block."""
        padded = mirrored(mirrored(image, -image.shape[-2] % self.stride, -2), -image.shape[-1] % self.stride, -1)
        maps = [F.pixel_unshuffle(2 * padded - 1, FOLD)]
        for layer, down in zip(self.inputs, self.downs, strict=True):
            maps[-1] = layer(maps[-1])
            maps.append(down(F.pixel_unshuffle(maps[-1], 2)))
        for block in self.bottom:
            maps.append(block(maps[-1]))
        return maps

    @property
    def seen(self) -> list[int]:
        """The channels of the maps of `encoded`."""
        return self.widths + [self.widths[-1]] * len(self.bottom)

    def _radius(self, ladder: Ladder) -> int:
        """Return the receptive field to each side in pixels, along the path through the lowest level.

        A 3 x 3 convolution adds one pixel of its map to each side; a map's pixel covers a square of pixels and may lie
        at its edge.
        """
        *sides, last = (FOLD * 2**level for level in range(ladder.levels))
        return 2 * sum(sides) + 2 * ladder.blocks * last + FOLD + 1 + last - 1


class PatchDiscriminator(nn.Module):
    """Planes (N, inputs, H, W) in [0, 1] to a map of scores, one of each patch (Isola et al., 2017, section 3.2.2).

    Each of `halvings` convolutions of 4 x 4 pixels halves the map; two more follow. So patches are 16, 34 or 70 pixels
    wide with 1, 2 or 3. As in the paper, the first and the last layer are not normalised.
    """

    def __init__(self, inputs: int, width: int, halvings: int, norm: PatchNorm) -> None:
        super().__init__()
        widths = [width * min(8, 2**level) for level in range(halvings + 1)]
        self.layers = nn.ModuleList([nn.Conv2d(inputs, widths[0], 4, stride=2, padding=1)])
        for level, (a, b) in enumerate(pairwise(widths), start=1):
            halving = nn.Conv2d(a, b, 4, stride=2 if level < halvings else 1, padding=1)
            self.layers.append(nn.Sequential(halving, NORMS[norm](b)))
        self.last = nn.Conv2d(widths[-1], 1, 4, padding=1)
        self.apply(keep_variance)
        if norm == "spectral":
            spectral.normalise(self)

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return the map after each layer; the last has the scores, (N, 1, h, w) float32, positive for 'real'."""
        x, maps = 2 * image - 1, []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            maps.append(x)
        return [*maps, self.last(x).float()]

    def forward(self, image: Tensor) -> Tensor:
        """Return the scores (N, 1, h, w)."""
        return self.maps(image)[-1]


class Heads(nn.Module):
    """Vectors at places of a generator's maps to unit vectors that are compared (Park et al., 2020, section 3).

    There is a network of two layers for each of the maps, which have these `channels`.
    """

    def __init__(self, channels: Sequence[int], length: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, length), nn.ReLU(), nn.Linear(length, length)) for count in channels
        )
        self.apply(keep_variance)

    def forward(self, maps: Sequence[Tensor], places: Tensor) -> list[Tensor]:
        """Return unit vectors (N, P, length) of each of the maps, at `places` (N, P, 2) in [0, 1)."""
        return [
            F.normalize(head(at_places(part, places)).float(), dim=2)
            for head, part in zip(self.heads, maps, strict=True)
        ]


def at_places(maps: Tensor, places: Tensor) -> Tensor:
    """Return the vectors (N, P, C) of maps (N, C, H, W) at `places` (N, P, 2): down and across, in [0, 1)."""
    high, wide = maps.shape[-2:]
    number = (places[..., 0] * high).long() * wide + (places[..., 1] * wide).long()
    flat = maps.permute(0, 2, 3, 1).flatten(1, 2)
    return flat.gather(1, number[..., None].expand(-1, -1, maps.shape[1]))
