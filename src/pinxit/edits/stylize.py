"""Pictures in the style of others, and textures, by optimisation: a canvas is painted size by size, coarse to fine."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.colour import BT709, luma
from pinxit.data import Batch
from pinxit.edits.bound import Bound
from pinxit.edits.mask import unit
from pinxit.edits.painting import TILE, Edge, Painting, Summary, Target, TiledExtractor, paint, target_of
from pinxit.hardware import choose
from pinxit.images import load_picture
from pinxit.losses.style import LossNetwork, total_variation

STYLE_SHARE = 0.7  # of both distances, at strength 1
LOST = 0.5  # share of the content's own detail that is dropped, at strength 1, when the canvas is enlarged
BYTES, TILE_BYTES = 120, 1_900  # for each pixel of the picture, and of the largest tile
COARSEST = 96  # pixels: the longer side of the smallest canvas is at least this, and less than twice as much
FULL_STEPS_SIDE = 256  # pixels; a larger canvas takes fewer steps, because only detail is left


@dataclass(frozen=True)
class OptimisedPicture(Bound):
    """An edit whose result is painted by optimisation, one size after the other."""

    network: LossNetwork
    steps: int
    seed: int
    device: str
    radius = None

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of a run in bytes: canvas, gradient and moments as a whole, and the maps of one tile."""
        pixels = math.prod(size) * self.scale**2
        return BYTES * pixels + TILE_BYTES * min(pixels, TILE**2)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the painted picture."""
        return deque(self.stages(image, mask), maxlen=1).pop()

    def paint(self, canvas: Tensor, extractor: TiledExtractor, target: Target, mask: Tensor | None = None) -> Tensor:
        """Return the canvas (1, C, H, W), painted. The argument is not kept: it is large."""
        batch = Batch(image=canvas[:, :, :1, :1].clone(), mask=mask, seed=self.seed, step=0)
        steps = max(1, round(self.steps * min(1.0, FULL_STEPS_SIDE / max(canvas.shape[2:]))))
        painting = Painting(canvas, extractor, target)
        del canvas
        return paint(painting, batch, steps, choose(self.device))

    def summary(self, extractor: TiledExtractor, image: Tensor) -> Summary:
        """Return the features of a whole picture (1, C, H, W)."""
        with choose(self.device).autocast():
            return extractor.summary(image)


@dataclass(frozen=True, kw_only=True)
class Stylized(OptimisedPicture):
    """A picture in the style of others, each (1, C, h, w), at a strength.

    `strokes` is the longer side of a style, as the network gets it, divided by that of the picture.
    """

    styles: tuple[Tensor, ...]
    shares: Sequence[float]
    strokes: float
    keep_colours: bool = False
    strength: float = 1.0

    def at_strength(self, strength: float) -> tuple[Bound, float]:
        """Return the edit with the style's share at this strength; nothing is left to blend in."""
        return replace(self, strength=strength), float(strength > 0)

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield the result after each size, resized to the picture's."""
        whole, full = image[None], (image.shape[1], image.shape[2])
        canvas = last = torch.empty(0)
        for size in ladder(full):
            content = whole if size == full else resized(whole, size).clamp(0, 1)
            where = None if mask is None else F.interpolate(mask[None], size, mode="area")
            tones, styles = self._tones(content, size)
            extractor = TiledExtractor(self.network, size, where)
            target = self._target(extractor, tones, styles)
            if self._keeps(content):  # the range of luma in which every colour stays in [0, 1]
                low, high = content.amin(1, keepdim=True), content.amax(1, keepdim=True)
                target = replace(target, least=tones - low, most=tones + 1 - high)
            canvas = self.paint(self._first(canvas, last, tones, target, where), extractor, target, where)
            last = tones
            painted = content + (canvas - luma(content, BT709)) if self._keeps(content) else canvas
            yield resized(painted, full)[0].clamp(0, 1)

    def _first(self, canvas: Tensor, last: Tensor, tones: Tensor, target: Target, mask: Tensor | None) -> Tensor:
        """Return the first canvas: the last one enlarged, plus a share of the detail of `tones` that `last` lacks."""
        if not len(canvas):
            return tones.clone()
        size, kept = (tones.shape[2], tones.shape[3]), 1 - LOST * self.strength
        first = (resized(canvas, size) + kept * (tones - resized(last, size))).clamp_(0, 1)
        first = first if target.least is None else first.clamp_(target.least, target.most)
        return first if mask is None else torch.where(mask > 0, first, tones)

    def _target(self, extractor: TiledExtractor, tones: Tensor, styles: Sequence[Tensor]) -> Target:
        summaries = [self.summary(TiledExtractor(self.network, (s.shape[2], s.shape[3])), s) for s in styles]
        style_roughness = mixed([total_variation(style) for style in styles], self.shares)
        roughness = max(total_variation(tones).item(), style_roughness.item())
        target = target_of(self._blended(summaries), self.summary(extractor, tones), roughness + 1e-6)
        return replace(target, content=tones, style_share=STYLE_SHARE * self.strength, strength=self.strength)

    def _tones(self, content: Tensor, size: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
        """Return what is painted of a content, its colours or only its luma, and the same of the styles."""
        styles = [scaled_style(style, self.strokes * max(size)) for style in self.styles]
        if content.shape[1] == 3 and not self.keep_colours:
            return content, styles
        light, styles = luma(content, BT709), [luma(style, BT709) for style in styles]
        return light, [matched(style, light) for style in styles] if self.keep_colours else styles

    def _keeps(self, content: Tensor) -> bool:
        return self.keep_colours and content.shape[1] == 3

    def _blended(self, styles: Sequence[Summary]) -> Summary:
        return Summary(
            tuple(mixed(layer, self.shares) for layer in zip(*(style.grams for style in styles), strict=True)),
            mixed([style.mean for style in styles], self.shares),
            mixed([style.variance for style in styles], self.shares),
        )


@dataclass(frozen=True, kw_only=True)
class Textured(OptimisedPicture):
    """A texture that looks like a picture, its sample, and is `scale` times as wide and high."""

    scale: int = 1
    seamless: bool = True

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield the result after each size, resized to the texture's. The mask plays no part in it."""
        edge: Edge = "circular" if self.seamless else "replicate"
        full = image.shape[1] * self.scale, image.shape[2] * self.scale
        canvas = torch.empty(0)
        for size in ladder((image.shape[1], image.shape[2])):
            sample = resized(image[None], size).clamp(0, 1)
            wanted = size[0] * self.scale, size[1] * self.scale
            canvas = resized(canvas, wanted, edge).clamp(0, 1) if len(canvas) else self._noise(sample, wanted)
            extractor = TiledExtractor(self.network, wanted, edge=edge)
            style = self.summary(TiledExtractor(self.network, size), sample)
            target = target_of(style, self.summary(extractor, canvas), total_variation(sample).item() + 1e-6)
            canvas = self.paint(canvas, extractor, target)
            yield resized(canvas, full, edge)[0].clamp(0, 1)

    def _noise(self, sample: Tensor, size: tuple[int, int]) -> Tensor:
        """Return pixels of the sample, each from a random place."""
        batch = Batch(image=sample, seed=self.seed, step=0)
        pixels = sample.flatten(2)
        places = (batch.uniform(*size, stream="first canvas")[0] * pixels.shape[2]).long()
        return pixels[..., places]


def ladder(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the sizes (H, W) of a picture from the coarsest to its own, each twice the one before, rounded."""
    count = 0
    while max(size) / 2 ** (count + 1) >= COARSEST:
        count += 1
    return [(max(1, round(size[0] / 2**k)), max(1, round(size[1] / 2**k))) for k in range(count, -1, -1)]


def resized(image: Tensor, size: tuple[int, int], edge: Edge = "replicate") -> Tensor:
    """Return a picture (1, C, H, W) at another size, bicubic with antialias, not clipped.

    With the edge "circular" it continues at the opposite side.
    """
    if tuple(image.shape[2:]) == size:
        return image
    if edge == "circular":
        thrice = torch.cat([torch.cat([image] * 3, dim=2)] * 3, dim=3)
        rows, columns = (slice(side, 2 * side) for side in size)
        return resized(thrice, (3 * size[0], 3 * size[1]))[..., rows, columns].contiguous()
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)


def mixed(ones: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Return the mean of tensors, weighted by shares."""
    whole = sum(shares)
    return torch.stack([share / whole * one for share, one in zip(shares, ones, strict=True)]).sum(0)


def read_style(path: Path) -> Tensor:
    """Return a picture's colours as (1, C, H, W) in [0, 1]; `DataError` if it cannot be read."""
    return torch.from_numpy(unit(load_picture(path).pixels[..., :3])).permute(2, 0, 1)[None].contiguous()


def scaled_style(style: Tensor, side: float) -> Tensor:
    """Return a style whose longer side is `side` pixels, but at most twice its own."""
    share = min(2.0, side / max(style.shape[2:]))
    return resized(style, (max(1, round(style.shape[2] * share)), max(1, round(style.shape[3] * share)))).clamp(0, 1)


def matched(style: Tensor, light: Tensor) -> Tensor:
    """Return a style's luma with the mean and deviation of a content's (Gatys et al., 2017, section 6)."""
    deviation, mean = torch.std_mean(style, correction=0)
    wanted_deviation, wanted_mean = torch.std_mean(light, correction=0)
    return ((style - mean) / (deviation + 1e-6) * wanted_deviation + wanted_mean).clamp(0, 1)
