"""Which pictures a request names, and the names of results: no two share a name, whatever the pictures are named."""

import os
import random
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from pinxit.errors import DataError, UsageError, printable
from pinxit.files import write_json
from pinxit.images import Picture, save_picture
from pinxit.jobs.listing import find, name_results, plan, text
from pinxit.jobs.settings import EditSettings
from pinxit.marks import SHEET_RECIPE


def made(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def named(places: Iterable[str], kind: str = "png") -> list[str]:
    return [str(result) for result in name_results([PurePosixPath(place) for place in places], kind)]


def places(words: Iterable[object], recursive: bool = False, out: Path | None = None) -> list[str]:
    return [str(one.place) for one in find([str(word) for word in words], recursive, out).found]


@pytest.mark.parametrize(
    ("given", "results"),
    [
        (["cat.jpg"], ["cat.png"]),
        (["a/cat.jpg", "b/cat.jpg"], ["a/cat.png", "b/cat.png"]),
        (["cat.jpg", "cat.webp", "dog.jpg"], ["cat.jpg.png", "cat.webp.png", "dog.png"]),
        (["cat.jpg", "cat.png"], ["cat.jpg.png", "cat.png.png"]),
        (["Cat.JPG", "cat.png"], ["Cat.JPG.png", "cat.png.png"]),
        (["cat.jpg", "cat.webp", "cat.jpg.gif"], ["cat.jpg.png", "cat.webp.png", "cat.jpg.gif.png"]),
        (["a.jpg", "a.png/b.jpg"], ["a.jpg.png", "a.png/b.png"]),
        (["many.dots.v2.tif", "none", "-x.png"], ["many.dots.v2.png", "none.png", "-x.png"]),
    ],
)
def test_a_result_has_its_pictures_stem_and_equal_stems_keep_their_suffix(given: list[str], results: list[str]) -> None:
    assert named(given) == results


@pytest.mark.parametrize("kind", ["png", "auto", "jpeg"])
def test_no_two_results_have_one_name(kind: str) -> None:
    rng = random.Random(0)
    words = ["a", "A", "a.png", "a.jpg", "b"]
    suffixes = [".png", ".PNG", ".jpg", ".gif", ".webp", ".tif"]
    for _ in range(500):
        folders = ["", "a/", "a.png/"]
        some = {rng.choice(folders) + rng.choice(words) + rng.choice(suffixes) for _ in range(rng.randint(1, 12))}
        parents = {str(parent) for place in some for parent in PurePosixPath(place).parents}
        given = sorted({place.casefold(): place for place in some - parents}.values())
        results = named(given, kind)
        assert len({result.casefold() for result in results}) == len(results)
        assert [str(PurePosixPath(result).parent) for result in results] == [
            str(PurePosixPath(place).parent) for place in given
        ]
        for place, result in zip(given, results, strict=True):
            assert result.startswith((place, str(PurePosixPath(place).with_suffix(""))))


def test_auto_keeps_a_format_that_can_be_saved() -> None:
    given = ["a.JPG", "b.jpeg", "c.webp", "d.gif", "e.bmp", "f.tif", "g", "h.txt"]
    assert named(given, "auto") == ["a.JPG", "b.jpeg", "c.webp", "d.png", "e.png", "f.tif", "g.png", "h.png"]


def test_two_pictures_of_one_place_are_refused() -> None:
    with pytest.raises(UsageError, match="both become cat"):
        named(["cat.jpg", "cat.jpg"])


def test_a_folder_is_listed_in_order_with_its_tree_and_without_what_is_no_picture(tmp_path: Path) -> None:
    folder = made(
        tmp_path / "in", "b.PNG", "a.jpg", "notes.txt", ".hidden.png", "sub/c.webp", "sub/deep/d.tif", ".git/e.png"
    )
    (folder / "linked").symlink_to(folder / "sub", target_is_directory=True)
    assert places([folder]) == ["a.jpg", "b.PNG"]
    assert places([folder], recursive=True) == ["a.jpg", "b.PNG", "sub/c.webp", "sub/deep/d.tif"]
    (told,) = find([str(folder)], recursive=True, out=None).remarks
    assert told == "skipped: 1 links to folders, 1 .txt" or told == "skipped: 1 .txt, 1 links to folders"
    (told,) = find([str(folder)], recursive=False, out=None).remarks
    assert "1 folders inside (-r includes them)" in told


def test_results_inside_the_folder_are_not_pictures_of_the_next_batch(tmp_path: Path) -> None:
    folder = made(tmp_path / "in", "a.jpg", "out/a.png", "out/sub/b.png")
    assert places([folder], recursive=True, out=folder / "out") == ["a.jpg"]


def test_a_link_to_a_folder_that_is_named_is_looked_into(tmp_path: Path) -> None:
    made(tmp_path / "in", "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "in", target_is_directory=True)
    assert places([tmp_path / "link"]) == ["a.jpg"]


def test_a_pattern_keeps_the_tree_below_its_plain_part(tmp_path: Path) -> None:
    made(tmp_path / "in", "a/1.jpg", "b/2.jpg", "b/3.png", "b/c/4.jpg", "b/notes.txt")
    assert places([tmp_path / "in/*/*.jpg"]) == ["a/1.jpg", "b/2.jpg"]
    assert places([tmp_path / "in/**/*.jpg"]) == ["a/1.jpg", "b/2.jpg", "b/c/4.jpg"]
    assert places([tmp_path / "in/b/*"]) == ["2.jpg", "3.png"]
    with pytest.raises(UsageError, match="no picture matches"):
        find([str(tmp_path / "in/*.gif")], recursive=False, out=None)


def test_a_file_that_is_there_is_no_pattern_and_one_that_is_not_there_is_told_when_read(tmp_path: Path) -> None:
    made(tmp_path, "photo[1].jpg", "photo1.jpg")
    assert places([tmp_path / "photo[1].jpg", tmp_path / "missing.jpg"]) == ["photo[1].jpg", "missing.jpg"]


def test_a_picture_is_meant_once_however_often_it_is_named(tmp_path: Path) -> None:
    made(tmp_path / "in", "a.jpg", "b.jpg")
    assert places([tmp_path / "in/b.jpg", tmp_path / "in", tmp_path / "in/../in/a.jpg"]) == ["b.jpg", "a.jpg"]


def test_one_file_is_single_and_a_folder_of_one_is_not(tmp_path: Path) -> None:
    made(tmp_path / "in", "a.jpg")
    assert find([str(tmp_path / "in/a.jpg")], recursive=False, out=None).single
    assert not find([str(tmp_path / "in")], recursive=False, out=None).single


def test_a_folder_that_cannot_be_listed_is_a_failure_not_an_omission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "in", "a.jpg", "locked/b.jpg", "z/c.jpg")
    scandir = os.scandir

    def locked(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = {str(one.place): one.problem for one in find([str(tmp_path / "in")], recursive=True, out=None).found}
    assert found == {"a.jpg": "", "locked": "cannot be listed (Permission denied)", "z/c.jpg": ""}


def test_an_empty_word_is_not_the_folder_one_is_in() -> None:
    with pytest.raises(UsageError, match="empty word"):
        find([""], recursive=True, out=None)


def test_names_become_one_line_and_text() -> None:
    assert printable("two\nlines\x1b[31m") == r"two\nlines\x1b[31m"
    assert printable("größe 猫.png") == "größe 猫.png"
    assert "\udcff" not in text(PurePosixPath("bad\udcff.png"))


def test_patterns_and_folders_follow_no_link_and_enter_no_results(tmp_path: Path) -> None:
    folder = made(tmp_path / "in", "a/1.jpg", "a/b/2.jpg", "out/3.jpg", ".hidden/4.jpg")
    (folder / "self").symlink_to(folder, target_is_directory=True)
    (folder / "a/up").symlink_to(folder, target_is_directory=True)
    expected = ["a/1.jpg", "a/b/2.jpg"]
    for pattern in ("**/*.jpg", "**", "**/**/*.jpg", "**/*/**/*.jpg", "*/**"):
        assert places([folder / pattern], out=folder / "out") == expected, pattern
        (told,) = find([str(folder / pattern)], recursive=False, out=folder / "out").remarks
        assert "links to folders" in told
    assert places([folder], recursive=True, out=folder / "out") == expected
    assert places([folder / "*/*.jpg"]) == ["a/1.jpg", "out/3.jpg"]
    assert places([folder / "self/*/*.jpg"]) == ["a/1.jpg", "out/3.jpg"]  # a link that is named is followed


def test_what_pinxit_made_is_not_found_below_a_folder_and_is_where_it_is_named(tmp_path: Path) -> None:
    folder = made(
        tmp_path / "in", "a.jpg", "old/b.jpg", "old/tree/b.jpg", "old/mine.jpg", "run/samples/c.jpg", "sub/d.jpg"
    )
    write_json(folder / "run/recipe.json", {"pinxit": "0.2.0"})
    entries = [{"input": "in/a.jpg", "output": output} for output in ("b.jpg", "tree/b.jpg")]
    write_json(folder / "old/manifest.json", {"made_by": "pinxit 0.2.0", "pictures": entries})
    save_picture(folder / "check.png", Picture(np.zeros((4, 4, 3), np.uint8)), SHEET_RECIPE)
    for words, recursive in (([folder], True), ([folder / "**"], False)):
        assert places(words, recursive) == ["a.jpg", "old/mine.jpg", "sub/d.jpg"]
        (told,) = find([str(word) for word in words], recursive, None).remarks
        for what in ("1 runs of pinxit", "2 results of earlier edits", "1 sheets that pinxit made"):
            assert what in told
    assert places([folder / "old"]) == ["b.jpg", "mine.jpg"]
    with pytest.raises(UsageError, match="no picture matches"):
        places([folder / "*/tree/*"])
    for odd in ("[" * 9000, '{"made_by": "pinxit", "pictures": [7]}', '{"made_by": "pinxit", "pictures": 1e999}'):
        (folder / "old/manifest.json").write_text(odd)
        assert places([folder], recursive=True) == ["a.jpg", "old/b.jpg", "old/mine.jpg", "old/tree/b.jpg", "sub/d.jpg"]


def test_names_that_differ_in_case_only_become_different_results() -> None:
    assert named(["A.png", "a.PNG"]) == ["A.png.png", "a.PNG-2.png"]
    assert named(["A.png", "a.PNG", "a.Png", "b.png"]) == ["A.png.png", "a.PNG-2.png", "a.Png-3.png", "b.png"]
    with pytest.raises(UsageError, match=r"both are named cat\.jpg; edit them into different folders"):
        named(["cat.jpg", "cat.jpg"])


def test_an_out_that_is_neither_file_nor_folder_is_called_so(tmp_path: Path) -> None:
    (one,) = find([str(made(tmp_path, "a.jpg") / "a.jpg")], recursive=False, out=None).found
    made(tmp_path, "x")
    for out, line in ((Path("/dev/full"), "neither a file nor a folder"), (tmp_path / "x", r"x\.png works")):
        with pytest.raises(UsageError, match=line):
            plan([one], out, out, EditSettings())
    with pytest.raises(UsageError, match="several pictures need a folder"):
        plan([one, one], tmp_path / "x", tmp_path / "x", EditSettings())


def test_results_are_not_written_through_a_link_in_their_folder(tmp_path: Path) -> None:
    found = find([str(made(tmp_path / "in", "sub/a.jpg"))], recursive=True, out=None).found
    out = made(tmp_path / "out")
    (out / "sub").symlink_to(made(tmp_path / "elsewhere"), target_is_directory=True)
    with pytest.raises(DataError, match="sub is a symbolic link"):
        plan(found, out, out, EditSettings())
