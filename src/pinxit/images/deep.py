"""The reader of what Pillow would cut to 8 bits, or misread: PNG, AVIF, JPEG 2000 and PPM."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from pinxit.images import pillow
from pinxit.images.containers import PNG, box, chunk, png_chunks, properties
from pinxit.images.metadata import orientation
from pinxit.images.picture import Picture
from pinxit.images.samples import ALPHA, PREMULTIPLIED, UNKNOWN, Stored, pixels_of
from pinxit.images.tags import colour_tags

_JP2, _CODESTREAM = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
_JP2_COLOURS = {12: "CMYK", 14: "the L*a*b* of JPEG 2000", 16: "RGB", 17: "black is zero", 18: "YCbCr"}
_JP2_CHANNELS = {1: ALPHA, 2: PREMULTIPLIED}
_JP2_EIGHT_BIT = ("RGB", "black is zero", "YCbCr", "CMYK")  # which Pillow reads exactly


def knows(file: BinaryIO) -> bool:
    """Return whether a file is of a kind whose samples Pillow would cut or misread."""
    return _stored(file) is not None


def read(file: BinaryIO, name: str) -> Picture:
    """Decode a file exactly. Pillow opens it, too, for its metadata, and decodes a PNG for its checks."""
    stored = _stored(file)
    if stored is None:
        raise ValueError("another kind of file")
    with pillow.opened(file, name, 12) as (image, chunks, lost):
        kind = image.format or ""
        if kind == "PNG":
            image.load()
        file.seek(0)
        samples = np.atleast_3d(_DECODERS[kind](file.read()))
        if kind == "AVIF" and samples.shape[2] in (2, 4):
            stored = replace(stored, extra=(ALPHA,))
        pixels, told = pixels_of(samples, stored, name)
        tags = colour_tags(file, image, chunks)
        return pillow.assemble(image, stored.mode, pixels, orientation(image), (*lost, *told), tags)


def _stored(file: BinaryIO) -> Stored | None:
    """Return what a file says of its samples, None if Pillow reads them exactly."""
    file.seek(0)
    head = file.read(26)
    if head.startswith(PNG):
        return _png(file, head) if head[24] == 16 or head[25] == 0 else None
    if head[4:8] == b"ftyp":
        return _avif(file)
    if head.startswith((_JP2, _CODESTREAM)):
        return _jpeg_2000(file, head)
    return _ppm(file) if head.startswith((b"P3", b"P6")) else None


def _png(file: BinaryIO, head: bytes) -> Stored | None:
    """PNG of 16 bits, and grey of which one value is transparent."""
    bits, colours = head[24], head[25]
    clear = colours in (4, 6)
    for kind, _ in png_chunks(file):
        if kind == b"IDAT":
            break
        clear = clear or kind == b"tRNS"
    if colours == 0 and not clear:
        return None
    return Stored("black is zero" if colours in (0, 4) else "RGB", max(bits, 8), extra=(ALPHA,) * clear)


def _avif(file: BinaryIO) -> Stored | None:
    """AVIF of more than 8 bits, by the configuration of its codec (AV1-ISOBMFF, 2.3.3)."""
    for kind, start in properties(file):
        file.seek(start + 2)
        if kind == b"av1C":
            flags = file.read(1)[0]
            if flags & 0x40:
                grey = flags & 0x10
                return Stored("black is zero" if grey else "RGB", 12 if flags & 0x20 else 10)
    return None


def _jpeg_2000(file: BinaryIO, head: bytes) -> Stored | None:
    """JPEG 2000 of other than 8 bits (ISO/IEC 15444-1, A.5.1 and I.5.3)."""
    code = (0, 0) if head.startswith(_CODESTREAM) else box(file, b"jp2c")
    if code is None:
        return None
    file.seek(code[0] + 40)
    (count,) = struct.unpack(">H", file.read(2))
    precisions = file.read(3 * min(count, 16))[::3]
    if count > 16 or box(file, b"jp2h", b"pclr"):
        return None
    colours, extra = _jp2_channels(file, count)
    if set(precisions) == {7} and colours in _JP2_EIGHT_BIT and PREMULTIPLIED not in extra:
        return None
    bits = {one % 128 + 1 for one in precisions}
    if len(bits) > 1:
        return Stored(f"of {' and '.join(map(str, sorted(bits)))} bits", max(bits))
    kind = "i" if any(one >= 128 for one in precisions) else "u"
    return Stored(colours, max(bits), kind, extra)


def codestream_size(file: BinaryIO) -> tuple[int, int] | None:
    """Return width and height of a JPEG 2000 (ISO/IEC 15444-1, A.5.1), None if it is none."""
    file.seek(0)
    content = file.read()
    start = content.find(_CODESTREAM)
    if start < 0 or not content.startswith((_JP2, _CODESTREAM)):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", content, start + 8)
    return right - left, bottom - top


def _jp2_channels(file: BinaryIO, count: int) -> tuple[str, tuple[str, ...]]:
    """Return the colours of a JPEG 2000 of `count` channels, and what the channels after them are."""
    colours, grey = "", "black is zero"
    if (inside := box(file, b"jp2h", b"colr")) is not None:
        file.seek(inside[0])
        method, _, _, number = struct.unpack(">BbBI", file.read(7))
        colours = _JP2_COLOURS.get(number, f"of the JPEG 2000 space {number}") if method == 1 else ""
    colours = colours or (grey if count < 3 else "RGB")
    known = {grey: 1, "CMYK": 4}.get(colours, 3)
    kinds = dict.fromkeys(range(known, count), ALPHA if count == known + 1 else UNKNOWN)
    if (inside := box(file, b"jp2h", b"cdef")) is not None:
        file.seek(inside[0] + 2)
        for _ in range(count):
            channel, kind, _ = struct.unpack(">HHH", file.read(6))
            if kind:
                kinds[channel] = _JP2_CHANNELS.get(kind, UNKNOWN)
    return colours, tuple(kinds[channel] for channel in sorted(kinds) if channel >= known)


def _ppm(file: BinaryIO) -> Stored | None:
    most = _ppm_head(file)[2]
    return Stored("RGB", 16) if 255 < most < 65536 else None


def _ppm_head(file: BinaryIO) -> tuple[int, int, int, int]:
    """Return width, height, the largest number and the place of the pixels of a PPM, whose head may hold comments."""
    file.seek(2)
    head, numbers = file.read(4096), list[int]()
    for found in re.finditer(rb"#[^\n\r]*|(\d+)(?=\s)", head):
        if found[1]:
            numbers.append(int(found[1][:9]))
        if len(numbers) == 3:
            return numbers[0], numbers[1], numbers[2], 2 + found.end() + 1
    raise ValueError("its head is too long")


def _decode_ppm(content: bytes) -> np.ndarray:
    wide, high, most, start = _ppm_head(io.BytesIO(content))
    count = 3 * wide * high
    if content.startswith(b"P3"):
        text = re.sub(rb"#[^\n\r]*", b"", content[start:])
        found = np.fromstring(text.decode("ascii"), np.int64, sep=" ")[:count]
    else:
        found = np.frombuffer(content, ">u2", min(count, (len(content) - start) // 2), start)
    if len(found) < count:
        raise EOFError
    numbers = found.reshape(high, wide, 3)
    if most == 65535:
        return numbers.astype(np.uint16)
    return np.rint(numbers.clip(0, most) * (65535 / most)).astype(np.uint16)


def _bare(content: bytes) -> bytes:
    """Return a PNG's chunks on its pixels alone: of others, and of odd tRNS, libpng would complain on stderr."""
    bare, place, kind = io.BytesIO(PNG), len(PNG), b""
    bare.seek(place)
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, place)
        part = content[place + 8 : place + 8 + length]
        if kind == b"tRNS" and content[25] == 0:
            part = (int.from_bytes(part, "big") % 2 ** content[24]).to_bytes(2, "big")
        if kind in (b"IHDR", b"IDAT", b"IEND") or (kind == b"tRNS" and content[25] in (0, 2)):
            chunk(bare, kind, part)
        place += 12 + length
    return bare.getvalue()


def _codecs() -> Any:
    import imagecodecs  # large: loaded only when it is used

    return imagecodecs


_DECODERS: Mapping[str, Callable[[bytes], np.ndarray]] = {
    "AVIF": lambda content: _codecs().avif_decode(content, index=0, numthreads=1),
    "JPEG2000": lambda content: _codecs().jpeg2k_decode(content, planar=False),
    "PNG": lambda content: _codecs().png_decode(_bare(content)),
    "PPM": _decode_ppm,
}
