"""Laws of flicker reduction: still parts do not flicker, moving parts leave no ghost, and a cut starts again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from skimage import data

from pinxit.edits import EDITS
from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Bound, Local
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import Mask
from pinxit.errors import MemoryLimitError, UsageError
from pinxit.images import Picture, resize
from pinxit.jobs.chain import LoadedChain
from pinxit.jobs.film import PIXEL, REGION, Deflicker
from pinxit.jobs.settings import EditSettings

SIZE = 96
# Edits that make a pixel flicker because of the rest of its frame: a curve by the mean, and a colour balance.
FLICKERING = {
    "curve": Local(lambda image: image * (0.7 + 0.2 * torch.sin(3000 * image.mean()))),
    "balance": Adjust(balance="grey-world", exposure=0.3).bind(),
}
each_edit = pytest.mark.parametrize("name", FLICKERING)


def moving(noise: float = 2.0, channels: int = 3) -> Iterator[np.ndarray]:
    """A still photograph with camera noise, and a part of another photograph that moves across it."""
    rng = np.random.default_rng(0)
    still, thing = data.astronaut(), data.chelsea()[:300, 100:400]
    still, thing = (resize(one, (side, side)).astype(float) for one, side in ((still, SIZE), (thing, SIZE // 4)))
    for number in range(12):
        frame, left = still.copy(), 4 + 4 * number
        frame[32 : 32 + SIZE // 4, left : left + SIZE // 4] = thing
        yield (frame + rng.normal(0, noise, frame.shape)).clip(0, 255).round().astype(np.uint8)[..., :channels]


def edited(frames: Iterator[np.ndarray], bound: Bound, amount: float) -> list[tuple[np.ndarray, ...]]:
    """Each frame, its result alone, and its result smoothed."""
    steady, made = Deflicker(amount), []
    for frame in frames:
        alone = edit_picture(Picture(frame), [bound])
        made.append((frame, alone.pixels, steady.smooth(Picture(frame), alone).pixels))
    return made


def flicker(made: list[tuple[np.ndarray, ...]], which: int) -> float:
    """The mean change of results from frame to frame where the frames change by less than 2 of 255."""
    changes = []
    for before, after in pairwise(made):
        still = (np.abs(after[0].astype(int) - before[0]) < 2).all(axis=2)
        changes.append(np.abs(after[which].astype(int) - before[which])[still].mean())
    return float(np.mean(changes))


@each_edit
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_still_flickers_less_the_steadier_it_is(name: str, channels: int) -> None:
    if (name, channels) == ("balance", 1):
        pytest.skip("grey has no balance")
    made = [edited(moving(channels=channels), FLICKERING[name], amount) for amount in (0, 0.5, 0.8)]
    alone, half, steady = flicker(made[0], 1), flicker(made[1], 2), flicker(made[2], 2)
    assert flicker(made[0], 2) == alone
    assert half < 0.8 * alone
    assert steady < 0.5 * alone


@each_edit
def test_what_changed_is_what_it_is_alone(name: str) -> None:
    """No ghost: where a frame differs from all earlier ones, its result is bit for bit that of the frame alone."""
    compared = 0
    seen: list[np.ndarray] = []
    for frame, alone, steady in edited(moving(), FLICKERING[name], 0.8):
        if seen:
            far = np.min([np.abs(frame.astype(int) - other).max(axis=2) for other in seen[-4:]], axis=0)
            moved = far >= 2 * 255 * PIXEL
            np.testing.assert_array_equal(steady[moved], alone[moved])
            compared += moved.sum()
        seen.append(frame)
    assert compared > 500


def test_a_cut_begins_anew() -> None:
    steady, bound = Deflicker(0.8), FLICKERING["curve"]
    for frame in moving():
        steady.smooth(Picture(frame), edit_picture(Picture(frame), [bound]))
    other = Picture(255 - frame // 2)
    alone = edit_picture(other, [bound])
    share = (steady.smooth(other, alone).pixels == alone.pixels).all(axis=2).mean()
    assert share > 0.98  # all but mid greys, which inversion hardly changes


def test_a_slow_fade_is_never_far_behind() -> None:
    """Frames change slowly, and still no result lags behind by more than half of `REGION`."""
    steady, half = Deflicker(0.95), Local(lambda image: image / 2)
    for light in range(60, 200):
        frame = Picture(np.full((9, 9, 3), light, np.uint8))
        shown = steady.smooth(frame, edit_picture(frame, [half])).pixels
        assert np.abs(shown - light / 2).max() <= 255 * REGION / 2 + 1


def test_outside_the_mask_and_where_it_is_hidden_no_bit_changes() -> None:
    area, steady = Mask(box=(10, 20, 60, 40)), Deflicker(0.9)
    alpha = np.full((SIZE, SIZE, 1), 255, np.uint8)
    alpha[:30, :30], alpha[30:40, :30] = 0, 90
    bound = FLICKERING["curve"]
    for number, frame in enumerate(moving()):
        alpha[40:50, :30] = 200 + 3 * number
        picture = Picture(np.concatenate([frame, np.roll(alpha, number // 4, 1)], axis=2))
        weights = area.weights(picture)
        alone = edit_picture(picture, [bound], weights)
        shown = steady.smooth(picture, alone).pixels
        np.testing.assert_array_equal(shown[weights == 0], picture.pixels[weights == 0])
        np.testing.assert_array_equal(shown[..., 3], picture.pixels[..., 3])
        hidden = picture.pixels[..., 3] == 0
        np.testing.assert_array_equal(shown[hidden], alone.pixels[hidden])
    assert (shown != alone.pixels).any()


def test_frames_of_another_size_or_kind_begin_anew_and_enlarged_ones_are_kept_steady() -> None:
    steady = Deflicker(0.8)
    for frame in (np.zeros((4, 6, 3), np.uint8), np.zeros((5, 6, 3), np.uint8), np.zeros((5, 6, 1), np.uint16)):
        given = Picture(frame)
        for value in (40, 0):
            large = Picture(np.full((frame.shape[0] * 2, 12, frame.shape[2]), value, frame.dtype))
            shown = steady.smooth(given, large).pixels
            assert (shown == (40 if value else 32)).all()
            assert shown.dtype == frame.dtype
    with pytest.raises(UsageError, match="--steady 0"):
        steady.smooth(Picture(np.zeros((5, 6, 3), np.uint8)), Picture(np.zeros((7, 8, 3), np.uint8)))


def test_what_a_film_remembers_is_not_left_to_its_edits() -> None:
    loaded, film = LoadedChain([Adjust(exposure=1)], EditSettings(max_memory="64MB")), Deflicker(0.5)
    picture = Picture(next(moving()))
    loaded.edit_frame(picture, None, film)
    film.means = (np.zeros(9_000_000, np.float32),) * 2
    with pytest.raises(MemoryLimitError):
        loaded.edit_frame(picture, None, film)


def test_only_what_paints_is_kept_steady_unasked() -> None:
    assert {name for name, kind in EDITS.items() if kind.steady} == {"stylize"}
