"""Style and content distances of pictures, by the maps of a frozen network.

Gatys, Ecker and Bethge, 2016, "Image style transfer using convolutional neural networks": content is a map
itself, style the products of its channels without their positions. Differs from it: the network is EfficientNet-Lite0
unless VGG's weights are given; every layer's distance is in units of its target, so that no layer needs a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.errors import UsageError
from pinxit.losses.perceptual import lite0_network
from pinxit.nets.shapes import over_black
from pinxit.nets.vgg import vgg_features

# Of EfficientNet-Lite0's 17 maps: the stem and blocks 0, 2, 4 and 10 for style; block 7 for content.
LITE0_STYLE, LITE0_CONTENT = (0, 1, 3, 5, 11), 8
# VGG: the first convolution of each of five blocks for style; the second of the fourth for content (section 2.3).
VGG_STYLE, VGG_CONTENT = (0, 1, 2, 3, 5), 4
EPSILON = 1e-8
EVEN, LEAST = 0.1, 1e-4


class Maps(NamedTuple):
    """A loss network's maps (N, C, H, W) of pictures: those for style, fine to coarse, and the one for content."""

    style: tuple[Tensor, ...]
    content: Tensor


class Spread(NamedTuple):
    """First and second moments of a layer's channels: means (N, C, 1, 1), and Gram matrices (N, C, C) about them."""

    mean: Tensor
    gram: Tensor


@dataclass(frozen=True)
class LossNetwork:
    """A frozen network (Johnson et al., 2016, section 3), with the indices of its maps for style and for content."""

    stages: Callable[[Tensor], Sequence[Tensor]]
    style: tuple[int, ...]
    content: int

    def __call__(self, images: Tensor) -> Maps:
        """Return the maps of pictures (N, 1, 3 or 4, H, W) in [0, 1], with gradient; alpha is over black."""
        maps = self.stages(over_black(images).expand(-1, 3, -1, -1))
        return Maps(tuple(maps[number] for number in self.style), maps[self.content])


def loss_network(name: str = "lite0", weights: Path | None = None, device: str | torch.device = "cpu") -> LossNetwork:
    """Return a loss network: `lite0`, or `vgg16` or `vgg19` with `weights`, torchvision's as safetensors.

    Raises `DataError` if the file holds another network, `UsageError` if it is missing or superfluous.
    """
    if (name == "lite0") != (weights is None):
        wanted = "comes with its own weights" if weights else "needs its weights, torchvision's as safetensors"
        raise UsageError(f"the network {name} {wanted}")
    device = torch.device(device)
    if weights is None:
        lite0 = lite0_network(device)
        return LossNetwork(lambda images: lite0.stages(images, max(LITE0_STYLE)), LITE0_STYLE, LITE0_CONTENT)
    vgg = vgg_features(name, weights).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LossNetwork(vgg, VGG_STYLE, VGG_CONTENT)


def gram(maps: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean products of pairs of channels, (N, C, C) float32, of maps (N, C, H, W).

    With `weights` (N, 1, H, W) >= 0 the mean is weighted (Gatys et al., 2017, section 4: guided Gram matrices).
    """
    with torch.autocast(maps.device.type, enabled=False):
        vectors = maps.float().flatten(2)
        weighted = vectors if weights is None else vectors * weights.flatten(2)
        count = vectors.shape[2] if weights is None else weights.flatten(2).sum(2, keepdim=True)
        return weighted @ vectors.mT / count


def with_means(maps: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the Gram matrices of channels and of 1, (N, C + 1, C + 1): the last row and column are the means."""
    means = (maps if weights is None else maps * weights).float().sum((2, 3))
    means = means / (maps.shape[2] * maps.shape[3] if weights is None else weights.sum((2, 3)))
    above = torch.cat([gram(maps, weights), means[:, :, None]], dim=2)
    return torch.cat([above, F.pad(means, (0, 1), value=1)[:, None]], dim=1)


def about_means(products: Tensor, there: Tensor) -> Tensor:
    """Return Gram matrices of channels and 1, or their differences, about the means in `there`: M G M^T."""
    moved = torch.eye(there.shape[1], device=there.device).repeat(len(there), 1, 1)
    moved[:, :-1, -1] = -there[:, -1, :-1]
    return moved @ products @ moved.mT


def moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, (N, C) float32 twice (Huang and Belongie, 2017)."""
    values = maps.float()
    return values.mean((2, 3)), (values.var((2, 3), correction=0) + EPSILON).sqrt()


def style_distance(grams: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return style distances, (N,): |G - A|^2 / |A|^2, averaged over layers; 0 if equal.

    Both are Gram matrices (N, C, C), one per layer; targets may have one row for all.
    """
    apart = [_square(one - target) / (_square(target) + EPSILON) for one, target in zip(grams, targets, strict=True)]
    return torch.stack(apart).mean(0)


def spread(maps: Tensor) -> Spread:
    """Return the moments of the channels of maps (N, C, H, W)."""
    mean = maps.float().mean((2, 3), keepdim=True)
    return Spread(mean, gram(maps.float() - mean))


def spread_distance(maps: Sequence[Tensor], targets: Sequence[Spread]) -> Tensor:
    """Return the distances of maps (N, C, H, W) from a style's moments, (N,), averaged over layers.

    The Gram matrix G about the style's means u is C + (m - u)(m - u)^T, with the maps' covariance C and means m; it
    equals the style's A where both moments agree. The distance is the root of |G - A|^2 / (|A|^2 + (f |u|^2)^2). The
    second term keeps nearly uniform styles from counting more than others; the root is smoothed near 0.
    """
    apart = []
    for one, (mean, there) in zip(maps, targets, strict=True):
        unit = _square(there) + (EVEN * _square(mean)) ** 2
        apart.append((_square(gram(one.float() - mean) - there) / (unit + EPSILON) + LEAST).sqrt() - LEAST**0.5)
    return torch.stack(apart).mean(0)


def content_distance(maps: Tensor, targets: Tensor) -> Tensor:
    """Return content distances, (N,): the mean square of the difference over that of the target."""
    apart = (maps.float() - targets.float()).square().mean((1, 2, 3))
    return apart / (targets.float().square().mean((1, 2, 3)) + EPSILON)


def total_variation(images: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels, across and down, (N,), of pictures (N, C, H, W)."""
    across, down = images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]
    return torch.stack([_square(one) / max(1, one[0].numel()) for one in (across, down)]).sum(0)


def _square(rows: Tensor) -> Tensor:
    return rows.flatten(1).square().sum(1)
