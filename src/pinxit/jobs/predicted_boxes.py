"""Boxes around the things in files: tables, files for other programs, and pictures with the boxes drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pinxit.data.boxes.box import Box, Predicted
from pinxit.data.boxes.coco import COCO
from pinxit.data.boxes.forms import FORMS
from pinxit.images import at_most
from pinxit.images.frames import framed
from pinxit.jobs.listing import Found, name_results
from pinxit.jobs.predicting import SIDE, TABLE, Predicting, Prediction, thumbnail, write_table
from pinxit.recognition.boxes import ROWS, BoxReader


@dataclass(frozen=True)
class BoxPrediction(Prediction):
    """The boxes that were found in a file, the surest first, in its pixels, and its width and height."""

    size: tuple[int, int]
    boxes: tuple[Box, ...]

    @property
    def sureness(self) -> float:
        """The least score; 1 where nothing is found."""
        return min((box.score or 0.0 for box in self.boxes), default=1.0)

    def document(self) -> dict[str, Any]:
        """Return the file, the size, and the boxes with their sides by name."""
        return {"file": self.file, "size": self.size, "boxes": [box._asdict() for box in self.boxes]}

    def caption(self) -> str:
        """Return how many things of each class were found."""
        names = [box.name for box in self.boxes]
        return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "nothing"


class PredictingBoxes(Predicting[BoxReader, BoxPrediction]):
    """A detector's work on files."""

    rows = ROWS
    side = 3 * SIDE

    def __init__(self, known: BoxReader, out: Path, found: Sequence[Found]) -> None:
        super().__init__(known, out, found)
        places = [one.place for one in found]
        results = (place.with_suffix("").as_posix() for place in name_results(places, "png"))
        self.results = dict(zip(map(str, places), results, strict=True))

    @classmethod
    def writes(cls, known: BoxReader) -> tuple[str, ...]:
        """Return COCO's results, and what the form that was asked for has."""
        return tuple(dict.fromkeys([*COCO.writes, *FORMS[known.form].writes]))

    def predict(self, waiting: Sequence[tuple[Found, np.ndarray]]) -> list[tuple[BoxPrediction, np.ndarray]]:
        """Return the boxes in each picture that are surer than their class asks for, and the picture with them."""
        found = self.known.read(pixels for _, pixels in waiting)
        return [self._predicted(one, pixels, boxes) for (one, pixels), boxes in zip(waiting, found, strict=True)]

    def _predicted(self, one: Found, pixels: np.ndarray, boxes: np.ndarray) -> tuple[BoxPrediction, np.ndarray]:
        rows = [
            Box(left, top, right, bottom, self.known.classes[int(kind)], score=score)
            for left, top, right, bottom, score, kind in self.known.sure(boxes).tolist()
        ]
        high, wide = pixels.shape[:2]
        return BoxPrediction(str(one.place), (wide, high), tuple(rows)), self._shown(pixels, self.known.sure(boxes))

    def _shown(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Return a picture as the sheet shows it, with its boxes."""
        small = at_most(pixels, self.side)
        across, down = small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]
        words = [f"{self.known.classes[int(kind)]} {100 * score:.0f}" for *_, score, kind in boxes]
        return thumbnail(framed(small, boxes * (across, down, across, down, 1, 1), words), self.side)

    def finish(self, rows: Sequence[BoxPrediction]) -> list[Path]:
        """Write a line for each box, and the boxes as COCO's results and in the form that was asked for."""
        lines = [
            (row.file, box.name, f"{box.score:.6f}", *(f"{side:.2f}" for side in box[:4]))
            for row in rows
            for box in row.boxes
        ]
        write_table(self.out / TABLE, ("file", "class", "confidence", "left", "top", "right", "bottom"), lines)
        found = [Predicted(row.file, self.results[row.file], row.size, row.boxes) for row in rows]
        for form in dict.fromkeys([COCO, FORMS[self.known.form]]):
            form.write(self.out, found, self.known.classes)
        return [self.out / TABLE, *(self.out / name for name in self.writes(self.known))]
