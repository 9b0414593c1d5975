"""Likelihoods: log p(picture | latent) in nats per picture, summed over pixels and channels, from a decoder's logits.

The mean of all three is the sigmoid of the logits, so a decoder is a generator whatever its likelihood. A row is a
function of the picture in [0, 1] and the logits, both (N, C, H, W), and of the logarithm of the noise, one number; it
returns the log-likelihood of every value. Reading the table imports no torch. A new likelihood is one row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pinxit.losses.adversarial import softplus

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 256
"""Values of a channel of an 8-bit picture."""


@dataclass(frozen=True)
class Likelihood:
    """`of_values(image, logits, log_noise)` is log p of each value; `noisy` says whether it depends on the noise."""

    of_values: Callable[[Tensor, Tensor, Tensor], Tensor]
    noisy: bool = True


def gaussian(image: Tensor, logits: Tensor, log_noise: Tensor) -> Tensor:
    """Return log N(image; sigmoid(logits), noise^2), a density."""
    error = (image - logits.sigmoid()) / log_noise.exp()
    return -(error.square() + math.log(2 * math.pi)) / 2 - log_noise


def logistic(image: Tensor, logits: Tensor, log_noise: Tensor) -> Tensor:
    """Return the log-probability of each of 256 levels under a logistic distribution of scale `noise`.

    P(x) = S(above) - S(below), with S the sigmoid at the level's two edges; the lowest and the highest level include
    the tails. The form S(above) S(-below) (1 - exp(below - above)) keeps the logarithm finite without clamping.
    """
    half = 0.5 / (LEVELS - 1)
    distance = image - logits.sigmoid()
    above, below = (distance + half) / log_noise.exp(), (distance - half) / log_noise.exp()
    within = (-(-2 * half / log_noise.exp()).expm1()).log()
    inside = within - softplus(-above) - softplus(below)
    return inside.where((image > half) & (image < 1 - half), (-softplus(-above)).where(image <= half, -softplus(below)))


LIKELIHOODS = {
    # Kingma and Welling, 2014, appendix C.1: every value is the probability of white.
    "bernoulli": Likelihood(lambda image, logits, _: image * logits - softplus(logits), noisy=False),
    # Rybkin et al., 2021 (sigma-VAE): one noise for all values, learned or fixed.
    "gaussian": Likelihood(gaussian),
    # Salimans et al., 2017, eq. 2, with one component instead of a mixture, and one scale for all values.
    "logistic": Likelihood(logistic),
}


def log_likelihood(name: str, image: Tensor, logits: Tensor, log_noise: Tensor) -> Tensor:
    """Return log p(image | logits) in nats, (N,), by a row of `LIKELIHOODS`, in float32; images are in [0, 1]."""
    return LIKELIHOODS[name].of_values(image, logits.float(), log_noise).flatten(1).sum(1)
