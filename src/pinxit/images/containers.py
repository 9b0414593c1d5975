"""How files of pictures are laid out: their parts are walked through and checked, and nothing is decoded."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
_PIECE = 1 << 20


def check_whole(file: BinaryIO, kind: str, animated: bool) -> None:
    """Raise `EOFError` if the end of a file is missing, and `ValueError` if a part is damaged, as far as it tells.

    Pillow skips the checksums of a PNG, and takes a GIF that was cut off for a shorter one. Bytes after the end do not
    matter. `kind` is Pillow's word. The place in the file stays.
    """
    place = file.tell()
    file.seek(0)
    if kind == "PNG":
        for _ in png_chunks(file):
            pass
    if kind == "GIF" and animated:
        _walk_gif(file)
    file.seek(place)


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


def _walk_gif(file: BinaryIO) -> None:
    """Walk through the blocks of a GIF (89a) to its end mark; raises `EOFError` if there is none."""
    head = _exactly(file, 13)
    file.seek(_palette(head[10]), os.SEEK_CUR)
    while (mark := _exactly(file, 1)) != b";":
        if mark == b",":
            file.seek(_palette(_exactly(file, 9)[8]) + 1, os.SEEK_CUR)
        elif mark == b"!":
            file.seek(1, os.SEEK_CUR)
        elif mark != b"\0":
            raise ValueError("a block of the GIF is of no known kind")
        else:
            continue
        while length := _exactly(file, 1)[0]:
            file.seek(length, os.SEEK_CUR)


def _palette(flags: int) -> int:
    return 3 * 2 ** (1 + flags % 8) if flags & 0x80 else 0


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise EOFError
    return found
