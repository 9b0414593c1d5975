"""What all tests share: a cache of their own, real MNIST where this machine has it, and small pictures."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pinxit.data import mnist
from pinxit.data.pack import pack_path
from pinxit.data.sets import DataSet, open_data

REAL_MNIST = pack_path(mnist.FINGERPRINT)  # looked up before the tests' own cache takes the place of the user's


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache folder for the whole session."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINXIT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def mnist_data(cache: Path) -> DataSet:
    """The real MNIST, from the user's cache."""
    if not REAL_MNIST.is_file():
        pytest.skip("MNIST is not in the cache; `make install` or `pinxit data fetch mnist` puts it there")
    here = pack_path(mnist.FINGERPRINT)
    here.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(REAL_MNIST, here)
    except OSError:
        shutil.copyfile(REAL_MNIST, here)
    return open_data("mnist")


@pytest.fixture(name="mnist", scope="session")
def _mnist(mnist_data: DataSet) -> DataSet:
    return mnist_data


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of `count` different PNGs, taking turns among the classes."""

    def make(
        count: int,
        mode: str = "RGB",
        size: tuple[int, int] = (20, 20),
        classes: tuple[str, ...] = (),
        name: str = "photos",
    ) -> Path:
        rng = np.random.default_rng(1)
        for number in range(count):
            folder = tmp_path / name / (classes[number % len(classes)] if classes else "")
            folder.mkdir(parents=True, exist_ok=True)
            shape = (size[1], size[0], {"L": 1, "RGB": 3, "RGBA": 4}[mode])
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode).save(folder / f"{number:03d}.png")
        return tmp_path / name

    return make


def png_16(pixels: np.ndarray) -> bytes:
    """Return (H, W, C) uint16 as a 16-bit PNG of 1 to 4 channels, written from the specification."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
