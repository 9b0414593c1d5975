"""The fidelity setting, and the map of where an enlarged picture contradicts its original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from test_restore_edits import untrained
from torch import Tensor
from torch.nn import functional as F

from pinxit.cli import run
from pinxit.degradations import resize_bicubic
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.restore import HOTTEST, Faithful, disagreement, heat
from pinxit.edits.settings import Upscale
from pinxit.errors import UsageError
from pinxit.images import Picture, load_image

PHOTO = data.astronaut()[20:141, 130:275]
IMAGE = torch.from_numpy(PHOTO).permute(2, 0, 1).float() / 255 * 0.5 + 0.25


class Blocks(Bound):
    """Repeats each pixel `scale` x `scale` times and makes all of them a tenth too dark."""

    radius = 0

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        return 0.9 * F.interpolate(image[None], scale_factor=self.scale)[0]


def residual(large: Tensor) -> Tensor:
    return IMAGE - resize_bicubic(large, IMAGE.shape[1:])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_dial_goes_in_a_line_to_a_result_that_made_small_is_the_picture(scale: int) -> None:
    nothing, half, whole = (residual(Faithful(Blocks(scale), dial).run(IMAGE, None)) for dial in (0, 0.5, 1))
    assert nothing.abs().mean() > 0.04
    assert whole.abs().mean() < 0.01 * nothing.abs().mean()
    assert torch.allclose(half, (nothing + whole) / 2, atol=1e-4)


@pytest.mark.parametrize("scale", [2, 3])
def test_one_round_is_that_of_irani_and_peleg(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The residual, enlarged by bicubic interpolation (by Pillow), is added."""
    monkeypatch.setattr("pinxit.edits.restore.ROUNDS", 1)
    start = Blocks(scale).run(IMAGE, None)
    lacks = [Image.fromarray(plane.numpy()) for plane in residual(start)]
    size = start.shape[2], start.shape[1]
    added = np.stack([np.asarray(plane.resize(size, Image.Resampling.BICUBIC)) for plane in lacks])
    inside = np.s_[:, 4 * scale : -4 * scale, 4 * scale : -4 * scale]  # Pillow does not mirror the edges
    expected = (start + torch.from_numpy(added)).clamp(0, 1)
    assert torch.allclose(Faithful(Blocks(scale), 1).run(IMAGE, None)[inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_pixel_looks_as_far_as_is_said_and_no_farther(scale: int) -> None:
    bound, image = Faithful(Blocks(scale), 1), torch.zeros(1, 71, 71, dtype=torch.float64)
    image[0, 35, 35] = 1
    changed = bound.run(image, None)[0].nonzero() // scale
    assert (changed - 35).abs().max() == bound.radius


def test_the_dial_of_upscale_is_that(tmp_path: Path) -> None:
    model = untrained(tmp_path / "x.safetensors", degrade="downscale(scale=2)")
    means = []
    for dial in (0, 0.3, 1):
        enlarged = edit_picture(Picture(PHOTO), [Upscale(model=model, fidelity=dial)])
        means.append(disagreement(Picture(PHOTO), enlarged).mean())
    assert means[0] > means[1] > means[2] < 0.01


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_map_is_the_largest_difference_of_the_colours_once_small_again(scale: int, depth: type) -> None:
    rng, top = np.random.default_rng(0), np.iinfo(depth).max
    before = rng.integers(0, top, (300, 270, 3), depth)
    after = rng.integers(0, top, (300 * scale, 270 * scale, 3), depth)
    small = resize_bicubic(torch.from_numpy(after / top).permute(2, 0, 1), (300, 270)).permute(1, 2, 0).numpy()
    expected = np.abs(small - before / top).max(axis=2).clip(0, 1)
    np.testing.assert_allclose(disagreement(Picture(before), Picture(after)), expected, atol=1e-5)


def test_on_the_map_what_no_one_sees_agrees_and_grey_is_a_colour() -> None:
    alpha = np.where(np.arange(145) < 50, 0, 90).astype(np.uint8)[None, :, None].repeat(121, 0)
    before, after = np.concatenate([PHOTO, alpha], 2), np.concatenate([255 - PHOTO, alpha], 2)
    found = disagreement(Picture(before), Picture(after))
    assert not found[:, :50].any()
    np.testing.assert_allclose(found, disagreement(Picture(PHOTO), Picture(255 - PHOTO)) * (alpha[..., 0] > 0))
    assert disagreement(Picture(PHOTO[..., :1]), Picture(PHOTO[..., :1])).max() < 1e-6
    for wrong in (PHOTO[:100], PHOTO[:60, :72], PHOTO.repeat(2, axis=0)):
        with pytest.raises(UsageError, match="a map needs"):
            disagreement(Picture(PHOTO), Picture(wrong))


def test_the_map_is_black_where_all_is_well_and_bright_where_it_is_not() -> None:
    shown = heat(np.array([[0, 1 / 4, 1 / 2, 1, 20]], np.float32))[0].astype(int)
    assert shown[0].max() < 5
    assert (np.diff(shown.sum(axis=1)) >= 0).all()
    np.testing.assert_array_equal(shown[3], shown[4])
    assert shown[3].min() > 150


def test_a_map_lies_beside_each_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(PHOTO).save(Path("in", name))
    untrained(tmp_path / "x.safetensors", degrade="downscale(scale=2)")
    words = ["edit", "upscale", "--model", "x.safetensors", "in", "-o", "out", "--map"]
    assert run(words) == 0
    enlarged = Picture(load_image(Path("out/a.png")))
    drawn = load_image(Path("out/a.png.map.png"))
    np.testing.assert_array_equal(drawn, heat(disagreement(Picture(PHOTO), enlarged) / HOTTEST))
    assert run(words) == 2
    Path("out/b.png.map.png").unlink()
    assert run([*words, "--skip-existing"]) == 0
    assert "1 of 2 results exist already" in capsys.readouterr().err
    assert Path("out/b.png.map.png").is_file()
    Path("out/b.png").unlink()
    assert run([*words[:-2], "out", "--map"]) == 2  # only the map of b.png is there: it is not replaced either
    assert run(["edit", "adjust", "out", "-o", "again"]) == 0
    assert {path.name for path in Path("again").glob("*.png")} == {"a.png"}, "a map was taken for a picture"
    assert run(["edit", "adjust", "in/a.png", "-o", "-", "--map"]) == 2
