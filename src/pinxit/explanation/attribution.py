"""Which pixels of a picture speak for a class: the maps of `METHODS`.

A map is (H, W) float32 at the size that the network sees. Larger values speak more for the class; a method whose maps
are `signed` has negative ones where pixels speak against it. Logits are explained, not probabilities: a probability
also changes with what speaks for other classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.objectives.objective import Predictor

STEPS = 32
"""Points on each way from a baseline to the picture."""

BASELINES = (0.0, 1.0)
"""Where integrated gradients begin: a black and a white picture. From one alone, its colour would never count."""

ROUNDING = 1e-5
"""The largest change of a logit, as a share of it, that is no more than another order of sums."""

WINDOWS, AT_ONCE = 6, 16
"""How many windows would fit beside each other, and how many pictures pass the network at once."""


def grad_cam(objective: Predictor, image: Tensor, target: int) -> Tensor:
    """Return Grad-CAM (Selvaraju et al., 2017, eq. 1 and 2) of a picture (1, C, H, W): coarse, and never negative.

    It is enlarged with the corners of the map's cells at those of the picture, so that nothing is shifted.
    """
    maps = objective.maps(image).detach().requires_grad_()
    with torch.enable_grad():
        [gradient] = torch.autograd.grad(objective.of_maps(maps)[0, target], maps)
    found = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu().detach()
    return F.interpolate(found.float(), image.shape[-2:], mode="bilinear", align_corners=False)[0, 0]


def integrated_gradients(objective: Predictor, image: Tensor, target: int) -> Tensor:
    """Return integrated gradients (Sundararajan et al., 2017, eq. 3), the mean over `BASELINES`, summed over channels.

    The sum of the map is the logit less its mean at the baselines, but for the error of `STEPS` midpoints.
    """
    total = torch.zeros_like(image[0])
    for level in BASELINES:
        away = image - level
        shares = (torch.arange(STEPS) + 0.5) / STEPS
        points = level + away * shares[:, None, None, None]
        for part in points.split(AT_ONCE):
            with torch.enable_grad():
                part = part.requires_grad_()
                [gradient] = torch.autograd.grad(objective.logits(part)[:, target].sum(), part)
            total += (gradient * away).sum(0) / (STEPS * len(BASELINES))
    return total.sum(0)


def occlusion(objective: Predictor, image: Tensor, target: int) -> Tensor:
    """Return by how much the logit falls if a window around each pixel gets the picture's mean colour.

    Zeiler and Fergus, 2014. Windows overlap by half, and a pixel has the mean over those that cover it.
    """
    high, wide = image.shape[-2:]
    side = max(2, min(high, wide) // WINDOWS)
    corners = [(top, left) for top in _starts(high, side) for left in _starts(wide, side)]
    fill = image.mean((2, 3), keepdim=True)[0]
    total, covered = torch.zeros(high, wide), torch.zeros(high, wide)
    with torch.no_grad():
        whole = objective.logits(image)[0, target]
        for start in range(0, len(corners), AT_ONCE):
            part = corners[start : start + AT_ONCE]
            hidden = image.repeat(len(part), 1, 1, 1)
            for row, (top, left) in zip(hidden, part, strict=True):
                row[:, top : top + side, left : left + side] = fill
            falls = whole - objective.logits(hidden)[:, target]
            falls = falls * (falls.abs() > ROUNDING * (1 + whole.abs()))
            for fall, (top, left) in zip(falls, part, strict=True):
                total[top : top + side, left : left + side] += fall
                covered[top : top + side, left : left + side] += 1
    return total / covered


def _starts(length: int, side: int) -> list[int]:
    """Return where windows of a side begin on a length: half a side apart, the last at the end."""
    return sorted({*range(0, length - side, max(1, side // 2)), length - side})
