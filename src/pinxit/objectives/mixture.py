"""Gaussian mixtures over latents: every sampler is one, whether assumed, learned or fitted when training is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pinxit.data import draws

COMPONENTS = 10
ROUNDS = 40
LEAST_VARIANCE = 1e-6
MIXTURE, BY_CLASS = "gmm", "class-gaussian"


@dataclass(frozen=True)
class Mixture:
    """K Gaussians: `weights` (K,), `means` (K, D) and `factors`, whose products with their transposes are covariances.

    Factors are lower triangular, (K, D, D), or the diagonals alone, (K, D).
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    @classmethod
    def normal(cls, dimensions: int) -> Mixture:
        """Return N(0, I)."""
        return cls(torch.ones(1), torch.zeros(1, dimensions), torch.ones(1, dimensions))

    def latents(self, normal: Tensor, uniform: Tensor, component: Tensor | None = None) -> Tensor:
        """Return latents (N, D) made of standard normal (N, D) and uniform (N,) draws; row i of row i alone.

        The uniform draw chooses the Gaussian, unless `component` (N,) says which.
        """
        if component is None:
            edges = self.weights.cumsum(0)
            component = torch.searchsorted(edges / edges[-1], uniform, right=True).clamp(max=len(edges) - 1)
        rows = zip(component.tolist(), normal, strict=True)  # row by row: a product of many rows may round differently
        return torch.stack([self.means[k] + self._spread(self.factors[k], row) for k, row in rows])

    @staticmethod
    def _spread(factor: Tensor, row: Tensor) -> Tensor:
        return factor * row if factor.ndim == 1 else factor @ row

    def log_joint(self, latent: Tensor) -> Tensor:
        """Return log(weight_k N(latent; k)), (N, K), of latents (N, D); for triangular factors."""
        apart = (latent[None] - self.means[:, None]).mT
        whitened = torch.linalg.solve_triangular(self.factors, apart, upper=False)
        volume = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = self.means.shape[1] / 2 * math.log(2 * math.pi)
        return (self.weights.log() - volume - constant) - whitened.square().sum(1).mT / 2

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of every dimension, (D,) each."""
        within = self.factors.square() if self.factors.ndim == 2 else self.factors.square().sum(2)
        mean = self.weights @ self.means
        return mean, (self.weights @ (within + (self.means - mean).square())).sqrt()

    def tensors(self) -> dict[str, Tensor]:
        """Return what `Mixture(**tensors)` is made of."""
        return {"weights": self.weights, "means": self.means, "factors": self.factors}


def fit_mixture(codes: Tensor, components: int = COMPONENTS, rounds: int = ROUNDS, seed: int = 0) -> Mixture:
    """Return a mixture of full covariances fitted to codes (N, D) by expectation and maximisation (Dempster, 1977).

    It starts from the nearest of `components` codes, which `seed` chooses, fewer if there are few codes.
    """
    codes = codes.double()
    centres = codes[torch.from_numpy(draws.permutation(len(codes), seed, 0))[: min(components, len(codes))]]
    nearest = torch.cdist(codes, centres).argmin(1)
    mixture = _maximised(codes, torch.nn.functional.one_hot(nearest, len(centres)).double())
    for _ in range(rounds):
        mixture = _maximised(codes, mixture.log_joint(codes).softmax(1))
    return _single(mixture)


def fit_classes(codes: Tensor, labels: Tensor, classes: int) -> Mixture:
    """Return a Gaussian for each class, in closed form, from codes (N, D) and their labels (N,)."""
    return _single(_maximised(codes.double(), torch.nn.functional.one_hot(labels, classes).double()))


def _maximised(codes: Tensor, share: Tensor) -> Mixture:
    """Return the likeliest mixture if `share` (N, K) says how much of each code (N, D) belongs to each Gaussian.

    Every Gaussian is drawn towards that of all codes, its mean as if by one code and its covariance as if by D more, so
    that few codes still give one.
    """
    dimensions = codes.shape[1]
    count = share.sum(0)
    mean = codes.mean(0)
    prior = dimensions * (codes - mean).mT @ (codes - mean) / len(codes)
    means = (share.mT @ codes + mean) / (count + 1)[:, None]
    factors = [
        torch.linalg.cholesky(
            ((codes - centre).mT * weight @ (codes - centre) + prior) / (weight.sum() + dimensions)
            + LEAST_VARIANCE * torch.eye(dimensions, dtype=codes.dtype)
        )
        for centre, weight in zip(means, share.mT, strict=True)
    ]
    return Mixture(count / count.sum(), means, torch.stack(factors))


def _single(mixture: Mixture) -> Mixture:
    return Mixture(**{name: value.float() for name, value in mixture.tensors().items()})


def flattened(samplers: Mapping[str, Mixture]) -> dict[str, Tensor]:
    """Return the tensors of samplers, named 'sampler.tensor', as a file keeps them."""
    return {f"{name}.{part}": value for name, mixture in samplers.items() for part, value in mixture.tensors().items()}


def unflattened(tensors: Mapping[str, Tensor], dimensions: int) -> dict[str, Mixture]:
    """Return the samplers of latents of so many dimensions whose tensors a file keeps; `ValueError` if it does not."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, field = key.partition(".")
        parts.setdefault(name, {})[field] = value
    for name, fields in parts.items():
        count = fields["weights"].numel() if "weights" in fields else 0
        expected = {"weights": (count,), "means": (count, dimensions), "factors": (count, dimensions, dimensions)}
        shapes = {field: tuple(value.shape) for field, value in fields.items()}
        if not count or shapes != expected or not all(value.isfinite().all() for value in fields.values()):
            raise ValueError(f"{name!r} is no mixture of Gaussians in {dimensions} dimensions")
    return {name: Mixture(**fields) for name, fields in parts.items()}
