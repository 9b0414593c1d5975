"""The recipe in a result: all that is needed to make it again, and no path of the machine that made it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pinxit.edits import EDITS
from pinxit.edits.mask import Mask
from pinxit.edits.settings import Edit
from pinxit.errors import DataError, UsageError
from pinxit.files import read_json, sha256
from pinxit.images import read_recipe
from pinxit.jobs.listing import sidecar, text
from pinxit.settings import Settings, parse_chain
from pinxit.training.run import WEIGHTS


class FileStamp(Settings):
    """A file by its base name and its content, wherever it lies."""

    name: str = Field(min_length=1, description="Base name.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file, or of a run's weights.")

    @model_validator(mode="after")
    def _names_no_folder(self) -> Self:
        if self.name in (".", "..") or self.name != PurePath(self.name).name:
            raise ValueError(f"a recipe names files without their folders, not {self.name!r}")
        return self

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """Return the stamp of a file, or of a run's folder; `DataError` if it cannot be read."""
        return cls(name=_base_name(path).name, sha256=sha256(path / WEIGHTS if path.is_dir() else path))

    def find(self, folders: Sequence[Path], what: str, hint: str = "put it there") -> Path:
        """Return the file of this name and content in one of the folders; else `DataError` with `what` and `hint`."""
        named = [folder / self.name for folder in folders if (folder / self.name).exists()]
        for path in named:
            if FileStamp.of(path).sha256 == self.sha256:
                return path
        if named:
            raise DataError(f"{named[0]} is not {what}: it has that name, but another content; {hint}")
        raise DataError(f"{self.name}: {what} is not in {' or '.join(map(str, folders))}; {hint}")


class EditRecipe(Settings):
    """How a result was made: the edits with every setting, and each file involved by name and hash."""

    pinxit: str = Field(description="Version of pinxit that made it.")
    edit: list[dict[str, Any]] = Field(min_length=1, description="The edits, in order.")
    strength: float = Field(ge=0, le=1, description="Share of the edits that was mixed in.")
    max_memory: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        description="Memory to work in, in bytes; it decides the size of the tiles."
    )
    device: str = Field(description="Where it was computed.")
    input: FileStamp = Field(description="The picture it was made from.")
    mask: Mask = Field(description="How the area to change was chosen.")
    drawn: FileStamp | None = Field(description="The mask's picture, white where to change.")
    files: tuple[FileStamp, ...] = Field(description="Other files that the edits name.")
    steady: float | None = Field(
        None, description="Weight of earlier results where an animation or film does not change."
    )
    follows: FileStamp | None = Field(None, description="The frame before it, if it is a frame of a film.")
    quality: Annotated[int, Field(ge=1, le=100)] | Literal["auto"] | None = Field(
        None, exclude_if=lambda value: value is None, description="Quality of a JPEG, WebP or AVIF; none before 0.3."
    )
    weights: dict[str, str] = Field(description="SHA-256 of the shipped weights it used, by name.")

    @classmethod
    def of(cls, result: Path) -> EditRecipe:
        """Return the recipe in a result, or in the sidecar beside it; `DataError` if neither holds a usable one."""
        if not result.is_file():
            raise DataError(f"{result}: no such file")
        found = read_recipe(result)
        if found is None and (beside := sidecar(result)).is_file():
            found = read_json(beside)
        if not isinstance(found, Mapping):
            raise DataError(f"{result}: holds no recipe; pinxit did not make it, or another program removed the recipe")
        try:
            return cls.parse(found)
        except UsageError as error:
            raise DataError(f"{result}: its recipe cannot be used: {error}") from error

    def chain(self) -> tuple[Edit, ...]:
        """Return the edits; the files they name are base names only."""
        known = [
            {**(EDITS[name].earlier if (name := str(step.get("name"))) in EDITS else {}), **step} for step in self.edit
        ]
        return parse_chain(json.dumps(known), EDITS, "edit")


def with_base_names(chain: Sequence[Edit]) -> tuple[list[Edit], tuple[FileStamp, ...]]:
    """Return the edits with base names instead of paths, and the stamps of those files.

    Raises `UsageError` if two different files share a base name: the recipe could not tell them apart.
    """
    stamps = {path: FileStamp.of(path) for step in chain for path in files_of(step)}
    for name, count in Counter(stamp.name for stamp in set(stamps.values())).items():
        if count > 1:
            raise UsageError(f"{count} files are named {name}, which a recipe cannot tell apart; rename one")
    return [with_files(step, _base_name) for step in chain], tuple(dict.fromkeys(stamps.values()))


def files_of(step: Edit) -> list[Path]:
    """Return the files that an edit's settings name, such as a model's run, but no `folders_of` it."""
    folders = folders_of(step).keys()
    values = [getattr(step, name) for name in type(step).model_fields if name not in folders]
    flat = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return [one for one in flat if isinstance(one, Path)]


def folders_of(step: Edit) -> dict[str, Path]:
    """Return the folders that have a file for each picture, by the settings that name them."""
    named = {name: getattr(step, name) for name in step.each}
    return {name: place for name, place in named.items() if place is not None and place.is_dir()}


def with_files(step: Edit, replacement: Callable[[Path], Path]) -> Edit:
    """Return an edit with every file in its settings replaced."""

    def replaced(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(replaced, value))
        return replacement(value) if isinstance(value, Path) else value

    values = {name: getattr(step, name) for name in type(step).model_fields}
    return step.model_copy(update={name: new for name, old in values.items() if (new := replaced(old)) != old})


def _base_name(path: Path) -> Path:
    """Return a path's last part as valid text."""
    return Path(text(Path(os.path.abspath(path).rpartition(os.sep)[2])))  # noqa: PTH100  (resolve would follow links)
