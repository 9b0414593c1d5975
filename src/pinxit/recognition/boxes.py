"""From pictures of any size to boxes around the things that a trained detector finds in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from pinxit.data.render import placement
from pinxit.objectives.objective import Detector
from pinxit.recognition.recogniser import Recogniser

ROWS = 8
"""Pictures that pass the network at once: always as many, so that none depends on how many there are."""


@dataclass(frozen=True)
class BoxReader(Recogniser[Detector]):
    """A trained detector; `form` is how found boxes are written, `threshold` the least score of one if given."""

    form: str = "coco"
    threshold: float | None = None

    def asked(self, form: str | None, threshold: float | None) -> BoxReader:
        """Return the detector with what a person asked for."""
        return replace(self, form=form or self.form, threshold=threshold)

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

    def sure(self, boxes: np.ndarray) -> np.ndarray:
        """Return the boxes whose score is at least the threshold, by default that of their class."""
        least = self.objective.least.double().cpu().numpy()
        limits = least if self.threshold is None else np.full(len(least), self.threshold)
        kept: np.ndarray = boxes[boxes[:, 4] >= limits[boxes[:, 5].astype(int)]]
        return kept
