"""Laws of the doctor of a set: every kind of trouble is found, with the right names, and nothing else is said."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pinxit.data import open_data
from pinxit.data.check import MARK, SHEET_SIDE, check
from pinxit.data.findings import FINDINGS, grouped, near_pairs
from pinxit.data.sets import held_out
from pinxit.errors import DataError

SIDE = 64


def scene(seed: int, side: int = SIDE) -> Image.Image:
    """A smooth coloured picture, as photographs are, different for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return saved(scene(90), "JPEG", exif=exif)


def see_through() -> bytes:
    picture = scene(91).convert("RGBA")
    picture.putalpha(128)
    return saved(picture)


def deep(peak: int) -> bytes:
    numbers = np.arange(SIDE * SIDE, dtype=np.uint32).reshape(SIDE, SIDE) * peak // (SIDE * SIDE - 1)
    return saved(Image.fromarray(numbers.astype(np.uint16)))


PROFILE = b"\0" * 12 + b"mntrRGB XYZ " + b"Adobe RGB (1998)"
# Files beside three sound pictures, and the findings they make: kind -> names, as shown.
SETS: dict[str, tuple[dict[str, bytes], dict[str, tuple[str, ...]]]] = {
    "sound": ({}, {}),
    "unreadable": ({"x.png": b"\x89PNG", "y.jpg": b"text"}, {"unreadable": ("x.png: ", "y.jpg: ")}),
    "copies": ({"x.png": saved(scene(1))}, {"copies": ("1.png = x.png",)}),
    "smaller": ({"x.jpg": saved(scene(1, 70), "JPEG", quality=60)}, {"near copies": ("1.png ~ x.jpg",)}),
    "edited": (
        {"x.png": saved(scene(1).point(lambda value: min(255, 1.04 * value)))}, {"near copies": ("1.png ~ x.png",)}),
    "one colour": ({"x.png": saved(Image.new("RGB", (SIDE, SIDE), "red"))}, {"one colour": ("x.png",)}),
    "12 bits": (
        {"x.png": deep(4095)}, {"dark 16 bits": ("x.png",), "mixed channels": ("x.png",)}),
    "12 bits of 16": (
        {"x.png": deep(4095), "y.png": deep(65535)}, {"mixed channels": ("x.png", "y.png"), "remark": ("x.png",)}),
    "16 bits": ({"x.png": deep(65535)}, {"mixed channels": ("x.png",)}),
    "long": ({"x.png": saved(scene(95).resize((300, 90)))}, {"long sides": ("x.png",)}),
    "tiny": ({"x.png": saved(scene(96, 12))}, {"tiny": ("x.png",), "smaller than --size": ("x.png",)}),
    "small": ({"x.png": saved(scene(97, 40))}, {"smaller than --size": ("x.png",)}),
    "screenshot": ({"Screenshot 1.png": saved(scene(98))}, {"screenshots and previews": ("Screenshot 1.png",)}),
    "transparent": ({"x.png": see_through()}, {"transparent": ("x.png",)}),
    "turned": ({"x.jpg": turned()}, {"turned": ("x.jpg",)}),
    "profile": ({"x.png": saved(scene(92), icc_profile=PROFILE)}, {"profiles": ("x.png",)}),
    "CMYK": ({"x.jpg": saved(scene(93).convert("CMYK"), "JPEG")}, {"CMYK": ("x.jpg",)}),
}  # fmt: skip
ABOUT_THE_SET = {"few pictures", "small classes", "leaks"}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    def make(files: dict[str, bytes]) -> Path:
        place = tmp_path / str(len([*tmp_path.iterdir()]))
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        return place

    return make


SOUND = {f"{number}.png": saved(scene(number)) for number in (1, 2, 3)}


def test_each_kind_is_found_by_name_and_nothing_else(folder: Callable[[dict[str, bytes]], Path]) -> None:
    seen_kinds = {"leaks", "contradictions"}
    for title, (files, expected) in SETS.items():
        report = check(str(folder(SOUND | files)))
        found = {one.kind: one.names for one in report.findings if one.kind not in ABOUT_THE_SET}
        assert found.keys() == expected.keys(), title
        for kind, names in expected.items():
            assert all(said.startswith(name) for said, name in zip(found[kind], names, strict=True)), title
        seen_kinds |= found.keys()
    assert set(FINDINGS) <= seen_kinds


def test_equal_scenes_across_the_parts_are_a_leak(folder: Callable[[dict[str, bytes]], Path]) -> None:
    """By folders, and by names where training would choose them; and equal pictures of two classes."""
    jpeg = saved(scene(77), "JPEG", quality=70)
    split = folder({"train/a/1.png": saved(scene(77)), "train/b/2.png": saved(scene(6)), "val/a/3.jpg": jpeg})
    leaks = {one.kind: one.names for one in check(str(split)).findings}["leaks"]
    assert leaks == ("train/a/1.png ~ val/a/3.jpg",)
    names = [f"{number}.png" for number in range(40)]
    held = held_out(names, 0.1)
    one, other = names[int(held.argmin())], names[int(held.argmax())]
    files = {name: saved(scene(number)) for number, name in enumerate(names)} | {one: jpeg, other: saved(scene(77))}
    by_name = folder(files)
    assert other in open_data(str(by_name)).held_out.names
    assert {one.kind: one.names for one in check(str(by_name)).findings}["leaks"] == (" ~ ".join(sorted([one, other])),)
    doubled = folder({"a/1.png": saved(scene(1)), "b/2.png": saved(scene(1)), "b/3.png": saved(scene(2))})
    found = {one.kind: one.names for one in check(str(doubled)).findings}
    assert found["contradictions"] == found["copies"] == ("a/1.png = b/2.png",)


def test_the_sheet_frames_what_findings_are_about(folder: Callable[[dict[str, bytes]], Path]) -> None:
    """Also of a picture that no even choice would show."""
    files = {f"{number:03d}.png": saved(scene(number)) for number in range(130)}
    report = check(str(folder(files | {"001.png": saved(Image.new("RGB", (SIDE, SIDE), "blue"))})))
    corners = report.sheet[2 :: SHEET_SIDE + 2, 2 :: SHEET_SIDE + 2][:8, :8].reshape(-1, 3)
    assert (corners == MARK[:3]).all(1).nonzero()[0].tolist() == [1]
    assert report.sheet[40, 2 + SHEET_SIDE + 40].tolist() == [0, 0, 255]


def test_nearly_equal_thumbnails_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    thumbs = np.random.default_rng(0).integers(0, 256, (30, 16, 16), np.uint8)
    thumbs[25], thumbs[29] = thumbs[3], thumbs[25] // 2 * 2
    for block in (4, 1000):
        monkeypatch.setattr("pinxit.data.findings.BLOCK", block)
        assert near_pairs(thumbs)[0] == (3, 25)
    assert grouped([(1, 2), (5, 6), (2, 5), (8, 9)]) == [[1, 2, 5, 6], [8, 9]]


def test_one_picture_is_a_set(folder: Callable[[dict[str, bytes]], Path]) -> None:
    place = folder(SOUND | {"x.png": b""})
    assert check(str(place / "1.png")).sizes == [(SIDE, SIDE)]
    assert len(open_data(str(place / "1.png")).train) == 1
    with pytest.raises(DataError, match=r"none of 1 pictures can be read; the first: x.png"):
        check(str(place / "x.png"))


def test_an_error_nobody_foresaw_names_its_file_and_the_set_goes_on(
    folder: Callable[[dict[str, bytes]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pinxit.data import sources

    def read(path: Path, name: str) -> sources.Picture:
        assert name != "2.png", "odd"
        return read_picture(path, name)

    read_picture = sources.read_picture
    monkeypatch.setattr(sources, "read_picture", read)
    opened = open_data(str(folder(SOUND)), holdout=0)
    assert opened.train.names == ["1.png", "3.png"]
    assert any(note.startswith("2.png: cannot be read (AssertionError: odd") for note in opened.notes)


def test_small_is_said_of_the_size_that_training_takes(folder: Callable[[dict[str, bytes]], Path]) -> None:
    def small(place: Path, **words: int) -> list[int]:
        return [one.count for one in check(str(place), **words).findings if one.kind == "smaller than --size"]

    equal = folder({f"{number}.png": saved(scene(number, 30)) for number in range(3)})
    assert (small(equal), small(equal, size=64)) == ([], [3])
    (equal / "x.png").write_bytes(saved(scene(9, 80)))
    assert small(equal) == [3]


def test_the_sizes_of_a_set_are_told_apart(folder: Callable[[dict[str, bytes]], Path]) -> None:
    place = folder({"a.png": saved(scene(1).resize((1, 200))), "b.png": saved(scene(2).resize((200, 2)))})
    assert "1 to 200 pixels wide, 2 to 200 high" in open_data(str(place)).notes[0]
