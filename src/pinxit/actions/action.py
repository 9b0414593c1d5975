"""An action: one thing a person can ask for. Its fields are the request; `do` carries it out. No torch here.

The command line, the Python functions and the HTTP API are generated from the class: its docstring is the help, whose
first line is the summary, and each field is a flag. A field marked `Word` is given by its place. A field that is a
`Settings` class itself adds the fields of that class as flags. Its title names their group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import getdoc
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from pinxit.errors import UsageError
from pinxit.settings import First as First
from pinxit.settings import Flag as Flag
from pinxit.settings import Reads as Reads
from pinxit.settings import Settings
from pinxit.settings import Word as Word

PIPE = "-"
"""Stands for stdin or stdout in a field that allows a pipe."""


RUN = Word("RUN")
OUT = Flag("-o", "--out")
N = Flag("-n")

Source = Annotated[
    str,
    Word("DATA"),
    Reads(),
    Field(description="A named set (mnist), a folder of pictures, a zip, an npz, IDX files, or one picture."),
]
AnyRun = Annotated[Path, RUN, Field(description="Folder of the run.")]
Overwrite = Annotated[bool, Flag("-y", "--overwrite"), Field(description="Replace existing files.")]


@dataclass(frozen=True)
class Outcome:
    """The result of an action.

    `value` is what Python returns. `document` is for JSON, by default the list of `files`, the paths that were written.
    `lines` are text for a terminal, by default the files; only a terminal reads them. `stream` goes to stdout
    unchanged. `check` is called once the rest has been reported, and raises what failed.
    """

    value: Any = None
    document: Any = None
    files: tuple[Path, ...] = ()
    lines: Iterable[object] | None = None
    stream: bytes | None = None
    check: Callable[[], None] = lambda: None

    def json(self) -> Any:
        """Return the document."""
        return {"files": [str(path) for path in self.files]} if self.document is None else self.document


class Action(Settings):
    """Base of all actions."""

    model_config = ConfigDict(defer_build=True)  # help reads twenty classes and needs no schema of theirs

    def do(self) -> Outcome:
        """Carry out the request. Imports what it needs here, so that reading the class stays cheap."""
        raise NotImplementedError

    @classmethod
    def variants(cls) -> Mapping[str, type[Action]]:
        """Return the actions that stand for this one, by the word behind its name, such as `gan` behind `train`.

        The empty word is the name alone. An action without variants stands for itself.
        """
        return {}

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the help."""
        return (getdoc(cls) or "").partition("\n")[0]


def mark(metadata: Iterable[Any], kind: type[Any]) -> Any:
    """Return the `Word` or the `Flag` of a field, or None."""
    return next((one for one in metadata if isinstance(one, kind)), None)


def refuse(given: Mapping[str, Any], why: str) -> None:
    """Raise `UsageError` if any of these flags is given; their names replace {} in `why`."""
    if names := [name for name, is_given in given.items() if is_given]:
        raise UsageError(why.format(" and ".join(names)))
