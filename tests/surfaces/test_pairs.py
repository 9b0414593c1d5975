"""`pinxit evaluate A B --paired`: picture against picture of the same name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pinxit.cli import run
from pinxit.errors import DataError, UsageError
from pinxit.evaluation import pairs
from pinxit.evaluation.certificate import compare
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


def test_what_the_pictures_allow_is_computed_by_default(folders: tuple[Path, Path]) -> None:
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
    for what in (
        "no counterpart: lonely.bmp",
        "only in the reference: 000.png",
        "another size than its counterpart: 001.bmp",
    ):
        assert what in said


def test_nothing_in_common_is_one_line(folders: tuple[Path, Path], photos: Callable[..., Path]) -> None:
    others = photos(3, size=(9, 9), name="others")
    with pytest.raises(DataError, match="no pair of pictures with the same name and size"):
        evaluate_pairs(str(others), str(folders[1]))


def test_no_pair_is_one_line_before_the_work(
    folders: tuple[Path, Path], photos: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = photos(1, size=(40, 37), name="alone")
    monkeypatch.setattr(pairs, "_batches", None)
    with pytest.raises(DataError, match="have no pair of pictures with the same name and size"):
        evaluate_pairs(str(alone), str(folders[1]))


def test_one_pair_of_many_pictures_is_compared_and_said(
    folders: tuple[Path, Path], photos: Callable[..., Path]
) -> None:
    document = evaluate_pairs(str(photos(1, size=(40, 36), name="alone")), str(folders[1]), metrics=["psnr"])
    assert document["scores"]["psnr"]["n"] == 1
    assert "one pair: the values have no interval, and say nothing about other pictures" in document["remarks"]


@pytest.mark.parametrize("channels", ["rgb", "y", "grey"])
@pytest.mark.parametrize("grey_first", [True, False])
def test_a_grey_picture_is_its_colour_twin(
    photos: Callable[..., Path], tmp_path: Path, channels: str, grey_first: bool
) -> None:
    grey, colour = photos(3, mode="L", size=(30, 30)), tmp_path / "colour"
    colour.mkdir()
    for number, path in enumerate(sorted(grey.iterdir())):
        Image.open(path).convert("RGBA" if number else "RGB").save(colour / path.name)
    both = (grey, colour) if grey_first else (colour, grey)
    told = evaluate_pairs(*map(str, both), metrics=["psnr"], channels=channels)["scores"]["psnr"]
    assert told["each"] == [100, 100, 100]


def test_grey_beside_grey_keeps_its_own_values(photos: Callable[..., Path]) -> None:
    one, other = (str(photos(3, mode="L", size=size, name=name)) for name, size in (("a", (9, 8)), ("b", (9, 8))))
    for path in Path(other).iterdir():
        Image.open(path).point(lambda value: min(255, value + 4)).save(path)
    for channels in ("y", "grey"):
        told = evaluate_pairs(one, other, metrics=["psnr"], channels=channels)["scores"]["psnr"]
        assert told["value"] == pytest.approx(-20 * np.log10(4 / 255), abs=0.2)


@pytest.mark.parametrize("channels", ["rgb", "y", "grey"])
def test_grey_and_colour_stand_in_one_set(photos: Callable[..., Path], channels: str) -> None:
    folder = str(photos(3))
    Image.new("L", (20, 20), 9).save(Path(folder) / "grey.png")
    assert evaluate_pairs(folder, folder, metrics=["psnr"], channels=channels)["scores"]["psnr"]["each"] == [100] * 4


def test_the_reference_decides_the_order(folders: tuple[Path, Path]) -> None:
    noisy, originals = folders
    for folder, suffix in ((noisy, ".bmp"), (originals, ".png")):
        (folder / f"000.c{suffix}").write_bytes((folder / f"001{suffix}").read_bytes())
    before = evaluate_pairs(str(noisy), str(originals), metrics=["psnr"])
    (noisy / "000.bmp").rename(noisy / "000.png")  # goes behind 000.c.bmp
    after = evaluate_pairs(str(noisy), str(originals), metrics=["psnr"])
    assert before["names"][:3] == after["names"][:3] == ["000.c.png", "000.png", "001.png"]
    assert [told["scores"]["psnr"]["pairs"] for told in (before, after)] == [before["scores"]["psnr"]["pairs"]] * 2
    assert before["scores"]["psnr"]["each"] == after["scores"]["psnr"]["each"]


def test_other_pairs_are_not_compared(folders: tuple[Path, Path]) -> None:
    noisy, originals = folders
    documents = []
    for name in ("002.bmp", "004.bmp"):
        (noisy / name).rename(noisy / "away.bmp")
        documents.append(evaluate_pairs(str(noisy), str(originals), metrics=["psnr"]))
        (noisy / "away.bmp").rename(noisy / name)
    with pytest.raises(DataError, match=r"^not comparable: pairs is .* \(other pairs were compared\)$"):
        compare(*documents)


def test_no_batch_has_more_pixels_than_its_own_size_allows(
    photos: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, seen = photos(2, size=(16, 16)), []
    for number in range(5):
        Image.new("RGB", (64, 48)).save(small / f"large{number}.png")
    Image.new("RGB", (200, 200)).save(small / "larger.png")

    def measure(images: torch.Tensor, originals: torch.Tensor) -> torch.Tensor:
        seen.append((len(images), *images.shape[2:]))
        return METRICS["psnr"].measure(images, originals)

    monkeypatch.setattr(pairs, "PIXELS_AT_ONCE", 2 * 64 * 48)
    monkeypatch.setattr(pairs, "METRICS", {"psnr": replace(METRICS["psnr"], measure=measure)})
    evaluate_pairs(str(small), str(small))
    assert seen == [(2, 16, 16), (2, 48, 64), (2, 48, 64), (1, 48, 64), (1, 200, 200)]


def test_what_the_smallest_picture_does_not_allow_is_named(folders: tuple[Path, Path]) -> None:
    noisy, originals = map(str, folders)
    said = evaluate_pairs(noisy, originals, border=4)["remarks"]
    assert said[0] == "left out, ms-ssim needs sides of 176 pixels: 003.png has 40 x 30, less a border of 4"
    assert [remark.split()[2] for remark in said] == ["ms-ssim", "lpips-like[lite0]"]


def test_metrics_that_are_not_possible_are_refused_before_the_work(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy, originals = map(str, folders)
    monkeypatch.setattr(pairs, "_batches", None)
    with pytest.raises(DataError, match=r"^ms-ssim needs sides of 176 pixels: 003\.png has 40 x 30$"):
        evaluate_pairs(noisy, originals, metrics=["psnr", "ms-ssim"])
    with pytest.raises(UsageError, match=r"003\.png has 40 x 30, less a border of 15: .*0 to 14"):
        evaluate_pairs(noisy, originals, border=15)
    for channels in ("y", "grey"):
        with pytest.raises(UsageError, match="colour error compares colours"):
            evaluate_pairs(noisy, originals, metrics=["colour error"], channels=channels)


def test_the_largest_border_that_leaves_something_is_taken(folders: tuple[Path, Path]) -> None:
    assert list(evaluate_pairs(*map(str, folders), border=14)["scores"]) == ["psnr", "edge error", "colour error"]


def test_two_pictures_of_one_stem_are_refused(folders: tuple[Path, Path]) -> None:
    Image.new("RGB", (40, 36)).save(folders[0] / "000.png")
    with pytest.raises(DataError, match="have the same stem"):
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


def test_the_command_prints_a_table_and_writes_a_certificate(folders: tuple[Path, Path], capsys: Captured) -> None:
    assert run(["evaluate", *map(str, folders), "--paired", "--channels", "y", "--border", "2"]) == 0
    said, headlines, others, remarks, last = capsys.readouterr().out.split("\n\n")
    assert said == "12 pictures of noisy against 12 of photos, seed 0"
    assert headlines.splitlines()[0].split() == ["value", "95", "%", "interval"]
    assert headlines.splitlines()[1].split()[:4] == ["psnr", "larger", "is", "better"]
    assert "edge error" in others
    assert "ms-ssim needs sides of 176 pixels" in remarks
    path = last.removeprefix("certificate: ").strip()
    assert json.loads(Path(path).read_text()) == evaluate_pairs(*map(str, folders), channels="y", border=2)
    assert run(["compare", path, path]) == 0
