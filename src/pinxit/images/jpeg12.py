"""JPEG of other than 8 bits, as cameras and scanners of medicine make them, by imagecodecs."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO, NamedTuple

import numpy as np

from pinxit.images import pillow
from pinxit.images.metadata import orientation
from pinxit.images.picture import Picture
from pinxit.images.samples import Stored, colours_of, pixels_of

_START = b"\xff\xd8\xff"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that begin a frame (ITU-T T.81, table B.1)
_SCAN = 0xDA
_COLOURS = {1: "black is zero", 3: "RGB"}


def knows(file: BinaryIO) -> bool:
    """Return whether a file is a JPEG whose samples have other than 8 bits."""
    found = frame_of(file)
    return found is not None and found.bits != 8


def read(file: BinaryIO, name: str) -> Picture:
    """Decode it; Pillow reads its metadata once it is told that the samples have 8 bits."""
    frame = frame_of(file)
    if frame is None:
        raise ValueError("its frame is missing")
    place, bits, channels = frame.place, frame.bits, frame.channels
    stored = Stored(_COLOURS.get(channels, f"those of a JPEG of {channels} channels and {bits} bits"), bits)
    colours_of(stored, name)
    file.seek(0)
    content = file.read()
    with pillow.opened(io.BytesIO(content[:place] + b"\x08" + content[place + 1 :]), name, 12) as (image, _, lost):
        import imagecodecs

        samples = np.atleast_3d(imagecodecs.jpeg_decode(content))
        pixels, told = pixels_of(samples, stored, name)
        return pillow.assemble(image, stored.mode, pixels, orientation(image), (*lost, *told))


class Frame(NamedTuple):
    """What the frame of a JPEG says: the place of its precision, that, width, height and the number of channels."""

    place: int
    bits: int
    wide: int
    high: int
    channels: int


def frame_of(file: BinaryIO) -> Frame | None:
    """Return what the frame of a JPEG says; None if it is no JPEG."""
    file.seek(0)
    if file.read(3) != _START:
        return None
    place = 2
    while True:
        file.seek(place)
        head = file.read(10)
        if len(head) < 10 or head[0] != 0xFF or head[1] == _SCAN:
            return None
        if head[1] in _FRAMES:
            bits, high, wide, channels = struct.unpack(">BHHB", head[4:])
            return Frame(place + 4, bits, wide, high, channels)
        place += 1 if head[1] == 0xFF else 2 + struct.unpack(">H", head[2:4])[0]  # bytes may fill a gap
