"""Shared by all tests: one core a worker, a cache of their own, real MNIST if the machine has it, and tiny runs."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

import pinxit
from pinxit.data import mnist
from pinxit.data.pack import pack_path
from pinxit.data.sets import DataSet, open_data
from studios import Studio

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
KINDS = ("gan", "vae", "cvae", "ladder", "vq", "prior", "classify", "detect", "segment", "restore", "enhance", "style")
LONGEST = ("test_export", "test_edits", "test_readme", "test_gan", "test_evaluate_command", "test_score", "test_codes")
REAL_MNIST = pack_path(mnist.FINGERPRINT)  # looked up before the tests' own cache takes the place of the user's


def pytest_configure() -> None:
    """Give each worker one core: two-threaded trainings beside each other wait for each other's threads."""
    if not WORKER:
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # what tests start
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(WORKER.removeprefix("gw")) % len(cores)]})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker waits for another's last file."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache folder for the whole session, in which nothing waits for the disk: no power is cut in a test."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
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


@pytest.fixture(scope="module")
def no_report() -> Iterator[None]:
    """Train without writing reports, which take half the time of a tiny run; `usefixtures` asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pinxit.training.train._report", lambda run: None)
        yield


@pytest.fixture(scope="module")
def quick_pieces() -> Iterator[None]:
    """Fill wide holes of small pictures at coarser sizes and with fewer offsets; `usefixtures` asks for it."""
    few = {"NODES": 150, "LEAST": 20, "SWEEPS": 1, "QUERIES": 200}
    few |= {"FREQUENT": 12, "AROUND": 8, "FITTING": 3, "GRID": 20}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in few.items():
            patch.setattr(f"pinxit.edits.montage.{name}", value)
        yield


class TinyRuns:
    """Finished runs of a few steps on 16 x 16 pixels, float32, one thread, without reports, trained when first asked.

    `tiny_runs["vae"]` is the folder of one of `KINDS`. `prior` is a VAE with a flow in its folder `prior`. Pictures are
    `cards` (60 grey ones of 3 classes: gan, vae, cvae, ladder, vq, prior, classify), `cells` (8 with boxes of 2
    classes: detect), `fields` (12 with masks of 3 classes: segment) and `photos` (16 in colour: restore, enhance and
    style, which learns the picture `painting`). All workers of a session share them: change `copy(kind, to)` only.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.cards, self.photos, self.painting = place / "cards.npz", place / "photos.npz", place / "painting.png"
        self.cells, self.fields = place / "cells", place / "fields"
        with self._once(self.painting) as missing:
            if missing:
                self._draw()

    def __getitem__(self, kind: str) -> Path:
        run = self.place / kind
        with self._once(run) as missing:
            if missing:
                self._train(kind, self.place / f".{kind}")
                (self.place / f".{kind}").rename(run)
        return run

    def copy(self, kind: str, to: Path) -> Path:
        """Copy a run to the folder `to`, and return that."""
        return Path(shutil.copytree(self[kind], to))

    @contextmanager
    def _once(self, made: Path) -> Iterator[bool]:
        """Say whether this process is to make it; others wait until it has."""
        if made.exists():
            yield False
            return
        with FileLock(self.place / f"{made.name}.lock"):
            yield not made.exists()

    def _draw(self) -> None:
        framed_cells(self.cells)
        masked_fields(self.fields)
        rng = np.random.default_rng(0)
        cards = np.array([60, 120, 190])[np.arange(60) % 3, None, None] + rng.integers(-10, 10, (60, 16, 16))
        np.savez(self.cards, images=cards.astype(np.uint8), labels=np.arange(60) % 3)
        np.savez(self.photos, images=rng.integers(0, 256, (16, 16, 16, 3), np.uint8))
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(self.painting)

    def _train(self, kind: str, out: Path) -> None:
        dense = {"network": "dense", "channels": 4, "latent": 4}
        settings, steps, data = {
            "gan": (pinxit.GANSettings(**dense), 2, None),
            "vae": (pinxit.VAESettings(**dense), 60, None),
            "cvae": (pinxit.VAESettings(conditional=True, **dense), 60, None),
            "ladder": (pinxit.VAESettings(levels=2, **dense), 5, None),
            "vq": (pinxit.VQVAESettings(channels=4, codes=16, dimensions=4), 20, None),
            "prior": (pinxit.VAESettings(**dense), 20, None),
            "classify": (pinxit.ClassifySettings(network="plain"), 60, None),
            "detect": (pinxit.DetectSettings(channels=16, trained_blocks=0), 2, {"size": 32}),
            "segment": (pinxit.SegmentSettings(network="unet", channels=4, learning_rate=0.1), 60, None),
            "restore": (pinxit.RestorationSettings(channels=4, levels=1, blocks=1), 2, {"size": 16}),
            "enhance": (pinxit.EnhancementSettings(width=4), 2, {"size": 16}),
            "style": (pinxit.OBJECTIVES["style"](style=self.painting, style_size=32), 1, {"size": 16}),
        }[kind]
        source = {"detect": self.cells, "segment": self.fields}.get(
            kind, self.cards if kind in KINDS[:7] else self.photos
        )
        how = {"batch_size": 4, "threads": 1, "device": "cpu", "precision": "float32", "average": 0.9, "warmup": 0}
        training = pinxit.TrainingSettings(steps=steps, **how)
        with pytest.MonkeyPatch.context() as patch, redirect_stderr(StringIO()):
            patch.setattr("pinxit.training.train._report", lambda run: None)
            pinxit.train(settings, source, out, data and pinxit.DataSettings(**data), training)
            if kind == "prior":
                pinxit.train_prior(pinxit.PriorSettings(network="flow", width=32, depth=2), out, training)


def framed_cells(folder: Path, count: int = 8) -> None:
    """Draw grey squares of two sizes on dark ground, with their boxes as YOLO writes them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 40, (32, 32, 3)).astype(np.uint8)
        lines = []
        for kind, side in enumerate((8, 14)[: 1 + number % 2]):
            left, top = (int(place) for place in rng.integers(0, 32 - side, 2))
            pixels[top : top + side, left : left + side] = 200
            lines.append(f"{kind} {(left + side / 2) / 32} {(top + side / 2) / 32} {side / 32} {side / 32}\n")
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text("".join(lines))
    (folder / "classes.txt").write_text("small\nlarge\n")


def masked_fields(folder: Path, count: int = 12) -> None:
    """Draw a red and a green square on dark ground, 24 x 16, with masks of the classes 1 and 2."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 60, (16, 24, 3)).astype(np.uint8)
        mask = np.zeros((16, 24), np.uint8)
        for kind in (1, 2):
            left, top = (12 * kind - 12 + int(rng.integers(0, 5)), int(rng.integers(0, 8)))
            pixels[top : top + 8, left : left + 8, kind - 1] = 220
            mask[top : top + 8, left : left + 8] = kind
        Image.fromarray(pixels).save(folder / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:02}.png")
    (folder / "classes.txt").write_text("ground\nred\ngreen\n")


@pytest.fixture(scope="session")
def tiny_runs(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyRuns:
    """Tiny trained runs of every kind, made once a session and machine; see `TinyRuns`."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if WORKER else base) / "tiny-runs"
    place.mkdir(exist_ok=True)
    return TinyRuns(place)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio that serves while the session lasts."""
    started = Studio(tmp_path_factory.mktemp("studio").resolve())
    yield started
    started.stop()


def png_16(pixels: np.ndarray) -> bytes:
    """Return (H, W, C) uint16 as a 16-bit PNG of 1 to 4 channels, written from the specification."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
