"""The classes that a classifier sees in many files: a table, and a sheet to look at."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pinxit.errors import DataError, SomeFailedError, UserError, counted, printable
from pinxit.files import whole_file
from pinxit.images import eight_bit, grid, load_picture, save_sheet
from pinxit.images.picture import to_pillow
from pinxit.jobs.listing import Found, find
from pinxit.progress import say, track
from pinxit.recognition.reading import ROWS, Recogniser

TABLE, SHEET = "predictions.csv", "sheet.jpg"
SHOWN, SIDE, LINE = 100, 128, 14
"""The most pictures of a sheet, the side of one in pixels, and the height of a line of text."""


@dataclass(frozen=True)
class Prediction:
    """What was seen in a file: its likeliest class, the probability of that, and whether it is like nothing known."""

    file: str
    found: str
    confidence: float
    unknown: bool

    def caption(self) -> str:
        """Return a line for a sheet."""
        return f"{'? ' if self.unknown else ''}{self.found} {self.confidence:.0%}"


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
    """Raise the first error if nothing was done, `SomeFailedError` if some pictures failed beside those done."""
    if failures and not done:
        raise failures[0]
    if failures:
        of = counted(done + len(failures), "picture")
        raise SomeFailedError(f"{len(failures):,} of {of} failed, the others are done")


def predict_files(known: Recogniser, words: Sequence[str], out: Path, recursive: bool = False) -> Predictions:
    """Write what a classifier sees in files, folders and patterns to `TABLE` and `SHEET` in the folder `out`.

    A file that cannot be read is named and left out. The sheet shows the least certain first.
    """
    listing = find(words, recursive, out)
    for remark in listing.remarks:
        say(remark)
    if not listing.found:
        raise DataError(f"no pictures in {', '.join(words)}")
    rows: list[Prediction] = []
    failures: list[UserError] = []
    shown: list[np.ndarray] = []
    waiting: list[tuple[Found, np.ndarray]] = []
    for one in track(listing.found, "recognising", len(listing.found)):
        try:
            waiting.append((one, read_picture(one)))
        except UserError as error:
            failures.append(error)
            say(str(error))
        if len(waiting) == ROWS or one is listing.found[-1]:
            rows += _predicted(known, waiting)
            shown += [_thumbnail(pixels) for _, pixels in waiting]
            waiting.clear()
    if rows:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / TABLE, rows)
        save_sheet(out / SHEET, _sheet(rows, shown))
    return Predictions(tuple(rows), tuple(failures), (out / TABLE, out / SHEET) if rows else ())


def read_picture(one: Found) -> np.ndarray:
    """Return the picture of a file (H, W, C) uint8; `DataError` if it cannot be read."""
    if one.problem:
        raise DataError(f"{printable(one.path)}: {one.problem}")
    return eight_bit(load_picture(one.path).pixels)


def _predicted(known: Recogniser, waiting: Sequence[tuple[Found, np.ndarray]]) -> list[Prediction]:
    logits = known.logits(pixels for _, pixels in waiting)
    confidence, place = known.probabilities(logits).max(1)
    unknown = known.unknown(logits)
    found = zip(waiting, place.tolist(), confidence.tolist(), unknown.tolist(), strict=True)
    return [Prediction(str(one.place), known.classes[number], sure, unlike) for (one, _), number, sure, unlike in found]


def _write(path: Path, rows: Sequence[Prediction]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "class", "confidence", "unknown"))
        for row in rows:
            writer.writerow((row.file, row.found, f"{row.confidence:.6f}", "yes" if row.unknown else "no"))


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return a picture as (SIDE, SIDE, 3) uint8, whole, on white."""
    image = to_pillow(pixels).convert("RGBA")
    scale = SIDE / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    image = image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (SIDE, SIDE), "white")
    canvas.alpha_composite(image, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return np.asarray(canvas.convert("RGB"))


def _sheet(rows: Sequence[Prediction], shown: Sequence[np.ndarray]) -> np.ndarray:
    """Return the least certain pictures with their captions, laid out in a square."""
    order = sorted(range(len(rows)), key=lambda place: rows[place].confidence)[:SHOWN]
    cells = []
    for place in order:
        cell = Image.new("RGB", (SIDE, SIDE + LINE), "white")
        cell.paste(Image.fromarray(shown[place]), (0, 0))
        ImageDraw.Draw(cell).text((2, SIDE), printable(rows[place].caption()), fill="black")
        cells.append(np.asarray(cell))
    return grid(np.stack(cells))
