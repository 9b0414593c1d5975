"""The frozen, range-checked base of everything a user can choose.

One `Settings` class gives the command-line flags, the JSON form, the schema and the documentation. Each default stands
in one place. A misspelt name is an error that suggests the nearest known one. Nothing here imports torch.

Chains of degradations and of edits share one text grammar: `name(key=value, key=low..high) | name(...)`. Its canonical
form is a JSON list: [{"name": "noise", "sigma": [0, 0.2]}, ...]. A value is a range, a plain word, or JSON: a number,
true, null, "quoted text" or a flat list.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializationInfo,
    ValidationError,
)

from pinxit.errors import UsageError


class Topic(Enum):
    """What a field is about, by which help puts flags together: `r1: Annotated[float, Topic.PENALTIES] = Field(...)`.

    Topics come in this order. A class that gives a field another default need not name its topic again.
    """

    NETWORKS = "Networks"
    LOSS = "Loss"
    OPTIMISER = "Optimiser"
    PENALTIES = "Penalties"
    COLLAPSE = "Against mode collapse"
    CODES = "Codes"
    AUGMENTATION = "Augmentation"
    SUBJECT = "Where the subject is"
    HARDWARE = "Hardware"


@dataclass(frozen=True)
class Word:
    """Marks a field that the command line takes by its place, under this name in the help."""

    name: str
    pipe: bool = False
    """Whether - stands for a pipe."""


class Flag:
    """Marks a field whose flags differ from --its-name, such as Flag("-o", "--out").

    `negative` is the flag that says no, where that is not --no-its-name.
    """

    def __init__(self, *names: str, pipe: bool = False, negative: str | None = None) -> None:
        self.names, self.pipe, self.negative = names, pipe, negative


class Reads:
    """Marks a text field that may name a file, a folder or a set to read. A field with a `Path` always may."""


class First:
    """Marks a field among the few that matter first, which a page shows unfolded.

    On a field of an action that holds settings: all of them that have no topic.
    """


M = TypeVar("M")


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown names, finite numbers, every field with a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return settings from plain values; a wrong one is a `UsageError` of one line."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(explain(error, cls.model_fields)) from error

    def changed(self, **values: Any) -> Self:
        """Return a checked copy with some values changed."""
        return self.parse(self.model_dump(exclude_unset=True) | values)

    @classmethod
    def topic_of(cls, field: str) -> Topic | None:
        """Return what a field is about."""
        return cls.marked(field, Topic)

    @classmethod
    def marked(cls, field: str, wanted: type[M]) -> M | None:
        """Return the mark of a field, as the class that declares it says or those that it is derived from."""
        kinds = (kind for kind in cls.__mro__ if issubclass(kind, Settings) and field in kind.model_fields)
        marks = (mark for kind in kinds for mark in kind.model_fields[field].metadata)
        return next((mark for mark in marks if isinstance(mark, wanted)), None)


def explain(error: ValidationError, names: Iterable[str] = ()) -> str:
    """Return pydantic's first complaint as one line. For a misspelt name, suggest the nearest of `names`."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {_short(where)}{did_you_mean(where.rpartition('.')[2], names)}"
    reason = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    reason = f"{where}: {reason}" if where else reason
    given = first.get("input")
    return reason + (f", not {_short(given)}" if isinstance(given, str | int | float) else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean NAME?', or '; known: NAMES' if no known name is near, or nothing if none is known."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,2})?", name):
        raise ValueError("should be auto, cpu, cuda, cuda:N or mps")
    return name


Device = Annotated[str, AfterValidator(_device)]
"""A field for the device to compute on."""

BASE_NAMES = "base names"


def _place(path: Path, info: SerializationInfo) -> str:
    return path.name if info.context == BASE_NAMES else str(path)


Place = Annotated[Path, PlainSerializer(_place, when_used="json-unless-none")]
"""A field for a file or a folder; with the context `BASE_NAMES`, JSON holds only its base name."""

S = TypeVar("S", bound=Settings)

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})", re.ASCII)
_WORD = r"[^\s\"\[\](),|=]++"
_VALUE = rf'"(?:[^"\\]|\\.)*+"|\[[^\[\]]*+\]|{_WORD}'
_PAIR = rf"\s*+(\w++)\s*+=\s*+({_VALUE})\s*+"
_STEP = re.compile(rf"\s*+(?P<name>[\w-]++)\s*+(?:\((?P<pairs>\s*+|{_PAIR}(?:,{_PAIR})*+)\)\s*+)?(?P<end>\||\Z)")
_SHOWN = 80


def parse_chain(text: str, table: Mapping[str, type[S]], what: str) -> tuple[S, ...]:
    """Return the settings that `text` lists, in the text grammar or as the JSON list.

    `table` maps names to classes. `what` is the word that errors use, such as "degradation". Raises `UsageError`.
    """
    steps = _listed(text, what) if text.lstrip().startswith("[") else _written(text, what)
    if not steps:
        raise UsageError(f"no {what} is given; known: {', '.join(table)}")
    return tuple(_step(name, values, table, what) for name, values in steps)


def chain_document(chain: Sequence[Settings], table: Mapping[str, type[Settings]]) -> list[dict[str, Any]]:
    """Return the canonical JSON list of a chain. It holds every setting, so a change of defaults does not alter it."""
    names = {kind: name for name, kind in table.items()}
    for step in chain:
        if type(step) not in names:
            raise UsageError(f"{type(step).__name__} has no name in the table; known: {', '.join(table)}")
    return [{"name": names[type(step)], **step.model_dump(mode="json")} for step in chain]


def chain_text(chain: Sequence[Settings], table: Mapping[str, type[Settings]]) -> str:
    """Return a chain in the text grammar, with every setting; `parse_chain` reads it back."""
    return " | ".join(map(step_text, chain_document(chain, table)))


def step_text(step: Mapping[str, Any]) -> str:
    """Return a step of a chain's canonical JSON list in the text grammar."""
    pairs = ", ".join(f"{key}={as_text(value)}" for key, value in step.items() if key != "name")
    return f"{step['name']}({pairs})"


def _step(name: str, values: Mapping[str, Any], table: Mapping[str, type[S]], what: str) -> S:
    if name not in table:
        raise UsageError(f"unknown {what} {_short(name)}{did_you_mean(name, table)}")
    try:
        return table[name].parse(values)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _written(text: str, what: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the names and values of the text grammar."""
    steps, end = [], "|" if text.strip() else ""
    position = 0
    while end:
        found = _STEP.match(text, position)
        if not found:
            rest = text[position:].strip() or text.strip()
            raise UsageError(f"cannot read {_short(rest)} as {what}; write name(key=value, key=low..high) | name(...)")
        pairs = re.findall(_PAIR, found["pairs"] or "")
        steps.append((found["name"], _once([(key, _value(value)) for key, value in pairs])))
        position, end = found.end(), found["end"]
    return steps


def _listed(text: str, what: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the names and values of the JSON list."""
    steps = []
    for step in _json(text, f"the list of {what}s"):
        if not (isinstance(step, dict) and isinstance(step.get("name"), str)):
            raise UsageError(f'each {what} of a JSON list is written {{"name": ..., "key": value}}')
        steps.append((step["name"], {key: value for key, value in step.items() if key != "name"}))
    return steps


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not JSON: {error}") from error


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise UsageError(f"{_short(twice)} is given twice")
    return values


def _value(text: str) -> Any:
    """Return a value of the text grammar: the two ends of a range, JSON, or the word itself."""
    if ends := _RANGE.fullmatch(text):
        return [float(end) for end in ends.groups()]
    if text.startswith(('"', "[")):
        return _json(text, _short(text))
    try:
        return json.loads(text)
    except ValueError:
        return text


def as_text(value: Any) -> str:
    """Return the shortest text that `_value` reads as this value."""
    if isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value):
        return "..".join(as_text(end) for end in value)
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    plain = isinstance(value, str) and re.fullmatch(_WORD, value) and _value(value) == value
    return str(value) if plain else json.dumps(value)


def flag_of(field: str) -> str:
    """Return the flag of a field."""
    return f"--{field.replace('_', '-')}"


def flagged(field: str, value: Any, flag: Flag | None = None) -> tuple[str, ...]:
    """Return the words that give a field this value on the command line; `flag` is the field's mark, if it has one."""
    if isinstance(value, tuple):
        return tuple(word for one in value for word in flagged(field, one))
    if isinstance(value, bool):
        negative = flag.negative if flag else None
        return (flag_of(field) if value else negative or flag_of(f"no_{field}"),)
    return flag_of(field), as_text(value) if isinstance(value, float) else str(value)


def _short(given: object) -> str:
    """Return the representation of what was given, cut to one line."""
    shown = repr(given)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _ends(value: Any) -> Any:
    """Return the two ends of a range given as one number, as text, or as two ends."""
    if isinstance(value, str):
        value = _value(value)
    ends = [value, value] if isinstance(value, int | float) else value
    if not (isinstance(ends, list | tuple) and len(ends) == 2 and all(type(end) in (int, float) for end in ends)):
        raise ValueError("should be a number such as 0.1, or low..high")
    return ends


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"should go up, not from {ends[0]:g} to {ends[1]:g}")
    return ends


Range = Annotated[
    tuple[float, float],
    BeforeValidator(_ends),
    AfterValidator(_ordered),
    PlainSerializer(lambda ends: ends[0] if ends[0] == ends[1] else list(ends), when_used="json"),
]
"""A field with two ends, low <= high, between which a number is drawn. It takes 0.1, "0..0.2" and [0, 0.2]."""


def within(low: float, high: float) -> AfterValidator:
    """Return a validator that bounds a `Range`: `sigma: Annotated[Range, within(0, 1)]`."""

    def check(ends: tuple[float, float]) -> tuple[float, float]:
        if not low <= ends[0] <= ends[1] <= high:
            raise ValueError(f"should be within {low:g} and {high:g}")
        return ends

    return AfterValidator(check)


Size = int | str
"""A picture's size in pixels: the side of a square, or width x height as text, such as "96x64"."""
_SIZE = re.compile(r"\s*(\d{1,6})(?:\s*[x\u00d7]\s*(\d{1,6}))?\s*", re.ASCII | re.IGNORECASE)


def sides(size: Size) -> tuple[int, int]:
    """Return (height, width) of a size; "96x64" is 64 high. `ValueError` if it is no size."""
    found = None if isinstance(size, bool) else _SIZE.fullmatch(str(size))
    if not found:
        raise ValueError("should be a side such as 64, or width x height such as 96x64")
    wide, high = found.groups()
    return int(high or wide), int(wide)


def size_of(height: int, width: int) -> Size:
    """Return the size in the form that recipes hold: a whole number if it is square, else text."""
    return height if height == width else f"{width}x{height}"


def size_within(least: int, most: int) -> BeforeValidator:
    """Return a validator that reads a `Size` and bounds its sides; None stays None."""

    def check(value: Any) -> Size | None:
        if value is None:
            return None
        found = sides(value)
        if not all(least <= side <= most for side in found):
            raise ValueError(f"should have sides of {least} to {most} pixels")
        return size_of(*found)

    return BeforeValidator(check)
