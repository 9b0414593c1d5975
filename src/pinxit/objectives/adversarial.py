"""What objectives with a discriminator share: its player, its scores, and the two adversarial losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pinxit.data import Batch
from pinxit.losses.adversarial import Adversarial
from pinxit.objectives.objective import Loss, Objective, Player
from pinxit.objectives.settings import GANSettings, RestorationSettings, TranslationSettings, VAESettings


class Contest(Objective):
    """An objective whose model may play against the network `discriminator`."""

    settings: GANSettings | VAESettings | RestorationSettings | TranslationSettings
    adversarial: Adversarial

    @abstractmethod
    def discriminator_loss(self, batch: Batch, shared: Any) -> Loss:
        """Return the discriminator's loss."""

    def players(self) -> tuple[Player, ...]:
        """Return the player of the model, and before it the discriminator if there is one."""
        if "discriminator" not in self.networks:
            return super().players()
        optimiser = self.settings.player_optimiser(self.settings.discriminator_rate)
        discriminator = Player("discriminator", self.networks["discriminator"], self.discriminator_loss, optimiser)
        return discriminator, *super().players()

    def score(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the discriminator's scores (N,) in float32, whatever the precision inside."""
        return self.networks["discriminator"](image, label).float()

    def scored(self, real_scores: Tensor, fake_scores: Tensor) -> Loss:
        """Return the discriminator's loss by its scores (N,), with the mean scores as readings."""
        readings = {"real_score": real_scores.detach().mean(), "fake_score": fake_scores.detach().mean()}
        return Loss({"adversarial": self.adversarial.discriminator(real_scores, fake_scores)}, readings)

    def generator_term(self, real_scores: Callable[[], Tensor], fake_scores: Tensor) -> Tensor:
        """Return the generator's loss; real pictures are scored, without gradient, only where the loss reads them."""
        if not self.adversarial.paired:
            return self.adversarial.generator(fake_scores.detach(), fake_scores)
        with torch.no_grad():
            scores = real_scores()
        return self.adversarial.generator(scores, fake_scores)
