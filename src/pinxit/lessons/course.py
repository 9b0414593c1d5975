"""A lesson in use: train a broken GAN for a few seconds, and tell what the watch finds."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinxit.data import Batch, is_packed, mnist, open_data
from pinxit.data.batch import numbers_at
from pinxit.errors import UsageError
from pinxit.hardware import choose, one_thread
from pinxit.images import grid
from pinxit.images.convert import to_float, to_uint8
from pinxit.lessons.gan import TutorialGAN
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.settings import GANSettings
from pinxit.progress import Line
from pinxit.training.curves import Windows
from pinxit.training.diagnosis import Finding, judge
from pinxit.training.plan import WATCHED
from pinxit.training.recipes import DataRecipe, HardwareRecipe, Recipe, TrainingRecipe
from pinxit.training.trainer import Trainer
from pinxit.training.watch import REFERENCE, Watch

SIDE, DIGITS, SHAPES = 28, 8000, 2000
BATCH, SEED = 32, 0
SHOWN = 40  # pictures on a sheet, and as many held out from training for the watch
COLUMNS = 10
SETTINGS = GANSettings(channels=16)


@dataclass(frozen=True)
class Trained:
    """What came of a training: what the watch found, and a sheet of samples (H, W, 1) uint8.

    A training that was refused before its first step has the reason instead, and no sheet.
    """

    findings: tuple[Finding, ...] = ()
    refused: str = ""
    sheet: np.ndarray | None = None

    @property
    def grave(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(finding for finding in self.findings if finding.grave)

    def sentences(self) -> list[str]:
        """Return what is wrong, a sentence each; or that nothing is."""
        found = [f"{finding.sentence} ({finding.name}, since step {finding.step:,})" for finding in self.grave]
        return [f"It is refused: {self.refused}."] if self.refused else found or ["Nothing is wrong."]


def pictures() -> tuple[str, Tensor]:
    """Return what there is to learn from, in words, and as pictures (N, 1, 28, 28): MNIST if it is in the cache."""
    if is_packed(mnist.FINGERPRINT):
        return "handwritten digits of MNIST", open_data(mnist.NAME).train.tensor(SIDE, stop=DIGITS)
    return "drawn shapes, because MNIST is not on this machine (`pinxit data fetch mnist`)", shapes(SHAPES, SIDE)


def shapes(count: int, side: int) -> Tensor:
    """Return white discs, rings, squares and crosses of different sizes and places on black, (count, 1, side, side)."""
    rng = np.random.default_rng(SEED)
    size = rng.uniform(side / 6, side / 3, (count, 1, 1))
    x, y = (np.arange(side) - rng.uniform(side * 0.35, side * 0.65, (count, 1, 1)) for _ in range(2))
    x, y = np.abs(x), np.abs(y.transpose(0, 2, 1))
    far, square = np.hypot(x, y), np.maximum(x, y)
    stroke = side / 14
    outside = np.stack(
        [far - size, np.abs(far - size) - stroke, square - size, np.maximum(np.minimum(x, y) - stroke, square - size)]
    )
    kind = rng.integers(len(outside), size=count)
    drawn = np.clip(0.5 - outside[kind, np.arange(count)], 0, 1)
    return to_float((drawn[..., None] * 255).round().astype(np.uint8))


def train(
    build: Callable[[GANSettings, PictureShape], TutorialGAN],
    images: Tensor,
    steps: int,
    name: str = "training",
    settings: GANSettings = SETTINGS,
) -> Trained:
    """Train what `build` makes on pictures (N, 1, side, side), on one thread; equal requests give equal results."""
    size = images.shape[-1]
    recipe = Recipe(
        objective="gan",
        settings=settings,
        data=DataRecipe(source="lesson", name="lesson", fingerprint="0" * 64, size=size, channels=1),
        training=TrainingRecipe(steps=steps, batch_size=BATCH),
        hardware=HardwareRecipe(device="cpu", precision="float32", threads=1, reason="a lesson"),
    )
    held_out, rest = images[:SHOWN], images[SHOWN:]
    watched = Batch(image=rest[:SHOWN], seed=SEED, step=WATCHED)

    def batches(step: int) -> Batch:
        return Batch(image=rest[numbers_at(len(rest), step, BATCH, SEED)], seed=SEED, step=step)

    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)  # of the weights, and of layers that are made anew
        try:
            hardware = choose("cpu", "float32", 1)
            trainer = Trainer(build(settings, PictureShape(size, 1)), batches, recipe.training, hardware)
            unseen = Batch(image=held_out, seed=SEED, step=WATCHED)
            trainer.watch = Watch(
                trainer.objective, hardware, BATCH, watched, unseen, [rest[SHOWN : SHOWN + REFERENCE]]
            )
            windows = _watched(trainer, steps, name)
        except UsageError as error:
            return Trained(refused=str(error))
        with trainer.averaged() as objective:
            sheet = grid(to_uint8(objective.preview(watched)), COLUMNS)
    return Trained(judge(windows, recipe, ended=True), sheet=sheet)


def _watched(trainer: Trainer, steps: int, name: str) -> Windows:
    windows, line = Windows(), Line(name, steps, share=1.0)
    for record in trainer:
        windows.add(record.step, record.values)
        line.update(record.step)
    line.close()
    return windows


def source(function: Callable[..., Any]) -> list[str]:
    """Return the lines of a function, without its docstring."""
    code = re.sub(r'^ *""".*?"""\n', "", inspect.getsource(function), count=1, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"  # type: ignore.*", "", line) for line in textwrap.dedent(code).splitlines()]


def marked(function: Callable[..., Any], other: Callable[..., Any]) -> list[tuple[str, bool]]:
    """Return the lines of a function, and whether the other function lacks each."""
    known = {line.strip() for line in source(other)}
    return [(line, line.strip() not in known) for line in source(function)]
