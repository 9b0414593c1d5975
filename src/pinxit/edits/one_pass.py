"""Styles painted in one pass, by the network that ships with pinxit or a run of `pinxit train style`.

Distant parts of a picture depend on each other only through the mean and deviation of feature maps. For the frozen
encoder, these statistics are summed window by window, exactly. For a network of one style, they come from one pass over
the picture, which is reduced if it is large. With these known, tiles are plain convolutions and show no seams.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from pinxit import hardware
from pinxit.colour import BT709, luma, pixel_luma
from pinxit.edits.bound import Bound
from pinxit.edits.mask import unit
from pinxit.edits.runners import OnnxRunner, runner_of
from pinxit.edits.tiles import Box, cut
from pinxit.errors import UsageError
from pinxit.images import scaled
from pinxit.models import chosen
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

WINDOW = 512
MEASURED = 1 << 20
"""A larger picture is reduced to this many pixels before the statistics of the layers are computed."""


@dataclass(frozen=True)
class Style:
    """The styles to paint in, as pictures (h, w, C) with their shares, and how to paint.

    `strokes` is the longer side of a style, as the network gets it, divided by that of the picture.
    """

    pictures: Sequence[np.ndarray] = ()
    shares: Sequence[float] = ()
    strokes: float = 1.0
    strength: float = 1.0
    keep_colours: bool = False

    def resized(self, size: Sequence[int]) -> list[np.ndarray]:
        """Return the styles as the network gets them for a picture of `size` = (H, W): reduced if larger."""
        return [reduced(picture, (self.strokes * max(size)) ** 2) for picture in self.pictures]

    def matched(self, picture: np.ndarray, own: Statistics) -> np.ndarray:
        """Return a style as it is, or its luma (h, w, 1) with the content's mean and deviation if colours are kept.

        `own` are the statistics of the content as the network gets it.
        """
        if not self.keep_colours:
            return picture
        light = pixel_luma(unit(picture))
        mean, deviation = (float(part) for part in own[0, :, 0, 0, 0])
        shifted = (light - light.mean()) / (light.std() + 1e-6) * deviation + mean
        return shifted.clip(0, 1).astype(np.float32)[..., None]


@dataclass(frozen=True, kw_only=True)
class OnePass(Bound):
    """A picture painted in one pass, by `rows`. Grey stays grey, and colours stay if they are kept."""

    style: Style
    weights: Mapping[str, str] = field(default_factory=dict)
    inputs: ClassVar[Collection[str]] = ()
    """The inputs of the network beside the picture: none, or style and strength."""

    @abstractmethod
    def rows(self, images: Tensor) -> Tensor:
        """Return pictures (N, 3, H, W) painted, of the same size."""

    def network_input(self, images: Tensor) -> Tensor:
        """Return the network's input for pictures (N, 1 or 3, H, W): the luma in three channels if colours are kept."""
        shown = luma(images, BT709) if self.style.keep_colours else images
        return shown.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)

    def at_strength(self, strength: float) -> tuple[Bound, float]:
        """Return the edit at this strength if the network takes a strength; then nothing is left to blend in."""
        if "strength" not in self.inputs:
            return self, strength
        return replace(self, style=replace(self.style, strength=strength)), float(strength > 0)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture painted, in [0, 1]."""
        painted = self.rows(self.network_input(image[None]))[0].float().clamp(0, 1)
        if len(image) == 1:
            return luma(painted, BT709)
        return relit(image, luma(painted, BT709)) if self.style.keep_colours else painted


@dataclass(frozen=True, kw_only=True)
class TorchStyle(OnePass):
    """A network in torch."""

    hardware: hardware.Hardware
    stride = STRIDE

    def pixel_input(self, pixels: np.ndarray) -> Tensor:
        """Return the network's input for pixels (H, W, C)."""
        return self.network_input(torch.from_numpy(unit(pixels)).permute(2, 0, 1)[None].to(self.hardware.device))


@dataclass(frozen=True, kw_only=True)
class TorchOneStyle(TorchStyle):
    """A network that has learned one style.

    `known` are the statistics of its layers for the whole picture, and `whole` is the painted picture if it is small.
    """

    painter: TransformNet
    known: Sequence[Statistics] = ()
    whole: Tensor | None = None

    @property
    def radius(self) -> int:  # type: ignore[override]
        """The reach of the network."""
        return self.painter.radius

    def for_picture(self, pixels: np.ndarray) -> TorchOneStyle:
        """Return the edit with the statistics of this picture."""
        small = reduced(pixels, MEASURED)
        painted = replace(self, known=()).painted(self.pixel_input(small))
        return replace(self, known=painted.statistics, whole=painted.image if small is pixels else None)

    def rows(self, images: Tensor) -> Tensor:
        """Return pictures painted, or the whole one if it is known already."""
        if self.whole is None or self.whole.shape[-2:] != images.shape[-2:]:
            return self.painted(images).image
        return self.whole

    def painted(self, images: Tensor) -> Painted:
        """Return pictures (N, 3, H, W) painted."""
        with torch.no_grad(), self.hardware.autocast():
            return self.painter.paint(images, self.known)


@dataclass(frozen=True, kw_only=True)
class TorchAnyStyle(TorchStyle):
    """A network that paints in any style; the strength leads from the picture's own statistics to those of the style.

    `own` are the statistics of the encoder's maps for the whole picture, and `wanted` those that the painting should
    have. `cached` holds the statistics of the styles for the size of the last picture.
    """

    encoder: StyleEncoder
    decoder: StyleDecoder
    own: Sequence[Statistics] = ()
    wanted: Sequence[Statistics] = ()
    cached: dict[tuple[int, int], list[list[Statistics]]] = field(default_factory=dict)
    inputs = ("style", "strength")

    @property
    def radius(self) -> int:  # type: ignore[override]
        """The reach of encoder and decoder."""
        return self.decoder.radius

    def for_picture(self, pixels: np.ndarray) -> TorchAnyStyle:
        """Return the edit with the statistics of this picture and those that its painting should have."""
        own = self.whole_statistics(pixels)
        return replace(self, own=own, wanted=toward(own, self.style_statistics(pixels, own), self.style.strength))

    def rows(self, images: Tensor) -> Tensor:
        """Return pictures painted."""
        with torch.no_grad(), self.hardware.autocast():
            painted = self.decoder(self.encoder(images), self.own, self.wanted)
        return cropped(painted, images)

    def style_statistics(self, pixels: np.ndarray, own: Sequence[Statistics]) -> list[Statistics]:
        """Return the styles' statistics, mixed by their shares."""
        high, wide = size = pixels.shape[:2]
        if self.style.keep_colours or (high, wide) not in self.cached:  # all frames of a film have one size
            self.cached.clear()
            shown = [self.style.matched(picture, own[0]) for picture in self.style.resized(size)]
            self.cached[high, wide] = [self.whole_statistics(picture) for picture in shown]
        each = self.cached[high, wide]
        shares = torch.tensor(self.style.shares) / sum(self.style.shares)
        return [
            torch.einsum("s,s...->...", shares.to(parts[0].device), torch.stack(parts))
            for parts in zip(*each, strict=True)
        ]

    def whole_statistics(self, pixels: np.ndarray) -> list[Statistics]:
        """Return the statistics of a whole picture (H, W, C) and of its maps, summed over windows with a halo.

        They equal the statistics of the picture in one piece, except for the rounding of sums.
        """
        picture = Box(0, 0, *pixels.shape[:2])
        sums: list[Tensor] = []
        for tile in cut(picture, WINDOW, STRIDE):
            window = tile.with_halo(StyleEncoder.radius, picture)
            with torch.no_grad(), self.hardware.autocast():
                maps = self.encoder(self.pixel_input(window.of(pixels)))
            parts = [powers(inside(part, tile.inside(window), maps[0])) for part in maps]
            sums = [before + part for before, part in zip(sums, parts, strict=True)] if sums else parts
        return [from_powers(*(part[:, :2] / part[:, 2:]).float().unbind(1)) for part in sums]


@dataclass(frozen=True, kw_only=True)
class OnnxStyle(OnePass):
    """A file of `pinxit export`. It needs the whole picture, and a style unless it has learned its own."""

    onnx: OnnxRunner

    @property
    def inputs(self) -> Collection[str]:  # type: ignore[override]
        """Whether the file takes a style and a strength."""
        return self.onnx.inputs

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of a run on a picture, or on a style that is larger, in bytes."""
        pixels = [size, *(picture.shape[:2] for picture in self.style.resized(size))]
        return self.onnx.bytes_per_pixel * max(map(math.prod, pixels))

    def rows(self, images: Tensor) -> Tensor:
        """Return the whole picture painted."""
        if "style" not in self.inputs:
            return self.onnx.rows(images, {})
        (picture,) = self.style.resized(images.shape[2:])
        shown = self.style.matched(picture, statistics(padded(images)))
        return self.onnx.rows(images, {"style": unit(shown), "strength": self.style.strength})


def one_pass(model: Path | None, style: Style, device: str, runtime: str) -> OnePass:
    """Return the edit by the network that ships with pinxit, or by a model in its place.

    `DataError` if the file holds no such model, `UsageError` if it needs a style, or has its own and is given another.
    """

    place, weights = chosen("style-any-v2", model)

    def in_torch(objective: OneStyle | AnyStyle) -> OnePass:
        computing = hardware.choose(device)
        network = next(objective.networks[name] for name in objective.model)
        network.to(computing.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(network, TransformNet):
            return TorchOneStyle(style=style, weights=weights, hardware=computing, painter=network)
        encoder, decoder = style_encoder(computing.device), cast(StyleDecoder, network)
        return TorchAnyStyle(style=style, weights=weights, hardware=computing, encoder=encoder, decoder=decoder)

    def in_onnx(exported: Model) -> OnePass:
        if len(style.pictures) > 1:
            raise UsageError(
                f"{exported.path.name}: an exported network paints in one style at a time; only torch can blend several"
            )
        return OnnxStyle(style=style, weights=weights, onnx=OnnxRunner(exported))

    edit = runner_of(place, "style", runtime, in_torch, in_onnx)
    if "style" in edit.inputs and not style.pictures:
        raise UsageError("no style is given: --style names a picture")
    if style.pictures and "style" not in edit.inputs:
        raise UsageError(f"{model} has learned one style; leave --style out")
    return edit


def inside(part: Tensor, box: Box, whole: Tensor) -> Tensor:
    """Return the part of a map inside a box of the picture; its ends are rounded up to whole values of the map."""
    stride = whole.shape[2] // part.shape[2]
    bottom, right = (-(-side // STRIDE) * STRIDE for side in (box.bottom, box.right))
    return part[..., box.top // stride : bottom // stride, box.left // stride : right // stride]


def powers(maps: Tensor) -> Tensor:
    """Return the sum, the sum of squares and the number of each channel's values, (1, 3, C) float64."""
    values = maps.float()
    count = torch.full_like(values[:, :, 0, 0], values.shape[2] * values.shape[3])
    return torch.stack([values.sum((2, 3)), values.square().sum((2, 3)), count], dim=1).double()


def reduced(pixels: np.ndarray, most: float) -> np.ndarray:
    """Return a picture (H, W, C) reduced to `most` pixels, or the picture itself if it has no more."""
    share = (most / (pixels.shape[0] * pixels.shape[1])) ** 0.5
    return scaled(pixels, min(1.0, share))


def relit(image: Tensor, light: Tensor) -> Tensor:
    """Return a picture (3, H, W) with another luma and its own colours, as far as these stay in [0, 1]."""
    change = light - luma(image, BT709)
    return image + change.clamp(-image.amin(0, keepdim=True), 1 - image.amax(0, keepdim=True))
