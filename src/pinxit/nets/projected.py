"""The projected discriminator (Sauer et al., 2021): small heads that read the maps of a frozen network.

The network, EfficientNet-Lite0, knows photographs already, so the heads need few pictures and steps to tell real from
generated ones. Its maps at a fourth, an eighth, a sixteenth and a thirty-second of the picture's sides are mixed by
random convolutions that are never trained: across channels, and from coarse to fine across scales. Otherwise heads
would look at a part of the features only. Each map has a head, which scores every place of it.

`Aided` has such heads beside a discriminator that learns from nothing (vision-aided GANs: Kumari et al., 2022). The
heads know things; the other sees every pixel and colour, which the frozen network may overlook.

Differs from Sauer et al.: mixed maps have the same width at all scales, and mixing across scales is one convolution on
the sum. Pictures with a shorter side below `LEAST_SIDE` are enlarged to it. Those with alpha are read twice, over black
and over white.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.pretrained import lite0_network
from pinxit.nets.shapes import ClassScore, PictureShape, Sides, halved, keep_variance, over_black, to_flat

if TYPE_CHECKING:
    from pinxit.nets import dcgan, dense, residual

    Own = dcgan.Discriminator | dense.Discriminator | residual.Discriminator

STAGES, STRIDES, WIDTHS = (3, 5, 11, 16), (4, 8, 16, 32), (24, 40, 112, 320)
"""Of the maps of `EfficientNetLite0.stages`: which are read, the pixels of a side of a place, and their widths."""

LEAST_SIDE, SCORED_SIDE = 64, 8
"""The least shorter side in pixels of what the frozen network sees, and the most of a map that a head scores."""

WIDTH = 64
"""Channels of the mixed maps and of the heads."""


class Discriminator(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to scores (N,)."""

    def __init__(self, shape: PictureShape) -> None:
        super().__init__()
        high, wide = shape.sides
        enlarged = max(1.0, LEAST_SIDE / min(high, wide))
        self.sides = round(high * enlarged), round(wide * enlarged)
        views = 2 if shape.channels == 4 else 1
        for number, width in enumerate(WIDTHS):
            self.register_buffer(f"mix{number}", _random(WIDTH, views * width, 1))
        for number in range(len(WIDTHS) - 1):
            self.register_buffer(f"fuse{number}", _random(WIDTH, WIDTH, 3))
        heads = [_Head((-(-self.sides[0] // stride), -(-self.sides[1] // stride))) for stride in STRIDES]
        self.heads = nn.ModuleList(heads)
        self.score = _Scores([head.places for head in heads], shape.classes)

    def last_features(self, image: Tensor) -> Tensor:
        """Return the last map of every head, place by place, (N, features)."""
        return torch.cat([head(seen) for head, seen in zip(self.heads, self.mixed(image), strict=True)], dim=1)

    def mixed(self, image: Tensor) -> list[Tensor]:
        """Return the mixed maps (N, WIDTH, h, w), fine to coarse."""
        maps = [F.conv2d(seen, self.get_buffer(f"mix{number}")) for number, seen in enumerate(self._read(image))]
        for number in reversed(range(len(maps) - 1)):
            size = maps[number].shape[-2:]
            coarse = F.interpolate(maps[number + 1], size, mode="bilinear", align_corners=False)
            maps[number] = F.conv2d(maps[number] + coarse, self.get_buffer(f"fuse{number}"), padding=1)
        return maps

    def _read(self, image: Tensor) -> list[Tensor]:
        """Return the frozen network's maps of pictures; of both views of those with alpha, side by side on channels."""
        views = [over_black(image).expand(-1, 3, -1, -1)]
        if image.shape[1] == 4:
            views.append(views[0] + 1 - image[:, 3:])
        seen = torch.cat(views)
        if seen.shape[-2:] != self.sides:
            seen = F.interpolate(seen, self.sides, mode="bilinear", align_corners=False)
        stages = lite0_network(image.device).stages(seen)
        return [torch.cat(stages[stage].split(len(image)), dim=1) for stage in STAGES]

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return scores (N,), the mean over places, positive for 'real'."""
        return self.score(self.last_features(image), label).unflatten(0, (len(image), -1)).mean(1)


class Aided(nn.Module):
    """A discriminator of its own and a projected one, whose scores count as much; pictures (N, C, H, W) in [0, 1]."""

    def __init__(self, own: Own, shape: PictureShape) -> None:
        super().__init__()
        self.own, self.projected = own, Discriminator(shape)
        self.score = _Both(own.score, self.projected.score)

    def last_features(self, image: Tensor) -> Tensor:
        """Return the features of both, (N, features)."""
        return torch.cat([self.own.last_features(image), self.projected.last_features(image)], dim=1)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return scores (N,), the mean of both, positive for 'real'."""
        return self.score(self.last_features(image), label).unflatten(0, (len(image), -1)).mean(1)


@dataclass(frozen=True)
class _Both:
    """The scores of two discriminators, whose layers they stay."""

    own: ClassScore
    projected: _Scores

    @property
    def features(self) -> int:
        """The number of features of a picture."""
        return self.own.features + self.projected.features

    def __call__(self, features: Tensor, label: Tensor | None) -> Tensor:
        """Return scores (N * 2 * places,), those of a picture side by side; its own is repeated for every place."""
        own, projected = features.split([self.own.features, self.projected.features], dim=1)
        places = self.projected(projected, label).unflatten(0, (len(features), -1))
        whole = self.own(own, label)[:, None].expand_as(places)
        return torch.cat([whole, places], dim=1).flatten()


class _Head(nn.Module):
    """A map to one of at most `SCORED_SIDE` places on its shorter side, flattened place by place."""

    def __init__(self, size: Sides) -> None:
        super().__init__()
        steps = []
        while min(size) > SCORED_SIDE:
            steps.append(2)
            size = halved(size)
        layers = [
            layer
            for step in (*steps, 1)
            for layer in (nn.Conv2d(WIDTH, WIDTH, 3, step, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.LeakyReLU(0.2))
        ]
        self.layers, self.places = nn.Sequential(*layers), math.prod(size)
        self.apply(keep_variance)

    def forward(self, seen: Tensor) -> Tensor:
        """Return (N, places * WIDTH) of a map (N, WIDTH, h, w)."""
        return to_flat(self.layers(seen))


class _Scores(nn.Module):
    """The last layer of every head: features (N, places * WIDTH) to scores (N * places,), by classes if any."""

    def __init__(self, places: list[int], classes: int) -> None:
        super().__init__()
        self.places, self.features = places, sum(places) * WIDTH
        self.layers = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in places)
        self.embedding = nn.Embedding(classes, WIDTH) if classes else None
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight)

    def forward(self, features: Tensor, label: Tensor | None) -> Tensor:
        """Return scores (N * places,), those of a picture side by side."""
        seen = features.unflatten(1, (-1, WIDTH))
        parts = zip(self.layers, seen.split(self.places, dim=1), strict=True)
        scores = torch.cat([layer(part) for layer, part in parts], dim=1).squeeze(2)
        if self.embedding is not None:
            scores = scores + (self.embedding(label)[:, None] * seen).sum(2)
        return scores.flatten()


def _random(outputs: int, inputs: int, side: int) -> Tensor:
    """Return the weights of a random convolution that keeps the variance of its input."""
    weight = torch.empty(outputs, inputs, side, side)
    return nn.init.kaiming_normal_(weight, nonlinearity="linear")
