"""The reader of everyday formats, by Pillow, and what Pillow knows of every file: its frames, metadata and size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from pinxit.errors import DataError
from pinxit.images.containers import PNG, check_whole
from pinxit.images.metadata import metadata_of, orientation, upright
from pinxit.images.picture import FIRST_FRAME, GREY_16, NO_TAGS, SECOND_PICTURE, ColourTags, Picture
from pinxit.images.room import PIXEL_CEILING, check_size
from pinxit.images.samples import Stored, cmyk_to_rgb, pixels_of
from pinxit.images.tags import colour_tags

Chunks = dict[bytes, bytes]

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

# Opening files from strangers: a decompression bomb is an error. Pillow's other warnings help nobody.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own decoder misreads some YCbCr
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20  # bytes of a profile or a text; measured profiles exceed Pillow's 1 MiB
Image.MAX_IMAGE_PIXELS = 2 * PIXEL_CEILING  # above ours, so that our own message comes first


def read(file: BinaryIO, name: str) -> Picture:
    """Decode a file of one of `FORMATS` whose samples Pillow reads exactly."""
    with loaded(file, name) as (image, turn, chunks, lost):
        pixels, told = pixels_of_image(image, name)
        return assemble(image, image.mode, pixels, turn, (*lost, *told), colour_tags(file, image, chunks))


def read_mask(file: BinaryIO, name: str) -> Picture:
    """Decode a file of class numbers as `pinxit.images.read_mask` says."""
    with loaded(file, name) as (image, turn, _, lost):
        if image.format == "JPEG" or image.mode not in ("P", "1", "L", "I", *GREY_16):
            raise DataError(
                f"{name}: a mask must be grey or have a palette, and not be a JPEG; `pinxit data check` says more"
            )
        numbers = np.asarray(image).astype(np.int64)[..., None]
        least, most = int(numbers.min()), int(numbers.max())
        if least < 0 or most > 255:
            raise DataError(f"{name}: a mask holds class numbers from 0 to 255; this one holds {least} to {most}")
        return assemble(image, image.mode, numbers.astype(np.uint8), turn, lost)


@contextmanager
def opened(file: BinaryIO, name: str, pixel: int = 4) -> Iterator[tuple[Image.Image, Chunks, tuple[str, ...]]]:
    """Give the image of a file, not yet decoded, a PNG's chunks, and remarks on what is not going to be decoded.

    Its end and its size are checked; `pixel` is the bytes of a decoded pixel.
    """
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        if file.read(len(PNG)) == PNG:
            check_whole(file, "PNG", animated=False)  # which names the damaged part
        raise
    with image:
        several = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
        check_size(image.size, name, pixel)
        chunks = check_whole(file, image.format or "", "loop" in image.info)
        yield image, chunks, (*[FIRST_FRAME] * several, *[SECOND_PICTURE] * ("mp" in image.info))


@contextmanager
def loaded(file: BinaryIO, name: str) -> Iterator[tuple[Image.Image, int, Chunks, tuple[str, ...]]]:
    """Give the decoded image of a file, its orientation, a PNG's chunks, and remarks on what is not decoded."""
    with opened(file, name) as (image, chunks, lost):
        image.load()  # before anything asks for a PNG's Exif, which would load it and hide its errors
        yield image, orientation(image), chunks, lost  # a TIFF was turned by loading, and says so no more


def is_deep(image: Image.Image) -> bool:
    """Return whether a frame of a PNG holds more than 8 bits, of which Pillow keeps 8."""
    return image.mode in GREY_16 or any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))


def pixels_of_image(image: Image.Image, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a loaded image as (H, W, C) uint8 or uint16, C in {1, 3, 4}, and remarks on what is lost."""
    if image.mode in (*GREY_16, "I", "F"):
        kind, bits = {"I": ("i", 32), "F": ("f", 32)}.get(image.mode, ("u", 16))
        return pixels_of(np.asarray(image)[..., None], Stored("black is zero", bits, kind), name)
    if image.mode == "CMYK":
        return cmyk_to_rgb(np.asarray(image), image.info.get("icc_profile"))
    if image.mode == "LAB":
        return pixels_of(np.asarray(image), Stored("L*a*b*", 8), name)
    if image.has_transparency_data:
        return np.asarray(_as(image, "RGBA")), ()
    if image.mode in ("1", "L"):
        return np.asarray(_as(image, "L"))[..., None], ()
    return np.asarray(_as(image, "RGB")), ()


def _as(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode and "transparency" not in image.info else image.convert(mode)


def assemble(
    image: Image.Image,
    mode: str,
    pixels: np.ndarray,
    turn: int,
    lost: tuple[str, ...] = (),
    tags: ColourTags = NO_TAGS,
) -> Picture:
    """Return the picture of decoded pixels, turned by `turn`, with the metadata of an image."""
    picture = Picture(upright(pixels, turn), image.format or "", mode, turned=turn > 1)
    keeps, not_kept = metadata_of(image, picture.grey, turn, tags)
    return replace(picture, lost=(*lost, *not_kept), keeps=keeps)
