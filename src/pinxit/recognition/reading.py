"""From pictures of any size to the classes that a trained classifier sees in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
        found = list(self._read(pictures, self.objective.logits))
        return torch.cat(found) if found else torch.empty(0, len(self.classes))

    def features(self, pictures: Iterable[np.ndarray]) -> Tensor:
        """Return the means (N, D) of the last maps of pictures, at least one, as `logits` takes them."""
        return torch.cat(list(self._read(pictures, lambda image: self.objective.maps(image).float().mean((2, 3)))))

    def fitted(self, picture: np.ndarray) -> Tensor:
        """Return a picture (H, W, C) as the network takes it: (C, H, W) float32 in [0, 1]."""
        shape = self.objective.shape
        return converted(fit_picture(eight_bit(picture), shape.sides, self.fit), shape.channels)[0]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the calibrated probabilities (N, K) of logits (N, K)."""
        return (logits / self.objective.temperature).softmax(1)

    def unknown(self, logits: Tensor) -> Tensor:
        """Say of each of logits (N, K) whether its picture is unlike the pictures that were held out from training."""
        return logits.logsumexp(1) < self.objective.least

    def _read(self, pictures: Iterable[np.ndarray], network: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """Yield what a network makes of pictures, of some at once."""
        fitted = map(self.fitted, pictures)
        while rows := list(islice(fitted, ROWS)):
            with torch.no_grad():
                yield network(torch.stack([*rows, *[rows[0]] * (ROWS - len(rows))]))[: len(rows)]


def load(folder: Path) -> Recogniser:
    """Return the classifier of a run; `DataError` if it is none, `UsageError` for anything but a run."""
    if not is_run(folder):
        raise UsageError(f"{folder} is not a run; give the folder of a run of `pinxit train classify`")
    data, model = Run.open(folder).recipe.data, models.load(folder)
    if not isinstance(model.objective, Predictor):
        raise DataError(f"{folder}: models of `pinxit train {model.kind}` do not recognise classes")
    return Recogniser(folder.resolve().name, model.objective, data.classes, data.fit, model.sha256)
