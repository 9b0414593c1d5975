"""TIFF files, by tifffile and imagecodecs: what the tags say of the samples is understood, or refused by name."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from pinxit.errors import DataError
from pinxit.images import deep, jpeg12, pillow
from pinxit.images.containers import canvas
from pinxit.images.metadata import BROKEN
from pinxit.images.picture import FIRST_FRAME, SECOND_PICTURE, Picture
from pinxit.images.quiet import quiet
from pinxit.images.room import check_size
from pinxit.images.samples import ALPHA, PREMULTIPLIED, UNKNOWN, Stored, colours_of, pixels_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_PAGES = 1000
_OLD_JPEG, _NEW_JPEGS = 6, (7, 33007, 34892)
_PHOTOMETRIC = {0: "white is zero", 1: "black is zero", 2: "RGB", 3: "palette", 5: "CMYK", 8: "L*a*b*"}
_EXTRA = {1: PREMULTIPLIED, 2: ALPHA}
_KIND = {1: "u", 2: "i", 3: "f", 4: "u"}
_OTHER_PICTURES = (33003, 33004, 33005, 34712, 34927, 50001)  # JPEG 2000 and WebP, as strips and tiles
_HEAD = 1 << 20  # bytes of a strip or tile in which its own size is looked for
_YCBCR, _CMYK = 6, 1  # the photometric; the ink set
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType


def knows(file: BinaryIO) -> bool:
    """Return whether a file is a TIFF, small or big."""
    return file.read(4) in _HEADS


def read(file: BinaryIO, name: str) -> Picture:
    """Decode the first page of a TIFF that is a picture by itself, neither a preview nor a mask."""
    with _opened(file) as tiff:
        whole, remarks = _pages(tiff, name)
        if not _plain(whole[0]) and whole[0].index == 0:  # YCbCr, and JPEG of before 1995, which libtiff understands
            with quiet():
                return pillow.read(file, name)
        return _picture(file, tiff, whole[0], name, (*[FIRST_FRAME] * (len(whole) > 1), *remarks))


def read_pages(file: BinaryIO, name: str) -> Iterator[Picture]:
    """Decode every page that is a picture by itself, one at a time; they may be of different sizes and kinds."""
    with _opened(file) as tiff:
        whole, remarks = _pages(tiff, name)
        for page in whole:
            yield _picture(file, tiff, page, name, remarks)


def count_pages(file: BinaryIO, name: str) -> int:
    """Return how many pages of a TIFF are pictures by themselves."""
    with _opened(file) as tiff:
        return len(_pages(tiff, name)[0])


def check_first(file: BinaryIO, name: str) -> None:
    """Refuse a TIFF whose first page is a preview, which Pillow would take for the picture."""
    with _opened(file) as tiff:
        whole, _ = _pages(tiff, name)
        if whole[0].index:
            raise DataError(f"{name}: a preview stands before its picture; PNG works")


def _picture(file: BinaryIO, tiff: TiffFile, page: TiffPage, name: str, remarks: tuple[str, ...]) -> Picture:
    if not _plain(page):
        raise DataError(
            f"{name}: page {page.index + 1} is of a kind that is read only in a file of one page; save it alone"
        )
    stored = _stored(page, name)
    samples, told = pixels_of(_samples(page, stored, name), stored, name)
    carrier = _carrier(file, tiff, page, stored)
    return pillow.assemble(carrier, carrier.mode, samples, _turn(page), (*remarks, *told))


@contextmanager
def _opened(file: BinaryIO) -> Iterator[TiffFile]:
    from tifffile import TiffFile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its warnings name no file
    file.seek(0)
    with TiffFile(file) as tiff:
        yield tiff


def _pages(tiff: TiffFile, name: str) -> tuple[list[TiffPage], tuple[str, ...]]:
    """Return the pages that are pictures by themselves, and remarks on previews and the like."""
    if len(tiff.pages) > _MOST_PAGES:
        raise DataError(f"{name}: {len(tiff.pages):,} pages; at most {_MOST_PAGES:,} are read")
    pages: list[Any] = [tiff.pages.get(number) for number in range(len(tiff.pages))]
    if not pages:
        raise ValueError("it has no page")
    whole = [page for page in pages if not _kind_of_page(page) & (_REDUCED | _MASK)] or pages
    dropped = len(pages) > len(whole) or bool(whole[0].subifds)
    return whole, (SECOND_PICTURE,) * dropped


def _kind_of_page(page: TiffPage) -> int:
    old = page.tags.valueof(255, 1)  # SubfileType: 2 is a reduced picture
    return int(page.subfiletype) | (_REDUCED if old == 2 else 0)


def _turn(page: TiffPage) -> int:
    """Return the orientation of a page. Pillow reads no tags of a large TIFF whose numbers are big-endian."""
    turn = page.tags.valueof(274, 1)
    return int(turn) if isinstance(turn, int) and 1 <= turn <= 8 else 1


def _plain(page: TiffPage) -> bool:
    halves = page.photometric == _YCBCR and page.compression not in _NEW_JPEGS and page.bitspersample == 8
    return page.compression != _OLD_JPEG and not halves


def _stored(page: TiffPage, name: str) -> Stored:
    """Return what the tags say of the samples; `DataError` for what is not understood."""
    photometric = _colours(page)
    bits = page.tags.valueof(258, page.bitspersample)
    if isinstance(bits, tuple) and len(set(bits)) > 1:
        raise DataError(f"{name}: its channels have {', '.join(map(str, bits))} bits; only equal numbers are read")
    kind = _KIND.get(int(page.sampleformat), "")
    if page.dtype is None or not kind:
        raise DataError(f"{name}: samples of {page.bitspersample} bits and format {page.sampleformat} are not read")
    stored = Stored(photometric, page.bitspersample, kind, profile=page.iccprofile)
    channels, _ = colours_of(stored, name)
    extra = tuple(_EXTRA.get(int(one), UNKNOWN) for one in page.extrasamples)
    if not extra and page.samplesperpixel == channels + 1:
        extra = (ALPHA,)  # of programs that leave the tag out
    palette = _palette(page) if photometric == "palette" else None
    return replace(stored, extra=extra, palette=palette)


def _colours(page: TiffPage) -> str:
    """Return a row of `COLOURS`, or what the file says instead."""
    colours = _PHOTOMETRIC.get(int(page.photometric), str(getattr(page.photometric, "name", page.photometric)))
    if int(page.photometric) == _YCBCR and page.compression in _NEW_JPEGS:
        return "RGB"  # to which the JPEG is decoded
    if colours != "CMYK":
        return colours
    if page.tags.valueof(332, _CMYK) != _CMYK:
        return "inks other than CMYK"
    dots = page.tags.valueof(336)  # the numbers of no ink and of full ink
    return "CMYK in which small numbers are much ink" if isinstance(dots, tuple) and dots[0] > dots[1] else colours


def _palette(page: TiffPage) -> np.ndarray | None:
    """Return the colours of a palette; some programs write them in 8 bits, where 16 are asked for."""
    if page.colormap is None:
        return None
    colours = np.asarray(page.colormap).T.astype(np.uint16)
    if colours.max(initial=0) < 256:
        return colours.astype(np.uint8)
    return colours if page.bitspersample > 8 else (colours >> 8).astype(np.uint8)


def _samples(page: TiffPage, stored: Stored, name: str) -> np.ndarray:
    """Return the samples (H, W, S); `EOFError` if a part of them is missing."""
    if page.imagedepth != 1:
        raise DataError(f"{name}: a volume of {page.imagedepth} planes; flat pictures are read")
    wide, high = page.imagewidth, page.imagelength
    check_size((wide, high), name, page.samplesperpixel * max(1, stored.bits // 8))
    _check_parts(page)
    samples = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # (planes, depth, H, W, contiguous)
    flat: np.ndarray = samples[0] if len(samples) == 1 else np.moveaxis(samples[..., 0], 0, 2)
    return flat.astype(np.uint8) if flat.dtype == bool else flat


def _check_parts(page: TiffPage) -> None:
    """Raise `EOFError` if a strip or tile is missing: tifffile fills it with zeros."""
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    tall = page.tilelength if page.is_tiled else page.rowsperstrip
    wide = page.tilewidth if page.is_tiled else page.imagewidth
    expected = planes * math.ceil(page.imagelength / max(1, tall)) * math.ceil(page.imagewidth / max(1, wide))
    size = page.parent.filehandle.size
    if page.is_contiguous:
        expected, parts = 1, [(page.dataoffsets[0], page.nbytes)]
    else:
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(parts) < expected or any(not count or offset + count > size for offset, count in parts[:expected]):
        raise EOFError("a strip or tile is missing")
    if page.compression in (*_NEW_JPEGS, *_OTHER_PICTURES):
        _check_inside(page, parts, wide * (tall if page.is_tiled else min(tall, page.imagelength)))


def _check_inside(page: TiffPage, parts: Sequence[tuple[int, int]], pixels: int) -> None:
    """Raise `ValueError` if a strip or tile is a far larger picture than its pixels, and would be decoded whole."""
    for offset, count in parts:
        page.parent.filehandle.seek(offset)
        part = io.BytesIO(page.parent.filehandle.read(min(count, _HEAD)))
        frame = jpeg12.frame_of(part)
        wide, high = (frame.wide, frame.high) if frame else deep.codestream_size(part) or canvas(part)[:2]
        if not 0 < wide * high <= 2 * pixels + _HEAD:
            raise ValueError(f"a strip or tile holds {wide} x {high} pixels, which are not those of its place")


def _carrier(file: BinaryIO, tiff: TiffFile, page: TiffPage, stored: Stored) -> Image.Image:
    """Return a Pillow image of one pixel with the metadata of a page: Pillow itself opens not every TIFF."""
    image, exif = Image.new(stored.mode, (1, 1)), Image.Exif()
    exif.endian, exif.bigtiff = tiff.byteorder, tiff.is_bigtiff
    image.format = "TIFF"
    try:
        exif.load_from_fp(file, page.offset)
        exif._loaded = True
        image._exif = exif
    except BROKEN:
        image.info["exif"] = b"?"
    image.info |= {"icc_profile": stored.profile} if stored.profile else {}
    return image
