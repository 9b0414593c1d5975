"""What looks at an autoencoder's reconstructions: the frozen network of the perceptual loss, and a discriminator."""

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional as F

from pinxit import hardware
from pinxit.data import Batch
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.losses.perceptual import perceptual_distance
from pinxit.metrics.perceptual import lpips_like
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.settings import VAESettings
from pinxit.objectives.vae import VAE
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer


def photographs(side: int, count: int = 4) -> torch.Tensor:
    """Squares cut from the astronaut, (count, 3, side, side)."""
    picture = torch.from_numpy(data.astronaut() / np.float32(255)).permute(2, 0, 1)
    return torch.stack([picture[:, 40 * i : 40 * i + side, 180 : 180 + side] for i in range(count)])


def blurred(images: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(images, 5, 1, 2, count_include_pad=False)


@pytest.mark.parametrize("side", [32, 45, 64])
def test_the_distance_is_the_one_that_pictures_are_judged_by(side: int) -> None:
    images, others = photographs(side), blurred(photographs(side))
    assert torch.allclose(perceptual_distance(others, images).double(), lpips_like(others, images), rtol=1e-4)


@pytest.mark.parametrize("side", [16, 28, 100])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_distance_is_zero_of_equal_pictures_and_grows_with_what_is_lost(side: int, channels: int) -> None:
    images = torch.cat([photographs(side), torch.ones(4, 1, side, side)], 1)[:, :channels]
    equal, soft, inverted = (perceptual_distance(other, images) for other in (images, blurred(images), 1 - images))
    assert equal.abs().max() < 1e-6
    assert (soft > 0.01).all()
    assert (soft < inverted).all()
    assert (inverted <= 20).all()


def test_small_pictures_are_seen_enlarged_to_32_pixels() -> None:
    images, others = photographs(16), blurred(photographs(16))
    large, other = (F.interpolate(one, size=(32, 32), mode="bilinear") for one in (images, others))
    assert torch.allclose(perceptual_distance(images, others), perceptual_distance(large, other), rtol=1e-4)


def test_what_is_transparent_is_not_seen() -> None:
    hidden = torch.cat([photographs(32), torch.zeros(4, 1, 32, 32)], 1)
    assert torch.equal(perceptual_distance(hidden, torch.zeros(4, 3, 32, 32)), torch.zeros(4))


def test_the_gradient_leads_to_the_picture_and_nothing_of_the_network_moves() -> None:
    images = photographs(32)
    canvas = blurred(images).requires_grad_()
    before = perceptual_distance(canvas, images)
    (gradient,) = torch.autograd.grad(before.sum(), canvas)
    after = perceptual_distance((canvas - 0.02 * gradient / gradient.flatten(1).norm(dim=1).view(4, 1, 1, 1)), images)
    assert (after < before).all()


def some(size: int = 20) -> Batch:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((6, 1, size, size), dtype=np.float32))
    return Batch(image=image, label=torch.arange(6) % 3, seed=1, step=0)


def build(**settings: object) -> VAE:
    torch.manual_seed(0)
    objective = VAESettings(network="dense", channels=4, latent=6, **settings).build(PictureShape(20, 1, 3))
    assert isinstance(objective, VAE)
    return objective


@pytest.mark.parametrize("loss", [name for name in ADVERSARIAL if name != "wasserstein"])
def test_the_terms_are_weights_in_nats_a_pixel(loss: str) -> None:
    objective = build(perceptual=0.5, adversarial=0.25, adversarial_loss=loss, binarise=True, likelihood="bernoulli")
    batch = some()
    drawn = objective.draw(batch)
    restored = drawn.logits.sigmoid()
    real, fake = objective.score(batch.image, objective.label(batch)), objective.score(restored, objective.label(batch))
    terms = objective.loss(batch, drawn).terms
    expected = 0.25 * 400 * ADVERSARIAL[loss].generator(real, fake)
    assert terms["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5)
    expected = 0.5 * 400 * perceptual_distance(batch.image, restored).mean()
    assert terms["perceptual"].item() == pytest.approx(expected.item(), rel=1e-5)
    told = objective.discriminator_loss(batch, drawn)
    assert told.terms["adversarial"].item() == pytest.approx(ADVERSARIAL[loss].discriminator(real, fake).item())
    assert told.readings["real_score"].item() == pytest.approx(real.mean().item())
    assert told.readings["fake_score"].item() == pytest.approx(fake.mean().item())


def test_neither_the_frozen_network_nor_the_discriminator_is_in_the_model() -> None:
    plain, seen = build(), build(perceptual=1, adversarial=1)
    assert set(seen.networks.state_dict()) - set(plain.networks.state_dict()) == {
        name for name in seen.networks.state_dict() if name.startswith("discriminator.")
    }
    assert seen.model == plain.model
    assert [player.name for player in seen.players()] == ["discriminator", "autoencoder"]
    assert [player.name for player in plain.players()] == ["autoencoder"]
    discriminator, autoencoder = (set(player.module.parameters()) for player in seen.players())
    assert not discriminator & autoencoder


def test_the_classes_reach_the_discriminator() -> None:
    objective, batch = build(adversarial=1, conditional=True), some()
    torch.nn.init.normal_(objective.networks["discriminator"].score.embedding.weight)
    other = Batch(image=batch.image, label=(batch.label + 1) % 3, seed=1, step=0)
    scores = [objective.discriminator_loss(one, objective.draw(one)).readings["real_score"] for one in (batch, other)]
    assert scores[0] != scores[1]


def after_training(steps: int, **seen: float) -> tuple[VAE, dict[str, float]]:
    """Ten squares of photographs learned by heart, and the last step's record."""
    images = photographs(32, 10).mean(1, keepdim=True)
    settings = VAESettings(network="dense", channels=16, latent=4, noise=0.2, learning_rate=2e-3, **seen)
    torch.manual_seed(0)
    trainer = Trainer(
        settings.build(PictureShape(32, 1)),
        lambda step: Batch(image=images, seed=0, step=step),
        TrainingSettings(steps=steps, batch_size=10),
        hardware.choose("cpu", "float32", threads=1),
    )
    *_, last = trainer
    assert isinstance(trainer.objective, VAE)
    return trainer.objective, last.values


def test_with_a_perceptual_term_reconstructions_look_nearer() -> None:
    images = photographs(32, 10).mean(1, keepdim=True)
    plain, seen = after_training(40)[0], after_training(40, perceptual=3.0)[0]
    with torch.no_grad():
        restored = [one.sample(one.encode(images)) for one in (plain, seen)]
        far, near = (perceptual_distance(one, images).mean() for one in restored)
    assert near < 0.95 * far


def test_an_autoencoder_learns_what_its_discriminator_looks_for() -> None:
    def told_apart(weight: float) -> float:
        _, values = after_training(100, adversarial=weight)
        return values["discriminator/real_score"] - values["discriminator/fake_score"]

    assert told_apart(0.03) < 0.7 * told_apart(1e-9)
