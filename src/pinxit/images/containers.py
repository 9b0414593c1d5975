"""How files of pictures are laid out: their parts are walked through and checked, and nothing is decoded."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
_PIECE = 1 << 20


def check_whole(file: BinaryIO, kind: str, animated: bool) -> None:
    """Raise `EOFError` if the end of a file is missing, and `ValueError` if a part is damaged, as far as it tells.

    Pillow skips the checksums of a PNG, and takes a GIF that was cut off for a shorter one. Bytes after the end do not
    matter. `kind` is Pillow's word. The place in the file stays.
    """
    place = file.tell()
    if kind == "PNG":
        for _ in png_chunks(file):
            pass
    if kind == "GIF" and animated:
        for _ in gif_extents(file):
            pass
    file.seek(place)


def canvas(file: BinaryIO) -> tuple[int, int]:
    """Return the width and height that Pillow takes memory for when it opens or seeks a WebP or a GIF; else (0, 0)."""
    file.seek(0)
    head = file.read(30)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[:3] == b"GIF":
        wide, high = 0, 0
        with suppress(EOFError, ValueError):  # which the decoder reports
            for right, bottom in gif_extents(file):
                wide, high = max(wide, right), max(high, bottom)
        return wide, high
    return 0, 0


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, place and length of every chunk of a PNG whose checksum is right, to its end.

    Raises `EOFError` if the end is missing, and `ValueError` for a wrong checksum (PNG, third edition, 5.3).
    """
    place, size, kind = len(PNG), file.seek(0, os.SEEK_END), b""
    while kind != b"IEND":
        if place + 12 > size:
            raise EOFError
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        if place + 12 + length > size:
            raise EOFError
        checksum, left = zlib.crc32(kind), length
        while left:
            piece = file.read(min(left, _PIECE))
            checksum, left = zlib.crc32(piece, checksum), left - len(piece)
        if file.read(4) != struct.pack(">I", checksum):
            raise ValueError(f"the checksum of its chunk {kind.decode('ascii', 'replace')} is wrong")
        yield kind, place + 8, length
        place += 12 + length


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


def _palette(flags: int) -> int:
    return 3 * 2 ** (1 + flags % 8) if flags & 0x80 else 0


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise EOFError
    return found
