"""Networks from pictures to class logits: small ones that learn from nothing, and a head on one that knows things.

`Classifier` trains in seconds: three 3x3 convolutions with batch normalisation (Ioffe and Szegedy, 2015), each halving
the side, and one linear layer on the last map. It replaces the ResNet-50 of Ravuri and Vinyals (2019) where labelled
pictures are judged by what can be learned from them.

`Residual` has three stages of two residual blocks whose activations come first (He et al., 2016), for 16 to 64 pixels.

`Pretrained` is a linear layer on the features of EfficientNet-Lite0. Of its 16 blocks any number of the last can be
trained too (`nets.finetuned`). Smaller pictures are enlarged to `LEAST_SIDE`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.finetuned import Finetuned
from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.pretrained import lite0_network
from pinxit.nets.shapes import PictureShape, keep_variance, over_black

WIDTHS = (32, 64, 128)
NEVER = -1e9
"""A log-sum-exp of logits that no picture has."""

LEAST_SIDE = 96
"""The least shorter side in pixels of what EfficientNet-Lite0 sees."""


class Classifier(nn.Module):
    """Pictures (N, C, H, W) in [0, 1], any size, to class logits (N, K)."""

    def __init__(self, shape: PictureShape) -> None:
        super().__init__()
        steps = pairwise((shape.channels, *WIDTHS))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False) for a, b in steps)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        high, wide = (-(-side // 2 ** len(WIDTHS)) for side in shape.sides)
        self.head = nn.Linear(WIDTHS[-1] * high * wide, shape.classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K)."""
        return self.classify(self.maps(image))

    def maps(self, image: Tensor) -> Tensor:
        """Return the last map (N, C, h, w)."""
        x = 2 * image - 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
        return x

    def classify(self, maps: Tensor) -> Tensor:
        """Return the logits (N, K) of last maps."""
        return self.head(maps.flatten(1))


class Residual(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to class logits (N, K); `channels` at full size, twice as many at each half."""

    def __init__(self, shape: PictureShape, channels: int, dropout: float) -> None:
        super().__init__()
        widths = [channels * 2**stage for stage in range(3)]
        self.stem = nn.Conv2d(shape.channels, channels, 3, padding=1, bias=False)
        before = [channels, *(width for width in widths for _ in range(2))]
        plan = [(width, 2 if first and stage else 1) for stage, width in enumerate(widths) for first in (True, False)]
        self.blocks = nn.Sequential(*(Block(inputs, *block) for inputs, block in zip(before[:-1], plan, strict=True)))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], shape.classes)
        self.apply(keep_variance)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K)."""
        return self.classify(self.maps(image))

    def maps(self, image: Tensor) -> Tensor:
        """Return the last map (N, C, h, w)."""
        return F.relu(self.norm(self.blocks(self.stem(2 * image - 1))))

    def classify(self, maps: Tensor) -> Tensor:
        """Return the logits (N, K) of last maps."""
        return self.head(self.dropout(maps.mean((2, 3))))


class Block(nn.Module):
    """Two convolutions, each after batch normalisation and ReLU; the input is added, projected where sizes differ."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in (inputs, width))
        self.first = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        fits = stride == 1 and inputs == width
        self.project = None if fits else nn.Conv2d(inputs, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of `width` channels, smaller by the stride."""
        y = F.relu(self.norms[0](x))
        kept = x if self.project is None else self.project(y)
        return kept + self.second(F.relu(self.norms[1](self.first(y))))


class Pretrained(Finetuned):
    """Pictures (N, C, H, W) in [0, 1] to class logits (N, K), by EfficientNet-Lite0 and a linear layer."""

    def __init__(self, shape: PictureShape, trained: int, dropout: float) -> None:
        super().__init__(trained, top=True)
        high, wide = shape.sides
        enlarged = max(1.0, LEAST_SIDE / min(high, wide))
        self.sides = round(high * enlarged), round(wide * enlarged)
        self.norm = nn.BatchNorm1d(EfficientNetLite0.dimensions, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(EfficientNetLite0.dimensions, shape.classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K)."""
        return self.classify(self.maps(image))

    def classify(self, maps: Tensor) -> Tensor:
        """Return the logits (N, K) of last maps."""
        return self.of_features(maps.mean((2, 3)))

    def features(self, image: Tensor) -> Tensor:
        """Return the means (N, 1280) of the last map of pictures."""
        return self.maps(image).mean((2, 3))

    def of_features(self, features: Tensor) -> Tensor:
        """Return the logits (N, K) of features (N, 1280)."""
        return self.head(self.dropout(self.norm(features.float())))

    def maps(self, image: Tensor) -> Tensor:
        """Return the last map (N, 1280, h, w) of pictures."""
        seen = over_black(image).expand(-1, 3, -1, -1)
        if seen.shape[-2:] != self.sides:
            seen = F.interpolate(seen, self.sides, mode="bilinear", align_corners=False)
        return F.relu6((self.top or lite0_network(image.device).top)(self.stages(seen)[-1]))


class Calibration(nn.Module):
    """What is fitted to held-out pictures after training: how sure to be, and which pictures are like none of them.

    `temperature` divides logits (Guo et al., 2017). A picture whose log-sum-exp of logits is below `least` is unknown
    (the energy of Liu et al., 2020, with the sign turned).
    """

    temperature: Tensor
    least: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("least", torch.full((), NEVER))
