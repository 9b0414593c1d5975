"""The packed set: ragged pictures in one memory-mapped file, decoded once and named by their fingerprint.

Layout: 16 bytes of magic; the pixels of picture after picture (H, W, C; uint8, or uint16 little-endian); an index (npz:
`shapes`, `depths`, `labels`, `parts`, and `names` and `classes` as NUL-joined UTF-8); the index's length in 8 bytes.
The fingerprint is the SHA-256 of the pixels, then of the index's arrays: equal sets give equal files, whatever their
source.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import time
import zipfile
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np

from pinxit.data.sources import Source
from pinxit.errors import DataError
from pinxit.files import cache_folder, leftovers, whole_file, write_json
from pinxit.images import Picture
from pinxit.progress import track

MAGIC = b"pinxit pack 1\n\0\0"
PARTS = ("", "train", "test")
NAMED_AT_MOST = 20
STALE_SECONDS = 86_400.0


class Pack:
    """An open packed set; pictures stay on the disk until asked for.

    `shapes` is (n, 3): height, width, channels; `labels` (n,) int64 or None, into `classes`; `parts` (n,) into `PARTS`.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._open(path)
        except (OSError, ValueError, KeyError, EOFError, struct.error, zipfile.BadZipFile) as error:
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
            self.names, self.classes = _split(index["names"]), tuple(_split(index["classes"]))
        self.offsets = np.concatenate([[0], np.cumsum(self.shapes.prod(1, dtype=np.int64) * self.depths)])
        self._pixels = content[len(MAGIC) : -8 - length]
        if len(self._pixels) != self.offsets[-1]:
            raise ValueError("cut off")

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


def pack_folder() -> Path:
    """Return the folder of packed sets."""
    return cache_folder() / "packs"


def pack_path(fingerprint: str) -> Path:
    """Return the path of the packed set of a fingerprint."""
    return pack_folder() / f"{fingerprint}.pack"


def pack(source: Source) -> tuple[Pack, tuple[str, ...]]:
    """Return the packed form of a source, and remarks on it; decode only what was never packed before.

    Pictures that cannot be read are named and left out; `DataError` if none is left.
    """
    record = pack_folder() / f"{source.key}.json"
    with suppress(OSError, ValueError, KeyError, DataError):
        known = json.loads(record.read_text())
        return Pack(pack_path(known["fingerprint"])), tuple(known["notes"])
    fingerprint, notes = _write(source)
    write_json(record, {"fingerprint": fingerprint, "notes": notes})
    return Pack(pack_path(fingerprint)), tuple(notes)


def _read_all(source: Source) -> Iterator[Picture | DataError]:
    """Decode every picture in order, several at once where that helps; yield the error of one that cannot be read."""

    def read(number: int) -> Picture | DataError:
        try:
            return source.read(number)
        except DataError as error:
            return error

    if source.threads == 1:
        yield from map(read, range(len(source.names)))
        return
    with ThreadPoolExecutor(source.threads) as pool:
        ahead: deque[Future[Picture | DataError]] = deque()
        for number in range(len(source.names)):
            ahead.append(pool.submit(read, number))
            if len(ahead) > 2 * source.threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


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
    kept: list[int] = []
    kinds: list[tuple[int, int, int, int]] = []
    bad: list[str] = []
    lost: dict[str, list[str]] = defaultdict(list)
    digest = hashlib.sha256()
    unnamed = pack_path(f"{source.key}-{os.getpid()}")
    with whole_file(unnamed) as temporary, temporary.open("wb") as file:
        file.write(MAGIC)
        for number, picture in readable(source, "packing", bad, lost):
            pixels = _without_opaque_alpha(picture.pixels)
            content = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).data
            file.write(content)
            digest.update(content)
            kept.append(number)
            kinds.append((*pixels.shape, pixels.dtype.itemsize))
        index = _index(source, kept, np.array(kinds))
        for name, array in index.items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.tobytes())
        tail = io.BytesIO()
        np.savez(tail, **index)  # type: ignore[arg-type]
        file.write(tail.getvalue() + struct.pack("<Q", tail.tell()))
    fingerprint = digest.hexdigest()
    unnamed.replace(pack_path(fingerprint))
    return fingerprint, [*source.notes, *_about_bad(bad, len(source.names)), *_about_lost(lost)]


def _index(source: Source, kept: list[int], kinds: np.ndarray) -> dict[str, np.ndarray]:
    labels = [] if source.labels is None else [source.labels[number] for number in kept]
    classes = sorted(set(labels), key=lambda label: (int(label) if label.isdecimal() else -1, label))
    places = {label: place for place, label in enumerate(classes)}
    parts = [PARTS.index(source.parts[number]) if source.parts else 0 for number in kept]
    return {
        "shapes": kinds[:, :3].astype("<i4"),
        "depths": kinds[:, 3].astype("u1"),
        "labels": np.array([places[label] for label in labels], "<i8"),
        "parts": np.array(parts, "u1"),
        "names": _joined([source.names[number] for number in kept]),
        "classes": _joined(classes),
    }


def _joined(words: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\0".join(words).encode(), np.uint8)


def _split(joined: np.ndarray) -> list[str]:
    return joined.tobytes().decode().split("\0") if len(joined) else []


def _without_opaque_alpha(pixels: np.ndarray) -> np.ndarray:
    opaque = pixels.shape[2] == 4 and (pixels[..., 3] == np.iinfo(pixels.dtype).max).all()
    return pixels[..., :3] if opaque else pixels


def _about_bad(bad: Sequence[str], of: int) -> list[str]:
    if not bad:
        return []
    more = [f"... and {len(bad) - NAMED_AT_MOST} more"] if len(bad) > NAMED_AT_MOST else []
    return [f"{len(bad)} of {of} pictures cannot be read and are left out:", *bad[:NAMED_AT_MOST], *more]


def _about_lost(lost: dict[str, list[str]]) -> list[str]:
    return [f"{len(names)} pictures (the first: {names[0]}): {what}" for what, names in lost.items()]


def _sweep() -> None:
    """Remove the leftovers of packings that were killed at least a day ago."""
    for leftover in [*leftovers(pack_folder()), *pack_folder().glob("*-*.pack")]:
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                leftover.unlink()
