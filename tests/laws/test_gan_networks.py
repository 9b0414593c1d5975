"""Laws and reference values of the networks of GANs and their parts."""

import copy
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pinxit
from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.nets import spectral
from pinxit.nets.enlarging import ENLARGE
from pinxit.nets.shapes import PictureShape, halved


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
CASES = {
    "batch": pinxit.GANSettings(**SMALL),
    "spectral": pinxit.GANSettings(discriminator_norm="spectral", **SMALL),
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


def test_a_step_moves_the_singular_vectors() -> None:
    gan = CASES["spectral"].build(PictureShape(16, 3))
    vector = gan.networks["discriminator"].score.score.parametrizations.weight[0].right
    with torch.no_grad():
        gan.networks["discriminator"].score.score.parametrizations.weight.original.add_(1)
    before = vector.clone()
    gan.after_step(Batch(image=torch.zeros(1, 3, 16, 16), seed=0, step=0), {})
    assert not torch.equal(vector, before)
