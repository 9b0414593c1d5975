"""From a request to a trainer: every open choice is made, reported and recorded before the first step."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from statistics import mean
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pinxit import hardware, models
from pinxit.data import Batch, DataSet, ImageSet, batch_at, draws
from pinxit.data.settings import Augment, DataSettings
from pinxit.errors import DataError, MemoryLimitError, UsageError
from pinxit.files import sha256
from pinxit.images.room import too_little_for
from pinxit.models import load, of_recipe
from pinxit.nets.meta import without_memory
from pinxit.nets.shapes import PictureShape
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.gan import GAN
from pinxit.objectives.objective import Autoencoder, Objective
from pinxit.objectives.recognition import Recognition
from pinxit.objectives.settings import ObjectiveSettings, PriorSettings
from pinxit.objectives.translation import Translation
from pinxit.page import command
from pinxit.progress import duration, say
from pinxit.settings import Size, sides
from pinxit.threads import placed
from pinxit.training.features import Batches, described, features_at
from pinxit.training.pictures import opened, pictures_of
from pinxit.training.recipes import (
    FITTING,
    PLAIN,
    Chosen,
    DataRecipe,
    Fitting,
    HardwareRecipe,
    Known,
    Recipe,
    TargetRecipe,
    TrainingRecipe,
    filled,
    fitting,
)
from pinxit.training.run import RECIPE, Run
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer
from pinxit.training.watch import LEAST, PICTURES, REFERENCE, Watch

TIMED_STEPS, WARMING_STEPS = 30, 5
TIMED_SHARE = 0.02  # of the minutes: how long steps are timed at most
READ_AT_ONCE = 16  # pictures that the watch compares with
FEW_BATCHES = 4  # that make up a look of the watch, if they have few pictures
KEPT_COPIES = 3  # of the weights, at least: themselves, their gradients, and an average or moments
WATCHED = 1 << 40  # a step that no training reaches: its rows and latents are the watch's own
OTHER_SEED = 1 << 62  # added for the second set, which may be the first: the two are drawn in different orders


def plan(
    settings: ObjectiveSettings,
    source: str,
    pictures: DataSet,
    data: DataSettings,
    training: TrainingSettings,
    asked: Chosen | None = None,
) -> Recipe:
    """Return the recipe with every choice made: picture size, channels, hardware and the number of steps.

    `asked` is a row of `FITTING`; if None, it is chosen by the pictures. It fills in what the settings, the data and
    the training leave open.
    """
    images = pictures.train
    objective = next(name for name, kind in OBJECTIVES.items() if isinstance(settings, kind))
    size, why = data.size_for(images.own_size)
    high, wide = sides(size)
    say(f"training at {wide} x {high} pixels, {why}")
    chosen = _chosen(objective, asked, settings, images, size)
    asked_for = settings
    if chosen:
        row = FITTING[objective][chosen.recipe]
        flags = row.flags(settings.model_fields_set | data.model_fields_set | training.model_fields_set)
        say(f"{chosen}: {flags}" if flags else str(chosen))
        settings, data = filled(settings, row.settings), filled(data, row.data)
        training = filled(training, row.training)
        asked_for = filled(asked_for, {name: value for name, value in row.settings.items() if name == "network"})
    for remark in (*asked_for.remarks(), *settings.remarks_on(pictures)):
        say(remark)
    second, example = settings.others(), settings.example()
    other = opened(str(second), data).train if second else pictures.other
    place = str(second or data.kinds().second or source)
    recipe = Recipe(
        objective=objective,
        settings=settings,
        chosen=chosen,
        data=_drawn(source, images, data, size, _target(pictures, data) if settings.opens == "kinds" else None),
        others=_drawn(place, other, data, size) if other else None,
        training=TrainingRecipe(**training.model_dump(exclude_unset=True)),
        example=sha256(example) if example else None,
        hardware=_hardware(training),
    )
    return with_steps(recipe, images)


def _chosen(
    objective: str, asked: Chosen | None, settings: ObjectiveSettings, images: ImageSet, size: Size
) -> Chosen | None:
    """Return the recipe for a set of pictures: the plain one if the usual does not go with what the user gave.

    Raises `UsageError` if that one was asked for, or if no recipe goes with it.
    """
    chosen = fitting(objective, asked, Known(len(images), images.channels, images.transparent, size))
    if chosen is None:
        return None
    row, shape = FITTING[objective][chosen.recipe], PictureShape(size, images.channels, len(images.classes))
    refusal = _refusal(filled(settings, row.settings), shape)
    if refusal and (alone := _refusal(settings, shape)):
        raise UsageError(alone)
    if refusal and asked:
        raise UsageError(f"recipe {asked.recipe} does not go with what was asked for; --recipe plain does: {refusal}")
    network = None if asked else _other_network(settings, row)
    if not (network or refusal):
        return chosen
    reason = f"--network {network}" if network else f"what was asked for: {refusal}"
    return Chosen(recipe=PLAIN, because=f"because {chosen.recipe} does not go with {reason}")


def _other_network(given: ObjectiveSettings, row: Fitting) -> str | None:
    """Return the network that the user gave if a recipe was measured with another one."""
    measured, asked = filled(type(given)(), row.settings).model_dump()["network"], given.model_dump()["network"]
    return asked if "network" in given.model_fields_set and asked != measured else None


def _refusal(settings: ObjectiveSettings, shape: PictureShape) -> str | None:
    """Return why a model of these settings is refused."""
    try:
        with without_memory():
            models.build(settings, shape)
    except UsageError as error:
        return str(error)
    return None


def _target(pictures: DataSet, data: DataSettings) -> TargetRecipe | None:
    """Return what pictures are to become: their pairs, or the second set."""
    paired = pictures.train.companions.pair
    made = pictures.other if paired is None else paired
    if made is None:
        return None
    asked = data.kinds()
    return TargetRecipe(
        channels=made.channels, colours=made.colours, paired=made is paired, deep=made.dtype != np.uint8,
        layout=asked.layout,
    )  # fmt: skip


def _drawn(
    source: str, images: ImageSet, data: DataSettings, size: Size, target: TargetRecipe | None = None
) -> DataRecipe:
    """Return the recipe of a set of pictures."""
    return DataRecipe(
        **data.model_dump(include=DataRecipe.model_fields.keys() - {"size"}),
        size=size,
        source=source,
        name=images.name,
        fingerprint=images.fingerprint,
        channels=images.channels,
        classes=images.classes,
        colours=images.colours,
        target=target,
    )


def plan_prior(settings: PriorSettings, run: Run, images: ImageSet, training: TrainingSettings) -> Recipe:
    """Return the recipe of a prior over the codes of a finished run, learned from the pictures it was trained on.

    Raises `UsageError` if the run has no codes, `DataError` if it is not finished.
    """
    known = run.recipe
    if known.settings.usual_prior is None:
        raise UsageError(f"a run of '{known.objective}' has no codes; use a run of `pinxit train vae` or `vq`")
    if not run.facts().get("finished"):
        raise DataError(f"{run.folder} is not finished; `{command('resume', run.folder)}` continues it")
    if settings.network == "auto":
        settings = settings.changed(network=known.settings.usual_prior)
        say(f"training a {settings.network}, the usual prior for codes of '{known.objective}'")
    recipe = Recipe(
        objective="prior",
        settings=settings,
        data=known.data,
        training=TrainingRecipe(**training.model_dump(exclude_unset=True)),
        hardware=_hardware(training),
        autoencoder=sha256(run.weights, run.folder),
    )
    autoencoder = cast(Autoencoder, load(run.folder).objective)
    build(recipe, autoencoder)  # refuse a bad request before there is a folder
    return with_steps(recipe, images, autoencoder)


def _hardware(training: TrainingSettings) -> HardwareRecipe:
    chosen = hardware.choose(training.device, training.precision, training.threads)
    say(f"computing on {chosen.describe()}")
    return HardwareRecipe(
        device=str(chosen.device), precision=chosen.precision, threads=chosen.threads, reason=chosen.reason
    )


def with_steps(recipe: Recipe, images: ImageSet, autoencoder: Autoencoder | None = None) -> Recipe:
    """Return the recipe with the steps that fit into its minutes at today's speed; they change with the speed."""
    refuse_misfit(recipe, autoencoder)
    training = recipe.training
    if training.minutes is None:
        return recipe
    budget = training.minutes * 60
    seconds = _seconds_a_step(recipe, images, autoencoder, budget * TIMED_SHARE)
    training = training.changed(steps=max(1, round(budget / seconds)))
    say(f"{training.steps:,} steps of {training.batch_size} pictures at today's speed, about {duration(budget)}")
    return recipe.changed(training=training.model_dump(exclude_unset=True))


def build(recipe: Recipe, autoencoder: Autoencoder | None = None) -> Objective:
    """Return the recipe's objective with the weights that its seed gives; a prior is one over the autoencoder's codes.

    Raises `UsageError` or `DataError` if the recipe makes no sense.
    """
    _, settings, shape = of_recipe(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        return models.build(settings, shape, autoencoder)


def refuse_misfit(
    recipe: Recipe, autoencoder: Autoencoder | None = None, saved: Mapping[str, Tensor] | None = None
) -> None:
    """Compare the recipe's networks, built without memory, with the tensors of a checkpoint and with the memory left.

    Raises `DataError` if they are not those of the checkpoint, `MemoryLimitError` if training them is hopeless.
    """
    _, settings, shape = of_recipe(recipe)
    _refuse_odd_parts(recipe)
    with without_memory():
        tensors = models.build(settings, shape, autoencoder).networks.state_dict()
    for name, value in (saved or {}).items():
        own = tensors.get(name.removeprefix("networks.")) if name.startswith("networks.") else None
        if own is not None and own.shape != value.shape:
            raise DataError(f"{name} is {tuple(value.shape)} in the checkpoint, {tuple(own.shape)} in {RECIPE}")
    training = recipe.training
    high, wide = sides(recipe.data.size)
    networks = sum(value.nbytes for value in tensors.values())
    batch = training.batch_size * recipe.data.channels * high * wide * 4
    needed = KEPT_COPIES * networks + batch
    if recipe.hardware.device == "cpu" and (left := too_little_for(needed)) is not None:
        raise MemoryLimitError(
            f"training needs more than {needed / 1e9:,.1f} GB: {networks / 1e9:,.1f} GB of "
            f"weights {KEPT_COPIES} times, and batches of {batch / 1e9:,.1f} GB; {left / 1e9:,.1f} GB are free; "
            "smaller --channels, --size or --batch-size need less"
        )


def _refuse_odd_parts(recipe: Recipe) -> None:
    """Raise `UsageError` if pictures that the objective needs together would be in different parts of a batch."""
    training, together = recipe.training, recipe.settings.together()
    multiple = training.accumulate * together
    if together > 1 and training.batch_size % multiple:
        raise UsageError(
            f"--batch-size {training.batch_size}: --packing {together} needs a multiple of {multiple}, such as "
            f"{math.ceil(training.batch_size / multiple) * multiple}"
        )
    part = math.ceil(training.batch_size / training.accumulate)
    last = training.batch_size % part or part
    if (least := recipe.settings.at_least()) > last:
        raise UsageError(
            f"--minibatch compares the pictures of a part of a batch, and one of these has {last}; it needs "
            f"{least}, as by --batch-size {least * training.accumulate}"
        )


def build_trainer(recipe: Recipe, images: ImageSet, autoencoder: Autoencoder | None = None) -> Trainer:
    """Return a trainer at step 0 on the recipe's hardware."""
    computing = recipe.hardware
    chosen = hardware.choose(computing.device, computing.precision, computing.threads)
    chosen.apply()
    objective = build(recipe, autoencoder)
    batches: Batches = partial(batch_of, recipe, images, size=recipe.training.batch_size)
    if isinstance(objective, Recognition) and objective.frozen and _still(recipe.data):
        batches = features_at(objective, recipe, images)
    return Trainer(objective, batches, recipe.training, chosen)


def _still(data: DataRecipe) -> bool:
    """Say whether a picture is the same each time that it is drawn."""
    return not data.changes and data.fit != "patch"


def build_watch(recipe: Recipe, pictures: DataSet, trainer: Trainer) -> Watch:
    """Return the watch over a training: what it compares with follows from the recipe's seed and the pictures."""
    training, images = recipe.training, pictures.train
    batch_size = training.batch_size
    rows = math.ceil(batch_size / training.accumulate)
    batches = max(1, min(FEW_BATCHES, PICTURES // batch_size)) if isinstance(trainer.objective, GAN) else 1

    def fixed(images: ImageSet) -> Batch | None:
        if len(images) < LEAST:
            return None
        batch = batch_of(recipe, images, WATCHED, batches * batch_size, augment=False)
        return described(trainer.objective, batch).to(trainer.hardware.device, trainer.hardware.memory_format)

    def once(part: int, numbers: np.ndarray) -> Tensor:
        """Return some training pictures, each once, fitted as in training."""
        few = images.part(numbers, images.name)
        batch = batch_of(recipe, few, WATCHED + part, len(numbers), augment=False)
        known = trainer.objective
        return known.shown("b", known.wanted(batch)) if isinstance(known, Translation) else batch.image

    order = draws.permutation(len(images), training.seed, WATCHED)[:REFERENCE]
    parts = np.array_split(order, math.ceil(len(order) / READ_AT_ONCE))
    reference = (once(part, numbers) for part, numbers in enumerate(parts))
    seen, held_out = fixed(images), fixed(pictures.held_out)
    return Watch(trainer.objective, trainer.hardware, rows, seen, held_out, reference)


def batch_of(recipe: Recipe, images: ImageSet, step: int, size: int, augment: bool = True) -> Batch:
    """Return `size` rows of `images`, and of the second set if there is one, as the recipe draws them at a step.

    `augment=False` leaves the rows of `images` unaugmented.
    """
    data, seed = recipe.data, recipe.training.seed
    batch = batch_at(images, step, size, seed, size=data.size, fit=data.fit, augment=data if augment else Augment())
    if (second := recipe.others) is None:
        return batch
    others = batch_at(_others(second), step, size, seed + OTHER_SEED, size=second.size, fit=second.fit, augment=second)
    return replace(batch, other=others.image)


@cache
def _others(data: DataRecipe) -> ImageSet:
    return pictures_of(data).train


def _seconds_a_step(recipe: Recipe, images: ImageSet, autoencoder: Autoencoder | None, longest: float) -> float:
    """Return the seconds per step, timed for at most about `longest` seconds on a trainer that is thrown away.

    Each batch is drawn once before. A folder's pictures are resized on first use and cached, so the first epoch is
    slower than the rest.
    """
    trainer = build_trainer(recipe, images, autoencoder)
    times: list[float] = []
    begun = time.perf_counter()
    with placed(trainer.hardware.threads):
        while len(times) < TIMED_STEPS and (len(times) < 2 or time.perf_counter() - begun < longest):
            trainer.batches(len(times))
            started = time.perf_counter()
            trainer.advance()
            times.append(time.perf_counter() - started)
    return mean(times[min(WARMING_STEPS, len(times) - 1) :])
