"""Which colours a grey picture may have: a decoder of the maps of a frozen network (Zhang, Isola and Efros, 2016).

At every place of a fourth of the picture's sides it gives a probability to each of a set of colours, points of the
plane of a* and b*. A place may well have one of several colours; their mean would be grey.

Differs from the paper: the network that looks at the picture, EfficientNet-Lite0, is trained for ImageNet and frozen,
and reads grey pictures as they are. The decoder is small and has no batch normalisation. The colours lie on a grid
within `REACH` of grey, so that their number is the same on every machine; a more saturated one counts as the nearest of
them. A true colour is shared among all of these by a Gaussian, not only among the nearest five.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.colour import encoded
from pinxit.nets.pretrained import lite0_network
from pinxit.nets.shapes import keep_variance
from pinxit.nets.stylizer import pixel_norm

STAGES, WIDTHS = (3, 5, 11, 16), (24, 40, 112, 320)
"""Of the maps of `EfficientNetLite0.stages` at a fourth to a thirty-second of the sides: which are read, and widths."""
STRIDE = 4
GRID, REACH = 10, 80
"""The distance of two colours, and the farthest one from grey, in units of a* and b*."""
SPREAD = 5.0
"""The standard deviation by which a true colour is shared among those of the grid (Zhang et al., 2016)."""


class ColourDecoder(nn.Module):
    """Maps of `look` to the logits (N, h, w, Q) of the colours `palette()`, at a fourth of the picture's sides."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        own = [width, width, 3 * width // 2, 2 * width]
        self.reads = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in zip(WIDTHS, own, strict=True))
        self.ups = nn.ModuleList(nn.Conv2d(after, before, 1) for before, after in pairwise(own))
        self.blocks = nn.ModuleList(_Block(part) for part in own)
        self.whole = nn.Linear(own[-1], own[-1])
        self.last = nn.Conv2d(width, len(palette()), 1)
        self.apply(keep_variance)
        nn.init.zeros_(self.last.weight)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits, float32."""
        x = pixel_norm(self.reads[-1](maps[-1]))
        x = x + self.whole(x.mean((2, 3)))[:, :, None, None]
        for level in reversed(range(len(maps))):
            x = self.blocks[level](x)
            if level:
                coarse = F.interpolate(self.ups[level - 1](x), maps[level - 1].shape[-2:], mode="bilinear")
                x = pixel_norm(self.reads[level - 1](maps[level - 1])) + coarse
        logits: Tensor = self.last(F.relu(pixel_norm(x))).float()
        return logits.permute(0, 2, 3, 1)


class _Block(nn.Module):
    """A residual block of two convolutions, each after pixel norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(pixel_norm(self.first(F.relu(pixel_norm(x)))))
        changed: Tensor = x + self.second(inner)
        return changed


def look(light: Tensor) -> list[Tensor]:
    """Return the maps, fine to coarse, of grey pictures of a lightness L* (N, 1, H, W) in [0, 100]."""
    with torch.no_grad():
        y = (light + 16) / 116
        grey: Tensor = encoded(torch.where(y > 6 / 29, y**3, 3 * (6 / 29) ** 2 * (y - 4 / 29)).clamp(0, 1))
        shown = grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        stages = lite0_network(light.device).stages(shown)
    return [stages[stage] for stage in STAGES]


def palette() -> Tensor:
    """Return the colours, (Q, 2) float32: a* and b*."""
    steps = range(-(REACH // GRID), REACH // GRID + 1)
    points = [(GRID * a, GRID * b) for a in steps for b in steps if (GRID * a) ** 2 + (GRID * b) ** 2 <= REACH**2]
    return torch.tensor(points, dtype=torch.float32)


def shares(colours: Tensor) -> Tensor:
    """Return a* and b* (..., 2) shared among the colours of the palette, (..., Q), each summing to 1."""
    points = palette().to(colours.device)
    return ((colours @ points.T - points.square().sum(1) / 2) / SPREAD**2).softmax(-1)


def expected(logits: Tensor, temperature: float) -> Tensor:
    """Return the annealed mean of colours (..., Q), (..., 2): at 1 the mean, towards 0 the likeliest one."""
    return (logits / temperature).softmax(-1) @ palette().to(logits.device)
