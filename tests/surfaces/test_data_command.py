"""`pinxit data` from the outside: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import png_16
from pinxit import images
from pinxit.cli import run
from pinxit.data import open_data
from pinxit.images import load_image

Photos = Callable[..., Path]


@pytest.fixture
def mixed(photos: Photos) -> Path:
    """A folder of every trouble: kinds, depths, a copy, an animation, broken files."""
    folder = photos(12, classes=("cat", "dog"))
    cat, dog = folder / "cat", folder / "dog"
    picture = Image.open(cat / "000.png")
    picture.convert("CMYK").save(cat / "cmyk.jpg")
    picture.quantize(16).save(cat / "palette.gif")
    picture.save(cat / "moves.webp", save_all=True, append_images=[Image.open(dog / "001.png")])
    shutil.copy(cat / "000.png", dog / "copy.png")
    (dog / "deep.png").write_bytes(png_16(np.full((30, 40, 3), 9999, np.uint16)))
    (dog / "grey.png").write_bytes(png_16(np.full((30, 40, 1), 9999, np.uint16)))
    (dog / "cut.png").write_bytes((dog / "001.png").read_bytes()[:300])
    (dog / "text.jpg").write_text("no picture")
    (cat / "empty.jpg").touch()
    return folder


def test_check_reports_what_is_there(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", str(mixed), "-o", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    for line in (
        "photos: 18 pictures, 3 that cannot be read",
        "width    20 to 40 pixels, median 20",
        "PNG RGB: 14",
        "JPEG CMYK: 1",
        "8 bit: 16, 16 bit: 2",
        "cat: 9, dog: 9",
        "dog/cut.png: cut off",
        "dog/text.jpg: not a picture",
        "cat/empty.jpg: the file is empty",
        "cat/000.png = dog/copy.png",
        f"{images.FIRST_FRAME}: cat/moves.webp",
        "1 picture in CMYK, converted to RGB; without a colour profile, by a plain formula: cat/cmyk.jpg",
        "3 files that cannot be read, and left out",
        "1 picture equal to others, pixel by pixel: ",
        f"contact sheet: {tmp_path / 'out' / 'check.png'}",
    ):
        assert line in told
    assert load_image(tmp_path / "out" / "check.png").shape == (4 * 66 + 2, 5 * 66 + 2, 3)


def test_check_as_json_is_one_document(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", f"{mixed}", "--json", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pictures"], len(found["bad"]), found["bits"]) == (18, 3, {"8": 16, "16": 2})
    assert found["width"] == {"min": 20, "median": 20, "max": 40}
    assert found["duplicates"] == [["cat/000.png", "dog/copy.png"]]
    assert found["sheet"] == str(tmp_path / "check.png")


def test_check_reads_a_part_of_a_set(photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = photos(40, "RGBA", classes=("a", "b"))
    assert run(["data", "check", f"{folder}:test", "--json", "-o", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    held = open_data(str(folder)).held_out
    assert found["pictures"] == sum(found["classes"].values()) == len(held)
    assert load_image(tmp_path / "check.png").shape[2] == 4


def test_pack_prints_the_fingerprint_and_warns_on_stderr(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "pack", str(mixed)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{open_data(str(mixed)).train.fingerprint}  18 pictures\n"
    assert "3 of 21 pictures cannot be read" in told.err
    assert images.PLAIN_CMYK in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["check", "{folder}"], 3, "none of 2 pictures can be read; the first: a.png: the file is empty"),
        (["pack", "{folder}"], 3, "none of 2 pictures can be read; the first: a.png: the file is empty"),
        (["check", "nowhere"], 3, "nowhere: no such file or folder"),
        (["import", "nowhere.whl"], 3, "nowhere.whl: no such file"),
        (["fetch", "cifar"], 2, "cifar"),
        (["check"], 2, "data"),
        (["pack", "{folder}", "--holdut", "1"], 2, "holdut"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], code: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).touch()
    assert run(["data", *(word.format(folder=tmp_path) for word in arguments)]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert reason.lower() in told.err.lower()
