"""Pictures of two kinds, A and B, of which one is to become the other: as pairs, or as two sets.

They lie in two places, in two folders of one (`NAMES`), in a table (`TABLE`), or side by side in one file. Folders
`train` and `test`, above or below these, and names such as trainA and testB are official parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from pinxit.data.pack import pack
from pinxit.data.pairs import ENDINGS, divided, half, joined
from pinxit.data.places import beside, remember
from pinxit.data.render import VOID
from pinxit.data.sets import DataSet, divide, parse_spec, whole_pack
from pinxit.data.settings import Kinds, Labels
from pinxit.data.sources import Source, key_of, open_source
from pinxit.errors import DataError, UsageError, counted
from pinxit.images import read_mask

NAMES = (
    ("A", "B"), ("a", "b"), ("input", "target"), ("inputs", "targets"), ("input", "output"), ("inputs", "outputs"),
    ("source", "target"), ("images", "pairs"), ("images", "targets"), ("images", "labels"), ("images", "masks"),
)  # fmt: skip
"""Names of the folders of A and B."""
JOINED = re.compile(r"(train|val|test)[-_]?([AB])", re.IGNORECASE)
"""Names of folders that say the part and the kind: trainA, trainB, testA, testB."""
TABLE = "metadata.jsonl"
COLUMNS = ("input_file_name", "target_file_name")
"""A table with a JSON object in each line, which names the files of a pair."""
LARGEST_TABLE = 64 << 20
LOOKED_AT = 8
"""Files that are looked at, to tell label maps from pictures, or pictures side by side from others."""
MOST_CLASSES = 64
"""Label maps that are recognised as such have fewer classes."""
COLOURED_FROM = 64
"""Files at most in which the colours of classes are looked for."""


class Kind(NamedTuple):
    """The pictures of one kind, and the same files as class numbers if they can be read so."""

    pictures: Source
    numbers: Source | None

    def changed(self, change: Callable[[Source], Source]) -> Kind:
        """Return both sources changed in the same way."""
        return Kind(change(self.pictures), self.numbers and change(self.numbers))


class Found(NamedTuple):
    """A and B as they were found, where, and whether they are pairs by that."""

    a: Kind
    b: Kind
    where: str
    paired: bool = False


def open_kinds(spec: str, holdout: float, asked: Kinds) -> DataSet:
    """Open pictures of two kinds: each with its pair, or with `other`, the second set.

    Label maps, which `asked.labels` says or their files, get a plane for each class. In all else this works like
    `open_data`. Raises `DataError` if there are not two kinds, `UsageError` if what was asked for does not fit them.
    """
    base, _ = parse_spec(spec)
    found = _found(Path(base), asked)
    labelled = {"a": _asked_labels(asked.labels, "a", found.a), "b": _asked_labels(asked.labels, "b", found.b)}
    common = _common(found.a.pictures.names, found.b.pictures.names)
    paired = asked.paired if asked.paired is not None else found.paired or _mostly(common, found)
    if paired and not common:
        raise UsageError(f"{base}: --paired, but no two files have equal stems")
    a, b = _source(found.a, labelled["a"]), _source(found.b, labelled["b"])
    said = [*_about(found, paired, len(common), asked), *_about_labels(labelled)]
    other = None
    if paired:
        opened = joined({"image": a, "pair": b}, spec, holdout, colours={"image": labelled["a"], "pair": labelled["b"]})
    else:
        opened = _alone(a, spec, holdout, labelled["a"])
        second = _alone(b, str(asked.second or base), holdout, labelled["b"])
        other = second.train
        said += second.notes[:1]
        remember(other.fingerprint, asked.second or Path(base))
    remember(opened.train.fingerprint, Path(base))
    if asked.second:
        remember(beside(opened.train.fingerprint), asked.second)
    return replace(opened, notes=(*opened.notes, *said), other=other)


def _alone(source: Source, spec: str, holdout: float, colours: Sequence[str]) -> DataSet:
    """Return the set of one kind, without partners."""
    if colours:
        return joined({"image": source}, spec, holdout, colours={"image": colours})
    opened, notes = pack(divided(source))
    return divide(whole_pack(opened), *parse_spec(spec), holdout, notes)


def _found(base: Path, asked: Kinds) -> Found:
    if asked.second is not None:
        if asked.layout != "auto":
            raise UsageError(f"--layout {asked.layout} is for pictures side by side in one set; B is given too")
        return Found(_kind(base), _kind(asked.second), "two places")
    whole = _kind(base)
    if asked.layout != "auto":
        return _side_by_side(whole, asked.layout)
    for look in (_by_table, _by_joined_names, _by_folders):
        if found := look(base, whole):
            return found
    if _twice_as_wide(whole.pictures):
        return _side_by_side(whole, "ab")
    raise DataError(
        f"{base}: one kind of pictures. Give a second set as B; or use folders such as A and B, input and target, "
        f"trainA and trainB, a {TABLE} with {COLUMNS[0]} and {COLUMNS[1]}, or pictures side by side"
    )


def _kind(path: Path) -> Kind:
    source = replace(open_source(path), labels=None)
    if not source.names:
        raise DataError(f"{path}: no pictures")
    if not path.is_dir():
        return Kind(source, None)
    numbers = open_source(path, read_mask)
    return Kind(source, replace(numbers, key=key_of("mask", numbers.key), labels=None))


def _side_by_side(whole: Kind, layout: str) -> Found:
    left, right = (Kind(half(whole.pictures, side), None) for side in (0, 1))
    a, b = (left, right) if layout == "ab" else (right, left)
    return Found(a, b, f"pictures side by side, A on the {'left' if layout == 'ab' else 'right'}", paired=True)


def _twice_as_wide(source: Source) -> bool:
    for number in _some(source):
        high, wide = source.read(number).pixels.shape[:2]
        if wide != 2 * high:
            return False
    return True


def _by_table(base: Path, whole: Kind) -> Found | None:
    """Return the pairs that a table names: in the set's folder, or one in each folder below it."""
    if not base.is_dir():
        return None
    pairs: list[tuple[str, str]] = []
    for table in (base / TABLE, *sorted(base.glob(f"*/{TABLE}"))):
        if table.is_file() and table.stat().st_size <= LARGEST_TABLE:
            above = PurePosixPath(table.parent.relative_to(base).as_posix())
            pairs += [(str(above / one), str(above / other)) for one, other in _rows(table)]
    if not pairs:
        return None
    place = {name: number for number, name in enumerate(whole.pictures.names)}
    there = [(one, other) for one, other in pairs if one in place and other in place]
    if not there:
        raise DataError(f"{base}: none of the files that {TABLE} names is here")
    ones, others = ([place[pair[side]] for pair in there] for side in (0, 1))
    names = [str(PurePosixPath(one)) for one, _ in there]
    return Found(_picked(whole, ones, names), _picked(whole, others, names), TABLE, paired=True)


def _rows(table: Path) -> list[tuple[str, str]]:
    rows = []
    for line in table.read_text("utf-8-sig", "replace").splitlines():
        with suppress(ValueError, TypeError, KeyError):
            row = json.loads(line)
            rows.append((str(row[COLUMNS[0]]), str(row[COLUMNS[1]])))
    return rows


def _by_joined_names(base: Path, whole: Kind) -> Found | None:
    """Return the kinds of folders such as trainA and testB."""
    numbers: dict[str, list[int]] = {"A": [], "B": []}
    names: dict[str, list[str]] = {"A": [], "B": []}
    for number, name in enumerate(whole.pictures.names):
        *above, folder, file = ("", *PurePosixPath(name).parts)[-3:] if "/" in name else ("", "", name)
        if match := JOINED.fullmatch(folder):
            kind = match[2].upper()
            numbers[kind].append(number)
            names[kind].append(str(PurePosixPath(*above, match[1].lower(), file)))
    if not all(numbers.values()):
        return None
    a, b = (_picked(whole, numbers[kind], names[kind]) for kind in "AB")
    return Found(a, b, "the folders trainA and trainB")


def _by_folders(base: Path, whole: Kind) -> Found | None:
    """Return the kinds of two folders with names of `NAMES`, at any depth."""
    paths = [PurePosixPath(name).parts[:-1] for name in whole.pictures.names]
    for depth in range(max(map(len, paths), default=0)):
        folders = {path[depth] for path in paths if len(path) > depth}
        for pair in NAMES:
            if folders.issuperset(pair):
                a, b = (_within(whole, depth, name) for name in pair)
                return Found(a, b, f"the folders {pair[0]} and {pair[1]}", paired=pair[0].lower() != "a")
    return None


def _within(kind: Kind, depth: int, folder: str) -> Kind:
    return kind.changed(lambda source: source.within(depth, folder))


def _picked(kind: Kind, numbers: Sequence[int], names: Sequence[str]) -> Kind:
    """Return some pictures of a kind under other names."""

    def picked(source: Source) -> Source:
        return replace(
            source,
            key=key_of("picked", source.key, list(numbers), list(names)),
            names=names,
            read=lambda number: source.read(numbers[number]),
            labels=None,
            parts=None,
            notes=(),
        )

    return kind.changed(picked)


def _source(kind: Kind, colours: Sequence[str]) -> Source:
    """Return the source to pack: of class numbers if there are colours of classes."""
    return kind.numbers if colours and kind.numbers else kind.pictures


def _common(names: Sequence[str], others: Sequence[str]) -> set[str]:
    """Return the stems that both kinds have; endings of B such as _label are left out."""
    own, second = ({str(PurePosixPath(name).with_suffix("")) for name in found} for found in (names, others))
    return own & (second | {stem.removesuffix(end) for stem in second for end in ENDINGS})


def _mostly(common: set[str], found: Found) -> bool:
    return 2 * len(common) > min(len(found.a.pictures.names), len(found.b.pictures.names))


def _asked_labels(asked: Labels, side: str, kind: Kind) -> tuple[str, ...]:
    """Return the colours of a kind's classes if it is of label maps, as asked or by its files; () if not."""
    if asked in ("none", "a", "b") and asked != side:
        return ()
    if asked != "auto" and kind.numbers is None:
        raise UsageError(f"--labels {asked}: label maps are read from folders of files with a palette or of grey ones")
    if asked == "auto" and not _like_labels(kind):
        return ()
    return _colours(kind)


def _like_labels(kind: Kind) -> bool:
    """Say whether some of the files hold small class numbers only, whose colours agree from file to file."""
    if kind.numbers is None:
        return False
    colours: dict[int, tuple[int, ...]] = {}
    most = 0
    for number in _some(kind.numbers):
        try:
            found = kind.numbers.read(number).pixels[..., 0]
        except DataError:
            return False
        for value, colour in _colours_of(found, kind.pictures.read(number).pixels).items():
            if value >= MOST_CLASSES or colours.setdefault(value, colour) != colour:
                return False
            most = max(most, value)
    return most > 0


def _colours_of(numbers: np.ndarray, pixels: np.ndarray) -> dict[int, tuple[int, ...]]:
    """Return the colour of each class number of a file, but of `VOID`."""
    values, places = np.unique(numbers, return_index=True)
    colours = pixels.reshape(-1, pixels.shape[2])[places].tolist()
    return {int(value): tuple(colour) for value, colour in zip(values, colours, strict=True) if value != VOID}


def _colours(kind: Kind) -> tuple[str, ...]:
    """Return a colour for each class: that of its files, or one of `usual` where files are grey."""
    if kind.numbers is None:
        return ()
    found: dict[int, tuple[int, ...]] = {}
    count = 0
    for number in range(len(kind.numbers.names)):
        with suppress(DataError):
            numbers = kind.numbers.read(number).pixels[..., 0]
            known = numbers[numbers != VOID]
            count = max(count, int(known.max(initial=0)) + 1)
            if number < COLOURED_FROM:
                found |= _colours_of(numbers, kind.pictures.read(number).pixels)
    if count < 2:  # 0 and 255 only: the classes 0 and 1
        return usual(0), usual(1)
    own = {value: colour[:3] for value, colour in found.items() if len(colour) >= 3}
    return tuple("#{:02x}{:02x}{:02x}".format(*own[value]) if value in own else usual(value) for value in range(count))


def usual(number: int) -> str:
    """Return the colour of a class in the usual palette (Everingham et al., 2010): its bits, spread over channels."""
    channels = [sum((number >> 3 * bit + channel & 1) << 7 - bit for bit in range(3)) for channel in range(3)]
    return "#{:02x}{:02x}{:02x}".format(*channels)


def _some(source: Source) -> list[int]:
    return sorted({int(place) for place in np.linspace(0, len(source.names) - 1, LOOKED_AT)})


def _about(found: Found, paired: bool, common: int, asked: Kinds) -> list[str]:
    """Return how the kinds were found, and whether they are pairs."""
    why = "as asked" if asked.paired is not None else f"{common:,} stems are equal"
    if paired:
        return [f"A and B from {found.where}: {counted(common, 'pair')}" + ("" if found.paired else f", {why}")]
    counts = (len(kind.pictures.names) for kind in (found.a, found.b))
    return ["A and B from {}: {:,} and {:,} pictures, without pairs, {}".format(found.where, *counts, why)]


def _about_labels(labelled: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"{side.upper()} are label maps of {len(colours)} classes; --labels none reads them as pictures"
        for side, colours in labelled.items()
        if colours
    ]
