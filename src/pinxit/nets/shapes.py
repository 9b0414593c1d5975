"""Parts that all families of networks share: the ladder of map sizes, views, initialisation and class inputs."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class PictureShape(NamedTuple):
    """The pictures a network is built for: square, `size` pixels a side, `channels` of 1, 3 or 4, `classes` or 0."""

    size: int
    channels: int
    classes: int = 0


class Reading(NamedTuple):
    """The output of a recognition network for N pictures: `features` (N, D), and `logits` (N, K) of its classes."""

    features: Tensor
    logits: Tensor


SMALLEST_MAP = 4


def size_ladder(size: int) -> list[int]:
    """Return the sides of the maps from small to large, each the rounded-up half of the next: 28 gives [4, 7, 14, 28].

    Halving stops before a side would fall below `SMALLEST_MAP`; any size from 16 up is possible.
    """
    sides = [size]
    while (half := (sides[0] + 1) // 2) >= SMALLEST_MAP:
        sides.insert(0, half)
    return sides


def widths(channels: int, levels: int) -> list[int]:
    """Return the channels of `levels` maps from small to large: `channels` at the largest, doubling, at most 8-fold."""
    return [channels * min(8, 2**level) for level in reversed(range(levels))]


def to_map(flat: Tensor, side: int) -> Tensor:
    """View (N, side*side*C) as a map (N, C, side, side) that is channels_last without a copy."""
    return flat.unflatten(1, (side, side, -1)).permute(0, 3, 1, 2)


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
