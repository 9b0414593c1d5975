"""The class of each pixel of files: masks, and a table of the shares of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pinxit.files import whole_file
from pinxit.images.palette import class_colours
from pinxit.jobs.listing import Found, name_results
from pinxit.jobs.predicting import SIDE, TABLE, Predicting, Prediction, thumbnail, write_table
from pinxit.recognition.masks import MaskReader

MASKS = "masks"
VEIL = 0.25
"""The share of a class's colour over its pixels on the sheet; its outline has the colour alone."""


@dataclass(frozen=True)
class MaskPrediction(Prediction):
    """The share of pixels of each class, the mean probability of the classes seen, and the file of the mask."""

    mask: str
    confidence: float
    shares: dict[str, float]

    @property
    def sureness(self) -> float:
        """The confidence."""
        return self.confidence

    def caption(self) -> str:
        """Return the largest class, its share, and the confidence."""
        name = max(self.shares, key=self.shares.__getitem__)
        return f"{name} {self.shares[name]:.0%}, sure {self.confidence:.0%}"


class PredictingMasks(Predicting[MaskReader, MaskPrediction]):
    """A segmenter's work on files."""

    def __init__(self, known: MaskReader, out: Path, found: Sequence[Found]) -> None:
        super().__init__(known, out, found)
        places = [one.place for one in found]
        self.places = dict(zip(places, name_results(places, "png"), strict=True))

    @classmethod
    def writes(cls, known: MaskReader) -> tuple[str, ...]:
        """Return the folder of the masks."""
        return (MASKS,)

    def predict(self, waiting: Sequence[tuple[Found, np.ndarray]]) -> list[tuple[MaskPrediction, np.ndarray]]:
        """Write the mask of each picture, and return the shares of the classes and the picture with outlines."""
        return [self._predicted(one, pixels) for one, pixels in waiting]

    def _predicted(self, one: Found, pixels: np.ndarray) -> tuple[MaskPrediction, np.ndarray]:
        classes, confidence = self.known.read(pixels)
        place = self.places[one.place]
        write_mask(self.out / MASKS / place, classes, len(self.known.classes))
        counts = np.bincount(classes.ravel(), minlength=len(self.known.classes)) / classes.size
        shares = dict(zip(self.known.classes, counts.tolist(), strict=True))
        row = MaskPrediction(str(one.place), f"{MASKS}/{place}", confidence, shares)
        return row, outlined(pixels, classes, len(self.known.classes))

    def finish(self, rows: Sequence[MaskPrediction]) -> list[Path]:
        """Write the table."""
        lines = [
            (row.file, row.mask, f"{row.confidence:.6f}", *(f"{share:.6f}" for share in row.shares.values()))
            for row in rows
        ]
        write_table(self.out / TABLE, ("file", "mask", "confidence", *self.known.classes), lines)
        return [self.out / TABLE, self.out / MASKS]


def write_mask(path: Path, classes: np.ndarray, count: int) -> None:
    """Write the classes (H, W) uint8 of pixels as a PNG with a palette."""
    image = Image.fromarray(classes, "L")
    image.putpalette(class_colours(count).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        image.save(file, "PNG")


def outlined(pixels: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Return a picture as the sheet shows it, with a veil of each class's colour and its outline."""
    shown = thumbnail(pixels).astype(np.float32)
    high, wide = classes.shape
    scale = SIDE / max(high, wide)
    inner = max(1, round(high * scale)), max(1, round(wide * scale))
    small = np.asarray(Image.fromarray(classes).resize(inner[::-1], Image.Resampling.NEAREST))
    top, left = (SIDE - inner[0]) // 2, (SIDE - inner[1]) // 2
    part = shown[top : top + inner[0], left : left + inner[1]]
    edge = np.zeros(inner, bool)
    edge[:-1] |= small[:-1] != small[1:]
    edge[:, :-1] |= small[:, :-1] != small[:, 1:]
    own = class_colours(count)[small].astype(np.float32)
    part[:] = np.where(edge[..., None], own, (1 - VEIL) * part + VEIL * own)
    return shown.round().astype(np.uint8)
