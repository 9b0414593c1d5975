"""Residual generator and discriminator (Gulrajani et al., 2017, appendix F; Miyato et al., 2018, table 4).

Differs from them: any sides from 16; pictures in [0, 1]; the width doubles towards the small maps, at most
8-fold; the discriminator has no normalisation, so that gradient penalties keep their meaning; `skip=False` removes the
skip connections and nothing else, to measure their effect. An autoencoder's encoder and decoder are the same blocks
without batch normalisation; they start `calm`, and the last map is normalised over each picture (Wu and He, 2018).
Otherwise Adam's first steps would drive the logits so far that the gradient vanishes.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.attention import looks
from pinxit.nets.crowd import CROWD
from pinxit.nets.shapes import (
    ClassScore,
    LabelledLatent,
    PictureShape,
    Sides,
    keep_variance,
    size_ladder,
    to_flat,
    to_map,
    widths,
)


class Decoder(nn.Module):
    """Latents (N, latent) to logits (N, C, H, W), unbounded; `channels` is the width at the picture's side.

    Maps of the shorter side `attention` attend to themselves.
    """

    def __init__(
        self,
        shape: PictureShape,
        latent: int,
        channels: int,
        skip: bool = True,
        batch_norm: bool = True,
        attention: int = 0,
    ) -> None:
        super().__init__()
        self.maps = size_ladder(shape)
        width = widths(channels, len(self.maps))
        self.latent = LabelledLatent(latent, shape.classes)
        self.project = nn.Linear(self.latent.features, width[0] * math.prod(self.maps[0]))
        self.ups = nn.ModuleList(UpBlock(a, b, skip, batch_norm) for a, b in pairwise(width))
        self.looks = looks(width[1:-1], self.maps[1:-1], attention)
        self.norm = nn.BatchNorm2d(width[-1]) if batch_norm else nn.GroupNorm(1, width[-1])
        self.picture = nn.Conv2d(width[-1], shape.channels, 3, padding=1)
        self.apply(keep_variance)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return logits (N, C, H, W)."""
        x = to_map(self.project(self.latent(latent, label)), self.maps[0])
        x = self.ups[0](x, self.maps[1])
        for up, size, look in zip(self.ups[1:], self.maps[2:], self.looks, strict=True):
            x = up(look(x), size)
        return self.picture(F.relu(self.norm(x)))


class Generator(Decoder):
    """Latents (N, latent) to pictures (N, C, H, W) in [0, 1]."""

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1]."""
        return super().forward(latent, label).sigmoid()


class Encoder(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to (N, features); `channels` is the width at the picture's side.

    Maps of the shorter side `attention` attend to themselves. The last block also sees the `crowd`, a name of `CROWD`.
    """

    def __init__(
        self, shape: PictureShape, channels: int, skip: bool = True, attention: int = 0, crowd: str = "none"
    ) -> None:
        super().__init__()
        maps = size_ladder(shape)
        width = [*reversed(widths(channels, len(maps)))]
        self.picture = nn.Conv2d(shape.channels, width[0], 3, padding=1)
        self.crowd = CROWD[crowd](width[-2])
        inputs = [*width[:-2], width[-2] + self.crowd.added]
        self.downs = nn.ModuleList(self.block(a, b, skip) for a, b in zip(inputs, width[1:], strict=True))
        self.looks = looks(width[1:-1], maps[-2:0:-1], attention)
        self.channels, self.features = width[-1], width[-1] * math.prod(maps[0])
        self.apply(keep_variance)

    @staticmethod
    def block(inputs: int, outputs: int, skip: bool) -> DownBlock:
        """Return one of the blocks that halve a map."""
        return DownBlock(inputs, outputs, skip)

    def smallest_map(self, image: Tensor) -> Tensor:
        """Return the smallest map (N, channels, h, w)."""
        x = self.picture(2 * image - 1)
        for down, look in zip(self.downs[:-1], self.looks, strict=True):
            x = look(down(x))
        return F.leaky_relu(self.downs[-1](self.crowd(x)), 0.2)

    def forward(self, image: Tensor) -> Tensor:
        """Return the smallest map, flattened, (N, features); unlike its mean, it keeps positions."""
        return to_flat(self.smallest_map(image))


class Discriminator(Encoder):
    """Pictures (N, C, H, W) in [0, 1] to scores (N,): the encoder, and a score of its smallest map's mean."""

    def __init__(
        self, shape: PictureShape, channels: int, skip: bool = True, attention: int = 0, crowd: str = "none"
    ) -> None:
        super().__init__(shape, channels, skip, attention, crowd)
        self.score = ClassScore(self.channels, shape.classes)
        self.score.apply(keep_variance)

    def last_features(self, image: Tensor) -> Tensor:
        """Return the features (N, F) that the score is computed from."""
        return self.smallest_map(image).mean((2, 3))

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return scores (N,), positive for 'real'."""
        return self.score(self.last_features(image), label)


class UpBlock(nn.Module):
    """Norm, ReLU, enlarge to about twice the side, convolve; norm, ReLU, convolve; plus the enlarged input."""

    def __init__(self, inputs: int, outputs: int, skip: bool, batch_norm: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.BatchNorm2d(c) if batch_norm else nn.Identity() for c in (inputs, outputs))
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not batch_norm)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if skip else None

    def forward(self, x: Tensor, size: Sides) -> Tensor:
        """Return (N, outputs, H, W), `size` = (H, W), of (N, inputs, H / 2, W / 2), rounded up."""
        y = self.conv1(F.interpolate(F.relu(self.norm1(x)), size=size))
        y = self.conv2(F.relu(self.norm2(y)))
        return y if self.skip is None else y + F.interpolate(self.skip(x), size=size)


class DownBlock(nn.Module):
    """Leaky ReLU, convolve, leaky ReLU, convolve, halve the side; plus the halved input."""

    def __init__(self, inputs: int, outputs: int, skip: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H / 2, W / 2), rounded up, of (N, inputs, H, W)."""
        y = halve(self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2)))
        return y if self.skip is None else y + self.skip(halve(x))


def calm(module: nn.Module) -> None:
    """Let a block start close to its skip connection, so that activations stay bounded without normalisation.

    Zhang et al., 2019 (Fixup), section 3, with a tenth of the branch's last layer instead of zero.
    """
    if isinstance(module, UpBlock | DownBlock) and module.skip is not None:
        with torch.no_grad():
            module.conv2.weight.mul_(0.1)
            module.skip.weight.mul_(0.5**0.5)


def halve(x: Tensor) -> Tensor:
    """Return the means of 2 x 2 pixels; an odd last row or column is averaged alone."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
