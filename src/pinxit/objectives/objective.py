"""Objectives: networks, and one or more players that each lower a loss of their own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.nets.shapes import PictureShape, Planes
from pinxit.objectives.mixture import Mixture
from pinxit.objectives.optimiser import Optimiser
from pinxit.objectives.settings import ObjectiveSettings


@dataclass(frozen=True)
class Loss:
    """The `terms` whose sum a player lowers, and `readings` that are only recorded; all are single numbers."""

    terms: dict[str, Tensor]
    readings: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Player:
    """A network in training: at every n-th step its optimiser changes its own parameters, to lower its loss."""

    name: str
    module: nn.Module
    loss: Callable[[Batch, Any], Loss]
    optimiser: Optimiser
    every: int = 1


@dataclass(frozen=True)
class Judgement:
    """A score of held-out pictures that decides which checkpoint is best."""

    name: str
    best: Literal["lowest", "highest"]
    read: Callable[[Batch], float]


class Objective(ABC):
    """What is learned. It owns networks and mathematics, but no device, no file and no log."""

    settings: ObjectiveSettings

    player: str
    """The name of the player that moves the model."""

    networks: nn.ModuleDict
    """Everything a checkpoint must hold."""

    model: tuple[str, ...]
    """The names of the networks that the trained model consists of; their weights are averaged."""

    judgement: Judgement | None = None

    unclipped: bool = False
    """Whether its pictures may leave [0, 1], as unclipped noise does."""

    def players(self) -> tuple[Player, ...]:
        """Return the players in the order in which they move: one that moves the model, unless overridden."""
        model = nn.ModuleDict({name: self.networks[name] for name in self.model})
        return (Player(self.player, model, self.loss, self.settings.player_optimiser()),)

    def loss(self, batch: Batch, shared: Any) -> Loss:
        """Return the loss of the player that moves the model, for the usual `players`."""
        raise NotImplementedError

    @abstractmethod
    def draw(self, batch: Batch) -> Any:
        """Return what all players share in a step, such as latents and their fakes; called once per step."""

    @abstractmethod
    def preview(self, batch: Batch) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] that show a person how well the networks do."""

    def start(self, batch: Batch) -> None:  # noqa: B027
        """Initialise what depends on data, such as the units of codes, from the first batch."""

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:  # noqa: B027
        """Apply closed-form updates after an accepted step, such as clipping weights.

        `values` has the terms and readings of the players that moved, by 'player/name', over the whole batch.
        """


class Generative(Objective):
    """An objective that makes pictures from latents."""

    latent: int
    """Length of a latent vector."""

    shape: PictureShape
    """The pictures it makes; `classes` is 0 unless a class can be asked for."""

    codebook_size: int = 0
    """How many values each number of a latent can have if latents index a codebook; 0 if they are real numbers."""

    sampler: str = "prior"
    """The sampler of latents unless another is asked for."""

    @abstractmethod
    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] of latents (N, latent), and labels (N,) if there are classes."""

    def label(self, batch: Batch) -> Tensor | None:
        """Return the batch's labels if a class can be asked for."""
        return batch.label if self.shape.classes else None

    def prior(self) -> Mixture | None:
        """Return the distribution that training assumed of latents; None if it assumed none."""
        return Mixture.normal(self.latent)

    def fit_samplers(self, batches: Iterable[Batch]) -> dict[str, Mixture]:
        """Return other distributions of latents by name, fitted to training pictures after training."""
        return {}


class Predictor(Objective):
    """An objective that tells which class pictures belong to."""

    shape: PictureShape
    """The pictures it reads; `classes` says how many classes it knows."""

    @property
    @abstractmethod
    def temperature(self) -> float:
        """Return what logits are divided by before they become probabilities."""

    @property
    @abstractmethod
    def least(self) -> float:
        """Return the log-sum-exp of logits below which a picture is unlike all that was learned."""

    @abstractmethod
    def logits(self, image: Tensor) -> Tensor:
        """Return the class logits (N, K) of pictures (N, C, H, W) in [0, 1], float32."""

    @abstractmethod
    def maps(self, image: Tensor) -> Tensor:
        """Return the last maps (N, C, h, w) of pictures, of which `of_maps` makes logits."""

    @abstractmethod
    def of_maps(self, maps: Tensor) -> Tensor:
        """Return the class logits (N, K) of last maps."""

    @abstractmethod
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Fit `temperature` and `least` to held-out pictures, after training."""


class Translator(Objective):
    """An objective that turns pictures of one kind, the side "a", into those of another, "b", and perhaps back."""

    sides: Mapping[str, Planes]
    """What the pictures of both sides are."""

    made: tuple[str, ...]
    """The sides that it can make."""

    @property
    @abstractmethod
    def radius(self) -> int | None:
        """Return how far a made pixel sees to each side, in pixels; None if it sees the whole picture."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Return what origins of tiles must be multiples of, in pixels."""

    @abstractmethod
    def translate(self, planes: Tensor, to: str = "b", seed: int = 0) -> Tensor:
        """Return planes (N, C, H, W) of the other side, in [0, 1], as those of the side `to`, float32 in [0, 1].

        Seeds other than 0 give other results, where the objective was trained for variety.
        """


class Segmenter(Objective):
    """An objective that tells which class each pixel belongs to."""

    shape: PictureShape
    """The pictures it reads; `classes` says how many classes it knows."""

    @abstractmethod
    def logits(self, image: Tensor) -> Tensor:
        """Return the class logits (N, K, H, W) of pictures (N, C, H, W) in [0, 1], float32."""


class Detector(Objective):
    """An objective that finds where objects are, and of which class."""

    shape: PictureShape
    """The pictures it reads; `classes` says how many classes it knows."""

    @abstractmethod
    def boxes(self, image: Tensor) -> list[Tensor]:
        """Return the boxes of each of pictures (N, C, H, W) in [0, 1], the surest first: (k, 6) float32.

        A row is left, top, right and bottom in pixels of the picture, the score in [0, 1], and the class.
        """

    @property
    @abstractmethod
    def least(self) -> Tensor:
        """Return the score (K,) from which on a box of each class is likelier right than wrong."""

    @abstractmethod
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Fit `least` to held-out pictures, after training."""


class Autoencoder(Generative):
    """An objective that also encodes pictures; a code is a latent."""

    player = "autoencoder"

    @property
    def bits_per_pixel(self) -> float:
        """Bits per pixel that a discrete code takes when all its values are equally likely."""
        return self.latent * math.log2(self.codebook_size) / self.shape.pixels

    @abstractmethod
    def encode(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the codes (N, latent), int64 if discrete, of pictures (N, C, H, W) in [0, 1]."""

    @abstractmethod
    def codes(self, batch: Batch) -> Tensor:
        """Return codes (N, latent) of the batch as the decoder was trained on them; a prior learns these."""


class Probabilistic(Autoencoder):
    """An autoencoder with a likelihood, and with a posterior distribution of each picture's code."""

    gaussian: bool
    """Whether posteriors are Gaussians instead of points."""

    @abstractmethod
    def posterior(self, image: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (N, latent) of pictures' codes; the log-variance of a point is -inf."""

    @abstractmethod
    def reconstruct(self, batch: Batch, samples: int = 1) -> Any:
        """Return the batch with `samples` codes per picture decoded, as the three measures below need it."""

    @abstractmethod
    def log_likelihood(self, shared: Any) -> Tensor:
        """Return log p(picture | code) in nats, (N, samples)."""

    @abstractmethod
    def kl(self, shared: Any) -> Tensor:
        """Return the divergence of the posterior from the prior in nats, (N,)."""

    @abstractmethod
    def elbo(self, shared: Any) -> Tensor:
        """Return the evidence lower bound in nats, (N,); for points, the log-likelihood alone."""

    def encode(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the posterior means (N, latent) of pictures (N, C, H, W) in [0, 1]."""
        return self.posterior(image, label)[0]
