"""A subject cut out of its picture and put before a new background: what `background` and `cutout` bind.

The subject's colours are estimated where a pixel mixes it with the old background, and everything is composed in linear
light. Pixels that belong to the subject alone keep their bits; those that do not at all have the bits of the new
background.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from pinxit.colour import BT709, encoded, linear, luma
from pinxit.edits.bound import Layered
from pinxit.edits.engine import filled, split
from pinxit.edits.mask import rounded, unit
from pinxit.edits.nearest import strips
from pinxit.edits.subjects import Finder
from pinxit.errors import UsageError
from pinxit.images import Picture, resize
from pinxit.matting import foreground, light
from pinxit.matting.compose import Layer, dissolved, over

MODES = {1: "L", 3: "RGB"}
SAMPLES = 256
"""Pixels of each side from which the light of a scene is taken."""


class Backdrop(NamedTuple):
    """A new background: colours (H, W, C) at the depth of a picture, C 1 or 3, and alpha (H, W) float32."""

    colours: np.ndarray
    alpha: np.ndarray


Behind = Callable[[np.ndarray, np.ndarray], Backdrop]
"""Makes the background for a picture's colours (H, W, C), and its matte (H, W)."""


class Replaced(Layered):
    """The subject, which `finder` finds, before what `behind` makes.

    `light` in [0, 1] is how far the subject is brought into the light of the new background, `shadow` in [0, 1] how
    much of the shadows on the old one falls on the new.
    """

    def __init__(self, finder: Finder, behind: Behind, light: float = 0.0, shadow: float = 0.0) -> None:
        self.finder, self.behind, self.weights = finder, behind, finder.weights
        self.light, self.shadow = light, shadow

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of the matte, and of the layers beside the picture: floats of them, and the result."""
        planes = 36 if self.shadow else 24
        return self.finder.bytes_for(size) + foreground.bytes_for(size, 3) + planes * math.prod(size)

    def compose(self, picture: Picture, share: np.ndarray) -> Picture:
        """Return the subject before the new background, blended into the picture by `share`."""
        colours, alpha = split(picture)
        shown = colours if alpha is None else filled(colours, alpha)
        depth = colours.dtype
        matte = unit(rounded(self.finder.matte(picture), depth))  # what is 1 in the result's alpha is 1 here
        own = np.broadcast_to(np.ones((1, 1), np.float32) if alpha is None else unit(alpha), matte.shape)
        new = self.behind(shown, matte)
        gain = self._gain(shown, matte, new.colours) if self.light else None
        clear = self._clear(shown, matte) if self.shadow else None
        layers = _Layers(colours, shown, matte, own, share, new, self.finder.cleaner(picture), gain, clear, self.shadow)
        channels = max(colours.shape[2], new.colours.shape[2])
        layered = alpha is not None or bool((new.alpha < 1).any())
        result = np.empty((*matte.shape, 4 if layered else channels), depth)

        def seen(rows: np.ndarray, columns: np.ndarray) -> Tensor:
            return _light(shown[rows[:, None], columns])

        for part in foreground.unmixed(seen, matte):
            values, opacity = layers.at(part)
            result[part.rows, part.columns, : 3 if layered else channels] = values
            if layered:
                result[part.rows, part.columns, 3] = opacity
        return replace(picture, pixels=result, mode=MODES[channels] + "A" * layered)

    def _gain(self, shown: np.ndarray, matte: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Return the factors that bring the subject into the light of the new background, (C, 1, 1)."""
        rows, columns = (slice(None, None, max(1, side // SAMPLES)) for side in matte.shape)
        old, other = (_light(plane[rows, columns]).flatten(1).T.numpy() for plane in (shown, new))
        weights = self.finder.lit(matte)[rows, columns].ravel()
        return light.gain(old, weights, other, self.light)[:, None, None]

    def _clear(self, shown: np.ndarray, matte: np.ndarray) -> np.ndarray:
        brightness = np.empty(matte.shape, np.float32)
        for strip in strips(matte.shape):
            brightness[strip] = luma(_light(shown[strip]), BT709)[0].numpy()
        return light.level(brightness, 1 - matte)


@dataclass(frozen=True)
class _Layers:
    """All that a part of the result is made of: planes of the whole picture, and what is done to them."""

    colours: np.ndarray
    shown: np.ndarray
    matte: np.ndarray
    own: np.ndarray
    share: np.ndarray
    new: Backdrop
    clean: Callable[[Tensor], Tensor]
    gain: np.ndarray | None
    clear: np.ndarray | None
    shadow: float

    def at(self, part: foreground.Part) -> tuple[np.ndarray, np.ndarray]:
        """Return the colours (h, w, C) and the alpha (h, w) of a part, at the picture's depth."""
        here = part.rows, part.columns
        matte, own, share, density = (plane[here] for plane in (self.matte, self.own, self.share, self.new.alpha))
        behind, opacity = self.new.colours[here], matte * own
        cut = over(Layer(self._subject(part), _plane(opacity)), Layer(self._behind(part), _plane(density)))
        mixed = dissolved(Layer(_light(self.shown[here]), _plane(own)), cut, _plane(share))
        channels = max(self.colours.shape[2], behind.shape[2])
        depth = self.colours.dtype
        values = rounded(encoded(mixed.colours).clamp(0, 1).expand(channels, -1, -1).movedim(0, 2).numpy(), depth)
        if self.clear is None:
            np.copyto(values, behind, where=((opacity == 0) & (density > 0) & (share == 1))[..., None])
        kept = share == 0 if self.gain is not None else (share == 0) | (opacity == 1)
        np.copyto(values, self.colours[here], where=kept[..., None])
        return values, rounded(mixed.alpha[0].clamp(0, 1).numpy(), depth)

    def _subject(self, part: foreground.Part) -> Tensor:
        here = part.rows, part.columns
        subject = torch.where(_plane(self.matte[here]) == 1, _light(self.shown[here]), self.clean(part.subject))
        return subject if self.gain is None else (subject * torch.from_numpy(self.gain)).clamp(0, 1)

    def _behind(self, part: foreground.Part) -> Tensor:
        """Return the new background, with the shadows that lie on the old one."""
        behind = _light(self.new.colours[part.rows, part.columns])
        if self.clear is None:
            return behind
        left = light.shade(luma(part.background, BT709)[0].numpy(), self.clear[part.rows, part.columns])
        return behind * (1 - self.shadow * (1 - torch.from_numpy(left)))


class MatteOnly(Layered):
    """The matte itself, as a grey picture."""

    def __init__(self, finder: Finder) -> None:
        self.finder, self.weights = finder, finder.weights

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of the matte."""
        return self.finder.bytes_for(size) + 4 * math.prod(size)

    def compose(self, picture: Picture, share: np.ndarray) -> Picture:
        """Return the matte times the picture's own alpha."""
        if (share < 1).any():
            raise UsageError("--only matte gives the whole matte: leave out masks, and --strength")
        colours, alpha = split(picture)
        matte = self.finder.matte(picture)
        matte = matte if alpha is None else matte * unit(alpha)
        return replace(picture, pixels=rounded(matte, colours.dtype)[..., None], mode="L")


def nothing(colours: np.ndarray, matte: np.ndarray) -> Backdrop:
    """Return a background that is transparent."""
    clear = np.zeros((1, 1), np.float32)
    return Backdrop(np.broadcast_to(np.zeros(1, colours.dtype), (*matte.shape, 1)), np.broadcast_to(clear, matte.shape))


def plain(colour: tuple[int, int, int]) -> Behind:
    """Return what makes a background of one colour of 8 bits."""
    values = unit(np.array(colour if len(set(colour)) > 1 else colour[:1], np.uint8))
    return lambda colours, matte: _opaque(np.broadcast_to(rounded(values, colours.dtype), (*matte.shape, len(values))))


def scene(picture: Picture) -> Behind:
    """Return what makes a background of a picture: enlarged or reduced to cover, and cut on both sides equally."""
    planes, alpha = split(picture)
    given = planes if alpha is None else picture.pixels

    def made(colours: np.ndarray, matte: np.ndarray) -> Backdrop:
        fitted = _covering(given, matte.shape)
        deep = rounded(unit(fitted), colours.dtype) if fitted.dtype != colours.dtype else fitted
        if alpha is None:
            return _opaque(deep)
        return Backdrop(deep[..., : planes.shape[2]], unit(fitted[..., 3]))

    return made


def blurred(sigma: float) -> Behind:
    """Return what makes a background of the old one out of focus, by a Gaussian of `sigma` pixels, in linear light.

    Each pixel counts by its share of the background, so that the subject does not bleed into it.
    """

    def made(colours: np.ndarray, matte: np.ndarray) -> Backdrop:
        weight = 1 - matte
        total = gaussian_filter(weight, sigma, mode="nearest").clip(1e-6)
        result = np.empty_like(colours)
        for channel in range(colours.shape[2]):
            light = linear(unit(colours[..., channel])).astype(np.float32) * weight
            mean = gaussian_filter(light, sigma, mode="nearest") / total
            result[..., channel] = rounded(encoded(mean.clip(0, 1)), colours.dtype)
        return _opaque(result)

    return made


def _opaque(colours: np.ndarray) -> Backdrop:
    return Backdrop(colours, np.broadcast_to(np.ones((1, 1), np.float32), colours.shape[:2]))


def _covering(pixels: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return a picture (h, w, C) at `size` = (H, W), the middle part of its shape."""
    high, wide = pixels.shape[:2]
    ratio = min(high / size[0], wide / size[1])
    tall, broad = size[0] * ratio, size[1] * ratio
    left, top = (wide - broad) / 2, (high - tall) / 2
    return resize(pixels, (size[0], size[1]), (left, top, left + broad, top + tall))


def _light(pixels: np.ndarray) -> Tensor:
    """Return pixels (h, w, C) as linear light (C, h, w) float32."""
    values: Any = linear(torch.from_numpy(unit(pixels)).movedim(2, 0))
    return values.contiguous()


def _plane(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))[None]
