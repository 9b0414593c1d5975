"""The class of each file: a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pinxit.jobs.listing import Found
from pinxit.jobs.predicting import TABLE, Predicting, Prediction, thumbnail, write_table
from pinxit.recognition.classes import ROWS, ClassReader


@dataclass(frozen=True)
class ClassPrediction(Prediction):
    """The likeliest class of a file, the probability of that, and whether it is like nothing known."""

    found: str
    confidence: float
    unknown: bool

    @property
    def sureness(self) -> float:
        """The confidence."""
        return self.confidence

    def caption(self) -> str:
        """Return a line for a sheet, the number first: long names are cut."""
        return f"{'? ' if self.unknown else ''}{self.confidence:.0%} {self.found}"


class PredictingClasses(Predicting[ClassReader, ClassPrediction]):
    """A classifier's work on files."""

    rows = ROWS

    def predict(self, waiting: Sequence[tuple[Found, np.ndarray]]) -> list[tuple[ClassPrediction, np.ndarray]]:
        """Return the likeliest class of each picture, and the picture."""
        known = self.known
        logits = known.logits(pixels for _, pixels in waiting)
        confidence, place = known.probabilities(logits).max(1)
        seen = zip(waiting, place.tolist(), confidence.tolist(), known.unknown(logits).tolist(), strict=True)
        return [
            (ClassPrediction(str(one.place), known.classes[number], sure, unlike), thumbnail(pixels))
            for (one, pixels), number, sure, unlike in seen
        ]

    def finish(self, rows: Sequence[ClassPrediction]) -> list[Path]:
        """Write the table."""
        lines = [(row.file, row.found, f"{row.confidence:.6f}", "yes" if row.unknown else "no") for row in rows]
        write_table(self.out / TABLE, ("file", "class", "confidence", "unknown"), lines)
        return [self.out / TABLE]
