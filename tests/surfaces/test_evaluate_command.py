"""`pinxit evaluate A B`, as a person and as a script sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pinxit.cli import run
from pinxit.commands.evaluate import judge
from pinxit.data import open_data
from pinxit.evaluation import evaluate
from pinxit.files import sha256
from pinxit.training.run import Run


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    """Two npz files of 30 and 40 random pictures."""
    for name, n in (("fakes", 30), ("real", 40)):
        images = np.random.default_rng(n).integers(0, 256, (n, 28, 28), np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=images)
    return str(tmp_path / "fakes.npz"), str(tmp_path / "real.npz")


def test_the_table_has_a_row_an_anchor_for_each_extractor(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", *two, "--extractor", "digits-v1", "--extractor", "digits-v2", "-n", "25"]) == 0
    said, *tables = capsys.readouterr().out.split("\n\n")
    assert said.startswith("25 pictures of fakes.npz")
    assert len(tables) == 2
    for table, extractor in zip(tables, ("digits-v1", "digits-v2"), strict=True):
        head, *rows = table.splitlines()
        assert head.split() == [extractor, "fd", "/", "blur", "kd", "/", "blur", "class", "entropy"]
        assert [row.partition(":")[0] for row in rows] == ["generated", "floor", "noise", "blur"]
        assert len({len(line) for line in (head, *rows)}) == 1


def test_json_is_the_one_document_python_gives(two: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", *two, "--n", "20", "--seed", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == evaluate(*two, n=20, seed=3)


def test_a_part_of_a_set_takes_its_floor_from_the_other_part(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_data(two[1])
    assert run(["evaluate", two[0], f"{two[1]}:train", "--json"]) == 0
    score = json.loads(capsys.readouterr().out)["scores"]["fd[digits-v1]"]
    assert score["reference"]["name"] == data.train.name
    assert score["rows"][1]["about"] == data.held_out.name


def test_a_run_is_judged_by_new_pictures_and_keeps_its_scores(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert run(["train", "gan", two[1], "--network", "dense", "--steps", "1", "--out", str(folder)]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(folder), two[1], "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    score = document["scores"]["fd[digits-v1]"]
    assert (score["n"], score["generated"]["name"]) == (40, "run")
    kept = json.loads((folder / "evaluation.json").read_text())
    assert kept == {"weights": sha256(folder / "weights.safetensors")} | document
    assert "fd[digits-v1]" in (folder / "report.html").read_text().replace("<wbr>", "")
    assert Run.open(folder).evaluation() == kept
    (folder / "weights.safetensors").write_bytes(b"other weights")
    assert Run.open(folder).evaluation() is None


def test_a_judged_run_is_told_as_a_table(two: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run(["train", "gan", two[1], "--network", "dense", "--steps", "1", "--out", str(folder)]) == 0
    assert judge(folder, two[1], n=25).startswith("25 pictures of run against 25 of real.npz")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--extractor", "digits-v3"], "did you mean"),
        (["-n", "31"], "n must be 4 to 30"),
        (["-n", "3"], ">= 4"),
        (["--sed", "3"], "--seed"),
    ],
)
def test_a_bad_request_is_one_line(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert run(["evaluate", *two, *arguments]) == 2
    captured = capsys.readouterr()
    assert reason in captured.err.splitlines()[-1]
    assert captured.out == ""


def test_a_missing_set_is_one_line(two: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["evaluate", str(tmp_path / "nowhere"), two[1]]) == 3
    assert "nowhere" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    code = "import sys; from pinxit.cli import run; run(['evaluate', '--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "digits-v1" in done.stdout
