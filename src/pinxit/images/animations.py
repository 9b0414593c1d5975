"""Animations: GIF, PNG and WebP files, whose frames are read and written one at a time, and the pages of TIFF files.

Each frame is written as a still picture, and its data are put into the container of the animation. Pillow's own writers
keep all frames in memory and leave out frames that show nothing new.
"""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, count, pairwise, takewhile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import GifImagePlugin, Image, TiffImagePlugin

from pinxit.errors import DataError, UsageError, UserError
from pinxit.files import whole_file
from pinxit.images import tiff
from pinxit.images.containers import PNG, check_whole, chunk
from pinxit.images.metadata import GIF_RECIPE, metadata_of, orientation, upright
from pinxit.images.picture import ColourTags, Metadata, Picture
from pinxit.images.pillow import is_deep, pixels_of_image
from pinxit.images.read import load_picture, name_of, opened
from pinxit.images.room import check_frames
from pinxit.images.tags import colour_tags
from pinxit.images.write import AUTO, Quality, format_of, write_picture

ANIMATED = ("GIF", "PNG", "WEBP")  # the formats of animations that are read and written
PAGED = "TIFF"  # whose pages are edited as frames are
_WEBP_FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}  # metadata chunks and their flags

Recipe = Mapping[str, Any] | None


@dataclass(frozen=True)
class Animation:
    """Frames of one size and kind with their durations; `plays` is how often they are shown, 0 for ever.

    Each call of `frames` starts from the first frame and gives one at a time, as many as there are `durations`
    (milliseconds). `format` is Pillow's word.
    """

    frames: Callable[[], Iterator[Picture]]
    durations: tuple[float, ...]
    plays: int
    format: str

    @property
    def first(self) -> Picture:
        """The first frame, decoded anew."""
        return next(self.frames())


def first_of(media: Picture | Animation) -> Picture:
    """Return a picture, or the first frame of an animation."""
    return media if isinstance(media, Picture) else media.first


def load_media(source: Path | BinaryIO, name: str | None = None) -> Picture | Animation:
    """Return a picture or an animation to be edited; raises as `load_picture` and `read_animation`."""
    return read_animation(source, name) if is_animation(source, name) else load_picture(source, name)


def is_animation(source: Path | BinaryIO, name: str | None = None) -> bool:
    """Return whether a file holds several frames, in a format of `ANIMATED`, or several pages.

    An unreadable file does not count; reading it reports the error.
    """
    name = name_of(source, name)
    try:
        with opened(source, name) as file:
            if tiff.knows(file):
                return tiff.count_pages(file, name) > 1
            file.seek(0)
            with Image.open(file, formats=ANIMATED) as image:
                return bool(getattr(image, "is_animated", False))
    except UserError:
        return False


def read_animation(source: Path | BinaryIO, name: str | None = None) -> Animation:
    """Return an animation, having decoded every frame once, so that a broken one is refused before any work.

    All frames get one kind of pixels: grey if all are grey, with alpha if any needs it. Raises as `read_frames`.
    """
    name = name_of(source, name)
    with opened(source, name) as file:
        if tiff.knows(file):
            return _paged(source, name)
    shown: list[tuple[float, int]] = []
    grey, clear = True, False
    for picture, duration, plays in read_frames(source, name):
        shown.append((duration, plays))
        grey = grey and picture.grey
        clear = clear or (picture.pixels.shape[2] == 4 and bool((picture.pixels[..., 3] < 255).any()))

    def frames() -> Iterator[Picture]:
        return (_alike(picture, grey, clear) for picture, _, _ in read_frames(source, name))

    return Animation(frames, tuple(duration for duration, _ in shown), shown[0][1], picture.format)


def _paged(source: Path | BinaryIO, name: str) -> Animation:
    """Return the pages of a TIFF, each decoded once, as frames without durations, of any sizes and kinds."""

    def pages() -> Iterator[Picture]:
        with opened(source, name) as file:
            yield from tiff.read_pages(file, name)

    return Animation(pages, (0.0,) * sum(1 for _ in pages()), 1, PAGED)


def read_frames(source: Path | BinaryIO, name: str) -> Iterator[tuple[Picture, float, int]]:
    """Decode an animation frame by frame: the whole picture shown, its duration, and the animation's number of plays.

    One frame is in memory at a time. Raises as `read_picture`, and for 16 bits. A PNG's still picture for programs
    without animations is skipped.
    """
    with opened(source, name) as file, Image.open(file, formats=ANIMATED) as image:
        tags = _checked(file, image, name)
        size, first, turn = image.size, int(getattr(image, "default_image", False)), 1
        plays = _plays(image)
        keeps: Metadata | None = None
        lost: tuple[str, ...] = ()
        for number in range(first, getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            if image.size != size:
                raise DataError(f"{name}: its frames have different sizes")
            turn = max(turn, orientation(image))
            pixels, _ = pixels_of_image(image, name)
            picture = Picture(upright(pixels, turn), image.format or "", image.mode)
            if keeps is None:
                keeps, lost = metadata_of(image, picture.grey, turn, tags)
            yield replace(picture, lost=lost, keeps=keeps), float(image.info.get("duration", 0)), plays


def _checked(file: BinaryIO, image: Image.Image, name: str) -> ColourTags:
    """Refuse an animation that is too deep, too large or not whole, before it is decoded; return its colour tags."""
    if is_deep(image):  # asked before the first frame is loaded, after which Pillow has forgotten it
        raise DataError(f"{name}: a 16-bit animation; only 8-bit animations are read")
    place, kind = file.tell(), image.format or ""
    check_frames(image.size, getattr(image, "n_frames", 1), file.seek(0, os.SEEK_END), name)
    tags = colour_tags(file, image, check_whole(file, kind, animated=True))
    file.seek(place)
    return tags


def save_animation(path: Path, animation: Animation, recipe: Recipe = None, quality: Quality = AUTO) -> None:
    """Write an animation with the recipe that made it, frame by frame, whole or not at all.

    The suffix decides the format; `UsageError` if that cannot hold it. A GIF keeps no metadata but the recipe.
    """
    kind = animated_kind_of(path)
    with whole_file(path) as temporary, temporary.open("w+b") as file:
        write_animation(file, kind, animation, recipe, path.name, quality)


def write_animation(
    file: BinaryIO,
    kind: str,
    animation: Animation,
    recipe: Recipe = None,
    name: str = "animation",
    quality: Quality = AUTO,
) -> None:
    """Write into an open file as `save_animation` does; `kind` is Pillow's word ("GIF"), `name` for errors."""
    if (kind == PAGED) != (animation.format == PAGED):
        raise UsageError(f"{name}: pages of a TIFF are written as .tif, and animations as .gif, .png or .webp")
    _CONTAINERS[kind](file, animation, recipe, name, quality)


def animated_kind_of(path: Path) -> str:
    """Return Pillow's word for the format of a suffix; `UsageError` if it holds no animations."""
    kind = format_of(path)
    if kind not in (*ANIMATED, PAGED):
        suffix = path.suffix or "a file without a suffix"
        raise UsageError(f"{path.name}: {suffix} holds no animation; .gif, .png and .webp do, and .tif holds pages")
    return kind


def _plays(image: Image.Image) -> int:
    """Return how often an animation plays, 0 for ever. A GIF stores the repetitions after the first time, if any."""
    if image.format == "GIF":
        again = image.info.get("loop")
        return 1 if again is None else again + bool(again)
    return int(image.info.get("loop", 0))


def _alike(picture: Picture, grey: bool, clear: bool) -> Picture:
    """Return a frame as grey if `grey`, else in colour, and with alpha if `clear`."""
    pixels = picture.pixels
    colours = pixels[..., :1] if grey and not clear else np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3))
    alpha = pixels[..., 3:] if pixels.shape[2] == 4 else np.full_like(pixels[..., :1], 255)
    mode = ("L" if grey else "RGB", "LA" if grey else "RGBA")[clear]
    return replace(picture, pixels=np.concatenate([colours, alpha][: 1 + clear], axis=2), mode=mode)


def _still(kind: str, picture: Picture, recipe: Recipe, name: str, quality: Quality) -> bytes:
    file = io.BytesIO()
    write_picture(file, kind, picture, recipe, name, quality)
    return file.getvalue()


def _write_png(file: BinaryIO, animation: Animation, recipe: Recipe, name: str, quality: Quality) -> None:
    """Write an animated PNG (PNG, third edition, 11.3.6): every frame is complete and replaces the one before."""
    order = count()
    for number, (picture, duration) in enumerate(zip(animation.frames(), animation.durations, strict=True)):
        chunks = _chunks(_still("PNG", picture, None if number else recipe, name, quality), len(PNG), ">I4s")
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
    """Return milliseconds as a fraction of a second; both of its numbers are below 65,536."""
    seconds = min(duration / 1000, 65535.0)
    return Fraction(seconds).limit_denominator(max(1, min(1000, int(65535 / max(seconds, 1)))))


def _chunks(content: bytes, place: int, head: str) -> list[tuple[bytes, bytes]]:
    """Return kind and content of each chunk from `place` on; `head` is PNG's ">I4s" or WebP's "<4sI"."""
    found = []
    while place < len(content):
        first, second = struct.unpack_from(head, content, place)
        kind, length = (second, first) if head == ">I4s" else (first, second)
        found.append((kind, content[place + 8 : place + 8 + length]))
        place += 8 + length + (4 if head == ">I4s" else length % 2)  # a checksum, or padding to an even length
    return found


def _write_webp(file: BinaryIO, animation: Animation, recipe: Recipe, name: str, quality: Quality) -> None:
    """Write an animated WebP (RFC 9649, section 2.7): every frame is complete and replaces the one before."""
    times = _whole_numbers(animation.durations, 1)
    metadata: dict[bytes, bytes] = {}
    file.write(b"RIFF\0\0\0\0WEBP")
    for number, (picture, duration) in enumerate(zip(animation.frames(), times, strict=True)):
        chunks = _chunks(_still("WEBP", picture, None if number else recipe, name, quality), 12, "<4sI")
        high, wide = picture.pixels.shape[:2]
        size = _three(wide - 1) + _three(high - 1)
        if number == 0:
            metadata = {kind: content for kind, content in chunks if kind in _WEBP_FLAGS}
            clear = 0x10 if picture.pixels.shape[2] == 4 else 0
            flags = 0x02 | clear | sum(_WEBP_FLAGS[kind] for kind in metadata)
            file.write(_webp_chunk(b"VP8X", struct.pack("<I", flags) + size))
            if b"ICCP" in metadata:
                file.write(_webp_chunk(b"ICCP", metadata[b"ICCP"]))
            file.write(_webp_chunk(b"ANIM", struct.pack("<IH", 0, min(animation.plays, 65535))))
        frame = bytes(6) + size + _three(duration) + b"\2"  # at the top left, not blended with the frame before
        data = (_webp_chunk(*chunk) for chunk in chunks if chunk[0] in (b"ALPH", b"VP8 ", b"VP8L"))
        file.write(_webp_chunk(b"ANMF", frame + b"".join(data)))
    for kind in (b"EXIF", b"XMP "):
        if kind in metadata:
            file.write(_webp_chunk(kind, metadata[kind]))
    length = file.tell()
    file.seek(4)
    file.write(struct.pack("<I", length - 8))


def _write_tiff(file: BinaryIO, animation: Animation, recipe: Recipe, name: str, quality: Quality) -> None:
    """Write the pages of a TIFF. Exif stands with the first page only: Pillow does not move its directory."""
    with TiffImagePlugin.AppendingTiffWriter(file) as pages:
        for number, picture in enumerate(animation.frames()):
            if number:
                pages.newFrame()
                picture = replace(picture, keeps=replace(picture.keeps, exif=None))
            write_picture(pages, "TIFF", picture, None if number else recipe, name, quality)


def _webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _three(number: int) -> bytes:
    return struct.pack("<I", min(number, 0xFFFFFF))[:3]


def _write_gif(file: BinaryIO, animation: Animation, recipe: Recipe, name: str, quality: Quality) -> None:
    """Write a GIF (89a): every frame has its own palette of at most 256 colours; unchanged pixels are left out.

    Frames with transparency are complete. A pixel of less than half opacity becomes transparent.
    """
    times = _whole_numbers(animation.durations, 10)
    shown = None
    for number, (picture, duration) in enumerate(zip(animation.frames(), times, strict=True)):
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
        options: dict[str, Any] = {"duration": 10 * duration, "disposal": disposal, "include_color_table": True}
        options |= {"transparency": 255} if clear.any() else {}
        file.write(b"".join(GifImagePlugin.getdata(_with_palette(colours, clear), **options)))
    file.write(b";")


def _gif_head(plays: int, recipe: Recipe) -> bytes:
    """Return the number of plays, which is left out for one, and the recipe as a comment."""
    again = b"" if plays == 1 else b"!\xff\x0bNETSCAPE2.0\3\1" + struct.pack("<HB", min(max(plays - 1, 0), 65535), 0)
    text = b"" if recipe is None else GIF_RECIPE + json.dumps(recipe).encode()
    parts = [text[start : start + 255] for start in range(0, len(text), 255)]
    return again + (b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0" if parts else b"")


def _with_palette(colours: np.ndarray, clear: np.ndarray) -> Image.Image:
    """Return (H, W, 3) with its own palette of 256 colours, exact if that suffices; index 255 is for `clear` pixels."""
    if clear.any() and not clear.all():
        colours = np.where(clear[..., None], colours[~clear][0], colours)
    picture = Image.fromarray(colours).quantize(256 - bool(clear.any()))
    numbers, palette = np.array(picture), np.array(picture.getpalette(), np.uint8)
    numbers[clear] = 255
    image = Image.fromarray(numbers, "L")
    image.putpalette(np.pad(palette, (0, 768 - len(palette))).tobytes())
    return image


def _whole_numbers(durations: Sequence[float], unit: int) -> list[int]:
    """Return durations in whole units, rounded so that no frame starts more than half a unit early or late."""
    return [int(after - before) for before, after in pairwise(round(end / unit) for end in (0, *accumulate(durations)))]


_CONTAINERS = {"GIF": _write_gif, "PNG": _write_png, "WEBP": _write_webp, PAGED: _write_tiff}
