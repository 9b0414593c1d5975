"""YOLO: a text file for each picture, a line for each box: class, middle x and y, width and height as shares.

A line of more numbers is a polygon, and its box is meant. An empty file is a picture without things. Classes are named
in data.yaml, classes.txt or obj.names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pinxit.data.boxes.box import LARGEST_TEXT, Annotations, Box, Boxed, Form, Place, Predicted
from pinxit.data.boxes.finding import fine_part, in_order, text_of
from pinxit.data.boxes.yaml import Value, parsed
from pinxit.data.layout import first_few
from pinxit.errors import DataError, counted
from pinxit.files import write_whole

FOLDER = "labels"
LISTS = ("classes.txt", "obj.names")
BOX, SURE = 5, 6
"""How many numbers a line of a box has, and one with how sure a detector is."""
CORNERS = 6
"""The least numbers of a polygon."""
SLACK = 1.001
"""The largest share of a side; more is no share."""


def knows(place: Place) -> bool:
    """Return whether there are texts of the pictures' stems that hold numbers, or a data.yaml that names classes."""
    return bool(_names(place)) or any(_understood(text_of(place, text, LARGEST_TEXT)) for text in _texts(place))


def _understood(text: str) -> bool:
    """Return whether a text begins with a line of a box."""
    lines = text.split("\n", 1)
    return bool(lines[0].strip()) and _box(lines[0], {}) is not None


def _texts(place: Place) -> dict[str, str]:
    """Return the picture of each text: beside it, or in labels/ where the picture is in images/."""
    files = {name for name in place.files if name.endswith(".txt")}
    texts = {}
    for picture in place.pictures:
        path = PurePosixPath(picture).with_suffix(".txt")
        for text in _where(path):
            if text in files and path.name not in LISTS:
                texts[text] = picture
                break
    return texts


def _where(path: PurePosixPath) -> list[str]:
    """Return the names that the text of a picture may have, its own with the suffix txt among them."""
    folders = list(path.parts[:-1])
    names = []
    if "images" in folders:
        last = len(folders) - 1 - folders[::-1].index("images")
        names.append("/".join([*folders[:last], FOLDER, *folders[last + 1 :], path.name]))
    return [*names, path.as_posix(), "/".join([*folders, FOLDER, path.name]), f"{FOLDER}/{path.name}"]


def _names(place: Place) -> dict[int, str]:
    """Return the names of classes by their numbers; none if no file says them."""
    for name, content in _yamls(place):
        match content.get("names"):
            case list(words):
                return dict(enumerate(words))
            case dict(words):
                return {_number(key, name): words[key] for key in words}
            case str():
                raise DataError(f"{name}: names is not a list of classes")
    for name in place.files:
        if PurePosixPath(name).name in LISTS:
            lines = text_of(place, name, LARGEST_TEXT).splitlines()
            return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    return {}


def _yamls(place: Place) -> Iterator[tuple[str, dict[str, Value]]]:
    """Yield what the YAML files of a set say."""
    for name in place.files:
        if name.endswith((".yaml", ".yml")):
            yield name, parsed(text_of(place, name, LARGEST_TEXT), name)


def _number(key: str, name: str) -> int:
    if not key.isdecimal() or len(key) > 6:
        raise DataError(f"{name}: {key!r} in names is not the number of a class")
    return int(key)


def read(place: Place) -> Annotations:
    """Return the boxes of all pictures. Those without a text count as pictures without things, and are named."""
    names, found, notes = _names(place), dict[str, Boxed](), list[str]()
    texts = _texts(place)
    used: dict[int, str] = {}
    for text, picture in texts.items():
        boxes = []
        for number, line in enumerate(text_of(place, text, LARGEST_TEXT).splitlines(), 1):
            box = _box(line, names) if line.strip() else None
            if box is not None:
                boxes.append(box)
                used[int(float(line.split()[0]))] = box.name
            elif line.strip():
                notes.append(f"{text}: line {number} is not a class and the shares of a box, and is left out")
        found[picture] = Boxed(boxes, shares=True)
    missing = [name for name in place.pictures if name not in found]
    if missing:
        notes.append(
            f"{counted(len(missing), 'picture')} without a text, taken as without things: {first_few(missing)}"
        )
    found |= {name: Boxed((), shares=True) for name in missing}
    return Annotations(found, in_order(names or used), _parts(place), notes)


def _parts(place: Place) -> dict[str, str]:
    """Return the parts that a data.yaml names by folders of pictures; none if it names none."""
    parts: dict[str, str] = {}
    for _, content in _yamls(place):
        for key, value in content.items():
            folders = [value] if isinstance(value, str) else value
            if part := fine_part(key):
                parts |= dict.fromkeys(_within(place, list(folders)), part)
    return parts if "train" in parts.values() else {}


def _within(place: Place, folders: Sequence[str]) -> list[str]:
    """Return the pictures in folders, of which only the end of the path counts."""
    ends = [
        "/".join(part for part in word.replace("\\", "/").split("/") if part not in ("", ".", "..")) for word in folders
    ]
    return [name for name in place.pictures if any(end and f"/{name}".find(f"/{end}/") >= 0 for end in ends)]


def _box(line: str, names: Mapping[int, str]) -> Box | None:
    """Return the box of a line, in shares; None if it is none."""
    try:
        numbers = [float(word) for word in line.split()]
        kind = int(numbers[0])
    except (ValueError, IndexError, OverflowError):
        return None
    sides = _middled(numbers[1:5]) if len(numbers) in (BOX, SURE) else _around(numbers[1:])
    if sides is None or kind != numbers[0] or kind < 0 or (names and kind not in names):
        return None
    left, top, right, bottom = sides
    return Box(left, top, right, bottom, names.get(kind, str(kind)))


def _middled(shares: Sequence[float]) -> tuple[float, float, float, float] | None:
    """Return the sides of a box of a middle, a width and a height; None if these are no shares."""
    across, down, wide, high = shares
    if not all(abs(share) <= SLACK for share in shares):
        return None
    return across - wide / 2, down - high / 2, across + wide / 2, down + high / 2


def _around(shares: Sequence[float]) -> tuple[float, float, float, float] | None:
    """Return the sides of the box around a polygon; None if it has no three corners, or these are no shares."""
    if len(shares) < CORNERS or len(shares) % 2 or not all(abs(share) <= SLACK for share in shares):
        return None
    return min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])


def write(folder: Path, found: Sequence[Predicted], classes: Sequence[str]) -> None:
    """Write labels/STEM.txt for each picture, and classes.txt."""
    for one in found:
        path = folder / FOLDER / f"{one.result}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lines_of(one, classes).encode())
    write_whole(folder / LISTS[0], "".join(f"{name}\n" for name in classes).encode())


def lines_of(one: Predicted, classes: Sequence[str]) -> str:
    """Return the text of a picture's boxes; how sure a detector is comes last, where it is known."""
    wide, high = one.size
    lines = []
    for box in one.boxes:
        middle = (box.left + box.right) / 2 / wide, (box.top + box.bottom) / 2 / high
        numbers = [*middle, (box.right - box.left) / wide, (box.bottom - box.top) / high]
        numbers += [] if box.score is None else [box.score]
        lines.append(" ".join([str(classes.index(box.name)), *(f"{number:.6f}" for number in numbers)]))
    return "".join(f"{line}\n" for line in lines)


YOLO = Form("YOLO (a text a picture)", (FOLDER, LISTS[0]), knows, read, write)
