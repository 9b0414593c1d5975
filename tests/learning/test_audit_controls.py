"""Positive controls of the copy audit on MNIST: what it must find, what it must leave alone, and what it misses."""

from pathlib import Path

import numpy as np
import pytest

import pinxit
from pinxit.data import DataSet, ImageSet
from pinxit.evaluation.audit import Audit, audit
from pinxit.evaluation.pictures import Generated
from pinxit.metrics.extractors import EXTRACTORS

pytestmark = pytest.mark.usefixtures("no_report")


def some(images: ImageSet, start: int, count: int) -> Generated:
    """Some pictures of a set, at random but always the same."""
    chosen = np.random.default_rng(0).permutation(len(images))[start : start + count]
    return Generated(f"{images.name}, {count}", images.rows(chosen, (28, 28)))


@pytest.fixture(scope="module")
def training(mnist: DataSet) -> Generated:
    return some(mnist.train, 0, 3000)


@pytest.fixture(scope="module")
def held_out(mnist: DataSet) -> Generated:
    return some(mnist.held_out, 0, 1000)


def look(images: np.ndarray, training: Generated, held_out: Generated) -> Audit:
    return audit(
        Generated("generated", images.clip(0, 255).astype(np.uint8)), training, held_out, EXTRACTORS["digits-v1"]
    )


def noisy(images: np.ndarray, sigma: float) -> np.ndarray:
    return images + np.random.default_rng(1).normal(0, sigma, images.shape)


REPLAYS = {
    "as they are": lambda images: images,
    "noise of 5 grey levels": lambda images: noisy(images, 5),
    "noise of 10 grey levels": lambda images: noisy(images, 10),
    "darker": lambda images: 0.8 * images,
}


@pytest.mark.parametrize("replay", REPLAYS.values(), ids=REPLAYS)
def test_replayed_training_pictures_are_flagged(replay, training: Generated, held_out: Generated) -> None:
    found = look(replay(training.images[:400].astype(float)), training, held_out)
    assert found.flagged.value >= 0.95
    assert found.verdict.startswith("copies")
    assert found.copying_z < -3
    assert found.authenticity < 0.05


def test_real_held_out_pictures_are_not_flagged(mnist: DataSet, training: Generated, held_out: Generated) -> None:
    found = look(some(mnist.held_out, 1000, 1000).images, training, held_out)
    assert found.flagged.value <= 0.02
    assert found.false_flags.value <= 0.02
    assert found.verdict.startswith("no sign of copying")


def test_a_shift_of_one_pixel_hides_most_single_copies_but_not_the_whole(
    training: Generated, held_out: Generated
) -> None:
    found = look(np.roll(training.images[:400], 1, axis=2), training, held_out)
    assert 0.05 < found.flagged.value < 0.6
    assert found.verdict.startswith("some copies")


@pytest.mark.slow
def test_a_model_overfitted_on_fifty_pictures_is_flagged(mnist: DataSet, held_out: Generated, tmp_path: Path) -> None:
    fifty = some(mnist.train, 0, 50)
    np.savez(tmp_path / "fifty.npz", images=fifty.images)
    settings = pinxit.GANSettings(network="dense", r1=0.3)
    run = pinxit.train(
        settings,
        tmp_path / "fifty.npz",
        tmp_path / "run",
        data=pinxit.DataSettings(holdout=0),
        training=pinxit.TrainingSettings(steps=4000, batch_size=32, threads=1, average=0.99),
    )
    found = look(pinxit.load(run.folder).sample(500)[0], fifty, held_out)
    assert found.flagged.value > 0.25
    assert "copies" in found.verdict.partition(":")[0]
    assert found.copying_z < -3
