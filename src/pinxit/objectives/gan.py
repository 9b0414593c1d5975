"""The generative adversarial network (Goodfellow et al., 2014): a generator plays against a discriminator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.losses import penalties
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.adversarial import discriminator_loss, generator_term
from pinxit.objectives.networks import GAN_NETWORKS
from pinxit.objectives.objective import Generative, Loss, Player
from pinxit.objectives.settings import GANSettings


@dataclass(frozen=True)
class Fakes:
    """One step's latents (N, latent) and the fakes (N, C, H, W) generated from them."""

    latent: Tensor
    image: Tensor


class GAN(Generative):
    """Generator against discriminator, by any loss of `ADVERSARIAL` and any gradient penalties."""

    def __init__(self, settings: GANSettings, shape: PictureShape) -> None:
        self.settings, self.latent = settings, settings.latent
        self.shape = shape if settings.conditional else shape._replace(classes=0)
        self.adversarial = ADVERSARIAL[settings.loss]
        generator, discriminator = GAN_NETWORKS[settings.network](settings, self.shape)
        self.networks = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
        self.model = ("generator",)

    @property
    def generator(self) -> nn.Module:
        """Latents to pictures."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> nn.Module:
        """Pictures to scores."""
        return self.networks["discriminator"]

    def players(self) -> tuple[Player, ...]:
        """Return the discriminator, which moves first, and the generator, every `discriminator_steps` steps."""
        settings = self.settings
        judging = settings.player_optimiser(settings.discriminator_rate)
        making, every = settings.player_optimiser(), settings.discriminator_steps
        return (
            Player("discriminator", self.discriminator, self.discriminator_loss, judging),
            Player("generator", self.generator, self.generator_loss, making, every),
        )

    def draw(self, batch: Batch) -> Fakes:
        """Return latents and fakes; fakes have a graph only in steps in which the generator moves."""
        moves = batch.step % self.settings.discriminator_steps == 0
        latent = batch.normal(self.latent).requires_grad_(moves and self.settings.latent_gradient > 0)
        with torch.set_grad_enabled(moves):
            return Fakes(latent, self.generator(latent, self.label(batch)))

    def discriminator_loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return the discriminator's adversarial loss and gradient penalties."""
        settings, label = self.settings, self.label(batch)
        real = batch.image.detach().requires_grad_(settings.r1 > 0)
        fake = fakes.image.detach().requires_grad_(settings.r2 > 0)
        real_scores, fake_scores = self.score(real, label), self.score(fake, label)
        loss = discriminator_loss(self.adversarial, real_scores, fake_scores)
        if settings.r1:
            loss.terms["r1"] = settings.r1 / 2 * penalties.squared_gradient(real_scores, real)
        if settings.r2:
            loss.terms["r2"] = settings.r2 / 2 * penalties.squared_gradient(fake_scores, fake)
        if settings.gradient_penalty:
            position = batch.uniform(1, 1, 1, stream="interpolation")
            penalty = penalties.gradient_penalty(partial(self.score, label=label), real, fake, position)
            loss.terms["gradient_penalty"] = settings.gradient_penalty * penalty
        return loss

    def generator_loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return the generator's adversarial loss and its gradient penalty."""
        label, weight = self.label(batch), self.settings.latent_gradient
        score = partial(self.score, label=label)
        terms = {"adversarial": generator_term(self.adversarial, score, batch.image, fakes.image)}
        if weight:
            direction = batch.normal(*fakes.image.shape[1:], stream="direction")
            terms["latent_gradient"] = weight * penalties.latent_gradient(fakes.image, fakes.latent, direction)
        return Loss(terms)

    def after_step(self, batch: Batch) -> None:
        """Clip the discriminator's weights if asked (Arjovsky et al., 2017, algorithm 1)."""
        if clip := self.settings.weight_clip:
            with torch.no_grad():
                for weight in self.discriminator.parameters():
                    weight.clamp_(-clip, clip)

    def preview(self, batch: Batch) -> Tensor:
        """Return samples from the batch's latents and labels."""
        return self.sample(batch.normal(self.latent), self.label(batch))

    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] from latents (N, latent), and labels (N,) if conditional."""
        fake: Tensor = self.generator(latent, label)
        return fake.float().clamp(0, 1)

    def score(self, image: Tensor, label: Tensor | None) -> Tensor:
        """Return the discriminator's scores (N,) in float32, whatever the precision inside."""
        scores: Tensor = self.discriminator(image, label)
        return scores.float()

    def label(self, batch: Batch) -> Tensor | None:
        """Return the batch's labels if the GAN is conditional."""
        return batch.label if self.settings.conditional else None
