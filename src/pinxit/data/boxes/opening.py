"""Pictures with boxes as a set to train on: found, cleaned, packed, and found again by a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from pinxit.data.augment import IGNORED
from pinxit.data.boxes.box import Annotations, Box, Boxed, Place
from pinxit.data.boxes.finding import Finder, parts_by_folder, parts_by_list
from pinxit.data.boxes.forms import FORMS
from pinxit.data.layout import first_few
from pinxit.data.pack import NAMED_AT_MOST, Pack, checked, pack, pack_folder, pack_path
from pinxit.data.places import remember
from pinxit.data.sets import Companions, DataSet, ImageSet, divide, parse_spec
from pinxit.data.settings import HOLDOUT
from pinxit.data.sources import Source, files_below, key_of, open_source
from pinxit.errors import DataError, counted
from pinxit.files import read_json, write_json
from pinxit.images.metadata import BROKEN, orientation

TOUCH = 1.0
"""Pixels that a box may reach beyond its picture without a word."""


@dataclass(frozen=True)
class Found:
    """The pictures of a set that have annotations, the name of their form, and what they say."""

    source: Source
    form: str
    annotations: Annotations
    notes: tuple[str, ...]


def open_boxes(spec: str, holdout: float = HOLDOUT) -> DataSet:
    """Open a folder of pictures with boxes, in any of `FORMS`, which are recognised by themselves.

    Official parts come from lists such as ImageSets/Main/train.txt, from the annotations or from folders. With val and
    test, val is held out and test is left alone until `DATA:test` asks for it. Boxes without area or outside of their
    picture are left out, a line each; those that reach out of it are clipped. Boxes of pictures that Exif turns are
    turned too if their annotation states the size of the picture as it is stored.
    """
    base, part = parse_spec(spec)
    found = annotated(Path(base))
    opened, notes = pack(found.source)
    whole, said = _joined(opened, found.annotations, Path(base))
    remember(whole.fingerprint, Path(base))
    return divide(whole, base, part, holdout, [*found.notes, *notes, *said])


def annotated(path: Path) -> Found:
    """Return the pictures of a folder that are annotated; `DataError` if none is."""
    found = annotated_or_none(path)
    if found is None:
        forms = ", ".join(form.about for form in FORMS.values())
        raise DataError(f"{path}: no boxes beside these pictures; a folder with one of these works: {forms}")
    return found


def annotated_or_none(path: Path) -> Found | None:
    """Return the pictures of a folder that are annotated; None if it has no annotations."""
    source = open_source(path)
    place = Place(path, sorted(files_below(path)[0]) if path.is_dir() else (), list(source.names))
    form = next((name for name, row in FORMS.items() if row.knows(place)), None)
    if form is None:
        return None
    said = FORMS[form].read(place)
    parts = parts_by_list(place, Finder(place.pictures)) or {**parts_by_folder(place.pictures), **said.parts}
    left_out = {
        "without an annotation": [name for name in place.pictures if name not in said.pictures],
        "in no part of the set": sorted(name for name in said.pictures if parts and name not in parts),
    }
    notes = [
        f"{counted(len(names), 'picture')} {what}, left out: {first_few(names)}"
        for what, names in left_out.items()
        if names
    ]
    kept = [name for name in place.pictures if name in said.pictures and (not parts or name in parts)]
    return Found(_part_of(source, kept, parts), form, said, (*said.notes, *notes))


def _part_of(source: Source, names: list[str], parts: Mapping[str, str]) -> Source:
    """Return some pictures of a source, in their official parts if there are any, and without classes of their own."""
    numbers = {name: number for number, name in enumerate(source.names)}
    divided = [parts[name] for name in names] if parts else None
    return replace(
        source,
        key=key_of("boxes", names, divided, source.key),
        names=names,
        read=lambda number: source.read(numbers[names[number]]),
        labels=None,
        parts=divided,
        notes=(),
    )


def _joined(opened: Pack, said: Annotations, base: Path) -> tuple[ImageSet, list[str]]:
    """Return the pictures of a pack with their boxes, and remarks; the record of both is kept in the cache."""
    if not said.classes:
        raise DataError(f"{base}: the annotations hold no box")
    numbers, boxes, notes, misfits = [], [], list[str](), list[str]()
    for number, name in enumerate(opened.names):
        high, wide = (int(side) for side in opened.shapes[number, :2])
        upright = oriented(said.pictures[name], (wide, high), base / name)
        if upright is None:
            misfits.append(name)
            continue
        kept, lines = cleaned(upright, (wide, high), name)
        notes += lines
        numbers.append(number)
        boxes.append([[*box[:4], _class(box, said.classes)] for box in kept])
    if misfits:
        what = f"{counted(len(misfits), 'picture')} of another size than the annotation states, left out"
        notes.append(f"{what}: {first_few(misfits)}")
    if not any(boxes):
        raise DataError(f"{base}: no box is left of the annotations" + "".join(f"; {note}" for note in notes[:1]))
    record = {"pack": opened.fingerprint, "numbers": numbers, "boxes": boxes, "classes": list(said.classes)}
    fingerprint = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    write_json(record_path(fingerprint), record)
    more = [f"... and {len(notes) - NAMED_AT_MOST} more remarks on boxes"] if len(notes) > NAMED_AT_MOST else []
    return recorded(fingerprint), [*notes[:NAMED_AT_MOST], *more]


def _class(box: Box, classes: Sequence[str]) -> float:
    number = classes.index(box.name)
    return IGNORED - number if box.ignored else number


def oriented(boxed: Boxed, size: tuple[int, int], path: Path) -> Sequence[Box] | None:
    """Return boxes in the pixels of the upright picture of `size` = (width, height); None if they are of another one.

    Those of a picture that is turned by a quarter are turned with it, if the size that their annotation states is the
    one before the turn. Of other turns no size tells, so boxes count as upright.
    """
    wide, high = size
    if boxed.shares:
        return [
            box._replace(left=box.left * wide, top=box.top * high, right=box.right * wide, bottom=box.bottom * high)
            for box in boxed.boxes
        ]
    if boxed.stated in (None, size):
        return boxed.boxes
    turn = turn_of(path) if boxed.stated == (high, wide) else 1
    return [turned(box, (high, wide), turn) for box in boxed.boxes] if turn in QUARTERS else None


_TURNS: Mapping[int, Callable[[float, float, float, float], tuple[float, float]]] = {
    1: lambda x, y, wide, high: (x, y),
    2: lambda x, y, wide, high: (wide - x, y),
    3: lambda x, y, wide, high: (wide - x, high - y),
    4: lambda x, y, wide, high: (x, high - y),
    5: lambda x, y, wide, high: (y, x),
    6: lambda x, y, wide, high: (high - y, x),
    7: lambda x, y, wide, high: (high - y, wide - x),
    8: lambda x, y, wide, high: (y, wide - x),
}
"""Where the Exif orientations bring a point of a picture of some width and height."""
QUARTERS = (5, 6, 7, 8)


def turned(box: Box, size: tuple[int, int], turn: int) -> Box:
    """Return a box of the stored picture of `size` = (width, height) where an Exif orientation brings it."""
    corners = [_TURNS[turn](x, y, *size) for x, y in ((box.left, box.top), (box.right, box.bottom))]
    (left, right), (top, bottom) = map(sorted, zip(*corners, strict=True))
    return box._replace(left=left, top=top, right=right, bottom=bottom)


def turn_of(path: Path) -> int:
    """Return the Exif orientation of a file; 1 if it cannot be read."""
    try:
        with Image.open(path) as image:
            return orientation(image)
    except (*BROKEN, OSError):
        return 1


def cleaned(boxes: Sequence[Box], size: tuple[int, int], name: str) -> tuple[list[Box], list[str]]:
    """Return the boxes inside a picture of `size` = (width, height), clipped to it, and a line for each odd one."""
    wide, high = size
    kept, lines = [], []
    for box in boxes:
        inside = box._replace(
            left=max(0.0, box.left), top=max(0.0, box.top), right=min(box.right, wide), bottom=min(box.bottom, high)
        )
        where = f"{name}: the box of {box.name} at {box.left:.0f}, {box.top:.0f}"
        if box.right <= box.left or box.bottom <= box.top:
            lines.append(f"{where} has no area and is left out")
        elif inside.right <= inside.left or inside.bottom <= inside.top:
            lines.append(f"{where} is outside of its picture and is left out")
        else:
            kept.append(inside)
            if max(abs(side - other) for side, other in zip(inside[:4], box[:4], strict=True)) > TOUCH:
                lines.append(f"{where} reaches out of its picture and is clipped")
    return kept, lines


def record_path(fingerprint: str) -> Path:
    """Return the path of the record of a set with boxes: its pack, which pictures of it, and their boxes."""
    return pack_folder() / f"{checked(fingerprint)}.boxes.json"


def recorded(fingerprint: str) -> ImageSet:
    """Return the pictures with boxes of a record; `DataError` if it is missing or damaged."""
    record = read_json(record_path(fingerprint))
    try:
        opened, numbers = Pack(pack_path(record["pack"])), np.array(record["numbers"], np.int64)
        boxes = [np.array(one, np.float32).reshape(-1, 5) for one in record["boxes"]]
        classes = tuple(str(name) for name in record["classes"])
        known = all((np.abs(one[:, 4]) <= len(classes) + 1).all() for one in boxes)
        if not (known and len(boxes) == len(numbers) and ((numbers >= 0) & (numbers < len(opened))).all()):
            raise ValueError("a number beyond the pack")
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise DataError(f"{record_path(fingerprint)}: the record of a packed set is missing or damaged") from error
    return ImageSet(opened, numbers, "", Companions(boxes=boxes, classes=classes), fingerprint)
