"""Penalties on the codes of an autoencoder, in nats per picture, and the divergences they are made of.

Codes are (N, D). A new penalty is one row of `PENALTIES`; reading the table imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pinxit.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """What a penalty is a function of.

    `mean` and `log_variance` of the posteriors (-inf for a point), one sample `latent` of each, and as many samples of
    `prior`; all (N, D). `kl` is the mean divergence of posterior from prior, one number, not finite for points.
    """

    mean: Tensor
    log_variance: Tensor
    latent: Tensor
    prior: Tensor
    kl: Tensor


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) of every dimension, (N, D), (Kingma and Welling, 2014, appendix B)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def free_bits(kl: Tensor, nats: float) -> Tensor:
    """Return the sum over dimensions of the batch's mean KL (N, D), each counted as at least `nats`.

    Kingma et al., 2016, eq. 15, with every dimension a group of its own.
    """
    return kl.mean(0).clamp(min=nats).sum()


def log_normal(latent: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return log N(latent; mean, variance) of every dimension."""
    return -((latent - mean).square() / log_variance.exp() + log_variance + math.log(2 * math.pi)) / 2


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """Return the logarithm of the mean weight over dimension 1, as in the bound of Burda et al., 2016, eq. 8."""
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


def total_correlation(latent: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the batch's estimate of KL(q(z) || prod_d q(z_d)), which is zero for independent dimensions.

    Chen et al., 2018, eq. 5 (minibatch-weighted sampling): q(z) is the mean of the batch's posteriors. Differs from it
    by the constant (D - 1) log(size of the data set), which has no gradient; it is exact if the batch is the set.
    """
    among = log_normal(latent[:, None], mean, log_variance)
    return (log_mean_exp(among.sum(2)) - log_mean_exp(among).sum(1)).mean()


SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def mmd(latent: Tensor, prior: Tensor) -> Tensor:
    """Return the unbiased squared maximum mean discrepancy between codes (N, D) and samples of N(0, I), (N, D).

    Tolstikhin et al., 2018, algorithm 2: the kernel is the sum of C / (C + ||x - y||^2), C = 2 D s, over the seven
    scales s of the authors' program. It lies between about -1 and 14. Raises `UsageError` for a single code.
    """
    rows, dimensions = latent.shape
    if rows < 2:
        raise UsageError(
            "the mmd penalty compares the codes of a batch, so every part of a batch needs 2 or more pictures"
        )

    def kernel(one: Tensor, other: Tensor) -> Tensor:
        distance = (one[:, None] - other).square().sum(2)
        return sum((2 * dimensions * s / (2 * dimensions * s + distance) for s in SCALES), start=distance * 0)

    def within(codes: Tensor) -> Tensor:
        return (kernel(codes, codes).sum() - len(SCALES) * rows) / (rows * (rows - 1))

    return within(latent) + within(prior) - 2 * kernel(latent, prior).mean()


@dataclass(frozen=True)
class Penalty:
    """A penalty of (codes, weight), its default weight, and whether codes are Gaussians or points."""

    value: Callable[[Codes, float], Tensor]
    weight: float
    posterior: Literal["gaussian", "point"] = "gaussian"


PENALTIES = {
    # Kingma and Welling, 2014, eq. 3, with the weight beta of Higgins et al., 2017, eq. 4.
    "kl": Penalty(lambda codes, weight: weight * codes.kl, 1.0),
    # Chen et al., 2018, eq. 4: of the three parts of KL only the total correlation is weighted.
    "tc": Penalty(
        lambda codes, weight: codes.kl + (weight - 1) * total_correlation(codes.latent, codes.mean, codes.log_variance),
        6.0,
    ),
    # Zhao et al., 2019, eq. 6, with alpha = 0 and lambda = 1 + weight.
    "info": Penalty(lambda codes, weight: codes.kl + weight * mmd(codes.latent, codes.prior), 100.0),
    # Tolstikhin et al., 2018, algorithm 2: codes are points, spread like the prior.
    "mmd": Penalty(lambda codes, weight: weight * mmd(codes.latent, codes.prior), 100.0, "point"),
    # Ghosh et al., 2020, eq. 11: codes are points near zero; a distribution is fitted to them afterwards.
    "l2": Penalty(lambda codes, weight: weight * codes.mean.square().sum(1).mean() / 2, 1.0, "point"),
    # The plain autoencoder.
    "none": Penalty(lambda codes, weight: codes.mean.new_zeros(()), 0.0, "point"),
}
