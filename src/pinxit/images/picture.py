"""A picture in memory: its pixels, what its file said about them, and how it is resized and laid out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

FIRST_FRAME = "only the first of several frames is used"
FLOAT_DEPTH = "float pixels are kept at 16 bits"
NO_PROFILE = "the colour profile does not fit the picture and is not used"
PLAIN_CMYK = "CMYK without a colour profile is converted by the plain formula, which printers do not follow"
LAB = "L*a*b* is converted to sRGB; colours outside are cut"
UNKNOWN_CHANNEL = "a channel of no stated meaning, such as infrared, is not used"
SECOND_PICTURE = "a second picture in the file (a preview, gain map, depth map or the other eye's view) is not used"
HDR = "its colours are HDR (PQ or HLG); their numbers are used as they are stored, and look flat elsewhere"
WIDE = "its colours are of wide primaries or another curve (cICP, nclx); their numbers are used as they are stored"
OTHER_CURVE = "its numbers follow another curve or primaries than sRGB's (gAMA, cHRM) and are used as they are stored"
DARK = "its 16 bits hold numbers below 4096 only, as of a camera of 12 bits or fewer, and look dark"
NO_EXIF = "the Exif data cannot be read and are not kept"

GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_GREY = ("1", "L", "LA", "La", "I", "F", *GREY_16)


@dataclass(frozen=True)
class ColourTags:
    """What a file says of its colours beside a profile; only what differs from sRGB, and only what is in force.

    `cicp` is primaries, transfer, matrix and full range (ITU-T H.273): a PNG's cICP, the nclx of an AVIF. `gamma` and
    `chromaticities` (white, red, green, blue; x and y) are a PNG's gAMA and cHRM as stored, times 100,000.
    `chunks` are all such chunks of a PNG, for the result.
    """

    cicp: tuple[int, int, int, int] | None = None
    gamma: int | None = None
    chromaticities: tuple[int, ...] | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()


NO_TAGS = ColourTags()


@dataclass(frozen=True)
class JpegCoding:
    """How a JPEG was compressed: its subsampling in Pillow's numbers (0 is 4:4:4), and its quantisation tables."""

    subsampling: int
    tables: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Metadata:
    """The metadata of a file that an edit keeps.

    `icc` is the colour profile. `exif` has no place (GPS), serial numbers or thumbnail, and no orientation, because
    pixels are upright. `dpi` is dots per inch, across and down. `text` is a PNG's text by keyword. `dropped` names what
    the file holds beside the picture and an edit does not keep, such as GPS. `tags` are the file's other words on its
    colours.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    jpeg: JpegCoding | None = None
    tags: ColourTags = NO_TAGS


@dataclass(frozen=True)
class Picture:
    """A decoded picture: upright `pixels` (H, W, C), uint8 or uint16, C in {1, 3, 4}, and its file's metadata.

    `format` and `mode` are Pillow's words ("PNG", "RGBA"). `lost` names what the file holds and the pixels do not.
    `turned` is whether the file's Exif asked to turn the pixels.
    """

    pixels: np.ndarray
    format: str = ""
    mode: str = ""
    lost: tuple[str, ...] = ()
    keeps: Metadata = Metadata()
    turned: bool = False

    @property
    def grey(self) -> bool:
        """Whether the picture is grey, with alpha or without."""
        return self.pixels.shape[2] == 1 or self.mode in _GREY


def grid(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Lay (N, H, W, C) uint8 out on one white sheet (H', W', C) in rows of `columns` (default: nearly square)."""
    count, height, width, channels = images.shape
    columns = columns or max(1, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def resize(
    image: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Return (H, W, C) uint8, uint16 or float32 in [0, 1], or its part `box` (left, top, right, bottom), at `size`.

    `size` is (height, width). Bicubic, antialiased when shrinking. Colours are weighted by alpha, so that fully
    transparent pixels do not tint their neighbours.
    """
    high, wide = size
    if image.shape[:2] == size and box in (None, (0, 0, wide, high)):
        return image
    if image.dtype == np.uint8:
        shrunk = to_pillow(image).resize((wide, high), Image.Resampling.BICUBIC, box)
        return np.asarray(shrunk).reshape(high, wide, -1)
    values, top = image.astype(np.float32), 65535 if image.dtype == np.uint16 else 1
    if image.shape[2] == 4:
        values[..., :3] *= values[..., 3:] / top
    planes = (Image.fromarray(plane) for plane in np.moveaxis(values, 2, 0))
    resized = [np.asarray(plane.resize((wide, high), Image.Resampling.BICUBIC, box)) for plane in planes]
    values = np.stack(resized, axis=2)
    if image.shape[2] == 4:
        values[..., :3] *= top / np.maximum(values[..., 3:], top / 65535)
    return (np.rint(values) if top > 1 else values).clip(0, top).astype(image.dtype)


def scaled(image: np.ndarray, share: float) -> np.ndarray:
    """Return (H, W, C) at `share` times its size, each side at least one pixel, as `resize` does."""
    high, wide = (max(1, round(side * share)) for side in image.shape[:2])
    return resize(image, (high, wide))


def at_most(image: np.ndarray, side: int) -> np.ndarray:
    """Return (H, W, C), reduced if its longer side exceeds `side` pixels."""
    return scaled(image, min(1.0, side / max(image.shape[:2])))


def resize_nearest(
    mask: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Return class numbers (H, W, C), or their part `box`, at `size`, as `resize` does but by the nearest pixel."""
    left, top, right, bottom = box or (0, 0, mask.shape[1], mask.shape[0])
    rows = top + (np.arange(size[0]) + 0.5) * (bottom - top) / size[0]
    columns = left + (np.arange(size[1]) + 0.5) * (right - left) / size[1]
    nearest: np.ndarray = mask[rows.astype(int)[:, None], columns.astype(int)]
    return nearest


def eight_bit(image: np.ndarray) -> np.ndarray:
    """Return (H, W, C) uint8 or uint16 as uint8; 65535 becomes 255."""
    return (image // 257).astype(np.uint8) if image.dtype == np.uint16 else image


def to_pillow(image: np.ndarray) -> Image.Image:
    """Return (H, W, C) as a Pillow image."""
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image))
