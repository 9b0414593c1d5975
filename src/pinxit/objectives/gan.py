"""The generative adversarial network (Goodfellow et al., 2014): a generator plays against a discriminator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.losses import penalties
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.nets import dcgan, dense, residual
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.objective import Generative, Loss, Player
from pinxit.objectives.settings import GANSettings


@dataclass(frozen=True)
class Drawn:
    """One step's latents (N, latent) and the fakes (N, C, H, W) made from them."""

    latent: Tensor
    fake: Tensor


class GAN(Generative):
    """Generator against discriminator, by any loss of `ADVERSARIAL` and any penalties."""

    def __init__(self, settings: GANSettings, shape: PictureShape) -> None:
        self.settings, self.latent = settings, settings.latent
        self.shape = shape if settings.conditional else shape._replace(classes=0)
        self.adversarial = ADVERSARIAL[settings.loss]
        generator, discriminator = build(settings, self.shape)
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
        """Return the discriminator, who moves first, and the generator, who moves every `discriminator_steps`."""
        settings = self.settings
        judging = settings.player_optimiser(settings.discriminator_rate)
        making, every = settings.player_optimiser(), settings.discriminator_steps
        return (
            Player("discriminator", self.discriminator, self.discriminator_loss, judging),
            Player("generator", self.generator, self.generator_loss, making, every),
        )

    def draw(self, batch: Batch) -> Drawn:
        """Return latents and fakes, with the fakes' graph on the steps on which the generator moves."""
        moves = batch.step % self.settings.discriminator_steps == 0
        latent = batch.normal(self.latent).requires_grad_(moves and self.settings.latent_gradient > 0)
        with torch.set_grad_enabled(moves):
            return Drawn(latent, self.generator(latent, self.label(batch)))

    def discriminator_loss(self, batch: Batch, drawn: Drawn) -> Loss:
        """Return the adversarial loss of the discriminator with its penalties."""
        settings, label = self.settings, self.label(batch)
        real = batch.image.detach().requires_grad_(settings.r1 > 0)
        fake = drawn.fake.detach().requires_grad_(settings.r2 > 0)
        real_scores, fake_scores = self.score(real, label), self.score(fake, label)
        terms = {"adversarial": self.adversarial.discriminator(real_scores, fake_scores)}
        if settings.r1:
            terms["r1"] = settings.r1 / 2 * penalties.squared_gradient(real_scores, real)
        if settings.r2:
            terms["r2"] = settings.r2 / 2 * penalties.squared_gradient(fake_scores, fake)
        if settings.gradient_penalty:
            position = batch.uniform(1, 1, 1, stream="interpolation")
            penalty = penalties.gradient_penalty(lambda image: self.score(image, label), real, fake, position)
            terms["gradient_penalty"] = settings.gradient_penalty * penalty
        return Loss(terms, {"real_score": real_scores.detach().mean(), "fake_score": fake_scores.detach().mean()})

    def generator_loss(self, batch: Batch, drawn: Drawn) -> Loss:
        """Return the adversarial loss of the generator with its penalty."""
        label, fake_scores = self.label(batch), self.score(drawn.fake, self.label(batch))
        real_scores = fake_scores.detach()
        if self.adversarial.paired:
            with torch.no_grad():
                real_scores = self.score(batch.image, label)
        terms = {"adversarial": self.adversarial.generator(real_scores, fake_scores)}
        if self.settings.latent_gradient:
            direction = batch.normal(*drawn.fake.shape[1:], stream="direction")
            penalty = penalties.latent_gradient(drawn.fake, drawn.latent, direction)
            terms["latent_gradient"] = self.settings.latent_gradient * penalty
        return Loss(terms)

    def after_step(self, batch: Batch) -> None:
        """Clip the discriminator's weights, where asked (Arjovsky et al., 2017, algorithm 1)."""
        if clip := self.settings.weight_clip:
            with torch.no_grad():
                for weight in self.discriminator.parameters():
                    weight.clamp_(-clip, clip)

    def preview(self, batch: Batch) -> Tensor:
        """Return the generator's pictures of the batch's latents and labels."""
        return self.sample(batch.normal(self.latent), self.label(batch))

    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] of latents (N, latent), and labels (N,) if conditional."""
        fake: Tensor = self.generator(latent, label)
        return fake.float().clamp(0, 1)

    def score(self, image: Tensor, label: Tensor | None) -> Tensor:
        """Return the discriminator's scores (N,) in float32, whatever the precision inside."""
        scores: Tensor = self.discriminator(image, label)
        return scores.float()

    def label(self, batch: Batch) -> Tensor | None:
        """Return the batch's labels if the game is conditional."""
        return batch.label if self.settings.conditional else None


def build(settings: GANSettings, shape: PictureShape) -> tuple[nn.Module, nn.Module]:
    """Return the generator and the discriminator that the settings ask for."""
    latent, channels = settings.latent, settings.channels
    match settings.network:
        case "dcgan":
            norm = settings.discriminator_norm == "batch"
            return dcgan.Generator(shape, latent, channels), dcgan.Discriminator(shape, channels, norm)
        case "dense":
            return dense.Generator(shape, latent, channels), dense.Discriminator(shape, channels)
        case "residual" | "plain":
            skip = settings.network == "residual"
            return residual.Generator(shape, latent, channels, skip), residual.Discriminator(shape, channels, skip)
