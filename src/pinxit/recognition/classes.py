"""From pictures of any size to the classes that a trained classifier sees in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from pinxit.objectives.objective import Predictor
from pinxit.recognition.recogniser import Recogniser

ROWS = 16
"""Pictures that pass the network at once: always as many, so that none depends on how many there are."""


class ClassReader(Recogniser[Predictor]):
    """A trained classifier."""

    def logits(self, pictures: Iterable[np.ndarray]) -> Tensor:
        """Return the logits (N, K) of pictures (H, W, C) uint8 or uint16 of any size, C in {1, 3, 4}."""
        found = list(self._read(pictures, self.objective.logits))
        return torch.cat(found) if found else torch.empty(0, len(self.classes))

    def features(self, pictures: Iterable[np.ndarray]) -> Tensor:
        """Return the means (N, D) of the last maps of pictures, at least one, as `logits` takes them."""
        return torch.cat(list(self._read(pictures, lambda image: self.objective.maps(image).float().mean((2, 3)))))

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
