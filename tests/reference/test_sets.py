"""Set metrics against closed forms, the textbook route and another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import torch
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from pinxit.metrics.sets import (
    Gaussian,
    class_entropy,
    class_score,
    coverage,
    density,
    factor,
    frechet_distance,
    gaussian_distance,
    kernel_distance,
    precision,
    recall,
    vendi_score,
)


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


@pytest.mark.parametrize("dimensions", [1, 16, 300])
def test_the_distance_of_gaussians_is_the_closed_form_for_diagonal_gaussians(dimensions: int) -> None:
    mean1, mean2 = random(0, dimensions), random(1, dimensions)
    spread1, spread2 = (10 ** random(seed, dimensions) for seed in (2, 3))  # variances over ten orders of magnitude
    spread1[::5] = 0
    expected = ((mean1 - mean2) ** 2).sum() + ((spread1 - spread2) ** 2).sum()
    one, other = (Gaussian(mean, factor((s**2).diag())) for mean, s in ((mean1, spread1), (mean2, spread2)))
    assert gaussian_distance(one, other) == pytest.approx(float(expected), rel=1e-8)


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
    one, other = random(0, 24, 5), random(1, 17, 5) + 0.3
    assert kernel_distance(one, other) == pytest.approx(kernel_by_hand(one, other), rel=1e-12)


class Passing(torch.nn.Module):
    """An extractor that gives what it is given."""

    num_features = 32

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


@pytest.mark.filterwarnings("ignore:Metric `Kernel")
@pytest.mark.parametrize("n", [50, 999, 2500])
def test_kernel_distance_is_that_of_torchmetrics(n: int) -> None:
    one, other = random(0, n, 32), random(1, n, 32) + 0.2
    theirs = KernelInceptionDistance(feature=Passing(), subsets=1, subset_size=n).set_dtype(torch.float64)
    theirs.update(one, real=False)
    theirs.update(other, real=True)
    assert kernel_distance(one, other) == pytest.approx(float(theirs.compute()[0]), rel=1e-4)


def dense(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """Precision, recall, density and coverage as the package prdc has them, on whole matrices."""

    def radii(x: np.ndarray) -> np.ndarray:
        return np.sort(scipy.spatial.distance.cdist(x, x), axis=1)[:, k]  # the first is the point itself

    across, of_real, of_fake = scipy.spatial.distance.cdist(real, fake), radii(real), radii(fake)
    return {
        "precision": (across < of_real[:, None]).any(0).mean(),
        "recall": (across < of_fake[None]).any(1).mean(),
        "density": (across < of_real[:, None]).sum(0).mean() / k,
        "coverage": (across.min(1) < of_real).mean(),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_balls_are_those_of_whole_matrices(k: int, shift: float) -> None:
    real, fake = random(0, 400, 6), random(1, 300, 6) * 1.2 + shift
    for name, expected in dense(real.numpy(), fake.numpy(), k).items():
        found = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}[name]
        assert found(fake, real, k) == pytest.approx(expected, rel=1e-12), name


@pytest.mark.slow
def test_balls_of_two_equal_normal_sets_are_as_published() -> None:
    fake, real = random(0, 10_000, 1000).float(), random(1, 10_000, 1000).float()
    assert precision(fake, real, 5) == pytest.approx(0.4772, abs=0.03)
    assert recall(fake, real, 5) == pytest.approx(0.4705, abs=0.03)
    assert density(fake, real) == pytest.approx(1.0555, abs=0.15)  # few hubs carry it: its own 95 % interval
    assert coverage(fake, real) == pytest.approx(0.9735, abs=0.01)


@pytest.mark.parametrize(("n", "dimensions"), [(40, 7), (20, 33)])
def test_vendi_score_is_that_of_the_whole_cosine_matrix(n: int, dimensions: int) -> None:
    features = random(0, n, dimensions) + 0.5
    units = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    kernel = units @ units.T / n
    expected = math.exp(-np.trace(kernel @ scipy.linalg.logm(kernel + 1e-14 * np.eye(n)).real))
    assert vendi_score(features) == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore", "ignore:std")
def test_class_score_is_the_inception_score_of_torchmetrics() -> None:
    logits = 3 * random(0, 200, 10)
    theirs = InceptionScore(feature=Passing(), splits=1).set_dtype(torch.float64)
    theirs.update(logits)
    assert class_score(logits.softmax(1)) == pytest.approx(float(theirs.compute()[0]), rel=1e-6)
    assert class_score(torch.eye(10)) == pytest.approx(10)
    assert class_score(torch.full((7, 8), 1 / 8)) == 1


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
