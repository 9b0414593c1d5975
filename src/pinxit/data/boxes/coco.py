"""COCO: one JSON file for many pictures. A box is left, top, width and height in pixels from the corner.

Numbers of categories may have gaps. A crowd (`iscrowd`) is ignored in judging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pinxit.data.boxes.box import Annotations, Box, Boxed, Form, Place, Predicted
from pinxit.data.boxes.finding import Finder, fine_part, in_order, words_of
from pinxit.data.layout import first_few
from pinxit.errors import DataError
from pinxit.files import read_bytes, read_json, write_json

LARGEST = 512 << 20
HEAD = 1 << 16
KEYS = (b'"images"', b'"annotations"', b'"categories"')
TABLE = "predictions.json"


def knows(place: Place) -> bool:
    """Return whether a JSON file names pictures, annotations and categories."""
    return any(True for _ in _files(place))


def _files(place: Place) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the files of a set that are COCO's, with their content."""
    found = []
    for name in place.files:
        if name.endswith(".json") and any(key in _head(place.folder / name) for key in KEYS):
            content = read_json(place.folder / name, largest=LARGEST)
            if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
                found.append((name, content))
    return found


def _head(path: Path) -> bytes:
    size = path.stat().st_size if path.is_file() else 0
    return read_bytes(path, size)[:HEAD] if 0 < size <= LARGEST else b""


def read(place: Place) -> Annotations:
    """Return the boxes of all files; the part of a file is in its name, as in instances_val2017.json."""
    finder = Finder(place.pictures)
    pictures: dict[str, list[Box]] = {}
    stated: dict[str, tuple[int, int] | None] = {}
    classes: dict[int, str] = {}
    parts: dict[str, str] = {}
    alone: list[str] = []
    odd = 0
    for name, content in _files(place):
        part = next(filter(None, map(fine_part, words_of(PurePosixPath(name).stem))), "")
        try:
            names = {int(row["id"]): str(row["name"]) for row in content["categories"]}
            numbers: dict[Any, str] = {}
            for row in content["images"]:
                picture = finder.find(str(row["file_name"]), f"{part}/x" if part else "")
                if picture is None:
                    alone.append(str(row["file_name"]))
                    continue
                numbers[row["id"]] = picture
                pictures.setdefault(picture, [])
                stated[picture] = _size(row)
                if part:
                    parts[picture] = part
            for row in content["annotations"]:
                if row["image_id"] not in numbers:
                    continue
                box = _box(row, names)
                odd += box is None
                pictures[numbers[row["image_id"]]] += [] if box is None else [box]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{name} is not a COCO file: {type(error).__name__} at {error}") from error
        classes |= names
    notes = [f"{len(alone)} pictures that COCO names are not here: {first_few(alone)}"] if alone else []
    notes += [f"{odd} COCO annotations have no box or an unknown category, and are left out"] if odd else []
    found = {name: Boxed(boxes, stated[name]) for name, boxes in pictures.items()}
    return Annotations(found, in_order(classes), parts if "train" in parts.values() else {}, notes)


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


def write(folder: Path, found: Sequence[Predicted], classes: Sequence[str]) -> list[Path]:
    """Write boxes as COCO's results: a list with an entry for each box."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / TABLE, results(found, classes))
    return [folder / TABLE]


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


COCO = Form("COCO (a JSON file)", knows, read, write)
