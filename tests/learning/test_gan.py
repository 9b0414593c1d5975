"""Each network, tiny, learns something within seconds."""

from pathlib import Path

import numpy as np
import pytest

import pinxit
from pinxit.data import DataSet
from pinxit.evaluation.pictures import Generated
from pinxit.evaluation.score import score

pytestmark = pytest.mark.usefixtures("no_report")

CONVOLUTIONAL = {
    "dcgan": (pinxit.GANSettings(network="dcgan", channels=8, latent=8), 150),
    "residual": (pinxit.GANSettings(network="residual", channels=4, latent=8, r1=0.1), 150),
    "plain": (pinxit.GANSettings(network="plain", channels=4, latent=8, r1=0.1), 300),
}


def train(settings: pinxit.GANSettings, source: str | Path, out: Path, steps: int, average: float) -> np.ndarray:
    """Return 500 pictures (500, H, W, 1) of a run of so many steps."""
    training = pinxit.TrainingSettings(steps=steps, batch_size=32, threads=1, average=average)
    return pinxit.load(pinxit.train(settings, source, out, training=training).folder).sample(500)[0]


@pytest.mark.parametrize(("settings", "steps"), CONVOLUTIONAL.values(), ids=CONVOLUTIONAL)
def test_a_gan_learns_the_spread_of_grey_cards(settings: pinxit.GANSettings, steps: int, tmp_path: Path) -> None:
    """The pictures are plain cards, of a grey level drawn evenly between 40 and 215: mean 127, deviation 51."""
    levels = np.random.default_rng(0).uniform(40, 215, (512, 1, 1))
    np.savez(tmp_path / "cards.npz", images=np.broadcast_to(levels, (512, 16, 16)).astype(np.uint8))
    images = train(settings, tmp_path / "cards.npz", tmp_path / "run", steps, average=0.9)[..., 0].astype(float)
    brightness = images.mean((1, 2))
    assert brightness.mean() == pytest.approx(127, abs=30)
    assert 25 < brightness.std() < 75
    assert images.std((1, 2)).mean() < 30


def test_the_fully_connected_pair_comes_nearer_to_digits(mnist: DataSet, tmp_path: Path) -> None:
    settings = pinxit.GANSettings(network="dense", channels=16, r1=0.3)

    def distance(steps: int) -> float:
        images = train(settings, "mnist", tmp_path / f"{steps}", steps, average=0.97)
        document = score(Generated("run", images), mnist.held_out, extractors=["digits-v1"], metrics=["fd"], n=500)
        return document["scores"]["fd[digits-v1]"]["value"]

    assert distance(600) < distance(0) / 2
