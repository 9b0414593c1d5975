"""From what a user asks to what computes it: every open choice is made, said and written down before the first step."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch

from pinxit.data import Batch, DataSet, ImageSet, batch_at, open_data, open_packed
from pinxit.data.pack import pack_path
from pinxit.data.settings import DataSettings
from pinxit.errors import DataError
from pinxit.nets.shapes import PictureShape
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.objective import Objective
from pinxit.objectives.settings import ObjectiveSettings
from pinxit.progress import duration, say
from pinxit.training import hardware
from pinxit.training.recipes import DataRecipe, HardwareRecipe, Recipe
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

TIMED_STEPS, WARMING_STEPS = 30, 5


def plan(
    settings: ObjectiveSettings, source: str, pictures: DataSet, data: DataSettings, training: TrainingSettings
) -> Recipe:
    """Return the recipe with every choice made: picture size, channels, hardware and the number of steps."""
    images = pictures.train
    size, why = data.side(images)
    say(f"drawn at {size} x {size} pixels, {why}")
    chosen = hardware.choose(training.device, training.precision, training.threads)
    where = Path(source).expanduser()
    recipe = Recipe(
        objective=next(name for name, kind in OBJECTIVES.items() if isinstance(settings, kind)),
        settings=settings,
        data=DataRecipe(
            **data.model_dump(exclude={"size"}),
            size=size,
            source=str(where.resolve()) if where.exists() else source,
            name=images.name,
            fingerprint=images.fingerprint,
            channels=images.channels,
            classes=images.classes,
        ),
        training=training,
        hardware=HardwareRecipe(
            device=str(chosen.device), precision=chosen.precision, threads=chosen.threads, reason=chosen.reason
        ),
    )
    say(f"computing on {chosen.describe()}")
    if training.minutes is not None:
        seconds = _seconds_a_step(recipe, images)
        training = training.changed(minutes=None, steps=max(1, round(training.minutes * 60 / seconds)))
        say(f"{training.steps:,} steps of {training.batch_size} pictures, about {duration(training.steps * seconds)}")
    return recipe.changed(training=training)


def build(recipe: Recipe) -> Objective:
    """Return the recipe's objective with the weights that its seed gives."""
    shape = PictureShape(recipe.data.size, recipe.data.channels, len(recipe.data.classes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        return recipe.settings.build(shape)


def build_trainer(recipe: Recipe, images: ImageSet) -> Trainer:
    """Return a trainer at step 0, computing as the recipe says."""
    computing = recipe.hardware
    chosen = hardware.choose(computing.device, computing.precision, computing.threads)
    chosen.apply()
    batches = partial(batch_of, recipe, images, size=recipe.training.batch_size)
    return Trainer(build(recipe), batches, recipe.training, recipe.settings, chosen)


def batch_of(recipe: Recipe, images: ImageSet, step: int, size: int) -> Batch:
    """Return `size` rows of `images` as the recipe draws them at a step."""
    data = recipe.data
    return batch_at(images, step, size, recipe.training.seed, size=data.size, fit=data.fit, augment=data)


def _seconds_a_step(recipe: Recipe, images: ImageSet) -> float:
    """Return the seconds a step takes, timed on a trainer that is thrown away.

    The batches are drawn once before: a folder's pictures are fitted when first drawn and kept, so that the first epoch
    would tell nothing about the others.
    """
    trainer = build_trainer(recipe, images)
    for step in range(TIMED_STEPS):
        trainer.batches(step)
    for _ in range(WARMING_STEPS):
        trainer.advance()
    started = time.perf_counter()
    for _ in range(TIMED_STEPS - WARMING_STEPS):
        trainer.advance()
    return (time.perf_counter() - started) / (TIMED_STEPS - WARMING_STEPS)


def pictures_of(recipe: Recipe) -> DataSet:
    """Return the very pictures the recipe names: from the cache by fingerprint, else read again and compared."""
    data = recipe.data
    if pack_path(data.fingerprint).exists():
        return open_packed(data.fingerprint, data.source, data.holdout)
    pictures = open_data(data.source, data.holdout)
    if pictures.train.fingerprint != data.fingerprint:
        raise DataError(f"{data.source} is no longer what the run was trained on; start a new run with `pinxit train`")
    return pictures
