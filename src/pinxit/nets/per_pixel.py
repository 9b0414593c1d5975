"""A discriminator that scores each pixel: a U-Net with spectral normalisation (Wang et al., 2021, Real-ESRGAN).

Differs from it: 2 x 2 pixels become channels first, so that no layer works at full size, and it is narrower. As there,
the first and the last layer are not normalised.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets import spectral
from pinxit.nets.restoration import mirrored
from pinxit.nets.shapes import keep_variance

FOLD = 2
LEVELS = 3


class PixelDiscriminator(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to scores (N, H W), positive for 'real'; `width` channels in the largest map."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS + 1)]
        self.first = nn.Conv2d(channels * FOLD**2, width, 3, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(a, 2 * a, 4, stride=2, padding=1) for a in widths[:-1])
        self.ups = nn.ModuleList(nn.Conv2d(2 * a, a, 3, padding=1) for a in reversed(widths[:-1]))
        self.refine = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, FOLD**2, 3, padding=1)
        self.apply(keep_variance)
        for layers in (self.downs, self.ups, self.refine):
            spectral.normalise(layers)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return scores (N, H W), row by row."""
        high, wide = image.shape[-2:]
        even = mirrored(mirrored(2 * image - 1, -high % FOLD, -2), -wide % FOLD, -1)
        maps = [F.leaky_relu(self.first(F.pixel_unshuffle(even, FOLD)), 0.2)]
        for down in self.downs:
            maps.append(F.leaky_relu(down(maps[-1]), 0.2))
        x = maps.pop()
        for up in self.ups:
            beside = maps.pop()
            x = F.interpolate(x, size=beside.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(up(x), 0.2) + beside
        scores = F.pixel_shuffle(self.last(F.leaky_relu(self.refine(x), 0.2)), FOLD)
        return scores[:, 0, :high, :wide].flatten(1)
