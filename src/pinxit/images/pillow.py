"""The reader of everyday formats, by Pillow: what a file says about its pixels, and the pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

from pinxit.errors import DataError
from pinxit.images.containers import check_whole
from pinxit.images.metadata import metadata_of, orientation, upright
from pinxit.images.picture import FIRST_FRAME, FLOAT_DEPTH, GREY_16, LESS_DEPTH, NO_PROFILE, Picture

PIXEL_CEILING = 128_000_000  # a picture of 24 megapixels, enlarged twice, can still be read
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

# Opening files from strangers: a decompression bomb is an error. Pillow's other warnings help nobody.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
Image.MAX_IMAGE_PIXELS = 2 * PIXEL_CEILING  # above ours, so that our own message comes first


@dataclass(frozen=True)
class Header:
    """What a file says about its pixels before they are decoded.

    `several`: more than one frame. `deep`: colour of more than 8 bits, which Pillow cuts to 8. `grey_alpha`: 16-bit
    grey with alpha, which Pillow gives as RGBA. `turn`: the Exif orientation, where Pillow knows it before decoding.
    """

    several: bool
    deep: bool
    grey_alpha: bool
    turn: int


def read(file: BinaryIO, name: str) -> Picture:
    """Decode a file of one of `FORMATS`. 16-bit colour is read at 8 bits, with a remark."""
    with loaded(file, name) as (image, header):
        pixels, lost = pixels_of(image, name)
        return assemble(image, header, pixels, orientation(image), (*lost, *[LESS_DEPTH] * header.deep))


def read_mask(file: BinaryIO, name: str) -> Picture:
    """Decode a file of class numbers as `pinxit.images.read_mask` says."""
    with loaded(file, name) as (image, header):
        if image.format == "JPEG" or image.mode not in ("P", "1", "L", "I", *GREY_16):
            raise DataError(f"{name}: a mask must be grey or have a palette, and not be a JPEG; PNG works")
        numbers = np.asarray(image).astype(np.int64)[..., None]
        least, most = int(numbers.min()), int(numbers.max())
        if least < 0 or most > 255:
            raise DataError(f"{name}: a mask holds class numbers from 0 to 255; this one holds {least} to {most}")
        return assemble(image, header, numbers.astype(np.uint8), orientation(image))


@contextmanager
def loaded(file: BinaryIO, name: str) -> Iterator[tuple[Image.Image, Header]]:
    """Give the decoded image of a file and its header; `DataError` if it is too large, other errors if it is broken."""
    with Image.open(file, formats=FORMATS) as image:
        check_size(image, name)
        check_whole(file, image.format or "", "loop" in image.info)
        header = Header(  # before loading, which discards all of this
            several=bool(getattr(image, "is_animated", False)) and image.format != "MPO",
            deep=is_deep(image),
            grey_alpha=any("LA;16" in str(tile.args) for tile in getattr(image, "tile", ())),
            turn=orientation(image) if image.format == "TIFF" else 1,
        )
        image.load()  # before anything asks for a PNG's Exif, which would load it and hide its errors
        yield image, header


def is_deep(image: Image.Image) -> bool:
    """Return whether the file holds colour of more than 8 bits, which Pillow is about to cut to 8."""
    if image.mode in (*GREY_16, "I", "F"):
        return False
    return any(
        ";16" in str(tile.args) or (tile.codec_name.startswith("ppm") and tile.args[-1] > 255)
        for tile in getattr(image, "tile", ())
    )


def pixels_of(image: Image.Image, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a loaded image as (H, W, C) uint8 or uint16, C in {1, 3, 4}, and remarks on what is lost."""
    if image.mode in GREY_16:
        return np.asarray(image).astype(np.uint16)[..., None], ()
    if image.mode in ("I", "F"):
        return _wide_grey(np.asarray(image), name)[..., None], (FLOAT_DEPTH,) * (image.mode == "F")
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        converted = _through_profile(image)
        return np.asarray(converted or image.convert("RGB")), (NO_PROFILE,) * (converted is None)
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA")), ()
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None], ()
    return np.asarray(image.convert("RGB")), ()


def assemble(image: Image.Image, header: Header, pixels: np.ndarray, turn: int, lost: tuple[str, ...] = ()) -> Picture:
    """Return the picture of decoded pixels, turned by `turn`, with the metadata of a loaded image."""
    picture = Picture(upright(pixels, turn), image.format or "", "LA" if header.grey_alpha else image.mode)
    keeps, not_kept = metadata_of(image, picture.grey, max(header.turn, orientation(image)))
    return replace(picture, lost=((FIRST_FRAME,) * header.several + lost + not_kept), keeps=keeps)


def check_size(image: Image.Image, name: str) -> None:
    """Raise `DataError` if a file holds more pixels than are read."""
    if image.width * image.height > PIXEL_CEILING:
        most = PIXEL_CEILING // 1_000_000
        raise DataError(f"{name}: {image.width} x {image.height} pixels; at most {most} million are read")


def _wide_grey(values: np.ndarray, name: str) -> np.ndarray:
    top = 65535 if values.dtype.kind == "i" else 1
    if not (values.min() >= 0 and values.max() <= top):
        raise DataError(f"{name}: {values.dtype} pixels outside 0 to {top}; scale them or save 16-bit grey")
    return (values if top > 1 else np.rint(values * 65535)).astype(np.uint16)


def _through_profile(image: Image.Image) -> Image.Image | None:
    """Return a CMYK image as sRGB by its own profile, None if that does not fit."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
