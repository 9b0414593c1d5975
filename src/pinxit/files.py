"""Atomic files, written beside their final name, synced and renamed; and the place of the cache."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pinxit.errors import DiskError


def cache_folder() -> Path:
    """Return the folder for data sets and packed pictures: $PINXIT_CACHE, or pinxit in the user's cache folder."""
    if chosen := os.environ.get("PINXIT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinxit"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; sync it and rename it to `path` when the block ends without an error.

    If the block fails, nothing is left. A full or read-only disk is a `DiskError` that names the file and the space.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` so that a reader sees the whole old file or the whole new one."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _space_left(path: Path) -> str:
    with suppress(OSError):
        return f" ({shutil.disk_usage(path.parent).free / 1e6:,.0f} MB free there)"
    return ""
