"""Where pinxit speaks: streams that are closed, full or narrow, names that act on a terminal, and foreign folders."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pinxit
from pinxit.actions.action import Outcome
from pinxit.cli import run
from pinxit.commands import _print
from pinxit.errors import UsageError, as_user_error, is_about_memory
from pinxit.files import cache_folder
from pinxit.page import command, page
from pinxit.progress import Event, say, watched
from pinxit.streams import prepare

HOSTILE = "\x1b[2J\x9b31m\u202eno\nrun\ud800"
PINXIT = [sys.executable, "-m", "pinxit"]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in a folder; `pinxit` in it is this one."""
    line = line.replace("pinxit", shlex.join(PINXIT))
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full and bash")
def test_full_and_closed_streams_change_the_exit_code_only_if_a_result_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line, code in {"pinxit --version >&-": 6, "pinxit --version <&- 2>&-": 0}.items():
        done = shell(line, tmp_path)
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False), (line, done.stderr)
    for stream, words, code in (("stdout", ["--help"], 6), ("stderr", ["compare", "nope", "nope"], 3)):
        with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
            patch.setattr(sys, stream, full)
            assert run(words) == code


def test_a_removed_working_folder_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(["runs"]) == 2
    assert "the working folder was removed" in capsys.readouterr().err


def test_help_of_any_width_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("0", "1", "19", "500"):
        monkeypatch.setenv("COLUMNS", given)
        prepare()
        assert os.environ.get("COLUMNS") == {"0": None, "500": "500"}.get(given, "20")
        assert run(["compare", "--help"]) == 0
    assert "Compare two certificates" in capsys.readouterr().out


def test_whole_numbers_are_not_rounded(capsys: pytest.CaptureFixture[str]) -> None:
    for given, code in {"2.5": 2, "x.y": 2, ".7": 2, "2.": 3, "2.0": 3}.items():  # 3: there is no such run
        assert run(["sample", "nope", "-n", given]) == code
        assert (f'-n: "{given}" is not a whole number' in capsys.readouterr().err) == (code == 2)


def test_any_encoding_of_stdout_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, escaped in (("cp1252", b"gr\xf6\xdfe\\u2192"), ("ascii", rb"gr\xf6\xdfe\u2192")):
        streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            prepare()
            assert run(["train", "gan", "--help"]) == 0
            assert run(["compare", "größe→猫", "x"]) == 3
        assert escaped in streams["stderr"].buffer.getvalue()


def test_json_stays_exact_whatever_stdout_can_hold(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("größe 猫", HOSTILE.replace("\ud800", ""), "\ud800"):
        _print(Outcome(document={"name": text}), as_json=True)
        told = capsys.readouterr().out
        assert json.loads(told) == {"name": text}
        assert "\x9b" not in told
        assert "\u202e" not in told


@pytest.fixture
def told() -> Iterator[list[Event]]:
    events: list[Event] = []
    with watched(events.append):
        yield events


def test_text_from_files_cannot_act(told: list[Event], capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    _print(Outcome(lines=[HOSTILE, Path("a b")]), as_json=False)
    out = capsys.readouterr().out
    assert told[-1].text == r"\x1b[2J\x9b31m\u202eno\nrun\ud800"
    assert out == told[-1].text + "\na b\n"
    shown = page(HOSTILE, f"<p>{HOSTILE}</p>").encode()
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown.decode())


def test_commands_to_paste_are_one_word_per_word() -> None:
    assert shlex.split(command("resume", "my run; rm -rf $HOME")) == ["pinxit", "resume", "my run; rm -rf $HOME"]
    ours = {"", "model.kind", "kind", "name", "WHEEL"}  # names that pinxit itself gives
    for file in Path(pinxit.__file__).parent.rglob("*.py"):
        found = set(re.findall(r"`pinxit [^`{]*\{([^}`]*)\}", file.read_text(encoding="utf-8")))
        assert found <= ours, f"{file.name}: {found - ours} is not quoted; page.command quotes"


def test_nothing_that_lies_in_the_working_folder_runs(tmp_path: Path) -> None:
    for name in ("onnxruntime", "numpy", "PIL", "argparse", "typing", "torch", "cyclopts", "pydantic", "scipy", "json"):
        (tmp_path / f"{name}.py").write_text("open('RAN', 'a').write(__name__)")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "m.onnx").write_bytes(b"x")
    assert shell("pinxit compare m.onnx a.png", tmp_path).returncode == 3
    done = subprocess.run(
        [sys.executable, "-m", "pinxit.runtime", "m.onnx", "a.png", "-o", "c.png"], cwd=tmp_path, check=False
    )
    assert done.returncode in (2, 3)
    assert not (tmp_path / "RAN").exists()


def test_settings_of_plots_that_lie_in_the_working_folder_do_not_act(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "matplotlibrc")  # who reads it waits for ever
    code = "import os, pinxit.plots; print(os.getcwd())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, timeout=60, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PINXIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(UsageError, match="PINXIT_CACHE"):
        cache_folder()


def test_warnings_and_logs_of_libraries_stay_silent() -> None:
    code = (
        "import logging, warnings; from pinxit.streams import silence_libraries; silence_libraries()\n"
        "warnings.warn('a chunk is odd'); logging.getLogger('PIL').error('a tag is odd')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b""


def test_too_little_memory_is_exit_5_in_every_librarys_words() -> None:
    words = (
        "[enforce fail at alloc_cpu.cpp:128] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes",
        "could not create a primitive",
        "std::bad_alloc",
        "can't start new thread",
        "CUDA out of memory. Tried to allocate 2 GiB",
        "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 3",
        "unable to mmap 12 bytes from file <x>: Cannot allocate memory (12)",
    )
    for error in (
        *map(RuntimeError, words),
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError(words[-1]),
    ):
        assert is_about_memory(error)
        assert as_user_error(error).exit_code == 5
    assert as_user_error(OSError(28, "No space left on device", "x")).exit_code == 6
    for other in (ValueError("out of memory"), RuntimeError("could not create a primitive descriptor")):
        assert as_user_error(other).exit_code == 1
