"""The command line: fast help without torch, one line for a mistake, the right exit code, the same bytes as Python."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pinxit
from pinxit.actions.action import mark
from pinxit.cli import run
from pinxit.files import sha256
from pinxit.settings import Word

TINY = ["--network", "dense", "--channels", "2", "--latent", "4", "--batch-size", "8", "--threads", "1"]


def command(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pinxit", *words], capture_output=True, text=True, check=False, **options
    )


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    path = tmp_path / "pictures.npz"
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8)
    np.savez(path, images=images, labels=np.arange(40) % 3)
    return str(path)


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train without writing a report."""
    monkeypatch.setattr("pinxit.training.train._report", lambda run: None)


@pytest.mark.alone
@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_and_version_answer_within_half_a_second(words: list[str]) -> None:
    """Half a second of processor time, so that the verdict does not depend on how busy the machine is."""

    def seconds() -> float:
        started = os.times()
        assert command(*words).returncode == 0
        ended = os.times()
        return ended.children_user + ended.children_system - started.children_user - started.children_system

    assert min(seconds() for _ in range(5)) < 0.5


HELPED = [[], ["--version"], ["train", "gan"], ["train", "vae"], *(name.split() for name in pinxit.ACTIONS)]


@pytest.fixture(scope="module")
def torch_after() -> dict[str, bool]:
    """Whether torch is there after the help of each command, all asked for in one process."""
    code = f"""
import contextlib, io, json, sys
from pinxit.cli import run
found = {{}}
for words in {HELPED}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        run([*words, "--help"])
    found[" ".join(words)] = "torch" in sys.modules
print(json.dumps(found))
"""
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@pytest.mark.parametrize("words", HELPED, ids=" ".join)
def test_help_imports_no_torch(words: list[str], torch_after: dict[str, bool]) -> None:
    assert torch_after[" ".join(words)] is False


def test_every_objective_takes_its_own_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    needed = {"style": ["--style", "x.png"], "restore": ["--degrade", "noise"]}
    for objective in set(pinxit.OBJECTIVES) - {"prior"}:
        assert run(["train", objective, "nowhere", *needed.get(objective, [])]) == 3, objective
        assert "no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize("objective", pinxit.OBJECTIVES)
def test_every_setting_has_help_with_its_default(objective: str) -> None:
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", command("train", objective, "--help").stdout).split())
    kind = pinxit.OBJECTIVES[objective]
    pictures = () if objective == "prior" else (kind.pictures,)  # a prior's are those of its run
    for settings in (kind, pinxit.TrainingSettings, *pictures):
        for name, field in settings.model_fields.items():
            word = mark(field.metadata, Word)
            assert (word.name if word else f"--{name.replace('_', '-')}") in shown
            assert field.description, name
            assert field.description.split()[0] in shown
            if field.default not in (None, ()):
                assert f"[default: {field.default}]" in shown, name


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian"], 'Did you mean "train"'),
        (["train", "gan", "x", "--losss", "hinge"], "Did you mean --loss?"),
        (["train", "gan", "x", "--loss", "hinj"], 'Did you mean "hinge"'),
        (["train", "vea", "x"], 'Did you mean "vae"'),
        (["train", "vae", "x", "--penalty", "k"], 'Did you mean "kl"'),
        (["train", "vae", "x", "--likelyhood", "gaussian"], "Did you mean --likelihood?"),
        (["train", "gan", "x", "--learning-rate", "-1"], "greater than 0"),
        (["train", "gan", "x", "--batch-size", "0"], "--batch-size: should be greater than or equal to 1"),
        (["train", "gan", "x", "--device", "gpu"], "--device: should be auto, cpu, cuda"),
        (["train", "gan", "x", "--steps", "5", "--minutes", "5"], "not both"),
        (["train", "gan", "x", "--steps", "many"], "many"),
        (["train", "gan"], "DATA"),
        (["sample", "x", "-n", "0"], "1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_that_helps(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    errors = capsys.readouterr().err
    assert line in errors
    assert errors.count("\n") == 1, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["train", "gan", "no-such-folder"], 3, "no-such-folder"),
        (["resume", "no-such-run"], 3, "is not a run"),
        (["sample", "no-such-run"], 3, "is not a run"),
        (["runs", "list", "no-such-folder"], 3, "no runs"),
        (["train", "gan", "DATA", "--device", "cuda:99"], 2, "--device auto"),
        (["train", "gan", "DATA", "--size", "1025"], 2, "sides of 16 to 1024"),
        (["train", "gan", "DATA", "--size", "96x8"], 2, "sides of 16 to 1024"),
        (["train", "gan", "DATA", "--size", "96,64"], 2, "such as 96x64"),
        (
            ["train", "gan", "DATA", "--gradient-penalty", "10", "--discriminator-norm", "batch"],
            2,
            "--discriminator-norm",
        ),
        (["train", "gan", "DATA", "--r1", "1"], 2, "--discriminator-norm none"),
        (["train", "gan", "DATA", "--loss", "wasserstein"], 2, "--weight-clip 0.01"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_is_one_line_and_its_exit_code(
    words: list[str], code: int, line: str, pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [pictures if word == "DATA" else word for word in words]
    assert run([*words, "--out", str(tmp_path / "run")] if words[0] == "train" else words) == code
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("pinxit: ")
    assert line in last


def test_train_sample_resume_and_show(pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert run(["train", "gan", pictures, "--steps", "6", "--out", str(folder), *TINY, "--conditional", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["steps"], facts["images"], facts["finished"]) == (6, 48, True)
    for name in ("weights.safetensors", "recipe.json", "log.jsonl", "samples", "report.html", "report.json"):
        assert (folder / name).exists(), name
    assert len((folder / "log.jsonl").read_text().splitlines()) == 6

    before = sha256(folder / "weights.safetensors")
    assert run(["resume", str(folder)]) == 0
    assert sha256(folder / "weights.safetensors") == before
    assert run(["train", "gan", pictures, "--out", str(folder)]) == 2
    assert "`pinxit resume" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.json").write_text('{"objective": "gam"}')
    assert run(["runs", "list", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "step 6 of 6" in told.out
    assert "did you mean 'gan'" in told.err

    for out in ("all.npz", "sheet.png", "files"):
        assert run(["sample", str(folder), "-n", "5", "-o", str(tmp_path / out), "--label", "1"]) == 0
    kept = np.load(tmp_path / "all.npz")
    assert kept["images"].shape == (5, 16, 16, 1)
    assert kept["images"].dtype == np.uint8
    assert kept["labels"].tolist() == [1] * 5
    assert [path.name for path in sorted((tmp_path / "files").iterdir())] == [f"{i:06d}.png" for i in range(5)]
    assert run(["sample", str(folder), "--interpolate", "4", "-n", "2", "-o", str(tmp_path / "ways.png")]) == 0
    assert run(["sample", str(folder), "--interpolate", "3", "-n", "2", "-o", str(tmp_path / "ways.npz")]) == 0
    assert np.load(tmp_path / "ways.npz")["images"].shape == (6, 16, 16, 1)
    assert run(["sample", str(folder), "--label", "9"]) == 2


@pytest.mark.usefixtures("unreported")
def test_the_same_request_gives_the_same_bytes_from_python(pictures: str, tmp_path: Path) -> None:
    assert run(["train", "gan", pictures, "--steps", "3", "--out", str(tmp_path / "one"), *TINY, "--seed", "5"]) == 0
    other = pinxit.train(
        pinxit.GANSettings(network="dense", channels=2, latent=4),
        pictures,
        tmp_path / "other",
        training=pinxit.TrainingSettings(steps=3, batch_size=8, threads=1, seed=5),
    )
    assert sha256(other.weights) == sha256(tmp_path / "one" / "weights.safetensors")
    assert str(tmp_path).encode() not in other.weights.read_bytes()


@pytest.mark.usefixtures("unreported")
def test_minutes_become_steps_that_stand_in_the_recipe(pictures: str, tmp_path: Path) -> None:
    run(["train", "gan", pictures, "--minutes", "0.005", "--out", str(tmp_path / "run"), *TINY])
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["training"]["minutes"] is None
    assert recipe["training"]["steps"] == len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) > 0


@pytest.mark.usefixtures("unreported")
def test_a_run_can_be_moved_and_its_pictures_too(pictures: str, tmp_path: Path) -> None:
    assert run(["train", "gan", pictures, "--steps", "3", "--out", str(tmp_path / "run"), *TINY]) == 0
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    Path(pictures).unlink()
    assert run(["resume", str(tmp_path / "elsewhere")]) == 0


@pytest.mark.usefixtures("unreported")
def test_changed_pictures_are_refused(
    photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))
    folder = photos(12, mode="L", size=(16, 16))
    assert (
        run(["train", "gan", str(folder), "--size", "16", "--steps", "2", "--out", str(tmp_path / "run"), *TINY]) == 0
    )
    shutil.rmtree(tmp_path / "cache" / "packs")
    next(iter(sorted(folder.rglob("*.png")))).unlink()
    assert run(["resume", str(tmp_path / "run")]) == 3
    assert "no longer holds the pictures that the run was trained on" in capsys.readouterr().err


def test_doctor_tells_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"machine", "computing", "speed", "disk", "mnist", "extras"} <= set(found)
    assert set(found["speed"]) == {"float32", "bf16"}


@pytest.mark.usefixtures("unreported")
def test_nothing_that_ships_in_a_run_names_the_computer(pictures: str, tmp_path: Path) -> None:
    import getpass
    import platform

    assert run(["train", "gan", pictures, "--steps", "2", "--out", str(tmp_path / "run"), *TINY]) == 0
    content = (tmp_path / "run" / "weights.safetensors").read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]  # numbers spell short names by chance
    for private in (platform.node(), getpass.getuser(), str(Path.home()), str(tmp_path)):
        assert private.encode() not in header


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nto"),
            5,
            "out of memory; ",
        ),
        (MemoryError(), 5, "out of memory; "),
        (ZeroDivisionError("one\ntwo"), 1, "our fault: ZeroDivisionError: one two"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
    ids=["torch's memory", "memory", "our fault", "interrupt"],
)
def test_what_nobody_foresaw_is_one_line_too(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("pinxit.training.run.machine", fails)
    assert run(["doctor"]) == code
    told = capsys.readouterr().err
    assert told.startswith(f"pinxit: {line}")
    assert told.count("\n") == 1


@pytest.mark.usefixtures("unreported")
def test_a_run_finds_its_folder_again_from_anywhere(
    photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(8, mode="L", size=(16, 16))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))
    assert run(["train", "gan", "photos", "--steps", "2", "--out", str(tmp_path / "run"), *TINY]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["data"]["source"] == "photos"
    assert str(tmp_path) not in (tmp_path / "run" / "recipe.json").read_text()
    shutil.rmtree(tmp_path / "cache" / "packs")
    assert run(["resume", str(tmp_path / "run")]) == 0
