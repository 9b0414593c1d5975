"""Weights from elsewhere: what is not exactly what it should be is one line, is never run and never kept."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from pinxit.errors import DataError, DiskError
from pinxit.files import sha256
from pinxit.metrics import extractors
from pinxit.metrics.extractors import EXTRACTORS, import_weights
from pinxit.nets.pretrained import LITE0, Published, converted, published_tensors, read_weights, weights_file
from pinxit.nets.vgg import vgg_features

GOOD = {"weight": torch.arange(600.0).view(20, 30), "bias": torch.zeros(20)}


class Trap:
    """A pickle that makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package that must not be imported; its weights would be this path."""
    (tmp_path / "trapped").mkdir()
    (tmp_path / "trapped" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "trapped" / "w.pth"


def published(path: Path, digest: str | None = None) -> Published:
    return replace(
        LITE0,
        name="trapped",
        package="trapped",
        file="w.pth",
        sha256=digest or sha256(path),
        convert=lambda tensors: {f"our {name}": tensor for name, tensor in tensors.items()},
    )


def refused(call: object, *arguments: object, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


def test_a_package_gives_its_weights_without_being_imported(package: Path, cache: Path) -> None:
    torch.save(GOOD, package)
    path = converted(published(package))
    assert path == cache / "weights" / "trapped.safetensors"
    found = read_weights(path, sha256(path))
    assert set(found) == {"our weight", "our bias"}
    assert torch.equal(found["our weight"], GOOD["weight"])


def test_the_same_tensors_become_the_same_bytes(package: Path, cache: Path) -> None:
    torch.save(GOOD, package)
    first = converted(published(package)).read_bytes()
    torch.save(dict(reversed(GOOD.items())), package)
    shutil.rmtree(cache)
    assert converted(published(package)).read_bytes() == first


def test_a_package_with_other_weights_is_refused_and_not_unpickled(package: Path, cache: Path, tmp_path: Path) -> None:
    package.write_bytes(pickle.dumps(Trap(tmp_path / "mark"), protocol=2))
    refused(converted, published(package, LITE0.sha256), match="not the known weights")
    assert not (tmp_path / "mark").exists()
    assert not cache.exists()


def test_even_a_pickle_of_the_right_hash_only_makes_tensors(package: Path, tmp_path: Path) -> None:
    package.write_bytes(pickle.dumps(Trap(tmp_path / "mark"), protocol=2))
    refused(published_tensors, published(package), match="cannot be read")
    assert not (tmp_path / "mark").exists()


def test_a_package_without_its_file_is_refused(package: Path) -> None:
    refused(published_tensors, published(package, LITE0.sha256), match="again")


@pytest.mark.parametrize("how", ["cut", "one bit", "emptied", "gone"])
def test_damaged_weights_are_never_used(tmp_path: Path, how: str) -> None:
    path = tmp_path / "w.safetensors"
    save_file(GOOD, path)
    digest, content = sha256(path), path.read_bytes()
    changed = {"cut": content[:1000], "one bit": content[:-1] + bytes([content[-1] ^ 1]), "emptied": b""}.get(how)
    path.unlink() if changed is None else path.write_bytes(changed)
    refused(read_weights, path, digest, match="w.safetensors: ")


def files() -> dict[str, bytes]:
    good = save(GOOD)
    return {
        "wrong shapes": good,
        "no tensors": save({}),
        "cut": good[: len(good) // 2],
        "cut in the head": good[:20],
        "empty": b"",
        "a head of 2^60 bytes": (2**60).to_bytes(8, "little") + good[8:],
        "a head that is no JSON": good[:8] + b"x" + good[9:],
        "offsets beyond the end": good.replace(b"[0,2400]", b"[0,9999]").replace(b"[80,2480]", b"[80,9999]"),
        "half a zip": b"PK\x03\x04" + bytes(100),
    }


@pytest.mark.parametrize("kind", files())
def test_what_are_no_known_weights_is_not_imported(tmp_path: Path, cache: Path, kind: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(files()[kind])
    refused(import_weights, path, match="w.safetensors: ")
    assert not cache.exists()


def test_a_pickle_by_another_name_is_not_imported(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "mark"), protocol=2))
    refused(import_weights, path, match="save_file")
    assert not (tmp_path / "mark").exists()
    assert not cache.exists()


def test_wrong_shapes_are_told(tmp_path: Path, cache: Path) -> None:
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in EXTRACTORS["inception-2015"].network().state_dict().items()}
    later = {name: torch.zeros(shape) for name, shape in shapes.items() if "Mixed" not in name}
    save_file({**later, "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "later.safetensors")
    refused(import_weights, tmp_path / "later.safetensors", match="Mixed_5b.branch1x1.bn.bias is missing")


@pytest.mark.parametrize("path", ["nothing.safetensors", ".", "pipe.safetensors"])
def test_what_is_no_file_is_not_read(tmp_path: Path, cache: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    refused(import_weights, tmp_path / path, match=r"cannot read .*save_file")
    refused(partial(vgg_features, "vgg16"), tmp_path / path, match="cannot read")


class Small(nn.Linear):
    def __init__(self) -> None:
        super().__init__(30, 20)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({**GOOD, "more": torch.zeros(1)}, "more is unknown"),
        ({"weight": GOOD["weight"]}, "bias is missing"),
        ({**GOOD, "bias": torch.zeros(21)}, r"bias is \(21,\) and should be \(20,\)"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, torch.Tensor], told: str
) -> None:
    monkeypatch.setitem(extractors.EXTRACTORS, "vgg16", replace(EXTRACTORS["vgg16"], network=Small))
    save_file(changed, tmp_path / "w.safetensors")
    refused(import_weights, tmp_path / "w.safetensors", match=f"not vgg16, {told}")
    assert not cache.exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "the system's words")

    monkeypatch.setitem(extractors.EXTRACTORS, "vgg16", replace(EXTRACTORS["vgg16"], network=Small))
    save_file(GOOD, tmp_path / "w.safetensors")
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DiskError, match="the disk is full"):
        import_weights(tmp_path / "w.safetensors")
    assert not list(cache.rglob("*.safetensors*"))


@pytest.mark.parametrize("kind", files())
def test_rubbish_put_into_the_cache_by_hand_is_refused(cache: Path, kind: str) -> None:
    path = weights_file("inception-2015")
    path.parent.mkdir(parents=True)
    path.write_bytes(files()[kind])
    refused(replace(EXTRACTORS["inception-2015"]).extract, torch.zeros(1, 3, 8, 8), match="inception-2015")


def test_other_weights_than_those_of_the_stated_hash_are_refused() -> None:
    for name in ("digits-v1", "digits-v2"):
        refused(
            replace(EXTRACTORS[name], known_sha256="0" * 64).extract, torch.zeros(1, 1, 28, 28), match="its sha256 is"
        )
