"""Perceptual loss: how far pictures look from others to a frozen network that knows photographs.

The network is EfficientNet-Lite0, `LITE0` of `nets.pretrained`: known by name and sha256, never trained and never
saved with a run. The distance is the one that `metrics.perceptual` judges by, made to be lowered: with a gradient, in
whole batches, and at any size.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.pretrained import lite0_weights
from pinxit.nets.shapes import over_black
from pinxit.nets.unfilled import without_memory

# Of 17 maps of EfficientNet-Lite0 (the stem's is 0) the last of each size: sides over 2, 4, 8, 16 and 32.
STAGES = (1, 3, 5, 11, 16)
LEAST_SIDE = 32


def perceptual_distance(images: Tensor, others: Tensor) -> Tensor:
    """Return how far pictures look from others, (N,) in [0, 20], 0 for equal ones; both (N, C, H, W) in [0, 1].

    At every pixel of a map the channels are a vector, made of unit length; squared differences of these, their mean
    over pixels, and the sum over five maps (Zhang et al., 2018, eq. 1). Differs from it: the network is not theirs, and
    every channel weighs 1. Sides below 32 are enlarged; one channel stands for three equal ones, alpha is over black.
    """
    pairs = zip(perceived(images), perceived(others), strict=True)
    return torch.stack([(one - other).square().sum(1).mean((1, 2)) for one, other in pairs]).sum(0)


def perceived(images: Tensor) -> list[Tensor]:
    """Return five maps (N, C, H, W) of pictures, from fine to coarse, with channels of unit length at every pixel."""
    maps = lite0_network(images.device).stages(_fitted(images))
    return [F.normalize(maps[stage].float(), dim=1) for stage in STAGES]


def _fitted(images: Tensor) -> Tensor:
    colours = over_black(images).expand(-1, 3, -1, -1)
    side = min(colours.shape[-2:])
    if side >= LEAST_SIDE:
        return colours
    return F.interpolate(colours, scale_factor=LEAST_SIDE / side, mode="bilinear", align_corners=False)


@cache
def lite0_network(device: torch.device) -> EfficientNetLite0:
    """Return the network by which losses look at pictures, frozen, the same at every call."""
    with without_memory():
        network = EfficientNetLite0()
    network.load_state_dict(lite0_weights(), assign=True)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)
