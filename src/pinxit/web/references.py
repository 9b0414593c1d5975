"""What a request over HTTP may read: references such as upload:SHA256 or run:NAME, never paths of this machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from pinxit.actions.action import mark
from pinxit.errors import DataError, UsageError, shorten
from pinxit.settings import Reads, Settings

S = TypeVar("S", bound=Settings)

NAME = re.compile(r"[\w-][\w.-]{0,127}", re.ASCII)
"""A name of one folder or file: no slash, and no dot in front."""
WORD = re.compile(r"[\w#][\w#:., -]{0,127}", re.ASCII)
"""A word that names no file: a set (mnist:test), a network that ships, a colour (#ff8800)."""
HASH = re.compile(r"[0-9a-f]{64}")


class MissingError(DataError):
    """What a request names is not there, or is there no longer."""


@dataclass(frozen=True)
class Places:
    """Where the server keeps what it may read, and the folders that a person allowed."""

    state: Path
    runs: Path
    folders: Mapping[str, Path]

    @property
    def uploads(self) -> Path:
        """Files that clients sent, by their SHA-256."""
        return self.state / "uploads"

    @property
    def sets(self) -> Path:
        """Folders of uploads that stand for a set of pictures."""
        return self.state / "sets"

    @property
    def jobs(self) -> Path:
        """A folder for each job."""
        return self.state / "jobs"

    def find(self, reference: str) -> str:
        """Return the path, or the word, that a reference stands for.

        Raises `UsageError` if it is no reference, `MissingError` if nothing is there.
        """
        kind, colon, rest = reference.partition(":")
        if colon and kind in _FINDERS:
            found = _FINDERS[kind](self, rest)
            if found is None or not found.exists():
                raise MissingError(f"{shorten(reference, 100)}: not found; it may have expired")
            return str(found)
        if WORD.fullmatch(reference):
            return reference
        raise UsageError(
            f"{shorten(reference, 100)!r} is no reference; write upload:SHA256, set:NAME, run:NAME, job:ID/FILE, "
            "folder:NAME/PATH, or the name of a set or a network"
        )

    def hide(self, text: str) -> str:
        """Return a text without the paths of this machine."""
        for place, name in ((self.jobs, "jobs"), (self.uploads, "uploads"), (self.sets, "sets"), (self.runs, "runs")):
            text = text.replace(str(place), name)
        return text


def _inside(folder: Path, *names: str) -> Path | None:
    """Return the path of these names under a folder; None if a name is no plain one or a link leads out."""
    if not all(NAME.fullmatch(name) for name in names):
        return None
    path = folder.joinpath(*names)
    return path if path.resolve().is_relative_to(folder.resolve()) else None


def _upload(places: Places, rest: str) -> Path | None:
    return next(places.uploads.glob(f"{rest}.*"), None) if HASH.fullmatch(rest) else None


def _job(places: Places, rest: str) -> Path | None:
    job, _, file = rest.partition("/")
    return _inside(places.jobs, job, "out", *file.split("/"))


def _folder(places: Places, rest: str) -> Path | None:
    """Return a path under a folder that a person allowed; its names may be any, but may not lead out."""
    name, _, inner = rest.partition("/")
    folder = places.folders.get(name)
    if folder is None:
        return None
    path = (folder / inner).resolve() if "\0" not in inner else folder.parent
    return path if path.is_relative_to(folder) else None


_FINDERS: dict[str, Callable[[Places, str], Path | None]] = {
    "upload": _upload,
    "set": lambda places, rest: _inside(places.sets, rest),
    "run": lambda places, rest: _inside(places.runs, *rest.split("/")),
    "job": _job,
    "folder": _folder,
}


def reads(field: FieldInfo) -> bool:
    """Say whether a field's text may name something to read. A field with a `Path` always may."""
    return mark(field.metadata, Reads) is not None or "Path" in str(field.annotation)


def resolved(asked: S, find: Callable[[str], str]) -> S:
    """Return the settings with the path of each reference in its place; those inside them and in tuples too."""
    changes = {}
    for name, field in type(asked).model_fields.items():
        value = getattr(asked, name)
        found = _resolved(value, reads(field), find)
        if found is not value:
            changes[name] = found
    return asked.model_copy(update=changes) if changes else asked


def _resolved(value: Any, is_place: bool, find: Callable[[str], str]) -> Any:
    if isinstance(value, Settings):
        return resolved(value, find)
    if isinstance(value, tuple):
        found = tuple(_resolved(one, is_place, find) for one in value)
        return value if all(new is old for new, old in zip(found, value, strict=True)) else found
    if isinstance(value, Path):
        return Path(find(str(value)))
    return find(value) if is_place and isinstance(value, str) else value
