"""Perceptual loss: the distance between pictures in the features of a frozen network trained on photographs.

The network is EfficientNet-Lite0, `LITE0` of `nets.pretrained`: referenced by name and sha256, never trained and never
saved with a run. `metrics.perceptual` judges by the same distance; this form has a gradient and takes whole batches of
any size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.nets.pretrained import lite0_network
from pinxit.nets.shapes import over_black

# The last map of each size among the 17 of EfficientNet-Lite0 (0 is the stem): sides / 2, 4, 8, 16 and 32.
STAGES = (1, 3, 5, 11, 16)
LEAST_SIDE = 32


def perceptual_distance(images: Tensor, others: Tensor) -> Tensor:
    """Return the distances of pictures from others, (N,) in [0, 20], 0 if equal; both (N, C, H, W) in [0, 1].

    The channels at each pixel of a map form a vector, scaled to unit length. The distance is the squared difference of
    these vectors, averaged over pixels and summed over five maps (Zhang et al., 2018, eq. 1). Differs from it: another
    network, and all channels have the weight 1. Sides below 32 are enlarged; one channel is repeated to three, and
    alpha is over black.
    """
    pairs = zip(perceived(images), perceived(others), strict=True)
    return torch.stack([(one - other).square().sum(1).mean((1, 2)) for one, other in pairs]).sum(0)


def perceived(images: Tensor) -> list[Tensor]:
    """Return five maps (N, C, H, W) of pictures, fine to coarse, with channels of unit length at each pixel."""
    maps = lite0_network(images.device).stages(_fitted(images))
    return [F.normalize(maps[stage].float(), dim=1) for stage in STAGES]


def _fitted(images: Tensor) -> Tensor:
    colours = over_black(images).expand(-1, 3, -1, -1)
    side = min(colours.shape[-2:])
    if side >= LEAST_SIDE:
        return colours
    return F.interpolate(colours, scale_factor=LEAST_SIDE / side, mode="bilinear", align_corners=False)
