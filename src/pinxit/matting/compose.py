"""Layers put together in linear light, with straight alpha: a subject over a background, and one picture into another.

All colours are (C, h, w) linear light in [0, 1], all alphas (1, h, w) in [0, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Layer(NamedTuple):
    """Colours and their alpha."""

    colours: Tensor
    alpha: Tensor


def over(front: Layer, back: Layer) -> Layer:
    """Return one layer over another (Porter and Duff, 1984)."""
    return _sum(front, front.alpha, back, (1 - front.alpha) * back.alpha)


def dissolved(one: Layer, other: Layer, share: Tensor) -> Layer:
    """Return `share` in [0, 1] of the other layer and the rest of the one."""
    return _sum(other, share * other.alpha, one, (1 - share) * one.alpha)


def _sum(one: Layer, weight: Tensor, other: Layer, rest: Tensor) -> Layer:
    """Return two layers' mean colours by these weights, and their sum as alpha; where that is 0, the first colours."""
    alpha = weight + rest
    mean = (weight * one.colours + rest * other.colours) / alpha.clamp(min=1e-9)
    return Layer(torch.where(alpha > 0, mean, one.colours), alpha)
