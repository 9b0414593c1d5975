"""Laws of the VQ-VAE: the codebook follows its equations, stays in use, and lets the gradient through as it should."""

import copy
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from pinxit import hardware
from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.nets.codebook import DEAD, Codebook, rotated, straight_through
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.settings import VQVAESettings
from pinxit.objectives.vq import PICTURE_VARIANCE, VQVAE
from pinxit.settings import Size, sides
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer


def built(size: Size = 20, channels: int = 3, **settings: object) -> VQVAE:
    torch.manual_seed(0)
    asked = {"channels": 4, "codes": 16, "dimensions": 4} | settings
    return VQVAESettings(**asked).build(PictureShape(size, channels, 3))


def batch(step: int = 0, rows: int = 6, size: Size = 20, channels: int = 3) -> Batch:
    image = torch.rand(rows, channels, *sides(size), generator=torch.Generator().manual_seed(step))
    return Batch(image=image, seed=1, step=step)


def book(codes: int, dimensions: int, decay: float = 0.9) -> Codebook:
    """A codebook whose vectors are all in use."""
    rng = torch.Generator().manual_seed(0)
    made = Codebook(codes, dimensions, decay)
    made.counts.copy_(10 + torch.rand(codes, generator=rng))
    made.sums.copy_(torch.randn(codes, dimensions, generator=rng) * made.counts[:, None])
    return made


def test_the_nearest_vector_is_looked_up() -> None:
    made = book(7, 3)
    output = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1))
    codes = made.nearest(output)
    for row in range(4):
        for place in range(5):
            distances = [((output[row, place] - vector) ** 2).sum().item() for vector in made.vectors]
            assert codes[row, place] == np.argmin(distances)
            assert torch.equal(made.look_up(codes)[row, place], made.vectors[codes[row, place]])
    assert torch.allclose(made.vectors * made.counts[:, None], made.sums)


def test_the_codebook_follows_its_equations() -> None:
    """Van den Oord et al., 2017, eqs. 6 to 8, in a plain loop."""
    made = book(5, 3)
    output = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1))
    count, total = made.counts.tolist(), made.sums.tolist()
    use = made.use.tolist()
    near: dict[int, list[torch.Tensor]] = {code: [] for code in range(5)}
    for code, row in zip(made.nearest(output).flatten().tolist(), output.flatten(0, 1), strict=True):
        near[code].append(row)
    made.follow(output, torch.rand(4, 6))
    for code, rows in near.items():
        count[code] = 0.9 * count[code] + 0.1 * len(rows)
        summed = torch.stack(rows).sum(0) if rows else torch.zeros(3)
        total[code] = (0.9 * torch.tensor(total[code]) + 0.1 * summed).tolist()
        assert made.counts[code].item() == pytest.approx(count[code], rel=1e-5)
        assert made.vectors[code].tolist() == pytest.approx([part / count[code] for part in total[code]], rel=1e-4)
        assert made.use[code].item() == pytest.approx(0.9 * use[code] + 0.1 * len(rows) / 24, rel=1e-5)


def test_dead_vectors_and_no_others_take_the_places_of_outputs_in_the_order_drawn() -> None:
    made = book(6, 3)
    made.counts[[1, 4]] *= 1e-9
    made.sums[[1, 4]] = 1e-9 * made.counts[[1, 4], None] + 1e3  # far away, so that nothing is near
    output = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(1))
    uniform = torch.rand(3, 4, generator=torch.Generator().manual_seed(2))
    before, codes = copy.deepcopy(made), made.nearest(output).flatten()
    made.follow(output, uniform)
    first, second = uniform.flatten().argsort()[:2].tolist()
    assert torch.allclose(made.vectors[1], output.flatten(0, 1)[first])
    assert torch.allclose(made.vectors[4], output.flatten(0, 1)[second])
    for code in (0, 2, 3, 5):
        rows = output.flatten(0, 1)[codes == code]
        assert torch.allclose(made.sums[code], 0.9 * before.sums[code] + 0.1 * rows.sum(0), atol=1e-5)


def test_a_vector_without_use_is_dead_again_after_one_window() -> None:
    made = Codebook(8, 2, decay=0.99)
    output = torch.tensor([[[1.0, 0.0], [2.0, 0.0]]]).expand(50, 2, 2) + torch.zeros(50, 2, 1)
    counts = []
    for step in range(250):
        made.follow(output, torch.rand(50, 2, generator=torch.Generator().manual_seed(step)))
        counts.append(made.counts.clone())
    idle = torch.stack(counts)[:, made.counts.argmin()]
    reborn = (idle.diff() > 0).nonzero().flatten()
    assert reborn.diff().tolist() == pytest.approx([100] * (len(reborn) - 1), abs=1)
    assert len(reborn) == 2
    assert idle.max().item() == pytest.approx(math.e * DEAD * 100 / 8, rel=1e-4)


def test_the_first_step_puts_the_vectors_where_the_outputs_are() -> None:
    made = Codebook(8, 3, decay=0.99)
    output = 5 + torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1))
    made.follow(output, torch.rand(4, 6, generator=torch.Generator().manual_seed(2)))
    assert (torch.cdist(made.vectors, output.flatten(0, 1)).amin(1) < 2).all()
    few = Codebook(8, 3, decay=0.99)
    few.follow(output[:1, :2], torch.rand(1, 2))
    assert few.vectors.isfinite().all()


def test_use_is_read_as_it_is_whatever_was_restarted() -> None:
    made = Codebook(8, 2, decay=0.5)
    assert made.perplexity().item() == pytest.approx(8)
    output = torch.tensor([[[1.0, 0.0], [9.0, 0.0]]]).expand(30, 2, 2)
    for step in range(40):
        made.follow(output, torch.rand(30, 2, generator=torch.Generator().manual_seed(step)))
    codes = Counter(made.nearest(output).flatten().tolist())
    assert len(codes) == 2
    assert made.perplexity().item() == pytest.approx(2, rel=1e-3)
    assert made.share_used().item() == 2 / 8


def test_the_straight_gradient_is_that_of_the_vector() -> None:
    output, vector = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    output.requires_grad_()
    through = straight_through(output, vector)
    assert torch.allclose(through, vector, atol=1e-6)
    back = torch.randn(5, 3)
    assert torch.equal(torch.autograd.grad(through, output, back)[0], back)


def test_the_rotated_gradient_keeps_its_angle_and_is_stretched() -> None:
    """Fifty et al., 2024: the vector is (|q| / |e|) R e with R the rotation from e to q, here built by its planes."""
    output, vector, back = torch.randn(3, 50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    output.requires_grad_()
    through = rotated(output, vector)
    assert torch.allclose(through, vector)
    (gradient,) = torch.autograd.grad(through, output, back)
    for e, q, g, found in zip(output.detach(), vector, back, gradient, strict=True):
        first = e / e.norm()
        second = q - (q @ first) * first
        second = second / second.norm()
        cosine, sine = q @ first / q.norm(), q @ second / q.norm()
        plane = torch.stack([first, second], dim=1)
        turn = torch.stack([torch.stack([cosine - 1, -sine]), torch.stack([sine, cosine - 1])])
        rotation = torch.eye(4, dtype=torch.float64) + plane @ turn @ plane.mT
        assert torch.allclose(rotation.mT @ rotation, torch.eye(4, dtype=torch.float64))
        assert torch.allclose(found, q.norm() / e.norm() * rotation.mT @ g)
        assert found @ e / (found.norm() * e.norm()) == pytest.approx(g @ q / (g.norm() * q.norm()))


@pytest.mark.parametrize(("gradient", "through"), [("straight-through", straight_through), ("rotation", rotated)])
def test_the_gradient_passes_as_the_setting_says(gradient: str, through: Callable[..., torch.Tensor]) -> None:
    objective = built(gradient=gradient)
    encoder = objective.networks["encoder"].vectors.weight
    (found,) = torch.autograd.grad(objective.loss(batch(), objective.draw(batch())).terms["reconstruction"], encoder)
    output = objective.networks["encoder"](batch().image)
    image = objective.pictures(through(output, objective.codebook.look_up(objective.codebook.nearest(output))))
    (expected,) = torch.autograd.grad((image - batch().image).square().mean() / PICTURE_VARIANCE, encoder)
    assert torch.allclose(found, expected)
    assert expected.abs().max() > 0


def test_rotation_is_finite_at_zero() -> None:
    output = torch.zeros(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(rotated(output, torch.ones(2, 3)).sum(), output)
    assert gradient.isfinite().all()


def test_terms_and_readings_are_the_equations() -> None:
    objective = built(commitment=0.5)
    for step in range(3):
        objective.after_step(batch(step), {})
    drawn = objective.draw(batch())
    loss = objective.loss(batch(), drawn)
    vector = objective.codebook.vectors[objective.encode(batch().image)]
    image = objective.networks["decoder"](vector).sigmoid()
    error = ((image - batch().image) ** 2).mean().item()
    assert loss.terms["reconstruction"].item() == pytest.approx(error / PICTURE_VARIANCE, rel=1e-4)
    commitment = ((drawn.output - vector) ** 2).mean().item()
    assert loss.terms["commitment"].item() == pytest.approx(0.5 * commitment, rel=1e-4)
    assert loss.readings["squared_error"].item() == pytest.approx(error, rel=1e-4)
    assert objective.judge(batch()) == pytest.approx(error, rel=1e-4)
    assert not drawn.vector.requires_grad


def test_looking_moves_nothing_and_the_step_moves_the_codebook() -> None:
    objective = built()
    before = copy.deepcopy(objective.networks.state_dict())
    objective.loss(batch(), objective.draw(batch()))
    with torch.no_grad():
        objective.preview(batch())
        objective.judge(batch())
    assert all(torch.equal(value, before[name]) for name, value in objective.networks.state_dict().items())
    objective.after_step(batch(), {})
    moved = {name for name, value in objective.networks.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"codebook.sums", "codebook.counts", "codebook.use"}
    output = objective.networks["encoder"](batch().image)
    by_hand = built()
    by_hand.codebook.follow(output, batch().uniform(objective.latent, stream="restart"))
    assert torch.equal(by_hand.codebook.vectors, objective.codebook.vectors)


def test_each_picture_is_coded_alone() -> None:
    objective = built()
    objective.after_step(batch(), {})
    image = batch().image
    with torch.no_grad():
        codes = objective.encode(image)
        assert codes.shape == (6, 25)
        assert codes.unique().numel() > 4
        assert torch.equal(objective.encode(image[2:4]), codes[2:4])
        assert torch.allclose(objective.sample(codes[2:4]), objective.restored(image)[2:4], atol=1e-5)
        sheet = objective.preview(batch())
        assert torch.equal(sheet[::2], image[:3])
        assert torch.equal(sheet[1::2], objective.restored(image)[:3])


def test_accumulation_leaves_the_codebook_what_it_is() -> None:
    books = []
    for parts in (1, 3):
        settings = VQVAESettings(channels=4, codes=16, dimensions=4)
        training = TrainingSettings(steps=3, batch_size=6, accumulate=parts)
        torch.manual_seed(0)
        objective = settings.build(PictureShape(20, 3))
        assert list(Trainer(objective, batch, training, hardware.choose("cpu", "float32", threads=1)))
        books.append(objective.codebook.vectors)
    assert torch.allclose(*books, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "halvings", "codes"),
    [
        (16, 1, 64),
        (16, 2, 16),
        (17, 2, 25),
        (28, 3, 16),
        (64, 2, 256),
        (100, 2, 625),
        ("40x17", 2, 50),
        ("16x90", 2, 92),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_any_size_become_maps(size: Size, halvings: int, codes: int, channels: int) -> None:
    objective = built(size, channels, halvings=halvings)
    images = batch(0, 2, size, channels)
    objective.loss(images, objective.draw(images))
    assert objective.encode(images.image).shape == (2, codes)
    image = objective.restored(images.image)
    assert image.shape == images.image.shape
    assert 0 <= image.min() <= image.max() <= 1
    assert objective.bits_per_pixel == pytest.approx(codes * 4 / math.prod(sides(size)))


def test_middle_grey_is_nothing_to_the_encoder() -> None:
    """Pictures in [0, 1] outside, in [-1, 1] inside; biases start at zero."""
    assert not built().networks["encoder"](torch.full((1, 3, 20, 20), 0.5)).any()


def test_codes_are_where_their_pixels_are() -> None:
    """A map's first row is of the picture's top, its first column of the left."""
    objective = built(64, 1)
    image = torch.zeros(1, 1, 64, 64)
    changed = image.clone()
    changed[..., :2, -2:] = 1
    with torch.no_grad():
        moved = (objective.networks["encoder"](changed) - objective.networks["encoder"](image)).norm(dim=2)[0]
    assert moved.argmax() == 15


@pytest.mark.parametrize(
    ("settings", "size", "line"),
    [({"halvings": 3}, 16, "16 pixels allow at most 2"), ({}, 1100, "16 to 1024")],
)
def test_an_impossible_map_is_refused(settings: dict[str, object], size: int, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        built(size, **settings)
