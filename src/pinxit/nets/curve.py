"""A tone curve for a whole picture, told from how many of its pixels are how bright.

Most pictures reach nearly white, so that their brightest pixels tell how much light is left (the white patch of Land,
1977); how the others lie below them tells of those that do not. The network corrects that guess. After the curves of
Zero-DCE (Guo et al., 2020); differs from it: it learns with clean pictures, two numbers that undo a known darkening
instead of eight curves a pixel, so that nothing local can go wrong and any size costs the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.colour import BT601, mix
from pinxit.nets.vectors import Layers

SIDE = 64
"""Pictures are averaged to so many pixels a side first, which takes away most noise but few highlights."""
SHARES = (*(share / 32 for share in range(32)), 0.988, 0.992, 0.995, 0.9975, 0.999, 1.0)
WHITE = SHARES.index(0.995)
LEAST = 1e-3
"""White and gains are not taken to be darker, in units of the image range."""
BENT = 10.0
"""The largest gamma, and the reciprocal of the smallest."""


class CurveNet(nn.Module):
    """Pictures (N, C, H, W), C 1 or 3, to what darkened each, as y = gain x^gamma: (N, 2), gain in (0, 1] and gamma.

    It starts as the white patch: the gain is the 99.5 % quantile of the brightest channel, gamma is 1.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.layers = Layers(4 * len(SHARES) + 1, 2, width, depth, classes=0)
        nn.init.zeros_(self.layers.last.weight)

    def forward(self, image: Tensor) -> Tensor:
        """Return gain and gamma of each picture, always in float32."""
        values = quantiles(image)
        white = values[:, :3, WHITE].amax(1, keepdim=True).clamp(min=LEAST).log()
        seen = torch.cat([(values / white.exp()[..., None]).flatten(1), white], dim=1)
        corrections = self.layers(seen, None)
        gain, gamma = (corrections + torch.cat([white, torch.zeros_like(white)], dim=1)).split(1, dim=1)
        return torch.cat([gain.exp().clamp(LEAST, 1.0), gamma.exp().clamp(1 / BENT, BENT)], dim=1)


def quantiles(image: Tensor) -> Tensor:
    """Return how bright so many `SHARES` of the pixels are at most, in red, green, blue and luma: (N, 4, shares)."""
    small = averaged(image).float().expand(-1, 3, -1, -1)
    ranked = torch.cat([small, mix(small, BT601)], dim=1).flatten(2).sort(dim=2).values
    places = (torch.tensor(SHARES) * (ranked.shape[2] - 1)).round().long()
    return ranked[..., places.to(image.device)]


def averaged(image: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) with every pixel in one of `SIDE` x `SIDE` means (N, C, SIDE, SIDE)."""
    return F.adaptive_avg_pool2d(image, SIDE)


def lightened(image: Tensor, curves: Tensor) -> Tensor:
    """Return (y / gain)^(1 / gamma) of pictures (N, C, H, W) by their curves (N, 2), not clipped above; y < 0 is 0."""
    gain, gamma = curves[:, :, None, None, None].unbind(1)
    return image.clamp(min=0) ** (1 / gamma) * gain ** (-1 / gamma)
