"""Gradient penalties: they keep the gradients of a discriminator or a generator small, or near one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]


def squared_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """Return the mean over pictures of ||d score / d picture||^2.

    At real pictures it is R1, at fakes R2 (Mescheder et al., 2018, eq. 9; their gamma / 2 is the caller's weight).
    `scores` (N,) must have been computed from `images` (N, C, H, W) that require a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.float().square().flatten(1).sum(1).mean()


def gradient_penalty(score: Score, real: Tensor, fake: Tensor, position: Tensor) -> Tensor:
    """Return the mean of (||d score / d picture|| - 1)^2 between real and fake (Gulrajani et al., 2017, eq. 3).

    `position` (N, 1, 1, 1) in [0, 1] is where each picture is interpolated between fake (0) and real (1).
    """
    between = (position * real + (1 - position) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    norm = gradient.float().square().flatten(1).sum(1).add(1e-12).sqrt()
    return (norm - 1).square().mean()


def latent_gradient(fake: Tensor, latent: Tensor, direction: Tensor) -> Tensor:
    """Return the mean over pictures of ||J^T y||^2 / pixels, where J = d picture / d latent and y ~ N(0, I).

    E||J^T y||^2 is ||J||_F^2, so one random direction (N, C, H, W) estimates the squared Frobenius norm of the
    generator's Jacobian per pixel. StyleGAN2's path length uses the same product (Karras et al., 2020, eq. 4).
    """
    (gradient,) = torch.autograd.grad((fake * direction).sum(), latent, create_graph=True)
    return gradient.float().square().sum(1).mean() / fake[0].numel()


def path_lengths(fake: Tensor, style: Tensor, direction: Tensor) -> Tensor:
    """Return ||J^T y|| of each picture, (N,), where J = d picture / d style and y ~ N(0, I) / sqrt(pixels).

    Karras et al., 2020, eq. 4. `fake` (N, C, H, W) must have been computed from `style` (N, S); `direction` is N(0, I).
    """
    (gradient,) = torch.autograd.grad((fake * direction).sum(), style, create_graph=True)
    return (gradient.float().square().sum(1) / fake[0, 0].numel() + 1e-12).sqrt()
