"""`pinxit edit` and `pinxit redo`: the same bytes from Python, files, folders and pipes, and when made again."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import Field

import pinxit
from pinxit.cli import run
from pinxit.edits import EDITS
from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Bound, Local
from pinxit.edits.mask import Mask
from pinxit.edits.settings import Edit
from pinxit.files import sha256
from pinxit.images import load_picture, read_recipe
from pinxit.jobs.batch import edit_bytes
from pinxit.jobs.settings import EditSettings

BRIGHT = Adjust(exposure=0.5)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two pictures, cat.jpg and dog.png, and a mask."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("cat.jpg", "dog.png"):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(name)
    mask = np.zeros((24, 32), np.uint8)
    mask[4:12, 8:20] = 255
    Image.fromarray(mask).save("mask.png")
    return tmp_path


def pixels(path: Path | str) -> np.ndarray:
    return load_picture(Path(path)).pixels


def test_flags_and_text_are_one_definition(here: Path) -> None:
    assert run(["edit", "adjust", "dog.png", "-o", "1.png", "--exposure", "0.5", "--contrast", "2"]) == 0
    assert run(["edit", "adjust(exposure=0.5, contrast=2)", "dog.png", "-o", "2.png"]) == 0
    assert run(["edit", '[{"name": "adjust", "exposure": 0.5, "contrast": 2}]', "dog.png", "-o", "3.png"]) == 0
    assert Path("1.png").read_bytes() == Path("2.png").read_bytes() == Path("3.png").read_bytes()
    assert run(["edit", "adjust(exposure=0.5) | adjust(contrast=2)", "dog.png", "-o", "4.png"]) == 0
    assert np.array_equal(pixels("4.png"), pinxit.edit("dog.png", [BRIGHT, Adjust(contrast=2)]).pixels)


@pytest.mark.parametrize("kind", [Mask, EditSettings])
def test_what_every_edit_has_is_told_by_help(kind: type, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edit", "adjust", "--help"]) == 0
    shown = capsys.readouterr().out
    for name, field in kind.model_fields.items():
        assert f"--{name.replace('_', '-')}" in shown
        assert field.description, name


def test_a_mask_comes_from_a_picture_or_a_box(here: Path) -> None:
    area = np.zeros((24, 32), bool)
    area[4:12, 8:20] = True
    for out, words in {"m.png": ["--mask", "mask.png"], "b.png": ["--box", "8,4,12,8"]}.items():
        assert run(["edit", "adjust", "dog.png", "-o", out, "--exposure", "1", *words]) == 0
        assert np.array_equal((pixels(out) != pixels("dog.png")).any(2) & ~area, np.zeros((24, 32), bool))
        assert (pixels(out) != pixels("dog.png")).any()
    assert run(["edit", "adjust", "dog.png", "-o", "i.png", "--exposure", "1", "--box", "8,4,12,8", "--invert"]) == 0
    assert np.array_equal(pixels("i.png")[area], pixels("dog.png")[area])


def test_masks_of_a_folder_are_found_by_stem(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("in/a/cat.png", "in/b/cat.png", "in/lone.png", "masks/a/cat.png", "masks/b/cat.webp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        size = np.full((8, 8, 3), 100, np.uint8) if name.startswith("in") else np.zeros((8, 8), np.uint8)
        if name == "masks/b/cat.webp":
            size[:] = 255
        Image.fromarray(size).save(name, lossless=True)
    assert run(["edit", "adjust", "in", "-r", "-o", "out", "--exposure", "1", "--mask", "masks"]) == 7
    assert (pixels("out/a/cat.png") == 100).all()
    assert (pixels("out/b/cat.png") != 100).all()
    assert "lone.png: masks has no mask named lone.*" in capsys.readouterr().err
    recipe = read_recipe(Path("out/b/cat.png"))
    assert recipe["drawn"] == {"name": "cat.webp", "sha256": sha256(Path("masks/b/cat.webp"))}


@pytest.fixture
def pipe(here: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Any]:
    """Run a command with bytes on stdin; return its exit code, stdout and stderr."""

    def piped(content: bytes, *words: str) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code = run(words)
        out, errors = capsysbinary.readouterr()
        return code, out, errors.decode()

    return piped


@pytest.mark.parametrize(
    ("words", "kind"), [((), "PNG"), (("-o", "-", "--format", "webp"), "WEBP"), (("--format", "auto"), "JPEG")]
)
def test_one_picture_goes_through_a_pipe(words: tuple[str, ...], kind: str, pipe: Callable[..., Any]) -> None:
    code, out, errors = pipe(Path("cat.jpg").read_bytes(), "edit", "adjust", "-", *words)
    assert code == 0, errors
    assert errors.startswith("editing on ")
    with Image.open(io.BytesIO(out)) as image:
        assert (image.format, image.size) == (kind, (32, 24))


def test_a_pipe_may_begin_or_end_in_a_file(pipe: Callable[..., Any]) -> None:
    content = Path("cat.jpg").read_bytes()
    assert pipe(b"", "edit", "adjust", "cat.jpg", "-o", "-")[1] == edit_bytes(content, "cat.jpg", [Adjust()])
    assert pipe(content, "edit", "adjust", "-", "-o", "new.webp")[:2] == (0, b"new.webp\n")
    assert read_recipe(Path("new.webp"))["input"] == {"name": "stdin", "sha256": sha256(Path("cat.jpg"))}
    for out in ("new.webp", "folder", "x.gif"):
        assert pipe(content, "edit", "adjust", "-", "-o", out)[0] == 2
    assert pipe(content, "edit", "adjust", "-", "-o", "x.png", "--format", "webp")[0] == 2
    assert pipe(b"", "edit", "adjust", ".", "-o", "-")[0] == 3
    assert not Path("x.png").exists()


@pytest.mark.parametrize("length", [0, 1, 300])
def test_what_is_no_picture_comes_out_of_no_pipe(length: int, pipe: Callable[..., Any]) -> None:
    code, out, errors = pipe(Path("cat.jpg").read_bytes()[:length], "edit", "adjust", "-")
    assert (code, out) == (3, b"")
    assert errors.startswith("pinxit: stdin: ")
    assert errors.count("\n") == 1


def test_a_real_pipe(here: Path) -> None:
    words = [sys.executable, "-m", "pinxit", "edit", "adjust", "-"]
    done = subprocess.run(words, input=Path("cat.jpg").read_bytes(), capture_output=True, check=True)
    assert done.stdout == edit_bytes(Path("cat.jpg").read_bytes(), "stdin", [Adjust()])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["edit", "adjsut", "dog.png", "-o", "x.png"], "did you mean 'adjust'"),
        (["edit", "adjust | adjsut", "dog.png", "-o", "x.png"], "did you mean 'adjust'"),
        (["edit", "adjust(exposre=1)", "dog.png", "-o", "x.png"], "did you mean 'exposure'"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "--exposre", "1"], "did you mean '--exposure'"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "--exposure", "9"], "--exposure: should be less than"),
        (["edit", "adjust | adjust", "dog.png", "-o", "x.png", "--exposure", "1"], "brackets after its name"),
        (["edit", "adjust", "-o", "x.png"], "name the pictures"),
        (["edit", "adjust", "dog.png"], "-o says where results go"),
        (["edit", "adjust", "dog.png", "-o", "-y"], "./-y"),
        (["edit", "adjust", "dog.png", "cat.jpg", "-o", "x.png"], "folder with the name of a picture"),
        (["edit", "adjust", "dog.png", "cat.jpg", "-o", "mask.png"], "several pictures need a folder"),
        (["edit", "adjust", "dog.png", "-o", "x.gif"], "cannot save pictures as .gif"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "--format", "webp"], "--format webp: the suffix of x.png"),
        (["edit", "adjust", "dog.png", "-o", "mask.png"], "mask.png exists; -y"),
        (["edit", "adjust", "dog.png", "-o", "dog.png"], "dog.png would be replaced by its own result"),
        (["edit", "adjust", "dog.png", "-o", "dog.png", "--skip-existing"], "would be replaced by its own result"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "-y", "--skip-existing"], "only one of them"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "--max-memory", "1MB"], "--max-memory: should be greater"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "--max-memory", "much"], "--max-memory"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "--device", "gpu"], "--device: should be auto, cpu"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "--strength", "2"], "--strength: should be less than"),
        (["edit", "adjust", "dog.png", "-o", "x.png", "--box", "1,2,3"], "box"),
        (["edit", "adjust", "-", "dog.png", "-o", "x.png"], "- stands for one picture"),
        (["edit", "adjust", "-", "--json"], "--json cannot be combined with -"),
        (["edit", "adjust", "dog.png", "", "-o", "x"], "an empty word names no picture"),
        (["edit", "adjust", "*.gif", "-o", "x"], "no picture matches"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_that_helps(
    words: list[str], line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    assert run(words) == 2
    errors = capsys.readouterr().err
    assert line in errors
    assert errors.count("\n") == 1, errors
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_nothing_is_replaced_unless_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sha256(Path("dog.png"))
    assert run(["edit", "adjust", ".", "-o", "."]) == 2
    assert "is where the pictures are" in capsys.readouterr().err
    assert run(["edit", "adjust", "dog.png", "cat.jpg", "-o", "out", "--exposure", "1"]) == 0
    kept = Path("out/dog.png").read_bytes()
    assert run(["edit", "adjust", "dog.png", "cat.jpg", "-o", "out"]) == 2
    assert "2 results exist, the first is out/dog.png" in capsys.readouterr().err
    assert Path("out/dog.png").read_bytes() == kept
    assert run(["edit", "adjust", "dog.png", "cat.jpg", "-o", "out", "-y"]) == 0
    assert Path("out/dog.png").read_bytes() != kept
    assert sha256(Path("dog.png")) == before
    assert run(["edit", "adjust", "dog.png", "-o", "dog.png", "-y", "--exposure", "1"]) == 0
    assert sha256(Path("dog.png")) != before


def test_a_folder_with_a_manifest_that_is_not_ours_is_left_alone(here: Path) -> None:
    for name in ("manifest.json", "sheet.html"):
        folder = Path(f"out-{name}")
        folder.mkdir()
        (folder / name).write_text('{"pictures": [1]}')
        assert run(["edit", "adjust", "dog.png", "-o", str(folder)]) == 2
        assert [path.name for path in folder.iterdir()] == [name]


def test_the_manifest_remembers_the_batches_before(here: Path) -> None:
    assert run(["edit", "adjust", "dog.png", "-o", "out", "--exposure", "1"]) == 0
    assert run(["edit", "adjust", "cat.jpg", "-o", "out"]) == 0
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert [entry["output"] for entry in manifest["pictures"]] == ["dog.png", "cat.png"]
    assert [entry["recipe"]["edit"][0]["exposure"] for entry in manifest["pictures"]] == [1, 0]


def test_json_is_the_manifest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edit", "adjust", "dog.png", "missing.png", "-o", "out", "--json"]) == 7
    told = capsys.readouterr()
    manifest = json.loads(told.out)
    assert manifest == json.loads(Path("out/manifest.json").read_text())
    good, bad = manifest["pictures"]
    assert good["sha256"] == sha256(Path("out/dog.png"))
    assert good["recipe"] == read_recipe(Path("out/dog.png"))
    assert good["recipe"]["input"] == {"name": "dog.png", "sha256": sha256(Path("dog.png"))}
    assert (bad["output"], bad["sha256"], bad["recipe"]) == (None, None, None)
    assert "missing.png: cannot be read (No such file or directory)" in bad["error"]
    assert told.err.endswith("pinxit: 1 of 2 pictures failed, the others are done\n")


def test_the_sheet_needs_nothing_outside_itself_and_escapes_names(here: Path) -> None:
    Path("dog.png").rename("<script>alert(1)</script>".replace("/", "_") + ".png")
    assert run(["edit", "adjust", *map(str, Path().glob("*.png")), "cat.jpg", "-o", "out"]) == 0
    page = Path("out/sheet.html").read_text()
    assert page.count("<img") == 6
    assert page.count("data:image/webp;base64,") == 6
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "3 of 3 pictures edited" in page


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_redo_makes_the_same_bytes(suffix: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--exposure", "1", "--mask", "mask.png", "--feather", "2", "--strength", "0.7", "--max-memory", "500MB"]
    assert run(["edit", "adjust", "cat.jpg", "-o", f"out.{suffix}", *words]) == 0
    capsys.readouterr()
    assert run(["redo", f"out.{suffix}"]) == 0
    told = capsys.readouterr()
    assert told.out == f"out-2.{suffix}\n"
    assert "the same bytes as before" in told.err
    assert Path(f"out-2.{suffix}").read_bytes() == Path(f"out.{suffix}").read_bytes()
    assert str(here).encode() not in Path(f"out.{suffix}").read_bytes()


def test_redo_on_another_picture_is_the_same_edit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edit", "adjust", "cat.jpg", "-o", "out.png", "--exposure", "1"]) == 0
    assert run(["redo", "out.png", "--on", "dog.png", "-o", "new.png"]) == 0
    assert "dog.png is not the picture that out.png was made from" in capsys.readouterr().err
    assert run(["edit", "adjust", "dog.png", "-o", "asked.png", "--exposure", "1", "--device", "cpu"]) == 0
    assert Path("new.png").read_bytes() == Path("asked.png").read_bytes()
    assert run(["redo", "out.png", "--on", "dog.png", "-o", "new.png"]) == 2
    assert run(["redo", "out.png", "--on", "dog.png"]) == 0
    assert Path("dog-2.png").read_bytes() == Path("asked.png").read_bytes()


def test_redo_finds_a_picture_that_was_moved_and_renamed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edit", "adjust", "cat.jpg", "-o", "out.png"]) == 0
    Path("elsewhere").mkdir()
    Path("cat.jpg").rename("elsewhere/tom.jpg")
    assert run(["redo", "out.png"]) == 3
    assert "cat.jpg: the picture out.png was made from is not in .; give its path with --on" in capsys.readouterr().err
    assert run(["redo", "out.png", "--on", "elsewhere/tom.jpg", "-o", "again.png"]) == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


@pytest.mark.parametrize("changed", ["cat.jpg", "mask.png"])
def test_redo_says_which_file_is_no_longer_the_same(
    changed: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["edit", "adjust", "cat.jpg", "-o", "out.png", "--mask", "mask.png"]) == 0
    Image.new("L", (32, 24), 255).save(changed)
    capsys.readouterr()
    assert run(["redo", "out.png"]) == 3
    told = capsys.readouterr().err
    assert told.startswith(f"pinxit: {changed} is not ")
    assert "it has that name, but another content" in told
    Path(changed).unlink()
    assert run(["redo", "out.png"]) == 3
    assert capsys.readouterr().err.startswith(f"pinxit: {changed}: ")


class Tinted(Edit):
    """An edit with a model file and shipped weights."""

    model: Path = Field(description="A run.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Lighten."""
        bound = Weighed(lambda image: image * 0.9 + 0.1)
        assert (self.model / "weights.safetensors").is_file()
        return bound


class Weighed(Local):
    weights = {"tint-v1": "1" * 64}  # noqa: RUF012


@pytest.fixture
def tinted(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(EDITS, "tinted", Tinted)
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/weights.safetensors").write_bytes(b"weights")
    assert run(["edit", f"tinted(model={here}/runs/mine)", "cat.jpg", "-o", "runs/out.png"]) == 0
    return here


def test_a_recipe_names_models_by_base_name_and_hash(tinted: Path) -> None:
    recipe = read_recipe(Path("runs/out.png"))
    assert recipe["edit"] == [{"name": "tinted", "model": "mine"}]
    assert recipe["files"] == [{"name": "mine", "sha256": sha256(Path("runs/mine/weights.safetensors"))}]
    assert recipe["weights"] == {"tint-v1": "1" * 64}
    assert str(tinted) not in json.dumps(recipe)


def test_a_recipe_that_names_a_file_without_its_hash_is_not_followed(
    tinted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["edit", "tinted(model=runs/mine)", "cat.jpg", "-o", "out.jp2", "--sidecar"]) == 0
    told = json.loads(Path("out.jp2.json").read_text())
    for change in ({"files": []}, {"edit": [{"name": "tinted", "model": "runs/../runs/mine"}]}):
        Path("out.jp2.json").write_text(json.dumps(told | change))
        capsys.readouterr()
        assert run(["redo", "out.jp2", "--on", "runs/../cat.jpg"]) == 3
        assert capsys.readouterr().err.count("\n") == 1


def test_redo_wants_the_same_model_and_the_same_weights(
    tinted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["redo", "runs/out.png"]) == 0
    assert Path("runs/out-2.png").read_bytes() == Path("runs/out.png").read_bytes()
    monkeypatch.setattr(Weighed, "weights", {"tint-v1": "2" * 64})
    assert run(["redo", "runs/out.png"]) == 3
    assert "made with other weights" in capsys.readouterr().err
    Path("runs/mine/weights.safetensors").write_bytes(b"others")
    assert run(["redo", "runs/out.png"]) == 3
    assert "runs/mine is not the file the edit used" in capsys.readouterr().err


def test_the_sidecar_is_the_recipe_and_serves_where_a_format_keeps_none(here: Path) -> None:
    assert run(["edit", "adjust", "cat.jpg", "-o", "out.jp2", "--exposure", "1", "--sidecar"]) == 0
    assert read_recipe(Path("out.jp2")) is None
    assert json.loads(Path("out.jp2.json").read_text())["edit"][0]["exposure"] == 1
    assert run(["redo", "out.jp2"]) == 0
    assert Path("out-2.jp2").read_bytes() == Path("out.jp2").read_bytes()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"edit": [{"name": "adjsut"}]}, "did you mean 'adjust'"),
        ({"edit": []}, "edit"),
        ({"edit": 5}, "edit"),
        ({"input": {"name": "../../etc/passwd", "sha256": "0" * 64}}, "without their folders"),
        ({"input": {"name": "..", "sha256": "0" * 64}}, "without their folders"),
        ({"input": {"name": "cat.jpg", "sha256": "x"}}, "sha256"),
        ({"strength": 7}, "strength"),
        ({"device": "rm -rf"}, "device"),
        ({"more": 1}, "unknown setting 'more'"),
        ({"mask": {"box": [0, 0]}}, "mask.box"),
    ],
    ids=str,
)
def test_a_strangers_recipe_is_one_line(
    change: dict[str, object], line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["edit", "adjust", "cat.jpg", "-o", "out.jp2", "--sidecar"]) == 0
    told = json.loads(Path("out.jp2.json").read_text())
    Path("out.jp2.json").write_text(json.dumps(told | change))
    capsys.readouterr()
    assert run(["redo", "out.jp2"]) in (2, 3)
    errors = capsys.readouterr().err
    assert line in errors
    assert errors.count("\n") == 1, errors
    assert not Path("out-2.jp2").exists()


@pytest.mark.parametrize("content", ["", "null", "[]", "[" * 100_000, '{"a": 1', "\x00"])
def test_a_broken_sidecar_is_one_line(content: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("dog.png.json").write_text(content)
    assert run(["redo", "dog.png"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_a_picture_without_a_recipe_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["redo", "dog.png"]) == 3
    assert "dog.png: holds no recipe" in capsys.readouterr().err
    os.mkfifo("fifo.png")
    for name in ("missing.png", "fifo.png", "."):
        assert run(["redo", name]) == 3
