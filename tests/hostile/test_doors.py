"""The guarded doors: regular files only, no links inside a run, plain JSON, printable text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pinxit.errors import DataError, printable
from pinxit.files import open_plain, read_bytes, read_json

UNREADABLE = {
    "deep": "[" * 100_000,
    "not a number": "[NaN]",
    "infinite": "[Infinity]",
    "infinite by size": "[1e999]",
    "digits": "1" * 5_000,
    "empty": "",
    "not UTF-8": "\udc80",
    "two values": "1 2",
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_odd_json_is_refused_with_its_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(UNREADABLE[kind].encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"odd\.json is not JSON"):
        read_json(path)


def test_plain_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plain.json"
    path.write_text('{"a": [1, 2.5, "é", null]}', encoding="utf-8")
    assert read_json(path) == {"a": [1, 2.5, "é", None]}
    with pytest.raises(DataError, match="larger than 8 bytes"):
        read_json(path, largest=8)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "nothing"):
        with pytest.raises(DataError, match="cannot read"):
            open_plain(path)
    if (memory := Path("/proc/self/mem")).exists():  # can be opened, and not be read at its beginning
        with pytest.raises(DataError, match="cannot read /proc/self/mem: Input/output error"):
            read_bytes(memory, 9)


def test_links_inside_a_run_are_not_followed(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    for folder in (run / "own", outside):
        folder.mkdir(parents=True)
        (folder / "a").write_text("text")
    (run / "file").symlink_to(outside / "a")
    (run / "folder").symlink_to(outside)
    (tmp_path / "linked run").symlink_to(run)
    for name in ("file", "folder/a"):
        with pytest.raises(DataError, match="symbolic link"):
            open_plain(run / name, inside=run)
    assert read_bytes(run / "file", 99) == b"text"
    assert read_bytes(tmp_path / "linked run/own/a", 99, inside=tmp_path / "linked run") == b"text"


def test_text_from_files_cannot_act() -> None:
    assert printable("\x1b[2Jno\nrun\u202e\ud800\u2028") == r"\x1b[2Jno\nrun\u202e\ud800\u2028"
    for kept in ("日本 é", "a\u3000b", "می\u200cخواهم", "👩\u200d🎨"):
        assert printable(kept) == kept
