"""Runs that come from elsewhere, or from a bad disk: nothing outside them is read, written or removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from pinxit.cli import run
from pinxit.data.pack import pack_folder
from pinxit.files import cache_folder
from pinxit.tensors import read_tensors, write_tensors
from pinxit.training import trainer


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
    monkeypatch.setattr("urllib.request.urlopen", never)
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


@pytest.mark.usefixtures("no_report")
def test_a_set_that_was_packed_by_hand_serves_a_foreign_run(foreign: Path, tiny_runs: Any, tmp_path: Path) -> None:
    moved = shutil.copy(tiny_runs.cards, tmp_path / "moved.npz")
    assert run(["resume", str(foreign)]) == 3
    assert run(["data", "pack", str(moved)]) == 0
    assert run(["resume", str(foreign)]) == 0
    shutil.rmtree(cache_folder() / "packs")
    assert run(["resume", str(foreign)]) == 0


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("gone", [False, True])
def test_a_run_that_moves_while_it_trains_stops_and_is_saved(
    gone: bool, tiny_runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder, moved = tiny_runs.copy("vae", tmp_path / "run"), tmp_path / "moved"
    whole = tiny_runs.copy("vae", tmp_path / "whole")
    for place in (folder, whole):
        change(place / "recipe.json", lambda recipe: recipe["training"].update(steps=66))
    advance = trainer.Trainer.advance

    def moves(self: Any) -> Any:
        if self.step == 63:
            shutil.rmtree(folder) if gone else folder.rename(moved)
        return advance(self)

    monkeypatch.setattr(trainer.Trainer, "advance", moves)
    assert run(["resume", str(folder)]) == 6
    assert "was moved or removed while it trained; stopped after step 64" in capsys.readouterr().err
    assert not folder.exists()
    monkeypatch.undo()
    if not gone:
        assert json.loads((moved / "report.json").read_text())["steps"] == 64
        assert [run(["resume", str(place)]) for place in (moved, whole)] == [0, 0]
        assert (moved / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
        assert (moved / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("part", "values", "told"),
    [
        ("settings", {"channels": 5}, "in the checkpoint"),
        ("training", {"batch_size": 65_536}, "smaller --channels, --size or --batch-size need less"),
    ],
)
def test_sizes_are_compared_before_memory_is_taken(
    part: str, values: Any, told: str, tiny_runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = tiny_runs.copy("vae", tmp_path / "run")
    change(folder / "recipe.json", lambda recipe: recipe[part].update(values))
    monkeypatch.setattr("pinxit.training.session.build_trainer", lambda *arguments: pytest.fail("memory was taken"))
    monkeypatch.setattr("pinxit.images.room.memory_left", lambda: 50_000_000)
    assert run(["resume", str(folder)]) == (3 if part == "settings" else 5)
    assert told in capsys.readouterr().err


def test_weights_that_are_not_numbers_name_the_tensor(tiny_runs: Any, tmp_path: Path, capsys: Any) -> None:
    folder = tiny_runs.copy("vae", tmp_path / "run")
    tensors = {name: value.clone() for name, value in read_tensors(folder / "weights.safetensors").items()}
    name = sorted(tensors)[1]
    for value in (float("nan"), float("inf")):
        tensors[name].fill_(value)
        write_tensors(folder / "weights.safetensors", tensors)
        assert run(["sample", str(folder), "-o", str(tmp_path / "x.png")]) == 3
        assert f"its weights are not all finite: {name} holds" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_weights_that_overflow_make_no_result(tiny_runs: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_runs.copy("vae", tmp_path / "run")
    file = tmp_path / "run/weights.safetensors"
    write_tensors(file, {name: (value.abs() + 1) * 1e38 for name, value in read_tensors(file).items()})
    cards = str(tiny_runs.cards)
    for words in (
        ["reconstruct", "run", cards, "-o=x.png"],
        ["map", "run", cards, "-o=x.png"],
        ["anomaly", "run", cards, "-o=found"],
        ["codes", "run", cards],
    ):
        assert (run(words), words) == (3, words)
        assert "makes values that are not finite" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_weights_of_another_kind_of_number_are_refused(tiny_runs: Any, tmp_path: Path, capsys: Any) -> None:
    good = tiny_runs["gan"] / "weights.safetensors"
    folder = tiny_runs.copy("gan", tmp_path / "run")
    for kind, code in {"float16": 0, "float64": 0, "int32": 3, "bool": 3, "complex64": 3}.items():
        tensors = {name: value.to(getattr(torch, kind)) for name, value in read_tensors(good).items()}
        write_tensors(folder / "weights.safetensors", tensors)
        assert (run(["sample", str(folder), "-y", "-o", str(tmp_path / "x.png")]), kind) == (code, kind)
        assert (f"holds {kind} (" in capsys.readouterr().err) == (code == 3)


INNER = ("state.safetensors", "facts.json", "complete.json")
OWN_FILES = (
    "recipe.json", "weights.safetensors", "samplers.safetensors", "log.jsonl", "report.json", "evaluation.json",
    "report.html", ".lock", "samples", "prior", "checkpoints", "checkpoints/00000002", "checkpoints/00000001",
    "samples/0000002.png", *(f"checkpoints/00000002/{name}" for name in INNER),
)  # fmt: skip
HARM: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, outside: path.symlink_to(outside),
    "pipe": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
    "nothing": lambda path, _: None,
}
ASKED = (
    ["runs", "show", "around/run"],
    ["runs", "list", "around"],
    ["sample", "around/run", "-n", "1", "-o", "x.png", "-y"],
    ["resume", "around/run"],
)


def tree(folder: Path) -> dict[str, bytes | None]:
    """What lies in a folder, with the contents of its files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def harmed(good: Path, name: str, harm: str) -> None:
    """Copy a run to `around/run`, with one of its files moved to `outside/copy` and something else in its place."""
    for folder in ("around", "outside"):
        shutil.rmtree(folder, ignore_errors=True)
    path, copy = Path(shutil.copytree(good, "around/run"), name), Path("outside/copy")
    copy.parent.mkdir()
    if path.exists():
        path.rename(copy)
    elif path.suffix or name == ".lock":
        copy.write_bytes(b"{}")
    else:
        copy.mkdir()
    if copy.is_dir():
        (copy / "00000007").mkdir()
        (copy / "00000007" / "photo.txt").write_text("precious")
        (copy / ".0123abcd.1.0123abcd.tmp").write_text("precious")
    HARM[harm](path, copy.resolve())


@pytest.mark.usefixtures("no_report")
def test_no_action_leaves_a_run_whatever_stands_in_place_of_its_files(
    tiny_runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Every file of a run as a link to a good copy outside, a pipe, a folder, or missing: no hang, no harm, a line."""
    monkeypatch.chdir(tmp_path)
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    for number, (name, harm) in enumerate(product(OWN_FILES, HARM)):
        harmed(tiny_runs["gan"], name, harm)
        before = tree(Path("outside"))
        inner = "/" in name
        asked = ASKED[-1 if inner else (number + number // 4) % 4]
        signal.alarm(20)
        code = run(asked)
        signal.alarm(0)
        told = capsys.readouterr().err
        case = f"{asked}, {name}, {harm}: {code}, {told}"
        assert tree(Path("outside")) == before, case
        assert code in (0, 3), case
        if not inner and harm in ("link", "pipe"):
            assert (code, f"{name} should be a f" in told) == (3, True), case
        if name.startswith("checkpoints/00000002/"):
            assert "checkpoint 00000002 is damaged" in told or harm == "nothing", case
        if asked[0] == "resume" and code == 0:
            again = (Path("around/run/weights.safetensors"), tiny_runs["gan"] / "weights.safetensors")
            assert again[0].read_bytes() == again[1].read_bytes(), case


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("name", ["log.jsonl", ".lock"])
def test_a_file_that_is_also_elsewhere_is_not_changed(name: str, tiny_runs: Any, tmp_path: Path, capsys: Any) -> None:
    folder, thesis = tiny_runs.copy("gan", tmp_path / "run"), tmp_path / "thesis.txt"
    thesis.write_text("300 pages")
    (folder / name).unlink(missing_ok=True)
    (folder / name).hardlink_to(thesis)
    assert run(["resume", str(folder)]) == 3
    assert f"{name}: it is also a file elsewhere (a hard link)" in capsys.readouterr().err
    assert thesis.read_text() == "300 pages"


@pytest.mark.usefixtures("no_report")
def test_a_run_without_a_good_checkpoint_begins_only_as_its_recipe_says(
    tiny_runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Not at random where it began from other weights, and not with another picture than the style's."""
    monkeypatch.chdir(tmp_path)
    small = ["--channels=4", "--latent=4", "--network=dense", "--steps=1", "--batch-size=4", "--threads=1"]
    assert run(["train", "gan", str(tiny_runs.cards), *small, "--from", str(tiny_runs["gan"]), "--out=started"]) == 0
    tiny_runs.copy("style", tmp_path / "style")
    weights = {name: Path(name, "weights.safetensors").read_bytes() for name in ("started", "style")}
    for facts in Path().glob("*/checkpoints/*/facts.json"):
        facts.write_text("{")
    assert run(["resume", "started"]) == 3
    assert "started has no good checkpoint and was to start from other weights" in capsys.readouterr().err
    other = str(shutil.copy(tiny_runs.painting, tmp_path / "other.png"))
    Path(other).write_bytes(Path(other).read_bytes() + b"other")
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    for place in (other, pipe, str(tmp_path / "none")):
        change(Path("style/recipe.json"), lambda recipe, place=place: recipe["settings"].update(style=place))
        monkeypatch.setattr("pinxit.objectives.style.load_image", lambda *_: pytest.fail("the picture was read"))
        assert run(["resume", "style"]) == 3
        assert place in capsys.readouterr().err
    monkeypatch.undo()
    change(tmp_path / "style/recipe.json", lambda recipe: recipe["settings"].update(style=str(tiny_runs.painting)))
    assert run(["resume", str(tmp_path / "style")]) == 0
    assert (tmp_path / "style/weights.safetensors").read_bytes() == weights["style"]


@pytest.mark.usefixtures("no_report")
def test_a_record_of_a_place_that_leads_nowhere_stops_no_other(
    foreign: Path, tiny_runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of the cache may be cut off, or name what now holds no pictures; an empty one is not this folder."""
    monkeypatch.chdir(tmp_path)
    fingerprint = json.loads((foreign / "recipe.json").read_text())["data"]["fingerprint"]
    records = cache_folder() / "places" / fingerprint
    records.mkdir(parents=True)
    for number, place in enumerate((b"", b"/" + b"a" * 5000, b"/a\0b", b"/tmp/\xff", bytes(tmp_path), b"a" * 70_000)):
        (records / f"{number:016x}").write_bytes(place)
    assert run(["resume", str(foreign)]) == 3
    (records / "f").write_bytes(os.fsencode(tiny_runs.cards))
    assert run(["resume", str(foreign)]) == 0


def test_a_checkpoint_as_large_as_no_disk_is_passed_over_at_once(tiny_runs: Any, tmp_path: Path, capsys: Any) -> None:
    folder = tiny_runs.copy("gan", tmp_path / "run")
    for name in ("facts.json", "state.safetensors"):
        os.truncate(folder / "checkpoints/00000002" / name, 1 << 40)  # a file with a hole, which takes no room
        signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
        signal.alarm(20)
        assert run(["resume", str(folder)]) in (0, 5)
        signal.alarm(0)
        assert f"00000002/{name}" in capsys.readouterr().err


def test_names_longer_than_the_disk_allows_are_one_line(tmp_path: Path, capsys: Any) -> None:
    name = str(tmp_path / ("a" * 300))
    for words in (["sample"], ["resume"], ["runs", "list"], ["redo"], ["evaluate"], ["export", "-o=x.onnx"]):
        assert run([*words, name]) in (2, 3)
        assert "our fault" not in capsys.readouterr().err
