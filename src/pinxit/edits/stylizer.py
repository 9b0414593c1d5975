"""Styles painted in one pass, by a network that comes with pinxit or a run of `pinxit train style`.

What joins distant parts of a picture in such a network is mean and deviation of maps. Those of the frozen encoder's
maps are gathered window by window, exactly; those of the layers of a net of one style come from one pass over the
picture, made small if it is large. Then tiles are convolutions with numbers that are known, and there are no seams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from pinxit import hardware, models
from pinxit.colour import BT709, luma, pixel_luma
from pinxit.edits.bound import Bound
from pinxit.edits.exported import placed, read, through
from pinxit.edits.mask import unit
from pinxit.edits.tiles import Box, cut
from pinxit.errors import UsageError
from pinxit.images import load_image, resize
from pinxit.models import chosen, is_exported
from pinxit.nets.stylizer import (
    STRIDE,
    Painted,
    Statistics,
    StyleDecoder,
    StyleEncoder,
    TransformNet,
    cropped,
    from_powers,
    padded,
    statistics,
    toward,
)
from pinxit.objectives.style import AnyStyle, OneStyle, style_encoder
from pinxit.runtime import Model

if TYPE_CHECKING:
    from pinxit.edits.style import Stylize

WINDOW = 512
SEEN = 1 << 20
"""Pixels that a picture is made to have before the layers' statistics are taken, if it has more."""


@dataclass(frozen=True, kw_only=True)
class OnePass(Bound):
    """What all have in common: the colours that go in and come out."""

    keep_colours: bool = False
    weights: Mapping[str, str] = field(default_factory=dict)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture painted, in [0, 1]; grey stays grey, and colours stay where they are kept."""
        painted = self.made(image).clamp(0, 1)
        if len(image) == 1:
            return luma(painted, BT709)
        return relit(image, luma(painted, BT709)) if self.keep_colours else painted

    def given(self, image: Tensor) -> Tensor:
        """Return what the network is given of pictures (N, 1 or 3, H, W): three channels; luma where colours stay."""
        shown = luma(image, BT709) if self.keep_colours else image
        return shown.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)

    def made(self, image: Tensor) -> Tensor:
        """Return what the network makes of a picture (C, H, W), C 1 or 3: (3, H, W) float32."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TrainedPass(OnePass):
    """By a network in torch."""

    hardware: hardware.Hardware
    stride = STRIDE

    def planes(self, pixels: np.ndarray) -> Tensor:
        """Return what the network is given of pixels (H, W, C)."""
        return self.given(torch.from_numpy(unit(pixels)).permute(2, 0, 1)[None].to(self.hardware.device))


@dataclass(frozen=True, kw_only=True)
class OneStylePass(TrainedPass):
    """A picture in the one style that a net has learned.

    `known` are the statistics of the net's layers in the whole picture, and `whole` is that painted if it is small.
    """

    painter: TransformNet
    known: Sequence[Statistics] = ()
    whole: Tensor | None = None

    @property
    def radius(self) -> int:  # type: ignore[override]
        """How far the net sees."""
        return self.painter.radius

    def fitted(self, pixels: np.ndarray) -> OneStylePass:
        """Return the edit with the statistics of this picture."""
        seen = smaller(pixels, SEEN)
        painted = replace(self, known=()).painted(self.planes(seen))
        return replace(self, known=painted.statistics, whole=painted.image[0] if seen is pixels else None)

    def made(self, image: Tensor) -> Tensor:
        """Return the picture painted, or what is known of it already."""
        if self.whole is None or self.whole.shape[-2:] != image.shape[-2:]:
            return self.painted(self.given(image[None])).image[0].float()
        return self.whole.float()

    def painted(self, image: Tensor) -> Painted:
        """Return a picture (1, 3, H, W) painted."""
        with torch.no_grad(), self.hardware.autocast():
            return self.painter.paint(image, self.known)


@dataclass(frozen=True, kw_only=True)
class AnyStylePass(TrainedPass):
    """A picture in styles that it is shown, (h, w, C) each, at a strength between its own statistics and theirs.

    `own` and `wanted` are the statistics of the encoder's maps in the whole picture, and those that they are to have.
    `looked` remembers those of the styles, as they were shown for the last picture of a size.
    """

    encoder: StyleEncoder
    decoder: StyleDecoder
    styles: Sequence[np.ndarray]
    shares: Sequence[float]
    strokes: float = 1.0
    strength: float = 1.0
    own: Sequence[Statistics] = ()
    wanted: Sequence[Statistics] = ()
    looked: dict[tuple[int, int], list[list[Statistics]]] = field(default_factory=dict)

    @property
    def radius(self) -> int:  # type: ignore[override]
        """How far encoder and decoder see."""
        return self.decoder.radius

    def tempered(self, strength: float) -> tuple[Bound, float]:
        """Return the edit at this strength; nothing is left to be mixed."""
        return replace(self, strength=strength), float(strength > 0)

    def fitted(self, pixels: np.ndarray) -> AnyStylePass:
        """Return the edit with the statistics of this picture, and those that it is to have."""
        own = self.gathered(pixels)
        return replace(self, own=own, wanted=toward(own, self.of_styles(pixels, own), self.strength))

    def made(self, image: Tensor) -> Tensor:
        """Return the picture painted."""
        with torch.no_grad(), self.hardware.autocast():
            painted = self.decoder(self.encoder(self.given(image[None])), self.own, self.wanted)
        return cropped(painted, image)[0].float()

    def of_styles(self, pixels: np.ndarray, own: Sequence[Statistics]) -> list[Statistics]:
        """Return the styles' statistics, mixed by their shares."""
        high, wide = size = pixels.shape[:2]
        if self.keep_colours or (high, wide) not in self.looked:  # a film's frames are of one size
            self.looked.clear()
            shown = [shown_style(style, size, self.strokes) for style in self.styles]
            lit = [in_light_of(style, own[0]) if self.keep_colours else style for style in shown]
            self.looked[high, wide] = [self.gathered(style) for style in lit]
        each = self.looked[high, wide]
        shares = torch.tensor(self.shares) / sum(self.shares)
        return [
            torch.einsum("s,s...->...", shares.to(parts[0].device), torch.stack(parts))
            for parts in zip(*each, strict=True)
        ]

    def gathered(self, pixels: np.ndarray) -> list[Statistics]:
        """Return the statistics of a whole picture (H, W, C) and of its maps, from windows that see their surroundings.

        They are those of the picture in one piece, but for the rounding of sums.
        """
        picture = Box(0, 0, *pixels.shape[:2])
        sums: list[Tensor] = []
        for tile in cut(picture, WINDOW, STRIDE):
            window = tile.with_halo(StyleEncoder.radius, picture)
            with torch.no_grad(), self.hardware.autocast():
                maps = self.encoder(self.planes(window.of(pixels)))
            parts = [powers(inside(part, tile.inside(window), maps[0])) for part in maps]
            sums = [before + part for before, part in zip(sums, parts, strict=True)] if sums else parts
        return [from_powers(*(part[:, :2] / part[:, 2:]).float().unbind(1)) for part in sums]


@dataclass(frozen=True, kw_only=True)
class ExportedPass(OnePass):
    """By a file of `pinxit export`, which sees the whole picture, and a style (h, w, C) if it has none of its own."""

    model: Model
    style: np.ndarray | None = None
    strokes: float = 1.0
    strength: float = 1.0

    def tempered(self, strength: float) -> tuple[Bound, float]:
        """Return the edit at this strength, if the file can be told it."""
        if "strength" not in self.model.inputs:
            return self, strength
        return replace(self, strength=strength), float(strength > 0)

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return what a run holds, by what the file says of itself: it looks at the picture and at the style."""
        style = 0 if self.style is None else math.prod(self.shown(size).shape[:2])
        return self.model.bytes_per_pixel * max(math.prod(size), style)

    def made(self, image: Tensor) -> Tensor:
        """Return the whole picture painted."""
        given = self.given(image[None])
        told: dict[str, np.ndarray | float] = {}
        if self.style is not None:
            style = self.shown(image.shape[1:])
            own = statistics(padded(given))
            told = {"style": unit(in_light_of(style, own) if self.keep_colours else style), "strength": self.strength}
        return through(self.model, given[0], told)

    def shown(self, size: Sequence[int]) -> np.ndarray:
        """Return the style as it is shown for a picture of `size` = (H, W)."""
        if self.style is None:
            raise ValueError("a network that has learned one style is shown none")
        return shown_style(self.style, size, self.strokes)


def load(settings: Stylize, device: str) -> OnePass:
    """Return what a model, or else the network that comes with pinxit, makes of the settings.

    `DataError` if the model is none, `UsageError` if it has a style of its own and others are asked for, or needs some.
    """
    place, weights = chosen("style-any-v2", settings.model)
    place = placed(place, settings.runtime)
    if is_exported(place):
        return replace(exported(settings, read(place, "style")), weights=weights)
    objective = cast(OneStyle | AnyStyle, models.load(place, "style").objective)
    _check_styles(settings, isinstance(objective, AnyStyle))
    computing = hardware.choose(device)
    network = next(objective.networks[name] for name in objective.model)
    network.to(computing.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(objective, OneStyle):
        return OneStylePass(
            hardware=computing, keep_colours=settings.keep_colours, weights=weights, painter=objective.painter
        )
    return AnyStylePass(
        hardware=computing,
        keep_colours=settings.keep_colours,
        weights=weights,
        encoder=style_encoder(computing.device),
        decoder=objective.decoder,
        styles=[load_image(path)[..., :3] for path in settings.style],
        shares=settings.blend or (1.0,) * len(settings.style),
        strokes=settings.strokes,
    )


def exported(settings: Stylize, model: Model) -> ExportedPass:
    """Return what an exported model makes of the settings; `UsageError` as for `load`, and for several styles."""
    _check_styles(settings, "style" in model.inputs)
    if len(settings.style) > 1:
        raise UsageError(f"{model.path.name}: an exported network paints in one style; torch blends several")
    style = load_image(settings.style[0])[..., :3] if settings.style else None
    return ExportedPass(keep_colours=settings.keep_colours, model=model, style=style, strokes=settings.strokes)


def _check_styles(settings: Stylize, wanted: bool) -> None:
    """Raise if a style is missing, or is asked for where one is learned."""
    if wanted and not settings.style:
        raise UsageError("in which style? --style names a picture")
    if settings.style and not wanted:
        raise UsageError(f"{settings.model} has learned one style; leave --style away")


def shown_style(style: np.ndarray, size: Sequence[int], strokes: float) -> np.ndarray:
    """Return a style (h, w, C) as it is shown for a picture of `size` = (H, W): made smaller if it is much larger."""
    return smaller(style, (strokes * max(size)) ** 2)


def in_light_of(style: np.ndarray, own: Statistics) -> np.ndarray:
    """Return a style's luma (h, w, 1) with the mean and deviation of the content's, whose statistics these are."""
    light = pixel_luma(unit(style))
    mean, deviation = (float(part) for part in own[0, :, 0, 0, 0])
    matched = (light - light.mean()) / (light.std() + 1e-6) * deviation + mean
    return matched.clip(0, 1).astype(np.float32)[..., None]


def inside(part: Tensor, box: Box, whole: Tensor) -> Tensor:
    """Return what of a map lies in a box of the picture, whose sides are rounded up to whole values of it."""
    stride = whole.shape[2] // part.shape[2]
    bottom, right = (-(-side // STRIDE) * STRIDE for side in (box.bottom, box.right))
    return part[..., box.top // stride : bottom // stride, box.left // stride : right // stride]


def powers(maps: Tensor) -> Tensor:
    """Return sum, sum of squares and number of each channel's values, (1, 3, C) float64."""
    values = maps.float()
    count = torch.full_like(values[:, :, 0, 0], values.shape[2] * values.shape[3])
    return torch.stack([values.sum((2, 3)), values.square().sum((2, 3)), count], dim=1).double()


def smaller(pixels: np.ndarray, most: float) -> np.ndarray:
    """Return a picture (H, W, C) made to have so many pixels, or itself if it has no more."""
    share = (most / (pixels.shape[0] * pixels.shape[1])) ** 0.5
    if share >= 1:
        return pixels
    high, wide = (max(1, round(side * share)) for side in pixels.shape[:2])
    return resize(pixels, (high, wide))


def relit(image: Tensor, light: Tensor) -> Tensor:
    """Return a picture (3, H, W) with another luma and its own colours, as far as these stay in [0, 1]."""
    change = light - luma(image, BT709)
    return image + change.clamp(-image.amin(0, keepdim=True), 1 - image.amax(0, keepdim=True))
