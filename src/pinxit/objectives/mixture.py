"""Samplers of latents, and the Gaussian mixtures that most of them are.

A mixture is assumed (N(0, I)), learned with the model (VampPrior), or fitted to its codes after training. A prior
trained afterwards (`objectives/prior.py`) is a sampler too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from pinxit.data import draws

COMPONENTS = 10
ROUNDS = 40
LEAST_VARIANCE = 1e-6
MIXTURE, BY_CLASS = "gmm", "class-gaussian"


class Sampler(Protocol):
    """A distribution of latents; each is a function of normal and uniform numbers, and of a class."""

    @property
    def normals(self) -> int:
        """How many standard normal numbers make a latent; 0 for discrete latents."""

    @property
    def uniforms(self) -> int:
        """How many uniform numbers in [0, 1) make a latent."""

    @property
    def by_class(self) -> bool:
        """Whether a latent depends on a class."""

    def latents(self, normal: Tensor, uniform: Tensor, label: Tensor | None = None) -> Tensor:
        """Return latents (N, latent) from (N, normals) and (N, uniforms) numbers, and labels (N,) if by class."""

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of every number of a latent; `UsageError` for discrete latents."""

    def log_density(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return log p (N,) in nats of latents (N, latent), given labels (N,) if by class; `UsageError` if unknown."""


@dataclass(frozen=True)
class Mixture:
    """K Gaussians: `weights` (K,), `means` (K, D) and `factors`, where factor x factor^T is the covariance.

    Factors are lower triangular, (K, D, D), or only the diagonals, (K, D). `by_class`: Gaussian k is that of class k.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor
    by_class: bool = False

    @property
    def normals(self) -> int:
        """One per dimension."""
        return self.means.shape[1]

    @property
    def uniforms(self) -> int:
        """One, to choose the Gaussian."""
        return 1

    @classmethod
    def normal(cls, dimensions: int) -> Mixture:
        """Return N(0, I)."""
        return cls(torch.ones(1), torch.zeros(1, dimensions), torch.ones(1, dimensions))

    def latents(self, normal: Tensor, uniform: Tensor, label: Tensor | None = None) -> Tensor:
        """Return latents (N, D) from standard normal (N, D) and uniform (N, 1) numbers, row by row.

        The uniform number chooses the Gaussian unless `label` (N,) does.
        """
        if label is None:
            edges = self.weights.cumsum(0)
            place = torch.searchsorted(edges / edges[-1], uniform.flatten(), right=True)
            label = place.clamp(max=len(edges) - 1)
        times = torch.mul if self.factors.ndim == 2 else torch.matmul
        rows = zip(label.tolist(), normal, strict=True)  # row by row: a product over many rows may round differently
        return torch.stack([self.means[k] + times(self.factors[k], row) for k, row in rows])

    def log_joint(self, latent: Tensor) -> Tensor:
        """Return log(weight_k N(latent; k)), (N, K), of latents (N, D)."""
        factors = self.factors.diag_embed() if self.factors.ndim == 2 else self.factors
        difference = (latent[None] - self.means[:, None]).mT
        whitened = torch.linalg.solve_triangular(factors, difference, upper=False)
        volume = factors.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = self.means.shape[1] / 2 * math.log(2 * math.pi)
        return (self.weights.log() - volume - constant) - whitened.square().sum(1).mT / 2

    def log_density(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return log p (N,) of latents (N, D): by the Gaussians of labels (N,), or by all of them."""
        joint = self.log_joint(latent)
        if label is None:
            return joint.logsumexp(1) - self.weights.sum().log()
        return joint.gather(1, label[:, None]).squeeze(1) - self.weights.log()[label]

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of every dimension, (D,) each."""
        within = self.factors.square() if self.factors.ndim == 2 else self.factors.square().sum(2)
        mean = self.weights @ self.means
        return mean, (self.weights @ (within + (self.means - mean).square())).sqrt()

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by name."""
        return {"weights": self.weights, "means": self.means, "factors": self.factors}


def fit_mixture(codes: Tensor, components: int = COMPONENTS, rounds: int = ROUNDS, seed: int = 0) -> Mixture:
    """Return a full-covariance mixture fitted to codes (N, D) by expectation maximisation (Dempster et al., 1977).

    It starts by assigning codes to the nearest of `components` codes chosen by `seed`, fewer if there are few codes.
    """
    codes = codes.double()
    centres = codes[torch.from_numpy(draws.permutation(len(codes), seed, 0))[: min(components, len(codes))]]
    nearest = torch.cdist(codes, centres).argmin(1)
    mixture = _maximised(codes, torch.nn.functional.one_hot(nearest, len(centres)).double())
    for _ in range(rounds):
        mixture = _maximised(codes, mixture.log_joint(codes).softmax(1))
    return _single(mixture)


def fit_classes(codes: Tensor, labels: Tensor, classes: int) -> Mixture:
    """Return one Gaussian per class, fitted in closed form to codes (N, D) with labels (N,)."""
    share = torch.nn.functional.one_hot(labels, classes).double()
    return _single(replace(_maximised(codes.double(), share), by_class=True))


def _maximised(codes: Tensor, share: Tensor) -> Mixture:
    """Return the maximum a posteriori mixture for responsibilities `share` (N, K) of the Gaussians for codes (N, D).

    The prior pulls each Gaussian towards that of all codes, so few codes suffice. It weighs as much as one code for the
    mean, and as D codes for the covariance.
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
    return Mixture(mixture.weights.float(), mixture.means.float(), mixture.factors.float(), mixture.by_class)


def flattened(samplers: Mapping[str, Mixture]) -> dict[str, Tensor]:
    """Return the tensors of samplers, named 'sampler.tensor', to be written to a file."""
    return {f"{name}.{part}": value for name, mixture in samplers.items() for part, value in mixture.tensors().items()}


def unflattened(tensors: Mapping[str, Tensor], dimensions: int) -> dict[str, Mixture]:
    """Return samplers of latents of `dimensions` from a file's tensors; `ValueError` if they do not fit."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, field = key.partition(".")
        parts.setdefault(name, {})[field] = value
    for name, fields in parts.items():
        count = fields["weights"].numel() if "weights" in fields else 0
        expected = {"weights": (count,), "means": (count, dimensions), "factors": (count, dimensions, dimensions)}
        shapes = {field: tuple(value.shape) for field, value in fields.items()}
        sound = (value.dtype == torch.float32 and bool(value.isfinite().all()) for value in fields.values())
        if not count or shapes != expected or not all(sound):
            raise ValueError(f"{name!r} is not a mixture of Gaussians in {dimensions} dimensions")
    return {name: Mixture(**fields, by_class=name == BY_CLASS) for name, fields in parts.items()}
