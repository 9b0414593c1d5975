"""Holes bridged smoothly from their surroundings, as input of networks that fill holes.

There are three stages, from rough to fine. Means of known pixels in cells of 2, 4 and 8 pixels fill the holes (pull and
push: Gortler et al., 1996, section 4; Kraus, 2009). A few steps then move towards a membrane, whose Laplacian is zero
in the hole. A few more move towards a thin plate, whose bilaplacian is zero (biharmonic inpainting: Damelin and Hoang,
2018). These are Richardson steps with Chebyshev step sizes (Golub and Varga, 1961). They are few, so that a pixel
depends only on those within `REACH`; they remove the roughness that the means left and keep what is smooth.

Differs from the sources: weights of the means are 0 or 1, the coarsest cells grow only `GROWTH` cells into holes, and
the equations are not solved to convergence. In narrow holes the error equals that of the solved biharmonic equation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 8
"""Tiles give the same bridge as the whole picture if they begin at multiples of this, in pixels."""
GROWTH = 4
"""How many of the coarsest cells a hole's surroundings grow into it; deeper inside it is grey."""
MEMBRANE, PLATE = (6, 0.3, 8.0), (8, 1.0, 64.0)
"""Steps, and the range of eigenvalues they damp; 8 and 64 are the largest possible."""
CELLS_REACH = (GROWTH + 2) * CELL - 2
"""Receptive field of the fill from cells, in pixels: its own cell, `GROWTH` more, and half a cell per level."""
REACH = CELLS_REACH + MEMBRANE[0] + 2 * PLATE[0]
"""Receptive field of a bridged pixel, in pixels to each side."""
UNKNOWN = 0.5


def bridged(image: Tensor, mask: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) with the holes filled, where `mask` (N, 1, H, W) is 1 instead of 0; float32.

    Pixels in holes have no influence, and pixels outside keep their bits. A thin plate overshoots, so values may lie
    slightly outside the picture's range.
    """
    high, wide = image.shape[-2:]
    image, known = image.float().contiguous(), 1 - mask.float()  # planar layout is faster here
    cells = [F.pad(plane, (0, -wide % CELL, 0, -high % CELL)) for plane in (image * known, known)]
    bridge = image.where(mask == 0, push_pull(cells[0], cells[1], CELL)[..., :high, :wide])
    for size in step_sizes(*MEMBRANE):
        bridge = torch.addcmul(bridge, mask, laplacian(bridge), value=size)
    for size in step_sizes(*PLATE):
        bridge = torch.addcmul(bridge, mask, laplacian(laplacian(bridge)), value=-size)
    return bridge


def push_pull(values: Tensor, known: Tensor, cell: int) -> Tensor:
    """Return `values` (N, C, H, W) filled, where `known` (N, 1, H, W) is 0, with means of cells of up to `cell` pixels.

    There, `values` must be 0. Sides are multiples of `cell`.
    """
    if cell == 1:
        for _ in range(GROWTH):
            values, known = dilated(values, known)
        return values + UNKNOWN * (1 - known)
    halves = _means(F.avg_pool2d(values, 2), F.avg_pool2d(known, 2))
    coarse = push_pull(*halves, cell // 2)
    return values + (1 - known) * F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)


def dilated(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return values and `known` after one dilation: unknown values become the mean of known neighbours, if any."""
    means, reached = _means(*(F.avg_pool2d(plane, 3, stride=1, padding=1) for plane in (values, known)))
    return values + (1 - known) * means, torch.maximum(known, reached)


def laplacian(image: Tensor) -> Tensor:
    """Return the sum of differences between each pixel's four neighbours and itself, zero across edges."""
    wider = F.pad(image, (1, 1, 1, 1), mode="replicate")
    total = wider[..., 1:-1, :-2] + wider[..., 1:-1, 2:]
    return total.add_(wider[..., :-2, 1:-1]).add_(wider[..., 2:, 1:-1]).sub_(image, alpha=4)


def step_sizes(count: int, least: float, largest: float) -> list[float]:
    """Return the Richardson step sizes that best damp components of eigenvalues in [least, largest]."""
    nodes = (math.cos(math.pi * (step + 0.5) / count) for step in range(count))
    return [2 / (largest + least + (largest - least) * node) for node in nodes]


def _means(total: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return means of totals over their known share, 0 where nothing is known, and where something is."""
    some = (share > 0).to(total.dtype)
    return total / share.where(share > 0, 1), some
