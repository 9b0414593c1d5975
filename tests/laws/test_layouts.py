"""Laws of sets as people lay them out: links, train/ val/ test/, and pinxit's own files among the pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pinxit.cli import run
from pinxit.data import open_data, open_pairs
from pinxit.data.layout import layout_of
from pinxit.errors import DataError
from pinxit.latents.sampling import save_samples
from pinxit.marks import folder_mark, mark_at

Photos = Callable[..., Path]


def no_head(name: str, largest: int) -> bytes:
    return b""


# Files, and for each that is a picture of the set its class and part; "" where there is none.
LAYOUTS: dict[str, tuple[list[str], dict[str, tuple[str, str]]]] = {
    "flat": (["b.png", "a.png", "c.txt"], {"a.png": ("", ""), "b.png": ("", "")}),
    "classes": (["cats/0.png", "dogs/0.png"], {"cats/0.png": ("cats", ""), "dogs/0.png": ("dogs", "")}),
    "one loose picture": (
        ["cats/0.png", "dogs/0.png", "x.png"],
        dict.fromkeys(["cats/0.png", "dogs/0.png", "x.png"], ("", "")),
    ),
    "split with classes": (
        ["train/cats/0.png", "train/dogs/0.png", "val/cats/1.png"],
        {"train/cats/0.png": ("cats", "train"), "train/dogs/0.png": ("dogs", "train"),
         "val/cats/1.png": ("cats", "test")},
    ),
    "other names, any case": (
        ["Training/0.png", "VALIDATION/1.png", "testing/deep/2.png"],
        {"Training/0.png": ("", "train"), "VALIDATION/1.png": ("", "test"), "testing/deep/2.png": ("", "test")},
    ),
    "train alone": (
        ["train/cats/0.png", "train/dogs/0.png"],
        {"train/cats/0.png": ("cats", ""), "train/dogs/0.png": ("dogs", "")},
    ),
    "train is one of the classes": (
        ["train/0.png", "plane/0.png"], {"plane/0.png": ("plane", ""), "train/0.png": ("train", "")}),
    "unlabelled test, and loose pictures": (
        ["train/cats/0.png", "train/dogs/0.png", "valid/dogs/1.png", "test/9.png", "x.png", "more/cats/0.png"],
        {"train/cats/0.png": ("cats", "train"), "train/dogs/0.png": ("dogs", "train"),
         "valid/dogs/1.png": ("dogs", "test")},
    ),
    "years": (
        ["train2017/0.png", "val2017/1.png", "Test Images/2.png"],
        {"train2017/0.png": ("", "train"), "val2017/1.png": ("", "test"), "Test Images/2.png": ("", "test")},
    ),
    "a folder around the parts": (
        ["a/images/train/x/0.png", "a/images/train/y/1.png", "a/images/val/y/2.png"],
        {"a/images/train/x/0.png": ("x", "train"), "a/images/train/y/1.png": ("y", "train"),
         "a/images/val/y/2.png": ("y", "test")},
    ),
    "parts inside classes": (
        ["cats/train/0.png", "cats/test/1.png", "dogs/train/2.png", "dogs/more/3.png"],
        {"cats/train/0.png": ("cats", "train"), "cats/test/1.png": ("cats", "test"),
         "dogs/train/2.png": ("dogs", "train")},
    ),
    "a class called train inside one class": (
        ["toys/train/0.png", "toys/test/1.png", "pets/cat/2.png"],
        {"toys/train/0.png": ("toys", ""), "toys/test/1.png": ("toys", ""), "pets/cat/2.png": ("pets", "")},
    ),
    "deep parts": (
        ["train/" * 9000 + "0.png", "train/" * 9000 + "1.png"],
        dict.fromkeys(["train/" * 9000 + "0.png", "train/" * 9000 + "1.png"], ("", "")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrapper", ["", "set/"])
def test_folders_say_classes_and_parts(wrapper: str) -> None:
    for name, (files, expected) in LAYOUTS.items():
        found = layout_of([wrapper + file for file in files], no_head, wrapped=bool(wrapper))
        blank = [""] * len(found.names)
        said = zip(found.names, zip(found.labels or blank, found.parts or blank, strict=True), strict=True)
        assert dict(said) == {wrapper + file: what for file, what in expected.items()}, name
        left = {file for file in files if file.endswith(".png")} - set(expected)
        assert all(file in " ".join(found.notes) for file in left), name


def test_classes_with_the_names_of_parts_are_said() -> None:
    (said,) = layout_of(["trainA/0.png", "trainB/0.png", "testA/0.png", "testB/0.png"], no_head).notes
    assert said.startswith("the folders testA, testB, trainA, trainB are classes; to divide the set, name them train")
    assert layout_of(["testA/0.png", "testB/0.png", "tram/0.png"], no_head).notes == ()


def test_a_folder_and_a_zip_in_parts_train_on_train_and_hold_out_the_rest(photos: Photos, tmp_path: Path) -> None:
    photos(6, classes=("train/cats", "train/dogs", "val/cats"), name="split")
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path, "split")
    for spec in (tmp_path / "split", zipped):
        opened = open_data(str(spec))
        assert [name.removeprefix("split/")[:9] for name in opened.train.names] == ["train/cat"] * 2 + ["train/dog"] * 2
        assert [name.removeprefix("split/")[:8] for name in opened.held_out.names] == ["val/cats"] * 2
        assert opened.train.classes == ("cats", "dogs")
        assert "train/: 4 pictures to train on; val/: 2 held out; classes are the folders inside" in opened.notes
        assert len(open_data(f"{spec}:test").train) == 2


def test_pairs_in_parts_are_still_pairs(photos: Photos) -> None:
    folder = photos(4, classes=("train/images", "train/pairs", "test/images", "test/pairs"))
    for path in sorted(folder.rglob("*.png")):
        path.rename(path.with_name("a.png"))
    opened = open_pairs(str(folder))
    assert (opened.train.names, opened.held_out.names) == (["train/a.png"], ["test/a.png"])
    assert len(opened.train.companions.pair) == 1


def test_linked_folders_are_followed_once_and_never_back(photos: Photos, tmp_path: Path) -> None:
    for name, count in {"elsewhere/cats": 3, "elsewhere/dogs": 2, "set/eels": 1}.items():
        photos(count, name=name)
    for link, target in {"cats": "../elsewhere/cats", "dogs": "../elsewhere/dogs", "again": "../elsewhere/dogs",
                         "self": ".", "up": "..", "eels2": "eels"}.items():  # fmt: skip
        (tmp_path / "set" / link).symlink_to(target)
    (tmp_path / "elsewhere" / "dogs" / "loop").symlink_to("..")
    opened = open_data(str(tmp_path / "set"), holdout=0)
    assert opened.train.names == [
        "again/000.png",
        "again/001.png",
        *(f"cats/00{n}.png" for n in range(3)),
        "eels/000.png",
    ]
    assert opened.train.classes == ("again", "cats", "eels")
    told = "\n".join(opened.notes)
    assert "links to folders, followed: again, again/loop, cats" in told
    assert "links to folders, not followed: they lead back: dogs, eels2, self, up" in told


def test_what_pinxit_wrote_is_left_out_of_its_sets(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second check, training or edit in the same folder sees the same set; what was named itself is used."""
    folder = photos(6, classes=("cats", "dogs"))
    monkeypatch.chdir(folder)
    before = open_data(".").train
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "gan", folder / "runs" / "gan-1")
    (folder / "runs" / "gan-1" / "samples").mkdir()
    shutil.copy(folder / "cats" / "000.png", folder / "runs" / "gan-1" / "samples")
    assert run(["data", "check", "."]) == 0
    save_samples(Path("sheet.jpg"), np.zeros((4, 16, 16, 3), np.uint8))
    assert run(["edit", "adjust", "--exposure", ".1", "cats", "-o", "bright"]) == 0
    assert [mark_at(Path(name)) for name in ("check.png", "sheet.jpg", "cats/000.png")] == ["sheet", "sheet", ""]
    assert [folder_mark(Path(name)) for name in ("runs/gan-1", "bright", "cats")] == ["run", "results", ""]
    again = open_data(".")
    assert (again.train.names, again.train.classes) == (before.names, before.classes)
    said = "runs (runs/gan-1/); results of pictures that are in the set (bright/); sheets (check.png, sheet.jpg)"
    assert f"left out, made by pinxit: {said}" in again.notes
    zipped = shutil.make_archive(str(folder.parent / "zipped"), "zip", folder.parent, "photos")
    assert len(open_data(zipped, holdout=0).train) == 6
    assert len(open_data("bright", holdout=0).train) == 3
    shutil.rmtree("cats")  # results alone are a class like any other
    assert open_data(".").train.classes == ("bright", "dogs")
    with pytest.raises(DataError, match="is a run, not a set of pictures"):
        open_data("runs/gan-1")


def test_a_recipe_or_manifest_of_others_marks_nothing(tmp_path: Path, photos: Photos) -> None:
    folder = photos(4, classes=("cakes", "pies"))
    (folder / "cakes" / "recipe.json").write_text(json.dumps({"flour": 1}))
    (folder / "pies" / "manifest.json").write_text(json.dumps({"made_by": "pinxit 0", "pictures": [{"recipe": 3}, 7]}))
    assert open_data(str(folder)).train.classes == ("cakes", "pies")


def test_a_table_names_the_classes(photos: Photos) -> None:
    folder = photos(6, classes=("a", "b"))
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert open_data(str(folder), holdout=0).train.classes == ("a", "b")
    labels = ["cat", "dog", "cat", "", "dog"]
    rows = [f"{name},{label}" for name, label in zip(names, labels, strict=False)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows, "gone.png,cat"]))
    opened = open_data(str(folder), holdout=0)
    assert (opened.train.names, opened.train.classes) == ([*names[:3], names[4]], ("cat", "dog"))
    assert opened.train.labels.tolist() == [0, 1, 0, 1]
    told = "\n".join(opened.notes)
    assert f"left out, without a label in labels.csv: {names[3]}, {names[5]}" in told
    assert "named in labels.csv, but not here: gone.png" in told
    zipped = shutil.make_archive(str(folder.parent / "zipped"), "zip", folder)
    assert open_data(zipped, holdout=0).train.classes == ("cat", "dog")
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text().replace("dog", "cow"))
    assert open_data(str(folder), holdout=0).train.classes == ("cat", "cow")
    (folder / "labels.csv").write_text("name,what\nx,1\n")  # somebody's other table
    assert open_data(str(folder), holdout=0).train.classes == ("a", "b")
    (folder / "labels.csv").unlink()
    (folder / "c").mkdir()
    assert "folders without pictures: c" in open_data(str(folder), holdout=0).notes


PICTURES = ("in/p1.png", "in/p2.png", "in/p3.png")
CLASSES = {"in/p1.png": "a", "in/p2.png": "b, c", "in/p3.png": "a"}

# What people write into labels.csv, and the classes that are found, or a part of the remark why the table is not used.
TABLES: dict[str, tuple[bytes, dict[str, str] | str]] = {
    "as it should be": (b'file,label\nin/p1.png,a\nin/p2.png,"b, c"\nin/p3.png,a\n', CLASSES),
    "a mark, Windows line ends, other columns": (
        b'\xef\xbb\xbfid,File, Label ,w\r\n1,in/p1.png,a,9\r\n2,in/p2.png,"b, c",9\r\n3,in/p3.png, a,9,,\r\n', CLASSES),
    "semicolons and backslashes": (b"file;label\nin\\p1.png;a\nin\\p2.png;b, c\nin\\p3.png;a\n", CLASSES),
    "tabs in UTF-16": ("file\tlabel\nin/p1.png\ta\nin/p2.png\tb, c\nin/p3.png\ta\n".encode("utf-16"), CLASSES),
    "absolute paths": (b'file,label\n/my/in/p1.png,a\n/my/in/p2.png,"b, c"\n/my/in/p3.png,a\n', CLASSES),
    "without folders": (b'file,label\np1.png,a\np2.png,"b, c"\np3.png,a\np3.png,a\n', CLASSES),
    "without suffixes": (b'file,label\np1,a\np2,"b, c"\np3,a\n', CLASSES),
    "with other suffixes": (b'file,label\nx/p1.jpg,a\nx/p2.jpg,"b, c"\nx/p3.jpg,a\n', CLASSES),
    "two labels": (b"file,label\nin/p1.png,a\nin/p2.png,b\nin/p2.png,c\n", {"in/p1.png": "a"}),
    "blank": (b"file,label\nin/p1.png,a\nin/p2.png,\n\nin/p3.png\n", {"in/p1.png": "a"}),
    "a comma too many": (b"file,label\nin/p1.png,a\nin/p2.png,b, c\n", "row 3 has more columns than the first"),
    "other columns": (b"name,class\nin/p1.png,a\n", "must name the columns file and label, and is 'name,class'"),
    "no head": (b"in/p1.png,a\n", "and is 'in/p1.png,a'"),
    "no rows": (b"file,label\n", "names no file"),
    "nothing": (b"", "and is ''"),
    "another encoding": ("file,label\nin/p1.png,Käfer\n".encode("cp1252"), "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("table", ["labels.csv", "Labels.CSV", "in/labels.csv"])
def test_tables_as_people_write_them_are_read_or_refused_by_name(table: str) -> None:
    for name, (content, expected) in TABLES.items():
        found = layout_of([*PICTURES, table], lambda _, largest, content=content: content[:largest])
        told = "\n".join(found.notes)
        if isinstance(expected, str):
            assert found.names == list(PICTURES), name
            assert f"{table} is not used: " in told, name
            assert expected in told, name
        else:
            assert dict(zip(found.names, found.labels or (), strict=True)) == expected, name
            assert f"the classes are those of {table}" in told, name
            assert all(picture in told for picture in PICTURES if picture not in expected), name
