"""Animations: GIF, PNG and WebP files whose frames are read and written one at a time, every one of them.

Each frame is written as a still picture and its data put into the animation's container. Pillow's own writers keep all
frames in memory, and those that show nothing new they leave away.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, count, pairwise, takewhile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import GifImagePlugin, Image

from pinxit.errors import UsageError
from pinxit.files import whole_file
from pinxit.images import (
    ANIMATED,
    GIF_RECIPE,
    Picture,
    chunk,
    format_of,
    is_animation,
    load_picture,
    name_of,
    read_frames,
    write_picture,
)

Recipe = Mapping[str, Any] | None
PNG = b"\x89PNG\r\n\x1a\n"
_WEBP_TOLD = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}  # and the flags that say so


@dataclass(frozen=True)
class Animation:
    """Pictures of one size and kind that are shown one after the other, and again: `plays` times, 0 for ever.

    `frames` begins anew at each call, and gives them one at a time, as many as there are `durations`, in milliseconds.
    `format` is Pillow's word.
    """

    frames: Callable[[], Iterator[Picture]]
    durations: tuple[float, ...]
    plays: int
    format: str

    @property
    def lost(self) -> tuple[str, ...]:
        """What of the file is not in the pixels."""
        return next(self.frames()).lost


class _Seen(NamedTuple):
    """What of a frame is asked before any is given: whether it is grey, and whether one sees through it."""

    duration: float
    plays: int
    grey: bool
    clear: bool


def load(source: Path | BinaryIO, name: str | None = None) -> Picture | Animation:
    """Return a picture or an animation that is to be edited; raises as `load_picture` and `read_animation`."""
    return read_animation(source, name) if is_animation(source) else load_picture(source, name)


def read_animation(source: Path | BinaryIO, name: str | None = None) -> Animation:
    """Return an animation of which every frame was decoded once, so that a broken one is refused before any work.

    All frames get one kind of pixels: grey if all are grey, with alpha if any needs it. Raises as `read_frames`.
    """
    name = name_of(source, name)
    seen, kind = [], ""
    for picture, duration, plays in read_frames(source, name):
        clear = picture.pixels.shape[2] == 4 and bool((picture.pixels[..., 3] < 255).any())
        seen.append(_Seen(duration, plays, picture.grey, clear))
        kind = picture.format
    grey, clear = all(frame.grey for frame in seen), any(frame.clear for frame in seen)

    def frames() -> Iterator[Picture]:
        return (_alike(frame.picture, grey, clear) for frame in read_frames(source, name))

    return Animation(frames, tuple(frame.duration for frame in seen), seen[0].plays, kind)


def save_animation(path: Path, animation: Animation, recipe: Recipe = None) -> None:
    """Write an animation with the recipe that made it, whole or not at all, frame by frame.

    The suffix tells the format; `UsageError` if that cannot hold it. Of the metadata a GIF keeps the recipe alone.
    """
    kind = animated_kind_of(path)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        write_animation(file, kind, animation, recipe, path.name)


def write_animation(
    file: BinaryIO, kind: str, animation: Animation, recipe: Recipe = None, name: str = "animation"
) -> None:
    """Write into an open file as `save_animation` does; `kind` is Pillow's word ("GIF"), `name` for errors."""
    _CONTAINERS[kind](file, animation, recipe, name)


def animated_kind_of(path: Path) -> str:
    """Return Pillow's word for the format that a suffix tells; `UsageError` if it holds no animations."""
    kind = format_of(path)
    if kind not in ANIMATED:
        held = path.suffix or "a file without a suffix"
        raise UsageError(f"{path.name}: {held} holds no animation; .gif, .png and .webp do")
    return kind


def _alike(picture: Picture, grey: bool, clear: bool) -> Picture:
    """Return a frame as colours, with alpha where asked, or as grey."""
    pixels = picture.pixels
    colours = pixels[..., :1] if grey and not clear else np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3))
    alpha = pixels[..., 3:] if pixels.shape[2] == 4 else np.full_like(pixels[..., :1], 255)
    mode = ("L" if grey else "RGB", "LA" if grey else "RGBA")[clear]
    return replace(picture, pixels=np.concatenate([colours, alpha][: 1 + clear], axis=2), mode=mode)


def _still(kind: str, picture: Picture, recipe: Recipe, name: str) -> bytes:
    file = io.BytesIO()
    write_picture(file, kind, picture, recipe, name)
    return file.getvalue()


def _timed(animation: Animation) -> Iterator[tuple[Picture, float]]:
    return zip(animation.frames(), animation.durations, strict=True)


def _write_png(file: BinaryIO, animation: Animation, recipe: Recipe, name: str) -> None:
    """Write an animated PNG (PNG, third edition, 11.3.6): every frame whole, in the place of the one before."""
    order = count()
    for number, (picture, duration) in enumerate(_timed(animation)):
        chunks = _png_chunks(_still("PNG", picture, None if number else recipe, name))
        if number == 0:
            head = list(takewhile(lambda one: one[0] != b"IDAT", chunks))
            head.insert(1, (b"acTL", struct.pack(">II", len(animation.durations), animation.plays)))
            file.write(PNG)
            for kind, content in head:
                chunk(file, kind, content)
        high, wide = picture.pixels.shape[:2]
        seconds = _fraction(duration)
        place = struct.pack(">IIIII", next(order), wide, high, 0, 0)
        chunk(file, b"fcTL", place + struct.pack(">HHBB", seconds.numerator, seconds.denominator, 0, 0))
        for content in (content for kind, content in chunks if kind == b"IDAT"):
            if number == 0:
                chunk(file, b"IDAT", content)
            else:
                chunk(file, b"fdAT", struct.pack(">I", next(order)) + content)
    chunk(file, b"IEND", b"")


def _fraction(duration: float) -> Fraction:
    """Return milliseconds as a fraction of a second, of two numbers below 65,536."""
    seconds = min(duration / 1000, 65535.0)
    return Fraction(seconds).limit_denominator(max(1, min(1000, int(65535 / max(seconds, 1)))))


def _png_chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], len(PNG)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        found.append((png[place + 4 : place + 8], png[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def _write_webp(file: BinaryIO, animation: Animation, recipe: Recipe, name: str) -> None:
    """Write an animated WebP (RFC 9649, section 2.7): every frame whole, in the place of the one before."""
    times = _whole_numbers(animation.durations, 1)
    last: list[tuple[bytes, bytes]] = []
    file.write(b"RIFF\0\0\0\0WEBP")
    for number, ((picture, _), duration) in enumerate(zip(_timed(animation), times, strict=True)):
        chunks = _webp_chunks(_still("WEBP", picture, None if number else recipe, name))
        high, wide = picture.pixels.shape[:2]
        size = _three(wide - 1) + _three(high - 1)
        if number == 0:
            told = {kind: content for kind, content in chunks if kind in _WEBP_TOLD}
            last = [(kind, told[kind]) for kind in (b"EXIF", b"XMP ") if kind in told]
            clear = 0x10 if picture.pixels.shape[2] == 4 else 0
            flags = 0x02 | clear | sum(_WEBP_TOLD[kind] for kind in told)
            _webp_chunk(file, b"VP8X", struct.pack("<I", flags) + size)
            if b"ICCP" in told:
                _webp_chunk(file, b"ICCP", told[b"ICCP"])
            _webp_chunk(file, b"ANIM", struct.pack("<IH", 0, min(animation.plays, 65535)))
        frame = io.BytesIO()
        frame.write(bytes(6) + size + _three(duration) + b"\2")  # at the top left; not blended with the one before
        for kind, content in chunks:
            if kind in (b"ALPH", b"VP8 ", b"VP8L"):
                _webp_chunk(frame, kind, content)
        _webp_chunk(file, b"ANMF", frame.getvalue())
    for kind, content in last:
        _webp_chunk(file, kind, content)
    length = file.tell()
    file.seek(4)
    file.write(struct.pack("<I", length - 8))


def _webp_chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2))


def _webp_chunks(webp: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 12
    while place < len(webp):
        (length,) = struct.unpack_from("<I", webp, place + 4)
        found.append((webp[place : place + 4], webp[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return found


def _three(number: int) -> bytes:
    return struct.pack("<I", min(number, 0xFFFFFF))[:3]


def _write_gif(file: BinaryIO, animation: Animation, recipe: Recipe, name: str) -> None:
    """Write a GIF (89a): every frame with colours of its own, 256 at most; what stays as it was is not drawn anew.

    Where one sees through it, frames are whole. A pixel of less than half opacity is clear.
    """
    times = _whole_numbers(animation.durations, 10)
    shown = None
    for number, ((picture, _), duration) in enumerate(zip(_timed(animation), times, strict=True)):
        pixels = picture.pixels
        high, wide = pixels.shape[:2]
        if number == 0:
            if max(high, wide) > 65535:
                raise UsageError(f"{name}: GIF cannot hold {wide} x {high} pixels; .png works")
            file.write(b"GIF89a" + struct.pack("<HHBBB", wide, high, 0, 0, 0) + _gif_head(animation.plays, recipe))
        if pixels.shape[2] == 4:
            clear, disposal = pixels[..., 3] < 128, 2
        else:
            clear, disposal = np.zeros((high, wide), bool) if shown is None else (pixels == shown).all(axis=2), 1
            shown = pixels
        colours = np.ascontiguousarray(np.broadcast_to(pixels[..., :3], (high, wide, 3)))
        told: dict[str, Any] = {"duration": 10 * duration, "disposal": disposal, "include_color_table": True}
        told |= {"transparency": 255} if clear.any() else {}
        file.write(b"".join(GifImagePlugin.getdata(_with_palette(colours, clear), **told)))
    file.write(b";")


def _gif_head(plays: int, recipe: Recipe) -> bytes:
    """Return how often it is shown, of which once is said by nothing, and the recipe as a comment."""
    again = b"" if plays == 1 else b"!\xff\x0bNETSCAPE2.0\3\1" + struct.pack("<HB", min(max(plays - 1, 0), 65535), 0)
    told = b"" if recipe is None else GIF_RECIPE + json.dumps(recipe).encode()
    parts = [told[start : start + 255] for start in range(0, len(told), 255)]
    return again + (b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0" if parts else b"")


def _with_palette(colours: np.ndarray, clear: np.ndarray) -> Image.Image:
    """Return (H, W, 3) in 256 colours of its own, exactly if it has no more; number 255 is what is clear, if any is."""
    if clear.any() and not clear.all():
        colours = np.where(clear[..., None], colours[~clear][0], colours)
    picture = Image.fromarray(colours).quantize(256 - bool(clear.any()))
    numbers, palette = np.array(picture), np.array(picture.getpalette(), np.uint8)
    numbers[clear] = 255
    image = Image.fromarray(numbers, "L")
    image.putpalette(np.pad(palette, (0, 768 - len(palette))).tobytes())
    return image


def _whole_numbers(durations: Sequence[float], unit: int) -> list[int]:
    """Return durations in whole units, so rounded that no frame comes more than half a unit early or late."""
    return [int(after - before) for before, after in pairwise(round(end / unit) for end in (0, *accumulate(durations)))]


_CONTAINERS = {"GIF": _write_gif, "PNG": _write_png, "WEBP": _write_webp}
