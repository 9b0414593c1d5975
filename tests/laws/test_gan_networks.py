"""Laws and reference values of the networks of GANs and their parts."""

from typing import get_args

import pytest
import torch
from torch.nn import functional as F

import pinxit
from pinxit.errors import UsageError
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
