"""How a result was made, kept inside it: enough to make it again, and no path of the machine that made it."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Self

from pydantic import Field, model_validator

from pinxit.edits import EDITS
from pinxit.edits.mask import Mask
from pinxit.edits.settings import Edit
from pinxit.errors import DataError, UsageError
from pinxit.files import sha256
from pinxit.images import read_recipe
from pinxit.jobs.listing import MAP, text
from pinxit.settings import Settings, parse_chain

WEIGHTS = "weights.safetensors"
DIGEST = r"^[0-9a-f]{64}$"


class Stamp(Settings):
    """A file by its base name and its content, wherever it may lie."""

    name: str = Field(min_length=1, description="Base name.")
    sha256: str = Field(pattern=DIGEST, description="SHA-256 of the file; of a run's folder, of its weights.")

    @model_validator(mode="after")
    def _names_no_folder(self) -> Self:
        if self.name in (".", "..") or self.name != PurePath(self.name).name:
            raise ValueError(f"a recipe names files without their folders, not {self.name!r}")
        return self

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Return the stamp of a file, or of a run's folder; `DataError` if it cannot be read."""
        file = path / WEIGHTS if path.is_dir() else path
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise DataError(f"{file}: not a file")
            return cls(name=_base_name(path).name, sha256=sha256(file))
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror})") from error

    def find(self, places: Sequence[Path], what: str, hint: str = "put it there") -> Path:
        """Return the file of this name and content in one of the folders; `DataError` that says `what` is missing."""
        there = [place / self.name for place in places if (place / self.name).exists()]
        for path in there:
            if Stamp.of(path).sha256 == self.sha256:
                return path
        if there:
            raise DataError(f"{there[0]}: not {what}, though its name is the same (another sha256); {hint}")
        raise DataError(f"{self.name}: {what} is not in {' or '.join(map(str, places))}; {hint}")


class Recipe(Settings):
    """What made a result: the edits with every setting, and each file that had a part by name and hash."""

    pinxit: str = Field(description="Version that made it.")
    edit: list[dict[str, Any]] = Field(min_length=1, description="The edits, one after the other.")
    strength: float = Field(ge=0, le=1, description="How much of the edits was mixed in.")
    max_memory: int | None = Field(description="Bytes there were to work in, which decide on the tiles.")
    device: str = Field(description="What it was computed on.")
    input: Stamp = Field(description="The picture it was made from.")
    mask: Mask = Field(description="Where the picture was to change.")
    drawn: Stamp | None = Field(description="The picture of the mask.")
    files: tuple[Stamp, ...] = Field(description="Other files that the edits name.")
    steady: float | None = Field(
        None, description="Share of earlier results in an animation's where it stays as it was."
    )
    follows: Stamp | None = Field(None, description="The frame before it, if it is one of a film.")
    weights: dict[str, str] = Field(description="SHA-256 of the weights that come with pinxit and were used, by name.")

    @classmethod
    def of(cls, result: Path) -> Recipe:
        """Return the recipe in a result, or in the sidecar beside it; `DataError` if there is none that can be read."""
        if not result.is_file():
            raise DataError(f"{result}: no such file")
        found = read_recipe(result)
        if found is None and (beside := sidecar(result)).is_file():
            try:
                found = json.loads(beside.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise DataError(f"{beside}: cannot be read as a recipe ({error})") from error
        if not isinstance(found, Mapping):
            raise DataError(f"{result}: holds no recipe: not made by pinxit, or what was written in it is lost")
        try:
            return cls.parse(found)
        except UsageError as error:
            raise DataError(f"{result}: its recipe cannot be used: {error}") from error

    def chain(self) -> tuple[Edit, ...]:
        """Return the edits, in which files have base names only."""
        return parse_chain(json.dumps(self.edit), EDITS, "edit")

    def document(self) -> dict[str, Any]:
        """Return the recipe as plain values for JSON."""
        return self.model_dump(mode="json")


def sidecar(result: Path) -> Path:
    """Return the path of the recipe beside a result."""
    return result.with_name(f"{result.name}.json")


def map_of(result: Path) -> Path:
    """Return the path of the map beside a result."""
    return result.with_name(f"{result.name}{MAP}")


def stamped(chain: Sequence[Edit]) -> tuple[list[Edit], tuple[Stamp, ...]]:
    """Return the edits as a recipe tells them, with the base names of files, and the stamps of those files.

    Raises `UsageError` if two files have one name, which a recipe could not tell apart.
    """
    stamps = {path: Stamp.of(path) for step in chain for path in files_of(step)}
    for name, count in Counter(stamp.name for stamp in set(stamps.values())).items():
        if count > 1:
            raise UsageError(f"{count} files are called {name}, which a recipe cannot tell apart; rename one")
    return [with_files(step, _base_name) for step in chain], tuple(dict.fromkeys(stamps.values()))


def files_of(step: Edit) -> list[Path]:
    """Return the files that an edit's settings name, such as a model's run."""
    found: list[Path] = []
    with_files(step, lambda path: found.append(path) or path)  # type: ignore[func-returns-value]
    return found


def with_files(step: Edit, other: Callable[[Path], Path]) -> Edit:
    """Return an edit in whose settings every file is replaced by another."""
    values = {name: getattr(step, name) for name in type(step).model_fields}
    changed: dict[str, Any] = {name: other(value) for name, value in values.items() if isinstance(value, Path)}
    changed |= {
        name: tuple(other(one) if isinstance(one, Path) else one for one in value)
        for name, value in values.items()
        if isinstance(value, tuple)
    }
    return step.model_copy(update=changed)


def _base_name(path: Path) -> Path:
    """Return a path without its folders, as text can hold it."""
    return Path(text(Path(os.path.abspath(path).rpartition(os.sep)[2])))  # noqa: PTH100  (resolve would follow links)
