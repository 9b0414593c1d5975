"""What a folder of results says of itself: its manifest, read through the guarded door and checked entry by entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinxit.errors import DataError
from pinxit.files import read_json
from pinxit.marks import RESULTS, mark_at

MANIFEST = "manifest.json"
FIELDS = {"input": str, "output": str, "sha256": str, "recipe": dict, "seconds": int | float, "error": str}
"""What an entry of a manifest holds, each of this type or null."""


def entries_of(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of the manifest in a folder of results; `DataError` if that is not one of ours."""
    path = folder / MANIFEST
    found = read_json(path, inside=folder)
    entries = found.get("pictures") if isinstance(found, dict) and _ours(found.get("made_by")) else None
    if not isinstance(entries, list):
        raise DataError(f"{path} is not from pinxit")
    return [_checked(entry, f"{path}: entry {number}") for number, entry in enumerate(entries)]


def _checked(entry: object, where: str) -> dict[str, Any]:
    """Return an entry with every field, None for one that an older version did not write."""
    if not isinstance(entry, dict):
        raise DataError(f"{where} is not an object")
    for name, kind in FIELDS.items():
        if not isinstance(entry.get(name), kind | None):
            raise DataError(f"{where} has no usable {name}")
    return {**dict.fromkeys(FIELDS), **entry}


def results_in(folder: Path) -> frozenset[Path]:
    """Return the results that the manifest in a folder lists; none if it has no manifest of ours."""
    if mark_at(folder / MANIFEST) != RESULTS:
        return frozenset()
    try:
        return frozenset(folder / entry["output"] for entry in entries_of(folder) if entry["output"])
    except DataError:
        return frozenset()


def _ours(made_by: object) -> bool:
    return isinstance(made_by, str) and made_by.startswith("pinxit")
