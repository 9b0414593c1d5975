"""Luma: a weighted mean of three channels, the same for tensors and arrays."""

from __future__ import annotations

import pytest
import torch

from pinxit.colour import BT601, BT709, Weights, luma, pixel_luma

COLOUR = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("weights", [BT601, BT709])
def test_luma_is_a_mean_and_leaves_single_channels(weights: Weights) -> None:
    assert sum(weights) == pytest.approx(1)
    assert torch.equal(luma(COLOUR[:, :1], weights), COLOUR[:, :1])
    grey = luma(COLOUR, weights)
    assert grey.shape == (2, 1, 5, 7)
    torch.testing.assert_close(luma(grey.expand(-1, 3, -1, -1), weights), grey)


def test_arrays_have_the_luma_of_tensors() -> None:
    pixels = COLOUR[0].permute(1, 2, 0).numpy()
    torch.testing.assert_close(torch.from_numpy(pixel_luma(pixels)), luma(COLOUR[0], BT709)[0])
    assert (pixel_luma(pixels[..., :1]) == pixels[..., 0]).all()
