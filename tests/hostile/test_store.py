"""Checkpoints: whole or not counted, the newest good one is found, a full disk loses nothing."""

import errno
import json
from pathlib import Path

import pytest
import torch

from pinxit import files
from pinxit.errors import DiskError, DivergedError
from pinxit.tensors import read_tensors, write_tensors
from pinxit.training.run import Log, rounded
from pinxit.training.store import Checkpoints


def state(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((64, 64), value), "count": torch.tensor(7)}


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    changed = {
        "cut": content[: len(content) // 2],
        "emptied": b"",
        "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "gone": None,
    }[how]
    path.unlink() if changed is None else path.write_bytes(changed)


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    assert store.newest() is None
    store.save(5, state(1.5), {"log_bytes": 3})
    found = store.newest()
    assert (found.step, found.facts) == (5, {"log_bytes": 3})
    assert all(torch.equal(value, found.state[name]) for name, value in state(1.5).items())


@pytest.mark.parametrize("name", ["state.safetensors", "facts.json", "complete.json"])
@pytest.mark.parametrize("how", ["cut", "emptied", "one bit", "gone"])
def test_the_newest_good_one_is_found_and_saving_goes_on(
    tmp_path: Path, name: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Checkpoints(tmp_path)
    for step in (10, 20, 30):
        store.save(step, state(step), {"log_bytes": 123_456_789_012_345})
    damage(tmp_path / "00000030" / name, how)
    if (
        name == "complete.json" and how == "one bit"
    ):  # the last byte is a line feed, so it is still the same JSON or none
        return
    assert store.newest().step == 20
    for step in (21, 22, 23):
        store.save(step, state(step), {})
    assert store.newest().step == 23
    assert store.steps()[-3:] == [21, 22, 23]


def test_three_stay_and_the_best(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    for step, value in enumerate([5.0, 1.0, 4.0, 3.0, 2.0, 6.0], start=1):
        store.save(step, state(value), {"judgement": {"name": "error", "best": "lowest", "value": value}})
    assert store.steps() == [2, 4, 5, 6]
    assert store.best() == 2


def test_a_value_that_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(1, state(1), {})
    with pytest.raises(DivergedError, match="weight is no longer finite"):
        store.save(2, state(float("nan")), {})
    assert store.steps() == [1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENOTDIR])
def test_a_disk_that_cannot_be_written_is_one_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = Checkpoints(tmp_path)
    store.save(1, state(1), {})

    def full(*arguments: object) -> None:
        raise OSError(number, "the system's words")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(DiskError, match="cannot write") as caught:
        store.save(2, state(2), {})
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 6
    assert store.newest().step == 1
    store.sweep()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [
        path.name for path in (tmp_path / "00000001").iterdir()
    ]


def test_the_same_tensors_give_the_same_bytes_in_any_memory_format(tmp_path: Path) -> None:
    plain = {"b": torch.arange(48.0).view(2, 3, 2, 4), "a": torch.ones(2)}
    write_tensors(tmp_path / "one", plain, "about")
    last = {
        name: value.to(memory_format=torch.channels_last) if value.dim() == 4 else value
        for name, value in plain.items()
    }
    write_tensors(tmp_path / "other", last, "about")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert torch.equal(read_tensors(tmp_path / "other")["b"], plain["b"])


def test_a_resumed_log_forgets_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path, 0)
    log.write(1, rounded({"net/loss": 0.123456789}))
    kept = log.sync()
    log.write(2, rounded({"net/loss": 1}))
    log.close()
    log = Log(path, kept)
    log.write(2, rounded({"net/loss": 2}))
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "net/loss": 0.123457},
        {"step": 2, "net/loss": 2.0},
    ]
    path.unlink()
    Log(path, 100).close()
    assert path.read_bytes() == b""
