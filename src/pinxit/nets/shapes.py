"""Parts that all families of networks share: the ladder of map sizes, views, initialisation and class inputs."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pinxit.settings import Size, sides


class Planes(NamedTuple):
    """What the planes of a picture are: `channels` of colour, or one for each class of a label map.

    `colours` are those that classes are shown in, such as "#ff0000"; () for pictures. `deep` pictures have 16 bits.
    """

    channels: int
    colours: tuple[str, ...] = ()
    deep: bool = False

    @property
    def number(self) -> int:
        """How many planes there are."""
        return len(self.colours) or self.channels

    @property
    def shown(self) -> int:
        """Channels of a picture of these planes: label maps are shown in colour."""
        return 3 if self.colours else self.channels

    @property
    def palette(self) -> Tensor:
        """The colours of the classes, (K, 3) in [0, 1]."""
        return torch.tensor([list(bytes.fromhex(colour[1:])) for colour in self.colours]).float() / 255


class Target(NamedTuple):
    """What pictures are to become: planes of another kind, those of a pair of each if they are `paired`."""

    planes: Planes
    paired: bool


class PictureShape(NamedTuple):
    """The pictures a network is built for: `size` such as 64 or "96x64", `channels` of 1, 3 or 4, `classes` or 0.

    Label maps have a plane for each class, which is shown in one of `colours`. `target` is what pictures are to become,
    if that is another kind of picture.
    """

    size: Size
    channels: int
    classes: int = 0
    colours: tuple[str, ...] = ()
    target: Target | None = None

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return sides(self.size)

    @property
    def pixels(self) -> int:
        """The number of pixels of a picture."""
        return math.prod(self.sides)


class Reading(NamedTuple):
    """The output of a recognition network for N pictures: `features` (N, D), and `logits` (N, K) of its classes."""

    features: Tensor
    logits: Tensor


SMALLEST_MAP = 4


Sides = tuple[int, int]
"""Height and width of a map."""


def size_ladder(shape: PictureShape) -> list[Sides]:
    """Return the sizes of maps from small to large, each the rounded-up half of the next: 28 gives 4, 7, 14 and 28.

    Halving stops before the shorter side would fall below `SMALLEST_MAP`; any size from 16 up is possible.
    """
    maps = [shape.sides]
    while min(half := halved(maps[0])) >= SMALLEST_MAP:
        maps.insert(0, half)
    return maps


def halved(size: Sides) -> Sides:
    """Return the size of a map of half the sides, rounded up."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def odd(size: Sides) -> Sides:
    """Return 1 for each side that is odd, else 0: the padding that a convolution of stride 2 needs there."""
    return size[0] % 2, size[1] % 2


def padding(size: Sides) -> Sides:
    """Return the padding by which a 4 x 4 convolution of stride 2 halves a map of this size, rounded up."""
    return 1 + size[0] % 2, 1 + size[1] % 2


def widths(channels: int, levels: int) -> list[int]:
    """Return the channels of `levels` maps from small to large: `channels` at the largest, doubling, at most 8-fold."""
    return [channels * min(8, 2**level) for level in reversed(range(levels))]


def to_map(flat: Tensor, size: Sides) -> Tensor:
    """View (N, H*W*C) as a map (N, C, H, W) of `size` = (H, W) that is channels_last without a copy."""
    return flat.unflatten(1, (*size, -1)).permute(0, 3, 1, 2)


def to_flat(image_map: Tensor) -> Tensor:
    """View a channels_last map (N, C, H, W) as (N, H*W*C) without a copy."""
    return image_map.permute(0, 2, 3, 1).flatten(1)


def over_black(images: Tensor) -> Tensor:
    """Return pictures (N, 1, 3 or 4, H, W) without alpha, laid over black where they have it."""
    return images[:, :3] * images[:, 3:] if images.shape[1] == 4 else images


def keep_variance(module: nn.Module) -> None:
    """Initialise a layer so that ReLU layers keep the variance of their input (He et al., 2015), biases as zero."""
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        return
    if isinstance(module, nn.ConvTranspose2d):  # a pixel gathers every stride-th weight of the kernel
        gathered = module.weight[:, 0].numel() / math.prod(module.stride)
        nn.init.normal_(module.weight, 0.0, math.sqrt(2 / gathered))
    else:
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    if module.bias is not None:
        nn.init.zeros_(module.bias)


class ClassScore(nn.Module):
    """A discriminator's last layer: a score per picture, plus the inner product with a class embedding if conditional.

    score(h, y) = w.h + b + e_y.h: the projection discriminator (Miyato and Koyama, 2018, eq. 4).
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.score = nn.Linear(features, 1)
        self.embedding = nn.Embedding(classes, features) if classes else None
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight)

    def forward(self, features: Tensor, label: Tensor | None) -> Tensor:
        """Return scores (N,) of features (N, F)."""
        score = self.score(features).squeeze(1)
        if self.embedding is None:
            return score
        return score + (self.embedding(label) * features).sum(1)


class LabelledLatent(nn.Module):
    """A generator's input: the latent vector, concatenated with the embedding of its class if conditional."""

    def __init__(self, latent: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, latent) if classes else None
        self.features = latent * (2 if classes else 1)

    def forward(self, latent: Tensor, label: Tensor | None) -> Tensor:
        """Return (N, features) from latents (N, latent) and labels (N,)."""
        if self.embedding is None:
            return latent
        return torch.cat([latent, self.embedding(label)], dim=1)
