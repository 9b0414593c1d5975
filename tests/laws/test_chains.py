"""The text grammar of chains, its canonical JSON form, and ranges: what is written is what is meant, and comes back."""

import json
import math
from typing import Annotated

import pytest
from pydantic import Field

from pinxit.errors import UsageError
from pinxit.settings import Range, Settings, chain_document, chain_text, parse_chain, within


class Spread(Settings):
    """Settings with a range."""

    sigma: Annotated[Range, within(0, 1)] = Field((0, 0.2), description="A range.")
    number: int = Field(2, description="A number.")


class Words(Settings):
    """Settings with everything else."""

    word: str = Field("plain", description="Any text.")
    flag: bool = Field(False, description="A switch.")
    box: tuple[int, ...] | None = Field(None, description="Numbers.")


class Nothing(Settings):
    """No settings."""


TABLE = {"spread": Spread, "words-2": Words, "nothing": Nothing}


def parsed(text: str) -> tuple[Settings, ...]:
    return parse_chain(text, TABLE, "step")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("spread", [Spread()]),
        (" spread ( ) ", [Spread()]),
        ("spread(sigma=0.1)", [Spread(sigma=(0.1, 0.1))]),
        ("spread(sigma=0.1..0.5, number=3)", [Spread(sigma=(0.1, 0.5), number=3)]),
        ("spread(sigma=1e-3..5E-1)", [Spread(sigma=(0.001, 0.5))]),
        ("spread(sigma=[0, 1])", [Spread(sigma=(0, 1))]),
        ('spread(sigma="0..1")', [Spread(sigma=(0, 1))]),
        ("nothing|spread\n|\tnothing()", [Nothing(), Spread(), Nothing()]),
        ("words-2(word=a/b.png, flag=true, box=[1, 2, 3])", [Words(word="a/b.png", flag=True, box=(1, 2, 3))]),
        ('words-2(word="a, (b) | \\"c\\" = \\u00e9", box=null)', [Words(word='a, (b) | "c" = é')]),
        ('words-2(word="1..2")', [Words(word="1..2")]),
        ('[{"name": "nothing"}, {"name": "spread", "sigma": 0.1}]', [Nothing(), Spread(sigma=(0.1, 0.1))]),
        (' [{"number": 4, "name": "spread", "sigma": [0.1, 0.2]}]', [Spread(sigma=(0.1, 0.2), number=4)]),
    ],
)
def test_a_text_means_its_settings(text: str, meant: list[Settings]) -> None:
    assert parsed(text) == tuple(meant)


STRINGS = [
    "",
    " ",
    "a b",
    "true",
    "null",
    "1",
    "1.5",
    "0..1",
    "NaN",
    '"',
    '"a"',
    "[1]",
    "a,b",
    "a|b",
    "()",
    "é",
    "\\",
    "\n",
]


@pytest.mark.parametrize(
    "chain",
    [
        (Nothing(),),
        (Spread(), Words(), Nothing(), Spread(number=-7)),
        (Spread(sigma=(0, 1e-05)), Spread(sigma=(1 / 3, math.pi / 4)), Spread(sigma=(0.5, 0.5))),
        (Words(flag=True, box=()), Words(box=(1, 2)), Words(box=(-1, 2, 3))),
        tuple(Words(word=word) for word in STRINGS),
    ],
)
def test_text_and_json_give_the_chain_back(chain: tuple[Settings, ...]) -> None:
    document = chain_document(chain, TABLE)
    assert parsed(json.dumps(document)) == chain
    assert parsed(chain_text(chain, TABLE)) == chain
    assert chain_document(parsed(chain_text(chain, TABLE)), TABLE) == document


def test_the_canonical_form_names_every_setting() -> None:
    chain = (Spread(sigma=(0.1, 0.1)), Spread(number=3), Nothing())
    assert chain_document(chain, TABLE) == [
        {"name": "spread", "sigma": 0.1, "number": 2},
        {"name": "spread", "sigma": [0, 0.2], "number": 3},
        {"name": "nothing"},
    ]
    assert chain_text(chain, TABLE) == "spread(sigma=0.1, number=2) | spread(sigma=0..0.2, number=3) | nothing()"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no step is given; known: spread, words-2, nothing"),
        ("[]", "no step is given; known: spread, words-2, nothing"),
        ("spred", "unknown step 'spred'; did you mean 'spread'?"),
        ("xyz", "unknown step 'xyz'; known: spread, words-2, nothing"),
        ("spread(sigm=1)", "spread: unknown setting 'sigm'; did you mean 'sigma'?"),
        ("spread(name=nothing)", "spread: unknown setting 'name'"),
        ("spread(sigma=2)", "spread: sigma: should be within 0 and 1, not 2"),
        ("spread(sigma=-0.1..0.5)", "spread: sigma: should be within 0 and 1"),
        ("spread(sigma=0.5..0.1)", "spread: sigma: should go up, not from 0.5 to 0.1"),
        ("spread(sigma=high)", "spread: sigma: should be a number such as 0.1, or low..high, not 'high'"),
        ("spread(sigma=true)", "spread: sigma: should be a number such as 0.1, or low..high, not True"),
        ("spread(sigma=[0, true])", "spread: sigma: should be a number such as 0.1, or low..high"),
        ("spread(sigma=1, sigma=1)", "'sigma' is given twice"),
        ('[{"name": "spread", "sigma": 1, "sigma": 1}]', "'sigma' is given twice"),
        ("words-2(word=[1,])", "'[1,]' is not JSON"),
        ('words-2(word="\\q")', "'\"\\\\q\"' is not JSON"),
        ("spread |", "cannot read 'spread |' as step; write name(key=value, key=low..high) | name(...)"),
        (
            "nothing | spread(sigma)",
            "cannot read 'spread(sigma)' as step; write name(key=value, key=low..high) | name(...)",
        ),
        ('[{"nam": "spread"}]', 'each step of a JSON list is written {"name": ..., "key": value}'),
        ("[", "the list of steps is not JSON: Expecting value: line 1 column 2 (char 1)"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(text)
    assert str(caught.value).startswith(said)


def test_what_is_in_no_table_cannot_be_written() -> None:
    with pytest.raises(UsageError, match="Spread has no name"):
        chain_text((Nothing(), Spread()), {"nothing": Nothing})


def test_a_range_in_python_is_a_pair_a_number_or_a_text() -> None:
    assert Spread(sigma=0.5) == Spread(sigma="0.5") == Spread(sigma=[0.5, 0.5]) == Spread(sigma="0.5..0.5")
    assert Spread().changed(number=3, sigma="0..1") == Spread(sigma=(0, 1), number=3)
    assert Spread.model_validate_json(Spread(sigma=0.1).model_dump_json()).sigma == (0.1, 0.1)
