"""npz and IDX files of strangers: one line with the file and the field, before memory is taken; no wait on a pipe."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pinxit.cli import run
from pinxit.data import open_data
from pinxit.data.arrays import Numbered, reader, refuse_claim
from pinxit.data.pack import Words, pack_folder, pack_path
from pinxit.data.pairs import is_packed
from pinxit.errors import DataError, MemoryLimitError
from pinxit.images import room

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)


def npz(**fields: np.ndarray | bytes) -> bytes:
    """An npz of arrays, or of files as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, field in fields.items():
            content = io.BytesIO()
            if isinstance(field, bytes):
                content.write(field)
            else:
                np.save(content, field, allow_pickle=True)
            archive.writestr(f"{name}.npy", content.getvalue())
    return file.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + content


def shaped(shape: str) -> bytes:
    return npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}\n", IMAGES.tobytes())


def unicode(*points: int) -> np.ndarray:
    return np.array(points, np.uint32).view("<U1")


def idx(*sides: int, content: bytes = b"") -> bytes:
    return bytes((0, 0, 8, len(sides))) + struct.pack(f">{len(sides)}I", *sides) + content


def labelled(labels: np.ndarray) -> bytes:
    return npz(images=IMAGES, labels=labels)


# Each file, and the words that its one line has: the field, and what is wrong.
FILES: dict[str, tuple[str, bytes, str]] = {
    "open header": ("a.npz", npz(images=npy("{'descr': '|u1', 'shape': (4,6,6,3\n")), "images cannot be read"),
    "no dictionary": ("a.npz", npz(images=npy("[1, 2]\n")), "images cannot be read"),
    "other magic": ("a.npz", npz(images=b"\x93NUMPX\1\0"), "images cannot be read"),
    "nothing": ("a.npz", npz(images=b""), "images cannot be read"),
    "type unknown": ("a.npz", npz(images=npy("{'descr': 'z9', 'fortran_order': False, 'shape': (1,)}\n")), "images"),
    "digits": ("a.npz", npz(images=shaped(f"({'9' * 5000},)")), "images"),
    "negative": ("a.npz", npz(images=shaped("(-4, 6, 6, -3)")), "images: claims"),
    "too few": ("a.npz", npz(images=shaped("(5, 6, 6, 3)")), "images: holds fewer bytes"),
    "too many": ("a.npz", npz(images=shaped("(3, 6, 6, 3)")), "images: holds more bytes"),
    "objects": ("a.npz", npz(images=np.array([{}], object)), "images cannot be read as npz: it holds Python objects"),
    "claim": ("a.npz", npz(images=shaped("(60000, 100, 100, 3)")), "images: claims 60000 x 100 x 100 x 3 .*bomb"),
    "a million": ("a.npz", npz(images=shaped("(1000001, 1, 1, 1)")), "more pictures than bytes"),
    "5,000 digits": ("a.npz", labelled(np.array(["9" * 5000, "1", "1", "1"])), "labels: '999.* is longer than 255"),
    "half a letter": ("a.npz", labelled(unicode(0xD800, 65, 65, 65)), r"labels: '\\ud800' is not text"),
    "no letter": ("a.npz", labelled(unicode(0x7FFFFFFF, 65, 65, 65)), "labels cannot be read"),
    "NUL": ("a.npz", labelled(np.array(["a\0b", "c", "c", "c"])), r"labels: 'a\\x00b' is not text"),
    "label objects": ("a.npz", labelled(np.array([{}] * 4, object)), "labels cannot be read"),
    "IDX claim": ("x-images-idx3-ubyte", idx(60000, 28, 28), "fewer bytes"),
    "IDX.gz claim": ("x-images-idx3-ubyte.gz", gzip.compress(idx(70000, 100, 100)), "bomb"),
    "IDX.gz count": ("x-images-idx3-ubyte.gz", gzip.compress(idx(1_000_001, 1, 1)), "more pictures than bytes"),
    "IDX.gz short": ("x-images-idx3-ubyte.gz", gzip.compress(idx(9, 9, 9, content=bytes(700))), "fewer bytes"),
    "IDX.gz cut": ("x-images-idx3-ubyte.gz", gzip.compress(idx(9, 9, 9, content=bytes(729)))[:-12], "cannot be read"),
}  # fmt: skip


def test_every_defect_is_one_line_with_the_file_and_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, (file, content, words) in FILES.items():
        (tmp_path / file).write_bytes(content)
        with pytest.raises(DataError, match=words):
            open_data(str(tmp_path / file))
        capsys.readouterr()
        assert run(["data", "pack", str(tmp_path / file)]) == 3, name
        told = capsys.readouterr().err
        assert (told.count("\n"), told.startswith(f"pinxit: {file}: ")) == (1, True), told


def test_what_is_whole_is_read_exactly_in_either_order(tmp_path: Path) -> None:
    labels = np.array(["b", "a", "b", "10"])
    np.savez_compressed(tmp_path / "a.npz", images=np.asfortranarray(IMAGES), labels=labels)
    opened = open_data(str(tmp_path / "a.npz"), holdout=0).train
    assert all(np.array_equal(opened[number], picture) for number, picture in enumerate(IMAGES))
    assert [opened.classes[label] for label in opened.labels] == labels.tolist()


def test_memory_is_compared_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refuse_claim("a", (10, 10), 2, 200) == 200
    monkeypatch.setattr(room, "memory_left", lambda: 199)
    monkeypatch.setattr(room, "_SMALL", 0)
    with pytest.raises(MemoryLimitError, match="199 bytes of memory are free"):
        refuse_claim("a", (10, 10), 2, 200)


def test_names_and_pictures_of_arrays_are_made_when_asked_for() -> None:
    names = Numbered({"train/": 2, "test/": 3})
    assert [*names] == ["train/00000", "train/00001", "test/00000", "test/00001", "test/00002"]
    assert (names[-1], names[1:3]) == ("test/00002", ["train/00001", "test/00000"])
    read = reader([IMAGES[:2], IMAGES[2:]])
    assert all(np.array_equal(read(number).pixels, picture) for number, picture in enumerate(IMAGES))
    for words in ([], ["a"], ["a", "", "c", "é"]):
        assert [*Words(np.frombuffer("\0".join(words).encode(), np.uint8))] == words


def test_a_pipe_in_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(1, content=b"1"))
    with pytest.raises(DataError, match="not a regular file"):
        open_data(str(tmp_path))


# The cache.


def test_a_damaged_pack_or_record_is_made_again_and_said(
    photos: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(photos(3))
    first = open_data(folder).train.fingerprint
    packed = pack_path(first)
    (record,) = (path for path in pack_folder().glob("*.json") if first in path.read_text())
    whole = packed.read_bytes()
    index = whole[: -8 - 1] + bytes([whole[-9] ^ 1]) + whole[-8:]
    for path, content in {
        packed: b"", record: b"{", packed.with_name(packed.name): whole[:-1],
        record.with_name(record.name): b'{"fingerprint": "../../x", "notes": []}',
    }.items():  # fmt: skip
        path.write_bytes(content)
        assert open_data(folder).train.fingerprint == first
        assert "missing or damaged; packing it again" in capsys.readouterr().err
        assert packed.read_bytes() == whole
    for content in (index, b'{"fingerprint": 3, "notes": []}'):
        (packed if content is index else record).write_bytes(content)
        assert open_data(folder).train.fingerprint == first


def test_a_fingerprint_that_is_none_is_no_part_of_a_path() -> None:
    for word in ("../../etc/passwd", "zz", "", "0" * 63, "A" * 64, "0" * 64 + "\n"):
        with pytest.raises(DataError, match="not the fingerprint of a set"):
            is_packed(word)
