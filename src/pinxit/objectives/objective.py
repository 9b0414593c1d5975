"""An objective is a game: networks, and one or more players who each lower a loss of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.mixture import Mixture
from pinxit.objectives.optimiser import Optimiser


@dataclass(frozen=True)
class Loss:
    """What a player lowers (the sum of `terms`) and what is only recorded (`readings`); all are single numbers."""

    terms: dict[str, Tensor]
    readings: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Player:
    """A network that moves: on every n-th step its optimiser lowers its loss by its parameters, and no others."""

    name: str
    module: nn.Module
    loss: Callable[[Batch, Any], Loss]
    optimiser: Optimiser
    every: int = 1


@dataclass(frozen=True)
class Judgement:
    """A reading on held-out pictures that says which checkpoint is best."""

    name: str
    best: Literal["lowest", "highest"]
    read: Callable[[Batch], float]


class Objective(ABC):
    """What is learned. It owns networks and mathematics, but no optimiser, no device, no file and no log."""

    networks: nn.ModuleDict
    """Everything a checkpoint must hold."""

    model: tuple[str, ...]
    """The names of the networks one needs to use the trained model; their weights are averaged."""

    judgement: Judgement | None = None

    unclipped: bool = False
    """Whether its pictures may leave [0, 1], as noise does that was not clipped."""

    @abstractmethod
    def players(self) -> tuple[Player, ...]:
        """Return the players in the order in which they move."""

    @abstractmethod
    def draw(self, batch: Batch) -> Any:
        """Return what all players share in a step, such as latents and the fakes made from them."""

    @abstractmethod
    def preview(self, batch: Batch) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] by which a person can judge the networks as they are."""

    def start(self, batch: Batch) -> None:  # noqa: B027
        """Set what the first batch decides, before the first step, such as the units that codes are learned in."""

    def after_step(self, batch: Batch) -> None:  # noqa: B027
        """Make the closed-form updates that follow an accepted step, such as clipping weights."""


class Generative(Objective):
    """An objective whose networks make pictures of latents, which is what sampling draws from."""

    latent: int
    """Length of a latent vector."""

    shape: PictureShape
    """The pictures it makes; `classes` is 0 unless one can ask for a class."""

    sampler: str = "prior"
    """The sampler to draw latents from unless another is asked for."""

    @abstractmethod
    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] of latents (N, latent), and labels (N,) if there are classes."""

    def prior(self) -> Mixture | None:
        """Return what latents were assumed to be drawn from while training; None if new ones cannot be drawn."""
        return Mixture.normal(self.latent)

    def fit_samplers(self, batches: Iterable[Batch]) -> dict[str, Mixture]:
        """Return other distributions of latents by name, fitted to training pictures when training is over."""
        return {}
