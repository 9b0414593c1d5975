"""One rule for outputs over all actions: nothing that is there is replaced unasked, or written through."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pinxit.actions import ACTIONS, variants
from pinxit.actions.action import Flag, mark
from pinxit.cli import run
from pinxit.errors import DiskError, UsageError
from pinxit.files import free, is_device, refuse_to_replace, write_whole

LINES = {
    "learn": ("gan -o there", "there/lesson.html"),
    "sample": ("run -n 2 -o {}", "a.npz"),
    "reconstruct": ("run set -o {}", "a.png"),
    "traverse": ("run -o {}", "a.png"),
    "morph": ("run set --start 0 --end 1 -o {}", "a.png"),
    "map": ("run set -o {}", "a.png"),
    "anomaly": ("run set -o there", "there/anomaly.json"),
    "compress": ("run set -o {}", "a.pxc"),
    "decompress": ("run set.pxc -o {}", "a.npz"),
    "edit": ("adjust in.png -o {}", "a.png"),
    "redo": ("edited.png -o {}", "a.png"),
    "predict": ("run in.png -o there", "there/predictions.csv"),
    "explain": ("run in.png -o there", "there/explanations.html"),
    "evaluate": ("one other -o {}", "a.json"),
    "export": ("run -o {}", "a.onnx"),
    "data check": ("set -o there", "there/check.png"),
}
"""The action and its output. Nothing but in.png and edited.png exists: each must be refused before work begins."""
RUNS = {"demo", "train"}
"""A run's folder is never replaced; the tests of runs say so."""


def a_file(path: Path, secret: Path) -> None:
    path.write_bytes(b"mine")


def a_link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def a_link_to_nothing(path: Path, secret: Path) -> None:
    path.symlink_to(secret.with_name("new"))


def a_pipe(path: Path, secret: Path) -> None:
    os.mkfifo(path)


THERE: list[Callable[[Path, Path], None]] = [a_file, a_link, a_link_to_nothing, a_pipe]


def test_every_action_with_an_output_has_the_flag_and_a_line_here() -> None:
    writes = set()
    for name in ACTIONS:
        for kind in variants(name).values():
            flags = [flag for field in kind.model_fields.values() if (flag := mark(field.metadata, Flag))]
            if "-o" in (names := {name for flag in flags for name in flag.names}):
                writes.add(name)
                assert "-y" in names, name
    assert writes == set(LINES)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture and a result, and a secret beside the folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "secret").write_bytes(b"secret")
    Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save("in.png")
    assert run(["edit", "adjust", "in.png", "-o", "edited.png"]) == 0
    return tmp_path


def tree(folder: Path) -> dict[str, object]:
    return {
        str(path): path.is_symlink() or (path.read_bytes() if path.is_file() else path.stat().st_mode)
        for path in folder.rglob("*")
    }


def test_nothing_that_is_there_is_replaced_unasked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, (line, output) in LINES.items():
        for there in THERE:
            Path(output).parent.mkdir(exist_ok=True)
            there(Path(output), here / "secret")
            before = tree(here)
            assert run([*name.split(), *shlex.split(line.format(output))]) == 2, (name, there)
            assert f"{output} exists; -y replaces" in capsys.readouterr().err, (name, there)
            assert tree(here) == before
            Path(output).unlink()


def test_with_the_flag_a_link_is_replaced_and_never_written_through(here: Path) -> None:
    for there in THERE:
        there(Path("a.png"), here / "secret")
        assert run(["edit", "adjust", "in.png", "-o", "a.png", "-y"]) == 0
        assert not Path("a.png").is_symlink()
        assert Path("a.png").read_bytes() == Path("edited.png").read_bytes()
        assert (here / "secret").read_bytes() == b"secret"
        assert not (here / "new").exists()
        Path("a.png").unlink()


def test_a_device_is_written_into_and_stays(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    devices = {"/dev/null": 0, "/dev/full": 6}
    for device, code in devices.items():
        assert is_device(Path(device))
        mode = Path(device).stat().st_mode
        assert run(["edit", "adjust", "in.png", "-o", device]) == code
        assert Path(device).stat().st_mode == mode
    assert "cannot write /dev/full: the disk is full" in capfd.readouterr().err
    assert not is_device(Path("/dev/shm"))
    assert not is_device(here / "secret")


def test_what_cannot_be_written_is_said_before_work_begins(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DiskError, match="cannot write"):
        refuse_to_replace(here / "secret" / "x.png", overwrite=False)
    with pytest.raises(UsageError, match="is a folder"):
        refuse_to_replace(here, overwrite=True)
    refuse_to_replace(here / "new" / "folders" / "x.png", overwrite=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DiskError, match="permission denied"):
        refuse_to_replace(here / "x.png", overwrite=False)


def test_the_first_free_name_is_taken(tmp_path: Path) -> None:
    write_whole(tmp_path / "check.png", b"")
    (tmp_path / "check-2.png").symlink_to("nowhere")
    assert free(tmp_path / "check.png").name == "check-3.png"
