"""A folder of everything people have trains, and its bad files are named; with only bad ones there is one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import png_16
from pinxit.cli import run

TINY = ["--network", "dense", "--channels", "2", "--latent", "4", "--batch-size", "4", "--threads", "1"]
BAD = ("truncated.jpg", "text.jpg", "empty.png")


def bad_files(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 60, 3), np.uint8)).save(folder / "whole.jpeg")
    content = (folder / "whole.jpeg").read_bytes()
    (folder / "whole.jpeg").unlink()
    (folder / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (folder / "text.jpg").write_text("this is no picture")
    (folder / "empty.png").write_bytes(b"")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = tmp_path / "mixed"
    bad_files(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 4), np.uint8)
    picture = Image.fromarray(pixels)
    picture.convert("RGB").save(folder / "photo.jpg")
    picture.save(folder / "clear.png")
    picture.convert("RGB").quantize(16).save(folder / "palette.gif")
    picture.convert("RGB").convert("CMYK").save(folder / "print.jpg")
    (folder / "deep.png").write_bytes(png_16(np.arange(80 * 65, dtype=np.uint16).reshape(80, 65, 1) * 12))
    (folder / "deep-colour.png").write_bytes(png_16(np.full((64, 64, 3), 40_000, np.uint16)))
    return folder


def test_a_mixed_folder_trains_and_its_bad_files_are_named(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train",
        "gan",
        str(mixed),
        "--size",
        "64",
        "--steps",
        "5",
        "--out",
        str(tmp_path / "run"),
        "--holdout",
        "0",
    ]
    assert run([*words, *TINY]) == 0
    told = capsys.readouterr().err
    assert "3 of 9 pictures cannot be read" in told
    for name in BAD:
        (line,) = [line for line in told.splitlines() if name in line]
        assert line.partition(name)[2].strip(": "), f"no reason for {name}"
    assert "6 pictures" in told
    assert "4 channels" in told
    assert "Traceback" not in told


def test_a_folder_of_bad_files_only_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad_files(tmp_path / "bad")
    assert run(["train", "gan", str(tmp_path / "bad"), "--out", str(tmp_path / "run"), *TINY]) == 3
    told = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(told) == 1
    assert "none of 3 pictures can be read" in told[0]
    assert not (tmp_path / "run").exists()
