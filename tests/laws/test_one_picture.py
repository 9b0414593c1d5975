"""Networks that learn from one picture: which pixels they use, when they have settled; the seed decides everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.degradations import resize_bicubic
from pinxit.edits import single
from pinxit.edits.settings import DenoisePrior, DenoiseZeroShot, Edit, InpaintPrior, UpscalePrior
from pinxit.edits.single import (
    RADIUS,
    DeepImagePrior,
    Denoiser,
    FittedPrior,
    Settling,
    ZeroShot,
    ZeroShotNoise2Noise,
    crop_at,
    halves,
    seeded,
)
from pinxit.errors import UsageError
from pinxit.nets.hourglass import Hourglass

PHOTO = torch.from_numpy(data.astronaut()[60:97, 190:235] / 255).float().permute(2, 0, 1)  # 37 x 45
MASK = (torch.rand(1, 37, 45, generator=torch.Generator().manual_seed(0)) < 0.5).float()
KINDS: dict[str, Callable[..., Edit]] = {
    "denoise": lambda seed: DenoisePrior(max_steps=3, channels=8, seed=seed),
    "inpaint": lambda seed: InpaintPrior(max_steps=3, channels=8, seed=seed),
    "upscale": lambda seed: UpscalePrior(max_steps=3, channels=8, seed=seed, scale=3),
    "zero-shot": lambda seed: DenoiseZeroShot(steps=3, seed=seed),
}


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    """Gradients are off, as in the engine."""
    with torch.no_grad():
        yield


def mean_square(image: Tensor, other: Tensor) -> float:
    return (image - other).square().mean().item()


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_every_byte(kind: str) -> None:
    state = torch.get_rng_state()
    first = KINDS[kind](5).bind().run(PHOTO, MASK)
    torch.rand(3)
    assert torch.equal(KINDS[kind](5).bind().run(PHOTO, MASK), first)
    assert not torch.equal(KINDS[kind](6).bind().run(PHOTO, MASK), first)
    torch.set_rng_state(state)
    KINDS[kind](5).bind().run(PHOTO, MASK)
    assert torch.equal(torch.get_rng_state(), state), "it leaves the global generator alone"
    assert not torch.is_grad_enabled()
    assert not first.requires_grad


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 9), (1, 70, 33)])
@pytest.mark.parametrize("kind", ["denoise", "upscale", "zero-shot"])
def test_pictures_of_any_size(kind: str, shape: tuple[int, int, int]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    bound = KINDS[kind](0).bind()
    restored = bound.run(image, None)
    channels, height, width = shape
    assert restored.shape == (channels, height * bound.scale, width * bound.scale)
    assert restored.dtype == torch.float32
    assert 0 <= restored.min() <= restored.max() <= 1


def test_what_is_masked_is_not_looked_at() -> None:
    bound = InpaintPrior(max_steps=4, channels=8).bind()
    assert torch.equal(bound.run(PHOTO, MASK), bound.run(PHOTO * (1 - MASK) + 0.3 * MASK, MASK))
    assert torch.equal(bound.run(PHOTO, MASK), bound.run(PHOTO, 0.2 * MASK)), "a feathered pixel is unknown too"
    assert not torch.equal(bound.run(PHOTO, MASK), bound.run(PHOTO, MASK.roll(1, 1)))


def test_denoising_learns_from_the_whole_picture_whatever_the_mask() -> None:
    bound = DenoisePrior(max_steps=2, channels=8).bind()
    assert torch.equal(bound.run(PHOTO, MASK), bound.run(PHOTO, None))


def test_inpainting_says_what_it_needs() -> None:
    bound = InpaintPrior(max_steps=2).bind()
    with pytest.raises(UsageError, match="say where with --mask"):
        bound.run(PHOTO, None)
    with pytest.raises(UsageError, match="covers the whole picture"):
        bound.run(PHOTO, torch.full((1, 37, 45), 0.5))


def test_the_loss_is_the_squared_error_of_what_is_known() -> None:
    objective = DeepImagePrior(3, (37, 45), 8)
    drawn = torch.rand(1, 3, 37, 45, generator=torch.Generator().manual_seed(1))
    unknown = MASK[0].bool()
    (loss,) = objective._loss(Batch(image=PHOTO[None], mask=MASK[None], seed=0, step=0), drawn).terms.values()
    assert loss.item() == pytest.approx(mean_square(drawn[0][:, ~unknown], PHOTO[:, ~unknown]), rel=1e-5)
    (loss,) = objective._loss(Batch(image=PHOTO[None], seed=0, step=0), drawn).terms.values()
    assert loss.item() == pytest.approx(mean_square(drawn[0], PHOTO), rel=1e-5)


def test_the_loss_of_upscaling_sees_the_picture_made_small() -> None:
    drawn = torch.rand(1, 3, 74, 90, generator=torch.Generator().manual_seed(1))
    (loss,) = DeepImagePrior(3, (74, 90), 8)._loss(Batch(image=PHOTO[None], seed=0, step=0), drawn).terms.values()
    assert loss.item() == pytest.approx(mean_square(resize_bicubic(drawn, (37, 45))[0], PHOTO), rel=1e-5)


def test_the_code_jitters_at_each_step_by_its_own_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "PRIOR_RATE", 1e-30)
    bound = DenoisePrior(max_steps=3, channels=8).bind()
    assert isinstance(bound, FittedPrior)
    first, *others = bound.restorations(PHOTO, None)
    assert not any(torch.equal(other, first) for other in others)
    assert not first.requires_grad
    assert torch.equal(next(bound.restorations(PHOTO, None)), first)
    monkeypatch.setattr(single, "JITTER", 0.0)
    first, *others = bound.restorations(PHOTO, None)
    assert all(torch.equal(other, first) for other in others)


@pytest.mark.parametrize("size", [64, 96])
def test_the_hourglass_makes_pictures_of_the_codes_size(size: int) -> None:
    with seeded(0):
        hourglass = Hourglass(4, 3, 8)
    image = hourglass(torch.rand(2, 4, size, 128, generator=torch.Generator().manual_seed(0)))
    assert image.shape == (2, 3, size, 128)
    assert image.dtype == torch.float32
    assert 0 < image.min() < image.max() < 1
    assert hourglass.multiple == 32


# When it has settled.


def around(clean: Tensor, spread: list[float]) -> Iterator[Tensor]:
    rng = torch.Generator().manual_seed(0)
    yield from (clean + s * torch.randn(clean.shape, generator=rng) for s in spread)


def test_the_running_mean_and_variance_are_those_of_the_definition() -> None:
    pictures = [*around(PHOTO, [0.1] * 40)]
    settling, mean, variance = Settling(10, 99), np.zeros(PHOTO.shape), 0.0
    for number, picture in enumerate(pictures, start=1):
        settling.update(picture)
        x, share = picture.double().numpy(), 1 / min(number, 10)
        if number == 1:
            mean = x
        variance = (1 - share) * (variance + share * ((x - mean) ** 2).mean())
        mean = (1 - share) * mean + share * x
        if number == 10:  # up to the window they are the plain mean and variance
            whole = torch.stack(pictures[:10]).double()
            np.testing.assert_allclose(mean, whole.mean(0).numpy())
            assert variance == pytest.approx(whole.var(0, correction=0).mean().item())
        np.testing.assert_allclose(settling.mean.numpy(), mean, atol=1e-6)
        assert settling.variance == pytest.approx(variance, rel=1e-4)


def test_it_returns_the_mean_in_the_valley_of_the_variance_and_is_over_soon_after() -> None:
    settling = Settling(20, 60)
    spread = [*np.linspace(1, 0.1, 150), *np.linspace(0.1, 1, 150)]
    for picture in around(PHOTO, spread):
        settling.update(picture)
        if settling.over:
            break
    assert 150 <= settling.best_count <= 180
    assert settling.count == settling.best_count + 60
    assert mean_square(settling.best, PHOTO) < 0.2 * mean_square(settling.mean, PHOTO)


def test_the_quiet_of_the_first_steps_is_no_valley() -> None:
    settling = Settling(20, 30)
    for picture in around(PHOTO, [*[0.001] * 10, *np.linspace(1, 0.2, 110)]):
        settling.update(picture)
        assert not settling.over or settling.count < 120
    assert settling.best_count > 100


def test_it_ends_when_it_has_settled_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "WINDOW", 2)
    monkeypatch.setattr(single, "STAGE", 4)
    pictures = [*around(PHOTO[None], [*np.linspace(1, 0.1, 30), *np.linspace(0.2, 1, 70)])]
    monkeypatch.setattr(FittedPrior, "restorations", lambda *_: iter(pictures))
    bound = FittedPrior(3000, 32, 0, "cpu")
    monkeypatch.setattr(single, "PATIENCE", 1000)
    everything = [*bound.stages(PHOTO, None)]
    assert len(everything) == 100 // 4 + 1
    monkeypatch.setattr(single, "PATIENCE", 25)
    stopped = [*bound.stages(PHOTO, None)]
    assert 10 < len(stopped) < 18
    assert torch.equal(stopped[-1], everything[-1])
    assert torch.equal(bound.run(PHOTO, None), stopped[-1])
    assert not torch.equal(stopped[0], stopped[-1])


# Zero-shot Noise2Noise.


def test_the_halves_are_the_papers_two_convolutions() -> None:
    """The authors' kernels: [[0, .5], [.5, 0]] and [[.5, 0], [0, .5]], stride 2, a channel at a time."""
    image = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    for half, kernel in zip(halves(image), ([[0, 0.5], [0.5, 0]], [[0.5, 0], [0, 0.5]]), strict=True):
        expected = F.conv2d(image, torch.tensor(kernel).expand(3, 1, 2, 2), stride=2, groups=3)
        torch.testing.assert_close(half, expected)


def test_the_network_tells_the_noise_which_is_taken_away() -> None:
    denoiser = Denoiser(3)
    denoised = denoiser(PHOTO[None])
    for value in denoiser.noise[-1].parameters():
        value.mul_(2)
    torch.testing.assert_close(PHOTO - denoiser(PHOTO[None]), 2 * (PHOTO - denoised), rtol=0, atol=1e-5)


def test_the_terms_are_the_papers() -> None:
    with seeded(0):
        objective = ZeroShot(3)
    batch = Batch(image=PHOTO[None, :, :36, :44], seed=0, step=0)
    first, second = objective.draw(batch)
    one, other = (objective.denoiser(half) for half in (first, second))
    whole_one, whole_other = halves(objective.denoiser(batch.image))
    terms = objective._loss(batch, (first, second)).terms
    residual = (mean_square(one, second) + mean_square(other, first)) / 2
    assert terms["residual"].item() == pytest.approx(residual, rel=1e-5)
    consistency = (mean_square(one, whole_one) + mean_square(other, whole_other)) / 2
    assert terms["consistency"].item() == pytest.approx(consistency, rel=1e-5)


def test_steps_learn_from_crops_of_all_the_picture() -> None:
    pixels = np.arange(300 * 131, dtype=np.uint16).reshape(300, 131, 1)
    seen = np.zeros((300, 131, 1), bool)
    for step in range(300):
        crop = crop_at(pixels, 3, step).image
        assert crop.shape == (1, 1, 128, 128)
        values = (crop[0, 0] * 65535).round().int().numpy()
        seen.reshape(-1)[values] = True
        assert values[1, 0] - values[0, 0] == 131
    assert seen[10:-10].all()
    assert torch.equal(crop_at(pixels, 3, 7).image, crop_at(pixels, 3, 7).image)
    assert not torch.equal(crop_at(pixels, 3, 7).image, crop_at(pixels, 4, 7).image)


def test_a_crop_of_a_small_picture_is_the_picture_with_even_sides() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    crop = crop_at(pixels, 0, 0).image[0].permute(1, 2, 0).numpy() * 255
    assert crop.shape == (6, 8, 3)
    np.testing.assert_allclose(crop, pixels[[0, 1, 2, 3, 4, 4]], atol=1e-4)


def test_what_it_has_learned_is_local() -> None:
    fitted = ZeroShotNoise2Noise(2, 0, "cpu").for_picture((PHOTO * 255).byte().permute(1, 2, 0).numpy())
    assert fitted.radius == RADIUS
    image = 0.2 + 0.6 * PHOTO
    with torch.enable_grad():
        assert not fitted.run(image, None).requires_grad
    changed = image.clone()
    changed[:, 20, 20] += 0.1
    rows, columns = (fitted.run(image, None) != fitted.run(changed, None)).any(0).nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20 - RADIUS, 20 + RADIUS) * 2
