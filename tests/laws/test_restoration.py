"""Restoration: what the network is given, what it is to come near, what counts, and what is refused."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from pinxit.data import Batch
from pinxit.errors import UsageError, UserError
from pinxit.losses.reconstruction import RECONSTRUCTION
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.restoration import Restoration, Restored, repeated, subsampled
from pinxit.objectives.settings import RestorationSettings

SETTINGS = partial(RestorationSettings, channels=4, levels=1, blocks=1)
SHAPE = PictureShape(32, 3)


def photos(rows: int = 8, channels: int = 3, size: int = 32) -> Batch:
    """Parts of a photograph."""
    rng = np.random.default_rng(0)
    picture = torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255
    places = rng.integers(0, 512 - size, (rows, 2))
    image = torch.stack([picture[:channels, y : y + size, x : x + size] for y, x in places])
    return Batch(image=image, seed=1, step=2)


def built(shape: PictureShape = SHAPE, **settings: object) -> Restoration:
    torch.manual_seed(0)
    objective = SETTINGS(**settings).build(shape)
    with torch.no_grad():
        for weight in objective.networks.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return objective


class Watched(torch.nn.Module):
    """In a network's place: keeps what it was given, and gives it back."""

    def forward(self, image: Tensor, planes: Tensor | None = None) -> Tensor:
        self.image, self.planes = image, planes
        return image


def watched(**settings: object) -> tuple[Restoration, Watched]:
    objective, network = built(**settings), Watched()
    objective.networks["restorer"] = network
    return objective, network


def test_each_picture_is_spoiled_by_its_own_draws() -> None:
    objective, batch = built(degrade="noise(sigma=0..0.2) | jpeg", grey=0.5, told=0.5), photos()
    whole, part = objective.inputs(batch), objective.inputs(batch.rows(3, 6))
    assert torch.equal(whole.image[3:6], part.image)
    assert torch.equal(whole.planes[3:6], part.planes)
    assert torch.equal(whole.image, objective.inputs(batch).image)
    for other in (dataclasses.replace(batch, step=3), dataclasses.replace(batch, seed=3)):
        assert not torch.equal(whole.image, objective.inputs(other).image)


def test_the_share_of_grey_pictures_is_grey_with_one_noise_in_all_channels() -> None:
    objective, batch = built(degrade="noise(sigma=0.1)", grey=0.5), photos(200)
    clean, spoiled = objective.clean(batch), objective.inputs(batch).image
    grey = (spoiled[:, :1] == spoiled).flatten(1).all(1)
    assert grey.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert torch.equal(grey, (clean[:, :1] == clean).flatten(1).all(1))
    assert torch.allclose(
        clean[grey][:, 0], (batch.image[grey] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    )
    assert torch.equal(clean[~grey], batch.image[~grey])
    for rows in (grey, ~grey):
        assert (spoiled - clean)[rows].std().item() == pytest.approx(0.1, rel=0.02)


def test_the_share_of_told_pictures_is_told_its_own_level_and_the_others_nothing() -> None:
    objective, batch = built(degrade="noise(sigma=0.05..0.2) or noise(sigma=0.05..0.2) | clip", told=0.5), photos(200)
    spoiled = objective.inputs(batch)
    levels = spoiled.planes[:, 0]
    assert (levels == levels[:, :1, :1]).all()
    told = levels[:, 0, 0] > 0
    assert told.float().mean().item() == pytest.approx(0.5, abs=0.1)
    unclipped = ((spoiled.image * 255) % 1 != 0).flatten(1).any(1)
    assert unclipped.float().mean().item() == pytest.approx(0.5, abs=0.1)
    noise = (spoiled.image - batch.image).flatten(1).std(1)
    assert torch.allclose(noise[told & unclipped], levels[told & unclipped][:, 0, 0], rtol=0.1)


def test_holes_are_told_and_they_alone_change_and_count() -> None:
    objective, batch = built(degrade="pixels(share=0.3)"), photos()
    spoiled = objective.inputs(batch)
    known = 1 - spoiled.mask
    assert spoiled.mask.mean().item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(spoiled.planes, spoiled.mask)
    restored = objective.apply(spoiled)
    assert torch.equal(restored * known, batch.image * known)
    assert not torch.allclose(restored, spoiled.image)
    drawn = objective.draw(batch)
    error = (drawn.image - batch.image).square().sum((1, 2, 3)) / (3 * spoiled.mask.sum((1, 2, 3)))
    objective.settings = objective.settings.changed(loss="l2")
    assert objective.loss(batch, drawn).terms["reconstruction"].item() == pytest.approx(error.mean().item(), rel=1e-5)
    hidden = batch.image.clone()
    hidden[spoiled.mask.expand_as(hidden) > 0] = 7
    assert torch.equal(objective.restore(hidden, spoiled.mask), restored)


def test_restore_tells_the_level_and_enlarges() -> None:
    objective, batch = built(told=1.0), photos()
    blind, told = objective.restore(batch.image), objective.restore(batch.image, level=0.1)
    assert blind.shape == told.shape
    assert not torch.allclose(blind, told)
    larger = built(degrade="downscale(scale=2)").restore(batch.image)
    assert larger.shape == (8, 3, 64, 64)


def test_noise2noise_has_two_draws_of_one_level_on_one_picture() -> None:
    objective, network = watched(degrade="noise(sigma=0.1)", target="noisy", grey=0.5)
    batch = photos(40)
    drawn, clean = objective.draw(batch), objective.clean(batch)
    first, second = network.image - clean, drawn.target - clean
    for noise in (first, second):
        assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert abs((first * second).mean().item()) < 1e-4


def test_noise2void_hides_a_pixel_in_six_behind_a_neighbour_and_counts_it_alone() -> None:
    objective, network = watched(degrade="", target="blind-spot")
    ramp = torch.arange(32 * 32.0).view(1, 1, 32, 32).expand(400, 3, -1, -1)
    drawn = objective.draw(Batch(image=ramp, seed=0, step=0))
    assert torch.equal(drawn.target, ramp)
    changed = network.image != ramp
    hidden = drawn.counts.bool()
    assert hidden.float().mean().item() == pytest.approx(1 / 6, rel=0.05)
    assert (changed <= hidden).all()
    assert changed.sum() > 0.98 * 3 * hidden.sum()  # at the borders a reflection can be the pixel itself
    down, across = (network.image // 32 - ramp // 32)[changed], (network.image % 32 - ramp % 32)[changed]
    assert sorted(set(down.tolist())) == sorted(set(across.tolist())) == [-2, -1, 0, 1, 2]
    assert len({*zip(down.tolist(), across.tolist(), strict=True)}) == 24
    assert (network.image[:, :1] == network.image).all()


def test_neighbours_lie_beside_each_other_in_every_cell_each_pair_as_often() -> None:
    image = torch.arange(2 * 2 * 40 * 41.0).view(2, 2, 40, 41)
    choice = torch.rand(2, 20, 20, generator=torch.Generator().manual_seed(0))
    one, other = subsampled(image, choice)
    assert one.shape == other.shape == (2, 2, 20, 20)
    cells = image[..., ::2, :40:2]
    first, second = (one - cells).long(), (other - cells).long()
    assert {*first.unique().tolist()} == {*second.unique().tolist()} == {0, 1, 41, 42}
    assert {*(first - second).abs().unique().tolist()} == {1, 41}
    assert torch.equal(first[:, 0], first[:, 1])
    pairs, counts = torch.stack([first, second]).flatten(1).unique(dim=1, return_counts=True)
    assert pairs.shape[1] == 8
    assert counts.min() > 0.7 * counts.float().mean()


@pytest.mark.parametrize("target", ["clean", "noisy", "blind-spot", "neighbours"])
def test_odd_sizes_and_levels_that_are_told_are_good_for_every_target(target: str) -> None:
    objective = built(PictureShape(27, 3), target=target, told=1.0)
    assert objective.loss(photos(2, size=27), objective.draw(photos(2, size=27))).terms["reconstruction"].isfinite()


def test_neighbor2neighbor_is_its_equation() -> None:
    objective, batch = built(degrade="", target="neighbours", loss="l2"), photos()
    drawn = objective.draw(batch)
    choice = batch.uniform(16, 16, stream="neighbour")
    one, other = subsampled(batch.image, choice)
    restored = objective.restore(one)
    assert torch.allclose(drawn.image, restored)
    clean_one, clean_other = subsampled(objective.restore(batch.image), choice)
    terms = objective.loss(batch, drawn).terms
    assert terms["reconstruction"].item() == pytest.approx((restored - other).square().mean().item(), rel=1e-5)
    consistency = ((restored - other) - (clean_one - clean_other)).square().mean().item()
    assert terms["consistency"].item() == pytest.approx(consistency, rel=1e-4)
    assert drawn.expected.grad_fn is None


@pytest.mark.parametrize("target", ["noisy", "blind-spot", "neighbours"])
def test_without_clean_pictures_the_clean_one_is_best_on_average(target: str) -> None:
    """The gradient of the loss at the network that gives clean pictures is zero, but for chance."""
    objective, network = watched(degrade="noise(sigma=0.1)", target=target, loss="l2")
    flat = Batch(image=torch.full((200, 3, 32, 32), 0.4), seed=0, step=0)
    network.forward = lambda image, planes=None: torch.full_like(image, 0.4).requires_grad_()
    drawn = objective.draw(flat)
    bias = (drawn.image - drawn.target) * (1 if drawn.counts is None else drawn.counts)
    assert abs(bias.mean().item()) < 1e-3


def test_the_judgement_is_the_psnr_of_held_out_pictures() -> None:
    objective, _ = watched(degrade="noise(sigma=0.0980392)")
    grey = Batch(image=torch.full((40, 3, 32, 32), 0.5), seed=0, step=0)
    assert objective.judge(grey) == pytest.approx(20.17, abs=0.03)
    assert objective.judgement.best == "highest"
    assert watched(degrade="noise(sigma=0)")[0].judge(grey) == pytest.approx(100)
    assert built(degrade="", target="neighbours").judgement is None


@pytest.mark.parametrize(("rows", "shown"), [(64, 48), (11, 3), (3, 3), (1, 1)])
def test_the_preview_has_clean_degraded_and_restored_side_by_side(rows: int, shown: int) -> None:
    objective, batch = built(degrade="downscale(scale=2)"), photos(rows)
    with torch.no_grad():
        sheet = objective.preview(batch)
    assert sheet.shape == (3 * shown, 3, 32, 32)
    assert torch.equal(sheet[::3], batch.image[:shown])
    assert torch.equal(sheet[1::3, :, ::2, ::2], sheet[1::3, :, 1::2, 1::2])
    assert 0 <= sheet.min() <= sheet.max() <= 1


@pytest.mark.parametrize(
    ("name", "of_nothing", "of_three_tenths"),
    [("l1", 0, 0.3), ("l2", 0, 0.09), ("charbonnier", 0, 0.29900167)],  # sqrt(0.09 + 1e-6) - 1e-3
)
def test_losses_are_their_formulas(name: str, of_nothing: float, of_three_tenths: float) -> None:
    values = RECONSTRUCTION[name](torch.tensor([0.5, 0.2]), torch.tensor([0.5, 0.5]))
    assert values.tolist() == pytest.approx([of_nothing, of_three_tenths], rel=1e-5, abs=1e-8)


def test_every_loss_has_a_formula_here() -> None:
    assert [*RECONSTRUCTION] == ["l2", "l1", "charbonnier"]


@pytest.mark.parametrize(
    ("settings", "shape", "line"),
    [
        ({"degrade": ""}, SHAPE, "needs --degrade"),
        ({"degrade": "", "target": "noisy"}, SHAPE, "needs --degrade"),
        ({"degrade": "pixels", "target": "noisy"}, SHAPE, "--target noisy is for noise"),
        ({"degrade": "downscale", "target": "neighbours"}, SHAPE, "--target neighbours is for noise"),
        ({"degrade": "noise or pixels"}, SHAPE, "or none must leave holes"),
        ({"degrade": "noise or downscale"}, SHAPE, "shrink by the same factor"),
        ({"degrade": "downscale(scale=3)"}, SHAPE, "multiples of 3"),
        ({"degrade": "downscale | pixels"}, SHAPE, "cannot leave holes"),
        ({"degrade": "jpeg", "told": 0.5}, SHAPE, "--told"),
        ({"target": "blind-spot", "perceptual": 1}, SHAPE, "no clean pictures"),
        ({"adversarial": 1, "adversarial_loss": "wasserstein"}, SHAPE, "wasserstein"),
        ({"adversarial": 1}, PictureShape(1100, 3), "16 to 1024"),
        ({}, PictureShape(32, 4), "without transparency"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, object], shape: PictureShape, line: str) -> None:
    with pytest.raises(UserError, match=line):
        SETTINGS.func.parse(settings).build(shape)


@pytest.mark.parametrize("text", ["nose(sigma=1)", "noise(sigma=2)", "noise or", "or noise", "noise(sigma=0.1"])
def test_a_degradation_that_cannot_be_read_is_refused_with_the_settings(text: str) -> None:
    with pytest.raises(UsageError, match=r"degrade: "):
        RestorationSettings.parse({"degrade": text})


def test_a_network_without_holes_takes_no_mask_and_one_with_needs_it() -> None:
    image = photos().image
    with pytest.raises(UsageError, match="takes no mask"):
        built().restore(image, torch.ones(8, 1, 32, 32))
    with pytest.raises(UsageError, match="needs a mask"):
        built(degrade="pixels").restore(image)


def test_what_repeats_is_a_grid_and_not_the_picture() -> None:
    """A tile repeated is found whole; an even picture has none; one pixel in a cell of sixteen is a sixteenth."""
    tile = torch.rand(1, 3, 4, 4)
    found = repeated(tile.repeat(1, 1, 8, 8) + 0.2)
    expected = (tile - tile.mean((2, 3), keepdim=True)).flatten(2)[..., None, None]
    torch.testing.assert_close(found, expected.expand(-1, -1, -1, 2, 2))
    point = torch.zeros(1, 1, 16, 16)
    point[0, 0, 5, 6] = 1
    assert repeated(point).max().item() == pytest.approx(15 / 256)
    objective = built(grid=2.0, loss="l1")
    given = Restored(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32).index_fill_(3, torch.arange(0, 32, 2), 0.1))
    assert objective.loss(photos(1, 1), given).terms["grid"].item() == pytest.approx(2 * 0.05)


def test_jitter_shows_the_same_part_of_both_pictures_another_in_each_row_and_step() -> None:
    objective, batch = built(jitter=5), Batch(image=torch.rand(6, 3, 32, 32), seed=1, step=2)
    image, target = objective._seen(batch, Restored(batch.image + 1, batch.image))
    assert image.shape == (6, 3, 27, 27)
    torch.testing.assert_close(target, image + 1)
    places = [
        {(y, x) for y in range(6) for x in range(6) if torch.equal(part, whole[:, y : y + 27, x : x + 27])}
        for part, whole in zip(image, batch.image, strict=True)
    ]
    assert all(len(place) == 1 for place in places)
    assert len(set.union(*places)) > 1
    again, _ = objective._seen(dataclasses.replace(batch, step=3), Restored(batch.image, batch.image))
    assert not torch.equal(again, image)
