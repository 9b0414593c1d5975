"""Each kind of autoencoder, tiny, learns something within seconds."""

from pathlib import Path

import numpy as np
import pytest
import torch

import pinxit
from pinxit import hardware
from pinxit.data import Batch, DataSet
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.vae import VAE
from pinxit.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_report")

FAST = {"latent": 4, "learning_rate": 5e-3, "noise": 0.1}
SMALL = {"network": "dense", "channels": 8, **FAST}
KINDS = {
    "vae": pinxit.VAESettings(**SMALL),
    "ae": pinxit.VAESettings(penalty="none", **SMALL),
}
SLOWER = {
    "wae": pinxit.VAESettings(penalty="mmd", **SMALL),
    "beta-tc-vae": pinxit.VAESettings(penalty="tc", beta=2, **SMALL),
    "rae": pinxit.VAESettings(penalty="l2", **SMALL),
    "iwae": pinxit.VAESettings(importance=3, **SMALL),
    "vampprior": pinxit.VAESettings(pseudo_inputs=8, **SMALL),
    "convolutional": pinxit.VAESettings(channels=4, **FAST),
    "residual logistic": pinxit.VAESettings(network="residual", likelihood="logistic", channels=2, **FAST),
}


def cards(count: int) -> np.ndarray:
    """Plain cards of a grey level drawn evenly between 40 and 215: mean 127, deviation 51."""
    levels = np.random.default_rng(0).uniform(40, 215, (count, 1, 1))
    return np.broadcast_to(levels, (count, 16, 16)).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SLOWER.values(), ids=SLOWER)
def test_more_autoencoders_learn_the_spread_of_grey_cards(settings: pinxit.VAESettings, tmp_path: Path) -> None:
    test_an_autoencoder_learns_the_spread_of_grey_cards(settings, tmp_path)


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_an_autoencoder_learns_the_spread_of_grey_cards(settings: pinxit.VAESettings, tmp_path: Path) -> None:
    np.savez(tmp_path / "cards.npz", images=cards(512))
    training = pinxit.TrainingSettings(steps=250, batch_size=32, threads=1, average=0.9)
    model = pinxit.load(pinxit.train(settings, tmp_path / "cards.npz", tmp_path / "run", training=training).folder)
    images = model.sample(300)[0].astype(float)
    brightness = images.mean((1, 2, 3))
    assert brightness.mean() == pytest.approx(127, abs=25)
    assert 30 < brightness.std() < 72
    assert images.std((1, 2, 3)).mean() < 25
    shown = torch.from_numpy(cards(64)[:, None] / np.float32(255))
    assert np.abs(model.generate(model.encode(shown))[..., 0] - cards(64).astype(float)).mean() < 20


@pytest.fixture(scope="module")
def digits(mnist: DataSet) -> tuple[VAE, Batch]:
    """A small VAE after 400 steps on binarised digits, and 300 held-out ones."""
    settings = pinxit.VAESettings(
        network="dense", channels=24, latent=10, likelihood="bernoulli", binarise=True, learning_rate=2e-3
    )
    torch.manual_seed(0)
    objective = settings.build(PictureShape(28, 1, 10))
    images = mnist.train.tensor(28, stop=12_800)
    training = pinxit.TrainingSettings(steps=400, batch_size=64, average=0.97)

    def batches(step: int) -> Batch:
        start = step * 64 % len(images)
        return Batch(image=images[start : start + 64], seed=0, step=step)

    trainer = Trainer(objective, batches, training, hardware.choose("cpu", "float32", threads=1))
    for _ in trainer:
        pass
    with trainer.averaged() as averaged:
        for name, value in trainer.average.items():
            averaged.networks[name] = value
    return objective, Batch(image=mnist.held_out.tensor(28, stop=300), seed=0, step=0)


def test_a_vae_comes_below_150_nats_on_binarised_digits(digits: tuple[VAE, Batch]) -> None:
    """A code of nothing costs 206 nats (every pixel at its mean); 784 log 2 are 543."""
    objective, held_out = digits
    with torch.no_grad():
        assert objective.judge(held_out) < 150


def test_the_importance_weighted_bound_rises_with_the_number_of_samples(digits: tuple[VAE, Batch]) -> None:
    """Burda et al., 2016, theorem 1; the bound of one sample is the ELBO."""
    objective, held_out = digits
    with torch.no_grad():
        bounds = [objective.bound(objective.reconstruct(held_out, samples)).mean().item() for samples in (1, 5, 50)]
        assert bounds[0] == pytest.approx(-objective.judge(held_out), abs=1.5)
    assert bounds[0] + 1 < bounds[1] < bounds[2] - 0.5


def test_a_collapsed_posterior_is_read_as_no_active_unit(mnist: DataSet) -> None:
    """At beta 50 the code of a digit is not worth its price; at beta 1 it is."""
    images = mnist.train.tensor(28, stop=3200)
    units = {}
    for beta in (1.0, 50.0):
        settings = pinxit.VAESettings(network="dense", channels=16, latent=8, likelihood="bernoulli", beta=beta)
        torch.manual_seed(0)
        objective = settings.build(PictureShape(28, 1))
        trainer = Trainer(
            objective,
            lambda step: Batch(image=images[step * 64 % 3200 :][:64], seed=0, step=step),
            pinxit.TrainingSettings(steps=200),
            hardware.choose("cpu", "float32", threads=1),
        )
        *_, last = trainer
        units[beta] = last.values["autoencoder/active_units"]
    assert units[50.0] == 0
    assert units[1.0] >= 4


def test_a_mixture_fitted_afterwards_is_where_the_codes_of_an_autoencoder_are(tmp_path: Path) -> None:
    """Ghosh et al., 2020, table 1: of codes that nothing held at N(0, I), a fitted density draws better ones."""
    np.savez(tmp_path / "cards.npz", images=cards(512))
    training = pinxit.TrainingSettings(steps=250, batch_size=32, threads=1, average=0.9)
    model = pinxit.load(pinxit.train(KINDS["ae"], tmp_path / "cards.npz", tmp_path / "run", training=training).folder)

    def uneven(sampler: str) -> float:
        return model.using(sampler).sample(200)[0].std((1, 2, 3)).mean()

    assert uneven("gmm") < uneven("prior") / 2
