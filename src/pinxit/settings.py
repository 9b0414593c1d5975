"""The frozen, range-checked base of everything a user can choose.

One `Settings` class gives the command-line flags, the JSON form, the schema and the documentation. A default stands in
exactly one place; a misspelt name is an error that tells the nearest right one. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pinxit.errors import UsageError


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown names, finite numbers, every field with a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return settings from plain values, or raise `UsageError` with one line that names the right spelling."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(explain(error, cls.model_fields)) from error

    def changed(self, **values: Any) -> Self:
        """Return a copy with some values changed, checked like any other."""
        return self.parse(self.model_dump(exclude_unset=True) | values)


def explain(error: ValidationError, names: Iterable[str] = ()) -> str:
    """Return pydantic's first complaint as one line for a person, with the nearest of `names` for a misspelt one."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {where!r}{did_you_mean(where.rpartition('.')[2], names)}"
    reason = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    reason = f"{where}: {reason}" if where else reason
    given = first.get("input")
    return reason + (f", not {given!r}" if isinstance(given, str | int | float) else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean NAME?' for the nearest known name, or the list of names if none is near, or nothing."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
