"""The class of each pixel of files: masks, and a table of the shares of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pinxit.data.things import grown
from pinxit.files import whole_file
from pinxit.images.palette import class_colours
from pinxit.jobs.listing import Found, name_results
from pinxit.jobs.predicting import TABLE, Predicting, Prediction, thumbnail, write_table
from pinxit.recognition.masks import MaskReader

MASKS, THINGS = "masks", "instances"
MOST_THINGS = 65_535
NEIGHBOURS = 7
"""Colours of things on the sheet."""
WIDE = 256
"""The side in pixels of a picture on the sheet."""
VEIL = 0.25
"""The share of a class's colour over its pixels on the sheet; its outline has the colour alone."""


@dataclass(frozen=True)
class MaskPrediction(Prediction):
    """The file of the mask, the mean probability of the classes seen, the share of each, and the number of things."""

    mask: str
    confidence: float
    shares: dict[str, float]
    things: int | None = None

    @property
    def sureness(self) -> float:
        """The confidence."""
        return self.confidence

    def caption(self) -> str:
        """Return the largest class and its share, or how many things there are, and the confidence."""
        if self.things is not None:
            return f"{self.things}, sure {self.confidence:.0%}"
        name = max(self.shares, key=self.shares.__getitem__)
        return f"{name} {self.shares[name]:.0%}, sure {self.confidence:.0%}"


class PredictingMasks(Predicting[MaskReader, MaskPrediction]):
    """A segmenter's work on files."""

    side = WIDE

    def __init__(self, known: MaskReader, out: Path, found: Sequence[Found]) -> None:
        super().__init__(known, out, found)
        places = [one.place for one in found]
        self.places = dict(zip(places, name_results(places, "png"), strict=True))

    @classmethod
    def writes(cls, known: MaskReader) -> tuple[str, ...]:
        """Return the folder of the masks."""
        return MASKS, *[THINGS] * known.finds_things

    def predict(self, waiting: Sequence[tuple[Found, np.ndarray]]) -> list[tuple[MaskPrediction, np.ndarray]]:
        """Write the mask of each picture, and return the shares of the classes and the picture with outlines."""
        return [self._predicted(one, pixels) for one, pixels in waiting]

    def _predicted(self, one: Found, pixels: np.ndarray) -> tuple[MaskPrediction, np.ndarray]:
        classes, confidence = self.known.read(pixels)
        place = self.places[one.place]
        write_mask(self.out / MASKS / place, classes, len(self.known.classes))
        things, shown, colours = None, classes, len(self.known.classes)
        if self.known.finds_things:
            numbers = grown(classes)
            things = int(numbers.max())
            write_things(self.out / THINGS / place, numbers)
            shown, colours = np.where(numbers, 1 + numbers % NEIGHBOURS, 0).astype(np.uint8), 1 + NEIGHBOURS
        counts = np.bincount(classes.ravel(), minlength=len(self.known.classes)) / classes.size
        shares = dict(zip(self.known.classes, counts.tolist(), strict=True))
        row = MaskPrediction(str(one.place), f"{MASKS}/{place}", confidence, shares, things)
        return row, outlined(pixels, shown, colours)

    def finish(self, rows: Sequence[MaskPrediction]) -> list[Path]:
        """Write the table."""
        counted = self.known.finds_things
        head = ("file", "mask", "confidence", *self.known.classes, *["things"] * counted)
        lines = [
            (
                row.file,
                row.mask,
                f"{row.confidence:.6f}",
                *(f"{share:.6f}" for share in row.shares.values()),
                *[row.things] * counted,
            )
            for row in rows
        ]
        write_table(self.out / TABLE, head, lines)
        return [self.out / TABLE, self.out / MASKS, *[self.out / THINGS] * counted]


def write_mask(path: Path, classes: np.ndarray, count: int) -> None:
    """Write the classes (H, W) uint8 of pixels as a PNG with a palette."""
    image = Image.fromarray(classes, "L")
    image.putpalette(class_colours(count).tobytes())
    with whole_file(path) as temporary, temporary.open("wb") as file:
        image.save(file, "PNG")


def write_things(path: Path, numbers: np.ndarray) -> None:
    """Write the numbers (H, W) of things as a grey PNG of 16 bits; beyond `MOST_THINGS` they are 0."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        Image.fromarray(np.where(numbers > MOST_THINGS, 0, numbers).astype(np.uint16)).save(file, "PNG")


def outlined(pixels: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Return a picture as the sheet shows it, with a veil of each class's colour and its outline."""
    shown = thumbnail(pixels, WIDE).astype(np.float32)
    high, wide = classes.shape
    scale = WIDE / max(high, wide)
    inner = max(1, round(high * scale)), max(1, round(wide * scale))
    small = np.asarray(Image.fromarray(classes).resize(inner[::-1], Image.Resampling.NEAREST))
    top, left = (WIDE - inner[0]) // 2, (WIDE - inner[1]) // 2
    part = shown[top : top + inner[0], left : left + inner[1]]
    edge = np.zeros(inner, bool)
    edge[:-1] |= small[:-1] != small[1:]
    edge[:, :-1] |= small[:, :-1] != small[:, 1:]
    own = class_colours(count)[small].astype(np.float32)
    part[:] = np.where(edge[..., None], own, (1 - VEIL) * part + VEIL * own)
    return shown.round().astype(np.uint8)
