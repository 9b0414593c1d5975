"""Truncation of styles (Karras et al., 2019, appendix B): each picture is nearer to the mean one.

A style w becomes mean + share (w - mean). The mean is that of `POOL` latents of fixed seeds, for each class by itself.
Differs from the paper: all layers get the truncated style, not those of small maps alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import torch
from torch import Tensor

from pinxit.nets import style
from pinxit.objectives.gan import GAN
from pinxit.objectives.objective import Objective

POOL = 4096
"""Latents whose mean style is taken."""


def by_styles(objective: Objective) -> bool:
    """Say whether an objective makes pictures from styles."""
    return isinstance(objective, GAN) and isinstance(objective.networks["generator"], style.Generator)


def truncated(gan: GAN, latents: Callable[[Sequence[int]], Tensor], share: float) -> Callable[..., Tensor]:
    """Return what makes pictures of latents (N, latent) and labels (N,) with this share of their styles' differences.

    `latents` gives the latents of seeds.
    """
    generator, pool = cast(style.Generator, gan.networks["generator"]), latents(range(POOL))

    def styles(latent: Tensor, label: Tensor | None) -> Tensor:
        return generator.styles(gan.code.given(latent), label)

    @cache
    def mean(label: int | None) -> Tensor:
        return styles(pool, None if label is None else torch.full((POOL,), label)).mean(0)

    def pictures(latent: Tensor, label: Tensor | None = None) -> Tensor:
        kinds = [None] * len(latent) if label is None else label.tolist()
        means = torch.stack([mean(kind) for kind in kinds])
        return generator.pictures_of(means.lerp(styles(latent, label), share)).float().clamp(0, 1)

    return pictures
