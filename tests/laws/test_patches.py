"""Laws of patches: exact parts of the pictures, drawn by (seed, step, row), whatever their depth and size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pinxit.data import Batch, ImageSet, batch_at, open_data
from pinxit.data.augment import augmented
from pinxit.data.render import patch
from pinxit.data.settings import Augment, DataSettings, PatchSettings


def pictures(place: Path, dtype: type = np.uint8, size: tuple[int, int] = (40, 50)) -> ImageSet:
    """Three pictures whose every pixel has a value of its own."""
    count = 3 * size[0] * size[1]
    values = np.arange(count) % 251 if dtype == np.uint8 else np.arange(count) * 7
    np.savez(place / "set.npz", images=values.reshape(3, *size).astype(dtype))
    return open_data(str(place / "set.npz"), 0).train


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_patch_is_a_part_of_its_picture_at_its_own_resolution(tmp_path: Path, dtype: type) -> None:
    images = pictures(tmp_path, dtype)
    batch = batch_at(images, 3, 12, seed=5, size=16, fit="patch").image
    assert batch.shape == (12, 1, 16, 16)
    found = (batch.double() * np.iinfo(dtype).max).round().numpy()[:, 0]
    windows = [
        np.lib.stride_tricks.sliding_window_view(images[i][..., 0], (16, 16)).reshape(-1, 16, 16) for i in range(3)
    ]
    for row in found:
        assert any((window == row).all((1, 2)).any() for window in windows)
    assert len({row.tobytes() for row in found}) > 8


def test_patches_reach_every_edge_and_are_spread_evenly() -> None:
    picture = np.stack(np.meshgrid(np.arange(9), np.arange(12), indexing="ij"), axis=2)
    rng = np.random.default_rng(0)
    corners = np.array([patch(picture, (4, 4), place)[0, 0] for place in rng.random((4000, 2), dtype=np.float32)])
    for side, count in zip(corners.T, (6, 9), strict=True):
        seen = np.bincount(side, minlength=count)
        assert len(seen) == count
        assert seen.min() > 0.8 * 4000 / count
    assert (patch(picture, (4, 4), np.array([1 - 2**-24, 1 - 2**-24], np.float32))[-1, -1] == (8, 11)).all()


def test_a_small_picture_is_continued_by_its_reflections() -> None:
    picture = np.arange(6).reshape(2, 3, 1)
    row = [0, 1, 2, 2, 1, 0, 0, 1]
    assert patch(picture, (8, 8), (0, 0))[:, :, 0].tolist()[:4] == [
        row,
        [x + 3 for x in row],
        [x + 3 for x in row],
        row,
    ]
    assert patch(picture, (3, 3), (0, 0)).shape == (3, 3, 1)


def test_patches_are_a_function_of_seed_step_and_row(tmp_path: Path) -> None:
    images = pictures(tmp_path)
    batch = batch_at(images, 3, 6, seed=5, size=16, fit="patch").image
    assert torch.equal(batch, batch_at(pictures(tmp_path), 3, 6, seed=5, size=16, fit="patch").image)
    alone = ImageSet(images._pack, np.arange(1), "one")
    drawn = {batch_at(alone, step, 1, seed=seed, size=16, fit="patch").image for step in range(3) for seed in range(3)}
    assert len({one.numpy().tobytes() for one in drawn}) == 9


def test_quarter_turns_turn_by_quarters_each_as_often() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((400, 1, 5, 5), dtype=np.float32))
    batch = Batch(image=image, seed=0, step=0)
    turned = augmented(batch, Augment(turn=True)).image
    pairs = zip(image, turned, strict=True)
    which = [[torch.equal(row.rot90(k, (1, 2)), new) for k in range(4)].index(True) for row, new in pairs]
    assert np.bincount(which, minlength=4).min() > 75
    part = augmented(batch.rows(10, 20), Augment(turn=True)).image
    assert torch.equal(part, turned[10:20])
    flipped = [augmented(batch, one).image for one in (Augment(flip=True), Augment(flip=True, turn=False))]
    assert torch.equal(*flipped)


def test_grey_and_shallow_pictures_fit_a_set_of_colours_and_16_bits(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "a").mkdir()
    Image.new("L", (20, 20), 200).save(tmp_path / "a" / "grey.png")
    Image.new("RGB", (20, 20), (1, 2, 3)).save(tmp_path / "a" / "colour.png")
    Image.fromarray(np.full((20, 20), 30_000, np.uint16)).save(tmp_path / "a" / "deep.png")
    images = open_data(str(tmp_path / "a"), 0).train
    rows = batch_at(images, 0, 3, seed=0, size=8, fit="patch").image
    expected = {(1 / 255, 2 / 255, 3 / 255), (30_000 / 65535,) * 3, (200 / 255,) * 3}
    for row in rows:
        assert any(torch.allclose(row, torch.tensor(colour)[:, None, None].expand(3, 8, 8)) for colour in expected)


def test_what_is_learned_from_details_is_drawn_as_patches() -> None:
    assert (PatchSettings().fit, PatchSettings().flip, PatchSettings().turn) == ("patch", True, True)
    assert DataSettings().fit == "crop"


def test_what_is_not_drawn_at_random_is_the_middle(tmp_path: Path) -> None:
    images = pictures(tmp_path)
    assert (images.rows(np.arange(3), (16, 20), "patch") == np.stack([images[i][12:28, 15:35] for i in range(3)])).all()
