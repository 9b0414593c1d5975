"""Files that are written whole or not at all, the guarded doors through which foreign files are read, and the cache."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pinxit.errors import DataError, DiskError, UsageError

_TEMPORARY = re.compile(r"\.([0-9a-f]{8})\.\d+\.[0-9a-f]{8}\.tmp")
LARGEST_JSON = 64 << 20
"""Bytes of the largest JSON file that is read."""
DEEPEST_JSON, DEEPER = 100, (dict, list)
"""Levels of the deepest JSON file that is read, and what makes a level."""


def cache_folder() -> Path:
    """Return the folder for data sets and packed pictures: $PINXIT_CACHE, or pinxit in the user's cache folder."""
    if chosen := os.environ.get("PINXIT_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinxit"
    except RuntimeError as error:
        raise UsageError("this user has no home folder; PINXIT_CACHE names a folder for data and models") from error


def refuse_to_replace(*places: Path, overwrite: bool) -> None:
    """Raise if a file that a person asks for must not or cannot be written; to be called before work begins.

    Raises `UsageError` if something is there and `overwrite` is false, `DiskError` if the folder cannot be written.
    A link counts as a file of its own: it may be replaced, and what it points to stays. Devices may be written.
    """
    for place in places:
        if is_device(place):
            continue
        if os.path.lexists(place) and not overwrite:
            raise UsageError(f"{place} exists; -y replaces it")
        if place.is_dir():
            raise UsageError(f"{place} is a folder; name a file")
        parent = next(folder for folder in place.absolute().parents if folder.exists())
        with disk_errors(place):
            if not (parent.is_dir() and os.access(parent, os.W_OK)):
                raise PermissionError(errno.EACCES if parent.is_dir() else errno.ENOTDIR, f"{parent} is not a folder")


def free(usual: Path) -> Path:
    """Return the first of X.png, X-2.png, X-3.png ... that does not exist."""
    return next(path for path in numbered(usual) if not os.path.lexists(path))


def numbered(usual: Path) -> Iterator[Path]:
    """Yield X.png, X-2.png, X-3.png ... without end."""
    yield usual
    yield from (usual.with_stem(f"{usual.stem}-{number}") for number in count(2))


def is_device(path: Path) -> bool:
    """Return whether a path names a device or a stream of the system, such as /dev/stdout, which is written into."""
    if path.parts[:2] not in (("/", "dev"), ("/", "proc")) or not path.exists() or path.is_dir():
        return False
    return "fd" in path.parts or path.name in ("stdout", "stderr") or not path.is_file()


@contextmanager
def whole_file(path: Path, inside: Path | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; sync it and rename it to `path` when the block ends without an error.

    If the block fails, nothing is left. A full or read-only disk is a `DiskError` that names the file and the space.
    A device is not replaced but written into.
    With `inside`, that folder must exist, and no folder below it may be a symbolic link (`DataError`).
    """
    if is_device(path):
        with disk_errors(path), TemporaryDirectory() as folder:
            yield (made := Path(folder) / "made")
            with path.open("wb", buffering=0) as device:
                device.write(made.read_bytes())
        return
    temporary = path.parent / f".{_short(path.name)}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    with disk_errors(path):
        _make_folder(path.parent, inside)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _make_folder(folder: Path, inside: Path | None) -> None:
    if inside is None:
        folder.mkdir(parents=True, exist_ok=True)
    elif folder != inside:
        refuse_links(folder, inside)
        for part in reversed(folder.relative_to(inside).parents[:-1]):
            (inside / part).mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)


def leftovers(folder: Path, names: Collection[str] | None = None) -> Iterator[Path]:
    """Yield the temporary files in `folder` that killed writers of files with these names left; of any name if None."""
    wanted = None if names is None else {_short(name) for name in names}
    for path in folder.glob(".*.tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and (wanted is None or found[1] in wanted) and path.is_file() and not path.is_symlink():
            yield path


def remove_leftovers(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove the `leftovers` in a folder."""
    for path in leftovers(folder, names):
        path.unlink(missing_ok=True)


def _short(name: str) -> str:
    """Return eight digits in place of a name, which may be as long as the disk allows."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


def write_whole(path: Path, content: bytes | str, inside: Path | None = None) -> None:
    """Write `content` to `path` so that a reader sees the whole old file or the whole new one.

    `inside` is as for `whole_file`.
    """
    with whole_file(path, inside) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Any, inside: Path | None = None) -> None:
    """Write `content` as indented JSON, atomically; `inside` is as for `whole_file`."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", inside)


def open_plain(path: Path, inside: Path | None = None) -> BufferedReader:
    """Open a regular file for reading; raises `DataError` for anything else, and never waits.

    With `inside`, no part of the path below that folder may be a symbolic link. So a file of a run lies in the run.
    The kind of file is checked on the open handle.
    """
    return os.fdopen(_plain(path, os.O_RDONLY, inside, "read"), "rb")


def append_plain(path: Path, inside: Path) -> BufferedWriter:
    """Open a regular file inside a folder for appending, and make it if it is missing; else as `open_plain`.

    Raises `DataError` too if the file has a second name (a hard link), because that file would change as well.
    """
    descriptor = _plain(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, inside, "write")
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        raise DataError(f"cannot write {path}: it is also a file elsewhere (a hard link); put a copy in its place")
    return os.fdopen(descriptor, "ab")


def _plain(path: Path, flags: int, inside: Path | None, doing: str) -> int:
    """Return the descriptor of a regular file, opened without waiting and, with `inside`, without following links."""
    follow = 0 if inside is None else getattr(os, "O_NOFOLLOW", 0)
    kept = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if inside is not None:
        refuse_links(path.parent, inside)
    with _data_errors(path, doing):
        descriptor = os.open(path, flags | kept | follow, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"cannot {doing} {path}: it is not a regular file")
    return descriptor


@contextmanager
def _data_errors(path: Path, doing: str = "read") -> Iterator[None]:
    """Turn the system's errors about a file into a `DataError` about `path`."""
    try:
        yield
    except OSError as error:
        reason = "a symbolic link, which is not followed here" if error.errno == errno.ELOOP else error.strerror
        raise DataError(f"cannot {doing} {path}: {reason}") from error


def refuse_links(path: Path, inside: Path) -> None:
    """Raise `DataError` if `path`, or a folder between it and the folder `inside`, is a symbolic link."""
    for part in (path, *path.parents):
        if part == inside:
            return
        if part.is_symlink():
            raise DataError(f"{part} is a symbolic link, which is not followed here; put the files in its place")


def read_bytes(path: Path, largest: int, inside: Path | None = None) -> bytes:
    """Return the bytes of a regular file of at most `largest` bytes; else raises `DataError`."""
    with open_plain(path, inside) as file, _data_errors(path):
        content = file.read(largest + 1)
    if len(content) > largest:
        raise DataError(f"cannot read {path}: it is larger than {largest:,} bytes")
    return content


def read_json(path: Path, inside: Path | None = None, largest: int = LARGEST_JSON) -> Any:
    """Return the value of a JSON file; raises `DataError` with the file and the reason if it is not plain JSON.

    Refuses anything but a regular file, more than `largest` bytes, deep nesting, and numbers that are not finite.
    `inside` is as for `open_plain`.
    """
    return parse_json(read_bytes(path, largest, inside), str(path))


def parse_json(content: bytes | str, where: str) -> Any:
    """Return the value of a JSON text; raises `DataError` that begins with `where` if it is not plain JSON."""
    try:
        value = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
        _refuse_depth(value)
        if "\\ud" in (content if isinstance(content, str) else content.decode()).lower():
            json.dumps(value, ensure_ascii=False).encode()  # half a character cannot be written anywhere
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(f"{where} is not JSON ({reason})") from error
    return value


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST_JSON):
        parts = [outer.values() if isinstance(outer, dict) else outer for outer in level if isinstance(outer, DEEPER)]
        level = [inner for part in parts for inner in part if isinstance(inner, DEEPER)]
        if not level:
            return
    raise RecursionError


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text[:20])


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors about a full or unwritable disk into a `DiskError` about `path`."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EROFS: "the disk is read-only",
            errno.EACCES: "permission denied",
            errno.EPERM: "not permitted",
            errno.EFBIG: "the file would be larger than is allowed",
        }
        if error.errno is None:
            raise
        reason = reasons.get(error.errno, error.strerror)
        raise DiskError(f"cannot write {path}: {reason}{_space_left(path)}") from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut, where the system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: Path, inside: Path | None = None) -> str:
    """Return the SHA-256 of a regular file's bytes in hexadecimal; `inside` and errors are as for `open_plain`."""
    with open_plain(path, inside) as file, _data_errors(path):
        return hashlib.file_digest(file, "sha256").hexdigest()


def _space_left(path: Path) -> str:
    with suppress(OSError):
        return f" ({shutil.disk_usage(path.parent).free / 1e6:,.0f} MB free there)"
    return ""
