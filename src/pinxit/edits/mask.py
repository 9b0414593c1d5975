"""Where a picture is to change: by a mask picture, a box, a colour or a brightness; then grown and feathered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from PIL import ImageColor
from pydantic import AfterValidator, BeforeValidator, Field

from pinxit.colour import pixel_luma
from pinxit.edits.nearest import nearest, strips
from pinxit.errors import UsageError
from pinxit.images import Picture
from pinxit.settings import Range, Settings, within

TOP = {np.dtype(kind): top for kind, top in ((np.uint8, 255), (np.uint16, 65535), (np.float32, 1))}


def _corners(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _colour(text: str) -> str:
    ImageColor.getrgb(text)
    return text


_Start = Annotated[int, Field(ge=0)]
_Side = Annotated[int, Field(ge=1)]
_Box = Annotated[tuple[_Start, _Start, _Side, _Side], BeforeValidator(_corners)]


class Mask(Settings):
    """Where a picture is to change. If several ways to choose are given, a pixel must be chosen by all of them."""

    box: _Box | None = Field(
        None, description="Change only this box: x, y, width, height in pixels, from the top left."
    )
    colour: Annotated[str, AfterValidator(_colour)] | None = Field(
        None, description="Change only pixels of this colour: a name, or #rrggbb."
    )
    tolerance: float = Field(
        0.1, ge=0, le=1, description="Largest difference of each channel from --colour, in units of the image range."
    )
    brightness: Annotated[Range, within(0, 1)] | None = Field(
        None, description="Change only pixels of this brightness (BT.709 luma): low..high, in units of the image range."
    )
    subject: Literal["only", "invert"] | None = Field(
        None,
        exclude_if=lambda value: value is None,  # as in recipes from before there was a subject
        description="Change only the subject: what stands out, or what a picture with transparent parts shows; or with "
        "invert only its background. --subject alone is --subject only.",
    )
    invert: bool = Field(False, description="Change everything except the selection.")
    grow: float = Field(0.0, ge=0, le=1000, description="Pixels to grow the mask by, on every side.")
    feather: float = Field(
        0.0, ge=0, le=1000, description="Width in pixels of the zone beyond the mask where the change fades out."
    )

    mask_threshold: float | None = Field(
        None,
        ge=0,
        lt=1,
        exclude_if=lambda value: value is None,  # as in recipes from before there was a threshold
        description="Pixels of --mask brighter than this count in full, all others not at all; in units of the image "
        "range. If omitted, greys count by their brightness.",
    )

    def weights(
        self, picture: Picture, mask: Picture | np.ndarray | None = None, subject: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return how much each pixel is to change, (H, W) float32 in [0, 1], or None if every pixel may change.

        `mask` is white where pixels are to change: a picture, in which transparent is black, or an array (H, W) of bool
        or of float in [0, 1]. `UsageError` if its size is not the picture's. `subject` is the matte (H, W) of the
        subject, if one is asked for.
        """
        size = picture.pixels.shape[:2]
        if all(one is None for one in (mask, subject, self.box, self.colour, self.brightness)):
            if self.invert or self.grow or self.feather:
                raise UsageError(
                    "--invert, --grow and --feather need a mask: --mask, --box, --colour, --brightness or --subject"
                )
            return None
        drawn = None if mask is None else _drawn(mask)
        if drawn is not None and drawn.shape[:2] != size:
            there, here = (f"{wide} x {high}" for high, wide in (drawn.shape[:2], size))
            raise UsageError(f"the mask has {there} pixels and the picture {here}; the sizes must be the same")
        chosen = self._boxed(size)
        if subject is not None:
            chosen *= subject if self.subject == "only" else 1 - subject
        for strip in strips(size):  # floats of whole pictures would take several times their memory
            self._narrow(chosen[strip], picture.pixels[strip], None if drawn is None else drawn[strip])
        return spread(chosen, self.grow, self.feather)

    def _narrow(self, chosen: np.ndarray, pixels: np.ndarray, drawn: np.ndarray | None) -> None:
        """Multiply out, in place, what the drawn mask, the colour and the brightness leave of a strip; then invert."""
        if drawn is not None:
            light = light_of(drawn)
            np.minimum(chosen, light if self.mask_threshold is None else light > self.mask_threshold, out=chosen)
        if self.colour is not None:
            wanted = np.array(ImageColor.getrgb(self.colour)[:3], np.float32) / 255
            chosen *= np.abs(unit(pixels[..., :3]) - wanted).max(axis=2) <= self.tolerance + 1e-6
        if self.brightness is not None:
            low, high = self.brightness
            light = pixel_luma(unit(pixels[..., :3]))
            chosen *= (light >= low - 1e-6) & (light <= high + 1e-6)
        if self.invert:
            np.subtract(1, chosen, out=chosen)

    def _boxed(self, size: tuple[int, int]) -> np.ndarray:
        if self.box is None:
            return np.ones(size, np.float32)
        left, top, wide, high = self.box
        if left >= size[1] or top >= size[0]:
            raise UsageError(f"--box starts at {left}, {top}, outside the picture of {size[1]} x {size[0]} pixels")
        weights = np.zeros(size, np.float32)
        weights[top : top + high, left : left + wide] = 1
        return weights


def _drawn(mask: Picture | np.ndarray) -> np.ndarray:
    """Return a mask's values, (H, W) or (H, W, C), after a check."""
    if isinstance(mask, Picture):
        return mask.pixels
    if mask.ndim != 2 or mask.dtype.kind not in "bf" or not (mask.min() >= 0 and mask.max() <= 1):
        raise UsageError("a mask array is (H, W) of bool, or of float in [0, 1], 1 where the picture is to change")
    return mask


def light_of(drawn: np.ndarray) -> np.ndarray:
    """Return the weights that a drawn mask, or a strip of it, gives: its luma, times its alpha."""
    if drawn.ndim == 2:
        return drawn.astype(np.float32)
    light = pixel_luma(unit(drawn[..., :3]))
    return light * unit(drawn[..., 3]) if drawn.shape[2] == 4 else light


def spread(weights: np.ndarray, grow: float, feather: float) -> np.ndarray:
    """Grow weights (H, W) by a disc and fade them out linearly, both in pixels, in place; return the array.

    Greys of the mask itself stay.
    """
    chosen = weights >= 0.5
    if not (grow or feather) or not chosen.any():
        return weights
    weights[chosen] = 1
    for part in nearest(chosen, reach=grow + feather):
        away = np.sqrt(part.squares()).astype(np.float32)
        ramp = np.clip((grow + feather - away) / feather, 0, 1, dtype=np.float32) if feather else away <= grow
        np.maximum(weights[part.strip], ramp, out=weights[part.strip], where=part.found)
    return weights


def unit(pixels: np.ndarray) -> np.ndarray:
    """Return uint8, uint16 or float32 pixels as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(TOP[pixels.dtype])


def sixteen_bit(pixels: np.ndarray) -> np.ndarray:
    """Return 8-bit pixels in 16 bits and others unchanged, so that results between edits lose little to rounding."""
    return pixels.astype(np.uint16) * 257 if pixels.dtype == np.uint8 else pixels


def rounded(values: np.ndarray, depth: np.dtype[Any]) -> np.ndarray:
    """Return values in [0, 1] at the depth of pixels; the inverse of `unit`."""
    return np.array(values) if depth.kind == "f" else np.rint(values * np.float32(TOP[depth])).astype(depth)
