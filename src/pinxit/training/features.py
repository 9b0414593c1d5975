"""Features of pictures by a frozen network: computed when a picture is first drawn, and kept for all that follows.

A head on a frozen network sees the same features of a picture in every step, unless the picture is augmented. Each
picture is read alone, so its features depend on no other picture of its batch, and a resumed training computes the
same bits again. Once those of the whole set are known, the cache keeps them for other trainings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pinxit.data import Batch, ImageSet
from pinxit.data.batch import numbers_at
from pinxit.errors import DiskError
from pinxit.files import cache_folder, whole_file
from pinxit.images.convert import to_float
from pinxit.nets.pretrained import LITE0
from pinxit.objectives.objective import Objective
from pinxit.objectives.recognition import Recognition
from pinxit.settings import sides
from pinxit.training.recipes import Recipe

Batches = Callable[[int], Batch]


def features_at(objective: Recognition, recipe: Recipe, images: ImageSet) -> Batches:
    """Return batches as `batch_at` draws them, with features in place of the pictures, for a head on a frozen network.

    `Batch.image` is black and has one pixel a row: to fit pictures that nothing looks at would take longer than a step.
    """
    data, training = recipe.data, recipe.training
    path = _path(recipe, images)
    known = _read(path)
    features = torch.zeros(len(images), objective.dimensions) if known is None else known
    missing = set(range(len(images))) if known is None else set()

    def at(step: int) -> Batch:
        numbers = numbers_at(len(images), step, training.batch_size, training.seed)
        for number in missing.intersection(numbers.tolist()):
            picture = to_float(images.rows(np.array([number]), sides(data.size), data.fit))
            features[number] = objective.features(picture)[0]
            missing.remove(number)
            if not missing:
                _write(path, features)
        return Batch(
            image=torch.zeros(len(numbers), images.channels, 1, 1),
            label=None if images.labels is None else torch.from_numpy(images.labels[numbers]),
            features=features[torch.from_numpy(numbers)],
            seed=training.seed,
            step=step,
        )

    return at


def described(objective: Objective, batch: Batch) -> Batch:
    """Return a batch with the features of its pictures, if only a head on these is trained."""
    if not (isinstance(objective, Recognition) and objective.frozen):
        return batch
    return replace(batch, features=torch.cat([objective.features(row[None]) for row in batch.image]))


def _path(recipe: Recipe, images: ImageSet) -> Path:
    """Return the cache's file for the features of a set of pictures, as they are fitted."""
    facts = [LITE0.converted_sha256, images.fingerprint, images.selection, str(recipe.data.size), recipe.data.fit]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return cache_folder() / "features" / f"{key}.safetensors"


def _read(path: Path) -> Tensor | None:
    with suppress(OSError, SafetensorError, KeyError):
        return load_file(path)["features"]
    return None


def _write(path: Path, features: Tensor) -> None:
    """Write features into the cache. A cache that cannot be written is no error."""
    with suppress(DiskError), whole_file(path) as temporary:
        save_file({"features": features}, temporary)
