"""MediaPipe's selfie segmentation (Google, 2021): where people are in a picture, by a MobileNetV3 with a decoder.

The encoder is MobileNetV3-Small (Howard et al., 2019) with fewer channels, the decoder that of a U-Net with its skips
weighed by channel. Batch norms are folded into the convolutions, so that it runs and cannot be trained. A stride of 2
pads an even side more at its far end, as TensorFlow's "SAME" does. The weights are those of the model of 256 x 256
pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 256
Activation = Callable[[Tensor], Tensor]


class PersonNet(nn.Module):
    """Pictures (N, 3, 256, 256) in [0, 1] to how much each pixel belongs to a person, (N, 1, 256, 256) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Same(3, 16, 3, 2)
        self.blocks = nn.ModuleList(
            [
                _Block(16, 16, 16, 3, 2, 8, F.relu),
                _Block(16, 72, 24, 3, 2, 0, F.relu),
                _Block(24, 88, 24, 3, 1, 0, F.relu),
                _Block(24, 96, 32, 5, 2, 24, F.hardswish),
                _Block(32, 128, 32, 5, 1, 32, F.hardswish),
                _Block(32, 128, 32, 5, 1, 32, F.hardswish),
                _Block(32, 96, 32, 5, 1, 24, F.hardswish),
                _Block(32, 96, 32, 5, 1, 24, F.hardswish),
            ]
        )
        self.head, self.gate = nn.Conv2d(32, 128, 1), nn.Conv2d(32, 128, 1)
        self.decoders = nn.ModuleList([_Decoder(128, 24), _Decoder(24, 16), _Decoder(16, 16)])
        self.last = nn.ConvTranspose2d(16, 1, 2, 2)

    def forward(self, image: Tensor) -> Tensor:
        """Return the shares of people."""
        maps = [F.hardswish(self.stem(image))]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        x = F.relu(self.head(maps[-1])) * torch.sigmoid(self.gate(_mean(maps[-1])))
        for decoder, beside in zip(self.decoders, (maps[3], maps[1], maps[0]), strict=True):
            x = decoder(x, beside)
        return torch.sigmoid(self.last(x))


class _Same(nn.Conv2d):
    """A convolution of an even side that pads one pixel more at the far end if its stride is 2."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups)
        near = (kernel - stride) // 2
        self.around = (near, kernel - stride - near) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map."""
        return super().forward(F.pad(x, self.around))


class _Block(nn.Module):
    """Widen, look around, weigh the channels if `squeezed` is not 0, and narrow; plus the input if the shapes agree."""

    def __init__(
        self, channels: int, wide: int, out: int, kernel: int, stride: int, squeezed: int, act: Activation
    ) -> None:
        super().__init__()
        self.widen = nn.Conv2d(channels, wide, 1)
        self.look = _Same(wide, wide, kernel, stride, wide)
        self.weigh = _Weights(wide, squeezed, wide) if squeezed else None
        self.narrow = nn.Conv2d(wide, out, 1)
        self.act, self.adds = act, stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Return the map after the block."""
        wide = self.act(self.look(self.act(self.widen(x))))
        wide = wide if self.weigh is None else wide * self.weigh(wide)
        return self.narrow(wide) + x if self.adds else self.narrow(wide)


class _Weights(nn.Module):
    """Weights of channels in [0, 1] from their means (Hu et al., 2018)."""

    def __init__(self, channels: int, squeezed: int, out: int) -> None:
        super().__init__()
        self.squeeze, self.spread = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the weights (N, C, 1, 1)."""
        return torch.sigmoid(self.spread(F.relu(self.squeeze(_mean(x)))))


class _Decoder(nn.Module):
    """Doubles a map and adds the encoder's map of that size, weighed by channel."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.narrow, self.weigh = nn.Conv2d(channels, out, 1), _Weights(out, out, out)
        self.mix, self.look = nn.Conv2d(out, out, 1), _Same(out, out, 3, 1, out)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        """Return a map of twice the sides."""
        x = self.narrow(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
        x = F.relu(self.mix(beside * self.weigh(beside + x) + x))
        return x + F.relu(self.look(x))


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)
