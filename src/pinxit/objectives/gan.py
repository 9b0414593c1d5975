"""The generative adversarial network (Goodfellow et al., 2014): a generator plays against a discriminator.

Each trick of the literature is a setting that adds a term, a buffer or a change of what the discriminator sees. Those
with a state or mathematics of their own have a file: `augmentation`, `adaptive`, `history`, `information`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.losses import penalties
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.nets import spectral, style
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.adaptive import AdaptiveProbability
from pinxit.objectives.adversarial import Contest
from pinxit.objectives.augmentation import augmented
from pinxit.objectives.history import History
from pinxit.objectives.information import Code
from pinxit.objectives.networks import gan_pair
from pinxit.objectives.objective import Generative, Loss, Player
from pinxit.objectives.settings import GANSettings, augmentations

if TYPE_CHECKING:
    from pinxit.objectives.networks import Discriminator

PATH_EVERY = 4
"""Generator steps per penalty of path lengths, whose weight is as many times larger (Karras et al., 2020b)."""


@dataclass(frozen=True)
class Fakes:
    """One step's latents (N, latent) and the fakes (N, C, H, W) generated from them, and where asked their styles."""

    latent: Tensor
    image: Tensor
    style: Tensor | None = None


class Judged(NamedTuple):
    """Pictures (N, C, H, W), and what the discriminator makes of N / packing packs: features (M, F), scores (M,)."""

    image: Tensor
    features: Tensor
    scores: Tensor


class GAN(Contest, Generative):
    """Generator against discriminator, by any loss of `ADVERSARIAL` and any gradient penalties."""

    settings: GANSettings
    player = "generator"
    model = ("generator",)

    def __init__(self, settings: GANSettings, shape: PictureShape) -> None:
        self.settings, self.latent = settings, settings.latent
        self.shape = shape if settings.conditional else shape._replace(classes=0)
        self.adversarial = ADVERSARIAL[settings.loss]
        self.augmentations = augmentations(settings.augment_discriminator)
        self.code = Code(settings.code_categories, settings.code_values)
        generator, discriminator = gan_pair(settings, self.shape)
        self.networks = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
        if self.code.length:
            self.networks["code"] = nn.Linear(discriminator.score.features, self.code.length)
        if settings.augment_target:
            self.networks["augmentation"] = AdaptiveProbability(settings.augment_target, settings.augment_probability)
        if settings.historical_averaging:
            histories = {player.name: History(player.module) for player in self.players()}
            self.networks["history"] = nn.ModuleDict(histories)
        if settings.path_length:
            self.networks["path"] = style.PathLength()

    def players(self) -> tuple[Player, ...]:
        """Return the discriminator, which moves first, and the generator, every `discriminator_steps` steps.

        The head that reads codes belongs to the discriminator.
        """
        discriminator, generator = super().players()
        if self.code.length:
            judges = nn.ModuleDict({name: self.networks[name] for name in ("discriminator", "code")})
            discriminator = replace(discriminator, module=judges)
        return discriminator, replace(generator, every=self.settings.discriminator_steps)

    def start(self, batch: Batch) -> None:
        """Begin the histories with the weights that training starts from."""
        self._remember(step=0)

    def draw(self, batch: Batch) -> Fakes:
        """Return latents and fakes; fakes have a graph only in steps in which the generator moves."""
        moves = batch.step % self.settings.discriminator_steps == 0
        latent = batch.normal(self.latent).requires_grad_(moves and self.settings.latent_gradient > 0)
        with torch.set_grad_enabled(moves):
            if self.settings.path_length and batch.step % (PATH_EVERY * self.settings.discriminator_steps) == 0:
                generator = cast(style.Generator, self.networks["generator"])
                styles = generator.styles(self.code.given(latent), self.label(batch))
                return Fakes(latent, generator.pictures_of(styles), styles)
            return Fakes(latent, self.generated(latent, self.label(batch)))

    def generated(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the generator's pictures (N, C, H, W) of latents (N, latent) and labels (N,)."""
        return self.networks["generator"](self.code.given(latent), label)

    def score(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the scores (N / packing,) of pictures (N, C, H, W), without augmentation, in float32.

        Pictures that fill no pack are left out.
        """
        return super().score(self.packed(image[: len(image) // self.settings.packing * self.settings.packing]), label)

    def packed(self, image: Tensor) -> Tensor:
        """Return pictures (N, C, H, W) with every `packing` stacked on channels (Lin et al., 2018, section 3)."""
        packing = self.settings.packing
        return image if packing == 1 else image.unflatten(0, (-1, packing)).flatten(1, 2)

    def judged(self, batch: Batch, image: Tensor, stream: str) -> Judged:
        """Return what the discriminator makes of pictures of the batch, augmented by draws of `stream`."""
        discriminator = cast("Discriminator", self.networks["discriminator"])
        seen = augmented(image, self.augmentations, self.augment_probability, batch, f"augment {stream}")
        features = discriminator.last_features(self.packed(seen))
        return Judged(image, features, discriminator.score(features, self.label(batch)).float())

    @property
    def augment_probability(self) -> float | Tensor:
        """The probability of each augmentation of a picture."""
        if "augmentation" in self.networks:
            return cast(AdaptiveProbability, self.networks["augmentation"]).value
        return self.settings.augment_probability

    def discriminator_loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return the discriminator's adversarial loss, gradient penalties and other terms."""
        settings = self.settings
        penalised = batch.step % settings.penalty_every == 0
        real = self.judged(batch, batch.image.detach().requires_grad_(penalised and settings.r1 > 0), "real")
        fake = self.judged(batch, fakes.image.detach().requires_grad_(penalised and settings.r2 > 0), "fake")
        loss = self.scored(real.scores, fake.scores)
        if weight := settings.label_smoothing:
            loss.terms["label_smoothing"] = weight * real.scores.mean()
        if penalised:
            terms = self._gradient_penalties(batch, real, fake)
            loss.terms.update({name: settings.penalty_every * term for name, term in terms.items()})
        loss.terms.update(self._terms_of_both("discriminator", fake, fakes.latent))
        if settings.augment_target:
            loss.readings["real_sign"] = self._ahead(real.scores.detach(), fake.scores.detach()).mean()
            loss.readings["augment_probability"] = torch.as_tensor(self.augment_probability).clone()
        return loss

    def loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return the generator's adversarial loss, its gradient penalty and other terms."""
        settings = self.settings
        fake = self.judged(batch, fakes.image, "fake")
        real = cache(lambda: self._real_without_gradient(batch))  # only if a term reads it
        terms = {"adversarial": self.generator_term(lambda: real().scores, fake.scores)}
        if weight := settings.latent_gradient:
            direction = batch.normal(*fakes.image.shape[1:], stream="direction")
            terms["latent_gradient"] = weight * penalties.latent_gradient(fakes.image, fakes.latent, direction)
        if weight := settings.feature_matching:
            terms["feature_matching"] = weight * feature_distance(real().features, fake.features)
        terms |= self._terms_of_both("generator", fake, fakes.latent)
        if fakes.style is None:
            return Loss(terms)
        lengths = penalties.path_lengths(fakes.image, fakes.style, batch.normal(*fakes.image.shape[1:], stream="path"))
        terms["path"] = PATH_EVERY * settings.path_length * self.networks["path"](lengths)
        return Loss(terms, {"path_length": lengths.mean()})

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Clip weights (Arjovsky et al., 2017, algorithm 1), follow norms, adapt augmentation, average: as asked."""
        spectral.advance(self.networks["discriminator"])
        if (length := values.get("generator/path_length")) is not None:
            cast(style.PathLength, self.networks["path"]).follow(length)
        if clip := self.settings.weight_clip:
            with torch.no_grad():
                for weight in self.networks["discriminator"].parameters():
                    weight.clamp_(-clip, clip)
        if self.settings.augment_target:
            cast(AdaptiveProbability, self.networks["augmentation"]).follow(
                values["discriminator/real_sign"], len(batch)
            )
        self._remember(batch.step + 1)

    def preview(self, batch: Batch) -> Tensor:
        """Return samples from the batch's latents and labels."""
        return self.sample(batch.normal(self.latent), self.label(batch))

    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] from latents (N, latent), and labels (N,) if conditional."""
        return self.generated(latent, label).float().clamp(0, 1)

    @torch.no_grad()
    def _real_without_gradient(self, batch: Batch) -> Judged:
        return self.judged(batch, batch.image, "real")

    def _gradient_penalties(self, batch: Batch, real: Judged, fake: Judged) -> dict[str, Tensor]:
        """Return the weighted penalties on the discriminator's gradient: at the pictures, or at others made of them."""
        settings, terms = self.settings, {}
        if weight := settings.r1:
            terms["r1"] = weight / 2 * penalties.squared_gradient(real.scores, real.image)
        if weight := settings.r2:
            terms["r2"] = weight / 2 * penalties.squared_gradient(fake.scores, fake.image)
        if weight := settings.gradient_penalty:
            position = batch.uniform(1, 1, 1, stream="interpolation")
            position = position[:: settings.packing].repeat_interleave(settings.packing, dim=0)  # one for each pack
            between = penalties.between(real.image, fake.image, position)
            terms["gradient_penalty"] = weight * penalties.unit_gradient(self._scorer(batch, "between"), between)
        if weight := settings.dragan:
            around = penalties.around(real.image, batch.normal(*real.image.shape[1:], stream="around"))
            terms["dragan"] = weight * penalties.unit_gradient(self._scorer(batch, "around"), around)
        return terms

    def _scorer(self, batch: Batch, stream: str) -> penalties.Score:
        return lambda image: self.judged(batch, image, stream).scores

    def _terms_of_both(self, player: str, fake: Judged, latent: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms that the losses of both players have."""
        terms = {}
        if self.code.length:
            read = self.networks["code"](fake.features)
            terms["information"] = -self.settings.information * self.code.information(read, latent)
        if weight := self.settings.historical_averaging:
            terms["historical_averaging"] = weight * self._histories()[player].distance(self._modules()[player])
        return terms

    def _ahead(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """Return whether real scores are above the middle, or above those of fakes if the loss has none: 1 or -1."""
        middle = self.adversarial.middle
        return (real_scores - (fake_scores if middle is None else middle)).sign()

    def _remember(self, step: int) -> None:
        if self.settings.historical_averaging:
            for player, module in self._modules().items():
                self._histories()[player].follow(module, step)

    def _histories(self) -> Mapping[str, History]:
        return cast(Mapping[str, History], self.networks["history"])

    def _modules(self) -> dict[str, nn.Module]:
        return {player.name: player.module for player in self.players()}


def feature_distance(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean square of the difference of mean features, of real and fake (N, F) (Salimans et al., 2016, 3.1).

    Differs from the paper: the mean over features instead of the sum, so a weight suits any network.
    """
    return (fake.float().mean(0) - real.float().mean(0)).square().mean()
