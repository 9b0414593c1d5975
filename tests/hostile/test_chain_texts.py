"""Malformed chains of degradations: every one is refused in one line, soon, whatever it holds."""

import time

import pytest

from pinxit.degradations import Chain
from pinxit.errors import UsageError

MARKS = [
    "(",
    ")",
    ",",
    "=",
    "|",
    "..",
    '"',
    "[",
    "]",
    "{",
    "}",
    "\\",
    "\0",
    "'",
    ";",
    "$(id)",
    "`",
    "\u202e",
    "é(",
    "\ud800",
]
BROKEN = [
    *MARKS,
    *(mark + "noise" for mark in MARKS if mark != "|"),
    *(f"noise({mark})" for mark in MARKS),
    *(f"noise(sigma={mark})" for mark in MARKS if mark != "\\"),
    *(f"noise(sigma=0.1 {mark}" for mark in MARKS if mark != ")"),
    *("noise(sigma=", "noise(sigma=0.1", "noise sigma=0.1", "noise(sigma:0.1)", "noise(0.1)", "noise()()", "noise())"),
    *(
        "noise(sigma=0.1;)",
        "noise(sigma=0.1,,)",
        "noise(,sigma=0.1)",
        "noise || clip",
        "| noise",
        "noise |",
        "noise&clip",
    ),
    *("noise(sigma=nan)", "noise(sigma=inf)", "noise(sigma=-0.1)", "noise(sigma=0..2)", "noise(sigma=1..0)"),
    *("noise(sigma=0...1)", "noise(sigma=0..)", "noise(sigma=..1)", "noise(sigma=0..0.1..0.2)", "noise(sigma=0,1)"),
    *("noise(sigma=1e999)", "noise(sigma=0x1)", "noise(sigma=0.1%)", "noise(sigma=true)", "noise(sigma=null)"),
    *("noise(sigma=[])", "noise(sigma=[1])", "noise(sigma=[0,0,1])", 'noise(sigma=["a","b"])', "noise(sigma=[[0,1]])"),
    *(
        "noise(sigma=0.1, sigma=0.1)",
        "noise(Sigma=0.1)",
        "noise(model_config=1)",
        "noise(__class__=1)",
        "Noise",
        "nois",
    ),
    *("downscale(scale=1.5)", "downscale(scale=0)", "downscale(scale=1..2)", "jpeg(quality=0)", "jpeg(quality=96)"),
    *("boxes(share=1)", "boxes | downscale", "boxes(side=0)", "blur(sigma=1e9)", "text(size=1e9)", "clip(sigma=1)"),
    *(
        "[1]",
        "[null]",
        "[[]]",
        '["noise"]',
        '[{"name": 1}]',
        '[{"name": "noise", "sigma": NaN}]',
        "[{}",
        '{"name": "noise"}',
    ),
    *('[{"name": "noise", "sigma": {"low": 0}}]', '[{"name": "noise", "a\\nb": 0}]', '[{"name": "\\ud800"}]', "[]", ""),
    *("x" * 200_000, "[" * 200_000, "noise(" + " " * 200_000 + "!", "noise" + " " * 200_000 + "!", "|" * 200_000),
    *(
        "noise(" + "sigma=0.1," * 20_000 + ")",
        "noise(" + "sigma=0.1," * 20_000 + "sigma=0)",
        f"noise(sigma={'9' * 10_000})",
        'noise(sigma="' + "\\" * 100_001,
    ),
]


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: ascii(text[:20]))
def test_a_malformed_chain_is_one_short_line(text: str) -> None:
    start = time.process_time()
    with pytest.raises(UsageError) as caught:
        Chain.parse(text)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert said.isprintable()
    assert len(said) < 400
    assert time.process_time() - start < 1


def test_there_are_more_than_a_hundred_of_them() -> None:
    assert len(set(BROKEN)) > 100
