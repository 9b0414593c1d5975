"""The words of a request are the command line that asks for it: the law over every action of the table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import ValidationError

from pinxit.actions import ACTIONS, variants
from pinxit.actions.action import Action, Outcome
from pinxit.cli import run
from pinxit.commands import Argument, build, fields, words
from pinxit.errors import UsageError

EVERY = {name: kind for row in ACTIONS for name, kind in variants(row).items()}
TEXTS = (
    "mnist", "mnist:test", "auto", "cpu", "0", "3", "-3", "-", "--seed", "a b.png", "it's", "$HOME", "x=1",
    "1=1.5,2=-0.5", "only", "#ff8800", "green", "96x64", "colour,cutout", "category=3",
    "noise(sigma=0..0.2) | jpeg or blur(sigma=1)",
    "0.3,0.7", "1,2,3,4", "0.25..0.5", "500MB", "1e-05", "\u732b.png", "blur", "class score", "kd",
    "denoise", "adjust(gamma=2) | upscale(scale=2)", 'inpaint(source="a b.png") | cutout(click=[1, 2])',
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 4, 5, 8, 16, 17, 64, 100, 12_345, 10**9, 64 * 10**6 + 1, 2**53 + 1)
FLOATS = (0.0, 1e-05, 0.1, 1 / 3, 0.5, 0.999, 1.0, 2.0, 2.5, -0.5, 45.0, 1e6)
ROUNDS = 4


@cache
def schema(kind: Any) -> dict[str, Any]:
    return dict(kind.model_json_schema()["properties"])


def guesses(one: Argument, kind: type[Action], rng: random.Random) -> Iterator[Any]:
    """Values that a field might take, in a random order; those of an enumeration are among the first."""
    owner: Any = kind.model_fields[one.path[0]].annotation if len(one.path) > 1 else kind
    own = schema(owner)[one.path[-1]]
    parts = (own, *own.get("anyOf", ()), own.get("items", {}))
    words = [word for part in parts for word in (*part.get("enum", ()), *([part["const"]] if "const" in part else ()))]
    others = [
        True,
        False,
        *NUMBERS,
        *FLOATS,
        *TEXTS,
        ["a", "b c"],
        words[-1:],
        *(rng.sample(NUMBERS, n) for n in (2, 4)),
    ]
    yield from rng.sample(words, len(words))
    yield from rng.sample(others, len(others))


def drawn(kind: type[Action], rng: random.Random) -> Action:
    """A random valid request with some of its fields."""
    for _ in range(50):
        values: dict[str, Any] = {}
        for one in fields(kind):
            if one.field.is_required() or rng.random() < 0.4:
                values = next(filter(lambda asked: fits(kind, asked), given(values, one, kind, rng)), values)
        try:
            return kind.model_validate(values)
        except ValueError:
            continue
    raise AssertionError(f"no request for {kind.__name__} was found")


def given(values: dict[str, Any], one: Argument, kind: type[Action], rng: random.Random) -> Iterator[dict[str, Any]]:
    """The values, and one more that a field might take."""
    for value in guesses(one, kind, rng):
        if one.word and str(value).startswith("-"):
            continue  # a word that begins with a hyphen must be a file that exists
        if len(one.path) > 1:
            value = {**values.get(one.path[0], {}), one.path[1]: value}
        yield values | {one.path[0]: value}


def fits(kind: type[Action], values: dict[str, Any]) -> bool:
    """Whether the values are right, but for those that are still missing."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        return all(wrong["type"] == "missing" for wrong in error.errors())
    except UsageError:
        return False
    return True


@pytest.fixture(scope="module")
def parsed() -> Iterator[list[Action]]:
    """The actions that the command line asks for, none of which is carried out."""
    found: list[Action] = []

    def do(self: Action) -> Outcome:
        found.append(self)
        return Outcome(lines=())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pinxit.cli.build", cache(build))
        for base in {base for kind in EVERY.values() for base in kind.__mro__ if "do" in vars(base)}:
            patch.setattr(base, "do", do)
        yield found


@pytest.mark.parametrize("name", EVERY)
def test_a_request_has_the_words_that_ask_for_it(name: str, parsed: list[Action]) -> None:
    rng = random.Random(name)
    for _ in range(ROUNDS):
        asked = drawn(EVERY[name], rng)
        line = words(name, asked)
        assert run(line) == 0, line
        assert parsed[-1].model_dump() == asked.model_dump(), line
        assert words(name, parsed[-1]) == line


def test_few_fields_come_first() -> None:
    first = {name: [one.name for one in fields(kind) if one.first] for name, kind in EVERY.items()}
    assert all(len(names) <= 12 for names in first.values()), "as many as a person reads at once"
    for name in ("train gan", "train vae", "train restore", "edit denoise", "edit inpaint", "sample", "evaluate"):
        assert 4 <= len(first[name]) <= 10, name
    assert first["train gan"] == ["DATA", "--network", "--loss", "--conditional", "--size", "--minutes", "--recipe"]
