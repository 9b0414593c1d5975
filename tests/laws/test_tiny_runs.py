"""The runs that tests share: each is finished, is of its kind, and is trained once."""

import json
from pathlib import Path

import pytest

from conftest import KINDS, TinyRuns

OBJECTIVES = {"cvae": "vae", "ladder": "vae", "prior": "vae"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_shared_run_is_finished_and_of_its_kind(tiny_runs: TinyRuns, kind: str, tmp_path: Path) -> None:
    run = tiny_runs.copy(kind, tmp_path / "copy")
    assert json.loads((run / "recipe.json").read_text())["objective"] == OBJECTIVES.get(kind, kind)
    assert json.loads((run / "report.json").read_text())["finished"]
    assert (run / "prior" / "weights.safetensors").exists() == (kind == "prior")


def test_a_shared_run_is_trained_once(tiny_runs: TinyRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_runs["gan"]
    monkeypatch.setattr(TinyRuns, "_train", lambda *_: pytest.fail("trained twice"))
    assert TinyRuns(tiny_runs.place)["gan"] == run
