"""How far apart two sets of pictures lie: functions of two feature matrices (N, D), one row a picture.

Smaller is nearer. The scale of a value belongs to the extractor of the features and to N: it says something only beside
other values of the same extractor at the same N. All arithmetic is in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from pinxit.errors import DataError

KERNEL_BLOCK = 1000


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """Return the squared Frechet distance of the Gaussians fitted to features (N, D) and (M, D), never below 0.

        |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)        (Heusel et al., 2017, eq. 6)

    with unbiased covariances S. The last trace is the sum of the square roots of the eigenvalues of the symmetric
    S1^(1/2) S2 S1^(1/2), taken as the singular values of S1^(1/2) S2^(1/2): no general matrix root, and no digits lost
    where N is below D and the covariances are singular. The value falls with N towards its limit.
    """
    (mean1, covariance1), (mean2, covariance2) = (_moments(features) for features in _checked(one, other))
    cross = torch.linalg.svdvals(_root(covariance1) @ _root(covariance2)).sum()
    distance = (mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace() - 2 * cross
    return float(distance.clamp(min=0))


def kernel_distance(one: Tensor, other: Tensor, seed: int = 0) -> float:
    """Return the squared maximum mean discrepancy of features (N, D) and (M, D), unbiased, so it may fall below 0.

        E k(x, x') + E k(y, y') - 2 E k(x, y),   k(x, y) = (x.y / D + 1)^3        (Binkowski et al., 2018, eq. 3-4)

    in the kernel's own scale: papers often print it times 1,000. It is the mean over disjoint blocks of 1,000 to 1,999
    pictures of each side, drawn by a random permutation, so that memory does not grow with N; the paper's blocks
    overlap, using some pictures often and others never. Of the larger side min(N, M) pictures are used.
    """
    rng = torch.Generator().manual_seed(seed)
    n = min(len(one), len(other))
    blocks = (
        features[torch.randperm(len(features), generator=rng)[:n]].tensor_split(max(1, n // KERNEL_BLOCK))
        for features in _checked(one, other)
    )
    values = [_discrepancy(x, y) for x, y in zip(*blocks, strict=True)]
    return sum(values) / len(values)


def class_entropy(posteriors: Tensor) -> float:
    """Return the entropy, in bits, of the mean of class posteriors (N, K): log2 K if all classes come equally often.

    It is the marginal's part of the Inception score (Salimans et al., 2016); 0 means one class alone.
    """
    return float(torch.special.entr(posteriors.double().mean(0)).sum()) / log(2)


# The name of a score is this key with the extractor in brackets, such as "fd[digits-v1]".
SETS: dict[str, Callable[..., float]] = {
    "fd": lambda one, other, seed=0: frechet_distance(one, other),
    "kd": kernel_distance,
}


def _checked(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return both feature matrices in float64, or raise `DataError` if no distance between them can be told."""
    for features in (one, other):
        if len(features) < 2:
            raise DataError(f"a set of {len(features)} pictures has no spread to compare; give at least 2")
        if not features.isfinite().all():
            raise DataError("features are not finite, so no distance can be told; look for NaN in the pictures")
    if one.shape[1] != other.shape[1]:
        raise DataError(f"features of {one.shape[1]} and {other.shape[1]} dimensions; use one extractor for both sets")
    return one.double(), other.double()


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the unbiased covariance (D, D)."""
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def _root(covariance: Tensor) -> Tensor:
    """Return the symmetric root; eigenvalues that rounding left below zero count as zero."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _discrepancy(one: Tensor, other: Tensor) -> float:
    """Return the unbiased estimate of the squared discrepancy between two blocks (N, D) of equal N."""
    across = _kernel(one, other).mean()
    return float(_mean_off_diagonal(_kernel(one, one)) + _mean_off_diagonal(_kernel(other, other)) - 2 * across)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    kernel: Tensor = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _mean_off_diagonal(square: Tensor) -> Tensor:
    n = len(square)
    return (square.sum() - square.trace()) / (n * (n - 1))
