"""COCO: one JSON file for many pictures. A box is left, top, width and height in pixels from the corner.

Numbers of categories may have gaps. A crowd (`iscrowd`) is ignored in judging.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pinxit.data.boxes.box import Annotations, Box, Boxed, Form, Place, Predicted
from pinxit.data.boxes.finding import Finder, fine_part, in_order, words_of
from pinxit.data.layout import first_few
from pinxit.errors import DataError, counted
from pinxit.files import open_plain, read_json, write_json

LARGEST = 512 << 20
HEAD = 1 << 16
KEYS = {"images", "annotations", "categories"}
TABLE = "predictions.json"


def knows(place: Place) -> bool:
    """Return whether a JSON file names pictures, annotations and categories."""
    return next(_files(place), None) is not None


def _files(place: Place) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the files of a set that are COCO's, with their content."""
    for name in place.files:
        if name.endswith(".json") and _mentions(place.folder / name):
            content = read_json(place.folder / name, largest=LARGEST)
            if isinstance(content, dict) and content.keys() >= KEYS:
                yield name, content


def _mentions(path: Path) -> bool:
    """Return whether a file names one of the keys near its beginning."""
    with open_plain(path) as file:
        head = file.read(HEAD)
    return any(f'"{key}"'.encode() in head for key in KEYS)


def read(place: Place) -> Annotations:
    """Return the boxes of all files; the part of a file is in its name, as in instances_val2017.json."""
    reading = _Reading(Finder(place.pictures))
    for name, content in _files(place):
        try:
            reading.add(name, content)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{name} cannot be read as COCO: {what}") from error
    return reading.annotations()


@dataclass
class _Reading:
    """What was read of some files: boxes and sizes by picture, categories by number, and what does not fit."""

    finder: Finder
    boxes: dict[str, list[Box]] = field(default_factory=dict)
    stated: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)
    odd: int = 0

    def add(self, name: str, content: Mapping[str, Any]) -> None:
        """Read the content of a file."""
        names = {int(row["id"]): str(row["name"]) for row in content["categories"]}
        self.classes |= names
        numbers = self._pictures(name, content["images"])
        for row in content["annotations"]:
            if row["image_id"] in numbers:
                box = _box(row, names)
                self.odd += box is None
                self.boxes[numbers[row["image_id"]]] += [] if box is None else [box]

    def _pictures(self, name: str, rows: Sequence[Mapping[str, Any]]) -> dict[Any, str]:
        """Return the pictures that are here by the numbers in a file."""
        part = next(filter(None, map(fine_part, words_of(PurePosixPath(name).stem))), "")
        numbers = {}
        for row in rows:
            picture = self.finder.find(str(row["file_name"]), f"{part}/{name}")
            if picture is None:
                self.alone.append(str(row["file_name"]))
                continue
            numbers[row["id"]] = picture
            self.boxes.setdefault(picture, [])
            self.stated[picture] = _size(row)
            self.parts |= {picture: part} if part else {}
        return numbers

    def annotations(self) -> Annotations:
        """Return what was read."""
        odd, alone = self.odd, self.alone
        notes = (
            [f"{counted(len(alone), 'picture')} named in COCO's file, but not here: {first_few(alone)}"]
            if alone
            else []
        )
        notes += [f"{counted(odd, 'annotation')} without a box or of an unknown category, left out"] if odd else []
        found = {name: Boxed(boxes, self.stated[name]) for name, boxes in self.boxes.items()}
        return Annotations(found, in_order(self.classes), self.parts if "train" in self.parts.values() else {}, notes)


def _size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    wide, high = int(row.get("width") or 0), int(row.get("height") or 0)
    return (wide, high) if wide > 0 and high > 0 else None


def _box(row: Mapping[str, Any], names: Mapping[int, str]) -> Box | None:
    """Return the box of an annotation; None if it has none, or its category has no name."""
    sides = row.get("bbox")
    if not isinstance(sides, list) or len(sides) != 4 or row["category_id"] not in names:
        return None
    left, top, wide, high = map(float, sides)
    return Box(left, top, left + wide, top + high, names[row["category_id"]], bool(row.get("iscrowd")))


def write(folder: Path, found: Sequence[Predicted], classes: Sequence[str]) -> None:
    """Write boxes as COCO's results: a list with an entry for each box."""
    write_json(folder / TABLE, results(found, classes))


def results(found: Sequence[Predicted], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return boxes as COCO's results; pictures are numbered from 1, and so are categories, in their order."""
    return [
        {
            "image_id": number,
            "file_name": one.file,
            "category_id": classes.index(box.name) + 1,
            "category": box.name,
            "bbox": [round(value, 3) for value in (box.left, box.top, box.right - box.left, box.bottom - box.top)],
            "score": None if box.score is None else round(box.score, 6),
        }
        for number, one in enumerate(found, 1)
        for box in one.boxes
    ]


COCO = Form("COCO (a JSON file)", (TABLE,), knows, read, write)
