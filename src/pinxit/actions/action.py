"""An action: one thing a person can ask for. Its fields are the request; `do` carries it out. No torch here.

The command line, the Python functions and the HTTP API are generated from the class: its docstring is the help, whose
first line is the summary, and each field is a flag. A field marked `Word` is given by its place, and a field that is a
`Settings` class itself adds the fields of that class as flags, in a group named by its title.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import getdoc
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from pinxit.errors import UserError
from pinxit.settings import Settings

PIPE = "-"
"""Stands for stdin or stdout in a field that allows a pipe."""


@dataclass(frozen=True)
class Word:
    """Marks a field that the command line takes by its place, under this name in the help."""

    name: str
    pipe: bool = False
    """Whether `PIPE` is a value."""


class Flag:
    """Marks a field whose flags differ from --its-name, such as Flag("-o", "--out")."""

    def __init__(self, *names: str, pipe: bool = False) -> None:
        self.names, self.pipe = names, pipe


OUT = Flag("-o", "--out")
OVERWRITE = Flag("-y", "--overwrite")
N = Flag("-n")


@dataclass(frozen=True)
class Outcome:
    """What an action gave.

    `value` is what Python returns. `document` is for JSON; without one it is the list of `files`, the paths written.
    `stream` is for stdout as it is. `failure` is raised once the rest has been reported.
    """

    value: Any = None
    document: Any = None
    files: tuple[Path, ...] = ()
    stream: bytes | None = None
    failure: UserError | None = None

    def json(self) -> Any:
        """Return the document."""
        return {"files": [str(path) for path in self.files]} if self.document is None else self.document

    def check(self) -> None:
        """Raise the failure, if there is one."""
        if self.failure:
            raise self.failure


class Action(Settings):
    """Base of all actions."""

    model_config = ConfigDict(defer_build=True)  # twenty classes are read for a help that needs none of their schemas

    def do(self) -> Outcome:
        """Carry out the request. Imports what it needs here, so that reading the class stays cheap."""
        raise NotImplementedError

    def lines(self, outcome: Outcome) -> Iterable[str]:
        """Return what a person reads in a terminal; by default the paths of the files."""
        return map(str, outcome.files)

    @classmethod
    def variants(cls) -> Mapping[str, type[Action]]:
        """Return the actions that stand for this one, by the word behind its name, such as `gan` behind `train`.

        The empty word is the name alone. An action without variants stands for itself.
        """
        return {}

    @classmethod
    def has_variants(cls) -> bool:
        """Return whether other actions stand for this one; imports none of them."""
        return cls.variants.__func__ is not Action.variants.__func__  # type: ignore[attr-defined]

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the help."""
        return (getdoc(cls) or "").partition("\n")[0]


def mark(metadata: Iterable[Any], kind: type[Any]) -> Any:
    """Return the `Word` or the `Flag` of a field, or None."""
    return next((one for one in metadata if isinstance(one, kind)), None)
