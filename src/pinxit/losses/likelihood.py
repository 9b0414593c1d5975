"""Likelihoods: log p(picture | latent) in nats a picture, summed over pixels and channels, from a decoder's logits.

All three have the sigmoid of the logits as their mean, so a decoder is a generator whatever its likelihood. A row is a
function of the picture in [0, 1], the logits, both (N, C, H, W), and the logarithm of the noise, a number; it gives the
log-likelihood of every value. The table needs no torch to be read. A new likelihood is one row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pinxit.errors import DataError
from pinxit.losses.adversarial import softplus

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 256
"""Values a channel of an 8-bit picture can have."""


@dataclass(frozen=True)
class Likelihood:
    """`of_values` is log p of each value, of (image, logits, log_noise); `noisy` says that it reads the noise."""

    of_values: Callable[[Tensor, Tensor, Tensor], Tensor]
    noisy: bool = True


def gaussian(image: Tensor, logits: Tensor, log_noise: Tensor) -> Tensor:
    """Return log N(image; sigmoid(logits), noise^2), a density."""
    error = (image - logits.sigmoid()) / log_noise.exp()
    return -(error.square() + math.log(2 * math.pi)) / 2 - log_noise


def logistic(image: Tensor, logits: Tensor, log_noise: Tensor) -> Tensor:
    """Return the log-probability of each of 256 levels under a logistic distribution of scale `noise`.

    P(x) = S(above) - S(below), with S the sigmoid at the level's two edges; the lowest and the highest level take the
    tails. Written as S(above) S(-below) (1 - exp(below - above)), which needs no limit to keep its logarithm finite.
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
    # Rybkin et al., 2021 (sigma-VAE): one noise for all values, learned; or fixed, as in the plain squared error.
    "gaussian": Likelihood(gaussian),
    # Salimans et al., 2017, eq. 2, with one component instead of a mixture, and one scale for all values.
    "logistic": Likelihood(logistic),
}


def log_likelihood(name: str, image: Tensor, logits: Tensor, log_noise: Tensor) -> Tensor:
    """Return log p(image | logits) in nats, (N,), by a row of `LIKELIHOODS`, in float32.

    Raises `DataError` if a picture leaves [0, 1]: of pictures in 0..255 each formula would give a number, and nonsense.
    """
    low, high = (float(edge) for edge in image.aminmax())
    if not 0 <= low <= high <= 1:
        raise DataError(
            f"pictures must be in [0, 1] to have a likelihood, not {low:g} to {high:g}; divide by the highest"
        )
    return LIKELIHOODS[name].of_values(image, logits.float(), log_noise).flatten(1).sum(1)
