"""Arrays from files of strangers: what a header claims is compared with the file and the memory before any is taken."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import IO, overload

import numpy as np

from pinxit.errors import DataError, MemoryLimitError
from pinxit.files import open_plain
from pinxit.images import Picture
from pinxit.images.room import too_little_for
from pinxit.progress import say

IMAGES = "images"
BYTE_CEILING = 4 << 30
RATIO_CEILING, SMALL = 100, 64 << 20
"""A file above `SMALL` bytes unpacked may unpack to so many times its size."""
FEW_PICTURES = 1_000_000
"""A file may hold more pictures than it has bytes up to here; each costs memory of its own."""
LONGEST_LABEL = 255
HEADER_BYTES = 10_000
BROKEN = (
    *(OSError, RuntimeError, SystemError, EOFError, ValueError, LookupError, TypeError, OverflowError, SyntaxError),
    *(zlib.error, struct.error, zipfile.BadZipFile, tokenize.TokenError),
)


class Names(Sequence[str]):
    """Names that are made when asked for: as texts, millions would take gigabytes."""

    @abstractmethod
    def _at(self, place: int) -> str:
        """Return the name at a place, which is not negative."""

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        """Return a name; of a slice, the list of its names."""
        places = range(len(self))[number]
        return self._at(places) if isinstance(places, int) else [self._at(place) for place in places]


class Numbered(Names):
    """The names of pictures without files: a prefix and a number, "train/00000".

    `counts` says how many there are of each prefix, in this order.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._prefixes = list(counts)
        self._ends = list(accumulate(counts.values()))

    def __len__(self) -> int:
        return self._ends[-1]

    def _at(self, place: int) -> str:
        part, number = _part(self._ends, place)
        return f"{self._prefixes[part]}{number:05d}"


def reader(arrays: Sequence[np.ndarray]) -> Callable[[int], Picture]:
    """Return what reads picture i of arrays (N, H, W, C), one after the other."""
    ends = list(accumulate(map(len, arrays)))

    def read(number: int) -> Picture:
        part, place = _part(ends, number)
        pixels = arrays[part][place]
        return Picture(pixels, "array", str(pixels.dtype))

    return read


def _part(ends: Sequence[int], place: int) -> tuple[int, int]:
    """Return which of the parts that end at `ends` a place lies in, and its number there."""
    part = bisect_right(ends, place)
    return part, place - (ends[part - 1] if part else 0)


def refuse_claim(name: str, shape: Sequence[int], itemsize: int, file_bytes: int) -> int:
    """Return the bytes of an array of pictures or labels; raises if the file of so many bytes cannot hold it.

    `DataError` for a bomb, `MemoryLimitError` for more than the memory that is free.
    """
    size = math.prod(shape) * itemsize
    claims = f"{name}: claims {' x '.join(map(str, shape)) or 'one'} values, {size:,} bytes"
    if min(shape, default=1) < 0 or size > BYTE_CEILING:
        raise DataError(f"{claims}; at most {BYTE_CEILING:,} are read")
    if size > max(SMALL, RATIO_CEILING * file_bytes):
        raise DataError(f"{claims}, over {RATIO_CEILING} times the {file_bytes:,} bytes of the file: a bomb?")
    if shape and shape[0] > max(FEW_PICTURES, file_bytes):
        raise DataError(f"{claims}, in a file of {file_bytes:,} bytes: more pictures than bytes")
    if (free := too_little_for(size)) is not None:
        raise MemoryLimitError(f"{claims}; {free:,} bytes of memory are free. Split the file, or use a folder")
    return size


def read_claimed(file: IO[bytes], size: int, where: str) -> bytes:
    """Return the rest of a file; `DataError` unless it is the `size` bytes that its header claims."""
    content = file.read(size + 1)
    if len(content) != size:
        raise DataError(f"{where}: holds {'more' if len(content) > size else 'fewer'} bytes than its header says")
    return content


def load_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the arrays `images` and `labels` (None if there are none) of an npz; `DataError` names file and array.

    If none is called images, the only one that can be pictures is taken, and it is said which.
    """
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            members = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            images = _member(archive, IMAGES if IMAGES in members else _pictures(archive, members, path), path)
            return images, _member(archive, "labels", path) if "labels" in members else None
    except BROKEN as error:
        raise DataError(f"{path.name}: cannot be read as npz ({line(error)})") from error


def _pictures(archive: zipfile.ZipFile, members: Sequence[str], path: Path) -> str:
    """Return the name of the only array of an npz that can be pictures, and say it; `DataError` unless there is one."""
    found = [name for name in members if _may_be_pictures(archive, name)]
    if len(found) != 1:
        why = f"{len(found)} others could be pictures: name one of them images" if found else "no other could be"
        raise DataError(f"{path.name}: holds no array called images (uint8 or uint16, N H W C or N H W), and {why}")
    say(f"{path.name}: its array {found[0]!r} is taken for the pictures")
    return found[0]


def _may_be_pictures(archive: zipfile.ZipFile, name: str) -> bool:
    with suppress(*BROKEN), archive.open(f"{name}.npy") as file:
        shape, _, dtype = _header(file)
        return dtype in (np.uint8, np.uint16) and len(shape) in (3, 4)
    return False


def _member(archive: zipfile.ZipFile, field: str, path: Path) -> np.ndarray:
    """Return an array of an npz, after comparing its header with the size of its file in the archive."""
    info = archive.getinfo(f"{field}.npy")
    where = f"{path.name}: {field}"
    try:
        with archive.open(info) as file:
            refuse_claim(where, (), info.file_size, path.stat().st_size)
            shape, columns, dtype = _header(file)
            if dtype.hasobject:
                raise DataError(f"{where} cannot be read as npz: it holds Python objects, which are not opened")
            size = refuse_claim(where, shape, dtype.itemsize, path.stat().st_size)
            content = read_claimed(file, size, where)
    except BROKEN as error:
        raise DataError(f"{where} cannot be read as npz ({line(error)})") from error
    return np.frombuffer(content, dtype).reshape(shape, order="F" if columns else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether columns come first, and type of an npy file."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of npy")
    return readers[version](file, HEADER_BYTES)


def class_names(labels: np.ndarray, where: str) -> list[str]:
    """Return the class of each picture as text, from whole numbers or names; equal classes are one object.

    `DataError` names a label that cannot be a name: too long, or with NUL or with half a character.
    """
    try:
        found, places = np.unique(labels, return_inverse=True)
        names = [str(label) for label in found]
    except BROKEN as error:
        raise DataError(f"{where}: labels cannot be read ({line(error)})") from error
    for name in names:
        if len(name) > LONGEST_LABEL:
            raise DataError(f"{where}: labels: {name[:20]!r}... is longer than {LONGEST_LABEL} characters")
        if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
            raise DataError(f"{where}: labels: {name!r} is not text; it has NUL or half a character in it")
    return [names[place] for place in places]


def line(error: Exception) -> str:
    """Return what an error of a library says, short and on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
