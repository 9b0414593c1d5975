"""The trainer: an iterator of records that moves an objective's players. It knows no method's mathematics."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pinxit.data import Batch
from pinxit.errors import DataError, DivergedError, UsageError
from pinxit.hardware import Hardware
from pinxit.objectives.objective import Objective, Player
from pinxit.training.settings import TrainingSettings
from pinxit.training.watch import Motion, Watch, due

AVERAGE_WARMUP = 10.0
LATE = 1 / 3
"""The share of a run over which the schedule late decays."""


@dataclass(frozen=True)
class Record:
    """One step's terms and readings by 'player/name', with the norm of each player's gradient."""

    step: int
    values: dict[str, float]


class Trainer:
    """Moves an objective's players, one step per iteration, until `settings.steps`.

    A step is a function of (state, step number): batches come from `batches(step)`, noise comes from the batch, and
    nothing from a global generator. With `state` and `load` a stopped run therefore continues bit for bit on the same
    processor type with the same number of threads. A `watch` adds readings to the records and changes nothing else.
    """

    watch: Watch | None = None

    def __init__(
        self,
        objective: Objective,
        batches: Callable[[int], Batch],
        training: TrainingSettings,
        hardware: Hardware,
    ) -> None:
        self.objective, self.batches, self.settings, self.hardware = objective, batches, training, hardware
        self.step = 0
        objective.networks.to(hardware.device, memory_format=hardware.memory_format)  # type: ignore[call-overload]
        self.players = objective.players()
        self.optimisers = {
            player.name: player.optimiser.build(weights(player), hardware.device.type in ("cpu", "cuda"))
            for player in self.players
        }
        self.average = nn.ModuleDict({name: objective.networks[name] for name in objective.model})
        current = self.average.state_dict().values()
        self.average = copy.deepcopy(self.average).requires_grad_(False).eval()
        self.pairs = list(zip(self.average.state_dict().values(), current, strict=True))

    def __iter__(self) -> Iterator[Record]:
        """Yield a record after each step."""
        while self.step < self.settings.steps:
            yield self.advance()

    def advance(self) -> Record:
        """Take one step: move every player whose turn it is, then apply closed-form updates and update the average.

        Raises `DivergedError`, before the player moves, if a term or gradient is not finite, and `DataError` if
        pictures leave [0, 1].
        """
        batch = self.batches(self.step)
        if not self.objective.unclipped:
            check_range(batch.image)
        batch = batch.to(self.hardware.device, self.hardware.memory_format)
        if self.step == 0:
            self.objective.start(batch)
        parts = split(batch, self.settings.accumulate)
        shared = self._draw(batch) if len(parts) == 1 else None
        values: dict[str, float] = {}
        for player in self.players:
            if self.step % player.every == 0:
                losses = [self._backward(player, part, shared, len(part) / len(batch)) for part in parts]
                values |= self._move(player, losses)
        self.objective.after_step(batch, values)
        self._update_average()
        if self.watch is not None and due(self.step):
            values |= self.watch.read()
        self.step += 1
        return Record(self.step, values)

    def state(self) -> dict[str, Tensor]:
        """Return everything a resumed run needs besides the number of steps, as named tensors."""
        state = {f"networks.{name}": value for name, value in self.objective.networks.state_dict().items()}
        state |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for player, optimiser in self.optimisers.items():
            for index, values in optimiser.state_dict()["state"].items():
                state |= {f"optimiser.{player}.{index}.{name}": value for name, value in values.items()}
        return state

    def load(self, state: dict[str, Tensor], step: int) -> None:
        """Continue from `state` after `step` steps; raises `KeyError` or `RuntimeError` if it does not fit."""
        self.objective.networks.load_state_dict(below(state, "networks."))
        self.average.load_state_dict(below(state, "average."))
        for player in self.optimisers:
            self._load_moments(player, _moments(state, player))
        self.step = step

    def adapt(self, state: dict[str, Tensor], step: int, same_optimiser: bool) -> None:
        """Continue after `step` steps from the `state` of networks with other settings.

        Tensors that fit by name and shape are kept; the others are as the seed gives them. A player's moments are kept
        if the optimiser is the same and they fit its weights one by one; otherwise they begin at zero.
        """
        for module, name in ((self.objective.networks, "networks."), (self.average, "average.")):
            module.load_state_dict(fitting(below(state, name), module), strict=False)
        for player, optimiser in self.optimisers.items():
            moments, weights = _moments(state, player), optimiser.param_groups[0]["params"]
            if same_optimiser and _fit(moments, weights):
                self._load_moments(player, moments)
        self.step = step

    def _load_moments(self, player: str, moments: Mapping[int, Mapping[str, Tensor]]) -> None:
        optimiser = self.optimisers[player]
        weights = optimiser.param_groups[0]["params"]
        laid = {
            index: {name: like(weights[index], value) for name, value in values.items()}
            for index, values in moments.items()
        }
        optimiser.load_state_dict({"state": laid, "param_groups": optimiser.state_dict()["param_groups"]})

    def begin(self, weights: Mapping[str, Tensor]) -> int:
        """Load the tensors that fit by name and shape, and return how many of the model's own are missing.

        Of a checkpoint's tensors, those of the networks count. Raises `DataError` if none fits.
        """
        found = fitting(below(weights, "networks.") or weights, self.objective.networks)
        if not found:
            raise DataError(f"none of {len(weights)} tensors fits this network by name and shape; check --channels")
        self.objective.networks.load_state_dict(found, strict=False)
        self.average.load_state_dict(found, strict=False)
        return len(self.average.state_dict().keys() - found.keys())

    @contextmanager
    def averaged(self) -> Iterator[Objective]:
        """Yield the objective with its averaged weights, in evaluation mode and without gradients."""
        networks, average = self.objective.networks, self.average
        kept = {name: networks[name] for name in average}
        networks.eval().update(dict(average.items()))
        try:
            with torch.no_grad(), self.hardware.autocast():
                yield self.objective
        finally:
            networks.update(kept)
            networks.train()

    def _draw(self, batch: Batch) -> Any:
        with self.hardware.autocast():
            return self.objective.draw(batch)

    def _backward(self, player: Player, part: Batch, shared: Any, share: float) -> dict[str, Tensor]:
        """Accumulate the player's gradient on a part of the batch; return terms and readings, times its share."""
        own = self._draw(part) if shared is None else shared
        with self.hardware.autocast():
            loss = player.loss(part, own)
        total = torch.stack([term.float() for term in loss.terms.values()]).sum() * share
        if not total.requires_grad:
            raise UsageError(
                f"the {player.name}'s loss depends on no weights, so nothing can be learned; compute it without "
                "detach(), no_grad() and item()"
            )
        total.backward(inputs=list(player.module.parameters()))
        return {name: value.detach().float() * share for name, value in (loss.terms | loss.readings).items()}

    def _move(self, player: Player, parts: list[dict[str, Tensor]]) -> dict[str, float]:
        """Clip the gradient and step, unless something is not finite; return the values, with one transfer."""
        optimiser = self.optimisers[player.name]
        gradients = [weight.grad for weight in player.module.parameters() if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        sums = {name: torch.stack([part[name] for part in parts]).sum() for name in parts[0]} | {"gradient_norm": norm}
        values = dict(zip(sums, torch.stack(list(sums.values())).tolist(), strict=True))
        self._refuse_non_finite(player, values)
        if self.settings.clip > 0:
            torch.nn.utils.clip_grads_with_norm_(player.module.parameters(), self.settings.clip, norm)
        watched = self.watch is not None and due(self.step, player.every)
        motion = Motion(player.module) if watched else None
        optimiser.param_groups[0]["lr"] = player.optimiser.rate * schedule(self.settings, self.step)
        optimiser.step()
        readings = {} if motion is None else motion.read()
        optimiser.zero_grad()
        named = {f"{player.name}/{name}": value for name, value in values.items()}
        return named | {f"watch/{player.name}/{name}": value for name, value in readings.items()}

    def _refuse_non_finite(self, player: Player, values: dict[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise DivergedError(
                    f"step {self.step + 1}: the {player.name}'s {name.replace('_', ' ')} is {value}; earlier "
                    "checkpoints are good, but a new run needs a smaller --learning-rate, or --clip 1"
                )

    def _update_average(self) -> None:
        """Update the average: average <- d average + (1 - d) weights, where d grows during the first steps."""
        decay = min(self.settings.average, (1 + self.step) / (AVERAGE_WARMUP + self.step))
        averages, weights = zip(*(pair for pair in self.pairs if pair[0].is_floating_point()), strict=True)
        get_ema_multi_avg_fn(decay)(list(averages), list(weights), None)
        for average, count in self.pairs:
            if not average.is_floating_point():
                average.copy_(count)


def weights(player: Player) -> list[nn.Parameter]:
    """Return the weights that a player moves; raises `UsageError` if it has none."""
    found = list(player.module.parameters())
    if not found:
        raise UsageError(
            f"the {player.name} has no weights, so nothing can be learned; make its layers once, in __init__, as "
            "attributes: layers made in the call are others in every call"
        )
    return found


def schedule(settings: TrainingSettings, step: int) -> float:
    """Return the learning rate at `step` as a share of the highest: a linear warm-up, then the chosen schedule."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = progress(settings, step)
    shapes = {
        "constant": 1.0,
        "linear": 1 - done,
        "cosine": (1 + math.cos(math.pi * done)) / 2,
        "late": min(1.0, (1 - done) / LATE),
    }
    return shapes[settings.schedule]


def progress(training: TrainingSettings, step: int) -> float:
    """Return which share of the way from the end of the warm-up to the last step is done at `step`.

    A new plan continues from the share that is done, and reaches 1 at its own last step. Only after the last step of
    the plan before does it begin where it would be if it had always held.
    """
    warmup, done = training.warmup, 0.0
    begun, last = warmup, training.steps
    for number, (start, planned) in enumerate(training.plans()):
        if start > step:
            break
        at = max(start, warmup)
        if number and at < last:
            done += (1 - done) * (at - begun) / max(1, last - begun)
        elif number:
            done = (at - warmup) / max(1, planned - warmup)
        begun, last = at, planned
    return done + (1 - done) * (step - begun) / max(1, last - begun)


def like(weight: Tensor, value: Tensor) -> Tensor:
    """Return `value` in the memory layout of `weight`, as fused optimisers need it; single numbers unchanged."""
    return torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value


def check_range(image: Tensor) -> None:
    """Raise `DataError` if pictures leave [0, 1], as pictures in 0..255 do."""
    low, high = (float(edge) for edge in image.aminmax())
    if not 0 <= low <= high <= 1:
        raise DataError(
            f"training pictures must be in [0, 1], not {low:g} to {high:g}; divide them by the largest possible value"
        )


def split(batch: Batch, parts: int) -> list[Batch]:
    """Return the batch as `parts` batches of equal size, the last one smaller; rows keep their randomness."""
    rows = len(batch.image)
    size = math.ceil(rows / parts)
    return [batch.rows(start, min(start + size, rows)) for start in range(0, rows, size)]


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def fitting(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return those of the tensors that fit the module by name and shape."""
    own = module.state_dict()
    return {name: value for name, value in tensors.items() if name in own and value.shape == own[name].shape}


def _moments(state: dict[str, Tensor], player: str) -> dict[int, dict[str, Tensor]]:
    """Return what a player's optimiser remembers, by the number of the weight and by name."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in below(state, f"optimiser.{player}.").items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = value
    return moments


def _fit(moments: Mapping[int, Mapping[str, Tensor]], weights: Sequence[Tensor]) -> bool:
    """Say whether there are moments of each weight, of its shape; numbers of steps have none."""
    return moments.keys() == set(range(len(weights))) and all(
        value.shape in ((), weights[index].shape) for index, values in moments.items() for value in values.values()
    )
