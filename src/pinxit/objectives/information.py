"""InfoGAN (Chen et al., 2016): a part of the latent is a code that can be read from the picture.

The code has one of K categories, and J values in (-1, 1). A head on the discriminator's features reads it from
fakes. Both players lower minus the bound L = E[log Q(code | fake)] + H(code) on the mutual information of code and
picture (eq. 5), so each category and value comes to mean something.

Differs from the paper: latents stay standard normal, so that all samplers work. The first K numbers stand for the
category, which is where the largest of them is, and the next J for values, by their cumulative probability. Q of values
is a Gaussian of unit variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LOG_UNIT = 0.5 * math.log(2 * math.pi)
EDGE = 1e-6  # a chosen value is so far from -1 and 1 at least, whose normal numbers are infinite


@dataclass(frozen=True)
class Code:
    """A code of `categories` categories (0 for none) and `values` values, in the first numbers of a latent."""

    categories: int
    values: int

    @property
    def length(self) -> int:
        """How many numbers of the latent the code takes, and how many outputs its head has."""
        return self.categories + self.values

    def parts(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the numbers (N, ...) of latents that stand for the category, for the values, and for nothing."""
        category, values, rest = latent.split([self.categories, self.values, latent.shape[1] - self.length], dim=1)
        return category, values, rest

    def given(self, latent: Tensor) -> Tensor:
        """Return the generator's input (N, latent): the category as one-hot vector, the values, and the rest."""
        if not self.length:
            return latent
        category, values, rest = self.parts(latent)
        return torch.cat([_one_hot(category), _between(values), rest], dim=1)

    def chosen(self, latent: Tensor, category: int | None = None, values: Sequence[float | None] = ()) -> Tensor:
        """Return latents (N, latent) with this category, and these values from -1 to 1; None leaves one as it is."""
        numbers, valued, rest = self.parts(latent.clone())
        if category is not None:
            numbers[:] = F.one_hot(torch.tensor(category), self.categories)
        for place, value in enumerate(values):
            if value is not None:
                inside = min(max(value, EDGE - 1), 1 - EDGE)
                valued[:, place] = math.sqrt(2) * torch.erfinv(latent.new_tensor(inside))
        return torch.cat([numbers, valued, rest], dim=1)

    def information(self, read: Tensor, latent: Tensor) -> Tensor:
        """Return the bound on the mutual information in nats; `read` (N, length) is what the head reads from fakes.

        A category gives at most log K. A value gives at most log 2 - log(2 pi) / 2, which is below 0.
        """
        category, values, _ = self.parts(latent)
        logits, means = read.float().split([self.categories, self.values], dim=1)
        bound = (math.log(2) - LOG_UNIT) * self.values - 0.5 * (means - _between(values)).square().sum(1)
        if self.categories:
            bound = bound + math.log(self.categories) - F.cross_entropy(logits, category.argmax(1), reduction="none")
        return bound.mean()


def _between(numbers: Tensor) -> Tensor:
    """Return standard normal numbers as uniform ones in (-1, 1), by their cumulative probability."""
    return torch.erf(numbers / math.sqrt(2))


def _one_hot(numbers: Tensor) -> Tensor:
    """Return (N, K) with 1 at the largest number of each row, else 0."""
    return F.one_hot(numbers.argmax(1), numbers.shape[1]).to(numbers.dtype) if numbers.shape[1] else numbers
