"""What a recogniser sees in many files, and a sheet to look at; `PREDICTING` has the kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pinxit.errors import DataError, SomeFailedError, UserError, printable
from pinxit.files import refuse_to_replace
from pinxit.images import eight_bit, grid, load_picture, save_sheet
from pinxit.jobs.listing import Found, find, told_apart
from pinxit.jobs.predicted_boxes import PredictingBoxes
from pinxit.jobs.predicted_classes import PredictingClasses
from pinxit.jobs.predicted_masks import PredictingMasks
from pinxit.jobs.predicting import SHEET, Predicting, Prediction
from pinxit.progress import say, track
from pinxit.recognition.boxes import BoxReader
from pinxit.recognition.classes import ClassReader
from pinxit.recognition.masks import MaskReader
from pinxit.recognition.recogniser import Recogniser

SHOWN, LINE = 100, 14
"""The most pictures of a sheet, and the height of a line of text in pixels."""

PREDICTING: dict[type[Recogniser[Any]], type[Predicting[Any, Any]]] = {
    # What is written and drawn, by the kind of recogniser.
    ClassReader: PredictingClasses,
    MaskReader: PredictingMasks,
    BoxReader: PredictingBoxes,
}


@dataclass(frozen=True)
class Predictions:
    """The predictions in the order of the files, the failures, and the files that were written."""

    rows: tuple[Prediction, ...]
    failures: tuple[UserError, ...]
    files: tuple[Path, ...]

    def check(self) -> None:
        """Raise an error if files failed."""
        refuse_failures(len(self.rows), self.failures)


def refuse_failures(done: int, failures: Sequence[UserError]) -> None:
    """Raise the error of the only picture, one error if all failed, or `SomeFailedError` if some did."""
    asked = done + len(failures)
    if len(failures) == asked == 1:
        raise failures[0]
    if len(failures) == asked:
        raise DataError(f"none of {asked:,} pictures can be read")
    if failures:
        raise SomeFailedError(f"{len(failures):,} of {asked:,} pictures failed, the others are done")


def predict_files(
    known: Recogniser[Any], words: Sequence[str], out: Path, recursive: bool = False, overwrite: bool = True
) -> Predictions:
    """Write what a recogniser sees in files, folders and patterns to the folder `out`, by its row of `PREDICTING`.

    A file that cannot be read is named and left out. The sheet shows the least certain first.
    """
    kind = PREDICTING[type(known)]
    for name in kind.writes(known):
        refuse_to_replace(out / name, overwrite=overwrite)
    listing = find(words, recursive, out)
    for remark in listing.remarks:
        say(remark)
    found = told_apart(listing.found)
    if not found:
        raise DataError(f"no pictures in {', '.join(words)}")
    predicting = kind(known, out, found)
    seen: list[tuple[Prediction, np.ndarray]] = []
    failures: list[UserError] = []
    waiting: list[tuple[Found, np.ndarray]] = []
    for one in track(found, "recognising", len(found)):
        try:
            waiting.append((one, read_picture(one)))
        except UserError as error:
            failures.append(error)
            if len(found) > 1:
                say(str(error))
        if len(waiting) == kind.rows or one is found[-1]:
            seen += predicting.predict(waiting)
            waiting.clear()
    rows, files = [row for row, _ in seen], []
    if rows:
        files = [*predicting.finish(rows), out / SHEET]
        save_sheet(out / SHEET, _sheet(seen))
    return Predictions(tuple(rows), tuple(failures), tuple(files))


def read_picture(one: Found) -> np.ndarray:
    """Return the picture of a file (H, W, C) uint8; `DataError` if it cannot be read."""
    if one.problem:
        raise DataError(f"{printable(one.path)}: {one.problem}")
    return eight_bit(load_picture(one.path).pixels)


def _sheet(seen: Sequence[tuple[Prediction, np.ndarray]]) -> np.ndarray:
    """Return the least certain pictures with their captions, laid out in a square."""
    cells = []
    for row, pixels in sorted(seen, key=lambda one: one[0].sureness)[:SHOWN]:
        side = len(pixels)
        cell = Image.new("RGB", (side, side + LINE), "white")
        cell.paste(Image.fromarray(pixels), (0, 0))
        ImageDraw.Draw(cell).text((2, side), printable(row.caption()), fill="black")
        cells.append(np.asarray(cell))
    return grid(np.stack(cells))
