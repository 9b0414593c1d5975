"""The generative adversarial network (Goodfellow et al., 2014): a generator plays against a discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.losses import penalties
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.nets import spectral, style
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.adversarial import Contest
from pinxit.objectives.networks import gan_pair
from pinxit.objectives.objective import Generative, Loss, Player
from pinxit.objectives.settings import GANSettings

PATH_EVERY = 4
"""Generator steps per penalty of path lengths, whose weight is as many times larger (Karras et al., 2020b)."""


@dataclass(frozen=True)
class Fakes:
    """One step's latents (N, latent) and the fakes (N, C, H, W) generated from them, and where asked their styles."""

    latent: Tensor
    image: Tensor
    style: Tensor | None = None


class GAN(Contest, Generative):
    """Generator against discriminator, by any loss of `ADVERSARIAL` and any gradient penalties."""

    settings: GANSettings
    player = "generator"
    model = ("generator",)

    def __init__(self, settings: GANSettings, shape: PictureShape) -> None:
        self.settings, self.latent = settings, settings.latent
        self.shape = shape if settings.conditional else shape._replace(classes=0)
        self.adversarial = ADVERSARIAL[settings.loss]
        generator, discriminator = gan_pair(settings, self.shape)
        self.networks = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
        if settings.path_length:
            self.networks["path"] = style.PathLength()

    def players(self) -> tuple[Player, ...]:
        """Return the discriminator, which moves first, and the generator, every `discriminator_steps` steps."""
        discriminator, generator = super().players()
        return discriminator, replace(generator, every=self.settings.discriminator_steps)

    def draw(self, batch: Batch) -> Fakes:
        """Return latents and fakes; fakes have a graph only in steps in which the generator moves."""
        moves = batch.step % self.settings.discriminator_steps == 0
        latent = batch.normal(self.latent).requires_grad_(moves and self.settings.latent_gradient > 0)
        with torch.set_grad_enabled(moves):
            if self.settings.path_length and batch.step % (PATH_EVERY * self.settings.discriminator_steps) == 0:
                generator = cast(style.Generator, self.networks["generator"])
                styles = generator.styles(latent, self.label(batch))
                return Fakes(latent, generator.pictures_of(styles), styles)
            return Fakes(latent, self.networks["generator"](latent, self.label(batch)))

    def discriminator_loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return the discriminator's adversarial loss and gradient penalties."""
        settings, label = self.settings, self.label(batch)
        real = batch.image.detach().requires_grad_(settings.r1 > 0)
        fake = fakes.image.detach().requires_grad_(settings.r2 > 0)
        real_scores, fake_scores = self.score(real, label), self.score(fake, label)
        loss = self.scored(real_scores, fake_scores)
        if settings.r1:
            loss.terms["r1"] = settings.r1 / 2 * penalties.squared_gradient(real_scores, real)
        if settings.r2:
            loss.terms["r2"] = settings.r2 / 2 * penalties.squared_gradient(fake_scores, fake)
        if settings.gradient_penalty:
            position = batch.uniform(1, 1, 1, stream="interpolation")
            penalty = penalties.gradient_penalty(partial(self.score, label=label), real, fake, position)
            loss.terms["gradient_penalty"] = settings.gradient_penalty * penalty
        return loss

    def loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return the generator's adversarial loss and its gradient penalty."""
        terms = {"adversarial": self.generator_term(batch.image, fakes.image, self.label(batch))}
        if weight := self.settings.latent_gradient:
            direction = batch.normal(*fakes.image.shape[1:], stream="direction")
            terms["latent_gradient"] = weight * penalties.latent_gradient(fakes.image, fakes.latent, direction)
        readings = {}
        if fakes.style is not None:
            direction = batch.normal(*fakes.image.shape[1:], stream="path")
            lengths = penalties.path_lengths(fakes.image, fakes.style, direction)
            terms["path"] = PATH_EVERY * self.settings.path_length * self.networks["path"](lengths)
            readings["path_length"] = lengths.mean()
        return Loss(terms, readings)

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Clip the discriminator's weights if asked (Arjovsky et al., 2017, algorithm 1); follow norms and lengths."""
        spectral.advance(self.networks["discriminator"])
        if (length := values.get("generator/path_length")) is not None:
            cast(style.PathLength, self.networks["path"]).follow(length)
        if clip := self.settings.weight_clip:
            with torch.no_grad():
                for weight in self.networks["discriminator"].parameters():
                    weight.clamp_(-clip, clip)

    def preview(self, batch: Batch) -> Tensor:
        """Return samples from the batch's latents and labels."""
        return self.sample(batch.normal(self.latent), self.label(batch))

    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] from latents (N, latent), and labels (N,) if conditional."""
        return self.networks["generator"](latent, label).float().clamp(0, 1)
