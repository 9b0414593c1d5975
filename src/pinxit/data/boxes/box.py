"""Boxes as every form of annotation is read into them and written from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

LARGEST_TEXT = 4 << 20
"""The most bytes of the annotation of one picture."""


class Box(NamedTuple):
    """A thing in a picture: pixels from the top left corner of the picture, half open, and the name of its class.

    The pixel in column 0 reaches from 0 to 1, so a box around the first pixel alone is 0, 0, 1, 1. `ignored` marks what
    is neither right nor wrong to find: crowds (COCO), difficult ones (VOC). `score` is how sure a detector is.
    """

    left: float
    top: float
    right: float
    bottom: float
    name: str
    ignored: bool = False
    score: float | None = None


@dataclass(frozen=True)
class Boxed:
    """The boxes of a picture, and the width and height that its annotation states, if any.

    With `shares`, boxes are shares of the picture's sides in place of pixels.
    """

    boxes: Sequence[Box]
    stated: tuple[int, int] | None = None
    shares: bool = False


@dataclass(frozen=True)
class Annotations:
    """What a form of annotation says of pictures, by name; `classes` in their own order, and remarks.

    `parts` are the parts that it names itself. Pictures that it does not name are in neither.
    """

    pictures: Mapping[str, Boxed]
    classes: Sequence[str]
    parts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


class Predicted(NamedTuple):
    """A picture with boxes to write: its file, its width and height, and the boxes that are found.

    `result` is the name, without a suffix, of a file of its own.
    """

    file: str
    result: str
    size: tuple[int, int]
    boxes: Sequence[Box]


class Place(NamedTuple):
    """A folder, the files below it, and those of them that are pictures."""

    folder: Path
    files: Sequence[str]
    pictures: Sequence[str]


class Form(NamedTuple):
    """A form of annotation: what help calls it, how it is recognised and read, and how found boxes are written.

    `writes` are the names of what it writes into a folder.
    """

    about: str
    writes: tuple[str, ...]
    knows: Callable[[Place], bool]
    read: Callable[[Place], Annotations]
    write: Callable[[Path, Sequence[Predicted], Sequence[str]], None]
