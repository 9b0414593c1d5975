"""Masks: every way to choose, what they have in common, and how they grow and fade."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt

from pinxit.edits import edit
from pinxit.edits import nearest as nearest_pixels
from pinxit.edits.drawn import NO_PIXEL, is_faint, understood
from pinxit.edits.mask import Mask
from pinxit.errors import UsageError
from pinxit.images import Picture

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8)
COLOUR[10:15, 20:25] = (250, 10, 0)
PICTURE = Picture(COLOUR)


def weights(picture: Picture = PICTURE, mask: Picture | np.ndarray | None = None, **settings: object) -> np.ndarray:
    found = Mask.parse(settings).weights(picture, mask)
    assert found is not None
    assert (found.dtype, found.shape) == (np.float32, picture.pixels.shape[:2])
    return found


def test_nothing_chosen_is_no_mask() -> None:
    assert Mask().weights(PICTURE) is None
    for settings in ({"grow": 3}, {"feather": 3}, {"invert": True}):
        with pytest.raises(UsageError, match="need a mask"):
            Mask.parse(settings).weights(PICTURE)


@pytest.mark.parametrize("box", [(3, 4, 5, 6), "3,4,5,6", [3, 4, 5, 6]])
def test_a_box_is_x_y_width_height(box: object) -> None:
    expected = np.zeros((30, 40))
    expected[4:10, 3:8] = 1
    np.testing.assert_array_equal(weights(box=box), expected)
    assert weights(box=(38, 28, 9, 9)).sum() == 4


def test_a_colour_is_within_the_tolerance_of_each_channel() -> None:
    for colour in ("#ff0000", "red", "rgb(255, 0, 0)"):
        found = weights(colour=colour, tolerance=0.04)  # 10.2 of 255
        assert found[10:15, 20:25].all()
        np.testing.assert_array_equal(found, (np.abs(COLOUR - [255.0, 0, 0]) <= 10).all(axis=2))
    deep = Picture(COLOUR.astype(np.uint16) * 257)
    np.testing.assert_array_equal(weights(deep, colour="red", tolerance=0.04), found)
    assert weights(colour="#fa0a00", tolerance=0)[12, 22] == 1
    assert weights(Picture(np.uint8([[[255, 20, 0]]])), colour="red", tolerance=0.04).tolist() == [[0]]
    grey = Picture(np.uint8([[[250], [100]]]))
    assert weights(grey, colour="white", tolerance=0.02).tolist() == [[1, 0]]


def test_brightness_is_the_luma_of_the_files_numbers() -> None:
    luma = COLOUR @ np.array([0.2126, 0.7152, 0.0722]) / 255
    found = weights(brightness="0.3..0.5")
    sure = (np.abs(luma - 0.3) > 1e-5) & (np.abs(luma - 0.5) > 1e-5)
    np.testing.assert_array_equal(found[sure], ((luma >= 0.3) & (luma <= 0.5))[sure])
    assert weights(Picture(np.uint8([[[0], [255]]])), brightness=(1, 1)).tolist() == [[0, 1]]


def test_a_drawn_mask_is_white_where_to_change_and_transparent_is_black() -> None:
    grey = RNG.integers(0, 256, (30, 40, 1), dtype=np.uint8)
    np.testing.assert_allclose(weights(mask=Picture(grey)), grey[..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(weights(mask=Picture(grey.astype(np.uint16) * 257)), grey[..., 0] / 255, atol=1e-6)
    white = np.full((30, 40, 4), 255, np.uint8)
    white[..., 3:] = grey
    np.testing.assert_allclose(weights(mask=Picture(white)), grey[..., 0] / 255, atol=1e-6)
    np.testing.assert_array_equal(weights(mask=grey[..., 0] > 99), grey[..., 0] > 99)
    np.testing.assert_array_equal(weights(mask=grey[..., 0] / np.float32(255)), grey[..., 0] / np.float32(255))


def test_all_ways_that_are_given_must_agree() -> None:
    found = weights(mask=np.arange(40) / 39 * np.ones((30, 1)), box=(0, 0, 30, 12), colour="red", tolerance=0.04)
    expected = np.zeros((30, 40))
    expected[10:12, 20:25] = np.arange(20, 25) / 39
    others = (np.abs(COLOUR - [255.0, 0, 0]) <= 10).all(axis=2)
    others[10:15, 20:25] = False
    assert not others.any()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_growing_is_dilation_by_a_disc_and_comes_after_inverting() -> None:
    chosen = RNG.random((30, 40)) > 0.99
    for grow in (1, 2.5, 4):
        reach = np.arange(-5, 6)
        disc = reach[:, None] ** 2 + reach**2 <= grow**2
        np.testing.assert_array_equal(weights(mask=chosen, grow=grow), binary_dilation(chosen, disc))
        np.testing.assert_array_equal(weights(mask=chosen, grow=grow, invert=True), binary_dilation(~chosen, disc))


def test_feathering_fades_in_a_line_and_ends() -> None:
    chosen = np.zeros((30, 40), bool)
    chosen[:, :10] = True
    row = weights(mask=chosen, grow=3, feather=4)[15]
    np.testing.assert_allclose(row[:20], [1] * 13 + [0.75, 0.5, 0.25] + [0] * 4, atol=1e-6)
    assert (row[16:] == 0).all()  # exactly: outside, no bit changes
    soft = weights(mask=np.where(chosen, 1, 0.25), feather=2)[15]
    np.testing.assert_allclose(soft[8:13], [1, 1, 0.5, 0.25, 0.25], atol=1e-6)
    assert (weights(mask=np.zeros((30, 40)), grow=9, feather=9) == 0).all()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"box": "1,2,3"}, "box"),
        ({"box": (1, 2, 0, 3)}, "greater than or equal to 1"),
        ({"box": "a,b,c,d"}, "box"),
        ({"colour": "reddish"}, "unknown color specifier"),
        ({"brightness": "0.5..0.2"}, "should go up"),
        ({"brightness": "0..2"}, "should be within 0 and 1"),
        ({"feather": -1}, "feather"),
        ({"collor": "red"}, "did you mean 'colour'"),
    ],
)
def test_what_is_no_mask_is_one_line(settings: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        Mask.parse(settings)
    assert "\n" not in str(caught.value)


def test_a_mask_that_does_not_fit_the_picture_is_refused() -> None:
    with pytest.raises(UsageError, match="the mask has 40 x 31 pixels and the picture 40 x 30"):
        weights(mask=np.ones((31, 40)))
    with pytest.raises(UsageError, match="starts at 40, 0, outside the picture of 40 x 30"):
        weights(box=(40, 0, 1, 1))
    for wrong in (np.full((30, 40), 2.0), np.full((30, 40), np.nan), np.ones((30, 40), int), np.ones((30, 40, 1))):
        with pytest.raises(UsageError, match="a mask array is"):
            weights(mask=wrong)


def test_a_mask_survives_json() -> None:
    mask = Mask(box=(1, 2, 3, 4), colour="#fff", brightness=(0.2, 0.4), grow=2, feather=3, invert=True)
    assert Mask.parse(json.loads(json.dumps(mask.model_dump(mode="json")))) == mask


def test_the_nearest_pixel_is_the_one_scipy_finds_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        monkeypatch.setattr(nearest_pixels, "STRIP", int(rng.integers(1, 400)))
        chosen = rng.random(tuple(rng.integers(1, 40, 2))) < rng.choice([0.01, 0.1, 0.5, 0.9])
        chosen[-1, number % chosen.shape[1]] = True
        away, (rows, columns) = distance_transform_edt(~chosen, return_indices=True)
        for reach in (3.5, 1000):
            given = np.zeros(chosen.shape, bool)
            for part in nearest_pixels.nearest(chosen, reach):
                near = away[part.strip] <= reach
                given[part.strip] = True
                assert part.found[near].all()
                np.testing.assert_array_equal(np.sqrt(part.squares())[near], away[part.strip][near])
                np.testing.assert_array_equal(part.rows[near], rows[part.strip][near])
                np.testing.assert_array_equal(part.columns[near], columns[part.strip][near])
            assert chosen[~given].all()


def test_a_mask_takes_little_more_memory_than_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances of the whole picture at once take 60 bytes for each pixel."""
    monkeypatch.setattr(nearest_pixels, "STRIP", 1 << 14)
    drawn = np.zeros((600, 600, 1), np.uint8)
    drawn[200:300] = 255
    picture = Picture(np.zeros((600, 600, 3), np.uint8))
    tracemalloc.start()
    weights(picture, Picture(drawn), grow=5, feather=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * drawn.size


DRAWN = np.zeros((6, 8, 1), np.uint8)
DRAWN[2:4, 3:6] = 1


def test_a_mask_means_the_same_however_it_is_drawn() -> None:
    full, white = DRAWN * np.uint8(255), np.full_like(DRAWN, 255)
    alpha = np.where(full > 0, full, np.uint8(0))
    red, kept = np.concatenate([DRAWN * 128, 0 * full, 0 * full], axis=2), (DRAWN * 200).astype(np.uint8)
    kinds = {
        "white on black": (full, ""),
        "0 and 1": (DRAWN, "read with 1, its largest value, as white"),
        "0 and 1 in colour": (DRAWN.repeat(3, axis=2), "read with 1"),
        "0 and 1, opaque": (np.concatenate([DRAWN.repeat(3, axis=2), white], axis=2), "read with 1"),
        "0 and 1 of 16 bits": (DRAWN.astype(np.uint16), "read with 1"),
        "8 bits in 16": (full.astype(np.uint16), "read with 255"),
        "12 bits in 16": (DRAWN.astype(np.uint16) * np.uint16(4095), "read with 4095"),
        "black in the alpha": (np.concatenate([0 * full.repeat(3, axis=2), alpha], axis=2), "drawn in its alpha"),
        "red in the alpha": (np.concatenate([255 - 0 * full, 0 * full, 0 * full, alpha], axis=2), "drawn in its alpha"),
        "white in the alpha": (np.concatenate([white.repeat(3, axis=2), alpha], axis=2), ""),
        "red, as VOC": (red, "drawn in colours"),
        "1, 0, 0": (red // 128, "drawn in colours"),
        "red, opaque": (np.concatenate([red, white], axis=2), "drawn in colours"),
    }
    for name, (pixels, remark) in kinds.items():
        mask, remarks = understood(Picture(pixels))
        np.testing.assert_array_equal(weights(Picture(full), mask), DRAWN[..., 0], err_msg=name)
        assert [one.startswith(remark) for one in remarks] == [True] * bool(remark), name
        assert not is_faint(mask), name
    soft = Picture(kept)
    assert understood(soft) == (soft, ())
    assert is_faint(Picture(DRAWN * 20))
    assert not is_faint(Picture(DRAWN * 200))


def test_a_threshold_counts_pixels_in_full_or_not_at_all() -> None:
    greys = np.uint8([[[0], [20], [127], [128], [255]]])
    for threshold, expected in ((0, [0, 1, 1, 1, 1]), (0.5, [0, 0, 0, 1, 1]), (0.51, [0, 0, 0, 0, 1])):
        assert weights(Picture(greys), Picture(greys), mask_threshold=threshold).tolist() == [expected]
    assert weights(Picture(greys), Picture(greys), mask_threshold=0.5, invert=True).tolist() == [[1, 1, 1, 0, 0]]


def test_an_edit_whose_mask_is_empty_says_so_and_one_that_adds_pixels_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    empty = np.zeros((30, 40))
    for chain in ("adjust(exposure=1)", "erase", "upscale | adjust"):
        edited = edit(PICTURE, chain, mask=empty)
        assert NO_PIXEL in capsys.readouterr().err
        assert (edited.pixels.shape != COLOUR.shape) or (edited.pixels == COLOUR).all()
    edit(PICTURE, "adjust(exposure=1)", area=Mask(colour="#010203", tolerance=0))
    assert NO_PIXEL in capsys.readouterr().err
    edit(PICTURE, "outpaint(pixels=4)", mask=empty)
    edit(PICTURE, "adjust", mask=empty + 1)
    assert NO_PIXEL not in capsys.readouterr().err
