"""Likelihoods, divergences and mixtures against torch.distributions, plain loops and cases one can count."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal
from torch.distributions import kl_divergence as kl_of

from pinxit.errors import UsageError
from pinxit.losses.latent import (
    PENALTIES,
    SCALES,
    Codes,
    Penalty,
    free_bits,
    kl_to_normal,
    log_mean_exp,
    log_normal,
    mmd,
    total_correlation,
)
from pinxit.losses.likelihood import LIKELIHOODS, log_likelihood
from pinxit.objectives.mixture import Mixture, fit_classes, fit_mixture


@pytest.fixture
def numbers() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_kl_and_log_normal_are_torchs(numbers: torch.Generator) -> None:
    mean, log_variance, latent = torch.randn(3, 5, 4, generator=numbers)
    normal = Normal(mean, (log_variance / 2).exp())
    assert torch.allclose(kl_to_normal(mean, log_variance), kl_of(normal, Normal(0.0, 1.0)), atol=1e-6)
    assert torch.allclose(log_normal(latent, mean, log_variance), normal.log_prob(latent), atol=1e-5)
    assert kl_to_normal(torch.zeros(1, 2), torch.zeros(1, 2)).sum() == 0


def test_free_bits_are_free_below_and_full_above() -> None:
    kl = torch.tensor([[0.1, 1.0], [0.9, 2.0]])  # 0.5 and 1.5 in the batch's mean, whatever each picture's
    assert free_bits(kl, 0.4) == pytest.approx(0.5 + 1.5)
    assert free_bits(kl, 0.7) == pytest.approx(0.7 + 1.5)
    assert free_bits(kl, 0.0) == pytest.approx(kl.sum(1).mean())


def test_bernoulli_is_torchs_and_has_the_greys_in_between(numbers: torch.Generator) -> None:
    logits = 3 * torch.randn(4, 1, 3, 3, generator=numbers)
    image = (torch.rand(4, 1, 3, 3, generator=numbers) < 0.5).float()
    expected = Bernoulli(logits=logits).log_prob(image).flatten(1).sum(1)
    assert torch.allclose(log_likelihood("bernoulli", image, logits, torch.tensor(0.0)), expected, atol=1e-5)
    assert log_likelihood("bernoulli", image, 200 * (2 * image - 1), torch.tensor(0.0)).abs().max() < 1e-6


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_gaussian_is_torchs(noise: float, numbers: torch.Generator) -> None:
    logits, image = torch.randn(4, 3, 2, 2, generator=numbers), torch.rand(4, 3, 2, 2, generator=numbers)
    expected = Normal(logits.sigmoid(), noise).log_prob(image).flatten(1).sum(1)
    found = log_likelihood("gaussian", image, logits, torch.tensor(math.log(noise)))
    assert torch.allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 0.02, 0.5])
@pytest.mark.parametrize("logit", [-9.0, -1.0, 0.3, 6.0])
def test_logistic_gives_256_levels_probabilities_of_one_altogether(scale: float, logit: float) -> None:
    levels = (torch.arange(256) / 255).view(256, 1, 1, 1)
    found = log_likelihood("logistic", levels, torch.full_like(levels, logit), torch.tensor(math.log(scale)))
    assert found.exp().sum() == pytest.approx(1, abs=1e-4)
    assert found.isfinite().all()
    mean = 1 / (1 + math.exp(-logit))
    edges = ((torch.arange(257).double() - 0.5) / 255 - mean) / scale
    inside = edges.sigmoid().diff()[1:-1]
    seen = inside > 1e-9  # below, the plain difference has no digits left
    assert torch.allclose(found[1:-1].double().exp()[seen], inside[seen], rtol=1e-3)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_likelihood_is_highest_at_the_picture_and_pulls_there(name: str) -> None:
    image = torch.tensor([0.2, 0.8]).view(1, 1, 1, 2)
    logits = torch.zeros(1, 1, 1, 2, requires_grad=True)
    log_likelihood(name, image, logits, torch.tensor(-2.0)).sum().backward()
    assert logits.grad.flatten()[0] < 0 < logits.grad.flatten()[1]
    at = log_likelihood(name, image, image.logit(), torch.tensor(-2.0))
    assert all(at > log_likelihood(name, image, image.logit() + shift, torch.tensor(-2.0)) for shift in (-0.5, 0.5))


def plain_mmd(one: Tensor, other: Tensor) -> float:
    """Tolstikhin et al., 2018, algorithm 2, by loops."""

    def kernel(x: Tensor, y: Tensor) -> float:
        return sum(2 * len(x) * s / (2 * len(x) * s + ((x - y) ** 2).sum().item()) for s in SCALES)

    n = len(one)
    same = [sum(kernel(z[i], z[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1)) for z in (one, other)]
    return sum(same) - 2 * sum(kernel(x, y) for x in one for y in other) / n**2


def test_mmd_is_the_plain_loops_and_tells_equal_from_other(numbers: torch.Generator) -> None:
    one, other = torch.randn(2, 7, 3, generator=numbers)
    assert mmd(one, other + 1).item() == pytest.approx(plain_mmd(one, other + 1), abs=1e-4)
    many, more = torch.randn(2, 500, 3, generator=numbers)
    assert abs(mmd(many, more)) < 0.05 < mmd(many, more + 0.5) < mmd(many, more + 2)
    with pytest.raises(UsageError, match="2 or more"):
        mmd(one[:1], other[:1])


def test_total_correlation_of_two_posteriors_one_can_count() -> None:
    """Two far apart, sharp posteriors in D dimensions: log q(z) - sum log q(z_d) is (D - 1) log 2; alone it is 0."""
    for dimensions in (1, 2, 3):
        mean = torch.tensor([[-50.0], [50.0]]).expand(2, dimensions)
        found = total_correlation(mean, mean, torch.zeros(2, dimensions))
        assert found.item() == pytest.approx((dimensions - 1) * math.log(2), abs=1e-4)
    corners = torch.tensor([[a, b] for a in (-50.0, 50.0) for b in (-50.0, 50.0)])  # independent dimensions
    assert total_correlation(corners, corners, torch.zeros(4, 2)).item() == pytest.approx(0, abs=1e-4)


def test_log_mean_exp_is_the_log_of_a_mean() -> None:
    weights = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    assert torch.allclose(log_mean_exp(weights.log()), torch.tensor([2.0, 2.0]).log())


@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty_is_its_equation(name: str, numbers: torch.Generator) -> None:
    mean, log_variance, latent, prior = torch.randn(4, 6, 3, generator=numbers)
    codes = Codes(mean, log_variance, latent, prior, torch.tensor(5.0))
    expected = {
        "kl": 2 * 5.0,
        "tc": 5.0 + total_correlation(latent, mean, log_variance),
        "info": 5.0 + 2 * mmd(latent, prior),
        "mmd": 2 * mmd(latent, prior),
        "l2": mean.square().sum() / 6,
        "none": 0.0,
    }
    assert float(PENALTIES[name].value(codes, 2.0)) == pytest.approx(float(expected[name]), rel=1e-5)


def some_mixture(numbers: torch.Generator) -> Mixture:
    factors = torch.randn(3, 2, 2, generator=numbers).tril()
    factors.diagonal(dim1=1, dim2=2).abs_().add_(0.3)
    return Mixture(torch.tensor([0.2, 0.3, 0.5]), 4 * torch.randn(3, 2, generator=numbers), factors)


def test_a_mixtures_density_is_torchs(numbers: torch.Generator) -> None:
    mixture = some_mixture(numbers)
    latent = torch.randn(9, 2, generator=numbers)
    parts = MultivariateNormal(mixture.means, scale_tril=mixture.factors)
    expected = MixtureSameFamily(Categorical(mixture.weights), parts).log_prob(latent)
    assert torch.allclose(mixture.log_joint(latent).logsumexp(1), expected, atol=1e-4)


def test_a_mixtures_draws_have_its_moments(numbers: torch.Generator) -> None:
    mixture = some_mixture(numbers)
    drawn = mixture.latents(torch.randn(20_000, 2, generator=numbers), torch.rand(20_000, generator=numbers))
    mean = mixture.weights @ mixture.means
    assert torch.allclose(drawn.mean(0), mean, atol=0.1)
    spread = (mixture.factors @ mixture.factors.mT + mixture.means[:, :, None] * mixture.means[:, None]).mT
    expected = torch.einsum("k,kij->ij", mixture.weights, spread) - mean[:, None] * mean
    assert torch.allclose(drawn.mT.cov(), expected, atol=0.05 * expected.abs().max())
    assert torch.allclose(mixture.moments()[0], mean)
    assert torch.allclose(mixture.moments()[1], expected.diagonal().sqrt(), rtol=1e-4)
    assert torch.equal(torch.stack(Mixture.normal(3).moments()), torch.tensor([[0.0] * 3, [1.0] * 3]))
    chosen = mixture.latents(torch.zeros(4, 2), torch.zeros(4), torch.tensor([2, 0, 1, 1]))
    assert torch.equal(chosen, mixture.means[[2, 0, 1, 1]])
    diagonal = Mixture(torch.ones(1), torch.ones(1, 2), torch.tensor([[2.0, 3.0]]))
    assert diagonal.latents(torch.ones(1, 2), torch.zeros(1)).tolist() == [[3.0, 4.0]]
    assert diagonal.latents(torch.ones(1, 2), torch.ones(1)).tolist() == [[3.0, 4.0]]  # the last, never one beyond


def test_a_fitted_mixture_is_the_one_that_was_drawn_from(numbers: torch.Generator) -> None:
    true = Mixture(
        torch.tensor([0.3, 0.7]),
        torch.tensor([[-4.0, 0.0], [4.0, 1.0]]),
        torch.tensor([[[1.0, 0.0], [0.8, 0.5]], [[0.5, 0.0], [-0.4, 1.0]]]),
    )
    codes = true.latents(torch.randn(4000, 2, generator=numbers), torch.rand(4000, generator=numbers))
    found = fit_mixture(codes, components=2)
    order = found.means[:, 0].argsort()
    assert torch.allclose(found.weights[order], true.weights, atol=0.03)
    assert torch.allclose(found.means[order], true.means, atol=0.1)
    assert torch.allclose(found.factors[order], true.factors, atol=0.1)
    one, two = (fit_mixture(codes, rounds=n).log_joint(codes).logsumexp(1).mean() for n in (1, 40))
    assert two > one


def test_a_class_gets_its_own_moments_and_few_codes_still_a_gaussian(numbers: torch.Generator) -> None:
    codes, labels = torch.randn(3000, 2, generator=numbers), torch.arange(3000) % 3
    codes = codes * torch.tensor([1.0, 2.0]) + 5 * labels[:, None]
    found = fit_classes(codes, labels, 3)
    for label in range(3):
        own = codes[labels == label]
        assert torch.allclose(found.means[label], own.mean(0), atol=0.02)
        covariance = found.factors[label] @ found.factors[label].mT
        assert torch.allclose(covariance, own.mT.cov(), atol=0.15)
    few = fit_classes(codes[:4], labels[:4], 5)  # classes of two, one, one and no codes
    assert all(value.isfinite().all() for value in few.tensors().values())
    assert fit_mixture(torch.zeros(3, 4)).factors.isfinite().all()
    independent = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    standard = Mixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
    assert torch.allclose(standard.log_joint(codes[:5])[:, 0], independent.log_prob(codes[:5]), atol=1e-4)


def test_the_row_that_contributing_shows_is_its_equation(numbers: torch.Generator) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    _, block, *_ = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(block.splitlines()) <= 4
    ((name, row),) = eval("{" + block + "}", {"Penalty": Penalty}).items()
    mean = torch.randn(50, 3, generator=numbers)
    codes = Codes(mean, mean, mean, mean, torch.tensor(5.0))
    assert name == "dip"
    expected = 5 + 2 * torch.dist(torch.cov(mean.T), torch.eye(3)).square()
    assert row.value(codes, 2.0).item() == pytest.approx(expected.item(), rel=1e-4)
