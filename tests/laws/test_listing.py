"""Which pictures a request names, and the names of results: no two share a name, whatever the pictures are named."""

import os
import random
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

from pinxit.errors import UsageError
from pinxit.jobs.listing import find, name_results, printable, text


def made(folder: Path, *names: str) -> Path:
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
