"""Utility of generated pictures for training: accuracy on real pictures after learning from generated ones.

The classification accuracy score (Ravuri and Vinyals, 2019). Differs from the paper: a small classifier instead of a
ResNet-50, equal numbers of steps on real and generated pictures, and a third classifier that learns from both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinxit import hardware
from pinxit.data import Batch, draws
from pinxit.data.render import fit_picture, with_channels
from pinxit.errors import DataError
from pinxit.evaluation.pictures import Pictures, identity
from pinxit.hardware import Hardware
from pinxit.images import eight_bit
from pinxit.images.convert import to_float
from pinxit.metrics.intervals import Estimate, share_estimate
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.recognition import Recognition
from pinxit.objectives.settings import ClassifySettings
from pinxit.progress import track
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

MOST_PICTURES = 20_000
SMALLEST, LARGEST = 16, 64
TRAINING = TrainingSettings(steps=500, batch_size=128, schedule="cosine", warmup=25, average=0.99)
CLASSIFIER = ClassifySettings(network="plain", learning_rate=2e-3)
ROWS = 500


@dataclass(frozen=True)
class Utility:
    """The accuracy on real test pictures after learning from real pictures, from generated ones, and from both."""

    real: Estimate
    synthetic: Estimate
    both: Estimate
    protocol: dict[str, Any]

    @property
    def verdict(self) -> str:
        """The three accuracies in one sentence."""
        accuracies = (
            f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%}) after learning from {name} pictures"
            for name, estimate in (("real", self.real), ("generated", self.synthetic), ("both", self.both))
        )
        return f"of {self.protocol['n']['test']:,} real pictures a classifier recognises {', '.join(accuracies)}"

    def document(self) -> dict[str, Any]:
        """Return the whole result, JSON-able."""
        accuracies = {name: getattr(self, name).document() for name in ("real", "synthetic", "both")}
        return {"verdict": self.verdict, **accuracies, "protocol": self.protocol}


@dataclass(frozen=True)
class _Labelled:
    """Pictures of one size (N, H, W, C) uint8 and the indices (N,) of their classes."""

    rows: np.ndarray
    labels: Tensor


def utility(
    real: Pictures, synthetic: Pictures, test: Pictures, seed: int = 0, training: TrainingSettings = TRAINING
) -> Utility:
    """Return the accuracy on `test` of classifiers trained from scratch on each set and on both.

    Classes are matched by name, and only those common to all three sets count. Equally many pictures of `real` and
    `synthetic` are chosen, at most 20,000. "both" has all of them, with the same number of steps. Pictures are cropped
    to squares of the largest side in `real`, 16 to 64 pixels. The 95 % intervals cover the choice of test pictures;
    other seeds show how much training itself varies. A set without labels, or fewer than two common classes, is a
    `DataError`.
    """
    classes = check_classes(real, synthetic, test)
    side = int(np.clip(real.shapes.max(), SMALLEST, LARGEST))
    shape = PictureShape(side, max(images.channels for images in (real, synthetic, test)), len(classes))
    chosen = [_of_classes(images, classes) for images in (real, synthetic)]
    n = min(MOST_PICTURES, *map(len, chosen))
    labelled_real, labelled_synthetic = (
        _labelled(images, numbers[draws.permutation(len(numbers), seed, 0)[:n]], classes, shape)
        for images, numbers in zip((real, synthetic), chosen, strict=True)
    )
    held_out = _labelled(test, _of_classes(test, classes), classes, shape)
    both = _Labelled(
        np.concatenate([labelled_real.rows, labelled_synthetic.rows]),
        torch.cat([labelled_real.labels, labelled_synthetic.labels]),
    )
    computing = hardware.choose(training.device, training.precision, training.threads)
    settings = training.changed(seed=seed)
    accuracies = {
        name: _accuracy(_trained(pictures, name, shape, settings, computing), held_out, computing)
        for name, pictures in (("real", labelled_real), ("synthetic", labelled_synthetic), ("both", both))
    }
    protocol = {
        "score": "accuracy on real test pictures (classification accuracy score; Ravuri and Vinyals, 2019)",
        "classifier": "three 3x3 convolutions of 32, 64, 128 channels, stride 2, from scratch, averaged weights",
        "input": f"8 bit, cropped to squares of {shape.size} pixels, {shape.channels} channels",
        "training": settings.model_dump(include={"steps", "batch_size", "schedule", "warmup", "average"})
        | {"learning_rate": CLASSIFIER.learning_rate, "precision": computing.precision},
        "classes": list(classes),
        "n": {"real": n, "synthetic": n, "both": 2 * n, "test": len(held_out.labels)},
        "seed": seed,
        "sets": {"real": identity(real), "synthetic": identity(synthetic), "test": identity(test)},
    }
    return Utility(**accuracies, protocol=protocol)


def check_classes(*sets: Pictures) -> tuple[str, ...]:
    """Return the classes that every set has pictures of, in the order of the first set.

    A set without labels, or fewer than two classes in common, is a `DataError`.
    """
    present = [{images.classes[place] for place in np.unique(_labels(images))} for images in sets]
    common = tuple(name for name in sets[0].classes if all(name in names for names in present))
    if len(common) < 2:
        have = "; ".join(f"{images.name} has {', '.join(images.classes[:5])}" for images in sets)
        raise DataError(f"fewer than two classes in common ({have}); classes are matched by name")
    return common


def _labels(images: Pictures) -> np.ndarray:
    if images.labels is None:
        raise DataError(
            f"{images.name} has no labels, so a classifier cannot learn from it; put each class in its own folder, or "
            "sample from a run that was trained with --conditional"
        )
    return images.labels


def _of_classes(images: Pictures, classes: Sequence[str]) -> np.ndarray:
    """Return the numbers of the pictures of these classes."""
    wanted = [place for place, name in enumerate(images.classes) if name in classes]
    return np.flatnonzero(np.isin(_labels(images), wanted))


def _labelled(images: Pictures, numbers: np.ndarray, classes: Sequence[str], shape: PictureShape) -> _Labelled:
    """Return some pictures of a set as input of the classifier."""
    rows = [
        with_channels(fit_picture(eight_bit(images[number]), shape.sides, "crop"), shape.channels)
        for number in track(numbers.tolist(), f"reading {images.name}", len(numbers))
    ]
    places = [classes.index(images.classes[place]) for place in _labels(images)[numbers]]
    return _Labelled(np.stack(rows), torch.tensor(places))


def _trained(
    pictures: _Labelled, name: str, shape: PictureShape, training: TrainingSettings, computing: Hardware
) -> Trainer:
    """Return a trainer that has trained a new classifier; equal shapes and seeds start from equal weights."""
    epochs = ceil(training.steps * training.batch_size / len(pictures.labels))
    order = np.concatenate([draws.permutation(len(pictures.labels), training.seed, epoch) for epoch in range(epochs)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        objective = CLASSIFIER.build(shape)
    trainer = Trainer(objective, partial(_batch, pictures, order, training), training, computing)
    for _ in track(trainer, f"training on {name} pictures", training.steps):
        pass
    return trainer


def _batch(pictures: _Labelled, order: np.ndarray, training: TrainingSettings, step: int) -> Batch:
    numbers = order[step * training.batch_size : (step + 1) * training.batch_size]
    return Batch(image=to_float(pictures.rows[numbers]), label=pictures.labels[numbers], seed=training.seed, step=step)


def _accuracy(trainer: Trainer, held_out: _Labelled, computing: Hardware) -> Estimate:
    """Return the share of pictures that the averaged classifier classifies correctly."""
    with trainer.averaged() as objective:
        assert isinstance(objective, Recognition)
        found = [
            objective.logits(to_float(held_out.rows[start : start + ROWS]).to(computing.device)).argmax(1).cpu()
            for start in range(0, len(held_out.labels), ROWS)
        ]
    return share_estimate(torch.cat(found) == held_out.labels)
