"""Every autoencoder trains on pictures of any side and colour, with no option but the network's name."""

import json
from pathlib import Path

import numpy as np
import pytest

import pinxit

pytestmark = pytest.mark.usefixtures("no_report")

SIDES = (28, 32, 64, 100, 256)
STEPS = 25


def shaded(count: int, side: int, channels: int) -> np.ndarray:
    """Pictures whose grey rises evenly across, each in a strength of its own; the channels take turns in direction."""
    rng = np.random.default_rng(side)
    strength = rng.uniform(0.3, 1, (count, 1, 1, 1))
    across = np.linspace(0, 1, side)[None, None, :, None]
    turned = np.where(np.arange(channels) % 2, 1 - across, across)
    return np.broadcast_to(255 * strength * turned, (count, side, side, channels)).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("network", ["convolutional", "residual", "dense"])
def test_a_vae_trains_at_any_size_without_an_option_more(
    network: str, side: int, channels: int, tmp_path: Path
) -> None:
    np.savez(tmp_path / "shaded.npz", images=shaded(20, side, channels))
    settings = pinxit.VAESettings(network=network)
    data = pinxit.DataSettings(size=side)
    training = pinxit.TrainingSettings(steps=STEPS, batch_size=4, threads=1)
    run = pinxit.train(settings, tmp_path / "shaded.npz", tmp_path / "run", data=data, training=training)
    lines = (run.folder / "log.jsonl").read_text().splitlines()
    distortion = [json.loads(line)["autoencoder/distortion"] for line in lines]
    assert len(distortion) == STEPS
    assert np.mean(distortion[-5:]) < np.mean(distortion[:5]) / 2
    images, _ = pinxit.load(run.folder).sample(2)
    assert images.shape == (2, side, side, channels)
