"""EfficientNet-Lite0 (Tan and Le, 2019; the "lite" form is Google's of 2020), trained on ImageNet.

Lite is EfficientNet-B0 without squeeze-and-excitation, and with ReLU6 instead of swish. A stride of 2 pads an even
side more at its far end, as TensorFlow's "SAME" does; with equal padding, photographs are classified less confidently.
Differs from it: each batch norm is folded into its convolution, so the network extracts features but cannot be trained;
dropout and stochastic depth, which do nothing in evaluation, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import Reading

# Width, number, kernel, stride of the first, and expansion of the blocks of each stage (Tan and Le, 2019, table 1).
STAGES = (
    (16, 1, 3, 1, 1),
    (24, 2, 3, 2, 6),
    (40, 2, 5, 2, 6),
    (80, 3, 3, 2, 6),
    (112, 3, 5, 1, 6),
    (192, 4, 5, 2, 6),
    (320, 1, 3, 1, 6),
)
STEM_WIDTH = 32


class EfficientNetLite0(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] to features (N, 1280) in [0, 6] and the logits of ImageNet's 1000 classes.

    Trained at 224 x 224; other sizes of at least 32 work as well.
    """

    side = 224
    dimensions = 1280
    classes = 1000

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SameConv(3, STEM_WIDTH, 3, stride=2)
        plan = [
            (width, kernel, stride if first else 1, expansion)
            for width, number, kernel, stride, expansion in STAGES
            for first in [True] + [False] * (number - 1)
        ]
        inputs = [STEM_WIDTH, *(width for width, *_ in plan)]
        self.blocks = nn.ModuleList(_Block(before, *block) for before, block in zip(inputs[:-1], plan, strict=True))
        self.top = nn.Conv2d(inputs[-1], self.dimensions, 1)
        self.head = nn.Linear(self.dimensions, self.classes)

    def forward(self, image: Tensor) -> Reading:
        """Read pictures (N, 3, H, W) in [0, 1]."""
        features = F.relu6(self.top(self.stages(image)[-1]), inplace=True).mean((2, 3))
        return Reading(features, self.head(features))

    def stages(self, image: Tensor, blocks: int = 16) -> tuple[Tensor, ...]:
        """Return the map after the stem and after each of the first `blocks` of 16 blocks, from fine to coarse."""
        maps = [F.relu6(self.stem((255 * image - 127) / 128), inplace=True)]
        for block in self.blocks[:blocks]:
            maps.append(block(maps[-1]))
        return tuple(maps)

    def widened(self, image: Tensor, blocks: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the maps inside these blocks, in ascending order, each 6 times as wide as the block's input.

        They are in [0, 6], before the block's depthwise convolution; block 0 has none.
        """
        maps, x = [], F.relu6(self.stem((255 * image - 127) / 128), inplace=True)
        for number, block in enumerate(self.blocks[: blocks[-1] + 1]):
            if number in blocks:
                maps.append(cast(_Block, block).widened(x))
            if number < blocks[-1]:
                x = block(x)
        return tuple(maps)


class _Block(nn.Module):
    """Inverted residual (Sandler et al., 2018): widen, filter each channel, project; add the input if it fits."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = nn.Conv2d(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = _SameConv(inner, inner, kernel, stride, groups=inner)
        self.project = nn.Conv2d(inner, width, 1)
        self.fits = stride == 1 and inputs == width

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(F.relu6(self.depthwise(self.widened(x)), inplace=True))
        return x + y if self.fits else y

    def widened(self, x: Tensor) -> Tensor:
        """Return the input expanded to the block's inner channels."""
        return x if self.expand is None else F.relu6(self.expand(x), inplace=True)


class _SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": the output's side is the input's over the stride, rounded up."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(inputs, width, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and self.groups > 1 and self.stride[0] > 1:
            return self._densely(x)
        height, width = (self._missing(side) for side in x.shape[-2:])
        if height == width and height % 2 == 0:
            return F.conv2d(x, self.weight, self.bias, self.stride, height // 2, groups=self.groups)
        return super().forward(F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2)))

    def _densely(self, x: Tensor) -> Tensor:
        """Return the same values, computed at every pixel: the gradient of a stride would take ten times as long."""
        stride, reach = self.stride[0], self.kernel_size[0] // 2
        dense = F.conv2d(x, self.weight, self.bias, padding=reach, groups=self.groups)
        top, left = (reach - self._missing(side) // 2 for side in x.shape[-2:])
        return dense[..., top::stride, left::stride]

    def _missing(self, side: int) -> int:
        """Return how many rows of padding a side needs."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max(0, (-(-side // stride) - 1) * stride + kernel - side)
