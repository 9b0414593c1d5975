"""Laws of masks, pairs and boxes: found by stem or side by side, and moved together with their picture, always."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import png_16
from pinxit.data import Batch, ImageSet, batch_at, is_packed, open_data, open_packed, open_pairs
from pinxit.data.augment import augmented
from pinxit.data.pairs import record_path
from pinxit.data.render import VOID
from pinxit.data.sets import Companions
from pinxit.data.settings import Augment
from pinxit.errors import DataError

SIZE = (40, 52)  # height, width
FITS = ("crop", "pad", "stretch", "patch")
EVERYTHING = Augment(flip=True, turn=True, shift=0.2, rotate=40, scale=0.2)


def ramp(number: int) -> np.ndarray:
    """A smooth grey picture whose values, at most 200, are its classes too."""
    down, across = np.mgrid[: SIZE[0], : SIZE[1]]
    return (2 * down + across + 20 * number).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, whose pairs and masks have the same values."""
    for number in range(3):
        for kind in ("images", "masks", "pairs"):
            write(tmp_path / "set" / kind / f"{number}.png", ramp(number))
    return tmp_path / "set"


def opened(folder: Path | str, **words: Path) -> ImageSet:
    return open_pairs(str(folder), 0, **words).train


# They move together.


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("augment", [Augment(), Augment(flip=True, turn=True)], ids=["plain", "flip and turn"])
def test_image_pair_and_mask_are_one_part_turned_one_way(fit: str, augment: Augment, folder: Path) -> None:
    """A patch exactly; what is resized, within the step from the nearest pixel to the interpolated one."""
    batch = batch_at(opened(folder), 2, 9, seed=3, size=24, fit=fit, augment=augment)
    assert (batch.mask.shape, batch.mask.dtype) == ((9, 1, 24, 24), torch.int64)
    assert torch.equal(batch.image, batch.pair)
    away = ((batch.image * 255) - batch.mask)[batch.mask != VOID].abs()
    assert away.max() <= (1e-4 if fit == "patch" else 5)
    assert away.mean() <= (1e-4 if fit == "patch" else 2)
    assert (batch.mask == VOID).any() == (fit == "pad")
    assert (batch.image[batch.mask == VOID] == 0).all()


def test_rotated_shifted_and_scaled_they_are_still_together(folder: Path) -> None:
    batch = batch_at(opened(folder), 0, 30, seed=1, size=40, fit="patch", augment=EVERYTHING)
    assert torch.equal(batch.image, batch.pair)
    away = (batch.image * 255 - batch.mask).abs()
    assert away.max() <= 4  # half a pixel across and down, of slopes 1 and 2, scaled
    assert not torch.equal(batch.image, batch_at(opened(folder), 0, 30, seed=1, size=40, fit="patch").image)


def test_a_mask_gets_no_new_classes(tmp_path: Path, rng: np.random.Generator) -> None:
    classes = np.array([0, 7, 200, VOID], np.uint8)
    for number in range(4):
        write(tmp_path / "images" / f"{number}.png", ramp(number))
        write(tmp_path / "masks" / f"{number}.png", rng.choice(classes, SIZE))
    for fit in FITS:
        batch = batch_at(opened(tmp_path), 0, 8, seed=0, size=32, fit=fit, augment=EVERYTHING)
        assert {*batch.mask.unique().tolist()} <= {*classes.tolist()}
    assert opened(tmp_path).companions.pixel_classes == 201


def test_companions_change_nothing_of_the_image(folder: Path) -> None:
    for fit in FITS:
        alone = open_data(str(folder / "images"), 0).train
        for one in (Augment(), EVERYTHING):
            images = [batch_at(s, 1, 5, seed=2, size=24, fit=fit, augment=one).image for s in (alone, opened(folder))]
            assert torch.equal(*images)


# Boxes.


def boxed(tmp_path: Path, boxes: list[tuple[int, int, int, int]]) -> ImageSet:
    """White rectangles on black, one a picture, with their boxes."""
    pixels = np.zeros((len(boxes), *SIZE), np.uint8)
    for one, (left, top, right, bottom) in zip(pixels, boxes, strict=True):
        one[top:bottom, left:right] = 255
    np.savez(tmp_path / "boxes.npz", images=pixels)
    images = open_data(str(tmp_path / "boxes.npz"), 0).train
    found = [np.array([[*box, number]], np.float32) for number, box in enumerate(boxes)]
    return ImageSet(images._pack, np.arange(len(boxes)), "boxes", Companions(boxes=found))


BOXES = [(20, 14, 31, 22), (15, 10, 33, 25), (25, 20, 30, 30)]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    "augment", [Augment(), Augment(flip=True), Augment(turn=True), Augment(flip=True, turn=True, shift=0.1, scale=0.2)]
)
def test_boxes_stay_around_what_they_hold(fit: str, augment: Augment, tmp_path: Path) -> None:
    """Up to a pixel, where the picture was resized."""
    batch = batch_at(boxed(tmp_path, BOXES), 1, 12, seed=5, size=36, fit=fit, augment=augment)
    assert batch.boxes.shape == (12, 1, 5)
    assert batch.boxes[..., 4].unique().tolist() == [0, 1, 2]
    for image, box in zip(batch.image[:, 0], batch.boxes[:, 0], strict=True):
        rows, columns = (image > 0.5).nonzero().T
        seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (box[:4] - seen).abs().max() <= 1.01


def test_a_rotated_box_is_the_upright_box_around_its_corners(tmp_path: Path) -> None:
    inside = boxed(tmp_path, [(22, 16, 30, 24)])  # too far from the edges for its reflection to come in
    batch = batch_at(inside, 0, 60, seed=5, size=40, fit="patch", augment=Augment(rotate=45))
    for image, box in zip(batch.image[:, 0], batch.boxes[:, 0], strict=True):
        rows, columns = (image > 0.02).nonzero().T
        assert columns.min() >= box[0] - 1
        assert rows.min() >= box[1] - 1
        assert columns.max() <= box[2]
        assert rows.max() <= box[3]
        assert 8 <= (box[2:4] - box[:2]).min() <= (box[2:4] - box[:2]).max() < 12
    assert (batch.boxes[..., 2] - batch.boxes[..., 0]).max() > 11


def test_boxes_are_clipped_and_those_outside_dropped() -> None:
    boxes = torch.tensor([[[-5, 2, 8, 30, 3], [9, 9, 9.5, 12, 1], [25, 0, 30, 5, 2], [0, 0, 0, 0, -1]]])
    batch = Batch(image=torch.zeros(1, 1, 20, 20), boxes=boxes, seed=0, step=0)
    moved = augmented(batch, Augment(flip=True)).boxes[0]
    flipped = batch.uniform(6, stream="augment")[0, 0] < 0.5
    assert moved[0].tolist() == pytest.approx([12, 2, 20, 20, 3] if flipped else [0, 2, 8, 20, 3], abs=1e-5)
    assert moved[1:].tolist() == [[0, 0, 0, 0, -1]] * 3


def test_pictures_of_different_counts_are_padded_with_class_minus_one(tmp_path: Path) -> None:
    images = boxed(tmp_path, BOXES)
    found = [np.zeros((0, 5), np.float32), images.companions.boxes[1], images.companions.boxes[2].repeat(3, 0)]
    images = ImageSet(images._pack, np.arange(3), "boxes", Companions(boxes=found))
    batch = batch_at(images, 0, 3, seed=0, size=36, fit="stretch")
    assert sorted((batch.boxes[..., 4] >= 0).sum(1).tolist()) == [0, 1, 3]
    assert batch.boxes.shape == (3, 3, 5)


def test_rows_and_moves_take_everything_along() -> None:
    rows = torch.arange(6)
    whole = Batch(
        image=torch.rand(6, 3, 4, 4), label=rows, mask=torch.rand(6, 1, 4, 4), pair=torch.rand(6, 1, 4, 4),
        boxes=torch.rand(6, 2, 5), caption=tuple("abcdef"), sound=torch.rand(6, 9), other=torch.rand(6, 3, 4, 4),
        seed=1, step=2,
    )  # fmt: skip
    part = whole.rows(2, 5)
    moved = part.to(torch.device("meta"), torch.channels_last)
    assert (part.caption, moved.caption, part.start) == (("c", "d", "e"), ("c", "d", "e"), 2)
    for name in ("image", "label", "mask", "pair", "boxes", "sound", "other"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[2:5])
        assert getattr(moved, name).device.type == "meta"


# Where they come from.


@pytest.mark.parametrize(
    ("image", "mask", "pair"),
    [("images", "masks", "pairs"), ("photo", "label", ""), ("A", "", "B"), ("input", "", "target")],
)
def test_folders_are_known_by_their_names(image: str, mask: str, pair: str, tmp_path: Path) -> None:
    for number in range(12):
        for place in filter(None, (image, mask, pair)):
            write(tmp_path / "set" / place / f"sub/{number}.png", ramp(number % 3))
    (tmp_path / "set" / "SOURCES.tsv").write_text("about")
    zipped = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "set"))
    wrapped = Path(shutil.make_archive(str(tmp_path / "wrapped"), "zip", tmp_path, "set"))
    for spec in (tmp_path / "set", zipped, wrapped):
        data = open_pairs(str(spec), 0.3)
        batch = batch_at(data.train, 0, 6, seed=0, size=40, fit="patch")
        assert ((batch.mask is not None), (batch.pair is not None)) == (bool(mask), bool(pair))
        assert batch.pair is None or torch.equal(batch.image, batch.pair)
        assert batch.mask is None or torch.equal((batch.image * 255).round().long(), batch.mask)
        assert len(data.train) + len(data.held_out) == 12
        assert len(data.held_out.companions.mask or data.held_out.companions.pair) == len(data.held_out) > 0
        assert open_pairs(f"{spec}:test", 0.3).train.names == data.held_out.names


@pytest.mark.parametrize("place", ["{part}/images/{name}", "A/{part}/{name}", "photos/{part}/images/{name}"])
def test_folders_of_parts_are_official(place: str, tmp_path: Path) -> None:
    other = place.replace("images", "masks").replace("A/", "label/")
    for number, part in enumerate(["train"] * 5 + ["val", "test"]):
        for form in (place, other):
            write(tmp_path / form.format(part=part, name=f"{number}.png"), ramp(number % 3))
    data = open_pairs(str(tmp_path))
    assert [len(data.train), len(data.held_out)] == [5, 2]
    batch = batch_at(data.train, 0, 5, seed=0, size=40, fit="patch")
    assert torch.equal((batch.image * 255).round().long(), batch.mask)
    assert batch.label is None


def test_a_second_folder_can_be_named_and_stems_may_end_in_mask(folder: Path, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "elsewhere" / f"{number}_mask.png", ramp(number))
    batch = batch_at(opened(folder / "images", mask=tmp_path / "elsewhere"), 0, 3, seed=0, size=40, fit="patch")
    assert torch.equal((batch.image * 255).round().long(), batch.mask)


def test_side_by_side_pictures_are_halved(tmp_path: Path) -> None:
    for number in range(3):
        left = ramp(number)[:, :40]
        write(tmp_path / "both" / f"{number}.png", np.concatenate([left, 255 - left], 1))
    batch = batch_at(opened(tmp_path / "both"), 0, 3, seed=0, size=40, augment=Augment(flip=True))
    torch.testing.assert_close(batch.pair, 1 - batch.image)
    write(tmp_path / "both" / "wide.png", ramp(0))
    told = "\n".join(open_pairs(str(tmp_path / "both")).notes)
    assert "wide.png: 52 x 40 pixels; a pair side by side" in told


def test_what_lacks_a_partner_or_fits_none_is_named_and_left_out(folder: Path) -> None:
    write(folder / "images" / "alone.png", ramp(0))
    write(folder / "masks" / "orphan.png", ramp(0))
    write(folder / "pairs" / "2.png", ramp(0)[:, :-1])
    (folder / "masks" / "1.png").write_text("no picture")
    data = open_pairs(str(folder), 0)
    assert data.train.names == ["0.png"]
    told = "\n".join(data.notes)
    assert "without a partner, left out: 3 pictures, 1, alone, orphan" in told
    assert "with a partner of another size, left out: 1 picture, 2" in told
    assert "1.png: " in told
    (folder / "pairs" / "0.png").unlink()
    with pytest.raises(DataError, match="no picture has a mask and a pair of the same stem"):
        open_pairs(str(folder))


def test_masks_of_0_and_255_are_0_and_1(folder: Path) -> None:
    for number in range(3):
        write(folder / "masks" / f"{number}.png", np.where(ramp(number) > 90, 255, 0).astype(np.uint8))
    images = opened(folder)
    assert images.companions.pixel_classes == 2
    batch = batch_at(images, 0, 3, seed=0, size=40, fit="patch")
    assert torch.equal(batch.mask, (batch.image * 255 > 90.5).long())


def test_a_palette_gives_its_indices(folder: Path) -> None:
    for number in range(3):
        image = Image.fromarray(ramp(number) // 64)
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
        image.save(folder / "masks" / f"{number}.png")
    batch = batch_at(opened(folder), 0, 3, seed=0, size=40, fit="patch")
    assert torch.equal(batch.mask, (batch.image * 255).round().long() // 64)


@pytest.mark.parametrize("kind", ["jpeg", "colour", "deep"])
def test_what_is_no_mask_is_refused(kind: str, folder: Path) -> None:
    for number in range(3):
        (folder / "masks" / f"{number}.png").unlink()
        path = folder / "masks" / f"{number}.{'jpg' if kind == 'jpeg' else 'png'}"
        write(path, np.stack([ramp(0)] * 3, 2) if kind == "colour" else ramp(0))
        if kind == "deep":
            path.write_bytes(png_16(np.full((*SIZE, 1), 999, np.uint16)))
    with pytest.raises(DataError, match="a mask"):
        open_pairs(str(folder))


def test_two_files_of_a_stem_are_refused(folder: Path) -> None:
    write(folder / "masks" / "0.tif", ramp(0))
    with pytest.raises(DataError, match="two mask files of this stem"):
        open_pairs(str(folder))


def test_what_was_packed_is_opened_by_its_fingerprint(folder: Path) -> None:
    first = open_pairs(str(folder), 0.3)
    shutil.rmtree(folder)
    again = open_packed(first.train.fingerprint, str(folder), 0.3)
    assert is_packed(first.train.fingerprint)
    for one, other in ((first.train, again.train), (first.held_out, again.held_out)):
        assert (one.names, one.name, one.fingerprint) == (other.names, other.name, other.fingerprint)
    before, after = (batch_at(data.train, 0, 4, seed=0, size=24, augment=EVERYTHING) for data in (first, again))
    assert torch.equal(before.image, after.image)
    assert torch.equal(before.mask, after.mask)
    assert torch.equal(before.pair, after.pair)
    record_path(first.train.fingerprint).write_text("{}")
    with pytest.raises(DataError, match="missing or damaged"):
        open_packed(first.train.fingerprint, str(folder))


def test_the_fingerprint_is_of_everything(folder: Path) -> None:
    first = opened(folder).fingerprint
    assert opened(folder).fingerprint == first
    write(folder / "masks" / "1.png", ramp(2))
    assert opened(folder).fingerprint != first
    assert opened(folder).fingerprint != open_data(str(folder / "images"), 0).train.fingerprint
