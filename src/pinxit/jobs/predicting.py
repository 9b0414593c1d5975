"""What predictions of every kind have: a row for each file, a folder of results, and a picture for the sheet."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from PIL import Image

from pinxit.files import whole_file
from pinxit.images.picture import to_pillow
from pinxit.jobs.listing import Found
from pinxit.recognition.recogniser import Recogniser

TABLE, SHEET = "predictions.csv", "sheet.jpg"
SIDE = 128
"""The side in pixels of a picture on the sheet, where its kind asks for no other."""


@dataclass(frozen=True)
class Prediction(ABC):
    """What was seen in a file; the sheet shows the least confident first."""

    file: str

    @property
    @abstractmethod
    def sureness(self) -> float:
        """How sure it is, in [0, 1]."""

    def document(self) -> dict[str, Any]:
        """Return the prediction for JSON."""
        return asdict(self)

    @abstractmethod
    def caption(self) -> str:
        """Return a line for a sheet."""


K = TypeVar("K", bound=Recogniser[Any])
P = TypeVar("P", bound=Prediction)


class Predicting(ABC, Generic[K, P]):
    """The work of one kind of recogniser on files, whose results lie in the folder `out`."""

    rows: ClassVar[int] = 1
    """Pictures that are predicted at once."""

    side: ClassVar[int] = SIDE
    """The side in pixels of a picture on the sheet."""

    def __init__(self, known: K, out: Path, found: Sequence[Found]) -> None:
        self.known, self.out, self.found = known, out, found

    @classmethod
    def writes(cls, known: K) -> tuple[str, ...]:
        """Return the names of what it writes into the folder beside `TABLE` and `SHEET`."""
        return ()

    @abstractmethod
    def predict(self, waiting: Sequence[tuple[Found, np.ndarray]]) -> list[tuple[P, np.ndarray]]:
        """Return what is seen in pictures (H, W, C) uint8, and each (`side`, `side`, 3) as the sheet shows it.

        What is written for each file is written here.
        """

    @abstractmethod
    def finish(self, rows: Sequence[P]) -> list[Path]:
        """Write what stands in one file for all, and return every file and folder written but the sheet."""


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


def thumbnail(pixels: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Return a picture as (side, side, 3) uint8, whole, on white."""
    image = to_pillow(pixels).convert("RGBA")
    scale = side / max(image.size)
    size = [max(1, round(length * scale)) for length in image.size]
    image = image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (side, side), "white")
    canvas.alpha_composite(image, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(canvas.convert("RGB"))
