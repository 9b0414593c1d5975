"""`pinxit evaluate A B --paired`: picture against picture of the same name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pinxit.cli import run
from pinxit.errors import DataError
from pinxit.evaluation.pairs import METRICS, evaluate_pairs
from pinxit.metrics.paired import as_channels, crop

Captured = pytest.CaptureFixture[str]


def stored(folder: Path, name: str) -> torch.Tensor:
    pixels = np.asarray(Image.open(folder / name).convert("RGB"))
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)[None]


@pytest.fixture
def folders(photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Twelve originals of two sizes, and the same with noise, saved under other suffixes."""
    monkeypatch.chdir(tmp_path)
    originals, noisy = photos(12, size=(40, 36)), tmp_path / "noisy"
    Image.fromarray(np.asarray(Image.open(originals / "003.png"))[:30]).save(originals / "003.png")
    noisy.mkdir()
    rng = np.random.default_rng(0)
    for path in originals.iterdir():
        pixels = np.asarray(Image.open(path)).astype(float)
        spoiled = np.clip(pixels + rng.normal(0, 10, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(spoiled).save(noisy / f"{path.stem}.bmp")
    return noisy, originals


@pytest.mark.parametrize(("channels", "border"), [("rgb", 0), ("y", 4), ("grey", 1)])
def test_each_score_is_the_mean_of_the_pairs_own(folders: tuple[Path, Path], channels: str, border: int) -> None:
    noisy, originals = folders
    document = evaluate_pairs(str(noisy), str(originals), metrics=["psnr", "ssim"], channels=channels, border=border)
    for name, told in document["scores"].items():
        assert (told["channels"], told["border"], told["n"]) == (channels, border, 12)
        expected = [
            float(METRICS[name].measure(*(crop(as_channels(image, channels), border) for image in pair)))
            for stem in (Path(name).stem for name in document["names"])
            for pair in [(stored(noisy, f"{stem}.bmp"), stored(originals, f"{stem}.png"))]
        ]
        assert told["each"] == pytest.approx(expected)
        assert told["value"] == pytest.approx(np.mean(expected))
        assert told["interval"]["low"] <= told["value"] <= told["interval"]["high"]


def test_what_the_pictures_allow_is_told_unasked(folders: tuple[Path, Path]) -> None:
    noisy, originals = map(str, folders)
    assert list(evaluate_pairs(noisy, originals)["scores"]) == ["psnr", "ssim", "edge error", "colour error"]
    assert list(evaluate_pairs(noisy, originals, channels="y")["scores"]) == ["psnr", "ssim", "edge error"]


def test_a_set_is_perfectly_itself(folders: tuple[Path, Path]) -> None:
    scores = evaluate_pairs(str(folders[1]), str(folders[1]))["scores"]
    assert {name: told["value"] for name, told in scores.items()} == pytest.approx(
        {"psnr": 100, "ssim": 1, "edge error": 0, "colour error": 0}
    )


def test_what_has_no_counterpart_is_named(folders: tuple[Path, Path]) -> None:
    noisy, originals = folders
    (noisy / "000.bmp").rename(noisy / "lonely.bmp")
    Image.new("RGB", (50, 50)).save(noisy / "001.bmp")
    document = evaluate_pairs(str(noisy), str(originals))
    assert document["scores"]["psnr"]["n"] == 10
    said = "\n".join(document["remarks"])
    for what in ("no counterpart: lonely.bmp", "was not judged: 000.png", "another size than its counterpart: 001.bmp"):
        assert what in said


def test_nothing_in_common_is_one_line(folders: tuple[Path, Path], photos: Callable[..., Path]) -> None:
    others = photos(3, size=(9, 9), name="others")
    with pytest.raises(DataError, match="no pair of pictures of one name and size"):
        evaluate_pairs(str(others), str(folders[1]))


def test_two_pictures_of_one_stem_are_refused(folders: tuple[Path, Path]) -> None:
    Image.new("RGB", (40, 36)).save(folders[0] / "000.png")
    with pytest.raises(DataError, match="have one stem"):
        evaluate_pairs(*map(str, folders))


def test_alpha_is_over_black_and_depth_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (3, 24, 24, 1)).astype(np.uint16)
    np.savez(tmp_path / "deep.npz", images=deep)
    np.savez(tmp_path / "flat.npz", images=(deep // 257).astype(np.uint8))
    told = evaluate_pairs(str(tmp_path / "flat.npz"), str(tmp_path / "deep.npz"), metrics=["psnr"])["scores"]["psnr"]
    assert 50 < told["value"] < 60  # a rounding of half a grey level, not less
    colours = rng.integers(0, 256, (3, 24, 24, 4), np.uint8)
    half = colours[..., :3] * (colours[..., 3:] / 255)
    np.savez(tmp_path / "clear.npz", images=colours)
    np.savez(tmp_path / "black.npz", images=np.rint(half).astype(np.uint8))
    told = evaluate_pairs(str(tmp_path / "black.npz"), str(tmp_path / "clear.npz"), metrics=["psnr"])["scores"]["psnr"]
    assert 55 < told["value"] < 100


def test_the_command_tells_a_table_and_writes_a_certificate(folders: tuple[Path, Path], capsys: Captured) -> None:
    assert run(["evaluate", *map(str, folders), "--paired", "--channels", "y", "--border", "2"]) == 0
    said, headlines, others, last = capsys.readouterr().out.split("\n\n")
    assert said == "12 pictures of noisy against 12 of photos, seed 0"
    assert headlines.splitlines()[0].split() == ["value", "95", "%", "interval"]
    assert headlines.splitlines()[1].split()[:4] == ["psnr", "larger", "is", "better"]
    assert "edge error" in others
    path = last.removeprefix("certificate: ").strip()
    assert json.loads(Path(path).read_text()) == evaluate_pairs(*map(str, folders), channels="y", border=2)
    assert run(["compare", path, path]) == 0
