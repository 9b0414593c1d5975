"""What a training leaves in its run's folder for use: weights, facts, sheets of samples, samplers of latents."""

from __future__ import annotations

import math
from typing import Any

from pinxit.data import Batch, ImageSet
from pinxit.images import grid, save_sheet
from pinxit.images.convert import to_uint8
from pinxit.objectives.mixture import flattened
from pinxit.objectives.objective import Detector, Generative, Predictor
from pinxit.progress import show
from pinxit.settings import BASE_NAMES, sides
from pinxit.tensors import write_tensors
from pinxit.training.plan import batch_of
from pinxit.training.run import Run, machine
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

SHEETS = 16
SHEET = "{:07d}.png"
SHEET_PICTURES, SHEET_PIXELS = 64, 64 * 256 * 256  # a sheet of large pictures shows fewer
JUDGED = 256
CODED = 10_000


def publish(run: Run, trainer: Trainer) -> None:
    """Write the weights for use.

    They state the settings that stand in the recipe's file, so those of an older run stay the same bytes.
    """
    about = run.recipe.model_dump_json(
        include={"objective", "settings", "data"},
        exclude={"data": {"source"}},
        exclude_unset=True,
        context=BASE_NAMES,
    )
    write_tensors(run.weights, trainer.average.state_dict(), about, run.folder)


def note(run: Run, step: int, seconds: float) -> None:
    """Write the facts of the run after `step` steps that took so many seconds."""
    training = run.recipe.training
    images = step * training.batch_size
    run.note(
        steps=step,
        images=images,
        seconds=seconds,
        images_per_second=round(images / max(seconds, 1e-9), 1),
        finished=step == training.steps,
        machine=machine(),
    )


def sheet_steps(training: TrainingSettings) -> set[int]:
    """Return the steps after which a sheet is written: denser at the start, where more changes; and the last."""
    found: set[int] = set()
    for start, last in training.plans():
        planned = {max(1, round(last * (part / SHEETS) ** 2)) for part in range(1, SHEETS + 1)}
        found = {step for step in found if step <= start} | {step for step in planned if step > start}
    return found | {training.steps}


def write_sheet(run: Run, trainer: Trainer, images: ImageSet) -> None:
    """Write a sheet of the averaged model's output for fixed latents and pictures."""
    shown = min(SHEET_PICTURES, SHEET_PIXELS // math.prod(sides(run.recipe.data.size)))
    batch = batch_of(run.recipe, images, step=0, size=shown)
    with trainer.averaged() as objective:
        made = objective.preview(batch.to(trainer.hardware.device, trainer.hardware.memory_format))
    sheet = run.samples / SHEET.format(trainer.step)
    save_sheet(sheet, grid(to_uint8(made)), run.folder)
    show(sheet, f"samples of step {trainer.step:,}")


def remove_later_sheets(run: Run, reached: int) -> None:
    """Remove the sheets of steps that a killed session took in vain: another plan may not come to them again."""
    for sheet in run.samples.glob("*.png"):
        step = int(sheet.stem) if sheet.stem.isdecimal() else 0
        if step > reached and sheet.name == SHEET.format(step) and sheet.is_file():
            sheet.unlink()


def fit_samplers(run: Run, trainer: Trainer, images: ImageSet) -> None:
    """Write the samplers of latents fitted to at most `CODED` training pictures.

    Each picture is used once, without augmentation. Equal weights give equal bytes.
    """
    if not isinstance(trainer.objective, Generative):
        return
    size = run.recipe.training.batch_size
    steps = range(max(1, min(CODED, len(images)) // size))
    with trainer.averaged():
        fitted = trainer.objective.fit_samplers(_plain(run, trainer, images, step, size) for step in steps)
    if fitted:
        write_tensors(run.samplers, flattened(fitted), inside=run.folder)


def calibrate(run: Run, trainer: Trainer, held_out: ImageSet) -> None:
    """Fit what a recogniser says of its certainty to at most `CODED` held-out pictures, each used once."""
    if not isinstance(trainer.objective, Predictor | Detector) or not len(held_out):
        return
    size = min(run.recipe.training.batch_size, len(held_out))
    steps = range(min(CODED, len(held_out)) // size)
    with trainer.averaged():
        trainer.objective.calibrate(_plain(run, trainer, held_out, step, size) for step in steps)


def judgement(run: Run, trainer: Trainer, held_out: ImageSet) -> dict[str, Any]:
    """Return how good the averaged model is, for a checkpoint; nothing if that cannot be said."""
    known = trainer.objective.judgement
    if known is None or not len(held_out):
        return {}
    batch = _plain(run, trainer, held_out, 0, min(JUDGED, len(held_out)))
    with trainer.averaged():
        value = known.read(batch)
    return {"judgement": {"name": known.name, "best": known.best, "value": value}}


def _plain(run: Run, trainer: Trainer, images: ImageSet, step: int, size: int) -> Batch:
    """Return rows of a step without augmentation, on the networks' device."""
    batch = batch_of(run.recipe, images, step, size, augment=False)
    return batch.to(trainer.hardware.device, trainer.hardware.memory_format)
