"""Style transfer in one pass: one player, a network that paints pictures in one style, or in any that it is shown.

Perceptual losses (Johnson, Alahi and Fei-Fei, 2016): what is painted is to have the style's Gram matrices and the
picture's content, as `losses.style` tells them. Differs from it: the matrices are about the style's means, for about
zero they tell these and little else, and a network that meets them recolours; content is told by the map after its
channels are normalised over the picture (as Huang and Belongie, 2017, have it), so that colours may change; style
counts by the root of its distance, so that styles that are hard to meet do not outweigh all others; and pictures are
looked at through a random shift, which both the picture and the painting get, so that nothing is painted that only the
strided network sees.
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
from pinxit.losses.perceptual import lite0_network
from pinxit.losses.style import Spread, content_distance, loss_network, spread, spread_distance, total_variation
from pinxit.nets.shapes import over_black
from pinxit.nets.stylizer import Painter, StyleDecoder, StyleEncoder, cropped, statistics
from pinxit.objectives.objective import Loss, Objective, Player
from pinxit.objectives.restoration import to_show, triples
from pinxit.objectives.settings import StyleSettings

SHIFTS = 8
OWN = 0.1
EXCESS = 10.0


class OneStyle(Objective):
    """A network that paints every picture in the one style of `settings.style`, whose Gram matrices it keeps."""

    model = ("painter",)

    def __init__(self, settings: StyleSettings) -> None:
        self.settings = settings
        self.networks = nn.ModuleDict({"painter": Painter(), "style": _Spreads()})

    @property
    def painter(self) -> Painter:
        """The network."""
        return cast(Painter, self.networks["painter"])

    def start(self, batch: Batch) -> None:
        """Look at the style, which is not needed again."""
        if self.settings.style is None:
            raise ValueError("there is no style to learn")
        style = style_picture(self.settings.style, self.settings.style_size).to(batch.image.device)
        seen = loss_network(device=style.device)(style)
        cast(_Spreads, self.networks["style"]).keep([spread(maps) for maps in seen.style])

    def players(self) -> tuple[Player, ...]:
        """Return the network."""
        return (Player("painter", self.networks["painter"], self.loss, self.settings.player_optimiser()),)

    def draw(self, batch: Batch) -> Tensor:
        """Return the batch's pictures painted, (N, 3, H, W), not clipped."""
        painted: Tensor = self.painter(colours(batch.image))
        return painted

    def loss(self, batch: Batch, drawn: Tensor) -> Loss:
        """Return the distances of style and content, how uneven the painting is, and how far out of range."""
        return painting_loss(self.settings, batch, drawn, cast(_Spreads, self.networks["style"]).kept())

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its painting, as many as make a square of pairs."""
        side = max(2, int(len(batch) ** 0.5) // 2 * 2)
        shown = batch.rows(0, side * side // 2)
        pairs = torch.stack([colours(shown.image), self.draw(shown)], dim=1)
        return pairs.flatten(0, 1).clamp(0, 1)


class AnyStyle(Objective):
    """A decoder that paints every picture in the style of the other that it is drawn with."""

    model = ("decoder",)

    def __init__(self, settings: StyleSettings) -> None:
        self.settings = settings
        self.networks = nn.ModuleDict({"decoder": StyleDecoder()})

    @property
    def decoder(self) -> StyleDecoder:
        """The network."""
        return cast(StyleDecoder, self.networks["decoder"])

    def players(self) -> tuple[Player, ...]:
        """Return the decoder; the encoder is frozen."""
        return (Player("decoder", self.networks["decoder"], self.loss, self.settings.player_optimiser()),)

    def styles(self, batch: Batch) -> Tensor:
        """Return the styles of a batch, (N, 3, H, W): its others, but for a tenth whose style is their own."""
        if batch.other is None:
            raise ValueError("a batch without others has no styles")
        others, images = colours(batch.other), colours(batch.image)
        own = batch.uniform(stream="own") < OWN
        if others.shape == images.shape:
            others = images.where(own[:, None, None, None], others)
        return others.contiguous(memory_format=torch.channels_last)

    def draw(self, batch: Batch) -> Tensor:
        """Return the batch's pictures painted, (N, 3, H, W), not clipped."""
        return self.painted(colours(batch.image), self.styles(batch))

    def painted(self, images: Tensor, styles: Tensor) -> Tensor:
        """Return pictures painted in the styles of others, (N, 3, H, W) all, not clipped."""
        encoder = style_encoder(images.device)
        with torch.no_grad():
            maps = encoder(images)
            own, wanted = [statistics(part) for part in maps], [statistics(part) for part in encoder(styles)]
        return cropped(self.decoder(maps, own, wanted), images)

    def loss(self, batch: Batch, drawn: Tensor) -> Loss:
        """Return the distances of style and content, how uneven the paintings are, and how far out of range."""
        with torch.no_grad():
            seen = loss_network(device=drawn.device)(self.styles(batch))
            targets = [spread(maps) for maps in seen.style]
        return painting_loss(self.settings, batch, drawn, targets)

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by a style and by its painting in it, as many as make a square of triples."""
        shown = to_show(batch)
        if shown.other is None:
            raise ValueError("a batch without others has no styles")
        images, styles = colours(shown.image), colours(shown.other)
        return triples(images, styles, self.painted(images, styles))


def painting_loss(settings: StyleSettings, batch: Batch, painted: Tensor, targets: list[Spread]) -> Loss:
    """Return the terms of a batch's paintings (N, 3, H, W), in whose styles channels lie as `targets` say."""
    network = loss_network(device=painted.device)
    shifts = (batch.uniform(2, stream="shift") * SHIFTS).int().tolist()
    seen = network(shifted(painted, shifts))
    with torch.no_grad():
        there = network(shifted(colours(batch.image), shifts)).content
    return Loss(
        {
            "style": settings.style_weight * spread_distance(seen.style, targets).mean(),
            "content": content_distance(normal(seen.content), normal(there)).mean(),
            "total_variation": settings.total_variation * total_variation(painted).mean(),
            "excess": EXCESS * (painted - painted.clamp(0, 1)).square().mean(),
        }
    )


def style_picture(path: Path, side: int | None = None) -> Tensor:
    """Return the picture of a style, (1, 3, H, W) in [0, 1], its shorter side made `side` pixels; its own if None."""
    pixels = load_image(path)
    share = side / min(pixels.shape[:2]) if side else 1
    return colours(to_float(scaled(pixels, share)[None])).contiguous(memory_format=torch.channels_last)


def shifted(images: Tensor, shifts: list[list[int]]) -> Tensor:
    """Return pictures (N, C, H, W) rolled down and across, each by its own number of pixels."""
    rows = [image.roll(shift, (1, 2)) for image, shift in zip(images, shifts, strict=True)]
    return torch.stack(rows).contiguous(memory_format=torch.channels_last)


def normal(maps: Tensor) -> Tensor:
    """Return maps (N, C, H, W) of mean 0 and deviation 1 in every channel, float32."""
    mean, deviation = statistics(maps).unbind(1)
    return (maps.float() - mean) / deviation


def colours(images: Tensor) -> Tensor:
    """Return pictures (N, 1, 3 or 4, H, W) in three channels, alpha over black."""
    return over_black(images).expand(-1, 3, -1, -1)


# Channels of the maps by which `losses.style` tells style: EfficientNet-Lite0's stem, blocks 0, 2, 4 and 10.
GRAM_CHANNELS = (32, 16, 24, 40, 112)


@cache
def style_encoder(device: torch.device) -> StyleEncoder:
    """Return the frozen encoder, the same at every call."""
    return StyleEncoder(lite0_network(device))


class _Spreads(nn.Module):
    """How the channels of one style lie, two buffers a layer, which a checkpoint holds."""

    def __init__(self) -> None:
        super().__init__()
        for level, channels in enumerate(GRAM_CHANNELS):
            self.register_buffer(f"mean{level}", torch.zeros(1, channels, 1, 1))
            self.register_buffer(f"gram{level}", torch.zeros(1, channels, channels))

    def keep(self, layers: list[Spread]) -> None:
        """Take those of a style."""
        for buffer, found in zip(self.buffers(), chain(*layers), strict=True):
            buffer.copy_(found)

    def kept(self) -> list[Spread]:
        """Return them, a layer each."""
        buffers = list(self.buffers())
        return [Spread(*pair) for pair in zip(buffers[::2], buffers[1::2], strict=True)]
