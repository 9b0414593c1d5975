"""Wide holes: completed with pieces of the picture, narrow ones as ever, and the parts of the method by themselves."""

from __future__ import annotations

import itertools
import re
import tracemalloc

import numpy as np
import pytest
from skimage import data
from test_fill import Means, hole

from pinxit.edits.cuts import cheapest
from pinxit.edits.engine import edit_picture
from pinxit.edits.lines import lines_through
from pinxit.edits.montage import Level, correction
from pinxit.edits.restore import Fill
from pinxit.edits.settings import Inpaint
from pinxit.edits.wide import NARROW, WIDE, Completed, narrowness, opened
from pinxit.errors import MemoryLimitError, UsageError
from pinxit.images import Picture, resize
from pinxit.jobs.recipe import EditRecipe

pytestmark = pytest.mark.usefixtures("quick_pieces")
TILE = np.random.default_rng(0).integers(60, 200, (12, 12, 3), dtype=np.uint8)
PATTERN = np.tile(TILE, (9, 10, 1))
MASK = hole(PATTERN.shape[:2], 30, 35, 70, 80)


def pieces(**settings: object) -> Completed:
    return Completed(Means(), "cpu", **settings)


def test_a_pattern_is_completed_exactly_at_any_depth_and_in_grey() -> None:
    for pixels in (PATTERN, PATTERN[..., :1], PATTERN.astype(np.uint16) * 257, PATTERN.astype(np.float32) / 255):
        holed = np.where(MASK[..., None] > 0, 0, pixels).astype(pixels.dtype)
        filled = edit_picture(Picture(holed), [pieces()], MASK).pixels
        away = np.abs(filled.astype(float) - pixels) * (255 / {"uint8": 255, "uint16": 65535}.get(pixels.dtype.name, 1))
        assert away.max() <= 1
        np.testing.assert_array_equal(filled[MASK == 0], pixels[MASK == 0])


def test_a_picture_is_extended_by_its_pattern() -> None:
    wider = edit_picture(Picture(PATTERN), [pieces(padding=((0, 0), (0, 48)))]).pixels
    assert np.abs(wider.astype(int) - np.tile(TILE, (9, 14, 1))).max() <= 1


def test_narrow_holes_are_filled_bit_for_bit_as_without_pieces() -> None:
    photo = data.astronaut()[:120, 150:300]
    mask = hole(photo.shape[:2], 20, 10, 20 + NARROW - 1, 140)
    mask[80:84, 5:140] = 1
    smooth = edit_picture(Picture(photo), [Fill(Means(), "cpu")], mask).pixels
    np.testing.assert_array_equal(edit_picture(Picture(photo), [pieces()], mask).pixels, smooth)
    wide = mask + hole(photo.shape[:2], 84, 60, 120, 100)
    np.testing.assert_array_equal(edit_picture(Picture(photo), [pieces()], wide).pixels[:60], smooth[:60])


def test_what_lies_in_a_wide_hole_is_not_seen_and_a_seed_gives_the_same_bytes() -> None:
    photo = data.astronaut()[:120, 150:300]
    mask = hole(photo.shape[:2], 40, 50, 90, 110)
    other = np.where(mask[..., None] > 0, 255 - photo, photo)
    bound = pieces(seed=3)
    filled = edit_picture(Picture(photo), [bound], mask).pixels
    np.testing.assert_array_equal(filled, edit_picture(Picture(other), [bound], mask).pixels)
    assert (filled != edit_picture(Picture(photo), [Fill(Means(), "cpu")], mask).pixels).any()


def test_pieces_come_only_from_where_they_may() -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 40, (96, 150, 1)) + np.array([100, 100, 100])
    noise[:, :50] += np.array([100, 0, -60])  # red
    pixels = noise.astype(np.uint8)
    mask = hole(pixels.shape[:2], 28, 60, 68, 100)
    source = hole(pixels.shape[:2], 0, 0, 96, 45)
    reds = edit_picture(Picture(pixels), [pieces(source=Picture(np.uint8(255 * source)[..., None]))], mask).pixels
    greys = edit_picture(Picture(pixels), [pieces()], mask).pixels
    redness = [np.mean(one[44:52, 76:84, 0] - one[44:52, 76:84, 2].astype(float)) for one in (reds, greys)]
    assert redness[0] > redness[1] + 50
    with pytest.raises(UsageError, match="--source has 10 x 10 pixels and the picture 150 x 96"):
        edit_picture(Picture(pixels), [pieces(source=Picture(np.zeros((10, 10, 1), np.uint8)))], mask)


def test_where_nothing_can_be_copied_the_fill_is_smooth() -> None:
    photo = data.astronaut()[:48, 150:198]
    mask = hole(photo.shape[:2], 3, 3, 45, 45)  # no patch is known as a whole
    smooth = edit_picture(Picture(photo), [Fill(Means(), "cpu")], mask).pixels
    np.testing.assert_array_equal(edit_picture(Picture(photo), [pieces()], mask).pixels, smooth)


@pytest.mark.filterwarnings("error")
def test_a_picture_of_hardly_more_than_its_hole_is_completed_without_a_warning() -> None:
    for size in ((10, 30), (11, 60), (60, 11), (34, 35)):
        photo = data.astronaut()[: size[0], 150 : 150 + size[1]]
        mask = hole(size, 0, 0, min(20, size[0]), 20)
        assert edit_picture(Picture(photo), [pieces(keep_lines=True)], mask).pixels.shape == photo.shape


def test_completing_takes_no_more_than_the_limit_that_its_refusal_names() -> None:
    picture = Picture(resize(data.astronaut(), (200, 260)).astype(np.uint8))
    mask = hole((200, 260), 70, 100, 130, 160)
    given = picture.pixels.nbytes + mask.nbytes
    whole = edit_picture(picture, [pieces()], mask).pixels
    with pytest.raises(MemoryLimitError, match=r"too little for any tile; \d+ MB would do") as refused:
        edit_picture(picture, [pieces()], mask, memory=given)
    named = int(re.search(r"([\d,]+) MB would", str(refused.value))[1].replace(",", "")) * 1_000_000
    tracemalloc.start()
    filled = edit_picture(picture, [pieces()], mask, memory=named + 500_000).pixels
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(filled, whole)
    assert given + peak <= named + 500_000


def test_a_recipe_from_before_there_were_pieces_stays_smooth() -> None:
    about = {
        "pinxit": "0.3",
        "strength": 1,
        "max_memory": None,
        "device": "cpu",
        "mask": {},
        "drawn": None,
        "files": [],
    }
    about |= {"input": {"name": "a.png", "sha256": "0" * 64}, "weights": {}}
    old, new = ({**about, "edit": [{"name": "inpaint", **how}]} for how in ({}, Inpaint().model_dump(mode="json")))
    assert [EditRecipe.parse(one).chain()[0].wide for one in (old, new)] == ["smooth", "pieces"]
    with pytest.raises(UsageError, match="--wide smooth"):
        Inpaint(wide="smooth", keep_lines=True).bind()


# The parts of the method.


def test_the_width_of_a_hole_is_the_largest_square_that_covers_a_pixel() -> None:
    rng = np.random.default_rng(0)
    holes = np.zeros((30, 40), bool)
    for top, left, high, wide in rng.integers((0, 0, 1, 1), (30, 40, 14, 14), (10, 4)):
        holes[top : top + high, left : left + wide] = True
    for side in (2, 3, 6):
        larger, covered = np.pad(holes, side, mode="symmetric"), np.zeros((30 + 2 * side, 40 + 2 * side), bool)
        for top, left in np.ndindex(31 + side, 41 + side):
            square = np.s_[top : top + side, left : left + side]
            covered[square] |= larger[square].all()
        np.testing.assert_array_equal(opened(holes, side), covered[side:-side, side:-side])
    for side, share in ((NARROW - 1, 1), (WIDE, 0), (WIDE - 1, 1 / 3)):
        found = narrowness(hole((80, 80), 20, 20, 20 + side, 70) > 0)
        assert found[25, 40] == pytest.approx(share, abs=1e-3)
        assert not found[:20].any()


def test_a_cut_is_the_cheapest_of_all_labellings() -> None:
    rng = np.random.default_rng(0)
    pairs = np.array([(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]).T
    for _ in range(20):
        yes, costs = rng.normal(size=6).astype(np.float32), rng.uniform(0, 1, (4, 7)).astype(np.float32)
        costs[0] = np.minimum(costs[0], costs[1] + costs[2] - np.minimum(costs[3], costs[1] + costs[2]))
        costs[3] = np.minimum(costs[3], costs[1] + costs[2] - costs[0])

        def price(labels: np.ndarray, yes: np.ndarray = yes, costs: np.ndarray = costs) -> float:
            return yes[labels].sum() + costs[2 * labels[pairs[0]] + labels[pairs[1]], np.arange(7)].sum()

        best = min(price(np.array(labels)) for labels in itertools.product((False, True), repeat=6))
        assert price(cheapest(yes, (pairs[0], pairs[1]), costs)) == pytest.approx(best, abs=1e-3)


def test_straight_edges_are_found_and_their_colours_go_on() -> None:
    rows, columns = np.mgrid[:60, :80]
    image = np.where(rows > 20 + columns / 4, np.float32(0.8), np.float32(0.2))[..., None]
    holes = hole((60, 80), 15, 25, 50, 55) > 0
    (line,) = lines_through(np.where(holes[..., None], 0, image), holes)
    assert abs(np.degrees(np.arctan2(*line.direction)) - np.degrees(np.arctan(1 / 4))) % 180 < 4
    near = np.argwhere(holes & (np.abs(rows - 20 - columns / 4) < 4) & (np.abs(rows - 20 - columns / 4) > 1.5))
    np.testing.assert_allclose(line.colours(image, near), image[tuple(near.T)], atol=0.1)
    assert lines_through(np.full_like(image, 0.5), holes) == []


def test_a_line_is_kept_where_nothing_else_asks_for_it() -> None:
    """A grey stripe over noise; the hole is longer than all else that is known of the stripe."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(100, 130, (90, 140, 1), dtype=np.uint8)
    pixels[42:48] = rng.integers(20, 30, (6, 140, 1), dtype=np.uint8)
    mask = hole(pixels.shape[:2], 20, 45, 70, 105)
    kept = edit_picture(Picture(pixels), [pieces(keep_lines=True)], mask).pixels
    assert kept[43:47, 50:100].mean() < 60
    assert kept[25:35, 50:100].mean() > 90


def test_a_copy_takes_the_light_of_its_surroundings() -> None:
    """A piece from darker pixels of the same slope becomes the slope itself: the correction is a harmonic function."""
    ramp = np.linspace(0.2, 0.8, 60, dtype=np.float32)[None, :, None].repeat(40, axis=0)
    holes = hole((40, 60), 12, 34, 28, 50) > 0
    level = Level(ramp, holes, ~holes)
    offsets = np.zeros((holes.size, 2), np.int32)
    offsets[level.pixels] = 0, -25
    copy = ramp.reshape(-1, 1)[level.pixels - 25]
    change = correction(level, offsets, np.zeros_like(copy))
    assert np.abs(ramp.reshape(-1, 1)[level.pixels] - copy).min() > 0.2  # before
    assert np.abs(copy + change - ramp.reshape(-1, 1)[level.pixels]).max() < 0.03
