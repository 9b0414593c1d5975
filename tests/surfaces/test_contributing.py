"""The examples of CONTRIBUTING.md run as printed; those of losses, penalties and edits are run by their laws."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import pinxit
from pinxit import degradations
from pinxit.actions import ACTIONS
from pinxit.cli import run
from pinxit.degradations import DEGRADATIONS, Chain
from pinxit.errors import DataError
from pinxit.images import READERS, load_image, save_image
from pinxit.images.read import Reader

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(section: str) -> tuple[str, str]:
    """The code and the row of a section."""
    part = TEXT.split(f"## {section}\n")[1].split("\n## ")[0]
    code, row = re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    return code, row


def module(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module made of an example, importable while the test runs."""
    made = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(code, name, "exec"), made.__dict__)
    return made


def entry(row: str, **names: Any) -> tuple[str, Any]:
    """The one entry that a row adds to a table; it takes one line."""
    assert len(row.splitlines()) == 1
    ((key, value),) = eval("{" + row + "}", names).items()
    return key, value


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    save_image(tmp_path / "half.png", np.full((4, 6, 3), 51, np.uint8))
    return tmp_path / "half.png"


def test_the_action_runs_everywhere(
    picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, row = example("An action")
    made = module("pinxit.actions.measure", code, monkeypatch)
    monkeypatch.setitem(ACTIONS, *entry(row, Mean=made.Mean))
    assert run(["mean", str(picture), "--digits", "2"]) == 0
    assert run(["mean", str(picture), "--json"]) == 0
    assert capsys.readouterr().out == '0.2\n{\n  "mean": 0.2\n}\n'
    assert pinxit.mean(picture) == 0.2


def test_the_reader_reads_and_refuses(picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, row = example("A reader of picture files")
    made = module("pinxit.images.farbfeld", code, monkeypatch)
    key, reader = entry(row, Reader=Reader, farbfeld=made)
    before = dict(READERS)
    monkeypatch.setattr("pinxit.images.read.READERS", {key: reader, **before})
    pixels = np.arange(24, dtype=">u2").reshape(2, 3, 4)
    file = tmp_path / "one.ff"
    file.write_bytes(b"farbfeld" + struct.pack(">II", 3, 2) + pixels.tobytes())
    assert np.array_equal(load_image(file), pixels)
    assert load_image(picture).shape == (4, 6, 3)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"one\.ff"):
        load_image(file)


def test_the_degradation_degrades(monkeypatch: pytest.MonkeyPatch) -> None:
    code, row = example("A degradation")
    space = dict(vars(degradations))
    exec(compile(code, "CONTRIBUTING.md", "exec", dont_inherit=True, flags=1 << 24), space)  # annotations as text
    monkeypatch.setitem(DEGRADATIONS, *entry(row, Stripes=space["Stripes"]))
    degraded = Chain.parse("stripes(depth=0.5)").degrade(torch.ones(1, 4, 2), torch.Generator().manual_seed(0))
    assert degraded.image[0, :, 0].tolist() == [0.5, 1, 0.5, 1]
    assert degraded.level == 0.5
