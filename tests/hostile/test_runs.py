"""Runs that come from elsewhere, or from a bad disk: nothing outside them is read, written or removed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinxit.cli import run
from pinxit.data.pack import pack_folder
from pinxit.files import cache_folder


def change(path: Path, how: Callable[[Any], object]) -> None:
    """Change the document in a JSON file."""
    document = json.loads(path.read_text())
    how(document)
    path.write_text(json.dumps(document))


@pytest.fixture(name="foreign")
def _foreign(tiny_runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of somebody else: its pictures were never read with this machine's cache."""
    folder: Path = tiny_runs.copy("vae", tmp_path / "run")
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.mark.parametrize("source", ["photos", "mnist", "/dev/zero"])
def test_a_foreign_recipe_does_not_decide_what_is_read(
    foreign: Path, source: str, photos: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a foreign recipe reached for the network or for pictures")

    private = photos(3)
    monkeypatch.setattr("pinxit.data.mnist.urllib.request.urlopen", never)
    monkeypatch.setattr("pinxit.data.pack._write", never)
    change(foreign / "recipe.json", lambda recipe: recipe["data"].update(source=str(private.parent / source)))
    for words in (["resume"], ["evaluate"], ["train", "prior"]):
        assert run([*words, str(foreign)]) == 3
        assert "were never read on this machine" in capsys.readouterr().err
    assert not pack_folder().exists()


def test_the_fingerprint_in_a_recipe_is_no_path(foreign: Path, capsys: Any) -> None:
    for wrong in ("zz", "../" * 20 + "tmp", "A" * 64, 7, None):
        change(foreign / "recipe.json", lambda recipe, wrong=wrong: recipe["data"].update(fingerprint=wrong))
        assert run(["resume", str(foreign)]) == 3
        assert "recipe.json: data.fingerprint: " in capsys.readouterr().err


def test_a_set_that_was_packed_by_hand_serves_a_foreign_run(foreign: Path, tiny_runs: Any, tmp_path: Path) -> None:
    moved = shutil.copy(tiny_runs.cards, tmp_path / "moved.npz")
    assert run(["resume", str(foreign)]) == 3
    assert run(["data", "pack", str(moved)]) == 0
    assert run(["resume", str(foreign)]) == 0
    shutil.rmtree(cache_folder() / "packs")
    assert run(["resume", str(foreign)]) == 0
