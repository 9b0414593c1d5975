"""A generator by styles (Karras et al., 2019; 2020): a mapping network, and convolutions that its output scales.

The latent becomes a vector of styles, which scales the channels of every convolution, from a learned constant upwards.
Each map adds to a picture that is enlarged with it. Follows StyleGAN2 as its authors reduced it for small pictures
(Karras et al., 2020b): two layers of mapping, whose rate is a hundredth of the others', and weights N(0, 1) scaled at
run time.

Differs from them: no noise inputs, so that a picture is a function of its latent alone, and no mixing of the styles of
two latents. The latent is not normalised. Maps are enlarged by
repeating pixels, in one step with the convolution, and only the picture is interpolated. The smallest map adds no
picture. Any sides from 16; pictures in [0, 1] by a sigmoid; the width doubles towards the small maps, at most 8-fold.
The discriminator is the residual one, with the minibatch's standard deviation.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets import residual
from pinxit.nets.attention import looks
from pinxit.nets.enlarging import Doubled, halving, repeated
from pinxit.nets.shapes import LabelledLatent, PictureShape, Sides, size_ladder, widths

MAPPING_LAYERS = 2
MAPPING_RATE = 0.01
"""Learning rate of the mapping network relative to the other layers."""
GAIN = 2**0.5
"""What a leaky ReLU takes from the deviation of its input."""


class Generator(nn.Module):
    """Latents (N, latent) to pictures (N, C, H, W) in [0, 1]; `channels` is the width at the picture's side.

    Maps of the shorter side `attention` attend to themselves.
    """

    def __init__(self, shape: PictureShape, latent: int, channels: int, attention: int = 0) -> None:
        super().__init__()
        self.maps = size_ladder(shape)
        width = widths(channels, len(self.maps))
        self.latent = LabelledLatent(latent, shape.classes)
        inputs = [self.latent.features, *[latent] * (MAPPING_LAYERS - 1)]
        self.mapping = nn.ModuleList(Equalised(features, latent, rate=MAPPING_RATE) for features in inputs)
        self.constant = nn.Parameter(torch.empty(1, width[0], *self.maps[0]).normal_())
        self.first = Modulated(width[0], width[0], latent)
        self.ups = nn.ModuleList(
            Up(a, b, latent, size) for (a, b), size in zip(pairwise(width), self.maps[1:], strict=True)
        )
        self.looks = looks(width[1:-1], self.maps[1:-1], attention)
        self.pictures = nn.ModuleList(Seen(b, shape.channels, latent) for b in width[1:])
        self.doubled = nn.ModuleList(Doubled(size) for size in self.maps[2:])

    def styles(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the styles (N, latent) of latents (N, latent), and labels (N,) if conditional."""
        style = self.latent(latent, label)
        for layer in self.mapping:
            style = GAIN * F.leaky_relu(layer(style), 0.2)
        return style

    def pictures_of(self, style: Tensor) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] of styles (N, latent)."""
        x = self.ups[0](self.first(self.constant.expand(len(style), -1, -1, -1), style), style)
        picture = self.pictures[0](x, style)
        for up, look, doubled, seen in zip(self.ups[1:], self.looks, self.doubled, self.pictures[1:], strict=True):
            x = up(look(x), style)
            picture = doubled(picture) + seen(x, style)
        return picture.sigmoid()

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1]."""
        return self.pictures_of(self.styles(latent, label))


class PathLength(nn.Module):
    """How much pictures change with their styles, and the running mean of that (Karras et al., 2020, eq. 4).

    The mean is a buffer, which only `follow` moves.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, lengths: Tensor) -> Tensor:
        """Return the mean squared difference of lengths (N,) from their running mean."""
        return (lengths - self.mean).square().mean()

    def follow(self, length: float) -> None:
        """Move the running mean a hundredth of the way to a batch's mean length."""
        self.mean.lerp_(torch.full_like(self.mean, length), 0.01)


class Equalised(nn.Linear):
    """A linear layer with weights N(0, 1), scaled at run time by its inputs and by a `rate` of learning.

    Adam changes all weights by the same amount, so they should be of one size (Karras et al., 2018, section 4.1).
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, 0.0, 1 / rate)
        nn.init.constant_(self.bias, bias / rate)
        self.gain, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs) of (N, inputs)."""
        return F.linear(self.gain * x, self.weight, self.rate * self.bias)


class Modulated(nn.Conv2d):
    """Scale channels by a style, convolve, divide by the expected deviation; add a bias, leaky ReLU.

    Karras et al., 2020, eq. 1 and 3. Scaling weights by input is scaling the input, and dividing weights by output is
    dividing the output, so one convolution serves all pictures. With a `size`, it enlarges to that first.
    """

    def __init__(self, inputs: int, outputs: int, features: int, size: Sides | None = None) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self.style, self.size = Equalised(features, inputs, bias=1.0), size

    def forward(self, x: Tensor, style: Tensor) -> Tensor:  # type: ignore[override]
        """Return (N, outputs, H, W) of (N, inputs, h, w), by styles (N, features)."""
        scale = self.style(style)
        square = scale.square() @ self.weight.square().sum((2, 3)).mT
        deviation = (square + 1e-8).sqrt()[:, :, None, None]
        x = x * scale[:, :, None, None]
        y = F.conv2d(x, self.weight, padding=1) if self.size is None else repeated(x, self.weight, None, self.size)
        return F.leaky_relu(torch.addcmul(self.bias[:, None, None], y, GAIN / deviation), 0.2)  # type: ignore[index]


class Up(nn.Module):
    """Two modulated convolutions, of which the first enlarges."""

    def __init__(self, inputs: int, outputs: int, features: int, size: Sides) -> None:
        super().__init__()
        self.conv1 = Modulated(inputs, outputs, features, size)
        self.conv2 = Modulated(outputs, outputs, features)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Return (N, outputs, H, W) of (N, inputs, H / 2, W / 2), rounded up."""
        return self.conv2(self.conv1(x, style), style)


class Seen(nn.Conv2d):
    """A map as a picture: channels scaled by a style, then a convolution by 1 x 1."""

    def __init__(self, inputs: int, outputs: int, features: int) -> None:
        super().__init__(inputs, outputs, 1)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self.style, self.gain = Equalised(features, inputs, bias=1.0), 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:  # type: ignore[override]
        """Return (N, outputs, H, W) of (N, inputs, H, W), by styles (N, features)."""
        return super().forward(x * (self.gain * self.style(style))[:, :, None, None])


class Discriminator(residual.Discriminator):
    """The residual discriminator, whose blocks halve a map in one step with their second convolution."""

    @staticmethod
    def block(inputs: int, outputs: int, skip: bool) -> residual.DownBlock:
        """Return one of the blocks that halve a map."""
        return Down(inputs, outputs, skip)


class Down(residual.DownBlock):
    """Leaky ReLU, convolve, leaky ReLU, convolve and halve the side; plus the halved input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H / 2, W / 2), rounded up, of (N, inputs, H, W)."""
        y = F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2)
        y = halving(y, self.conv2.weight, self.conv2.bias)
        return y if self.skip is None else y + self.skip(residual.halve(x))
