"""From pictures of any size to boxes around the things that a trained detector finds in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch

from pinxit.data.render import placement
from pinxit.objectives.objective import Detector
from pinxit.recognition.recogniser import Recogniser

ROWS = 8
"""Pictures that pass the network at once: always as many, so that none depends on how many there are."""


class BoxReader(Recogniser[Detector]):
    """A trained detector."""

    def read(self, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the boxes (k, 6) float64 in each of pictures (H, W, C) uint8 or uint16 of any size, the surest first.

        Each is left, top, right and bottom in pixels of the picture as it is given, the score, and the class.
        """
        waiting = iter(pictures)
        while some := list(islice(waiting, ROWS)):
            rows = [self.fitted(picture) for picture in some]
            with torch.no_grad():
                found = self.objective.boxes(torch.stack([*rows, *[rows[0]] * (ROWS - len(rows))]))
            for picture, boxes in zip(some, found, strict=False):
                yield self._placed(boxes.double().cpu().numpy(), picture.shape)

    def _placed(self, boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return boxes of a fitted picture in the pixels of the picture of `shape`; those beside it are left out."""
        across, down, left, top = placement(shape, self.objective.shape.sides, self.fit)
        high, wide = shape[:2]
        moved = (boxes[:, :4] - (left, top, left, top)) / (across, down, across, down)
        inside = np.clip(moved, 0, (wide, high, wide, high))
        kept = (inside[:, 2:] > inside[:, :2]).all(1)
        return np.concatenate([inside, boxes[:, 4:]], axis=1)[kept]

    def sure(self, boxes: np.ndarray, least: float | None = None) -> np.ndarray:
        """Return the boxes whose score is at least `least`, by default at least that of their class."""
        limits = self.objective.least.double().cpu().numpy() if least is None else np.full(len(self.classes), least)
        return boxes[boxes[:, 4] >= limits[boxes[:, 5].astype(int)]]
