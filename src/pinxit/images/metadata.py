"""Metadata in picture files: orientation, colour profile, Exif, resolution, and the recipe that made a result."""

from __future__ import annotations

import html
import json
import re
import struct
import zlib
from typing import Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from pinxit.images.picture import NO_EXIF, NO_PROFILE, Metadata

# Pillow raises all of these for malformed files (20,000 mutants); struct, zlib and EOF come from its parsers.
BROKEN = (
    *(OSError, SyntaxError, ValueError, RuntimeError, MemoryError, EOFError, struct.error, zlib.error),
    *(ArithmeticError, AttributeError, LookupError, TypeError),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)

RECIPE = "pinxit"  # the keyword of a PNG's text
GIF_RECIPE = b"pinxit:recipe="
_XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:pinxit="urn:pinxit" pinxit:recipe="{}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)

# Exif orientation (tag 274) -> the turn that shows the picture upright.
_UPRIGHT = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}

_Base = ExifTags.Base
# Exif tags that an edit keeps: what a person or a camera said about the picture, not the layout of the file.
_KEPT = frozenset(
    (
        *(_Base.ImageDescription, _Base.Make, _Base.Model, _Base.Software, _Base.DateTime, _Base.Artist),
        *(_Base.Copyright, _Base.Rating, _Base.XPTitle, _Base.XPComment, _Base.XPAuthor, _Base.XPKeywords),
        _Base.XPSubject,
    )
)
# Camera tags that an edit drops: owner, serial numbers, and positions in the old pixels.
_DROPPED = frozenset(
    (
        *(_Base.MakerNote, _Base.CameraOwnerName, _Base.BodySerialNumber, _Base.LensSerialNumber, _Base.ImageUniqueID),
        *(_Base.ExifImageWidth, _Base.ExifImageHeight, _Base.SubjectLocation, 0x9214, ExifTags.IFD.Interop),
    )
)


def orientation(image: Image.Image) -> int:
    """Return the Exif orientation, 1 to 8; 1 if there is none or it cannot be read."""
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation)
    except BROKEN:
        return 1
    return turn if isinstance(turn, int) and turn in _UPRIGHT else 1


def upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Return stored pixels (H, W, C) turned as the Exif orientation `turn` asks."""
    return np.ascontiguousarray(_UPRIGHT.get(turn, lambda pixels: pixels)(pixels))


def metadata_of(image: Image.Image, grey: bool, turn: int) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata that an edit keeps, and remarks on what is lost; `turn` is the Exif orientation."""
    icc = None if image.mode == "CMYK" else image.info.get("icc_profile") or None
    unfit = icc is not None and not profile_fits(icc, grey)
    try:
        exif = image.getexif()
        kept, dpi, broken = _kept_exif(exif), _dpi(image, exif), bool(image.info.get("exif") and not exif)
    except BROKEN:
        kept, dpi, broken = None, None, True
    if dpi and turn >= 5:  # the turns that swap width and height
        dpi = dpi[::-1]
    text = image.text if isinstance(image, PngImagePlugin.PngImageFile) else {}
    private = ("XML:com.adobe.xmp", "Raw profile", RECIPE)  # the first two may say where the picture was taken
    kept_text = {key: str(text[key]) for key in text if not key.startswith(private)}
    lost = (*[NO_PROFILE] * unfit, *[NO_EXIF] * broken)
    return Metadata(None if unfit else icc, kept, dpi, kept_text), lost


def profile_fits(icc: bytes, grey: bool) -> bool:
    """Return whether a colour profile is for grey, or for RGB, as the picture is."""
    return icc[16:20] == (b"GRAY" if grey else b"RGB ")


def recipe_of(image: Image.Image) -> Any:
    """Return the JSON value of the recipe in a file's metadata, None if there is none."""
    text, comment, xmp = (image.info.get(key) for key in (RECIPE, "comment", "xmp"))
    if text is None and image.format == "GIF" and isinstance(comment, bytes) and comment.startswith(GIF_RECIPE):
        text = comment.removeprefix(GIF_RECIPE).decode()
    if text is None and isinstance(xmp, bytes) and (found := re.search(rb'pinxit:recipe="([^"]*)"', xmp)):
        text = html.unescape(found[1].decode())
    return None if text is None else json.loads(text)


def recipe_xmp(recipe: str) -> bytes:
    """Return an XMP packet that holds a recipe, which is JSON text."""
    return _XMP.format(html.escape(recipe)).encode()


def _kept_exif(exif: Image.Exif) -> bytes | None:
    kept = Image.Exif()
    for tag in _KEPT.intersection(exif):
        kept[tag] = exif[tag]
    if camera := {tag: value for tag, value in exif.get_ifd(ExifTags.IFD.Exif).items() if tag not in _DROPPED}:
        kept[ExifTags.IFD.Exif] = camera
    return kept.tobytes() if kept else None


def _dpi(image: Image.Image, exif: Image.Exif) -> tuple[float, float] | None:
    inch = {2: 1.0, 3: 2.54}.get(exif.get(_Base.ResolutionUnit, 2), 0.0)
    found = [inch * exif.get(tag, 0) for tag in (_Base.XResolution, _Base.YResolution)]
    if image.format in ("PNG", "BMP") or image.info.get("jfif_unit"):  # Pillow invents a value for other files
        found = image.info.get("dpi", found)
    across, down = float(found[0]), float(found[1])
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None
