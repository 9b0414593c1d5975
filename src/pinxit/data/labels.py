"""Tables of labels: a CSV file with the columns file and label, which names the classes of pictures."""

from __future__ import annotations

import codecs
import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import commonprefix, splitext

from pinxit.errors import DataError

TABLE = "labels.csv"
FILE, LABEL = "file", "label"
DELIMITERS = (",", ";", "\t")
SHOWN = 60
"""The most characters of a table's first line in a remark."""


@dataclass(frozen=True)
class Labels:
    """The classes of pictures by name; files that are named and not here; pictures that are named with two labels.

    `how` says how files were found, if not by their names as they stand.
    """

    of: Mapping[str, str]
    absent: tuple[str, ...]
    unclear: tuple[str, ...]
    how: str = ""


def read_labels(content: bytes) -> list[tuple[str, str]]:
    """Return the files and labels in a table; `DataError` if it is not such a table.

    Columns end at commas, semicolons or tabs, whichever gives the two. Backslashes in paths are slashes.
    """
    text = _text(content)
    first = text.split("\n", 1)[0].strip()
    for delimiter in DELIMITERS:
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
        except csv.Error as error:
            raise DataError(f"it is no CSV ({error})") from error
        columns = [name.strip().lower() for name in rows[0]] if rows else []
        if FILE in columns and LABEL in columns:
            return _pairs(rows, columns.index(FILE), columns.index(LABEL))
    raise DataError(f"its first line must name the columns {FILE} and {LABEL}, and is {first[:SHOWN]!r}")


def _text(content: bytes) -> str:
    """Return a table as text: UTF-8, or UTF-16 with its mark as spreadsheets write it."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("it is not UTF-8; save it as CSV in UTF-8") from error


def _pairs(rows: Sequence[Sequence[str]], file: int, label: int) -> list[tuple[str, str]]:
    """Return the files and labels of rows, of which the first names the columns."""
    found = []
    for number, row in enumerate(rows[1:], 2):
        if any(row[len(rows[0]) :]):
            raise DataError(f"row {number} has more columns than the first; put what has commas into double quotes")
        if len(row) > file and (name := row[file].strip()):
            label_of = row[label].strip() if len(row) > label else ""
            found.append((name.replace("\\", "/").removeprefix("./"), label_of))
    if not found:
        raise DataError("it names no file")
    return found


def _without_shared(names: Iterable[str]) -> dict[str, str]:
    """Return names by the same ones without the folders that all of them share."""
    names = list(names)
    shared = len(commonprefix([name.split("/")[:-1] for name in names]))
    return {"/".join(name.split("/")[shared:]): name for name in names}


def _without_suffix(names: Iterable[str]) -> dict[str, str]:
    """Return names by their stems, without the folders that all share; stems of several files are left out."""
    found = defaultdict[str, list[str]](list)
    for short, name in _without_shared(names).items():
        found[splitext(short)[0]].append(name)
    return {stem: files[0] for stem, files in found.items() if len(files) == 1}


AS_NAMED = ""
WAYS: dict[str, Callable[[Iterable[str]], Mapping[str, str]]] = {
    # How files of a table are compared with those of the set, the first way that finds any.
    AS_NAMED: lambda names: {name: name for name in names},
    "without the folders around all of them": _without_shared,
    "without folders and suffixes": _without_suffix,
}


def matched(rows: Sequence[tuple[str, str]], names: Sequence[str]) -> Labels:
    """Return the labels of the pictures of a set, from the rows of a table."""
    listed = dict.fromkeys(name for name, _ in rows)
    way = next((way for way, short in WAYS.items() if short(names).keys() & short(listed).keys()), AS_NAMED)
    here, asked = WAYS[way](names), {name: short for short, name in WAYS[way](listed).items()}
    labels = defaultdict[str, set[str]](set)
    for name, label in rows:
        if label and (place := here.get(asked.get(name, ""))):
            labels[place].add(label)
    absent = tuple(sorted(name for name in listed if asked.get(name) not in here))
    unclear = tuple(sorted(name for name, said in labels.items() if len(said) > 1))
    return Labels({name: min(said) for name, said in labels.items() if len(said) == 1}, absent, unclear, way)
