"""A subject cut out of its picture and put before a new background: what `background` and `cutout` bind.

The subject's colours are estimated where a pixel mixes it with the old background, and everything is composed in linear
light. Pixels that belong to the subject alone keep their bits; those that do not at all have the bits of the new
background.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from pinxit.colour import encoded, linear
from pinxit.edits.bound import Layered
from pinxit.edits.engine import filled, split
from pinxit.edits.mask import rounded, unit
from pinxit.edits.subjects import Finder
from pinxit.errors import UsageError
from pinxit.images import Picture, resize
from pinxit.matting import foreground
from pinxit.matting.compose import Layer, dissolved, over

MODES = {1: "L", 3: "RGB"}


class Backdrop(NamedTuple):
    """A new background: colours (H, W, C) at the depth of a picture, C 1 or 3, and alpha (H, W) float32."""

    colours: np.ndarray
    alpha: np.ndarray


Behind = Callable[[np.ndarray, np.ndarray], Backdrop]
"""Makes the background for a picture's colours (H, W, C), and its matte (H, W)."""


class Replaced(Layered):
    """The subject, which `finder` finds, before what `behind` makes."""

    def __init__(self, finder: Finder, behind: Behind) -> None:
        self.finder, self.behind, self.weights = finder, behind, finder.weights

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of the matte, and of the layers beside the picture: floats of them, and the result."""
        return self.finder.bytes_for(size) + foreground.bytes_for(size, 3) + 24 * math.prod(size)

    def compose(self, picture: Picture, share: np.ndarray) -> Picture:
        """Return the subject before the new background, blended into the picture by `share`."""
        colours, alpha = split(picture)
        shown = colours if alpha is None else filled(colours, alpha)
        depth = colours.dtype
        matte = unit(rounded(self.finder.matte(picture), depth))  # what is 1 in the result's alpha is 1 here
        opaque = np.ones((1, 1), np.float32)
        own = np.broadcast_to(opaque if alpha is None else unit(alpha), matte.shape)
        new = self.behind(shown, matte)
        channels = max(colours.shape[2], new.colours.shape[2])
        layered = alpha is not None or bool((new.alpha < 1).any())
        result = np.empty((*matte.shape, 4 if layered else channels), depth)

        def light(rows: np.ndarray, columns: np.ndarray) -> Tensor:
            return _light(shown[rows[:, None], columns])

        clean = self.finder.cleaner(picture)
        for part in foreground.unmixed(light, matte):
            here = part.rows, part.columns
            source, behind = np.broadcast_to(colours[here], (*matte[here].shape, channels)), new.colours[here]
            subject = torch.where(_plane(matte[here]) == 1, _light(shown[here]), clean(part.subject))
            opacity = matte[here] * own[here]
            cut = over(Layer(subject, _plane(opacity)), Layer(_light(behind), _plane(new.alpha[here])))
            mixed = dissolved(Layer(_light(shown[here]), _plane(own[here])), cut, _plane(share[here]))
            values = rounded(encoded(mixed.colours).clamp(0, 1).expand(channels, -1, -1).movedim(0, 2).numpy(), depth)
            np.copyto(values, behind, where=((opacity == 0) & (new.alpha[here] > 0) & (share[here] == 1))[..., None])
            np.copyto(values, source, where=((opacity == 1) | (share[here] == 0))[..., None])
            result[here][..., : 3 if layered else channels] = values
            if layered:
                result[here][..., 3] = rounded(mixed.alpha[0].clamp(0, 1).numpy(), depth)
        return replace(picture, pixels=result, mode=MODES[channels] + "A" * layered)


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
