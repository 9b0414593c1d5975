"""Sources of pictures: a folder, a zip, an npz or IDX files, listed but not yet decoded."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from pinxit.data import idx
from pinxit.data.arrays import RATIO_CEILING, SMALL, Numbered, class_names, load_npz, reader
from pinxit.data.labels import TABLE
from pinxit.data.layout import HIDDEN, Layout, first_few, layout_of, like_picture
from pinxit.errors import DataError
from pinxit.files import open_plain
from pinxit.images import Picture, read_picture
from pinxit.marks import RUN, mark_at
from pinxit.page import command

MEMBER_CEILING = 512 << 20
READING = 5  # raised when the same files come to be read, or laid out, differently
THREADS = min(8, os.cpu_count() or 1)

_BAD_ZIP = (OSError, RuntimeError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Source:
    """Pictures that `read(i)` decodes (or refuses with a `DataError`), with their names and perhaps classes and parts.

    `key` changes whenever anything in the source does. `labels` are class names. `parts` are "train" or "test", if the
    set has official parts. `notes` names what was skipped. `threads` is how many may usefully read at once.
    """

    name: str
    key: str
    names: Sequence[str]
    read: Callable[[int], Picture]
    labels: Sequence[str] | None = None
    parts: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    threads: int = 1

    def within(self, depth: int, folder: str) -> Source:
        """Return the pictures that lie in a folder at this depth, named without it, without labels and parts."""
        paths = [PurePosixPath(name).parts for name in self.names]
        numbers = [number for number, path in enumerate(paths) if path[:-1][depth : depth + 1] == (folder,)]
        return replace(
            self,
            key=key_of(self.key, depth, folder),
            names=["/".join(paths[number][:depth] + paths[number][depth + 1 :]) for number in numbers],
            read=lambda number: self.read(numbers[number]),
            labels=None,
            parts=None,
        )


Decode = Callable[[Path | BinaryIO, str], Picture]


def open_source(path: Path, decode: Decode | None = None) -> Source:
    """List the pictures at a path; `decode` decodes a file of them. `DataError` if there is nothing to read."""
    try:
        if not (path.is_dir() or path.is_file()):
            raise DataError(f"{path}: no such file or folder, and not the name of a set (mnist)")
        for knows, read in READERS.values():
            if knows(path):
                return read(path, decode or read_picture)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    raise DataError(f"{path.name}: not a set of pictures; a folder, a zip, an npz, IDX files or one picture work")


def mnist_like(name: str, key: str, pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> Source:
    """Return labelled pictures (N, H, W) uint8 in official parts: {"train": (images, labels), "test": ...}."""
    if any(len(images) != len(labels) for images, labels in pairs.values()):
        raise DataError(f"{name}: every picture needs one label")
    return Source(
        name=name,
        key=key,
        names=Numbered({f"{part}/": len(labels) for part, (_, labels) in pairs.items()}),
        read=reader([images[..., None] for images, _ in pairs.values()]),
        labels=class_names(np.concatenate([labels for _, labels in pairs.values()]), name),
        parts=[part for part, (_, labels) in pairs.items() for _ in range(len(labels))],
    )


def _folder(folder: Path, decode: Decode) -> Source:
    if mark_at(folder / "recipe.json") == RUN:
        raise DataError(
            f"{folder} is a run, not a set of pictures; `{command('sample', folder, '-o', 'X.npz')}` makes a set of it"
        )
    found, notes = files_below(folder)

    def head(name: str, largest: int) -> bytes:
        with suppress(DataError, OSError), open_plain(folder / name) as file:
            return file.read(largest)
        return b""

    layout = layout_of(found, head)
    paths, names = [folder / name for name in layout.names], [_utf8(name) for name in layout.names]
    facts = [(name, *_facts(path)) for name, path in zip(layout.names, paths, strict=True)]
    facts += [(name, *_facts(folder / name)) for name in sorted(found) if PurePosixPath(name).name.lower() == TABLE]
    return Source(
        name=folder.resolve().name,
        key=key_of("folder", str(folder.resolve()), facts),
        names=names,
        read=lambda number: decode(paths[number], names[number]),
        labels=layout.labels and [_utf8(label) for label in layout.labels],
        parts=layout.parts,
        notes=(*notes, *layout.notes, *_empty_classes(folder, layout, found)),
        threads=THREADS,
    )


def _empty_classes(folder: Path, layout: Layout, found: Sequence[str]) -> list[str]:
    """Return a remark on folders that lie beside those of classes and hold no pictures."""
    if not layout.labels:
        return []
    used = {parent for name in found if like_picture(name) for parent in PurePosixPath(name).parents}
    around = {parent.parent for parent in {PurePosixPath(name).parent for name in layout.names}}
    beside = [path.relative_to(folder) for place in around for path in (folder / place).iterdir() if path.is_dir()]
    empty = [path.as_posix() for path in beside if PurePosixPath(path) not in used and not path.name.startswith(HIDDEN)]
    return [f"folders without pictures: {first_few(sorted(empty))}"] if empty else []


def files_below(folder: Path) -> tuple[list[str], list[str]]:
    """Return the files below a folder, and remarks. Links to folders are followed, but no folder is read twice."""
    found: list[str] = []
    unread: list[OSError] = []
    followed: list[str] = []
    back: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = deque([folder])
    while waiting:  # linked folders come after all others, so that a folder's own name wins
        top = waiting.popleft()
        if top != folder:
            name = top.relative_to(folder).as_posix()
            if _identity(top) in seen or folder.resolve().is_relative_to(top.resolve()):
                back.append(name)
                continue
            followed.append(name)
        for root, folders, files in os.walk(top, onerror=unread.append):
            here, identity = Path(root), _identity(Path(root))
            if identity in seen:
                folders.clear()
                continue
            seen.add(identity)
            folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
            inside = "" if here == folder else f"{here.relative_to(folder).as_posix()}/"
            found += [inside + file for file in files]
            waiting += [here / name for name in folders if (here / name).is_symlink()]
    said = {"links to folders, followed": followed, "links to folders, not followed: they lead back": back}
    links = [f"{what}: {first_few(sorted(names))}" for what, names in said.items() if names]
    return found, [*(f"{error.filename}: {error.strerror}" for error in unread), *links]


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return -1, -1
    return status.st_dev, status.st_ino


def _utf8(name: str) -> str:
    """Return a file's name as text; what is not UTF-8 in it is escaped."""
    return name.encode(errors="backslashreplace").decode()


def _zip(path: Path, decode: Decode) -> Source:
    try:
        archive = zipfile.ZipFile(open_plain(path))
    except _BAD_ZIP as error:
        raise DataError(f"{path.name}: broken zip ({error})") from error
    members = {_tidy(info.filename): info for info in archive.infolist() if not info.is_dir()}
    unpacked = sum(info.file_size for info in members.values())
    if unpacked > max(SMALL, RATIO_CEILING * path.stat().st_size):
        raise DataError(f"{path.name}: unpacks to {unpacked:,} bytes, over {RATIO_CEILING} times its size: a zip bomb?")

    def head(name: str, largest: int) -> bytes:
        with suppress(*_BAD_ZIP), archive.open(members[name]) as file:
            return file.read(largest)
        return b""

    layout = layout_of(members, head, wrapped=True)

    def read(number: int) -> Picture:
        name = layout.names[number]
        info = members[name]
        if info.file_size > MEMBER_CEILING:
            raise DataError(f"{name}: {info.file_size:,} bytes; at most {MEMBER_CEILING:,} are read")
        try:
            content = archive.read(info)
        except _BAD_ZIP as error:
            raise DataError(f"{name}: cannot be read from the zip ({error})") from error
        return decode(io.BytesIO(content), name)

    return Source(
        name=path.name,
        key=key_of("zip", str(path.resolve()), _facts(path)),
        names=layout.names,
        read=read,
        labels=layout.labels,
        parts=layout.parts,
        notes=layout.notes,
        threads=THREADS,
    )


def _tidy(name: str) -> str:
    """Return the name of a zip's file as others write it: some programs write ./cats/1.png, or backslashes."""
    name = name if "/" in name else name.replace("\\", "/")
    return name.removeprefix("./")


def _npz(path: Path, decode: Decode) -> Source:
    images, labels = load_npz(path)
    return _arrays(path, images[..., None] if images.ndim == 3 else images, labels)


def _picture(path: Path, decode: Decode) -> Source:
    """Return one picture as a set, without a class."""
    name = _utf8(path.name)
    return Source(
        name=name,
        key=key_of("picture", str(path.resolve()), _facts(path)),
        names=[name],
        read=lambda number: decode(path, name),
    )


def _idx(path: Path, decode: Decode) -> Source:
    labels = idx.labels_beside(path)
    return _arrays(path, idx.load(path, 3)[..., None], None if labels is None else idx.load(labels, 1))


def _idx_folder(folder: Path, decode: Decode) -> Source:
    found = sorted(filter(idx.is_images, folder.iterdir()))
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for images in found:
        part = "train" if "train" in images.name else "test"
        labels = idx.labels_beside(images)
        if labels is None or part in pairs:
            raise DataError(
                f"{folder.name}: each IDX image file needs one label file and its own part; "
                "name one file to use it alone"
            )
        pairs[part] = idx.load(images, 3), idx.load(labels, 1)
    key = key_of("idx", [(str(path.resolve()), _facts(path)) for path in found])
    return mnist_like(folder.resolve().name, key, dict(sorted(pairs.items(), reverse=True)))  # train, then test


def _arrays(path: Path, images: np.ndarray, labels: np.ndarray | None) -> Source:
    fits = images.ndim == 4 and images.dtype in (np.uint8, np.uint16) and images.shape[3] in (1, 3, 4)
    if not fits or 0 in images.shape:
        raise DataError(
            f"{path.name}: images are {images.dtype} {images.shape}; "
            "uint8 or uint16 (N, H, W, C) with 1, 3 or 4 channels is needed"
        )
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iuU"):
        raise DataError(
            f"{path.name}: labels are {labels.dtype} {labels.shape}; "
            "one whole number or name is needed for each picture"
        )
    return Source(
        name=path.name,
        key=key_of("array", str(path.resolve()), _facts(path)),
        names=Numbered({"": len(images)}),
        read=reader([images]),
        labels=None if labels is None else class_names(labels, path.name),
    )


class Reader(NamedTuple):
    """How a kind of source is recognised by its path, and listed. Sources of files take the decoder of a file."""

    knows: Callable[[Path], bool]
    read: Callable[[Path, Decode], Source]


READERS = {
    "IDX folder": Reader(lambda path: path.is_dir() and any(map(idx.is_images, path.iterdir())), _idx_folder),
    "folder": Reader(Path.is_dir, _folder),
    "IDX": Reader(idx.is_images, _idx),
    "npz": Reader(lambda path: path.suffix.lower() == ".npz", _npz),
    "zip": Reader(zipfile.is_zipfile, _zip),
    "picture": Reader(lambda path: like_picture(path.name), _picture),
}


def _facts(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def key_of(*facts: Any) -> str:
    """Return the key of a source by whatever its pictures depend on."""
    return hashlib.sha256(json.dumps([*facts, READING]).encode()).hexdigest()
