"""Gradient penalties: they keep the gradients of a discriminator or a generator small, or near one.

Penalties of a discriminator differ in where its gradient is taken and in which length is wanted:

| setting            | where                                | wanted length |
|--------------------|--------------------------------------|---------------|
| `r1`               | at real pictures                     | 0             |
| `r2`               | at fakes                             | 0             |
| `gradient_penalty` | `between` real pictures and fakes    | 1             |
| `dragan`           | `around` real pictures               | 1             |

A score may be of several pictures, stacked (packing): pictures (N, C, H, W) then have M scores, and N / M follow each
other in each. The gradient's length is that over all pictures of a score.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]


def squared_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """Return the mean over scores of ||d score / d picture||^2.

    At real pictures it is R1, at fakes R2 (Mescheder et al., 2018, eq. 9; their gamma / 2 is the caller's weight).
    `scores` must have been computed from `images` (N, C, H, W) that require a gradient.
    """
    return _squared_lengths(scores, images).mean()


def unit_gradient(score: Score, images: Tensor) -> Tensor:
    """Return the mean over scores of (||d score / d picture|| - 1)^2 at pictures (N, C, H, W).

    `between` real and fake it is WGAN-GP's penalty (Gulrajani et al., 2017, eq. 3), `around` real DRAGAN's.
    """
    images = images.detach().requires_grad_()
    return (_squared_lengths(score(images), images).add(1e-12).sqrt() - 1).square().mean()


def between(real: Tensor, fake: Tensor, position: Tensor) -> Tensor:
    """Return pictures at `position` (N, 1, 1, 1) between fake (0) and real (1)."""
    return position * real + (1 - position) * fake


def around(real: Tensor, noise: Tensor) -> Tensor:
    """Return real pictures with standard normal noise (N, C, H, W) times half their standard deviation.

    Kodali et al., 2017, section 2.3. Differs from it: the noise follows the contrast of each picture. In the authors'
    code it follows that of the batch. A constant would have to be chosen for each set of pictures.
    """
    return real + 0.5 * real.std((1, 2, 3), keepdim=True) * noise


def _squared_lengths(scores: Tensor, images: Tensor) -> Tensor:
    """Return ||d score / d its pictures||^2 of each score, (M,)."""
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.float().square().reshape(len(scores), -1).sum(1)


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
