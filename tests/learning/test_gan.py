"""Each network, tiny, learns something: pictures with one bright bar, at one of four places."""

from pathlib import Path

import numpy as np
import pytest

import pinxit

PLACES = 4


def bars(count: int) -> np.ndarray:
    """16 x 16 pictures, dark, with one bright vertical bar four pixels wide."""
    images = np.full((count, 16, 16), 20, np.uint8)
    for number, image in enumerate(images):
        left = 4 * (number % PLACES)
        image[:, left : left + 4] = 230
    return images


def places(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each picture's bar is, and how far the picture lies from a true one, in grey levels a pixel."""
    distance = np.abs(images[:, None].astype(float) - bars(PLACES)[None]).mean(axis=(2, 3))
    return distance.argmin(1), distance.min(1)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (pinxit.GANSettings(network="dense", channels=8, latent=8, r1=1), 500),
        (pinxit.GANSettings(network="dcgan", channels=8, latent=8), 250),
        (pinxit.GANSettings(network="residual", channels=4, latent=8, r1=1), 250),
        (pinxit.GANSettings(network="plain", channels=4, latent=8, r1=1), 250),
    ],
    ids=lambda value: value.network if isinstance(value, pinxit.GANSettings) else None,
)
def test_a_gan_learns_bars_at_all_places(settings: pinxit.GANSettings, steps: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "bars.npz", images=bars(64))
    training = pinxit.TrainingSettings(steps=steps, batch_size=32, threads=1, average=0.9)
    run = pinxit.train(settings, tmp_path / "bars.npz", tmp_path / "run", training=training)
    images, _ = pinxit.load(run.folder).sample(200)
    where, distance = places(images[..., 0])
    assert np.median(distance) < 25
    assert len(np.unique(where[distance < 40])) >= 3
