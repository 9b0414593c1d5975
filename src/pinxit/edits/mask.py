"""Where a picture is to change: drawn, boxed, or chosen by colour and brightness; then grown and feathered."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from PIL import ImageColor
from pydantic import AfterValidator, BeforeValidator, Field

from pinxit.colour import pixel_luma
from pinxit.errors import UsageError
from pinxit.images import Picture
from pinxit.settings import Range, Settings, within

TOP = {np.dtype(kind): top for kind, top in ((np.uint8, 255), (np.uint16, 65535), (np.float32, 1))}


def _corners(value: Any) -> Any:
    """Return the four numbers of a box that is given as text."""
    return value.split(",") if isinstance(value, str) else value


def _colour(text: str) -> str:
    ImageColor.getrgb(text)
    return text


_Box = Annotated[
    tuple[
        Annotated[int, Field(ge=0)],
        Annotated[int, Field(ge=0)],
        Annotated[int, Field(ge=1)],
        Annotated[int, Field(ge=1)],
    ],
    BeforeValidator(_corners),
]


class Mask(Settings):
    """Where a picture is to change. Of the ways to choose that are given, all must agree."""

    box: _Box | None = Field(None, description="A box to change: x, y, width, height in pixels, from the top left.")
    colour: Annotated[str, AfterValidator(_colour)] | None = Field(
        None, description="Change what has this colour: a name, or #rrggbb."
    )
    tolerance: float = Field(
        0.1, ge=0, le=1, description="How far each of red, green and blue may be from it, in units of the image range."
    )
    brightness: Annotated[Range, within(0, 1)] | None = Field(
        None, description="Change what is so bright, low..high in units of the image range (BT.709 luma)."
    )
    invert: bool = Field(False, description="Change what is not chosen instead.")
    grow: float = Field(0.0, ge=0, le=1000, description="Pixels by which the mask grows on every side.")
    feather: float = Field(
        0.0, ge=0, le=1000, description="Pixels over which it then fades out; beyond, nothing changes."
    )

    def weights(self, picture: Picture, drawn: Picture | np.ndarray | None = None) -> np.ndarray | None:
        """Return how much each pixel is to change, (H, W) float32 in [0, 1], or None if no way to choose is given.

        `drawn` is a mask of the picture's size: a picture, white where it is to change (transparent is black), or an
        array (H, W) of bool or of float in [0, 1]. Another size is a `UsageError`.
        """
        size = picture.pixels.shape[:2]
        chosen = [
            way
            for way in (self._drawn(drawn), self._boxed(size), self._coloured(picture), self._lit(picture))
            if way is not None
        ]
        if not chosen:
            if self.invert or self.grow or self.feather:
                raise UsageError("--invert, --grow and --feather need a mask: --mask, --box, --colour or --brightness")
            return None
        if chosen[0].shape != size:
            there, here = (f"{wide} x {high}" for high, wide in (chosen[0].shape, size))
            raise UsageError(f"the mask has {there} pixels and the picture {here}; they must be the same")
        weights = np.minimum.reduce(chosen)
        return spread(1 - weights if self.invert else weights, self.grow, self.feather)

    def _drawn(self, drawn: Picture | np.ndarray | None) -> np.ndarray | None:
        if drawn is None:
            return None
        if isinstance(drawn, Picture):
            seen = luma(drawn)
            return seen * unit(drawn.pixels[..., 3]) if drawn.pixels.shape[2] == 4 else seen
        if drawn.ndim != 2 or drawn.dtype.kind not in "bf" or not ((drawn >= 0) & (drawn <= 1)).all():
            raise UsageError("a mask array is (H, W) of bool, or of float in [0, 1], 1 where the picture is to change")
        return drawn.astype(np.float32)

    def _boxed(self, size: tuple[int, int]) -> np.ndarray | None:
        if self.box is None:
            return None
        left, top, wide, high = self.box
        if left >= size[1] or top >= size[0]:
            raise UsageError(f"--box begins at {left}, {top}, outside the picture of {size[1]} x {size[0]} pixels")
        weights = np.zeros(size, np.float32)
        weights[top : top + high, left : left + wide] = 1
        return weights

    def _coloured(self, picture: Picture) -> np.ndarray | None:
        if self.colour is None:
            return None
        wanted = np.array(ImageColor.getrgb(self.colour)[:3], np.float32) / 255
        far = np.abs(unit(picture.pixels[..., :3]) - wanted).max(axis=2)
        near: np.ndarray = far <= self.tolerance + 1e-6
        return near.astype(np.float32)

    def _lit(self, picture: Picture) -> np.ndarray | None:
        if self.brightness is None:
            return None
        low, high = self.brightness
        light = luma(picture)
        return ((light >= low - 1e-6) & (light <= high + 1e-6)).astype(np.float32)


def spread(weights: np.ndarray, grow: float, feather: float) -> np.ndarray:
    """Return weights (H, W) grown by a disc and faded out in a line, both in pixels; a drawn mask's own greys stay."""
    if not (grow or feather) or not (weights >= 0.5).any():
        return weights
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(weights < 0.5).astype(np.float32)
    ramp = (grow + feather - away) / feather if feather else away <= grow
    return np.maximum(weights, np.clip(ramp, 0, 1, dtype=np.float32))


def unit(pixels: np.ndarray) -> np.ndarray:
    """Return uint8, uint16 or float32 pixels as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(TOP[pixels.dtype])


def sixteen_bit(pixels: np.ndarray) -> np.ndarray:
    """Return pixels of 8 bits in 16, others as they are: so what is made between two steps is hardly rounded."""
    return pixels.astype(np.uint16) * 257 if pixels.dtype == np.uint8 else pixels


def rounded(values: np.ndarray, depth: np.dtype[Any]) -> np.ndarray:
    """Return values in [0, 1] at the depth of pixels, of which `unit` makes them again."""
    return np.array(values) if depth.kind == "f" else np.rint(values * np.float32(TOP[depth])).astype(depth)


def luma(picture: Picture) -> np.ndarray:
    """Return how bright each pixel is, (H, W) float32 in [0, 1], of the file's own numbers."""
    return pixel_luma(unit(picture.pixels[..., :3]))
