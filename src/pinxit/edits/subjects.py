"""Ways to the matte of a picture: how much of each pixel belongs to the subject."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor

from pinxit.colour import linear, pixel_luma
from pinxit.edits.engine import split
from pinxit.edits.estimators import ESTIMATORS, Either, Estimator
from pinxit.edits.mask import Mask, light_of, unit
from pinxit.edits.nearest import strips
from pinxit.edits.resampling import repeated
from pinxit.errors import DataError, UsageError
from pinxit.images import Picture, at_most, load_picture, resize, scaled
from pinxit.matting import backdrop, closed_form, cut, guided

ALL = 0.999
"""The share of a reduced pixel that must be known for it to count as known."""
LIKE = 0.02
"""The least share of a picture's pixels that must be near a known background."""
CUT = 128
"""Pixels of the longer side at which a subject is cut out by colours and contours."""
MARGIN = 16
"""Pixels around the unknown ones that are looked at too."""
LEAST = np.float32(1 / 255)
PIXELS = 1 << 18
"""Mattes are solved for at most this many pixels, and brought to the size of larger pictures."""
QUICK = 1 << 16
"""The same for mattes that are guessed: measured, they are as good as with more, in a third of the time."""
TRUST, SHARP = 3e-3, 20
"""The weight of a guess of 0 or 1 beside the Laplacian, and the power by which it falls towards a half."""
SURE = 0.3
"""A guess this near to 0 or 1 is taken for sure, except for `UNSURE` of its longer side around where it is not."""
UNSURE = 0.02
BLACK, WHITE = 0.05, 0.95
"""The brightness of a trimap up to which it is background, and from which on it is subject."""
WAYS_IN_WORDS = "--matte, --trimap, --key, --plate, --click or --box say where the subject is"


class Finder(ABC):
    """A way to the matte of any number of pictures, with all it needs loaded."""

    weights: Mapping[str, str] = MappingProxyType({})
    """The SHA-256 of the shipped weights that it runs with, by name."""

    @abstractmethod
    def matte(self, picture: Picture) -> np.ndarray:
        """Return the matte (H, W) float32 in [0, 1], 1 where a pixel belongs to the subject alone.

        It is about the picture's colours: what is transparent in the picture itself is no part of it.
        """

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory that it takes for a picture of `size` = (H, W), the matte included: that of `between`."""
        return room_between(size)

    def lit(self, matte: np.ndarray) -> np.ndarray:
        """Return the weights (H, W) of the pixels that show the light of the scene: all count alike."""
        return np.broadcast_to(np.ones((1, 1), np.float32), matte.shape)

    def cleaner(self, picture: Picture) -> Callable[[Tensor], Tensor]:
        """Return what takes out of a subject's colours, linear light (C, h, w), what its background throws on it."""
        return lambda subject: subject


class Guessed(Finder):
    """The subject that an estimator guesses. In a picture with transparent parts, all that it shows is the subject."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator, self.weights = estimator, estimator.weights

    def matte(self, picture: Picture) -> np.ndarray:
        """Return the guess at the picture's size, with its edges found anew if it is coarse.

        Raises `DataError` if it is empty.
        """
        colours, alpha = split(picture)
        if alpha is not None and alpha.min() < alpha.max():
            return np.ones(alpha.shape, np.float32)
        guess = self.estimator.guess(colours)
        if not (guess > 1 - SURE).any():
            raise DataError(f"no {self.estimator.what} is found in it; {WAYS_IN_WORDS}")
        if self.estimator.fine:
            return _guided(guided.functions(_light(resize(colours, guess.shape)), guess), colours)
        return around(colours, guess, self.estimator.quick)

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of the guess or of what is found by it, whichever is more."""
        return max(self.estimator.room, super().bytes_for(size))


class Each(Finder):
    """A folder with a matte or a trimap for each picture: `jobs.chain` puts the one of a picture in its place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def matte(self, picture: Picture) -> np.ndarray:
        """Raise `UsageError`: nothing says which picture this is."""
        raise UsageError(f"{self.path} is a folder, for pictures that are files; give a file of it")


class Given(Finder):
    """A matte from a file: the brightness of a grey picture, or the alpha of a cut-out."""

    def __init__(self, path: Path) -> None:
        pixels = load_picture(path).pixels
        self.path, self.values = path, unit(pixels[..., 3]) if _is_cut_out(pixels) else light_of(pixels[..., :3])

    def matte(self, picture: Picture) -> np.ndarray:
        """Return the file's matte; `UsageError` if its size is not the picture's."""
        check_size(self.path, self.values, picture)
        return self.values

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of the matte alone."""
        return 4 * size[0] * size[1]


class Drawn(Finder):
    """A matte between what a trimap or scribbles say: white is subject, black is background, all else is unknown."""

    def __init__(self, path: Path) -> None:
        pixels = load_picture(path).pixels
        light, seen = light_of(pixels[..., :3]), unit(pixels[..., 3]) > 0.5 if pixels.shape[2] == 4 else True
        self.path, self.subject, self.background = path, (light >= WHITE) & seen, (light <= BLACK) & seen
        for found, what in ((self.subject, "white for the subject"), (self.background, "black for the background")):
            if not found.any():
                raise UsageError(f"{path.name}: a trimap needs some {what}; greys and transparent parts are unknown")

    def matte(self, picture: Picture) -> np.ndarray:
        """Return the matte; `UsageError` if the trimap's size is not the picture's."""
        check_size(self.path, self.subject, picture)
        return between(split(picture)[0], self.subject, self.background)


class Picked(Finder):
    """The subject at points (x, y), in a box (x, y, width, height), or both."""

    def __init__(self, points: Sequence[tuple[int, int]], box: tuple[int, int, int, int] | None) -> None:
        self.points, self.box = points, box

    def matte(self, picture: Picture) -> np.ndarray:
        """Return the matte of what colours and contours cut out; `UsageError` if a point or the box lies outside."""
        colours, _ = split(picture)
        high, wide = colours.shape[:2]
        small = unit(at_most(colours, CUT)).astype(np.float64)
        inside, seeds = np.zeros(small.shape[:2], bool), np.zeros(small.shape[:2], bool)
        ratios = small.shape[1] / wide, small.shape[0] / high
        left, top, broad, tall = self.box or (0, 0, wide, high)
        for x, y in (*self.points, (left, top)):
            if x >= wide or y >= high:
                raise UsageError(f"{x},{y} is outside the picture of {wide} x {high} pixels")
        (first, last), (upper, lower) = (
            (int(low * ratio), math.ceil((low + length) * ratio))
            for low, length, ratio in ((left, broad, ratios[0]), (top, tall, ratios[1]))
        )
        inside[upper:lower, first:last] = True
        for x, y in self.points:
            column, row = (int(place * ratio) for place, ratio in zip((x, y), ratios, strict=True))
            seeds[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
        return around(colours, cut.subject(small, inside, seeds & inside).astype(np.float32))


class Before(Finder):
    """A subject before a known background: found at a size of at most `PIXELS`, then guided to the picture's own."""

    def matte(self, picture: Picture) -> np.ndarray:
        """Return the matte; `DataError` if the background is not that of the picture."""
        colours, _ = split(picture)
        small = _at_most(colours)
        found = backdrop.matte(small, self._background(picture, small))
        if small.shape == colours.shape:
            return _settled(found)
        return _guided(guided.functions(linear(small), found), colours)

    @abstractmethod
    def _background(self, picture: Picture, small: np.ndarray) -> np.ndarray:
        """Return the background of a picture, like its colours `small` (h, w, C) float32."""


class Plate(Before):
    """A subject before a scene that another picture shows empty."""

    def __init__(self, path: Path) -> None:
        self.path, self.empty = path, load_picture(path)

    def _background(self, picture: Picture, small: np.ndarray) -> np.ndarray:
        check_size(self.path, self.empty.pixels, picture)
        scene = _at_most(split(self.empty)[0])
        scene = scene if scene.shape[2] == small.shape[2] else pixel_luma(scene)[..., None].repeat(small.shape[2], 2)
        if backdrop.is_like(small, scene) < LIKE:
            raise DataError(
                f"{self.path.name} does not show the scene of this picture, from the same place and as light"
            )
        return scene


class Screen(Before):
    """A subject before a screen of one colour; None for the colour that is most common along the edges."""

    def __init__(self, key: tuple[int, int, int] | None, tolerance: float) -> None:
        self.key, self.tolerance = None if key is None else unit(np.array(key, np.uint8)), tolerance

    def _background(self, picture: Picture, small: np.ndarray) -> np.ndarray:
        key = self._colour(small)
        found = backdrop.screen(small, key, self.tolerance)
        if backdrop.is_like(small, found) < LIKE:
            raise DataError(
                "hardly any pixel has the colour of the key; --key names another, or --key-tolerance widens it"
            )
        return found

    def _colour(self, colours: np.ndarray) -> np.ndarray:
        if self.key is None:
            return backdrop.border_colour(colours)
        return self.key if colours.shape[2] == 3 else pixel_luma(self.key[None, None])[0]

    def lit(self, matte: np.ndarray) -> np.ndarray:
        """Return the matte: the colour of a screen is not that of the light."""
        return matte

    def cleaner(self, picture: Picture) -> Callable[[Tensor], Tensor]:
        """Return what takes out the tint of the screen."""
        key: Tensor = linear(torch.from_numpy(self._colour(_at_most(split(picture)[0]))))
        return partial(backdrop.without_spill, key=key)


def _at_most(colours: np.ndarray) -> np.ndarray:
    """Return colours as float32, reduced to at most `PIXELS`."""
    return unit(scaled(colours, min(1.0, math.sqrt(PIXELS / math.prod(colours.shape[:2])))))


def _guided(fit: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return a matte at the size of colours (H, W, C) from the functions of a smaller one."""
    matte = np.empty(colours.shape[:2], np.float32)
    for strip in strips(matte.shape):
        matte[strip] = _settled(guided.applied(fit, _light(colours[strip]), strip, matte.shape))
    return matte


def _light(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, C) as linear light, in which a mixed pixel is a mixture."""
    light: np.ndarray = linear(unit(pixels)).astype(np.float32)
    return light


def _settled(matte: np.ndarray) -> np.ndarray:
    """Return a matte whose values within `LEAST` of 0 and 1 are 0 and 1, because solvers are never exact."""
    settled: np.ndarray = ((matte - LEAST) / (1 - 2 * LEAST)).clip(0, 1)
    return settled


def around(colours: np.ndarray, guess: np.ndarray, quick: bool = False) -> np.ndarray:
    """Return the matte (H, W) of colours (H, W, C) by a guess (h, w) of any size, with its edges found anew.

    `quick` solves for `QUICK` pixels, and trusts the guess a little where it is sure.
    """
    reach = 2 * math.ceil(UNSURE * max(guess.shape)) + 1
    subject, background = minimum_filter(guess, reach) > 1 - SURE, maximum_filter(guess, reach) < SURE
    if not subject.any():  # thinner than what is unsure
        subject = guess > 1 - SURE
    size = colours.shape[:2]
    known = repeated(subject, size), repeated(background, size)
    return between(colours, *known, QUICK, guess) if quick else between(colours, *known)


def between(
    colours: np.ndarray,
    subject: np.ndarray,
    background: np.ndarray,
    pixels: int = PIXELS,
    guess: np.ndarray | None = None,
) -> np.ndarray:
    """Return the matte (H, W) of colours (H, W, C) between pixels that are known to be subject and background.

    Around the unknown ones it is solved at a size of at most so many pixels, then guided to the picture's own size. A
    guess (h, w) counts a little where it is sure.
    """
    matte, unknown = subject.astype(np.float32), ~(subject | background)
    if not unknown.any():
        return matte
    box = tuple(_span(unknown.any(axis=1 - axis), side) for axis, side in enumerate(unknown.shape))
    part, near, known, unsure = colours[box], matte[box], ~unknown[box], unknown[box]
    size = known.shape

    def belief(small: tuple[int, ...]) -> closed_form.Belief | None:
        return None if guess is None else _belief(guess, box, unknown.shape, small)

    if known.size <= pixels:
        matte[box] = _settled(closed_form.matte(_light(part), near, known, belief(size)))
        return matte
    ratio = math.sqrt(pixels / known.size)
    small = tuple(max(3, round(side * ratio)) for side in size)
    reduced, shares = _light(resize(part, small)), [_reduced(plane[box], small) for plane in (subject, background)]
    found = closed_form.matte(reduced, (shares[0] > ALL).astype(np.float32), np.maximum(*shares) > ALL, belief(small))
    np.copyto(near, _guided(guided.functions(reduced, found), part), where=unsure)
    return matte


def _belief(
    guess: np.ndarray, box: tuple[slice, ...], whole: tuple[int, ...], size: tuple[int, ...]
) -> closed_form.Belief:
    """Return what a guess says of the `box` of a picture of size `whole`, at another size."""
    (top, bottom), (left, right) = (
        (side.start * length / full, min(side.stop, full) * length / full)
        for side, length, full in zip(box, guess.shape, whole, strict=True)
    )
    share = resize(guess[..., None], (size[0], size[1]), (left, top, right, bottom))[..., 0]
    return closed_form.Belief(share.round(), TRUST * np.abs(2 * share - 1) ** SHARP)


def room_between(size: tuple[int, int]) -> int:
    """Return the memory that `between` takes at most for a picture of `size` = (H, W)."""
    pixels = math.prod(size)
    return 12 * pixels + closed_form.BYTES * min(pixels, PIXELS)


def _span(lines: np.ndarray, side: int) -> slice:
    """Return the lines from the first to the last chosen one, and some more."""
    chosen = np.flatnonzero(lines)
    return slice(max(chosen[0] - MARGIN, 0), min(chosen[-1] + 1 + MARGIN, side))


def _reduced(chosen: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    return resize(chosen[..., None].astype(np.float32), (size[0], size[1]))[..., 0]


def asked_for(area: Mask, made_with: Mapping[str, str] | None = None) -> Finder | None:
    """Return what finds the subject that an area is held to or leaves out; None if it names none.

    It is the first of `ESTIMATORS`; or, for a result that was made with some weights, the first that needs no others.
    """
    if not area.subject:
        return None
    loaded = (kind() for kind in ESTIMATORS.values())
    fitting = (one for one in loaded if made_with is None or one.weights.items() <= made_with.items())
    return Guessed(next(fitting, None) or Either())


def check_size(path: Path, drawn: np.ndarray, picture: Picture) -> None:
    """Raise `UsageError` if what a file shows has not the picture's size."""
    there, here = (f"{wide} x {high}" for high, wide in (drawn.shape[:2], picture.pixels.shape[:2]))
    if there != here:
        raise UsageError(f"{path.name} has {there} pixels and the picture {here}; the sizes must be the same")


def _is_cut_out(pixels: np.ndarray) -> bool:
    return pixels.shape[2] == 4 and pixels[..., 3].min() < pixels[..., 3].max()
