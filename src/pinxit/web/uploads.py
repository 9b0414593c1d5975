"""Files that clients send: kept by their SHA-256, never by a name of the client's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from pinxit.errors import DataError, UsageError
from pinxit.files import disk_errors, whole_file
from pinxit.web.references import HASH, Places

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
MOST_IN_SET = 20_000


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
    digest, head, suffix = hashlib.sha256(), b"", ""
    with disk_errors(places.uploads), whole_file(places.uploads / f"{name}.part") as temporary:
        with temporary.open("wb") as file:
            async for piece in body:
                digest.update(piece)
                file.write(piece)
                head = head + piece if len(head) < 16 else head
                if not suffix and len(head) >= 16:
                    suffix = suffix_of(head)
        if digest.hexdigest() != name:
            raise UsageError("what arrived has another SHA-256 than its name; send it again")
        suffix = suffix or suffix_of(head)
    place = places.uploads / f"{name}{suffix}"
    (places.uploads / f"{name}.part").replace(place)
    return place


def keep_set(places: Places, references: Sequence[str]) -> str:
    """Make a set of uploads; return its name, which is the same for the same files."""
    files = [Path(places.find(reference)) for reference in references]
    if len(files) > MOST_IN_SET or not files:
        raise UsageError(f"a set has 1 to {MOST_IN_SET:,} files")
    if any(not reference.startswith("upload:") for reference in references):
        raise UsageError("a set is made of uploads: upload:SHA256")
    name = hashlib.sha256("\n".join(sorted(references)).encode()).hexdigest()[:16]
    folder = places.sets / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        if not (folder / file.name).exists():
            os.link(file, folder / file.name)
    return name
