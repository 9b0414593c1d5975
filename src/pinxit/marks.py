"""Marks of what pinxit wrote itself: runs, folders of results and sheets are told from a person's own pictures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pinxit import __version__
from pinxit.errors import DataError
from pinxit.files import open_plain

HEAD = 1024
"""Bytes at the beginning of a file that hold its mark."""
RUN, RESULTS, SHEET = "run", "results", "sheet"
FOLDERS = {"recipe.json": (RUN, b'"pinxit": "'), "manifest.json": (RESULTS, b'"made_by": "pinxit')}
"""Files that mark their folder: its kind, and the words near their beginning."""
SHEET_RECIPE: Mapping[str, Any] = {"sheet": f"pinxit {__version__}"}
"""What a sheet holds in place of a recipe."""
_SHEETS = (b'{"sheet": "pinxit', b"{&quot;sheet&quot;: &quot;pinxit")  # as PNG's text, and as XMP
_SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")


def bears_mark(name: str) -> bool:
    """Return whether a file of this name may hold a mark near its beginning."""
    return name.lower().endswith(_SHEET_SUFFIXES) or name.rpartition("/")[2] in FOLDERS


def mark_of(name: str, head: bytes) -> str:
    """Return `RUN` or `RESULTS` if a file marks its folder as such, `SHEET` if it is a sheet, else ""."""
    if (base := name.rpartition("/")[2]) in FOLDERS:
        kind, words = FOLDERS[base]
        return kind if words in head[:HEAD] else ""
    return SHEET if any(words in head[:HEAD] for words in _SHEETS) else ""


def mark_at(path: Path) -> str:
    """Return the mark of a file as `mark_of` does; "" if it cannot be read."""
    with suppress(DataError, OSError), open_plain(path) as file:
        return mark_of(path.name, file.read(HEAD))
    return ""


def folder_mark(folder: Path) -> str:
    """Return `RUN` or `RESULTS` if pinxit made this folder as such, else ""."""
    return next((mark for name in FOLDERS if (mark := mark_at(folder / name))), "")
