"""DCGAN (Radford, Metz and Chintala, 2016): strided convolutions, batch normalisation, ReLU and leaky ReLU.

Differs from the paper: any sides from 16 (each map has half the sides of the next, rounded up; 64 gives the
paper's four levels; an odd side needs one more pixel of padding). Pictures are in [0, 1] instead of [-1, 1]. The first
and last layers are linear on a channels_last view, which is the paper's convolution over the whole smallest map. The
discriminator can go without batch normalisation, as gradient penalties need; its weights then start as in He et al.
(2015), because the signal would vanish with small ones. Classes enter by embedding and projection (Miyato and Koyama,
2018). The decoder can enlarge before it convolves (Odena et al., 2016). An autoencoder's encoder and decoder are the
same layers, without normalisation.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.attention import looks
from pinxit.nets.crowd import CROWD
from pinxit.nets.enlarging import ENLARGE
from pinxit.nets.shapes import (
    ClassScore,
    LabelledLatent,
    PictureShape,
    keep_variance,
    padding,
    size_ladder,
    to_flat,
    to_map,
    widths,
)


class Decoder(nn.Module):
    """Latents (N, latent) to logits (N, C, H, W), unbounded; `channels` is the width at half the side.

    `enlarge` is a name of `ENLARGE`; maps of the shorter side `attention` attend to themselves.
    """

    def __init__(
        self,
        shape: PictureShape,
        latent: int,
        channels: int,
        batch_norm: bool = True,
        enlarge: str = "strided",
        attention: int = 0,
    ) -> None:
        super().__init__()
        enlarging = ENLARGE[enlarge]
        self.maps = size_ladder(shape)
        width = widths(channels, len(self.maps) - 1)
        self.latent = LabelledLatent(latent, shape.classes)
        self.project = nn.Linear(self.latent.features, width[0] * math.prod(self.maps[0]), bias=not batch_norm)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) if batch_norm else nn.Identity() for c in width)
        self.ups = nn.ModuleList(
            enlarging(a, b, size, not batch_norm) for (a, b), size in zip(pairwise(width), self.maps[1:], strict=False)
        )
        self.looks = looks(width[1:], self.maps[1:-1], attention)
        self.picture = enlarging(width[-1], shape.channels, shape.sides, True)
        self.apply(initialise if batch_norm else keep_variance)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return logits (N, C, H, W)."""
        x = F.relu(self.norms[0](to_map(self.project(self.latent(latent, label)), self.maps[0])))
        for up, norm, look in zip(self.ups, self.norms[1:], self.looks, strict=True):
            x = look(F.relu(norm(up(x))))
        return self.picture(x)


class Generator(Decoder):
    """Latents (N, latent) to pictures (N, C, H, W) in [0, 1]."""

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1]."""
        return super().forward(latent, label).sigmoid()


class Encoder(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to (N, features); `channels` is the width at half the picture's side.

    Maps of the shorter side `attention` attend to themselves. The last layer also sees the `crowd`, a name of `CROWD`.
    """

    def __init__(
        self, shape: PictureShape, channels: int, batch_norm: bool = False, attention: int = 0, crowd: str = "none"
    ) -> None:
        super().__init__()
        smallest, *larger = size_ladder(shape)
        width = [shape.channels, *reversed(widths(channels, len(larger)))]
        self.crowd = CROWD[crowd](width[-2])
        inputs = [*width[:-2], width[-2] + self.crowd.added]
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, padding(size), bias=not batch_norm or a == shape.channels)
            for a, b, size in zip(inputs, width[1:], reversed(larger), strict=True)
        )
        self.looks = looks(width[1:-1], larger[-2::-1], attention)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) if batch_norm else nn.Identity() for c in width[2:])
        self.features = width[-1] * math.prod(smallest)
        self.apply(initialise if batch_norm else keep_variance)

    def forward(self, image: Tensor) -> Tensor:
        """Return the smallest map, flattened, (N, features)."""
        x = self.looks[0](F.leaky_relu(self.downs[0](2 * image - 1), 0.2))
        for down, norm, look in zip(self.downs[1:-1], self.norms[:-1], self.looks[1:], strict=True):
            x = look(F.leaky_relu(norm(down(x)), 0.2))
        return to_flat(F.leaky_relu(self.norms[-1](self.downs[-1](self.crowd(x))), 0.2))


class Discriminator(Encoder):
    """Pictures (N, C, H, W) in [0, 1] to scores (N,): the encoder and a linear score of its features."""

    def __init__(
        self, shape: PictureShape, channels: int, batch_norm: bool = True, attention: int = 0, crowd: str = "none"
    ) -> None:
        super().__init__(shape, channels, batch_norm, attention, crowd)
        self.score = ClassScore(self.features, shape.classes)
        self.score.apply(initialise if batch_norm else keep_variance)

    def last_features(self, image: Tensor) -> Tensor:
        """Return the features (N, F) that the score is computed from."""
        return super().forward(image)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return scores (N,), positive for 'real'."""
        return self.score(self.last_features(image), label)


def initialise(module: nn.Module) -> None:
    """Sample a layer's weights from N(0, 0.02^2), a batch norm's scale from N(1, 0.02^2): the paper's section 4."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
