"""Holes bridged smoothly from what lies around them: what a network that fills holes begins with.

Three steps, from rough to fine. Means of known pixels in cells of 2, 4 and 8 pixels fill the holes (pull and push:
Gortler et al., 1996, section 4; Kraus, 2009); then a few steps towards a membrane, whose Laplacian is zero in the hole,
and a few towards a thin plate, whose bilaplacian is (biharmonic inpainting: Damelin and Hoang, 2018). The steps are
Richardson's with Chebyshev's step sizes (Golub and Varga, 1961) and few, so that a pixel depends on those within
`REACH` alone; they take away what is rough, which the means left, and leave what is smooth as it is.

Differs from the sources: weights of the means are 0 or 1, the coarsest cells grow into holes only so far, and the
equations are not solved to the end. In narrow holes it is as near to the picture as the solved biharmonic equation is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 8
"""A picture cut into tiles is bridged as the whole is if tiles begin at multiples of this."""
GROWTH = 4
"""Cells, at the coarsest level, to which a hole's surroundings reach; what lies deeper is grey."""
MEMBRANE, PLATE = (6, 0.3, 8.0), (8, 1.0, 64.0)
"""Steps, and the range of the eigenvalues that they damp; 8 and 64 are the largest that there are."""
CELLS_REACH = (GROWTH + 2) * CELL - 2
"""How far, in pixels, a pixel filled from cells looks: across its own and `GROWTH` more, and half one at each level."""
REACH = CELLS_REACH + MEMBRANE[0] + 2 * PLATE[0]
"""How far a bridged pixel looks."""
UNKNOWN = 0.5


def bridged(image: Tensor, mask: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) with their holes, where `mask` (N, 1, H, W) is 1 and not 0, filled; float32.

    What lies in the holes is not looked at, what lies outside stays as it is, to the bit. A thin plate overshoots, so
    values may lie a little outside the range of the picture's.
    """
    high, wide = image.shape[-2:]
    image, known = image.float().contiguous(), 1 - mask.float()  # channels apart, where this is faster
    cells = [F.pad(plane, (0, -wide % CELL, 0, -high % CELL)) for plane in (image * known, known)]
    bridge = image.where(mask == 0, push_pull(cells[0], cells[1], CELL)[..., :high, :wide])
    for size in step_sizes(*MEMBRANE):
        bridge = torch.addcmul(bridge, mask, laplacian(bridge), value=size)
    for size in step_sizes(*PLATE):
        bridge = torch.addcmul(bridge, mask, laplacian(laplacian(bridge)), value=-size)
    return bridge


def push_pull(values: Tensor, known: Tensor, cell: int) -> Tensor:
    """Return `values` (N, C, H, W), which are 0 where `known` (N, 1, H, W) is, filled with means of cells up to `cell`.

    Sides are multiples of `cell`.
    """
    if cell == 1:
        for _ in range(GROWTH):
            values, known = dilated(values, known)
        return values + UNKNOWN * (1 - known)
    halves = _means(F.avg_pool2d(values, 2), F.avg_pool2d(known, 2))
    coarse = push_pull(*halves, cell // 2)
    return values + (1 - known) * F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)


def dilated(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return values and what is known of them with each unknown one the mean of those known beside it, if any are."""
    means, reached = _means(*(F.avg_pool2d(plane, 3, stride=1, padding=1) for plane in (values, known)))
    return values + (1 - known) * means, torch.maximum(known, reached)


def laplacian(image: Tensor) -> Tensor:
    """Return the sum of the four differences from pixels to their neighbours; there are none across the edge."""
    wider = F.pad(image, (1, 1, 1, 1), mode="replicate")
    total = wider[..., 1:-1, :-2] + wider[..., 1:-1, 2:]
    return total.add_(wider[..., :-2, 1:-1]).add_(wider[..., 2:, 1:-1]).sub_(image, alpha=4)


def step_sizes(count: int, least: float, largest: float) -> list[float]:
    """Return the steps of Richardson's iteration that shrink parts of eigenvalues in [least, largest] the most."""
    nodes = (math.cos(math.pi * (step + 0.5) / count) for step in range(count))
    return [2 / (largest + least + (largest - least) * node) for node in nodes]


def _means(total: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return means, of sums and how much is known of each, and where there is one; 0 elsewhere."""
    some = (share > 0).to(total.dtype)
    return total / share.where(share > 0, 1), some
