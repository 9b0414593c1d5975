"""Laws over the table of adversarial losses and over the penalties."""

import re
from pathlib import Path

import pytest
import torch

from pinxit.losses import penalties
from pinxit.losses.adversarial import ADVERSARIAL, Adversarial, softplus

LOSSES = pytest.mark.parametrize("name", ADVERSARIAL)


BOTH_ORDERS = pytest.mark.parametrize("apart", [0.5, -0.5], ids=["real is ahead", "fake is ahead"])


def scores(apart: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Random scores, the real ones higher by `apart` on the whole."""
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 16, generator=rng, dtype=torch.float64)
    return (real + apart).requires_grad_(), fake.requires_grad_()


@LOSSES
@BOTH_ORDERS
def test_the_discriminator_raises_real_scores_and_lowers_fake_ones(name: str, apart: float) -> None:
    real, fake = scores(apart)
    ADVERSARIAL[name].discriminator(real, fake).backward()
    if name == "least-squares":  # it pulls scores to 1 and 0, from either side
        assert torch.equal(real.grad.sign(), (real - 1).sign())
        assert torch.equal(fake.grad.sign(), fake.sign())
    else:
        assert (real.grad <= 0).all()
        assert (fake.grad >= 0).all()
        assert real.grad.min() < 0 < fake.grad.max()


@LOSSES
@BOTH_ORDERS
def test_the_generator_raises_fake_scores(name: str, apart: float) -> None:
    real, fake = scores(apart)
    ADVERSARIAL[name].generator(real.detach(), fake).backward()
    down = (fake - 1).sign() if name == "least-squares" else -torch.ones(16, dtype=torch.float64)
    assert torch.equal(fake.grad.sign(), down)


@LOSSES
def test_only_a_paired_loss_lets_the_generator_read_real_scores(name: str) -> None:
    real, fake = (score.detach() for score in scores())
    moved = ADVERSARIAL[name].generator(real + 1, fake) != ADVERSARIAL[name].generator(real, fake)
    assert bool(moved) == ADVERSARIAL[name].paired


@LOSSES
def test_losses_are_finite_single_numbers_at_any_score(name: str) -> None:
    for size in (1e-30, 1.0, 1e4):
        for sign in (-1, 1):
            real, fake = torch.full((4,), sign * size), torch.full((4,), -sign * size)
            for loss in (ADVERSARIAL[name].discriminator, ADVERSARIAL[name].generator):
                value = loss(real, fake)
                assert value.shape == ()
                assert torch.isfinite(value)


def test_values_at_zero_scores_are_the_papers() -> None:
    zero = torch.zeros(8)
    expected = {"saturating": 2 * 0.6931472, "non-saturating": 2 * 0.6931472, "least-squares": 0.5, "hinge": 2.0}
    expected |= {"wasserstein": 0.0, "relativistic": 0.6931472}
    found = {name: ADVERSARIAL[name].discriminator(zero, zero).item() for name in expected}
    assert found == pytest.approx(expected)


def test_softplus_is_torchs_with_the_right_slope_at_zero() -> None:
    x = torch.cat([torch.zeros(1), torch.linspace(-50, 50, 1001)]).double().requires_grad_()
    (slope,) = torch.autograd.grad(softplus(x).sum(), x)
    assert torch.allclose(softplus(x), torch.nn.functional.softplus(x), atol=1e-12)
    assert torch.allclose(slope, x.sigmoid(), atol=1e-12)


def linear(image: torch.Tensor) -> torch.Tensor:
    """A score whose gradient is 3 in each of 4 pixels: norm 6, squared 36."""
    return 3 * image.flatten(1).sum(1)


def test_the_penalties_of_a_linear_score_are_known() -> None:
    real = torch.rand(5, 1, 2, 2).requires_grad_()
    fake = torch.rand(5, 1, 2, 2)
    assert penalties.squared_gradient(linear(real), real).item() == pytest.approx(36)
    position = torch.rand(5, 1, 1, 1)
    for images in (penalties.between(real, fake, position), penalties.around(real, torch.randn(5, 1, 2, 2))):
        assert penalties.unit_gradient(linear, images).item() == pytest.approx(25, rel=1e-5)


def test_the_penalties_have_gradients_of_their_own() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.Softplus(), torch.nn.Linear(3, 1))
    score = lambda image: net(image).squeeze(1)  # noqa: E731
    real = torch.rand(5, 1, 2, 2).requires_grad_()
    penalties.squared_gradient(score(real), real).backward()
    assert net[1].weight.grad.abs().sum() > 0
    net.zero_grad()
    penalties.unit_gradient(score, real).backward()
    assert net[1].weight.grad.abs().sum() > 0


def test_the_gradient_of_a_pack_is_that_over_all_of_its_pictures() -> None:
    real = torch.rand(6, 1, 2, 2).requires_grad_()
    scores = linear(real).view(3, 2).sum(1)
    assert penalties.squared_gradient(scores, real).item() == pytest.approx(72)
    packed = penalties.unit_gradient(lambda image: linear(image).view(3, 2).sum(1), real)
    assert packed.item() == pytest.approx((72**0.5 - 1) ** 2, rel=1e-5)


def test_the_points_of_the_penalties_are_where_the_papers_say() -> None:
    real, fake = torch.ones(2, 1, 1, 2), torch.zeros(2, 1, 1, 2)
    position = torch.tensor([0.25, 1.0]).view(2, 1, 1, 1)
    assert penalties.between(real, fake, position).flatten().tolist() == [0.25, 0.25, 1, 1]
    real[0] = torch.tensor([0.0, 2.0])  # its standard deviation is the root of 2, the other's is 0
    moved = penalties.around(real, torch.full((2, 1, 1, 2), 2**0.5))
    assert moved.flatten().tolist() == pytest.approx([1, 3, 1, 1])


def test_the_latent_gradient_estimates_the_squared_norm_of_the_jacobian() -> None:
    rng = torch.Generator().manual_seed(0)
    jacobian = torch.randn(9, 6, generator=rng)
    latent = torch.zeros(20_000, 6).requires_grad_()
    fake = (latent @ jacobian.T).view(-1, 1, 3, 3)
    estimate = penalties.latent_gradient(fake, latent, torch.randn(fake.shape, generator=rng))
    assert estimate.item() == pytest.approx(jacobian.square().sum().item() / 9, rel=0.05)


def test_the_row_that_contributing_shows_is_a_lawful_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    block, *_ = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len([line for line in block.splitlines() if not line.strip().startswith("#")]) <= 4
    (row,) = eval("{" + block + "}", {"Adversarial": Adversarial}).items()
    monkeypatch.setitem(ADVERSARIAL, *row)
    for apart in (0.5, -0.5):
        test_the_discriminator_raises_real_scores_and_lowers_fake_ones(row[0], apart)
        test_the_generator_raises_fake_scores(row[0], apart)
    test_only_a_paired_loss_lets_the_generator_read_real_scores(row[0])
    test_losses_are_finite_single_numbers_at_any_score(row[0])
