"""Perceptual metrics of picture pairs: distances of a network's feature maps, one number per picture.

At every pixel of a map, the channels are a vector, normalised to unit length. The distance of two pictures is the
weighted squared difference of these vectors, averaged over pixels and summed over maps (Zhang et al., 2018, eq. 1).

The functions have the interface of `paired`: (N, C, H, W) in [0, 1], the reference second, to (N,) float64. Pictures
keep their size, and one channel is repeated to three. Each pair is processed alone in float32, so its value does not
depend on other pairs by a single bit.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.linalg import vector_norm

from pinxit.losses.perceptual import LEAST_SIDE, perceptual_distance
from pinxit.metrics.paired import PairedMetric, at_least, checked_pair
from pinxit.nets.alexnet import ShiftTolerantAlexNet
from pinxit.nets.pretrained import LITE0, STLPIPS, stlpips_weights


@torch.no_grad()
def st_lpips(images: Tensor, reference: Tensor) -> Tensor:
    """Return shift-tolerant LPIPS on AlexNet (Ghildyal and Liu, 2022) with its learned weights; 0 for equal pictures.

    It equals the authors' package for pictures in [0, 1] with `normalize=True`; by default the package expects
    [-1, 1]. Sides below 21 are refused.
    """
    images, reference = at_least(ShiftTolerantAlexNet.smallest_side, "st-lpips", *checked_pair(images, reference))
    images, reference = (batch.float().expand(-1, 3, -1, -1) for batch in (images, reference))
    pairs = zip(images.split(1), reference.split(1), strict=True)
    return torch.stack([_distance(_alexnet(), *pair) for pair in pairs])


@torch.no_grad()
def lpips_like(images: Tensor, reference: Tensor) -> Tensor:
    """Return `perceptual_distance`, the formula of LPIPS on EfficientNet-Lite0; 0 for equal pictures.

    It is not LPIPS: no weights were learned from human judgements. All channels have weight 1 in the maps after blocks
    1, 3, 5, 11 and 16, the last of each size. Sides below 32 are refused.
    """
    images, reference = at_least(LEAST_SIDE, "lpips-like", *checked_pair(images, reference))
    pairs = zip(images.float().split(1), reference.float().split(1), strict=True)
    return torch.cat([perceptual_distance(*pair) for pair in pairs]).double()


PERCEPTUAL: dict[str, PairedMetric] = {
    "st-lpips[alex]": PairedMetric(
        measure=st_lpips,
        definition=f"Ghildyal 2022: five maps, learnt weights; [0, 1], own size; sha256 {STLPIPS.sha256}",
        better="smaller",
        headline=True,
        smallest_side=ShiftTolerantAlexNet.smallest_side,
    ),
    "lpips-like[lite0]": PairedMetric(
        measure=lpips_like,
        definition="not LPIPS: unit channels after blocks 1, 3, 5, 11, 16, all weights 1, mean over pixels, sum over "
        f"maps; [0, 1], own size; sha256 {LITE0.sha256}",
        better="smaller",
        headline=True,
        smallest_side=LEAST_SIDE,
    ),
}


def _distance(network: ShiftTolerantAlexNet, image: Tensor, other: Tensor) -> Tensor:
    levels = zip(network(image), network(other), network.heads, strict=True)
    distances = [((_unit(one) - _unit(two)) ** 2 * weight[:, None, None]).sum(1).mean() for one, two, weight in levels]
    return torch.stack(distances).double().sum()


def _unit(maps: Tensor) -> Tensor:
    return maps / (vector_norm(maps, dim=1, keepdim=True) + 1e-10)


@cache
def _alexnet() -> ShiftTolerantAlexNet:
    network = ShiftTolerantAlexNet()
    network.load_state_dict(stlpips_weights())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # halves the time
    return network.eval().requires_grad_(False)
