"""Filled holes: hidden pixels have no influence, known ones stay, any width works; erasing and outpainting."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from skimage import data
from test_engine import small_tiles
from test_restore_edits import untrained
from torch import Tensor
from torch.nn import functional as F

from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.restore import RIM, Fill, halved
from pinxit.edits.settings import Erase, Inpaint, Outpaint, Upscale
from pinxit.errors import MemoryLimitError, UsageError
from pinxit.images import Picture, resize

pytestmark = pytest.mark.usefixtures("quick_pieces")
PHOTO = data.astronaut()[20:141, 130:275]


class Means(Bound):
    """Fills a pixel with the mean of the known pixels within `RIM`, and with black if there are none."""

    radius = RIM

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        known = (mask == 0).float()
        total, count = (
            F.avg_pool2d(plane[None], 2 * RIM + 1, 1, RIM, divisor_override=1)[0] for plane in (image * known, known)
        )
        return torch.where(known > 0, image, total / count.clamp(min=1)).clamp(0, 1)


def means(**settings: object) -> Fill:
    return Fill(Means(), "cpu", **settings)


def hole(size: tuple[int, int], *box: int) -> np.ndarray:
    top, left, bottom, right = box
    mask = np.zeros(size, np.float32)
    mask[top:bottom, left:right] = 1
    return mask


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("model") / "weights.safetensors", degrade="pixels")


@pytest.mark.parametrize("side", [5, 2 * RIM, 2 * RIM + 1, 60, 110])
def test_a_hole_of_any_width_is_filled_from_what_is_around_it(side: int) -> None:
    plain = np.full((121, 145, 3), 150, np.uint8)
    mask = hole(plain.shape[:2], 6, 20, 6 + side, 20 + side)
    filled = edit_picture(Picture(np.where(mask[..., None] > 0, 7, plain).astype(np.uint8)), [means()], mask).pixels
    np.testing.assert_array_equal(filled, plain)


def test_a_hole_is_filled_alike_however_few_rows_are_held_as_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = hole(PHOTO.shape[:2], 3, 20, 118, 130)
    whole = edit_picture(Picture(PHOTO), [means()], mask).pixels
    for rows in (2, 6, 40):
        monkeypatch.setattr("pinxit.edits.restore.BAND", rows)
        np.testing.assert_array_equal(edit_picture(Picture(PHOTO), [means()], mask).pixels, whole)


@pytest.mark.parametrize("box", [(40, 40, 50, 50), (0, 30, 121, 100), (10, 20, 110, 145)])
def test_what_lies_in_a_hole_is_not_seen(model: Path, box: tuple[int, ...]) -> None:
    mask = hole(PHOTO.shape[:2], *box)
    other = np.where(mask[..., None] > 0, 255 - PHOTO, PHOTO)
    filled = edit_picture(Picture(PHOTO), [Inpaint(model=model)], mask).pixels
    np.testing.assert_array_equal(filled, edit_picture(Picture(other), [Inpaint(model=model)], mask).pixels)
    np.testing.assert_array_equal(filled[mask == 0], PHOTO[mask == 0])


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_tiles_of_wide_holes_cannot_be_seen(model: Path, depth: type, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, bound = PHOTO.astype(depth), Inpaint(model=model).bind()
    mask = hole(PHOTO.shape[:2], 10, 20, 110, 143)
    whole = edit_picture(Picture(pixels), [bound], mask).pixels
    small_tiles(monkeypatch)
    assert np.abs(edit_picture(Picture(pixels), [bound], mask).pixels.astype(int) - whole).max() <= 1


def test_half_the_size_is_the_mean_of_what_is_known() -> None:
    pixels = np.arange(15, dtype=np.float32).reshape(3, 5, 1) / 15
    holes = np.array([[0, 1, 1, 1, 0], [0, 1, 1, 1, 1], [1, 0, 0, 0, 1]], bool)
    half, unknown = halved(pixels, holes)
    np.testing.assert_allclose(half[..., 0] * 15, [[2.5, 0, 4], [11, 12.5, 0]], rtol=1e-6)
    np.testing.assert_array_equal(unknown, [[0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize(("margin", "fade"), [(3, 2), (0, 0), (3, 0), (0, 6), (2.5, 1.5)])
def test_erasing_takes_a_margin_beyond_the_mask_and_fades_out(model: Path, margin: float, fade: float) -> None:
    mask = hole(PHOTO.shape[:2], 40, 60, 55, 80)
    away = distance_transform_edt(mask == 0)
    edits = (Erase(model=model, margin=margin, fade=fade), Adjust(exposure=1))
    erased = edit_picture(Picture(PHOTO), edits[:1], mask).pixels
    np.testing.assert_array_equal(erased[away >= margin + fade + 1e-6], PHOTO[away >= margin + fade + 1e-6])
    assert (erased != PHOTO).any(axis=2)[away <= margin].mean() > 0.9
    filled = ((away <= margin) | (away < margin + fade)).astype(np.float32)
    plain = edit_picture(Picture(PHOTO), [Inpaint(model=model)], filled)
    np.testing.assert_array_equal(erased[away <= margin], plain.pixels[away <= margin])
    both = edit_picture(Picture(PHOTO), edits, mask).pixels  # the other edits of a chain use the mask as given
    np.testing.assert_array_equal(both[mask == 0], erased[mask == 0])
    assert both[mask > 0].mean() > erased[mask > 0].mean()


@pytest.mark.parametrize(
    ("asked", "padding"),
    [
        ({"pixels": 3}, ((3, 3), (3, 3))),
        ({"pixels": 3, "left": 0, "bottom": 50}, ((3, 50), (0, 3))),
        ({"right": 100}, ((0, 0), (0, 100))),
        ({"top": 1, "left": 2}, ((1, 0), (2, 0))),
    ],
    ids=str,
)
@pytest.mark.parametrize("masked", [False, True])
def test_outpainting_keeps_the_picture_and_fills_the_rest(
    model: Path, asked: dict[str, int], padding: tuple[tuple[int, int], ...], masked: bool
) -> None:
    mask = hole(PHOTO.shape[:2], 0, 0, 50, 145) if masked else None
    alpha = np.full_like(PHOTO[..., :1], 255)
    alpha[:, :20] = 90
    alpha[60:70] = 0
    pixels, bound = np.concatenate([PHOTO, alpha], axis=2), Outpaint(model=model, **asked).bind()
    wider = edit_picture(Picture(pixels), [bound], mask).pixels
    (top, bottom), (left, right) = padding
    assert wider.shape == (121 + top + bottom, 145 + left + right, 4)
    inside = np.s_[top : top + 121, left : left + 145]
    np.testing.assert_array_equal(wider[inside], pixels)
    np.testing.assert_array_equal(wider[..., 3], np.pad(alpha[..., 0], padding, mode="edge"))
    repeated = np.pad(pixels, (*padding, (0, 0)), mode="edge")
    changed = (wider != repeated).any(axis=2)
    assert changed.sum() > 0.5 * (changed.size - 121 * 145)


def test_in_a_chain_the_mask_grows_with_the_picture(model: Path, tmp_path: Path) -> None:
    twice = untrained(tmp_path / "twice.safetensors", degrade="downscale(scale=2)")
    wider, mask = Outpaint(model=model, right=10), hole(PHOTO.shape[:2], 0, 100, 60, 145)
    brighter = edit_picture(Picture(PHOTO), [wider, Adjust(exposure=1)], mask).pixels
    plain = edit_picture(Picture(PHOTO), [wider], mask).pixels
    assert ((brighter != plain).any(axis=2) == hole((121, 155), 0, 100, 60, 155)).mean() > 0.99
    np.testing.assert_array_equal(brighter[60:], plain[60:])
    large = edit_picture(Picture(PHOTO), [Upscale(model=twice), wider, Adjust(exposure=1)], mask).pixels
    assert large.shape == (242, 300, 3)
    alpha = np.concatenate([PHOTO, PHOTO[..., :1]], axis=2)
    large = edit_picture(Picture(alpha), [Upscale(model=twice), wider], mask).pixels
    seen = edit_picture(Picture(alpha), [Upscale(model=twice)], mask).pixels[..., 3]
    np.testing.assert_array_equal(large[..., 3], np.pad(seen, ((0, 0), (0, 10)), mode="edge"))
    assert edit_picture(Picture(alpha), [wider, Upscale(model=twice)], mask).pixels.shape == (242, 310, 4)


def test_what_cannot_be_filled_is_one_line(model: Path) -> None:
    picture, everywhere = Picture(PHOTO), np.ones(PHOTO.shape[:2], np.float32)
    for edit in (Inpaint(model=model), Erase(model=model)):
        with pytest.raises(UsageError, match="--mask"):
            edit_picture(picture, [edit])
        with pytest.raises(UsageError, match="covers the whole picture"):
            edit_picture(picture, [edit], everywhere)
    with pytest.raises(UsageError, match="--pixels"):
        Outpaint(model=model, left=0).bind()


@pytest.mark.parametrize("kind", ["wide", "narrow", "outside"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_fill_takes_no_more_than_the_limit_that_its_refusal_names(
    kind: str, depth: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinxit.edits.nearest.STRIP", 1 << 14)  # as small beside the picture as with large ones
    monkeypatch.setattr("pinxit.edits.restore.BAND", 16)
    picture = Picture(resize(PHOTO, (500, 700)).astype(depth))
    asked = {"padding": ((40, 0), (0, 50))} if kind == "outside" else {"margin": 3.0, "fade": 2.0}
    box = {"wide": (100, 150, 300, 450), "narrow": (100, 150, 104, 450)}
    mask = hole((500, 700), *box[kind]) if kind in box else None
    whole = edit_picture(picture, [means(**asked)], mask).pixels
    given = picture.pixels.nbytes + (0 if mask is None else mask.nbytes)
    with pytest.raises(MemoryLimitError, match=r"too little for any tile; \d+ MB would do") as refused:
        edit_picture(picture, [means(**asked)], mask, memory=given)
    named = int(re.search(r"(\d+) MB would", str(refused.value))[1]) * 1_000_000
    tracemalloc.start()
    with pytest.raises(MemoryLimitError):
        edit_picture(picture, [means(**asked)], mask, memory=named - 1_000_000)
    assert given + tracemalloc.get_traced_memory()[1] < named
    tracemalloc.reset_peak()
    filled = edit_picture(picture, [means(**asked)], mask, memory=named + 500_000).pixels
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(filled, whole)
    assert given + peak <= named + 500_000
