"""Set metrics against closed forms, the textbook route and another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.kid import poly_mmd

from pinxit.metrics.sets import class_entropy, frechet_distance, kernel_distance


def gaussian(n: int, mean: torch.Tensor, covariance: torch.Tensor, seed: int) -> torch.Tensor:
    """Features (n, D) in float64 of exactly this mean and unbiased covariance, whose rank must be below n."""
    root = torch.linalg.svd(covariance)
    rank = int((root.S > 1e-12).sum())
    white = torch.randn(n, rank, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    white = torch.linalg.qr(white - white.mean(0)).Q * math.sqrt(n - 1)
    return white @ (root.U[:, :rank] * root.S[:rank].sqrt()).T + mean


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("n", "dimensions", "rank"), [(500, 1, 1), (500, 16, 16), (300, 128, 128), (20, 128, 7), (4, 64, 2)]
)
def test_frechet_distance_is_the_closed_form_for_diagonal_gaussians(n: int, dimensions: int, rank: int) -> None:
    mean1, mean2 = random(0, dimensions), random(1, dimensions)
    spread1, spread2 = (random(seed, dimensions).abs() * (torch.arange(dimensions) < rank) for seed in (2, 3))
    expected = ((mean1 - mean2) ** 2).sum() + ((spread1 - spread2) ** 2).sum()
    one, other = gaussian(n, mean1, (spread1**2).diag(), 4), gaussian(n + 3, mean2, (spread2**2).diag(), 5)
    assert frechet_distance(one, other) == pytest.approx(float(expected), rel=1e-8)


@pytest.mark.parametrize("dimensions", [2, 17, 64])
def test_frechet_distance_is_the_one_by_a_general_matrix_root(dimensions: int) -> None:
    one = random(0, 400, dimensions) @ random(1, dimensions, dimensions)
    other = random(2, 300, dimensions) @ random(3, dimensions, dimensions) + random(4, dimensions)
    (mean1, covariance1), (mean2, covariance2) = (
        (x.mean(0), np.cov(x, rowvar=False)) for x in (one.numpy(), other.numpy())
    )
    root = scipy.linalg.sqrtm(covariance1 @ covariance2).real
    expected = ((mean1 - mean2) ** 2).sum() + np.trace(covariance1 + covariance2 - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-5)


def kernel_by_hand(one: torch.Tensor, other: torch.Tensor) -> float:
    def k(x: torch.Tensor, y: torch.Tensor) -> float:
        return (sum(a * b for a, b in zip(x.tolist(), y.tolist(), strict=True)) / len(x) + 1) ** 3

    def within(x: torch.Tensor) -> float:
        n = len(x)
        return sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    return within(one) + within(other) - 2 * sum(k(x, y) for x in one for y in other) / (len(one) * len(other))


def test_kernel_distance_is_the_double_sum() -> None:
    one, other = random(0, 24, 5), random(1, 24, 5) + 0.3
    assert kernel_distance(one, other) == pytest.approx(kernel_by_hand(one, other), rel=1e-12)


@pytest.mark.parametrize("n", [50, 999, 1400])
def test_kernel_distance_of_one_block_is_that_of_torchmetrics(n: int) -> None:
    one, other = random(0, n, 32), random(1, n, 32) + 0.2
    assert kernel_distance(one, other) == pytest.approx(float(poly_mmd(one, other)), rel=1e-10)


@pytest.mark.parametrize(
    ("posteriors", "bits"),
    [
        (torch.eye(10), math.log2(10)),
        (torch.full((7, 8), 1 / 8), 3.0),
        (torch.eye(10)[[3, 3, 3]], 0.0),
        (torch.eye(4)[[0, 1]], 1.0),
        (torch.tensor([[1.0, 0.0], [0.5, 0.5]]), 0.75 * math.log2(4 / 3) + 0.25 * 2),
    ],
)
def test_class_entropy_of_known_posteriors(posteriors: torch.Tensor, bits: float) -> None:
    assert class_entropy(posteriors) == pytest.approx(bits, abs=1e-12)
