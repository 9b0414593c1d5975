"""How files of pictures are laid out: their parts are walked through, checked and written; nothing is decoded."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
_PIECE = 1 << 20


def check_whole(file: BinaryIO, kind: str, animated: bool) -> dict[bytes, bytes]:
    """Raise `EOFError` if the end of a file is missing, and `ValueError` if a part is damaged, as far as it tells.

    Pillow skips the checksums of a PNG, and takes a GIF that was cut off for a shorter one. Bytes after the end do not
    matter. `kind` is Pillow's word. Returns a PNG's chunks. The place in the file stays.
    """
    place = file.tell()
    chunks = dict(png_chunks(file)) if kind == "PNG" else {}
    if kind == "GIF" and animated:
        for _ in gif_extents(file):
            pass
    file.seek(place)
    return chunks


def canvas(file: BinaryIO) -> tuple[int, int, bool]:
    """Return width and height of the canvas of a WebP or GIF, and whether it may hold an animation; else zeros.

    Pillow takes memory for the canvas as soon as it opens a WebP or goes to a frame of a GIF.
    """
    file.seek(0)
    head = file.read(30)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp_canvas(head.ljust(30, b"\0"))
    if head[:3] == b"GIF":
        ends = [(0, 0)]  # then the screen, then the frames
        with suppress(EOFError, ValueError):  # which the decoder reports
            ends.extend(gif_extents(file))
        return max(right for right, _ in ends), max(bottom for _, bottom in ends), len(ends) > 3
    return 0, 0, False


def _webp_canvas(head: bytes) -> tuple[int, int, bool]:
    """Return the canvas of a WebP (RFC 9649, 2.5 to 2.7)."""
    if head[12:16] == b"VP8X":
        wide, high = (1 + int.from_bytes(head[place : place + 3], "little") for place in (24, 27))
        return wide, high, bool(head[20] & 0x02)
    if head[12:16] == b"VP8L":
        numbers = int.from_bytes(head[21:25], "little")
        return 1 + numbers % 2**14, 1 + (numbers >> 14) % 2**14, False
    wide, high = struct.unpack("<HH", head[26:30])
    return wide % 2**14, high % 2**14, False


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content (of a large chunk only the last part) of every chunk of a PNG, to its end.

    Raises `EOFError` if the end is missing, and `ValueError` for a wrong checksum (PNG, third edition, 5.3) or another
    first chunk than IHDR, as of Apple's own kind, which readers would take for IHDR.
    """
    kind = b""
    file.seek(len(PNG))
    while kind != b"IEND":
        before, (left, kind) = kind, struct.unpack(">I4s", _exactly(file, 8))
        if not before and kind != b"IHDR":
            raise ValueError(f"it begins with a chunk {kind.decode('ascii', 'replace')}, not IHDR")
        checksum, content = zlib.crc32(kind), b""
        while left:
            content = _exactly(file, min(left, _PIECE))
            checksum, left = zlib.crc32(content, checksum), left - len(content)
        if _exactly(file, 4) != checksum.to_bytes(4, "big"):
            raise ValueError(f"the checksum of its chunk {kind.decode('ascii', 'replace')} is wrong")
        yield kind, content


def gif_extents(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield the right and bottom ends of a GIF's screen and frames, to its end mark (GIF 89a).

    Raises `EOFError` if the end mark is missing.
    """
    file.seek(0)
    head = _exactly(file, 13)
    yield struct.unpack("<HH", head[6:10])
    file.seek(_palette(head[10]), os.SEEK_CUR)
    while (mark := _exactly(file, 1)) != b";":
        if mark == b",":
            left, top, wide, high, flags = struct.unpack("<HHHHB", _exactly(file, 9))
            yield left + wide, top + high
            file.seek(_palette(flags) + 1, os.SEEK_CUR)
        elif mark == b"!":
            file.seek(1, os.SEEK_CUR)
        elif mark != b"\0":
            raise ValueError("a block of the GIF is of no known kind")
        else:
            continue
        while length := _exactly(file, 1)[0]:
            file.seek(length, os.SEEK_CUR)


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the contents of each box (ISO/IEC 14496-12, 4.2), as far as they are whole."""
    while start + 8 <= end:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        inside = start + 8
        if length == 1:
            length, inside = int.from_bytes(file.read(8), "big"), start + 16
        stop = end if length == 0 else start + length
        if not inside <= stop <= end:
            return
        yield kind, inside, stop
        start = stop


def box(file: BinaryIO, *kinds: bytes) -> tuple[int, int] | None:
    """Return start and end of the contents of the first box of these kinds, one inside the other, or None.

    A `meta` box begins with four bytes of version and flags.
    """
    start, end = 0, file.seek(0, os.SEEK_END)
    for wanted in kinds:
        found = next(((first, last) for kind, first, last in boxes(file, start, end) if kind == wanted), None)
        if found is None:
            return None
        start, end = found[0] + 4 * (wanted == b"meta"), found[1]
    return start, end


def properties(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and place of each property of the pictures in an AVIF or HEIC (ISO/IEC 23008-12, 9.3)."""
    inside = box(file, b"meta", b"iprp", b"ipco")
    for kind, start, _ in boxes(file, *inside) if inside else ():
        yield kind, start


def chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    """Write a chunk of a PNG."""
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))


def _palette(flags: int) -> int:
    return 3 * 2 ** (1 + flags % 8) if flags & 0x80 else 0


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise EOFError
    return found
