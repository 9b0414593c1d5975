"""Pictures with masks whose classes are to be recognised: the names of the classes, and which of them are void."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pinxit.data.pairs import PixelClasses, joined, sources_of
from pinxit.data.places import remember
from pinxit.data.sets import DataSet, parse_spec
from pinxit.data.settings import HOLDOUT
from pinxit.errors import DataError, UsageError
from pinxit.files import open_plain
from pinxit.settings import did_you_mean

NAMES = "classes.txt"
"""A file beside the folders of pictures and masks: the name of a class in each line, from class 0 on.

The class's number may stand before each name.
"""
MOST_CLASSES = 255
LARGEST_NAMES = 1 << 20


def open_masked(spec: str, holdout: float = HOLDOUT, void: Sequence[str] = ()) -> DataSet:
    """Open pictures with masks as `open_pairs` does, with names of the masks' classes; `void` ones are ignored.

    `NAMES` names the classes, else each is called by its number. Raises `DataError` if there are no masks.
    """
    base = Path(parse_spec(spec)[0])
    sources = sources_of(base)
    sources.pop("pair", None)
    if "mask" not in sources:
        raise DataError(f"{base}: no masks; pictures in a folder images need masks of equal stems in a folder masks")
    names = _names(base)
    opened = joined(sources, spec, holdout, PixelClasses(names, tuple(_number(word, names) for word in void)))
    remember(opened.train.fingerprint, base)
    return opened


def _names(base: Path) -> tuple[str, ...]:
    """Return the names of the classes; none if no file has them."""
    path = base / NAMES
    if not path.is_file():
        return ()
    with open_plain(path) as file:
        lines = file.read(LARGEST_NAMES).decode("utf-8-sig", "replace").splitlines()
    names = tuple(filter(None, map(str.strip, lines)))
    if all(re.match(rf"{number}\s+\S", name) for number, name in enumerate(names)):
        names = tuple(name.split(maxsplit=1)[1] for name in names)
    if len(set(names)) < len(names) or not 1 < len(names) <= MOST_CLASSES:
        raise DataError(f"{path}: a line for each of 2 to {MOST_CLASSES} classes is needed, each with another name")
    return names


def _number(word: str, names: Sequence[str]) -> int:
    """Return the number of a class by its name or its number."""
    if word in names:
        return names.index(word)
    if word.isdecimal() and int(word) < (len(names) or MOST_CLASSES):
        return int(word)
    raise UsageError(f"--void {word}: no such class{did_you_mean(word, names)}")
