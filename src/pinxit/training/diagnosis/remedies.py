"""Changes of one setting that may help, and the command that trains again with one. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pinxit.data.settings import DataSettings
from pinxit.losses.latent import PENALTIES
from pinxit.objectives.settings import VAESettings
from pinxit.page import command
from pinxit.settings import Flag, Settings, flagged
from pinxit.training.recipes import PLAIN, Recipe
from pinxit.training.settings import TrainingSettings

HOW = ("device", "precision", "threads", "minutes")  # of the machine, not of the model

Change = Callable[[Recipe], Mapping[str, Any] | None]
"""A setting and its other value that may help, by field; None where it does not apply."""


def rate(share: float) -> Change:
    """Return the change of the learning rate to a share of what it is, and to 1 at most."""
    return lambda recipe: {"learning_rate": min(1.0, _short(recipe.settings.learning_rate * share))}


def usual_rate(below: float) -> Change:
    """Return the change to the objective's default learning rate where the recipe's is below a share of it."""

    def change(recipe: Recipe) -> Mapping[str, Any] | None:
        usual = type(recipe.settings).model_fields["learning_rate"].default
        return {"learning_rate": usual} if recipe.settings.learning_rate < below * usual else None

    return change


def one_rate(recipe: Recipe) -> Mapping[str, Any] | None:
    """Return one learning rate for both players if they have two: that which is nearer to the default."""
    settings = recipe.settings
    own, model = getattr(settings, "discriminator_rate", None), settings.learning_rate
    if own in (None, model):
        return None
    usual = type(settings).model_fields["learning_rate"].default
    own_is_nearer = abs(math.log(own / usual)) < abs(math.log(model / usual))
    return {"learning_rate": own} if own_is_nearer else {"discriminator_rate": model}


def slower_discriminator(recipe: Recipe) -> Mapping[str, Any]:
    """Return a quarter of the discriminator's learning rate."""
    settings = recipe.settings
    return {"discriminator_rate": _short((getattr(settings, "discriminator_rate", None) or settings.learning_rate) / 4)}


def when(field: str, found: Any, better: Any) -> Change:
    """Return the change of a setting that has one value to another."""
    return lambda recipe: {field: better} if _value(recipe, field) == found else None


def above(field: str, least: float, share: float) -> Change:
    """Return the change of a setting that is above a value to a share of what it is."""
    return lambda recipe: (
        {field: type(value)(_short(value * share))} if (value := _value(recipe, field) or 0) > least else None
    )


far_too_fast = above("learning_rate", 0.02, 0.1)
"""A tenth of a learning rate with which no network is known to train."""


def at_most(field: str, most: float) -> Change:
    """Return the change of a setting that is above a value to that value."""
    return lambda recipe: {field: most} if (_value(recipe, field) or 0) > most else None


def penalised(recipe: Recipe) -> Mapping[str, Any] | None:
    """Return an R1 penalty, or ten times the one there is, where the discriminator can have one."""
    settings = recipe.settings
    blended = getattr(settings, "network", "") == "dcgan" and getattr(settings, "discriminator_norm", "") == "batch"
    weight = getattr(settings, "r1", None)
    return None if weight is None or blended else {"r1": _short(weight * 10) if weight else 1.0}


def free_bits(recipe: Recipe) -> Mapping[str, Any] | None:
    """Return some KL that is free, where codes have a KL that nothing else bounds."""
    settings = recipe.settings
    if not isinstance(settings, VAESettings) or settings.importance > 1 or settings.pseudo_inputs:
        return None
    return None if PENALTIES[settings.penalty].posterior == "point" or settings.free_bits else {"free_bits": 0.1}


def more_steps(recipe: Recipe) -> Mapping[str, Any]:
    """Return twice the steps."""
    return {"steps": recipe.training.steps * 2}


def _short(value: float) -> float:
    return float(f"{value:.2g}")


def _value(recipe: Recipe, field: str) -> Any:
    return next(
        (getattr(part, field) for part in (recipe.settings, recipe.data, recipe.training) if hasattr(part, field)), None
    )


def anew(recipe: Recipe, change: Mapping[str, Any]) -> str:
    """Return the command that trains again as the recipe says, with some settings changed.

    A prior learns the codes of a run, whose folder the recipe does not know.
    """
    settings, minutes = recipe.settings, recipe.training.minutes
    usual = settings.pictures(), TrainingSettings.parse(dict(settings.training))
    length = {"steps"}
    if minutes is not None and "steps" not in change:
        length, change = set(), {**change, "steps": usual[1].steps}
    pictures = usual[0] if settings.of_codes else _pictures(recipe)
    words = [
        *_flags(settings, type(settings)(), change, change.keys()),
        *_flags(pictures, usual[0], change, change.keys()),
        *_flags(recipe.training, usual[1], change, {"seed"} | length | (change.keys() - {"steps"})),
        *(() if length else ("--minutes", f"{minutes:g}")),
        *(("--recipe", PLAIN) if recipe.chosen and recipe.chosen.recipe != PLAIN else ()),  # the flags say it all
    ]
    source = ("RUN",) if settings.of_codes else _sources(recipe)
    return command("train", recipe.objective, *source, *words)


def _pictures(recipe: Recipe) -> DataSettings:
    """Return the settings by which a recipe draws its pictures."""
    kind = recipe.settings.pictures
    known = {field: getattr(recipe.data, field) for field in kind.model_fields if hasattr(recipe.data, field)}
    kinds = recipe.data.kinds()._asdict() if recipe.data.target else {}
    return kind().changed(**known, **{name: value for name, value in kinds.items() if name != "second"})


def _sources(recipe: Recipe) -> Iterator[str]:
    """Yield where the pictures are, and where those that they become are, if that is another place."""
    yield recipe.data.source
    if recipe.data.target and (second := recipe.data.kinds().second):
        yield str(second)


def _flags(part: Settings, usual: Settings, change: Mapping[str, Any], always: Collection[str] = ()) -> Iterator[str]:
    """Yield the flags of the settings that differ from the usual ones."""
    for field in type(usual).model_fields:
        value = change.get(field, getattr(part, field))
        if field in HOW or (value == getattr(usual, field) and field not in always):
            continue
        yield from flagged(field, value, usual.marked(field, Flag))
