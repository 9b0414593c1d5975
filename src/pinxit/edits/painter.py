"""What `stylize` and `texture` bind: styles that are loaded, and a canvas that grows from coarse to fine."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.colour import BT709, luma
from pinxit.data import Batch
from pinxit.edits.bound import Bound
from pinxit.edits.looking import TILE, Edge, Look, Summary
from pinxit.edits.mask import unit
from pinxit.edits.painting import Aim, Painting, aim_at, ladder, paint, resized, steps_at
from pinxit.edits.style import Painter, Stylize, Texture
from pinxit.hardware import choose
from pinxit.images import load_picture
from pinxit.losses.style import LossNetwork, loss_network, total_variation

STYLE_SHARE = 0.7  # of both distances, at strength 1
LOST = 0.5  # of the content's own detail, at strength 1, when the canvas becomes larger
BYTES, TILE_BYTES = 120, 1_900  # for each pixel of the picture and of the largest tile


@dataclass(frozen=True)
class Painted(Bound):
    """An edit whose result is painted, a size after the other."""

    settings: Painter
    network: LossNetwork
    device: str
    radius = None

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return what is held for a picture of a size: canvas, gradient and moments of all, maps of one tile."""
        pixels = math.prod(size) * self.scale**2
        return BYTES * pixels + TILE_BYTES * min(pixels, TILE**2)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the painted picture."""
        return deque(self.stages(image, mask), maxlen=1).pop()

    def paint(self, canvas: Tensor, look: Look, aim: Aim, mask: Tensor | None = None) -> Tensor:
        """Return the canvas (1, C, H, W), painted; what is given is not kept, for it is large."""
        batch = Batch(image=canvas[:, :, :1, :1].clone(), mask=mask, seed=self.settings.seed, step=0)
        steps = steps_at((canvas.shape[2], canvas.shape[3]), self.settings.steps)
        painting = Painting(canvas, look, aim)
        del canvas
        return paint(painting, batch, steps, choose(self.device))

    def summary(self, look: Look, image: Tensor) -> Summary:
        """Return what the network knows of a picture (1, C, H, W)."""
        with choose(self.device).autocast():
            return look.summary(image)


@dataclass(frozen=True)
class Stylized(Painted):
    """A picture in the style of others, each (1, 3, h, w), at a strength."""

    settings: Stylize
    styles: tuple[Tensor, ...] = ()
    strength: float = 1.0

    @classmethod
    def of(cls, settings: Stylize, device: str) -> Stylized:
        """Load the network and the styles."""
        network = loss_network(settings.network, settings.weights, device)
        return cls(settings, network, device, tuple(read(path).to(device) for path in settings.style))

    def tempered(self, strength: float) -> tuple[Bound, float]:
        """Return the edit with the style's share of this strength; nothing is left to be mixed."""
        return replace(self, strength=strength), float(strength > 0)

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield what there is after each size, at the size of the picture."""
        whole, full = image[None], (image.shape[1], image.shape[2])
        canvas = last = torch.empty(0)
        for size in ladder(full):
            content = whole if size == full else resized(whole, size).clamp(0, 1)
            where = None if mask is None else F.interpolate(mask[None], size, mode="area")
            tones, styles = self._tones(content, size)
            look = Look(self.network, size, where)
            aim = self._aim(look, tones, styles, self._range(tones, content))
            canvas, last = self.paint(self._first(canvas, last, tones, aim, where), look, aim, where), tones
            yield resized(self._coloured(canvas, content), full)[0].clamp(0, 1)

    def _first(self, canvas: Tensor, last: Tensor, tones: Tensor, aim: Aim, mask: Tensor | None) -> Tensor:
        """Return what is painted on: the canvas of half the size with the detail that `last` lacks of the tones."""
        if not len(canvas):
            return tones.clone()
        size, kept = (tones.shape[2], tones.shape[3]), 1 - LOST * self.strength
        first = (resized(canvas, size) + kept * (tones - resized(last, size))).clamp_(0, 1)
        first = first if aim.least is None else first.clamp_(aim.least, aim.most)
        return first if mask is None else torch.where(mask > 0, first, tones)

    def _aim(self, look: Look, tones: Tensor, styles: Sequence[Tensor], limits: Mapping[str, Tensor]) -> Aim:
        style = self._blended([self.summary(Look(self.network, (s.shape[2], s.shape[3])), s) for s in styles])
        theirs = mixed([total_variation(style) for style in styles], self._shares)
        roughness = max(total_variation(tones).item(), theirs.item())
        return aim_at(
            style, self.summary(look, tones), roughness + 1e-6,
            content=tones, style_share=STYLE_SHARE * self.strength, strength=self.strength, **limits,
        )  # fmt: skip

    def _tones(self, content: Tensor, size: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
        """Return what is painted of a content, its colours or only its luma, and the styles of a fitting size alike."""
        styles = [fitted(style, self.settings.strokes * max(size)) for style in self.styles]
        if content.shape[1] == 3 and not self.settings.keep_colours:
            return content, styles
        light, styles = luma(content, BT709), [luma(style, BT709) for style in styles]
        return light, [like(style, light) for style in styles] if self.settings.keep_colours else styles

    def _range(self, tones: Tensor, content: Tensor) -> dict[str, Tensor]:
        """Return the least and the most that luma can be without a colour leaving [0, 1], where colours are kept."""
        if not self._keeps(content):
            return {}
        low, high = content.amin(1, keepdim=True), content.amax(1, keepdim=True)
        return {"least": tones - low, "most": tones + 1 - high}

    def _coloured(self, canvas: Tensor, content: Tensor) -> Tensor:
        """Return the canvas with the content's colours, where these are kept."""
        return content + (canvas - luma(content, BT709)) if self._keeps(content) else canvas

    def _keeps(self, content: Tensor) -> bool:
        return self.settings.keep_colours and content.shape[1] == 3

    @property
    def _shares(self) -> Sequence[float]:
        return self.settings.blend or (1.0,) * len(self.styles)

    def _blended(self, styles: Sequence[Summary]) -> Summary:
        return Summary(
            tuple(mixed(layer, self._shares) for layer in zip(*(style.grams for style in styles), strict=True)),
            mixed([style.mean for style in styles], self._shares),
            mixed([style.variance for style in styles], self._shares),
        )


@dataclass(frozen=True)
class Textured(Painted):
    """A texture of which a picture is a sample, `scale` times as wide and high."""

    settings: Texture
    scale: int = 1

    @classmethod
    def of(cls, settings: Texture, device: str) -> Textured:
        """Load the network."""
        return cls(settings, loss_network(settings.network, settings.weights, device), device, settings.scale)

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield what there is after each size, at the size of the texture; the mask has no part in it."""
        edge: Edge = "circular" if self.settings.seamless else "replicate"
        full = image.shape[1] * self.scale, image.shape[2] * self.scale
        canvas = torch.empty(0)
        for size in ladder((image.shape[1], image.shape[2])):
            sample = resized(image[None], size).clamp(0, 1)
            wanted = size[0] * self.scale, size[1] * self.scale
            canvas = resized(canvas, wanted, edge).clamp(0, 1) if len(canvas) else self._noise(sample, wanted)
            look = Look(self.network, wanted, edge=edge)
            style = self.summary(Look(self.network, size), sample)
            aim = aim_at(style, self.summary(look, canvas), total_variation(sample).item() + 1e-6)
            canvas = self.paint(canvas, look, aim)
            yield resized(canvas, full, edge)[0].clamp(0, 1)

    def _noise(self, sample: Tensor, size: tuple[int, int]) -> Tensor:
        """Return pixels of the sample, each from anywhere in it."""
        batch = Batch(image=sample, seed=self.settings.seed, step=0)
        pixels = sample.flatten(2)
        places = (batch.uniform(*size, stream="first canvas")[0] * pixels.shape[2]).long()
        return pixels[..., places]


def mixed(ones: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Return the mean of tensors, weighted by shares."""
    whole = sum(shares)
    return torch.stack([share / whole * one for share, one in zip(shares, ones, strict=True)]).sum(0)


def read(path: Path) -> Tensor:
    """Return a picture's colours as (1, C, H, W) in [0, 1]; `DataError` if it cannot be read."""
    return torch.from_numpy(unit(load_picture(path).pixels[..., :3])).permute(2, 0, 1)[None].contiguous()


def fitted(style: Tensor, side: float) -> Tensor:
    """Return a style whose longer side is that long, but no larger than twice its own."""
    share = min(2.0, side / max(style.shape[2:]))
    return resized(style, (max(1, round(style.shape[2] * share)), max(1, round(style.shape[3] * share)))).clamp(0, 1)


def like(style: Tensor, light: Tensor) -> Tensor:
    """Return a style's luma with the mean and deviation of a content's (Gatys et al., 2017, section 6)."""
    deviation, mean = torch.std_mean(style, correction=0)
    wanted_deviation, wanted_mean = torch.std_mean(light, correction=0)
    return ((style - mean) / (deviation + 1e-6) * wanted_deviation + wanted_mean).clamp(0, 1)
