"""The two adversarial terms that every objective with a discriminator shares."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pinxit.losses.adversarial import Adversarial
from pinxit.objectives.objective import Loss


def discriminator_loss(losses: Adversarial, real_scores: Tensor, fake_scores: Tensor) -> Loss:
    """Return the discriminator's loss by its scores (N,), with the mean scores as readings."""
    readings = {"real_score": real_scores.detach().mean(), "fake_score": fake_scores.detach().mean()}
    return Loss({"adversarial": losses.discriminator(real_scores, fake_scores)}, readings)


def generator_term(losses: Adversarial, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Return the generator's loss; real pictures are scored, without gradient, only where the loss reads them."""
    fake_scores = score(fake)
    real_scores = fake_scores.detach()
    if losses.paired:
        with torch.no_grad():
            real_scores = score(real)
    return losses.generator(real_scores, fake_scores)
