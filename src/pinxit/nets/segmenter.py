"""Networks from pictures to the logits of each pixel's class: one that learns from nothing, one that knows things.

`UNet` has an encoder and a decoder of residual blocks whose activations come first (He et al., 2016), as wide as each
other, and adds each encoder's map to the decoder's (Ronneberger et al., 2015, who concatenate). The picture's 2 x 2
pixels become channels first, and the logits of 2 x 2 pixels come from one place (Shi et al., 2016). The last layer does
not begin at zero: its features are never negative, so all would move alike, and nuclei were then never found.

`Pretrained` is the decoder of `nets.matting` over EfficientNet-Lite0, of which any number of the last blocks can be
trained too. Its logits are those of 2 x 2 pixels together, enlarged.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.classifier import Block
from pinxit.nets.finetuned import Finetuned
from pinxit.nets.matting import STAGES, Pyramid
from pinxit.nets.restoration import mirrored
from pinxit.nets.shapes import PictureShape, keep_variance, over_black

LEVELS, WIDEST = 5, 8
"""The most levels of a `UNet`, and its widest map as a multiple of its `channels`."""


class UNet(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to class logits (N, K, H, W); `channels` at half size, more below."""

    def __init__(self, shape: PictureShape, channels: int) -> None:
        super().__init__()
        levels = min(LEVELS, min(shape.sides).bit_length() - 2)
        widths = [channels * min(WIDEST, 2**level) for level in range(levels)]
        self.stride = 2**levels
        self.stem = nn.Conv2d(4 * min(3, shape.channels), channels, 3, padding=1)
        self.encoders = nn.ModuleList(
            Block(before, width, 1 if level == 0 else 2)
            for level, (before, width) in enumerate(pairwise([channels, *widths]))
        )
        self.ups = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.decoders = nn.ModuleList(Block(width, width, 1) for width in widths)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Conv2d(channels, 4 * shape.classes, 1)
        self.apply(keep_variance)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits; pictures are padded to multiples of `stride` by reflection, and cropped again."""
        high, wide = image.shape[-2:]
        given = mirrored(mirrored(over_black(image), -high % self.stride, -2), -wide % self.stride, -1)
        maps = [self.stem(F.pixel_unshuffle(2 * given - 1, 2))]
        for encoder in self.encoders:
            maps.append(encoder(maps[-1]))
        x = self.decoders[-1](maps[-1])
        for decoder, up, beside in zip(
            reversed(self.decoders[:-1]), reversed(self.ups), reversed(maps[1:-1]), strict=True
        ):
            x = decoder(beside + F.interpolate(up(x), scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.head(F.relu(self.norm(x))), 2)[..., :high, :wide]


class Pretrained(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to class logits (N, K, H, W), by EfficientNet-Lite0 and a decoder."""

    def __init__(self, shape: PictureShape, channels: int, trained: int) -> None:
        super().__init__()
        self.encoder = Finetuned(trained, top=False)
        self.decoder = Pyramid(channels)
        self.head = nn.Conv2d(self.decoder.widths[0], shape.classes, 3, padding=1)
        for module in (self.decoder, self.head):
            module.apply(keep_variance)

    def adopt(self) -> None:
        """Set the blocks that are trained to the published weights."""
        self.encoder.adopt()

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        seen = over_black(image).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        maps = self.encoder.stages(seen)
        finest = self.decoder.read(seen, [maps[stage] for stage in STAGES])[-1]
        return F.interpolate(self.head(finest).float(), image.shape[-2:], mode="bilinear", align_corners=False)
