"""Pictures of two kinds: however they lie on the disk they are found, said, trained on, and found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pinxit import models
from pinxit.cli import run
from pinxit.data import batch_at, open_kinds, open_packed
from pinxit.data.kinds import usual
from pinxit.data.pack import pack_path
from pinxit.data.pairs import record_path
from pinxit.data.settings import Kinds
from pinxit.errors import DataError, UsageError
from pinxit.images import load_image
from pinxit.training.pictures import pictures_of
from pinxit.training.run import Run

pytestmark = pytest.mark.usefixtures("no_report")

COUNT, CLASSES = 6, 3
PALETTE = [10, 20, 30, 200, 0, 0, 0, 100, 250]


def scene(number: int) -> np.ndarray:
    """Class numbers (16, 16) of one of some scenes."""
    return np.random.default_rng(number).integers(0, CLASSES, (4, 4)).repeat(4, 0).repeat(4, 1).astype(np.uint8)


def photo(number: int) -> Image.Image:
    """A noisy picture of a scene."""
    colours = np.array(PALETTE, int).reshape(3, 3)[scene(number)]
    return Image.fromarray((colours + number).clip(0, 255).astype(np.uint8))


def sketch(number: int) -> Image.Image:
    """The same scene in grey."""
    return Image.fromarray(100 + 40 * scene(number))


def deep(number: int) -> Image.Image:
    """The same scene in 16 bits."""
    return Image.fromarray(1000 + 20000 * scene(number).astype(np.uint16))


def label_map(number: int, grey: bool = False) -> Image.Image:
    """The same scene as class numbers, with a palette or in grey."""
    picture = Image.fromarray(scene(number))
    if not grey:
        picture.putpalette(PALETTE)
    return picture


def put(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def two_folders(base: Path) -> None:
    for number in range(COUNT):
        put(base / "left" / f"{number}.png", sketch(number))
        put(base / "right" / f"{number}.png", photo(number))
    put(base / "right" / "lonely.png", photo(9))


def labels_to_photos(base: Path) -> None:
    for number in range(COUNT):
        put(base / "left" / f"{number}.png", label_map(number))
        put(base / "right" / f"{number}.jpg", photo(number))


def photos_to_labels(base: Path) -> None:
    for number in range(COUNT):
        put(base / "A" / "train" / f"{number}.png", photo(number))
        put(base / "B" / "train" / f"{number}_label.png", label_map(number, grey=True))
    put(base / "A" / "test" / "9.png", photo(9))
    put(base / "B" / "test" / "9_label.png", label_map(9, grey=True))


def side_by_side(base: Path) -> None:
    for number in range(COUNT):
        both = Image.new("RGB", (32, 16))
        both.paste(photo(number), (0, 0))
        both.paste(sketch(number), (16, 0))
        put(base / f"{number}.png", both)


def deep_targets(base: Path) -> None:
    for number in range(COUNT):
        put(base / "input" / f"{number}.png", photo(number))
        put(base / "target" / f"{number}.png", deep(number))


def table(base: Path) -> None:
    rows = []
    for number in range(COUNT):
        put(base / "train" / f"in{number}.png", photo(number))
        put(base / "train" / f"out{number}.png", sketch(number))
        rows.append(json.dumps({"input_file_name": f"in{number}.png", "target_file_name": f"out{number}.png"}))
    (base / "train" / "metadata.jsonl").write_text("\n".join(rows))


def joined_names(base: Path) -> None:
    for number in range(COUNT):
        put(base / "trainA" / f"x{number}.png", photo(number))
        put(base / "trainB" / f"y{number}.png", photo(number + 20))
    put(base / "testA" / "x9.png", photo(9))
    put(base / "testB" / "y9.png", photo(29))


FORMS: dict[str, tuple[Callable[[Path], None], list[str], str, int, int | None]] = {
    # How it is written, the words of the command line, what is said, and the planes of A and of B (None: no pairs).
    "two folders": (two_folders, ["left", "right"], "6 pairs, 6 stems are equal", 1, 3),
    "masks": (labels_to_photos, ["left", "right"], "A are label maps of 3 classes", 3, 3),
    "to masks": (photos_to_labels, ["."], "B are label maps of 3 classes", 3, 3),
    "side by side": (side_by_side, ["."], "pictures side by side, A on the left", 3, 3),
    "right to left": (side_by_side, [".", "--layout", "ba"], "A on the right", 3, 3),
    "16 bits": (deep_targets, ["."], "6 pairs", 3, 1),
    "table": (table, ["."], "metadata.jsonl: 6 pairs", 3, 1),
    "unpaired": (joined_names, ["."], "7 and 7 pictures, without pairs, 0 stems are equal", 3, None),
    "as asked": (two_folders, ["left", "right", "--unpaired"], "6 and 7 pictures, without pairs, as asked", 1, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_said_and_trained_on(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, words, said, planes, target = FORMS[form]
    write(tmp_path / "set")
    monkeypatch.setattr("pinxit.training.outputs.sheet_steps", lambda training: {training.steps})
    monkeypatch.chdir(tmp_path / "set")
    steps = 2 if form in ("right to left", "table", "to masks", "as asked") else 20
    how = f"--size 16 --channels 2 --patch 16 --steps {steps} --batch-size 2 --threads 1 --holdout 0.3"
    assert run(["train", "translate", *words, *how.split(), "--out", str(tmp_path / "run")]) == 0
    assert said in capsys.readouterr().err
    recipe = Run.open(tmp_path / "run").recipe
    model = models.load(tmp_path / "run")
    assert (model.shape.channels, model.shape.target.paired) == (planes, target is not None)
    for name in filter(None, (recipe.data, recipe.others)):
        assert pictures_of(name).train.fingerprint == name.fingerprint
        for path in (record_path(name.fingerprint), pack_path(name.fingerprint)):
            path.unlink(missing_ok=True)
        assert pictures_of(name).train.fingerprint == name.fingerprint  # from where they were read
    if form == "16 bits":
        scene = tmp_path / "set" / "input" / "0.png"
        assert (
            run(["edit", "translate", "--model", str(tmp_path / "run"), str(scene), "-o", str(tmp_path / "d.png")]) == 0
        )
        assert load_image(tmp_path / "d.png").dtype == np.uint16
    if form == "masks":
        sheet = tmp_path / "sheet.png"
        assert run(["sample", str(tmp_path / "run"), "-n", "3", "-o", str(sheet)]) == 0
        assert Image.open(sheet).width > 3 * 16
        assert run(["sample", str(tmp_path / "run"), "--sampler", "prior", "-o", str(tmp_path / "no.png")]) == 2
    images = pictures_of(recipe.data).train
    batch = batch_at(images, 0, 3, 0, size=16)
    assert batch.image.shape == (3, planes, 16, 16)
    if target is None:
        assert batch.pair is None
        assert recipe.others is not None
    else:
        assert batch.pair is not None
        assert batch.pair.shape == (3, target, 16, 16)
        assert model.shape.target.planes.number == target


def test_planes_of_label_maps_are_their_classes_in_their_own_colours(tmp_path: Path) -> None:
    labels_to_photos(tmp_path)
    found = open_kinds(str(tmp_path / "left"), 0.0, Kinds(second=tmp_path / "right"))
    assert found.train.colours == ("#0a141e", "#c80000", "#0064fa")
    batch = batch_at(found.train, 0, COUNT, 0, size=16)
    again = batch_at(open_packed(found.train.fingerprint, "again").train, 0, COUNT, 0, size=16)
    assert torch.equal(batch.image, again.image)
    assert torch.equal(batch.pair, again.pair)
    colours = torch.tensor(PALETTE).view(3, 3) / 255
    shown = colours[batch.image.argmax(1)].movedim(3, 1)
    assert torch.equal(batch.image.sum(1), torch.ones(COUNT, 16, 16))
    assert (shown - batch.pair).abs().mean() < 0.1  # a JPEG, a little brighter
    assert usual(1) == "#800000"
    assert usual(15) == "#c08080"


def test_unmatched_files_are_named_and_what_cannot_work_is_refused(tmp_path: Path) -> None:
    two_folders(tmp_path)
    left, right = str(tmp_path / "left"), tmp_path / "right"
    assert any("lonely" in note for note in open_kinds(left, 0.0, Kinds(second=right)).notes)
    with pytest.raises(DataError, match="one kind of pictures"):
        open_kinds(left, 0.0, Kinds())
    with pytest.raises(UsageError, match="--layout ab"):
        open_kinds(left, 0.0, Kinds(second=right, layout="ab"))
    for path in right.glob("*.png"):
        path.rename(path.with_stem(f"other{path.stem}"))
    with pytest.raises(UsageError, match="no two files"):
        open_kinds(left, 0.0, Kinds(second=right, paired=True))
    with pytest.raises(DataError, match="twice as wide"):
        open_kinds(left, 0.0, Kinds(layout="ab"))
