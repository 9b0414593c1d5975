"""What a file says of its colours beside a profile: a PNG's chunks, the nclx of an AVIF or a HEIC."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import BinaryIO

from PIL import Image

from pinxit.images.containers import properties
from pinxit.images.picture import HDR, OTHER_CURVE, WIDE, ColourTags

_LIKE_SRGB = ({1, 2}, {1, 2, 6, 13, 14, 15})  # primaries and transfers (H.273) that are shown as sRGB is
_PQ, _HLG = 16, 18
_PNG_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
_SRGB_GAMMA = 45455
_SRGB_XY = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def colour_tags(file: BinaryIO, image: Image.Image, chunks: Mapping[bytes, bytes]) -> ColourTags:
    """Return what the file of an image says of its colours, where it is in force and not sRGB.

    `chunks` are those of a PNG: its cICP goes before its profile, that before sRGB, that before gAMA and cHRM (PNG,
    third edition, 4.3).
    """
    profile = "icc_profile" in image.info
    if image.format == "PNG":
        return _of_png(chunks, profile)
    if image.format in ("AVIF", "HEIF") and not profile:
        return ColourTags(cicp=_other(_nclx(file)))
    return ColourTags()


def told_of(tags: ColourTags) -> tuple[str, ...]:
    """Return remarks on colours that are used as they are stored, although others would show them differently."""
    if tags.cicp:
        return (HDR if tags.cicp[1] in (_PQ, _HLG) else WIDE,)
    return (OTHER_CURVE,) * bool(tags.gamma or tags.chromaticities)


def _of_png(found: Mapping[bytes, bytes], profile: bool) -> ColourTags:
    chunks = tuple((kind, found[kind]) for kind in _PNG_CHUNKS if len(found.get(kind, b"")) in (1, 4, 32))
    if len(found.get(b"cICP", b"")) == 4:
        first, second, third, last = found[b"cICP"]
        return ColourTags(cicp=_other((first, second, third, last)), chunks=chunks)
    if profile or b"sRGB" in found:
        return ColourTags(chunks=chunks)
    gamma = struct.unpack(">I", found[b"gAMA"])[0] if len(found.get(b"gAMA", b"")) == 4 else None
    points = struct.unpack(">8I", found[b"cHRM"]) if len(found.get(b"cHRM", b"")) == 32 else None
    if points and all(abs(one - other) <= 100 for one, other in zip(points, _SRGB_XY, strict=True)):
        points = None
    gamma = None if not gamma or abs(gamma - _SRGB_GAMMA) <= 100 else gamma
    return ColourTags(gamma=gamma, chromaticities=points, chunks=chunks)


def _nclx(file: BinaryIO) -> tuple[int, int, int, int] | None:
    for kind, start in properties(file):
        file.seek(start)
        if kind == b"colr" and file.read(4) == b"nclx":
            primaries, transfer, matrix, flags = struct.unpack(">HHHB", file.read(7))
            return primaries, transfer, matrix, flags >> 7
    return None


def _other(cicp: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
    """Return code points unless they are shown as sRGB is."""
    return None if cicp is None or all(code in same for code, same in zip(cicp, _LIKE_SRGB, strict=False)) else cicp
