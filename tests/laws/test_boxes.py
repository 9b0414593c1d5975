"""Boxes: the same in every form of annotation, turned with their pictures, and found again by a fingerprint."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pinxit
from pinxit.data import batch_at, open_boxes, open_packed
from pinxit.data.boxes.box import Annotations, Box, Boxed, Place, Predicted
from pinxit.data.boxes.forms import FORMS
from pinxit.data.boxes.opening import _TURNS, QUARTERS, cleaned, turned
from pinxit.data.boxes.voc import boxes_of, parsed
from pinxit.data.boxes.yaml import parsed as yaml
from pinxit.data.check import check
from pinxit.errors import DataError, UserError
from pinxit.images.metadata import upright

SIZE = (40, 30)
CLASSES = ("cat", "a dog", "bird")
BOXES = {
    "a": [Box(0, 0, 40, 30, "cat"), Box(3, 4, 9, 11, "bird")],
    "b": [Box(10, 12, 31, 30, "a dog")],
    "c": [],
}


def picture(path: Path, size: tuple[int, int] = SIZE, turn: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = turn
    rng = np.random.default_rng(len(path.stem))
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path, exif=exif)


def as_coco(folder: Path, boxes: dict[str, Sequence[Box]], name: str = "instances.json") -> None:
    """Write boxes as COCO's own annotations, whose categories have gaps."""
    numbers = {kind: 10 * place + 7 for place, kind in enumerate(CLASSES)}
    rows = [
        {"image_id": stem, "category_id": numbers[box.name], "iscrowd": int(box.ignored),
         "bbox": [box.left, box.top, box.right - box.left, box.bottom - box.top]}
        for stem, found in boxes.items() for box in found
    ]  # fmt: skip
    images = [{"id": stem, "file_name": f"{stem}.png", "width": SIZE[0], "height": SIZE[1]} for stem in boxes]
    categories = [{"id": number, "name": kind} for kind, number in numbers.items()]
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))


def written(folder: Path, form: str, boxes: dict[str, Sequence[Box]] = BOXES) -> Path:
    """A set of three pictures with boxes in a form."""
    for stem in boxes:
        picture(folder / f"{stem}.png")
    if form == "coco":
        as_coco(folder, boxes)
    else:
        FORMS[form].write(
            folder, [Predicted(f"{stem}.png", stem, SIZE, found) for stem, found in boxes.items()], CLASSES
        )
    return folder


def read(folder: Path, form: str) -> Annotations:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return FORMS[form].read(Place(folder, files, [name for name in files if name.endswith(".png")]))


def pixels(boxed: Boxed) -> list[Box]:
    wide, high = SIZE if boxed.shares else (1, 1)
    return [
        box._replace(left=box.left * wide, top=box.top * high, right=box.right * wide, bottom=box.bottom * high)
        for box in boxed.boxes
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_back_the_boxes_that_were_written(form: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "set", form)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    place = Place(folder, files, [name for name in files if name.endswith(".png")])
    assert [name for name, row in FORMS.items() if row.knows(place)] == [form]
    said = read(folder, form)
    assert set(said.classes) == set(CLASSES)
    for stem, boxes in BOXES.items():
        found = pixels(said.pictures[f"{stem}.png"])
        assert [box.name for box in found] == [box.name for box in boxes]
        np.testing.assert_allclose([box[:4] for box in found], [box[:4] for box in boxes], atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_set_of_every_form_is_opened_packed_and_found_again(form: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "set", form)
    found = open_boxes(str(folder), holdout=0).train
    stems = [Path(name).stem for name in found.names]
    assert (stems, sorted(found.classes)) == (["a", "b", "c"], sorted(CLASSES))
    assert found.companions.boxes is not None
    for stem, boxes in zip(stems, found.companions.boxes, strict=True):
        expected = [[*box[:4], found.classes.index(box.name)] for box in BOXES[stem]]
        np.testing.assert_allclose(boxes, np.reshape(expected, (-1, 5)), atol=1e-3)
    batch = batch_at(found, 0, 3, 0, size="20x15", fit="stretch")
    assert batch.boxes is not None
    assert (batch.boxes[..., 4] >= 0).sum() == 3
    shutil.rmtree(folder)
    again = open_packed(found.fingerprint, "set", 0).train
    assert again.classes == found.classes
    assert all(np.array_equal(*both) for both in zip(again.companions.boxes, found.companions.boxes, strict=True))


def test_voc_counts_from_one_and_includes_the_last_pixel() -> None:
    def text(thing: str) -> bytes:
        return f"<annotation><size><width>40</width><height>30</height></size>{thing}</annotation>".encode()

    def thing(*sides: object, more: str = "") -> str:
        named = zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True)
        box = "".join(f"<{name}>{side}</{name}>" for name, side in named)
        return f"<object><name> cat </name>{more}<bndbox>{box}</bndbox></object>"

    boxed, odd = boxes_of(text(thing(1, 1, 40, 30) + thing(3, 5, 7, 8, more="<difficult>1</difficult>")), "a.xml")
    assert boxed == Boxed([Box(0, 0, 40, 30, "cat"), Box(2, 4, 7, 8, "cat", ignored=True)], (40, 30))
    assert not odd
    assert len(boxes_of(text(thing(1, "", 4, 3) + "<object/>"), "a.xml")[1]) == 2
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'
    for bad in (bomb, b"<annotation>", text(thing(1, 1, 2, 2)).decode().encode("utf-16"), b""):
        with pytest.raises(DataError, match=r"a\.xml"):
            parsed(bad, "a.xml")


def test_boxes_are_turned_as_their_pictures_are() -> None:
    wide, high = SIZE
    stored = np.zeros((high, wide, 1), np.uint8)
    box = Box(3, 5, 9, 8, "cat")
    stored[5:8, 3:9] = 1
    for turn in _TURNS:
        shown = np.argwhere(upright(stored, turn)[..., 0])
        (top, left), (bottom, right) = shown.min(0), shown.max(0) + 1
        assert turned(box, SIZE, turn)[:4] == (left, top, right, bottom), turn


def test_boxes_of_pictures_that_exif_turns_follow_the_stated_size(tmp_path: Path) -> None:
    boxes = {"abc"[number]: [Box(3, 5, 9, 8, "cat")] for number in range(3)}
    folder = written(tmp_path / "set", "voc", boxes)
    picture(folder / "b.png", SIZE, turn=6)  # stored as stated, shown turned
    picture(folder / "c.png", (20, 15))  # of another size than stated
    opened = open_boxes(str(folder), holdout=0)
    assert opened.train.names == ["a.png", "b.png"]
    assert any("another size" in note and "c.png" in note for note in opened.notes)
    upright_box, turned_box = (one[0, :4].tolist() for one in opened.train.companions.boxes or ())
    assert upright_box == [3, 5, 9, 8]
    assert turned_box == list(turned(boxes["b"][0], SIZE, 6)[:4])
    assert 6 in QUARTERS


def test_odd_boxes_are_named_one_line_each() -> None:
    boxes = [Box(5, 5, 5, 9, "cat"), Box(60, 0, 70, 5, "cat"), Box(-9, 0, 5, 5, "cat"), Box(0, 0, 40.5, 5, "cat")]
    kept, lines = cleaned(boxes, SIZE, "a.png")
    assert [box[:4] for box in kept] == [(0, 0, 5, 5), (0, 0, 40, 5)]
    assert [line.partition(" 5, 5 ")[2] or line.rpartition(" at ")[2] for line in lines] == [
        "has no area and is left out",
        "60, 0 is outside of its picture and is left out",
        "-9, 0 reaches out of its picture and is clipped",
    ]


def test_ignored_things_keep_their_class_and_are_neither_trained_nor_padding(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "set", "coco", {"a": [Box(0, 0, 20, 20, "bird", ignored=True), Box(5, 5, 15, 15, "cat")]}
    )
    found = open_boxes(str(folder), holdout=0).train
    assert found.companions.boxes is not None
    place = found.classes.index("bird")
    assert found.companions.boxes[0][:, 4].tolist() == [-2 - place, found.classes.index("cat")]
    batch = batch_at(found, 0, 1, 0, size=20, fit="pad", augment=pinxit.DataSettings(flip=True, turn=True))
    assert batch.boxes is not None
    assert sorted(batch.boxes[0, :, 4].tolist()) == sorted(found.companions.boxes[0][:, 4].tolist())


def test_official_parts_come_from_lists_names_and_folders(tmp_path: Path) -> None:
    listed = written(tmp_path / "listed", "voc")
    (listed / "ImageSets" / "Main").mkdir(parents=True)
    for part, stem in (("train", "a"), ("val", "b"), ("test", "c")):
        (listed / "ImageSets" / "Main" / f"{part}.txt").write_text(f"{stem}\n")
    named = tmp_path / "named"
    for part, stem in (("train", "a"), ("val", "b"), ("test", "c")):
        picture(named / "images" / part / f"{stem}.png")
        as_coco(named, {stem: BOXES[stem]}, f"instances_{part}2017.json")
    inside = tmp_path / "inside"
    for part, stem in (("train", "a"), ("valid", "b"), ("test", "c")):
        picture(inside / part / "images" / f"{stem}.png")
        (inside / part / "labels").mkdir()
        (inside / part / "labels" / f"{stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n" if BOXES[stem] else "")
    (inside / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n")
    for folder in (listed, named, inside):
        opened = open_boxes(str(folder))
        names = [[Path(name).stem for name in part.names] for part in (opened.train, opened.held_out)]
        assert names == [["a"], ["b"]], folder
        assert opened.apart is not None
        assert [Path(name).stem for name in opened.apart.names] == ["c"]
        assert any("1 picture left alone" in note for note in opened.notes)
        assert [Path(name).stem for name in open_boxes(f"{folder}:test").train.names] == ["c"]


def test_yolo_reads_names_polygons_and_files_that_are_missing(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for stem in "abc":
        picture(folder / f"{stem}.png")
    (folder / "a.txt").write_text("1 0.5 0.5 0.5 1\n1 0.25 0.2 0.75 0.2 0.5 0.8\n\n7 0.5 0.5 0.1 0.1\n0 240 3 20 9\n")
    (folder / "b.txt").write_text("")
    (folder / "data.yaml").write_text("names:\n  0: cat\n  1: 'a dog'  # big\n")
    said = read(folder, "yolo")
    assert said.classes == ["cat", "a dog"]
    boxes = pixels(said.pictures["a.png"])
    np.testing.assert_allclose([box[:4] for box in boxes], [(10, 0, 30, 30), (10, 6, 30, 24)])
    assert not said.pictures["b.png"].boxes
    assert not said.pictures["c.png"].boxes
    assert len(said.notes) == 3
    assert "c.png" in said.notes[-1]
    for text in ("names: [cat, 'a dog']", "names: {0: cat, 1: a dog}", "names:\n- cat\n- a dog"):
        names = yaml(text, "data.yaml")["names"]
        assert list(names.values() if isinstance(names, dict) else names) == ["cat", "a dog"]
    with pytest.raises(DataError, match=r"data\.yaml: line 1"):
        yaml("names: &anchor", "data.yaml")


def test_hostile_annotations_are_one_line(tmp_path: Path) -> None:
    for number, (name, content) in enumerate(
        {
            "a.xml": "<annotation>",
            "boxes.json": '{"images": [{"id": 1}], "annotations": [], "categories": []}',
            "x.json": '{"images": 1, "annotations": [], "categories": []}',
            "data.yaml": "names: {a: b}",
        }.items()
    ):
        folder = tmp_path / str(number)
        picture(folder / "a.png")
        (folder / name).write_text(content)
        with pytest.raises(UserError) as error:
            open_boxes(str(folder))
        assert "\n" not in str(error.value), name
    (folder / name).unlink()
    with pytest.raises(DataError, match="no boxes beside these pictures"):
        open_boxes(str(folder))


def test_the_doctor_names_what_breaks_the_training_of_detectors(tmp_path: Path) -> None:
    def kinds(folder: Path, size: int | None = None) -> dict[str, int]:
        return {one.kind: one.count for one in check(str(folder), size).findings}

    boxes = {stem: [Box(5, 5, 25, 25, "cat")] for stem in "abcd"}
    boxes["a"] += [Box(7, 7, 7, 9, "cat"), Box(-9, 3, 9, 9, "a dog"), Box(50, 50, 60, 60, "bird")]
    boxes["d"] = []
    found = kinds(written(tmp_path / "coco", "coco", boxes), 32)
    expected = {
        "boxes without area": 1,
        "boxes outside": 2,
        "rare classes": 2,
        "small boxes": 1,
        "pictures without boxes": 1,
    }
    assert expected.items() <= found.items()
    zero = written(tmp_path / "voc", "voc", {"a": [Box(-1, 4, 9, 9, "cat")], "b": [Box(-1, -1, 9, 9, "cat")]})
    picture(zero / "b.png", SIZE, turn=3)
    (zero / "train.txt").write_text("a\n")
    (zero / "val.txt").write_text("b\n")
    assert {"boxes from 0": 2, "boxes of turned pictures": 1}.items() <= kinds(zero).items()
    corners = tmp_path / "yolo"
    for stem in "abcdefghijkl":
        picture(corners / f"{stem}.png")
        (corners / f"{stem}.txt").write_text("0 0.1 0.1 0.5 0.5\n" if stem < "k" else "")
    (corners / "train.txt").write_text("".join(f"{stem}.png\n" for stem in "abcdefghij"))
    (corners / "val.txt").write_text("k.png\nl.png\n")
    assert {"boxes read as middles": 10, "nothing to judge by": 1}.items() <= kinds(corners).items()
