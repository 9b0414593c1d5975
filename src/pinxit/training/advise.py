"""The advisor: short trials on throw-away networks propose settings for these pictures before a long training.

It looks at one kind of setting after another (`STAGES`), each time around what is best so far. Every trial begins with
the same weights and trains with as many pictures. What the watch reads in its last windows decides: how unlike the
pictures samples are (`distance`: `nearest` and `coverage`), and how far the discriminator knows its training
pictures by heart. A trial with a grave finding never wins. A change that gains less than `BETTER` is not worth it.

A trial depends on nothing but the recipe and the pictures. How many there are depends on the machine's speed: they take
at most a tenth of the training, or a minute.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pinxit import models
from pinxit.data import DataSet
from pinxit.errors import DivergedError, UsageError
from pinxit.objectives.settings import GANSettings
from pinxit.progress import duration, say
from pinxit.settings import flagged
from pinxit.tensors import read_tensors
from pinxit.threads import placed
from pinxit.training.curves import EVERY, Windows
from pinxit.training.diagnosis import judge
from pinxit.training.diagnosis.adversaries import distance, known_by_heart
from pinxit.training.diagnosis.course import Course
from pinxit.training.diagnosis.remedies import anew
from pinxit.training.plan import build_trainer, build_watch, refuse_misfit, with_steps
from pinxit.training.recipes import FEW, PLAIN, Chosen, Recipe
from pinxit.training.run import rounded
from pinxit.training.watch import LEAST

LOOKS = 6
"""Looks of the watch in a trial; with few pictures a step there are more."""

LAST = 3
"""Looks at the end of a trial that count."""

SECONDS, SHARE = 60.0, 0.1
"""What all trials may take: a minute, or this share of the training."""

TIMED = 10
"""Steps after which the cost of a trial is known."""

BETTER = 0.05

Change = Mapping[str, Any]
Options = Callable[[GANSettings, Recipe, int], Iterator[Change]]
"""Other values to try around a recipe, by field; the number is that of training pictures."""


class Trial(NamedTuple):
    """What became of a change: how unlike the pictures samples are, what is wrong, and the seconds of a step."""

    change: Change
    unlike: float
    ill: tuple[str, ...]
    seconds: float

    @property
    def rank(self) -> tuple[bool, float]:
        """The lowest is the best."""
        return bool(self.ill), self.unlike


@dataclass
class Advice:
    """A recipe, what was changed in it and why, the expected time and memory, and the command that trains by it."""

    recipe: Recipe
    change: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    seconds: float = 0.0
    """Of the training."""
    gigabytes: float = 0.0
    """The largest memory of this process so far, or that of the GPU."""

    @property
    def command(self) -> str:
        """The command that trains by the advice."""
        return anew(self.recipe, self.change)

    def lines(self) -> Iterator[str]:
        """Yield the advice in sentences, and last the command."""
        yield from self.reasons
        if self.trials:
            yield f"Training takes about {duration(self.seconds)} and {self.gigabytes:.1f} GB of memory:"
        yield self.command

    def document(self) -> dict[str, Any]:
        """Return the advice for JSON."""
        trials = [
            {**trial._asdict(), "unlike": trial.unlike if math.isfinite(trial.unlike) else None}
            for trial in self.trials
        ]
        return {
            "change": self.change,
            "reasons": self.reasons,
            "command": self.command,
            "seconds": round(self.seconds, 1),
            "gigabytes": round(self.gigabytes, 2),
            "trials": trials,
        }


def rates(settings: GANSettings, recipe: Recipe, count: int) -> Iterator[Change]:
    """Yield a third of the learning rate, and three times it."""
    for share in (1 / 3, 3):
        yield {"learning_rate": float(f"{settings.learning_rate * share:.1g}")}


def penalties(settings: GANSettings, recipe: Recipe, count: int) -> Iterator[Change]:
    """Yield other weights of the penalty on the discriminator's gradient; with the first, batch normalisation goes."""
    field = "gradient_penalty" if settings.gradient_penalty else "r1"
    weight = getattr(settings, field)
    if settings.network == "dcgan" and settings.discriminator_norm == "batch":
        yield from ({"discriminator_norm": "none", "r1": value} for value in (0.1, 1.0))
    else:
        both = ("r1", "r2") if field == "r1" and weight and settings.r2 == weight else (field,)
        values = (weight / 10, weight * 10) if weight else (0.1, 1.0)
        yield from (dict.fromkeys(both, float(f"{value:.2g}")) for value in values)


def batches(settings: GANSettings, recipe: Recipe, count: int) -> Iterator[Change]:
    """Yield half the batch, and twice it."""
    size = recipe.training.batch_size
    yield from ({"batch_size": other} for other in (size // 2, size * 2) if 8 <= other <= count)


def augmentations(settings: GANSettings, recipe: Recipe, count: int) -> Iterator[Change]:
    """Yield augmentations of what the discriminator sees, for few pictures that have none yet."""
    if count < FEW and settings.augment_discriminator == "none":
        yield from ({"augment_discriminator": names} for names in ("translation", "colour,translation"))


STAGES: dict[str, Options] = {
    "learning rate": rates,
    "penalty": penalties,
    "augmentation": augmentations,
    "batch size": batches,
}
"""What is looked at, in this order."""


def advise(
    recipe: Recipe,
    pictures: DataSet,
    given: Collection[str],
    most: int | None = None,
    start: str | Path | None = None,
) -> Advice:
    """Return advice on a planned recipe of a GAN. Fields whose names are `given` stay as they are.

    `most` is the number of trials; by default as many as the time allows. `start` has the weights that training starts
    from. Raises `UsageError` for another objective.
    """
    if not isinstance(recipe.settings, GANSettings):
        raise UsageError("--advise and --auto are for `pinxit train gan`")
    advice, left = Advice(recipe), Allowance(recipe, most, read_tensors(models.find(start)) if start else {})
    if len(pictures.train) < LEAST:
        advice.reasons.append(f"Nothing is proposed: trials compare samples with {LEAST} pictures or more.")
        return advice
    best = left.trial(recipe, pictures, {})
    if best is None:
        advice.reasons.append("Nothing is proposed: trials would take longer than a tenth of the training.")
        return advice
    advice.trials.append(best)
    for stage, options in STAGES.items():
        trials = list(_stage(advice, options, pictures, given, left))
        if not trials:
            continue
        chosen = min(trials, key=lambda trial: trial.rank)
        wins = chosen.rank < (bool(best.ill), best.unlike * (1 - BETTER))
        advice.reasons.append(_reason(stage, best, chosen, wins))
        advice.trials += trials
        if wins:
            best = chosen
            advice.change |= chosen.change
            advice.recipe = having(advice.recipe, chosen.change)
    if advice.change:
        advice.recipe = with_steps(_explained(advice), pictures.train)
    training = advice.recipe.training
    advice.seconds = training.steps * best.seconds if training.minutes is None else training.minutes * 60
    advice.gigabytes = memory(recipe.hardware.device)
    return advice


def _stage(
    advice: Advice, options: Options, pictures: DataSet, given: Collection[str], left: Allowance
) -> Iterator[Trial]:
    """Yield the trials of a stage, as long as there is time."""
    recipe = advice.recipe
    for change in options(recipe.settings, recipe, len(pictures.train)):  # type: ignore[arg-type]
        if change.keys() & set(given):
            continue
        try:
            tried = having(recipe, change)
            refuse_misfit(tried)
        except UsageError:
            continue
        if (trial := left.trial(tried, pictures, change)) is not None:
            yield trial


class Allowance:
    """The time that trials may take, and what they have taken. All of them begin with the same weights."""

    def __init__(self, recipe: Recipe, most: int | None, weights: Mapping[str, Tensor]) -> None:
        self.most, self.trials, self.pictures = most, 0, LOOKS * EVERY * recipe.training.batch_size
        self.weights = weights
        self.training, self.begun = recipe.training, time.perf_counter()

    def trial(self, recipe: Recipe, pictures: DataSet, change: Change) -> Trial | None:
        """Return a trial; None if there is no time for it, as a few steps tell; then there are no more."""
        if self.trials == self.most:
            return None
        trainer = build_trainer(recipe, pictures.train)
        if self.weights:
            trainer.begin(self.weights)
        trainer.watch = build_watch(recipe, pictures, trainer)
        windows, steps = Windows(), max(LAST * EVERY, self.pictures // recipe.training.batch_size) + 1
        begun = time.perf_counter()
        with placed(trainer.hardware.threads):
            for step in range(1, steps + 1):
                try:
                    windows.add(step, rounded(trainer.advance().values))
                except DivergedError:
                    return self._judged(recipe, windows, change, begun, step, "not finite")
                if step == TIMED and not self._affords((time.perf_counter() - begun) / TIMED, steps):
                    self.most = self.trials
                    return None
        return self._judged(recipe, windows, change, begun, steps)

    def _affords(self, seconds: float, steps: int) -> bool:
        """Say whether a trial of so many steps fits into what is left."""
        whole = self.training.steps * seconds if self.training.minutes is None else self.training.minutes * 60
        passed = time.perf_counter() - self.begun
        return self.most is not None or passed + seconds * (steps - TIMED) <= max(SECONDS, SHARE * whole)

    def _judged(self, recipe: Recipe, windows: Windows, change: Change, begun: float, steps: int, *ill: str) -> Trial:
        self.trials += 1
        found = [finding.name for finding in judge(windows, recipe, ended=False) if finding.grave]
        course = Course(windows, recipe, ended=False)
        unlike = distance(course)[-LAST:] + np.nan_to_num(known_by_heart(course)[-LAST:]).clip(0, 1)
        mean = float(np.mean(unlike)) if np.isfinite(unlike).all() and len(unlike) else math.inf
        trial = Trial(change, round(mean, 3), (*ill, *found), (time.perf_counter() - begun) / steps)
        say(f"trial {self.trials}, {_flags(change) or 'as it is'}: {_found(trial)}")
        return trial


def having(recipe: Recipe, change: Change) -> Recipe:
    """Return a recipe with some settings changed."""
    for name, value in change.items():
        recipe = recipe.having(name, value)
    return recipe


def _flags(change: Change) -> str:
    return " ".join(word for name, value in change.items() for word in flagged(name, value))


def _reason(stage: str, before: Trial, chosen: Trial, wins: bool) -> str:
    """Return in a sentence why a stage changed something, or nothing."""
    what, found, was = _flags(chosen.change), _found(chosen), _found(before)
    if wins:
        return f"{stage}: {what}, because samples are then {found} from being like the pictures, and {was} without."
    return f"{stage}: as it is, because samples are {was} from being like the pictures, and {found} with {what}."


def _explained(advice: Advice) -> Recipe:
    """Return the recipe with the reason of its changes."""
    chosen = advice.recipe.chosen or Chosen(recipe=PLAIN, because="")
    why = f"{chosen.because}; {len(advice.trials)} short trials then chose {_flags(advice.change)}".removeprefix("; ")
    return advice.recipe.changed(chosen=chosen.changed(because=why).model_dump())


def memory(device: str) -> float:
    """Return the largest memory so far in GB, of this process or of the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _found(trial: Trial) -> str:
    far = f"{trial.unlike:.2f}" if math.isfinite(trial.unlike) else "infinitely far"
    return far + (f" ({', '.join(trial.ill)})" if trial.ill else "")
