"""Laws of bridged holes: what is kept, what is seen and how far, and how near to the solved equation a bridge is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from pinxit.degradations import Chain
from pinxit.metrics.paired import psnr
from pinxit.nets.bridge import CELL, CELLS_REACH, REACH, UNKNOWN, bridged, push_pull

NARROW = ["pixels(share=0.5)", "pixels(share=0.8)", "text(share=0.1)", "scratches(share=0.05)"]
PHOTO = torch.from_numpy(data.astronaut()[:192, 100:300].astype(np.float32) / 255).permute(2, 0, 1)


def spoiled(image: Tensor, chain: str) -> tuple[Tensor, Tensor]:
    given = Chain.parse(chain).degrade(image, torch.Generator().manual_seed(1))
    assert given.mask is not None
    return given.image[None], given.mask[None]


@pytest.mark.parametrize("chain", [*NARROW, "boxes(share=0.3, side=50)"])
def test_what_is_known_is_kept_and_what_the_hole_holds_is_not_looked_at(chain: str) -> None:
    image, mask = spoiled(PHOTO, chain)
    bridge = bridged(image, mask)
    assert torch.equal(bridge.where(mask == 0, 0), image.where(mask == 0, 0))
    assert torch.equal(bridged(image + 9 * mask, mask), bridge)


@pytest.mark.parametrize("chain", NARROW)
def test_it_is_as_near_to_the_picture_as_the_solved_biharmonic_equation(chain: str) -> None:
    image, mask = spoiled(PHOTO, chain)
    solved = inpaint_biharmonic(image[0].permute(1, 2, 0).numpy(), mask[0, 0].numpy() > 0, channel_axis=2)
    solved = torch.from_numpy(solved.astype(np.float32)).permute(2, 0, 1)[None].clamp(0, 1)
    assert psnr(bridged(image, mask).clamp(0, 1), PHOTO[None]) > psnr(solved, PHOTO[None]) - 0.25


def test_a_plain_picture_is_filled_with_its_colour_and_a_ramp_goes_on() -> None:
    ramp = torch.linspace(0.2, 0.8, 96).expand(1, 1, 96, 96)
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., 20:70, 40:43] = 1
    assert bridged(torch.full_like(ramp, 0.3), mask) == pytest.approx(0.3, abs=1e-6)
    torch.testing.assert_close(bridged(ramp, mask), ramp, rtol=0, atol=2e-3)


@pytest.mark.parametrize("offset", range(CELL))
def test_it_looks_as_far_as_its_reach_says_and_no_farther(offset: int) -> None:
    row = 12 * CELL + offset
    known = torch.zeros(1, 1, 24 * CELL, 2 * CELL)
    known[:, :, row] = 1
    far = {"cells": push_pull(known, known, CELL), "all": bridged(known, 1 - known)}
    reached = {}
    for name, filled in far.items():
        rows = (filled != UNKNOWN).any(-1).flatten().nonzero()
        reached[name] = max(row - int(rows.min()), int(rows.max()) - row)
    assert reached["cells"] == CELLS_REACH - min(offset, CELL - 1 - offset)
    assert reached["cells"] < reached["all"] <= REACH


@pytest.mark.parametrize("top", [CELL, 5 * CELL])
def test_a_tile_with_a_margin_is_bridged_as_the_whole_is(top: int) -> None:
    image, mask = spoiled(PHOTO, "boxes(share=0.4, side=2..40)")
    margin = -(-REACH // CELL) * CELL
    above = max(top - margin, 0)
    tile = slice(above, top + 16 + margin)
    part = bridged(image[:, :, tile], mask[:, :, tile])
    torch.testing.assert_close(part[:, :, top - above :][:, :, :16], bridged(image, mask)[:, :, top : top + 16])


def test_where_nothing_is_known_there_is_grey() -> None:
    assert torch.equal(bridged(PHOTO[None], torch.ones(1, 1, 192, 200)), torch.full((1, 3, 192, 200), UNKNOWN))
