"""Laws and reference values of the networks of GANs and their parts."""

import copy
import math
from dataclasses import replace
from functools import partial
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pinxit
from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.losses import penalties
from pinxit.nets import spectral
from pinxit.nets.attention import Attention
from pinxit.nets.crowd import CROWD
from pinxit.nets.enlarging import ENLARGE, halving
from pinxit.nets.meta import without_memory
from pinxit.nets.shapes import PictureShape, halved, size_ladder
from pinxit.nets.style import Modulated
from pinxit.nets.virtual import REFERENCE, VirtualNorm
from pinxit.objectives.gan import PATH_EVERY


def test_enlarging_is_enlarging_and_then_a_convolution() -> None:
    """By torch's interpolation and convolution. Edges of bilinear maps differ: torch repeats the last pixel there."""
    assert tuple(ENLARGE) == get_args(pinxit.GANSettings.model_fields["enlarge"].annotation)
    for size in ((8, 12), (7, 12), (9, 5)):
        x = torch.randn(2, 3, *halved(size))
        odd = [slice(side % 2, None) for side in size]
        for name, mode, edge in (("nearest", "nearest", 0), ("bilinear", "bilinear", 2)):
            layer = ENLARGE[name](3, 4, size, True)
            large = F.interpolate(x, scale_factor=2, mode=mode)
            expected = F.conv2d(large, layer.weight, layer.bias, padding=1)[(..., *odd)]
            inner = (..., *(slice(edge, side - edge) for side in size))
            assert layer(x).shape[2:] == ENLARGE["strided"](3, 4, size, True)(x).shape[2:] == size
            torch.testing.assert_close(layer(x)[inner], expected[inner])


@pytest.mark.parametrize("network", ["residual", "plain", "dense"])
def test_only_a_network_with_a_choice_takes_a_way_to_enlarge(network: str) -> None:
    with pytest.raises(UsageError, match="--network dcgan"):
        pinxit.GANSettings(network=network, enlarge="nearest").build(PictureShape(16, 3))


def test_spectral_norm_is_torchs_after_many_steps_and_moves_only_when_asked() -> None:
    """Also the largest singular value is 1, by decomposition, of every kind of layer."""
    from torch.nn.utils.parametrizations import spectral_norm

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 4), nn.Linear(4, 6), nn.Embedding(3, 4))
    other = copy.deepcopy(network)
    for layer in other[:2]:
        spectral_norm(layer, n_power_iterations=200)(torch.ones(1, 3 if layer is other[0] else 1, 4, 4))
    spectral.normalise(network)
    kept = copy.deepcopy(network.state_dict())
    weights = [layer.weight for layer in network]
    network[0](torch.rand(1, 3, 8, 8))
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    for _ in range(200):
        spectral.advance(network)
    for layer, before in zip(network, weights, strict=True):
        assert not torch.equal(layer.weight, before)
        assert torch.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(1, abs=1e-5)
    for layer, torchs in zip(network, other[:2], strict=False):
        torch.testing.assert_close(layer.weight, torchs.weight)
    layer, torchs = network[0], other[0].eval()
    for one in (layer, torchs):
        one(torch.ones(1, 3, 8, 8)).square().sum().backward()
    torch.testing.assert_close(
        layer.parametrizations.weight.original.grad, torchs.parametrizations.weight.original.grad
    )


def test_a_bound_that_does_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="omit one"):
        pinxit.GANSettings(discriminator_norm="spectral", weight_clip=0.01).build(PictureShape(16, 3))


SMALL = {"channels": 4, "latent": 6}
GAN = partial(pinxit.GANSettings, **SMALL)
CASES = {
    "batch": GAN(),
    "spectral": GAN(discriminator_norm="spectral", attention=10, minibatch="discrimination"),
    "residual": GAN(network="residual", attention=10, minibatch="deviation"),
    "dense": GAN(network="dense", minibatch="deviation"),
    "virtual": GAN(generator_norm="virtual", attention=10),
    "style": GAN(network="style", attention=10, path_length=2),
    "projected": GAN(network="dense", discriminator="projected"),
    "aided": GAN(network="dense", discriminator="aided"),
}


def test_running_a_network_moves_nothing_but_statistics_of_batch_norm() -> None:
    """The watch, previews and evaluation run networks; only a step may move what a checkpoint holds."""
    for name, settings in CASES.items():
        networks = settings.build(PictureShape("24x20", 3)).networks
        for training in (True, False):
            networks.train(training)
            before = copy.deepcopy(networks.state_dict())
            networks["discriminator"](networks["generator"](torch.randn(3, 6)))
            moved = {key for key, value in networks.state_dict().items() if not torch.equal(value, before[key])}
            expected = [key for key in before if "running" in key or "tracked" in key] if training else []
            assert moved == set(expected), name


def test_every_network_is_built_without_memory_as_loading_does() -> None:
    for name, settings in CASES.items():
        own = settings.build(PictureShape(20, 3)).networks.state_dict()
        assert len({value.data_ptr() for value in own.values()}) == len(own), f"{name}: no tensor is saved twice"
        with without_memory():
            networks = settings.build(PictureShape(20, 3)).networks
            assert {value.device.type for value in networks.state_dict().values()} == {"meta"}, name
        networks.load_state_dict(own, assign=True)
        assert {value.device.type for value in (*networks.parameters(), *networks.buffers())} == {"cpu"}, name


def test_every_network_takes_every_size_kind_of_picture_and_class() -> None:
    """Odd and oblong sizes; grey, colour and alpha; with classes."""
    for name, settings in CASES.items():
        for size, channels in ((16, 1), (28, 4), ("33x20", 3)):
            side = min(size_ladder(PictureShape(size, channels))[1]) if settings.attention else 0
            asked = settings.changed(attention=side, conditional=True)
            networks = asked.build(PictureShape(size, channels, 3)).networks.eval()
            latent = torch.randn(2, 6)
            images = networks["generator"](latent, torch.tensor([0, 1]))
            assert images.shape == (2, channels, *PictureShape(size, channels).sides), name
            assert 0 <= images.min() <= images.max() <= 1
            assert networks["discriminator"](images, torch.tensor([0, 1])).shape == (2,)


def test_a_picture_does_not_depend_on_what_it_is_drawn_with() -> None:
    for name, settings in CASES.items():
        generator = settings.build(PictureShape(20, 3)).networks["generator"].train(name == "virtual")
        latent = torch.randn(5, 6)
        torch.testing.assert_close(generator(latent)[3:4], generator(latent[3:4]), atol=1e-5, rtol=1e-4)


def test_a_modulated_convolution_has_weights_of_its_own_for_each_picture() -> None:
    """Karras et al., 2020, eq. 1 and 3, picture by picture; with a size it is enlarged first."""
    torch.manual_seed(0)
    x, style = torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    for size in (None, (8, 8)):
        layer = Modulated(3, 4, 5, size)
        nn.init.normal_(layer.bias)
        for row in range(2):
            scale = layer.style.weight @ style[row] / 5**0.5 + 1
            weight = layer.weight * scale[:, None, None]
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            given = x[row : row + 1] if size is None else F.interpolate(x[row : row + 1], scale_factor=2)
            expected = F.leaky_relu(2**0.5 * F.conv2d(given, weight, padding=1) + layer.bias[:, None, None], 0.2)
            torch.testing.assert_close(layer(x, style)[row : row + 1], expected, atol=1e-5, rtol=1e-4)


def test_halving_in_one_step_is_a_convolution_and_then_an_average() -> None:
    x, weight, bias = torch.randn(2, 3, 8, 6), torch.randn(4, 3, 3, 3), torch.randn(4)
    expected = F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2)
    torch.testing.assert_close(halving(x, weight, bias), expected, atol=1e-5, rtol=1e-4)
    assert halving(torch.randn(2, 3, 7, 5), weight, bias).shape == (2, 4, 4, 3)


def test_the_projected_discriminator_scores_every_place_by_a_frozen_network() -> None:
    torch.manual_seed(0)
    gan = GAN(network="dense", discriminator="projected").build(PictureShape("32x24", 4))
    heads = gan.networks["discriminator"].eval()
    assert heads.sides == (64, 85)
    assert sum(weight.numel() for weight in gan.networks.parameters()) < 1e6, "the frozen network is no part of it"
    image = torch.rand(2, 4, 24, 32).requires_grad_()
    scores = heads.score(heads.last_features(image), None).view(2, -1)
    assert scores.shape == (2, 2 * 8 * 11 + 4 * 6 + 2 * 3)
    torch.testing.assert_close(heads(image), scores.mean(1))
    (gradient,) = torch.autograd.grad(scores[0].sum(), image)
    assert (gradient[0].abs().amax((1, 2)) > 0).all(), "colours and alpha count"
    assert not gradient[1].any()
    black = torch.cat([torch.zeros(2, 3, 24, 32), image[:, 3:]], dim=1)
    assert not torch.equal(heads(black), heads(torch.zeros_like(black))), "black is not transparent"


def test_an_aided_discriminator_weighs_its_own_score_as_much_as_all_places() -> None:
    aided = CASES["aided"].build(PictureShape(20, 3)).networks["discriminator"].eval()
    image = torch.rand(2, 3, 20, 20)
    whole, places = aided.score(aided.last_features(image), None).view(2, 2, -1).unbind(1)
    torch.testing.assert_close(whole, aided.own(image)[:, None].expand_as(whole))
    torch.testing.assert_close(places.mean(1), aided.projected(image))


def test_what_a_discriminator_sees_of_its_batch_is_as_by_hand() -> None:
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0]])[:, :, None, None].expand(2, 2, 3, 3)  # deviations 1 and 0
    seen = CROWD["deviation"](2)(x)
    torch.testing.assert_close(seen[:, :2], x)
    torch.testing.assert_close(seen[:, 2], torch.full((2, 3, 3), 0.5), atol=1e-4, rtol=0)
    layer = CROWD["discrimination"](2)
    nn.init.zeros_(layer.kernels.weight)
    with torch.no_grad():
        layer.kernels.weight[:2, 0] = 0.25  # of the first kernel, two numbers differ by 0.5 each
    seen = layer(x)[:, 2:, 0, 0]
    torch.testing.assert_close(seen[:, 0], torch.full((2,), 1 + math.exp(-1)))
    torch.testing.assert_close(seen[:, 1:], torch.full((2, 15), 2.0))


def test_attention_is_a_mean_of_all_positions_by_how_they_match() -> None:
    layer, x = Attention(8), torch.randn(2, 8, 3, 4)
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.gamma, 0.7)
    query, key, value, last = (part.weight[:, :, 0, 0] for part in (layer.query, layer.key, layer.value, layer.last))
    for row, made in zip(x, layer(x), strict=True):
        flat = row.flatten(1).mT
        share = ((flat @ query.mT) @ (flat @ key.mT).mT).softmax(1)
        expected = flat + 0.7 * share @ (flat @ value.mT) @ last.mT
        torch.testing.assert_close(made.flatten(1).mT, expected, atol=1e-5, rtol=1e-4)


def test_virtual_batch_norm_counts_a_picture_as_one_more_of_the_reference() -> None:
    layer = VirtualNorm(nn.BatchNorm2d(2))
    x = torch.randn(REFERENCE + 2, 2, 3, 3)
    both = torch.cat([x[:REFERENCE], x[-1:]])
    torch.testing.assert_close(layer(x)[-1], nn.BatchNorm2d(2)(both)[-1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(layer(x)[:REFERENCE], nn.BatchNorm2d(2)(x[:REFERENCE]), atol=1e-5, rtol=1e-4)


def test_path_lengths_are_of_the_jacobian_and_are_followed() -> None:
    """A linear picture a s of 2 x 2 pixels: J^T y is a . y, over the root of the pixels."""
    matrix, style, direction = torch.randn(3, 4, 5), torch.randn(2, 5).requires_grad_(), torch.randn(2, 3, 2, 2)
    fake = torch.einsum("cps,ns->ncp", matrix, style).unflatten(2, (2, 2))
    expected = torch.einsum("cps,ncp->ns", matrix, direction.flatten(2)).norm(dim=1) / 2
    lengths = penalties.path_lengths(fake, style, direction)
    torch.testing.assert_close(lengths, expected)
    gan = CASES["style"].build(PictureShape(20, 3))
    batch = Batch(image=torch.zeros(2, 3, 20, 20), seed=0, step=0)
    loss = gan.loss(batch, gan.draw(batch))
    length = loss.readings["path_length"].item()
    assert loss.terms["path"].item() == pytest.approx(PATH_EVERY * 2 * length**2, rel=0.5)
    gan.after_step(batch, {"generator/path_length": length})
    assert gan.networks["path"].mean.item() == pytest.approx(length / 100)
    assert "path" not in gan.loss(batch, gan.draw(replace(batch, step=1))).terms


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"network": "dense", "attention": 8}, "no maps"),
        ({"attention": 16}, "sides of 8"),
        ({"network": "style", "generator_norm": "virtual"}, "use dcgan"),
        ({"path_length": 2}, "--network style"),
    ],
)
def test_what_a_network_does_not_have_is_refused(asked: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        pinxit.GANSettings(**asked).build(PictureShape(16, 3))


def test_a_step_moves_the_singular_vectors() -> None:
    gan = CASES["spectral"].build(PictureShape(20, 3))
    vector = gan.networks["discriminator"].score.score.parametrizations.weight[0].right
    with torch.no_grad():
        gan.networks["discriminator"].score.score.parametrizations.weight.original.add_(1)
    before = vector.clone()
    gan.after_step(Batch(image=torch.zeros(1, 3, 20, 20), seed=0, step=0), {})
    assert not torch.equal(vector, before)
