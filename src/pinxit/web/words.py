"""The command line that asks for the same as a request: references become what a person would write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pinxit.actions import ACTIONS
from pinxit.commands import words
from pinxit.errors import UsageError, printable
from pinxit.page import command
from pinxit.web.references import PICTURES
from pinxit.web.requests import asked

_WRITTEN: dict[str, Callable[[str], str]] = {
    "upload": lambda rest: f"upload-{rest[:8]}",
    "set": lambda rest: PICTURES,
    "run": lambda rest: f"runs/{rest}",
    "job": lambda rest: rest.rpartition("/")[2],
    "folder": lambda rest: rest,
}
"""What a person would write for the rest of a reference, by its kind."""


def command_line(name: str, request: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the command line, ready to paste into a shell; `names` are the files' names by their references.

    Raises `UsageError` if the request is wrong.
    """
    if " ".join(name.split()[:2]) not in ACTIONS and name.partition(" ")[0] not in ACTIONS:
        raise UsageError(f"no command {name[:80]!r}")
    return command(*words(name, asked(name, request, lambda reference: _written(reference, names), Path())))


def _written(reference: str, names: Mapping[str, str]) -> str:
    kind, colon, rest = reference.partition(":")
    if name := _plain(names.get(reference, "")):
        return name
    return _WRITTEN[kind](rest) if colon and kind in _WRITTEN else reference


def _plain(name: str) -> str:
    """Return the last part of a file's name that a client tells, without what acts on a terminal."""
    return printable(re.split(r"[/\\]", name)[-1].strip())
