"""From pictures of any size to the classes that a trained classifier sees in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pinxit import models
from pinxit.data.render import converted, fit_picture
from pinxit.data.settings import Fit
from pinxit.errors import DataError, UsageError
from pinxit.images import eight_bit
from pinxit.objectives.objective import Predictor
from pinxit.training.run import Run, is_run

ROWS = 16
"""Pictures that pass the network at once: always as many, so that none depends on how many there are."""


@dataclass(frozen=True)
class Recogniser:
    """A trained classifier, the names of its classes, and how a picture gets its size."""

    name: str
    objective: Predictor
    classes: tuple[str, ...]
    fit: Fit
    sha256: str

    def logits(self, pictures: Iterable[np.ndarray]) -> Tensor:
        """Return the logits (N, K) of pictures (H, W, C) uint8 or uint16 of any size, C in {1, 3, 4}."""
        fitted = map(self._fitted, pictures)
        found = [self._read(rows) for rows in iter(lambda: tuple(islice(fitted, ROWS)), ())]
        return torch.cat(found) if found else torch.empty(0, len(self.classes))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the calibrated probabilities (N, K) of logits (N, K)."""
        return (logits / self.objective.temperature).softmax(1)

    def unknown(self, logits: Tensor) -> Tensor:
        """Say of each of logits (N, K) whether its picture is unlike the pictures that were held out from training."""
        return logits.logsumexp(1) < self.objective.least

    def _fitted(self, picture: np.ndarray) -> Tensor:
        shape = self.objective.shape
        return converted(fit_picture(eight_bit(picture), shape.sides, self.fit), shape.channels)[0]

    def _read(self, rows: tuple[Tensor, ...]) -> Tensor:
        filled = torch.stack([*rows, *[rows[0]] * (ROWS - len(rows))])
        with torch.inference_mode():
            return self.objective.logits(filled)[: len(rows)].clone()


def load(folder: Path) -> Recogniser:
    """Return the classifier of a run; `DataError` if it is none, `UsageError` for anything but a run."""
    if not is_run(folder):
        raise UsageError(f"{folder} is not a run; give the folder of a run of `pinxit train classify`")
    data, model = Run.open(folder).recipe.data, models.load(folder)
    if not isinstance(model.objective, Predictor):
        raise DataError(f"{folder}: models of `pinxit train {model.kind}` do not recognise classes")
    return Recogniser(folder.resolve().name, model.objective, data.classes, data.fit, model.sha256)
