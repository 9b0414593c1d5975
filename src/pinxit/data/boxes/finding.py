"""Which picture an annotation is about, and which part of a set a name means."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from pinxit.data.boxes.box import Place
from pinxit.data.layout import part_of
from pinxit.errors import DataError
from pinxit.files import read_bytes

LARGEST_LIST = 16 << 20
FINEST = 0.5
"""The least share of a list's lines that must name pictures."""


class Finder:
    """Finds pictures by what annotations call them: a path, the end of one, a name, or a name without its suffix."""

    def __init__(self, pictures: Sequence[str]) -> None:
        self._by_stem = defaultdict[str, list[str]](list)
        for name in pictures:
            self._by_stem[PurePosixPath(name).stem].append(name)

    def find(self, word: str, beside: str = "") -> str | None:
        """Return the picture that `word` names in the file `beside`; of several, the nearest by its folders."""
        path = PurePosixPath(word.replace("\\", "/"))
        known = self._by_stem.get(path.stem) or self._by_stem.get(path.name) or []
        if path.suffix and any(PurePosixPath(name).name == path.name for name in known):
            known = [name for name in known if PurePosixPath(name).name == path.name]
        if len(known) < 2:
            return known[0] if known else None
        asked = [*PurePosixPath(beside).parts[:-1], *path.parts[:-1]]
        return max(known, key=lambda name: _alike(PurePosixPath(name).parts[:-1], asked))


def _alike(folders: Sequence[str], asked: Sequence[str]) -> tuple[int, int]:
    """Return how many folders are equal, and how few are others."""
    return sum(folder in asked for folder in folders), -len(folders)


def fine_part(word: str) -> str:
    """Return the part that a folder or a file is named after: train, val or test; "" if none."""
    part = part_of(word)
    return "val" if part == "test" and word.lower().startswith("val") else part


def parts_by_folder(pictures: Iterable[str]) -> dict[str, str]:
    """Return the part of each picture that lies in a folder of one; none if there is nothing to train on."""
    found = {name: next(filter(None, map(fine_part, PurePosixPath(name).parts[:-1])), "") for name in pictures}
    return {name: part for name, part in found.items() if part} if "train" in found.values() else {}


def parts_by_list(place: Place, finder: Finder) -> dict[str, str]:
    """Return the part of each picture that a list such as ImageSets/Main/train.txt names; none without one of train."""
    found: dict[str, str] = {}
    for name in place.files:
        part = fine_part(PurePosixPath(name).stem) if name.endswith(".txt") else ""
        if part:
            lines = text_of(place, name, LARGEST_LIST).splitlines()
            named = [finder.find(line.strip()) for line in lines if line.strip()]
            known = [picture for picture in named if picture]
            if named and len(known) >= FINEST * len(named):
                found |= dict.fromkeys(known, part)
    return found if "train" in found.values() else {}


def text_of(place: Place, name: str, largest: int) -> str:
    """Return the text of a file of a set; `DataError` if it is no text."""
    try:
        return read_bytes(place.folder / name, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not a text in UTF-8") from error


def words_of(name: str) -> list[str]:
    """Return the words in the name of a file: instances_val2017.json is of instances, val2017 and json."""
    return [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]


def in_order(classes: Mapping[int, str]) -> list[str]:
    """Return names by their numbers, each once."""
    return list(dict.fromkeys(classes[number] for number in sorted(classes)))
