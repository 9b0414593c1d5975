"""A trained recogniser: what every kind of it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np
from torch import Tensor

from pinxit.data.render import converted, fit_picture
from pinxit.data.settings import Fit
from pinxit.errors import UsageError
from pinxit.images import eight_bit
from pinxit.objectives.objective import Detector, Predictor, Segmenter

O = TypeVar("O", Predictor, Segmenter, Detector)  # noqa: E741


@dataclass(frozen=True)
class Recogniser(Generic[O]):
    """A trained recogniser, the names of its classes, and how a picture gets its size."""

    name: str
    objective: O
    classes: tuple[str, ...]
    fit: Fit
    sha256: str

    def asked(self, form: str | None, threshold: float | None) -> Self:
        """Return the recogniser with what a person asked for; `UsageError` if it has no such thing."""
        given = {"--format": form, "--threshold": threshold}
        if named := [flag for flag, value in given.items() if value is not None]:
            raise UsageError(f"{' and '.join(named)}: {self.name} frames nothing; it is of `pinxit train detect` alone")
        return self

    def fitted(self, picture: np.ndarray) -> Tensor:
        """Return a picture (H, W, C) as the network takes it: (C, H, W) float32 in [0, 1]."""
        shape = self.objective.shape
        return converted(fit_picture(eight_bit(picture), shape.sides, self.fit), shape.channels)[0]
