"""Every command of the README runs: with 20 steps in place of any budget, and, when slow, as printed."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pinxit.cli import run
from pinxit.data import DataSet

ROOT = Path(__file__).parents[2]


def blocks(kind: str, name: str = "README.md") -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(name: str = "README.md") -> list[str]:
    return [line for block in blocks("sh", name) for line in block.splitlines()]


def quick(line: str) -> str:
    """The same command with 20 steps in place of its minutes, and few pictures in place of many."""
    line = re.sub(r"--minutes \d+", "--steps 20 --batch-size 4 --channels 4", line)
    if " prior " in line:  # whose networks are of fully connected layers
        line = line.replace(" --channels 4", "")
    return line.replace("-n 10000", "-n 200")


@pytest.fixture
def desk(
    photos: Callable[..., Path], mnist: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A working folder with a folder `photos` in it, and MNIST in the cache."""
    photos(12, size=(80, 70), classes=("cats", "dogs"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)


def carry_out(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "pinxit", line
    try:
        code = run(words)
    except SystemExit as error:
        code = error.code
    assert not code, line


def test_the_chinese_readme_has_the_same_commands() -> None:
    assert commands("README.zh.md") == commands()
    assert blocks("python", "README.zh.md") == blocks("python")


def test_every_command_runs_with_twenty_steps(desk: Path) -> None:
    for line in commands():
        if line.startswith("make "):
            dry = subprocess.run(
                ["make", "--dry-run", "-C", ROOT, *shlex.split(line)[1:]], capture_output=True, check=False
            )
            assert dry.returncode == 0, line
        else:
            carry_out(quick(line))
    carry_out("pinxit demo --steps 20 -n 100")
    for name in ("photos-new.png", "sevens.png", "likelier.png", "ways.png", "fakes.npz", "check.png"):
        assert (desk / name).stat().st_size > 100, name
    for name in ("digits.png", "report.html", "weights.safetensors"):
        assert (desk / "runs" / "demo" / name).exists()


def test_the_python_runs(desk: Path) -> None:
    for block in blocks("python"):
        exec(block.replace("minutes=2", "steps=20, batch_size=4"), {})


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_command_runs_as_printed(desk: Path) -> None:
    for line in commands():
        if not line.startswith("make "):
            carry_out(line)
    carry_out("pinxit demo")
