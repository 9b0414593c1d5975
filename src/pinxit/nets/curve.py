"""A tone curve for a whole picture, predicted from the distribution of its brightness.

Most pictures contain almost white pixels, so the brightest ones show how much light is left (the white patch of Land,
1977). The distribution of the others reveals the exceptions, and the network corrects the first guess by it. After the
curves of Zero-DCE (Guo et al., 2020). Differs from it: it is trained with clean pictures, and predicts two numbers that
undo a known darkening instead of eight curves per pixel. No local artefacts can appear, and any size costs the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.colour import BT601, mix
from pinxit.nets.vectors import Layers

SIDE = 64
"""Side in pixels to which pictures are averaged first; this removes most noise but few highlights."""
SHARES = (*(share / 32 for share in range(32)), 0.988, 0.992, 0.995, 0.9975, 0.999, 1.0)
WHITE = SHARES.index(0.995)
LEAST = 1e-3
"""Lower limit of white and gain, in units of the image range."""
BENT = 10.0
"""The largest gamma, and the reciprocal of the smallest."""


class CurveNet(nn.Module):
    """Pictures (N, C, H, W), C 1 or 3, to their darkening y = gain x^gamma: (N, 2), gain in (0, 1] and gamma.

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
        inputs = torch.cat([(values / white.exp()[..., None]).flatten(1), white], dim=1)
        corrections = self.layers(inputs, None)
        gain, gamma = (corrections + torch.cat([white, torch.zeros_like(white)], dim=1)).split(1, dim=1)
        return torch.cat([gain.exp().clamp(LEAST, 1.0), gamma.exp().clamp(1 / BENT, BENT)], dim=1)


def quantiles(image: Tensor) -> Tensor:
    """Return the quantiles `SHARES` of red, green, blue and luma, (N, 4, shares)."""
    small = averaged(image).float().expand(-1, 3, -1, -1)
    ranked = torch.cat([small, mix(small, BT601)], dim=1).flatten(2).sort(dim=2).values
    places = (torch.tensor(SHARES) * (ranked.shape[2] - 1)).round().long()
    return ranked[..., places.to(image.device)]


def averaged(image: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) averaged to (N, C, SIDE, SIDE)."""
    return F.adaptive_avg_pool2d(image, SIDE)


def lightened(image: Tensor, curves: Tensor) -> Tensor:
    """Return (y / gain)^(1 / gamma) of pictures (N, C, H, W) by their curves (N, 2), not clipped above; y < 0 is 0."""
    gain, gamma = curves[:, :, None, None, None].unbind(1)
    return image.clamp(min=0) ** (1 / gamma) * gain ** (-1 / gamma)
