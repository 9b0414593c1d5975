"""Where this machine read a set of pictures: private records in the cache, by the set's fingerprint.

A run finds its pictures by their fingerprint alone. The path in its recipe may be somebody else's, so it is never read.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from pinxit.errors import DataError, DiskError
from pinxit.files import cache_folder, read_bytes, write_whole

LONGEST_PATH = 1 << 16


def remember(fingerprint: str, place: Path) -> None:
    """Record that the set of this fingerprint was read from a path; nothing happens if the cache cannot be written."""
    path = os.fsencode(place.resolve())
    record = _folder(fingerprint) / hashlib.sha256(path).hexdigest()[:16]
    if not record.exists():
        with suppress(DiskError):
            write_whole(record, path)


def remembered(fingerprint: str) -> list[Path]:
    """Return the paths that still exist of those from which this machine read the set of this fingerprint."""
    found = []
    with suppress(OSError):
        for record in sorted(_folder(fingerprint).iterdir()):
            with suppress(DataError, ValueError, OSError):
                place = Path(os.fsdecode(read_bytes(record, LONGEST_PATH)))
                if place.is_absolute() and place.exists():
                    found.append(place)
    return found


def beside(fingerprint: str) -> str:
    """Return the fingerprint by which a second place is remembered, that of pictures which belong to a set."""
    return hashlib.sha256(f"beside {fingerprint}".encode()).hexdigest()


def _folder(fingerprint: str) -> Path:
    return cache_folder() / "places" / fingerprint
