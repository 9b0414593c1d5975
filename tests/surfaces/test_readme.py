"""Every command of the README runs: with 20 steps in place of any budget, and, when slow, as printed."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import TinyRuns
from pinxit.cli import run
from pinxit.data import DataSet
from pinxit.data.pack import pack
from pinxit.data.sources import key_of, mnist_like

ROOT = Path(__file__).parents[2]
MAKES = re.compile(r"(?:--out|-o) (\S+)")


def blocks(kind: str, name: str = "README.md") -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(name: str = "README.md") -> list[str]:
    return [line for block in blocks("sh", name) for line in block.splitlines()]


def chains() -> dict[str, list[str]]:
    """The commands in groups that need nothing of each other, by the first thing each makes: they can run apart.

    A block belongs to every group before it that made a file or run it names.
    """
    groups: list[tuple[set[str], list[str]]] = []
    for block in blocks("sh"):
        used = [group for group in groups if any(name in block for name in group[0])]
        groups = [group for group in groups if group not in used]
        made = {word for line in block.splitlines() for word in MAKES.findall(line)}
        lines = [line for group in used for line in group[1]] + block.splitlines()
        groups.append((made.union(*(group[0] for group in used)), lines))
    return {next((name for line in lines for name in MAKES.findall(line)), lines[0]): lines for _, lines in groups}


def quick(line: str) -> str:
    """The same command with few steps in place of its minutes, and few pictures in place of many."""
    line = re.sub(r"--minutes \d+", "--steps 20 --batch-size 4 --channels 4", line)
    if " prior " in line:  # whose networks are of fully connected layers
        line = line.replace(" --channels 4", "")
    if line.endswith(" learn gan"):
        line += " --steps 20"
    if re.search(r" edit (stylize .*--style|texture) ", line):  # painted by optimisation
        line += " --steps 5"
    return line.replace("-n 10000", "-n 200").replace("-n 1000", "-n 100")


CHAINS = chains()


@pytest.fixture(scope="module")
def few_digits(mnist: DataSet) -> str:
    """The fingerprint of 2,000 pictures of MNIST to train on and 500 to judge by, packed."""
    parts = {"train": (mnist.train, 2000), "test": (mnist.held_out, 500)}
    pairs = {
        part: (np.stack([images[number][..., 0] for number in range(count)]), images.labels[:count])
        for part, (images, count) in parts.items()
    }
    return pack(mnist_like("mnist", key_of("few digits"), pairs))[0].fingerprint


@pytest.fixture
def desk(
    photos: Callable[..., Path], mnist: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A working folder with a folder `photos` and the pictures of the docs in it, and MNIST in the cache."""
    photos(12, size=(80, 70), classes=("cats", "dogs"))
    shutil.copytree(ROOT / "docs" / "pictures", tmp_path / "docs" / "pictures")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)


@pytest.fixture
def small_desk(desk: Path, tiny_runs: TinyRuns, few_digits: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a run made before, and few digits in place of MNIST: judging by 70,000 takes minutes."""
    tiny_runs.copy("gan", desk / "runs" / "before")
    monkeypatch.setattr("pinxit.data.mnist.FINGERPRINT", few_digits)
    return desk


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


@pytest.mark.parametrize("name", CHAINS)
def test_every_command_runs_with_twenty_steps(small_desk: Path, name: str) -> None:
    for line in CHAINS[name]:
        if line.startswith("make "):
            dry = subprocess.run(
                ["make", "--dry-run", "-C", ROOT, *shlex.split(line)[1:]], capture_output=True, check=False
            )
            assert dry.returncode == 0, line
        else:
            carry_out(quick(line))
        for made in MAKES.findall(line):
            path = small_desk / made
            assert path.is_dir() if "." not in path.name else path.stat().st_size > 100, line


def test_the_chains_are_all_the_commands() -> None:
    assert sorted(line for lines in CHAINS.values() for line in lines) == sorted(commands())


def test_the_demo_runs_with_twenty_steps_and_is_judged(small_desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carry_out("pinxit demo --steps 20 -n 100")
    assert re.search(r"^100 pictures of demo against 100 of mnist:test", capsys.readouterr().out, re.MULTILINE)
    for name in ("digits.png", "report.html", "weights.safetensors"):
        assert (small_desk / "runs" / "demo" / name).exists()


def test_the_python_runs(small_desk: Path) -> None:
    for block in blocks("python"):
        exec(block.replace("minutes=2", "steps=20, batch_size=4"), {})


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_command_runs_as_printed(desk: Path) -> None:
    for line in commands():
        if not line.startswith("make "):
            carry_out(line)
    carry_out("pinxit demo")
