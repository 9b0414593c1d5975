"""The packed set: ragged pictures in one memory-mapped file, decoded once and named by their fingerprint.

Layout: 16 bytes of magic; the pixels of picture after picture (H, W, C; uint8, or uint16 little-endian); an index (npz:
`shapes`, `depths`, `labels`, `parts`, and `names` and `classes` as NUL-joined UTF-8); the index's length in 8 bytes.
The fingerprint is the SHA-256 of the pixels, then of the index's arrays: equal sets give equal files, whatever their
source.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import time
import zipfile
import zlib
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from pinxit.data.arrays import Names
from pinxit.data.sources import Source
from pinxit.errors import DataError, UserError, counted
from pinxit.files import cache_folder, leftovers, read_json, whole_file, write_json
from pinxit.images import Picture
from pinxit.progress import say, track

MAGIC = b"pinxit pack 1\n\0\0"
PARTS = ("", "train", "test", "val")
NAMED_AT_MOST = 20
AHEAD_BYTES = 512 << 20
"""Pixels that may wait while others are written: so many bytes, by the largest picture so far."""
SMALL_BYTES = 1 << 16
"""Decoding a picture of so many bytes of pixels takes less time than handing it to another thread."""
DIGITS = 1000
"""So many digits are no longer a number: Python takes too long to read them."""
_DAMAGED = (
    *(ValueError, LookupError, TypeError, EOFError, ArithmeticError, SyntaxError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)
STALE_SECONDS = 86_400.0


class Pack:
    """An open packed set; pictures stay on the disk until asked for.

    `shapes` is (n, 3): height, width, channels; `labels` (n,) int64 or None, into `classes`; `parts` (n,) into `PARTS`.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._open(path)
        except (*_DAMAGED, OSError) as error:
            raise DataError(
                f"{path}: the packed set is missing or damaged; delete it and run `pinxit data pack` again"
            ) from error

    def _open(self, path: Path) -> None:
        self.fingerprint = path.stem
        content = np.memmap(path, np.uint8, "r").view(np.ndarray)
        (length,) = struct.unpack("<Q", content[-8:].tobytes())
        if content[: len(MAGIC)].tobytes() != MAGIC:
            raise ValueError("another format")
        with np.load(io.BytesIO(content[-8 - length : -8].tobytes()), allow_pickle=False) as index:
            self.shapes, self.depths, self.parts = index["shapes"], index["depths"], index["parts"]
            self.labels = index["labels"] if len(index["labels"]) else None
            self.names, self.classes = Words(index["names"]), tuple(Words(index["classes"]))
        self._check()
        self.offsets = np.concatenate([[0], np.cumsum(self.shapes.prod(1, dtype=np.int64) * self.depths)])
        self._pixels = content[len(MAGIC) : -8 - length]
        if len(self._pixels) != self.offsets[-1]:
            raise ValueError("cut off")

    def _check(self) -> None:
        """Raise `ValueError` if the index contradicts itself."""
        count = len(self.depths)
        labels = np.zeros(count, int) if self.labels is None else self.labels
        sound = (
            self.shapes.shape == (count, 3)
            and count == len(self.names) == len(self.parts) == len(labels)
            and (self.shapes > 0).all()
            and np.isin(self.depths, (1, 2)).all()
            and (self.parts < len(PARTS)).all()
            and ((labels >= 0) & (labels < max(1, len(self.classes)))).all()
        )
        if not (count and sound):
            raise ValueError("its index contradicts itself")

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, number: int) -> np.ndarray:
        """Return picture `number` (H, W, C) as it was stored, uint8 or uint16; a read-only view of the file."""
        pixels = self._pixels[self.offsets[number] : self.offsets[number + 1]]
        return pixels.view(f"<u{self.depths[number]}").reshape(self.shapes[number])

    @cached_property
    def equal(self) -> np.ndarray | None:
        """All pictures as one (N, H, W, C) view of the file if they have one shape and depth, else None."""
        if (self.shapes != self.shapes[0]).any() or (self.depths != self.depths[0]).any():
            return None
        return self._pixels.view(f"<u{self.depths[0]}").reshape(len(self), *self.shapes[0])


class Words(Names):
    """Words that stay joined until asked for, as the index keeps them."""

    def __init__(self, joined: np.ndarray) -> None:
        self._joined = joined
        ends = np.flatnonzero(joined == 0)
        self._bounds = np.concatenate([[-1], ends, [len(joined)]]) if len(joined) else np.zeros(1, int)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def _at(self, place: int) -> str:
        return self._joined[self._bounds[place] + 1 : self._bounds[place + 1]].tobytes().decode()


def pack_folder() -> Path:
    """Return the folder of packed sets."""
    return cache_folder() / "packs"


def pack_path(fingerprint: str) -> Path:
    """Return the path of the packed set of a fingerprint."""
    return pack_folder() / f"{checked(fingerprint)}.pack"


def checked(fingerprint: str) -> str:
    """Return a fingerprint; `DataError` if it is not one, because it becomes a part of a path."""
    if not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        raise DataError(f"{fingerprint[:80]!r} is not the fingerprint of a set, which has 64 hexadecimal digits")
    return fingerprint


def pack(source: Source) -> tuple[Pack, tuple[str, ...]]:
    """Return the packed form of a source, and remarks on it; decode only what was never packed before.

    Pictures that cannot be read are named and left out; `DataError` if none is left.
    """
    record = pack_folder() / f"{checked(source.key)}.json"
    if record.exists():
        try:
            fingerprint, notes = _recorded(record)
            return Pack(pack_path(fingerprint)), (*source.notes, *notes)
        except DataError:
            say(f"{source.name}: what was packed before is missing or damaged; packing it again")
    fingerprint, notes = _write(source)
    write_json(record, {"fingerprint": fingerprint, "notes": notes})
    return Pack(pack_path(fingerprint)), (*source.notes, *notes)


def _recorded(record: Path) -> tuple[str, list[str]]:
    """Return the fingerprint of a source that was packed before, and the remarks on its pictures."""
    match read_json(record):
        case {"fingerprint": str(fingerprint), "notes": [*notes]} if all(isinstance(note, str) for note in notes):
            return fingerprint, notes
    raise DataError(f"{record}: not the record of a packed set")


def _read_all(source: Source) -> Iterator[Picture | DataError]:
    """Decode every picture in order, several at once where that helps; yield the error of one that cannot be read."""

    def read(number: int) -> Picture | DataError:
        try:
            return source.read(number)
        except UserError as error:
            return DataError(str(error))
        except Exception as error:  # whatever is wrong with one file, the others are read
            name, reason = source.names[number], " ".join(str(error).split()) or "no reason given"
            return DataError(f"{name}: cannot be read ({type(error).__name__}: {reason})")

    with ThreadPoolExecutor(source.threads) as pool:
        ahead: deque[Callable[[], Picture | DataError]] = deque()
        largest = 0
        for number in range(len(source.names)):
            several = source.threads > 1 and largest > SMALL_BYTES
            ahead.append(pool.submit(read, number).result if several else partial(read, number))
            while len(ahead) > (min(2 * source.threads, AHEAD_BYTES // largest) if several else 0):
                done = ahead.popleft()()
                largest = max(largest, 0 if isinstance(done, DataError) else done.pixels.nbytes)
                yield done
        while ahead:
            yield ahead.popleft()()


def readable(source: Source, doing: str, bad: list[str], lost: dict[str, list[str]]) -> Iterator[tuple[int, Picture]]:
    """Decode pictures in order and show progress; `DataError` at the end if there was none.

    Pictures that cannot be read are left out, and their errors are added to `bad`. `lost` maps each remark on an unused
    part of a file to the names of such files.
    """
    for number, picture in enumerate(track(_read_all(source), f"{doing} {source.name}", len(source.names))):
        if isinstance(picture, DataError):
            bad.append(str(picture))
            continue
        for what in picture.lost:
            lost[what].append(source.names[number])
        yield number, picture
    if not source.names:
        raise DataError(f"{source.name}: holds no pictures" + "".join(f" ({note})" for note in source.notes))
    if len(bad) == len(source.names):
        raise DataError(f"{source.name}: none of {len(bad)} pictures can be read; the first: {bad[0]}")


def _write(source: Source) -> tuple[str, list[str]]:
    """Pack a source; return its fingerprint, which names the pack, and notes. An interrupted packing leaves no pack."""
    _sweep()
    kept, kinds = array("q"), array("i")
    bad: list[str] = []
    lost: dict[str, list[str]] = defaultdict(list)
    digest = hashlib.sha256()
    unnamed = pack_folder() / f"{source.key}-{os.getpid()}.pack"
    with whole_file(unnamed) as temporary, temporary.open("wb") as file:
        file.write(MAGIC)
        for number, picture in readable(source, "packing", bad, lost):
            pixels = _without_opaque_alpha(picture.pixels)
            content = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).data
            file.write(content)
            digest.update(content)
            kept.append(number)
            kinds.extend((*pixels.shape, pixels.dtype.itemsize))
        index = _index(source, kept, np.array(kinds).reshape(-1, 4))
        for name, column in index.items():
            digest.update(f"{name} {column.dtype.str} {column.shape}".encode())
            digest.update(column.tobytes())
        tail = io.BytesIO()
        np.savez(tail, **index)  # type: ignore[arg-type]
        file.write(tail.getbuffer())
        file.write(struct.pack("<Q", tail.tell()))
    fingerprint = digest.hexdigest()
    unnamed.replace(pack_path(fingerprint))
    return fingerprint, [*_about_bad(bad, len(source.names)), *_about_lost(lost)]


def _index(source: Source, kept: Sequence[int], kinds: np.ndarray) -> dict[str, np.ndarray]:
    labels = [] if source.labels is None else [source.labels[number] for number in kept]
    classes = sorted(set(labels), key=_in_order)
    places = {label: place for place, label in enumerate(classes)}
    parts = [PARTS.index(source.parts[number]) if source.parts else 0 for number in kept]
    return {
        "shapes": kinds[:, :3].astype("<i4"),
        "depths": kinds[:, 3].astype("u1"),
        "labels": np.array([places[label] for label in labels], "<i8"),
        "parts": np.array(parts, "u1"),
        "names": _joined(source.names[number] for number in kept),
        "classes": _joined(classes),
    }


def _in_order(label: str) -> tuple[int, str]:
    """Return a key that sorts classes by their number, after those that are words."""
    return int(label) if label.isdecimal() and len(label) < DIGITS else -1, label


def _joined(words: Iterable[str]) -> np.ndarray:
    joined = bytearray()
    for word in words:
        joined += word.encode() + b"\0"
    return np.frombuffer(joined[:-1], np.uint8)


def _without_opaque_alpha(pixels: np.ndarray) -> np.ndarray:
    opaque = pixels.shape[2] == 4 and (pixels[..., 3] == np.iinfo(pixels.dtype).max).all()
    return pixels[..., :3] if opaque else pixels


def _about_bad(bad: Sequence[str], of: int) -> list[str]:
    if not bad:
        return []
    more = [f"... and {len(bad) - NAMED_AT_MOST} more"] if len(bad) > NAMED_AT_MOST else []
    return [f"{len(bad):,} of {counted(of, 'picture')} cannot be read and are left out:", *bad[:NAMED_AT_MOST], *more]


def _about_lost(lost: dict[str, list[str]]) -> list[str]:
    return [f"{counted(len(names), 'picture')} (the first: {names[0]}): {what}" for what, names in lost.items()]


def _sweep() -> None:
    """Remove the leftovers of packings that were killed at least a day ago."""
    for leftover in [*leftovers(pack_folder()), *pack_folder().glob("*-*.pack")]:
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                leftover.unlink()
