"""Where a picture is to change: by a mask picture, a box, a colour or a brightness; then grown and feathered."""

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
    invert: bool = Field(False, description="Change everything except the selection.")
    grow: float = Field(0.0, ge=0, le=1000, description="Pixels to grow the mask by, on every side.")
    feather: float = Field(
        0.0, ge=0, le=1000, description="Width in pixels of the zone beyond the mask where the change fades out."
    )

    def weights(self, picture: Picture, mask: Picture | np.ndarray | None = None) -> np.ndarray | None:
        """Return how much each pixel is to change, (H, W) float32 in [0, 1], or None if every pixel may change.

        `mask` is a picture of the same size, white where pixels are to change (transparent is black), or an array
        (H, W) of bool or of float in [0, 1]. `UsageError` if its size is another.
        """
        size = picture.pixels.shape[:2]
        selections = self._masked(mask), self._boxed(size), self._coloured(picture), self._lit(picture)
        chosen = [selection for selection in selections if selection is not None]
        if not chosen:
            if self.invert or self.grow or self.feather:
                raise UsageError("--invert, --grow and --feather need a mask: --mask, --box, --colour or --brightness")
            return None
        if chosen[0].shape != size:
            there, here = (f"{wide} x {high}" for high, wide in (chosen[0].shape, size))
            raise UsageError(f"the mask has {there} pixels and the picture {here}; the sizes must be the same")
        weights = np.minimum.reduce(chosen)
        return spread(1 - weights if self.invert else weights, self.grow, self.feather)

    def _masked(self, mask: Picture | np.ndarray | None) -> np.ndarray | None:
        if mask is None:
            return None
        if isinstance(mask, Picture):
            light = luma(mask)
            return light * unit(mask.pixels[..., 3]) if mask.pixels.shape[2] == 4 else light
        if mask.ndim != 2 or mask.dtype.kind not in "bf" or not ((mask >= 0) & (mask <= 1)).all():
            raise UsageError("a mask array is (H, W) of bool, or of float in [0, 1], 1 where the picture is to change")
        return mask.astype(np.float32)

    def _boxed(self, size: tuple[int, int]) -> np.ndarray | None:
        if self.box is None:
            return None
        left, top, wide, high = self.box
        if left >= size[1] or top >= size[0]:
            raise UsageError(f"--box starts at {left}, {top}, outside the picture of {size[1]} x {size[0]} pixels")
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
    """Return weights (H, W) grown by a disc and faded out linearly, both in pixels; greys of the mask itself stay."""
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
    """Return 8-bit pixels in 16 bits and others unchanged, so that results between edits lose little to rounding."""
    return pixels.astype(np.uint16) * 257 if pixels.dtype == np.uint8 else pixels


def rounded(values: np.ndarray, depth: np.dtype[Any]) -> np.ndarray:
    """Return values in [0, 1] at the depth of pixels; the inverse of `unit`."""
    return np.array(values) if depth.kind == "f" else np.rint(values * np.float32(TOP[depth])).astype(depth)


def luma(picture: Picture) -> np.ndarray:
    """Return the BT.709 luma of each pixel, (H, W) float32 in [0, 1], of the encoded values."""
    return pixel_luma(unit(picture.pixels[..., :3]))
