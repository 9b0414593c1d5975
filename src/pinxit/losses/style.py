"""Style and content distances of pictures, in the feature maps of a frozen network.

Gatys, Ecker and Bethge, 2016, "Image style transfer using convolutional neural networks": the content is a map itself;
the style is the mean products of a map's channels, without positions. Differs from it: the network is
EfficientNet-Lite0 unless VGG's weights are given. Each layer's distance is divided by the size of its target, so no
layer needs a weight.
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
from pinxit.nets.pretrained import lite0_network
from pinxit.nets.shapes import over_black
from pinxit.nets.vgg import vgg_features

# Indices into EfficientNet-Lite0's 17 maps. Style: the stem and blocks 0, 2, 4 and 10. Content: block 7.
LITE0_STYLE, LITE0_CONTENT = (0, 1, 3, 5, 11), 8
# Indices into VGG's maps. Style: the first convolution of each of five blocks. Content: the second of the fourth block
# (section 2.3).
VGG_STYLE, VGG_CONTENT = (0, 1, 2, 3, 5), 4
EPSILON = 1e-8
MEAN_SHARE = 0.1
"""How much the means of a style count in the unit of its distance."""
SMOOTHING = 1e-4
"""Added under the root of a distance, so that its gradient stays finite at 0."""


class Maps(NamedTuple):
    """Feature maps (N, C, H, W) of pictures: the maps for style, fine to coarse, and the map for content."""

    style: tuple[Tensor, ...]
    content: Tensor


class StyleMoments(NamedTuple):
    """The means (N, C, 1, 1) and covariances (N, C, C) of the channels of one layer."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class LossNetwork:
    """A frozen network (Johnson et al., 2016, section 3), with the indices of its style maps and its content map."""

    stages: Callable[[Tensor], Sequence[Tensor]]
    style: tuple[int, ...]
    content: int

    def __call__(self, images: Tensor) -> Maps:
        """Return the maps of pictures (N, 1, 3 or 4, H, W) in [0, 1], with gradient; alpha is laid over black."""
        maps = self.stages(over_black(images).expand(-1, 3, -1, -1))
        return Maps(tuple(maps[number] for number in self.style), maps[self.content])


def loss_network(name: str = "lite0", weights: Path | None = None, device: str | torch.device = "cpu") -> LossNetwork:
    """Return a loss network: `lite0`, or `vgg16` or `vgg19` with torchvision's `weights` as safetensors.

    Raises `DataError` if the file holds another network, `UsageError` if it is missing or not needed.
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
    """Return the Gram matrices of maps (N, C, H, W): the mean products of pairs of channels, (N, C, C) float32.

    With `weights` (N, 1, H, W) >= 0 the mean is weighted (Gatys et al., 2017, section 4: guided Gram matrices).
    """
    with torch.autocast(maps.device.type, enabled=False):
        vectors = maps.float().flatten(2)
        weighted = vectors if weights is None else vectors * weights.flatten(2)
        count = vectors.shape[2] if weights is None else weights.flatten(2).sum(2, keepdim=True)
        return weighted @ vectors.mT / count


def augmented_gram(maps: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the Gram matrices of maps with one more channel of ones, (N, C + 1, C + 1).

    The last row and column hold the channels' means, so `recentred` can move the matrices to other means.
    """
    means = (maps if weights is None else maps * weights).float().sum((2, 3))
    means = means / (maps.shape[2] * maps.shape[3] if weights is None else weights.sum((2, 3)))
    above = torch.cat([gram(maps, weights), means[:, :, None]], dim=2)
    return torch.cat([above, F.pad(means, (0, 1), value=1)[:, None]], dim=1)


def recentred(grams: Tensor, reference: Tensor) -> Tensor:
    """Return augmented Gram matrices G, or differences of two, about the means of `reference`: M G M^T."""
    shift = torch.eye(reference.shape[1], device=reference.device).repeat(len(reference), 1, 1)
    shift[:, :-1, -1] = -reference[:, -1, :-1]
    return shift @ grams @ shift.mT


def mean_and_deviation(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, (N, C) float32 twice (Huang and Belongie, 2017)."""
    values = maps.float()
    return values.mean((2, 3)), (values.var((2, 3), correction=0) + EPSILON).sqrt()


def style_distance(grams: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return style distances, (N,): |G - A|^2 / |A|^2, averaged over layers; 0 if equal.

    G and A are Gram matrices (N, C, C), one per layer. The targets A may have one row for all pictures.
    """
    distances = [
        _square(layer - target) / (_square(target) + EPSILON) for layer, target in zip(grams, targets, strict=True)
    ]
    return torch.stack(distances).mean(0)


def style_moments(maps: Tensor) -> StyleMoments:
    """Return the means and covariances of the channels of maps (N, C, H, W)."""
    mean = maps.float().mean((2, 3), keepdim=True)
    return StyleMoments(mean, gram(maps.float() - mean))


def moment_distance(maps: Sequence[Tensor], targets: Sequence[StyleMoments]) -> Tensor:
    """Return the distances, (N,), of maps (N, C, H, W) from the moments of styles, averaged over layers.

    A style has means u and covariance A; the maps have means m and covariance C. The Gram matrix of the maps about u is
    G = C + (m - u)(m - u)^T. It equals A if both moments agree. The distance is smoothed near 0; it is the root of

        |G - A|^2 / (|A|^2 + (f |u|^2)^2)

    The term with f, which is `MEAN_SHARE`, keeps nearly uniform styles from counting more than others.
    """
    distances = []
    for layer, (mean, covariance) in zip(maps, targets, strict=True):
        unit = _square(covariance) + (MEAN_SHARE * _square(mean)) ** 2
        error = _square(gram(layer.float() - mean) - covariance) / (unit + EPSILON)
        distances.append((error + SMOOTHING).sqrt() - SMOOTHING**0.5)
    return torch.stack(distances).mean(0)


def content_distance(maps: Tensor, targets: Tensor) -> Tensor:
    """Return content distances, (N,): the mean square of the difference, divided by that of the target."""
    error = (maps.float() - targets.float()).square().mean((1, 2, 3))
    return error / (targets.float().square().mean((1, 2, 3)) + EPSILON)


def total_variation(images: Tensor) -> Tensor:
    """Return the total variation of pictures (N, C, H, W), (N,).

    It is the mean squared difference of neighbouring pixels, across plus down.
    """
    across, down = images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]
    return torch.stack([_square(step) / max(1, step[0].numel()) for step in (across, down)]).sum(0)


def _square(rows: Tensor) -> Tensor:
    return rows.flatten(1).square().sum(1)
