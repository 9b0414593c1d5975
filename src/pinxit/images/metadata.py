"""Metadata in picture files: orientation, colour profile, Exif, resolution, and the recipe that made a result."""

from __future__ import annotations

import html
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Set
from numbers import Number
from typing import Any

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile, iTXt

from pinxit.images.picture import NO_EXIF, NO_PROFILE, NO_TAGS, ColourTags, JpegCoding, Metadata
from pinxit.images.tags import told_of

# Pillow raises all of these for malformed files (20,000 mutants); struct, zlib and EOF come from its parsers.
BROKEN = (
    *(OSError, SyntaxError, ValueError, RuntimeError, MemoryError, EOFError, struct.error, zlib.error),
    *(ArithmeticError, AttributeError, LookupError, TypeError),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)

RECIPE = "pinxit"  # the keyword of a PNG's text
GIF_RECIPE = b"pinxit:recipe="
_RECIPE_XMP = (
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
_CAMERA, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.Interop
_UTF8_TEXT = 129  # a type of Exif 3.0 that Pillow does not know
XMP_FIELD = 700
_LARGEST_XMP = 1 << 20
_DC, _RDF = "{http://purl.org/dc/elements/1.1/}", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_XMP_WORDS = {"Title": "title", "Author": "creator", "Description": "description", "Copyright": "rights"}
_PNG_XMP = "XML:com.adobe.xmp"
_FOREIGN_XMP = "XMP of another program"

# Only these are kept: what is not known to be harmless may say where the picture was taken, by whom and with which
# camera. First the Exif fields of the picture: what a person or a camera said about it, not the layout of the file.
_KEPT = frozenset(
    (
        *(_Base.ImageDescription, _Base.Make, _Base.Model, _Base.Software, _Base.DateTime, _Base.Artist),
        *(_Base.Copyright, _Base.Rating, _Base.XPTitle, _Base.XPComment, _Base.XPAuthor, _Base.XPKeywords),
        _Base.XPSubject,
    )
)
# The camera's settings: numbers (or a few bytes, such as a version) and texts.
_NUMBERS = frozenset(
    (
        *(_Base.ExposureTime, _Base.FNumber, _Base.ExposureProgram, _Base.ISOSpeedRatings, _Base.SensitivityType),
        *(_Base.StandardOutputSensitivity, _Base.RecommendedExposureIndex, _Base.ISOSpeed, _Base.ExifVersion),
        *(_Base.ShutterSpeedValue, _Base.ApertureValue, _Base.BrightnessValue, _Base.ExposureBiasValue),
        *(_Base.MaxApertureValue, _Base.SubjectDistance, _Base.MeteringMode, _Base.LightSource, _Base.Flash),
        *(_Base.FocalLength, _Base.ColorSpace, _Base.Gamma, _Base.FlashEnergy, _Base.ExposureIndex),
        *(_Base.SensingMethod, _Base.FileSource, _Base.SceneType, _Base.CustomRendered, _Base.ExposureMode),
        *(_Base.WhiteBalance, _Base.DigitalZoomRatio, _Base.FocalLengthIn35mmFilm, _Base.SceneCaptureType),
        *(_Base.GainControl, _Base.Contrast, _Base.Saturation, _Base.Sharpness, _Base.SubjectDistanceRange),
        *(_Base.LensSpecification, _Base.CompositeImage),
    )
)
_TEXTS = frozenset(
    (
        *(_Base.DateTimeOriginal, _Base.DateTimeDigitized, _Base.OffsetTime, _Base.OffsetTimeOriginal),
        *(_Base.OffsetTimeDigitized, _Base.SubsecTime, _Base.SubsecTimeOriginal, _Base.SubsecTimeDigitized),
        *(_Base.LensMake, _Base.LensModel),
    )
)
_TIMES = frozenset((_Base.DateTime, *_TEXTS)) - {_Base.LensMake, _Base.LensModel}
_COLOUR_RULES = ("R98", "R03", "THM")  # what the interoperability of Exif says of the colours
# The layout of the old file, which nobody misses; other fields are named when they are dropped.
_LAYOUT = frozenset(
    (
        *(_CAMERA, _INTEROP, _Base.Orientation, _Base.XResolution, _Base.YResolution, _Base.ResolutionUnit),
        *(_Base.ExifImageWidth, _Base.ExifImageHeight, _Base.ComponentsConfiguration, _Base.FlashPixVersion),
        *(_Base.CompressedBitsPerPixel, _Base.YCbCrPositioning, _Base.InterColorProfile, *range(0xFE, 0x10D)),
        *(0x111, *range(0x115, 0x11A), 0x11C, *range(0x11E, 0x120), *range(0x13D, 0x151), *range(0x152, 0x157)),
        *(*range(0x200, 0x203), *range(0x211, 0x215)),
    )
)
# The texts of a PNG that are kept: the keywords of its standard, and names that other programs give the same words.
_KEPT_TEXTS = frozenset(
    (
        *("title", "author", "artist", "description", "copyright", "creation time", "software", "disclaimer"),
        *("warning", "source", "comment", "keywords", "date:create", "date:modify", "date:timestamp"),
        *("exif:artist", "exif:copyright", "exif:imagedescription", "dc:creator", "dc:rights", "dc:title"),
        "dc:description",
    )
)

# Exif's fields for such texts, of which the first is used.
_TEXT_FIELDS = {
    **dict.fromkeys(("author", "artist", "exif:artist", "dc:creator"), _Base.Artist),
    **dict.fromkeys(("copyright", "exif:copyright", "dc:rights"), _Base.Copyright),
    **dict.fromkeys(("description", "exif:imagedescription", "dc:description", "title"), _Base.ImageDescription),
}

TiffImagePlugin.ImageFileDirectory_v2._load_dispatch.setdefault(
    _UTF8_TEXT, TiffImagePlugin.ImageFileDirectory_v2._load_dispatch[2]
)


class _Text(str):
    """A text of Exif. Pillow reads its bytes as Latin-1, and would write ASCII; this one is written as it was read."""

    __slots__ = ()

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        """Return the bytes that stood in the file, whatever is asked for."""
        return super().encode("latin-1", "replace")


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


def metadata_of(
    image: Image.Image, grey: bool, turn: int, tags: ColourTags = NO_TAGS
) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata that an edit keeps, and remarks on what is lost; `turn` is the Exif orientation."""
    icc = None if image.mode == "CMYK" else image.info.get("icc_profile") or None
    unfit = icc is not None and not profile_fits(icc, grey)
    try:
        exif = image.getexif()
        kept, dpi, broken = _kept_exif(exif), _dpi(image, exif), bool(image.info.get("exif") and not exif)
        dropped = tuple(_dropped_fields(exif))
    except BROKEN:
        kept, dpi, broken, dropped = None, None, True, ()
    if dpi and turn >= 5:  # the turns that swap width and height
        dpi = dpi[::-1]
    text = image.text if isinstance(image, PngImageFile) else {}
    kept_text = {key: _own_words(text[key]) for key in text if key.casefold() in _KEPT_TEXTS}
    kept_text |= _words_of_xmp(image.info.get("xmp"), {*map(str.casefold, kept_text)}, kept)
    lost = (*told_of(tags), *[NO_PROFILE] * unfit, *[NO_EXIF] * broken)
    dropped = tuple(dict.fromkeys((*dropped, *_dropped_parts(image))))
    coding = _coding(image, turn) if isinstance(image, JpegImageFile) else None
    return Metadata(None if unfit else icc, kept, dpi, kept_text, dropped, coding, tags), lost


def exif_of(content: bytes | None) -> Image.Exif:
    """Return Exif data to be written, whose texts keep the bytes that they have; no data give empty ones."""
    exif = Image.Exif()
    if content:
        exif.load(content)
    camera, rules = exif.get_ifd(_CAMERA), exif.get_ifd(_INTEROP)
    for fields in (exif, camera):
        for tag, value in list(fields.items()):
            if isinstance(value, str):
                fields[tag] = _Text(value)
    if rules:
        camera[_INTEROP] = rules
    return exif


def add_texts(exif: Image.Exif, texts: Mapping[str, str]) -> None:
    """Add the texts that Exif has a field for, in UTF-8, where the field is not used yet."""
    for key, text in texts.items():
        tag = _TEXT_FIELDS.get(key.casefold())
        if tag and tag not in exif:
            exif[tag] = _Text(text.encode(errors="replace").decode("latin-1"))


def fits_exif(key: str) -> bool:
    """Return whether Exif has a field for a PNG's text of this keyword."""
    return key.casefold() in _TEXT_FIELDS


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
    return _RECIPE_XMP.format(html.escape(recipe)).encode()


def _kept_exif(exif: Image.Exif) -> bytes | None:
    if not exif:
        return None
    kept = Image.Exif()
    for tag in _KEPT.intersection(exif):
        if not isinstance(exif[tag], str):
            kept[tag] = exif[tag]
        elif (text := _own_text(tag, exif[tag])) is not None:
            kept[tag] = text
    found = exif.get_ifd(_CAMERA)
    camera: dict[int, Any] = {tag: found[tag] for tag in found if tag in _NUMBERS and _harmless(found[tag])}
    texts = {tag: _own_text(tag, found[tag]) for tag in found if tag in _TEXTS and isinstance(found[tag], str)}
    camera |= {tag: text for tag, text in texts.items() if text is not None}
    rule = exif.get_ifd(_INTEROP).get(1)
    if rule in _COLOUR_RULES:
        camera[_INTEROP] = {1: rule, 2: b"0100"}
    if camera:
        kept[_CAMERA] = camera
    return kept.tobytes() if kept else None


def _own_words(text: str) -> str:
    """Return a PNG's text without a language and a translated keyword, which may be anything."""
    return iTXt(text) if isinstance(text, iTXt) else text


def _own_text(tag: int, text: str) -> _Text | None:
    """Return the text of a field, None for a time that is none: a damaged field may begin or end in another one."""
    if tag in _TIMES and not re.fullmatch(r"[0-9:.+\- \0]{0,32}", text):
        return None
    return _Text(text if tag == _Base.Copyright else text.partition("\0")[0])  # a copyright has two parts


def _harmless(value: Any) -> bool:
    """Return whether a value is numbers, or at most the four bytes of a version."""
    if isinstance(value, bytes):
        return len(value) <= 4
    return all(isinstance(one, Number) for one in (value if isinstance(value, tuple) else (value,)))


def _coding(image: JpegImageFile, turn: int) -> JpegCoding:
    """Return how a JPEG was compressed. What cannot be written, or not after the turn, becomes 4:4:4."""
    subsampling = get_sampling(image)
    if subsampling < 0 or (turn >= 5 and subsampling == 1):  # 4:2:2 turned is 4:4:0
        subsampling = 0
    return JpegCoding(subsampling, tuple(tuple(table) for _, table in sorted(image.quantization.items())))


def _dropped_fields(exif: Image.Exif) -> Iterator[str]:
    """Yield the names of the Exif fields that an edit does not keep."""
    if ExifTags.IFD.GPSInfo in exif:
        yield "GPS"
    for tag in (*exif, *exif.get_ifd(_CAMERA)):
        if tag == XMP_FIELD:
            yield from [_FOREIGN_XMP] * _foreign(exif[tag])
        elif tag not in (*_KEPT, *_NUMBERS, *_TEXTS, *_LAYOUT, ExifTags.IFD.GPSInfo):
            yield f"Exif {ExifTags.TAGS.get(tag, tag)}"


def _dropped_parts(image: Image.Image) -> Iterator[str]:
    """Yield the names of the other metadata that an edit does not keep; a recipe of pinxit is replaced, not dropped."""
    xmp, comment = image.info.get("xmp"), image.info.get("comment")
    if xmp and _foreign(xmp):
        yield _FOREIGN_XMP
    if "photoshop" in image.info:
        yield "Photoshop data"
    text = image.text if isinstance(image, PngImageFile) else {}
    if comment and not text and not (isinstance(comment, bytes) and comment.startswith(GIF_RECIPE)):
        yield "comment"
    for key in text:
        if key.casefold() not in (*_KEPT_TEXTS, RECIPE, _PNG_XMP.casefold()):
            yield f"text {key}"


def _words_of_xmp(xmp: Any, known: Set[str], exif: bytes | None) -> dict[str, str]:
    """Return what a person wrote in XMP and nowhere else, by a PNG's keyword; nothing of what cannot be read.

    `iTXt` is text that a PNG holds in UTF-8; others are Latin-1, as in the file.
    """
    if not isinstance(xmp, bytes) or b"<!" in xmp or len(xmp) > _LARGEST_XMP:  # no entities, which may grow
        return {}
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xmp.strip(b"\0 \n"))  # noqa: S314  (without declarations)
    except (ElementTree.ParseError, ValueError, LookupError):
        return {}
    found, fields = dict[str, str](), exif_of(exif)
    for key, name in _XMP_WORDS.items():
        words = [item.text for item in root.iterfind(f".//{_DC}{name}//{_RDF}li") if item.text]
        if words and key.casefold() not in known and _TEXT_FIELDS[key.casefold()] not in fields:
            found[key] = iTXt("; ".join(words) if name == "creator" else words[0])
    return found


def _foreign(xmp: Any) -> bool:
    """Return whether XMP was not written by pinxit."""
    return not (isinstance(xmp, bytes) and b"pinxit:recipe" in xmp)


def _dpi(image: Image.Image, exif: Image.Exif) -> tuple[float, float] | None:
    inch = {2: 1.0, 3: 2.54}.get(exif.get(_Base.ResolutionUnit, 2), 0.0)
    found = [inch * exif.get(tag, 0) for tag in (_Base.XResolution, _Base.YResolution)]
    if image.format in ("PNG", "BMP") or image.info.get("jfif_unit"):  # Pillow invents a value for other files
        found = image.info.get("dpi", found)
    across, down = float(found[0]), float(found[1])
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None
