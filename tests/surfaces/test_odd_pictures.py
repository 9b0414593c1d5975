"""Every action that shows pictures to a model: one odd picture never stops a folder, and one picture is a set."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import TinyRuns, png_16
from pinxit.cli import run
from pinxit.errors import MemoryLimitError
from pinxit.files import leftovers, whole_file
from pinxit.latents import coding
from pinxit.latents.sampling import load

ACTIONS: dict[str, Callable[[str, str, str], list[str]]] = {
    "reconstruct": lambda run, pictures, out: ["reconstruct", run, pictures, "-o", f"{out}.png"],
    "map": lambda run, pictures, out: ["map", run, pictures, "--columns", "3", "-o", f"{out}.png"],
    "codes": lambda run, pictures, out: ["codes", run, pictures],
    "anomaly": lambda run, pictures, out: ["anomaly", run, pictures, "-o", out],
    "compress": lambda run, pictures, out: ["compress", run, pictures, "-o", f"{out}.pxc"],
    "morph": lambda run, pictures, out: [
        *("morph", run, pictures, "--start", "0", "--end", "1", "--columns", "2", "-o", f"{out}.png"),
    ],
}
VALUE = 100


def mixed(folder: Path) -> Path:
    """Pictures of one colour that people have in one folder, and a file that is none."""
    folder.mkdir()
    for name, mode, value in (
        ("alpha", "RGBA", (VALUE, VALUE, VALUE, 51)),
        ("colour", "RGB", (VALUE, 0, 0)),
        ("grey", "L", VALUE),
        ("greyalpha", "LA", (VALUE, 51)),
        ("bits", "1", 1),
    ):
        Image.new(mode, (20, 16), value).save(folder / f"{name}.png")
    (folder / "deep.png").write_bytes(png_16(np.full((16, 20, 1), VALUE * 257, np.uint16)))
    (folder / "broken.png").write_bytes((folder / "grey.png").read_bytes()[:50])
    return folder


@pytest.mark.parametrize("action", ACTIONS)
def test_an_odd_picture_does_not_stop_the_others(
    action: str, tiny_runs: TinyRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = mixed(tmp_path / "mix")
    assert run(ACTIONS[action](str(tiny_runs["vae"]), str(folder), str(tmp_path / "out"))) == 7
    said = capsys.readouterr().err
    assert "1 of 7 pictures cannot be read; the first: broken.png" in said
    assert "2 of 6 pictures (the first: alpha.png): its transparency is laid over black and its colours" in said
    assert "1 of 6 pictures (the first: colour.png): its colours become grey" in said
    if action == "anomaly":
        assert len(json.loads((tmp_path / "out" / "anomaly.json").read_text())["pictures"]) == 6
    assert run(ACTIONS[action](str(tiny_runs["vae"]), str(folder / "alpha.png"), str(tmp_path / "one"))) == 0
    assert run(ACTIONS[action](str(tiny_runs["vae"]), str(folder / "broken.png"), str(tmp_path / "none"))) == 3
    assert run(ACTIONS[action](str(tiny_runs["gan"]), str(folder / "grey.png"), str(tmp_path / "none"))) == 2


def test_what_is_converted_has_the_right_values(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    folder, grey = mixed(tmp_path / "mix"), load(tiny_runs["vae"])
    red, faint = 0.299 * VALUE / 255, 0.2 * VALUE / 255
    expected = {
        "alpha.png": [faint] * 3, "bits.png": [1.0] * 3, "colour.png": [VALUE / 255, 0, 0],
        "deep.png": [VALUE / 255] * 3, "grey.png": [VALUE / 255] * 3, "greyalpha.png": [faint] * 3,
    }  # fmt: skip
    seen = coding.model_pictures(grey, str(folder))
    assert seen.names == sorted(expected)
    assert seen.unreadable == ("broken.png",)
    means = dict(zip(seen.names, seen.images.mean((1, 2, 3)).tolist(), strict=True))
    assert means == pytest.approx({name: value[0] for name, value in expected.items()} | {"colour.png": red}, abs=1e-6)
    colour = replace(grey, recipe=grey.recipe.changed(data=grey.recipe.data.changed(channels=3)))
    found = coding.model_pictures(colour, str(folder)).images.mean((2, 3)).tolist()
    assert found == [pytest.approx(value, abs=1e-6) for value in expected.values()]
    clear = replace(grey, recipe=grey.recipe.changed(data=grey.recipe.data.changed(channels=4)))
    found = coding.model_pictures(clear, str(folder)).images.mean((2, 3))
    assert found[0].tolist() == pytest.approx([VALUE / 255] * 3 + [0.2], abs=1e-6)
    assert found[4].tolist() == pytest.approx([VALUE / 255] * 3 + [1], abs=1e-6)
    assert coding.model_pictures(grey, str(folder), 2).unreadable == ()  # it comes after the two


def test_the_class_of_one_picture_is_the_folder_it_lies_in(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    conditional, folder = load(tiny_runs["cvae"]), mixed(tmp_path / "2")
    for source in (folder, folder / "grey.png"):
        labels = coding.model_pictures(conditional, str(source)).labels
        assert labels is not None
        assert set(labels.tolist()) == {conditional.recipe.data.classes.index("2")}


def test_more_pictures_than_fit_into_the_memory_are_refused_first(
    tiny_runs: TinyRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pinxit.images.room.memory_left", lambda: 1 << 20)
    out = str(tmp_path / "out.npz")
    for words in (["sample"], ["sample", "--interpolate", "100000000"], ["traverse", "--columns", "100000000"]):
        assert (
            run([words[0], str(tiny_runs["gan"]), "-n", "100000000", *words[1:], "-o", out])
            == MemoryLimitError.exit_code
        )
        assert "enough for" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_a_killed_command_left_in_a_folder_is_removed(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    """A writer that was killed leaves a temporary file beside its target; only those of our own names go."""
    for name in ("000001.png", "another.png"):
        with whole_file(tmp_path / name) as temporary:
            temporary.write_bytes(b"half")
            shutil.copy(temporary, kept := temporary.with_suffix(".kept"))
        kept.rename(temporary)
    assert len(list(leftovers(tmp_path))) == 2
    assert run(["sample", str(tiny_runs["gan"]), "-n", "2", "-o", str(tmp_path), "-y"]) == 0
    assert len(list(leftovers(tmp_path, ["another.png"]))) == len(list(leftovers(tmp_path))) == 1
