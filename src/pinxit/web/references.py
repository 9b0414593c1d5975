"""What a request over HTTP may read: references such as upload:SHA256 or run:NAME, never paths of this machine."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

import pinxit
from pinxit.actions.action import mark
from pinxit.errors import DataError, UsageError, printable, shorten
from pinxit.files import cache_folder
from pinxit.settings import Reads, Settings

S = TypeVar("S", bound=Settings)

WORD = re.compile(r"[\w#][\w#:., ()%-]{0,127}", re.ASCII)
"""A word that names no file: a set (mnist:test), a network that ships, a colour (#ff8800)."""
HASH, NAME = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-zA-Z-]{1,64}")
"""What an upload is named by; what sets and jobs are named by."""
PICTURES = "pictures"
"""What a set is called that has no name of a person's."""


class MissingError(DataError):
    """What a request names is not there, or is there no longer."""


@dataclass(frozen=True)
class Places:
    """Where the server keeps what it may read, and the folders that a person allowed. All are resolved paths."""

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
            with suppress(OSError, ValueError, RuntimeError):  # a name too long, with a NUL, or a link to itself
                found = _FINDERS[kind](self, rest)
                if found is not None and found.exists():
                    return str(found)
            raise MissingError(f"{shorten(reference, 100)}: not found; it may have expired")
        if WORD.fullmatch(reference):
            return reference
        raise UsageError(
            f"{shorten(reference, 100)!r} is no reference; write upload:SHA256, set:NAME, run:NAME, job:ID/FILE, "
            "folder:NAME/PATH, or the name of a set or a network"
        )

    def hide(self, value: Any) -> Any:
        """Return a document with references in place of this machine's paths; of other paths only the last name."""
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(inner) for inner in value]
        return _ABSOLUTE.sub("", self.hide_own(value)) if isinstance(value, str) else value

    def hide_own(self, text: str) -> str:
        """Return a text with references in place of the paths that the server knows."""
        for pattern, name in self._hidden:
            text = pattern.sub(name, text)
        return text

    @cached_property
    def _hidden(self) -> list[tuple[re.Pattern[str], str]]:
        """What hides the server's paths, inner folders before those around them."""
        inside = [
            (self.jobs, rf"/({NAME.pattern})(?:/out)?(?![\w-])", r"job:\1"),
            (self.uploads, rf"/({HASH.pattern})(?:/\w+)?(?:\.\w+)?", r"upload:\1"),
            (self.sets, rf"/({NAME.pattern})(?:/{PICTURES})?(?![\w-])", r"set:\1"),
            (self.runs, "/", "run:"),
            *((folder, "(?:/|$)", f"folder:{name}/") for name, folder in self.folders.items()),
            (self.runs, "", "runs"),
            (self.state, "", "studio"),
            (cache_folder().absolute(), "", "cache"),
            (Path(pinxit.__file__).parent, "", "pinxit"),
            (Path(tempfile.gettempdir()), "", "temporary"),
            *((folder, "", "~") for folder in _home()),
        ]
        return [
            (re.compile(re.escape(written) + rest), name)
            for folder, rest, name in inside
            for written in _written(folder)
        ]


def _home() -> Iterator[Path]:
    with suppress(RuntimeError):
        yield Path.home()


def _written(folder: Path) -> Iterator[str]:
    """Yield the ways in which a text may hold a path: plain, for a terminal, in JSON, in a command."""
    plain = str(folder)
    yield from dict.fromkeys((plain, printable(plain), json.dumps(plain)[1:-1], plain.replace("'", "'\"'\"'")))


_ABSOLUTE = re.compile(r"(?<![\w:/.~-])/(?:[^/\s\"'`,;()\[\]<>]+/)+")
"""The folders of an absolute path."""


def _under(folder: Path, inner: str) -> Path | None:
    """Return a path under a folder; None if it leads out, or is the folder itself."""
    path = (folder / inner).resolve()
    return path if folder in path.parents else None


def _upload(places: Places, rest: str) -> Path | None:
    if not HASH.fullmatch(rest):
        return None
    return next(chain(places.uploads.glob(f"{rest}.*"), places.uploads.glob(f"{rest}/*")), None)


def _job(places: Places, rest: str) -> Path | None:
    job, _, file = rest.partition("/")
    return _under(places.jobs / job / "out", file) if NAME.fullmatch(job) else None


def _folder(places: Places, rest: str) -> Path | None:
    name, _, inner = rest.partition("/")
    folder = places.folders.get(name)
    return folder if folder is None or not inner else _under(folder, inner)


_FINDERS: dict[str, Callable[[Places, str], Path | None]] = {
    "upload": _upload,
    "set": lambda places, rest: places.sets / rest / PICTURES if NAME.fullmatch(rest) else None,
    "run": lambda places, rest: _under(places.runs, rest),
    "job": _job,
    "folder": _folder,
}


def in_words(reference: str) -> str:
    """Return what a person may call a set that a reference names."""
    kind, colon, rest = reference.partition(":")
    named = {"upload": PICTURES, "set": PICTURES, "job": PICTURES, "folder": rest.rstrip("/").rpartition("/")[2]}
    return named.get(kind, reference) if colon else reference


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
