"""Enlargement by any factor and to a size: the right size and values, tiles that equal the whole, alpha with care."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.edits import engine, tiles
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.enlarge import Resized, ToSide, Twice, by_factor
from pinxit.edits.resampling import placed, repeated, resampled
from pinxit.edits.settings import Upscale
from pinxit.edits.tiles import Box
from pinxit.errors import UsageError
from pinxit.images import Picture, load_image, resize

PHOTO = resize(load_image(Path(__file__).parents[1] / "fixtures/photo.png")[..., :3], (45, 70))


class Doubled(Bound):
    """A stand-in for a network: it enlarges bilinearly and reaches one pixel."""

    radius, enlarges_alpha = 1, True

    def __init__(self, scale: int = 2, shade: float = 0.0) -> None:
        self.scale, self.shade = scale, shade

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        large = F.interpolate(image[None], scale_factor=self.scale, mode="bilinear", align_corners=False)[0]
        return (large - self.shade).clamp(0, 1)


def test_a_resampled_picture_is_pillows_bicubic_and_its_windows_are_parts_of_it() -> None:
    values = torch.from_numpy(PHOTO / np.float32(255)).permute(2, 0, 1).contiguous()
    high, wide = PHOTO.shape[:2]
    for size in ((30, 50), (45, 70), (61, 100), (13, 200)):
        whole = resampled(values, (0, 0), (high, wide), Box(0, 0, *size), size)
        expected = resize(PHOTO / np.float32(255), size)
        assert np.abs(whole.permute(1, 2, 0).numpy() - expected).max() < 1e-5
        tile = Box(12, 20, 24, 44)
        place = placed(tile, (high, wide), size)
        window = tile.with_halo(12, Box(0, 0, high, wide))
        part = resampled(values[:, window.top : window.bottom, window.left : window.right], (window.top, window.left),
                         (high, wide), place, size)  # fmt: skip
        torch.testing.assert_close(part, place.of(whole.permute(1, 2, 0)).permute(2, 0, 1), rtol=0, atol=0)


def test_the_places_of_tiles_cover_the_result_once() -> None:
    for result in ((45, 70), (90, 140), (61, 100), (46, 71), (359, 559)):
        count = np.zeros(result, int)
        for tile in tiles.cut(Box(0, 0, 45, 70), 16, 1):
            placed(tile, (45, 70), result).of(count)[:] += 1
        assert (count == 1).all()
    plane = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(repeated(plane, (6, 8)), plane.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("factor", [1.1, 2, 2.5, 3, 6, 8])
def test_any_factor_gives_its_size_and_tiles_that_equal_the_whole(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    four = Doubled(4)
    bound = by_factor([Doubled(2), four, Twice(four, Doubled(2))], factor)
    whole = edit_picture(Picture(PHOTO), [bound]).pixels
    assert whole.shape[:2] == (int(45 * factor + 0.5), int(70 * factor + 0.5))
    assert np.abs(whole.astype(int) - resize(PHOTO, whole.shape[:2])).mean() < 6
    monkeypatch.setattr(engine, "side_for", lambda *_: 16)
    monkeypatch.setattr(engine, "SIDE", 1)
    mask = np.zeros(PHOTO.shape[:2], np.float32)
    mask[10:30, 20:50] = 1
    np.testing.assert_array_equal(edit_picture(Picture(PHOTO), [bound]).pixels, whole)
    masked = edit_picture(Picture(PHOTO), [bound], mask).pixels
    inside = repeated(mask, whole.shape[:2]) > 0
    np.testing.assert_array_equal(masked[inside], whole[inside])
    np.testing.assert_array_equal(masked[~inside], resize(PHOTO, whole.shape[:2])[~inside])


def test_to_is_the_longer_side_of_every_picture() -> None:
    bound = ToSide([Doubled(2), Doubled(4), Twice(Doubled(4), Doubled(2))], 140)
    assert edit_picture(Picture(PHOTO), [bound]).pixels.shape == (90, 140, 3)
    assert edit_picture(Picture(PHOTO[:, :40]), [bound]).pixels.shape == (140, 124, 3)
    assert isinstance(bound.for_picture(PHOTO), Doubled)
    assert isinstance(bound.for_picture(PHOTO[:, :60]), Resized)
    for side, pixels, line in ((70, PHOTO, "it has to be longer"), (700, PHOTO, "it can grow 8 times at most")):
        with pytest.raises(UsageError, match=f"--to {side}: the longer side has 70 pixels; {line}"):
            edit_picture(Picture(pixels), [ToSide([Doubled()], side)])


def test_alpha_is_enlarged_as_a_grey_picture_and_stays_exact_where_it_is_flat() -> None:
    """A network that darkens everything leaves opaque parts opaque, and hidden colours show nowhere."""
    alpha = np.zeros((40, 50, 1), np.uint8)
    alpha[8:32, 10:40] = 255
    alpha[18:22, 20:30] = 128
    colours = np.where(alpha > 0, np.uint8([200, 30, 30]), np.uint8([0, 255, 0]))
    picture = Picture(np.concatenate([colours, alpha], axis=2))
    for bound in (Doubled(2, 0.1), Resized(Doubled(4, 0.1), 2.5)):
        edited = edit_picture(picture, [bound]).pixels
        grey = edit_picture(Picture(alpha), [bound]).pixels
        known = repeated(alpha[..., 0], edited.shape[:2])
        assert (edited[..., 3][: int(5 * edited.shape[0] / 40)] == 0).all()
        edge = edited[..., 3] != known
        np.testing.assert_array_equal(edited[..., 3][edge], grey[..., 0][edge])
        assert edge.any()
        assert (edited[..., 1] <= 30).all()
    opaque = Picture(np.concatenate([PHOTO, np.full_like(PHOTO[..., :1], 255)], axis=2))
    assert (edit_picture(opaque, [Doubled(2, 0.1)]).pixels[..., 3] == 255).all()


def test_the_networks_that_ship_enlarge_by_any_factor_and_recipes_stay_as_they_were() -> None:
    small = Picture(PHOTO[:12, :16])
    for settings, size in ((Upscale(scale=3), (36, 48)), (Upscale(to=20), (15, 20)), (Upscale(scale=5), (60, 80))):
        edited = edit_picture(small, [settings]).pixels
        assert edited.shape[:2] == size
        assert np.abs(edited.astype(int) - resize(small.pixels, size)).mean() < 16
    assert Upscale(scale=2).model_dump(mode="json") == {"runtime": "torch", "scale": 2, "fidelity": 0.0, "model": None}
    assert repr(Upscale().model_dump(mode="json")["scale"]) == "2"
    assert Upscale.parse({"scale": "2.5"}).scale == 2.5
    assert Upscale(to=20).model_dump(mode="json")["to"] == 20
