"""The ladder's levels: each stands on those above it, and its bound is the bound of one honest model."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from pinxit import hardware
from pinxit.data import Batch, DataSet
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.ladder import Ladder, Step
from pinxit.objectives.settings import VAESettings
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer


def build(levels: int = 3, latent: int = 7, **settings: object) -> Ladder:
    """A ladder whose every layer does something."""
    torch.manual_seed(0)
    asked = VAESettings(network="dense", channels=4, latent=latent, levels=levels, likelihood="bernoulli", **settings)
    objective = asked.build(PictureShape(16, 1))
    assert isinstance(objective, Ladder)
    with torch.no_grad():
        for step in objective.networks.modules():
            if isinstance(step, Step):  # which does nothing before training
                step.change.weight.normal_(0, 0.1)
    objective.networks.requires_grad_(False)
    return objective


def some(rows: int = 5) -> Batch:
    return Batch(image=torch.from_numpy(np.random.default_rng(0).random((rows, 1, 16, 16), np.float32)), seed=1, step=0)


def test_levels_share_the_code_and_know_only_those_above() -> None:
    objective, batch = build(), some()
    assert objective.sizes == [2, 2, 3]
    noise = batch.normal(7)
    mean, log_variance, code = objective.descend(batch.image, None, noise)
    assert torch.allclose(code, mean + log_variance.exp().sqrt() * noise)
    for start, stop in ((0, 2), (2, 4), (4, 7)):
        other = noise.clone()
        other[:, start:stop] += 1
        moved = objective.descend(batch.image, None, other)
        for one, changed in zip((mean, log_variance), moved[:2], strict=True):
            assert torch.equal(one[:, :stop], changed[:, :stop])
            assert stop == 7 or (one[:, stop:] != changed[:, stop:]).any(0).all()


def test_each_level_sees_the_picture() -> None:
    objective, batch = build(), some()
    mean = objective.descend(batch.image, None, torch.zeros(5, 7))[0]
    other = objective.descend(1 - batch.image, None, torch.zeros(5, 7))[0]
    assert (mean != other).any(0).all()
    posterior, features = objective.networks["posterior"], objective.networks["encoder"](batch.image)
    seen = posterior(features)
    assert torch.equal(seen[-1], posterior.first(features))  # the lowest level sees the most
    assert [one.shape for one in seen] == [(5, 32)] * 3
    assert not torch.equal(seen[0], seen[1])


def test_a_code_is_decoded_as_it_was_drawn() -> None:
    objective, batch = build(), some()
    drawn = objective.reconstruct(batch, 3)
    assert torch.equal(objective.sample(drawn.latent), drawn.logits.sigmoid())
    mean, log_variance = objective.posterior(batch.image, None)
    again = objective.descend(batch.image, None, torch.zeros(5, 7))
    assert torch.equal(mean, again[0])
    assert torch.equal(log_variance, again[1])
    assert torch.equal(mean, again[2])
    for level in range(7):
        moved = mean.clone()
        moved[:, level] += 1
        assert not torch.equal(objective.sample(moved), objective.sample(mean))


def test_classes_reach_both_ways() -> None:
    torch.manual_seed(0)
    asked = VAESettings(network="dense", channels=4, latent=4, levels=2, conditional=True)
    objective = asked.build(PictureShape(16, 1, 3))
    first, second = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([1, 2, 0, 1, 2])
    latent = torch.zeros(5, 4)
    assert (objective.sample(latent, first) != objective.sample(latent, second)).flatten(1).any(1).all()
    assert (objective.encode(some().image, first) != objective.encode(some().image, second)).all()


def test_a_step_does_nothing_at_first() -> None:
    state = torch.randn(3, 8)
    assert torch.equal(Step(8)(state), state)


def test_densities_are_those_of_the_code_given_the_levels_above() -> None:
    objective, batch = build(), some()
    drawn = objective.reconstruct(batch, 4)
    posterior = Normal(drawn.mean, drawn.log_variance.exp().sqrt())
    log_ratio = (posterior.log_prob(drawn.latent) - Normal(0.0, 1.0).log_prob(drawn.latent)).sum(1).view(5, 4)
    assert torch.allclose(objective.log_ratio(drawn), log_ratio, rtol=1e-4, atol=1e-3)
    kl = torch.distributions.kl_divergence(posterior, Normal(0.0, 1.0)).view(5, 4, 7)
    assert torch.allclose(objective.kl(drawn), kl.sum(2).mean(1), rtol=1e-4)
    readings = objective.loss(batch, objective.draw(batch)).readings
    one = objective.reconstruct(batch)
    kl = torch.distributions.kl_divergence(Normal(one.mean, one.log_variance.exp().sqrt()), Normal(0.0, 1.0)).mean(0)
    rates = [readings[f"rate_level_{level}"].item() for level in (1, 2, 3)]
    assert rates == pytest.approx([kl[:2].sum().item(), kl[2:4].sum().item(), kl[4:].sum().item()], rel=1e-4)
    assert sum(rates) == pytest.approx(readings["rate"].item(), rel=1e-4)


def test_the_bound_of_many_samples_is_the_likelihood_that_the_prior_gives() -> None:
    """log p(x) by 200,000 codes from N(0, I), and by 20,000 from the posterior weighed by its density."""
    objective = build(levels=2, latent=2)
    with torch.no_grad():
        objective.decoder.picture.picture.weight *= 0.3
    batch = some(2)
    rng = torch.Generator().manual_seed(0)
    logits = objective.decoder(torch.randn(200_000, 2, generator=rng))
    for row, bound in enumerate(objective.bound(objective.reconstruct(batch, 20_000)).tolist()):
        log_p = -torch.nn.functional.binary_cross_entropy_with_logits(
            logits, batch.image[row].expand_as(logits), reduction="none"
        ).sum((1, 2, 3))
        assert bound == pytest.approx((log_p.logsumexp(0) - math.log(len(logits))).item(), abs=0.1)


def test_a_ladder_learns_digits_and_uses_its_levels(mnist: DataSet) -> None:
    """In 300 steps below 175 nats, where a code of nothing costs 206; its bound rises with K."""
    settings = VAESettings(
        network="dense", channels=16, latent=12, levels=2, likelihood="bernoulli", binarise=True, learning_rate=2e-3
    )
    torch.manual_seed(0)
    images = mnist.train.tensor(28, stop=12_800)
    trainer = Trainer(
        settings.build(PictureShape(28, 1)),
        lambda step: Batch(image=images[step * 64 % len(images) :][:64], seed=0, step=step),
        TrainingSettings(steps=300, batch_size=64),
        hardware.choose("cpu", "float32", threads=1),
    )
    *_, last = trainer
    objective, held_out = trainer.objective, Batch(image=mnist.held_out.tensor(28, stop=200), seed=0, step=0)
    assert isinstance(objective, Ladder)
    with torch.no_grad():
        assert objective.judge(held_out) < 175
        bounds = [objective.bound(objective.reconstruct(held_out, samples)).mean() for samples in (1, 5, 50)]
    assert bounds[0] + 1 < bounds[1] < bounds[2] - 0.5
    assert last.values["autoencoder/rate_level_1"] > 1
    assert last.values["autoencoder/rate_level_2"] > 1
