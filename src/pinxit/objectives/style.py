"""Style transfer in one pass: a network paints pictures in one style, or in any style it is given.

Perceptual losses (Johnson, Alahi and Fei-Fei, 2016): the painting should have the style's Gram matrices and the
picture's content, both as defined in `losses.style`. Four things differ from the paper:

- The Gram matrices are about the style's means. About zero they encode little but these means, and a network that
  matches them only recolours.
- Content is compared after each channel is normalised over the picture (as in Huang and Belongie, 2017). Colours may
  therefore change.
- The style term is the root of the distance, so that difficult styles do not outweigh the others.
- Picture and painting are shifted randomly before they are compared, so that the loss network's strides cause no
  patterns.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.images import load_image, scaled
from pinxit.images.convert import to_float
from pinxit.losses.style import (
    StyleMoments,
    content_distance,
    loss_network,
    moment_distance,
    style_moments,
    total_variation,
)
from pinxit.nets.pretrained import lite0_network
from pinxit.nets.shapes import over_black
from pinxit.nets.stylizer import StyleDecoder, StyleEncoder, TransformNet, cropped, statistics
from pinxit.objectives.objective import Loss, Objective
from pinxit.objectives.restoration import in_threes, sheet_rows
from pinxit.objectives.settings import StyleSettings

SHIFTS = 8
OWN = 0.1
EXCESS = 10.0


class OneStyle(Objective):
    """A network that paints pictures in the style of `settings.style`, whose moments are in the checkpoint."""

    settings: StyleSettings
    player = "painter"
    model = ("painter",)

    def __init__(self, settings: StyleSettings) -> None:
        self.settings = settings
        self.networks = nn.ModuleDict({"painter": TransformNet(), "style": _StyleBuffers()})

    @property
    def painter(self) -> TransformNet:
        """The network."""
        return cast(TransformNet, self.networks["painter"])

    def start(self, batch: Batch) -> None:
        """Store the moments of the style's picture, which is not read again."""
        if self.settings.style is None:
            raise ValueError("no style is set")
        style = style_picture(self.settings.style, self.settings.style_size).to(batch.image.device)
        layers = loss_network(device=style.device)(style).style
        cast(_StyleBuffers, self.networks["style"]).store([style_moments(maps) for maps in layers])

    def draw(self, batch: Batch) -> Tensor:
        """Return the batch's pictures painted, (N, 3, H, W), not clipped."""
        return self.painter(colours(batch.image))

    def loss(self, batch: Batch, painted: Tensor) -> Loss:
        """Return style and content distances, total variation, and the excess over [0, 1]."""
        return painting_loss(self.settings, batch, painted, cast(_StyleBuffers, self.networks["style"]).stored())

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its painting, as many as fill a square sheet."""
        side = max(2, int(len(batch) ** 0.5) // 2 * 2)
        shown = batch.rows(0, side * side // 2)
        pairs = torch.stack([colours(shown.image), self.draw(shown)], dim=1)
        return pairs.flatten(0, 1).clamp(0, 1)


class AnyStyle(Objective):
    """A decoder that paints each picture in the style of `other` in the same row of the batch."""

    settings: StyleSettings
    player = "decoder"
    model = ("decoder",)

    def __init__(self, settings: StyleSettings) -> None:
        self.settings = settings
        self.networks = nn.ModuleDict({"decoder": StyleDecoder()})

    @property
    def decoder(self) -> StyleDecoder:
        """The network."""
        return cast(StyleDecoder, self.networks["decoder"])

    def styles(self, batch: Batch) -> Tensor:
        """Return the styles of a batch, (N, 3, H, W): `other`, but in a tenth of the rows the picture itself."""
        if batch.other is None:
            raise ValueError("the batch has no other pictures, which are the styles")
        others, images = colours(batch.other), colours(batch.image)
        own = batch.uniform(stream="own") < OWN
        if others.shape == images.shape:
            others = images.where(own[:, None, None, None], others)
        return others.contiguous(memory_format=torch.channels_last)

    def draw(self, batch: Batch) -> Tensor:
        """Return the batch's pictures painted, (N, 3, H, W), not clipped."""
        return self.painted(colours(batch.image), self.styles(batch))

    def painted(self, images: Tensor, styles: Tensor) -> Tensor:
        """Return pictures painted in the styles of others, all (N, 3, H, W), not clipped."""
        encoder = style_encoder(images.device)
        with torch.no_grad():
            maps = encoder(images)
            own, target = [statistics(part) for part in maps], [statistics(part) for part in encoder(styles)]
        return cropped(self.decoder(maps, own, target), images)

    def loss(self, batch: Batch, painted: Tensor) -> Loss:
        """Return style and content distances, total variation, and the excess over [0, 1]."""
        with torch.no_grad():
            layers = loss_network(device=painted.device)(self.styles(batch)).style
            targets = [style_moments(maps) for maps in layers]
        return painting_loss(self.settings, batch, painted, targets)

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by a style and its painting in it, as many as fill a square sheet."""
        shown = sheet_rows(batch)
        if shown.other is None:
            raise ValueError("the batch has no other pictures, which are the styles")
        images, styles = colours(shown.image), colours(shown.other)
        return in_threes(images, styles, self.painted(images, styles))


def painting_loss(settings: StyleSettings, batch: Batch, painted: Tensor, targets: list[StyleMoments]) -> Loss:
    """Return the loss of a batch's paintings (N, 3, H, W); `targets` are the moments of their styles, one per layer."""
    network = loss_network(device=painted.device)
    shifts = (batch.uniform(2, stream="shift") * SHIFTS).int().tolist()
    maps = network(shifted(painted, shifts))
    with torch.no_grad():
        content = network(shifted(colours(batch.image), shifts)).content
    return Loss(
        {
            "style": settings.style_weight * moment_distance(maps.style, targets).mean(),
            "content": content_distance(normal(maps.content), normal(content)).mean(),
            "total_variation": settings.total_variation * total_variation(painted).mean(),
            "excess": EXCESS * (painted - painted.clamp(0, 1)).square().mean(),
        }
    )


def style_picture(path: Path, side: int) -> Tensor:
    """Return a style's picture, (1, 3, H, W) in [0, 1], resized so that its shorter side is `side` pixels."""
    pixels = load_image(path)
    share = side / min(pixels.shape[:2])
    return colours(to_float(scaled(pixels, share)[None])).contiguous(memory_format=torch.channels_last)


def shifted(images: Tensor, shifts: list[list[int]]) -> Tensor:
    """Return pictures (N, C, H, W), each rolled down and right by its own number of pixels."""
    rows = [image.roll(shift, (1, 2)) for image, shift in zip(images, shifts, strict=True)]
    return torch.stack(rows).contiguous(memory_format=torch.channels_last)


def normal(maps: Tensor) -> Tensor:
    """Return maps (N, C, H, W) normalised to mean 0 and deviation 1 in every channel, float32."""
    mean, deviation = statistics(maps).unbind(1)
    return (maps.float() - mean) / deviation


def colours(images: Tensor) -> Tensor:
    """Return pictures (N, 1, 3 or 4, H, W) with three channels; alpha is laid over black."""
    return over_black(images).expand(-1, 3, -1, -1)


# Channels of the style layers of `losses.style`: EfficientNet-Lite0's stem, blocks 0, 2, 4 and 10.
GRAM_CHANNELS = (32, 16, 24, 40, 112)


@cache
def style_encoder(device: torch.device) -> StyleEncoder:
    """Return the frozen encoder, loaded once."""
    return StyleEncoder(lite0_network(device))


class _StyleBuffers(nn.Module):
    """The moments of one style, as two buffers per layer that are saved in checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        for level, channels in enumerate(GRAM_CHANNELS):
            self.register_buffer(f"mean{level}", torch.zeros(1, channels, 1, 1))
            self.register_buffer(f"gram{level}", torch.zeros(1, channels, channels))

    def store(self, layers: list[StyleMoments]) -> None:
        """Store the moments of a style, one per layer."""
        for buffer, value in zip(self.buffers(), chain(*layers), strict=True):
            buffer.copy_(value)

    def stored(self) -> list[StyleMoments]:
        """Return the stored moments, one per layer."""
        buffers = list(self.buffers())
        return [StyleMoments(*pair) for pair in zip(buffers[::2], buffers[1::2], strict=True)]
