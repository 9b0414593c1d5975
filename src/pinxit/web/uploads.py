"""Files that clients send: kept by their SHA-256, never by a name of the client's."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from pinxit.errors import DataError, UsageError
from pinxit.files import disk_errors, sync_folder
from pinxit.web.references import HASH, PICTURES, Places

KINDS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    ".png": (0, (b"\x89PNG\r\n\x1a\n",)),
    ".jpg": (0, (b"\xff\xd8\xff",)),
    ".gif": (0, (b"GIF87a", b"GIF89a")),
    ".webp": (8, (b"WEBP",)),
    ".tif": (0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ".avif": (4, (b"ftypavif", b"ftypavis")),
    ".heic": (4, (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc")),
    ".jp2": (4, (b"jP  \r\n\x87\n",)),
    ".bmp": (0, (b"BM",)),
    ".zip": (0, (b"PK\x03\x04",)),
}
"""The suffix under which a file is kept, and the bytes by which it is known: where they begin, and which they are."""
SETS = (".zip",)
"""Kinds that hold a set of pictures."""
HEAD, MOST_IN_SET = 16, 20_000
PART = ".part"


def suffix_of(head: bytes) -> str:
    """Return the suffix for a file that begins with these bytes; `DataError` if it is of no kind that is taken."""
    for suffix, (start, marks) in KINDS.items():
        if head[start:].startswith(marks):
            return suffix
    raise DataError(f"not a file that is taken here: {', '.join(kind[1:].upper() for kind in KINDS)}")


async def keep(places: Places, name: str, body: AsyncIterator[bytes]) -> Path:
    """Write a file that arrives in pieces; return its place.

    Raises `UsageError` if its SHA-256 is not its name, `DataError` if it is of no kind that is taken.
    """
    if not HASH.fullmatch(name):
        raise UsageError("an upload is named by its SHA-256, in 64 lower-case digits")
    part = places.uploads / f".{secrets.token_hex(8)}{PART}"
    try:
        with disk_errors(places.uploads / name):
            suffix = await _written(part, name, body)
            place = places.uploads / (f"{name}/{PICTURES}{suffix}" if suffix in SETS else f"{name}{suffix}")
            place.parent.mkdir(exist_ok=True)
            part.replace(place)
            sync_folder(place.parent)
        return place
    finally:
        part.unlink(missing_ok=True)


async def _written(part: Path, name: str, body: AsyncIterator[bytes]) -> str:
    """Write the pieces to a file and on the disk; return the suffix that they deserve."""
    digest, head, suffix = hashlib.sha256(), b"", ""
    with part.open("wb") as file:
        async for piece in body:
            digest.update(piece)
            file.write(piece)
            if not suffix:
                head += piece
                suffix = suffix_of(head) if len(head) >= HEAD else ""
        if digest.hexdigest() != name:
            raise UsageError("what arrived has another SHA-256 than its name; send it again")
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return suffix or suffix_of(head)


def keep_set(places: Places, references: Sequence[str]) -> str:
    """Make a set of uploads; return its name, which is the same for the same files."""
    if any(not reference.startswith("upload:") for reference in references):
        raise UsageError("a set is made of uploads: upload:SHA256")
    files = [Path(places.find(reference)) for reference in references]
    name = hashlib.sha256("\n".join(sorted(references)).encode()).hexdigest()[:16]
    folder = places.sets / name / PICTURES
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if not (folder / file.name).exists():
                os.link(file, folder / file.name)
        os.utime(folder.parent)
    return name


def forget_uploads(places: Places, before: float) -> None:
    """Remove the uploads and sets that were last sent before a time, in seconds since 1970."""
    for place in (*places.uploads.iterdir(), *places.sets.iterdir()):
        if place.stat().st_mtime < before:
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)
