"""More than 8 bits a sample, of which Pillow writes 8 in colour: (H, W, C) uint16, C in {2, 3, 4}, as PNG and TIFF."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from pinxit.images.containers import chunk


def _write_png(file: BinaryIO, pixels: np.ndarray, options: Mapping[str, Any]) -> None:
    """Write (H, W, C) uint16, C in {2, 3, 4}, as a PNG.

    Pillow writes the file's first chunks for a picture of one grey pixel; size and colour type are then replaced.
    """
    small = io.BytesIO()
    Image.fromarray(np.zeros((1, 1), np.uint16)).save(small, "PNG", **options)
    head = small.getvalue()
    high, wide, channels = pixels.shape
    file.write(head[:8])
    chunk(file, b"IHDR", struct.pack(">IIBBBBB", wide, high, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))
    file.write(head[33 : head.rindex(b"IDAT") - 4])
    packer, above = zlib.compressobj(), np.zeros((1, 2 * wide * channels), np.uint8)
    for top in range(0, high, 64):
        rows = pixels[top : top + 64].astype(">u2").reshape(-1, wide * channels).view(np.uint8)
        less = rows - np.concatenate([above, rows[:-1]])  # the filter 'up'
        above = rows[-1:]
        chunk(file, b"IDAT", packer.compress(np.pad(less, ((0, 0), (1, 0)), constant_values=2).tobytes()))
    chunk(file, b"IDAT", packer.flush())
    chunk(file, b"IEND", b"")


def _write_tiff(file: BinaryIO, pixels: np.ndarray, options: Mapping[str, Any]) -> None:
    """Write (H, W, C) uint16, C in {2, 3, 4}, as a TIFF of one strip; Pillow writes its directory."""
    high, wide, channels = pixels.shape
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    exif = options.get("exif", {})
    for tag in exif:
        directory[tag] = exif.get_ifd(tag) if tag == ExifTags.IFD.Exif else exif[tag]
    directory[TiffImagePlugin.IMAGEWIDTH], directory[TiffImagePlugin.IMAGELENGTH] = wide, high
    directory[TiffImagePlugin.BITSPERSAMPLE] = (16,) * channels
    directory[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    directory[TiffImagePlugin.COMPRESSION] = 1
    directory[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2 if channels > 2 else 1
    directory[TiffImagePlugin.PLANAR_CONFIGURATION] = 1
    directory[TiffImagePlugin.ROWSPERSTRIP] = high
    directory.tagtype[TiffImagePlugin.STRIPBYTECOUNTS] = directory.tagtype[TiffImagePlugin.STRIPOFFSETS] = 4
    directory[TiffImagePlugin.STRIPBYTECOUNTS] = pixels.nbytes
    directory[TiffImagePlugin.STRIPOFFSETS] = 0  # Pillow adds the length of the directory
    if channels in (2, 4):
        directory[TiffImagePlugin.EXTRASAMPLES] = 2
    if "icc_profile" in options:
        directory[TiffImagePlugin.ICCPROFILE] = options["icc_profile"]
    if "dpi" in options:
        directory[TiffImagePlugin.X_RESOLUTION], directory[TiffImagePlugin.Y_RESOLUTION] = options["dpi"]
        directory[TiffImagePlugin.RESOLUTION_UNIT] = 2
    directory.save(file)
    file.write(pixels.astype("<u2").tobytes())


WRITERS = {"PNG": _write_png, "TIFF": _write_tiff}
