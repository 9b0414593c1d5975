"""The only door for pictures: files to arrays and back, with nothing clipped, turned or dropped in silence."""

from __future__ import annotations

import html
import importlib.util
import io
import json
import math
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from pinxit.errors import DataError, UsageError
from pinxit.files import whole_file

PIXEL_CEILING = 128_000_000  # 24 megapixels, enlarged twice, can be read again
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO"))
ANIMATED = ("GIF", "PNG", "WEBP")  # what animations are read and written as

# What is saved, and what of a picture's metadata its writer takes; other formats drop alpha or colours without a word.
_SAVED = {
    "AVIF": ("icc_profile", "exif", "xmp"),
    "JPEG": ("icc_profile", "exif", "xmp", "dpi"),
    "JPEG2000": (),
    "PNG": ("icc_profile", "exif", "pnginfo", "dpi"),
    "TIFF": ("icc_profile", "exif", "dpi"),
    "WEBP": ("icc_profile", "exif", "xmp"),
}
_GREY_FORMATS = ("JPEG", "PNG", "TIFF")  # the others save grey as colour, which a grey profile does not fit
_GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_BGR_TO_RGB = {3: [2, 1, 0], 4: [2, 1, 0, 3]}

# Pillow raises all of these for malformed files (20,000 mutants showed so); struct, zlib and EOF come from its parsers.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, RuntimeError, MemoryError, EOFError, struct.error, zlib.error),
    *(ArithmeticError, AttributeError, LookupError, TypeError),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
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

# A process that opens strangers' pictures treats a bomb as an error; Pillow's other remarks would reach no one.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
Image.MAX_IMAGE_PIXELS = 2 * PIXEL_CEILING  # so that ours is the first to speak

_TIFF_XMP = 700
_RECIPE = "pinxit"
GIF_RECIPE = b"pinxit:recipe="
_XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:pinxit="urn:pinxit" pinxit:recipe="{}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)

_Base = ExifTags.Base
# What an edit keeps of a file's Exif: what a person or a camera wrote about the picture, not how the file was laid out.
_TOLD = frozenset(
    (
        *(_Base.ImageDescription, _Base.Make, _Base.Model, _Base.Software, _Base.DateTime, _Base.Artist),
        *(_Base.Copyright, _Base.Rating, _Base.XPTitle, _Base.XPComment, _Base.XPAuthor, _Base.XPKeywords),
        _Base.XPSubject,
    )
)
# What it does not keep of the camera's own part: who and with which one (serial numbers), and places in the old pixels.
_UNTOLD = frozenset(
    (
        *(_Base.MakerNote, _Base.CameraOwnerName, _Base.BodySerialNumber, _Base.LensSerialNumber, _Base.ImageUniqueID),
        *(_Base.ExifImageWidth, _Base.ExifImageHeight, _Base.SubjectLocation, 0x9214, ExifTags.IFD.Interop),
    )
)


@dataclass(frozen=True)
class Metadata:
    """What a file says of its picture and an edit keeps.

    `icc` is the colour profile; `exif` has neither place (GPS) nor serial numbers, thumbnail or orientation, for pixels
    are upright; `dpi` is dots an inch across and down; `text` is a PNG's, by keyword.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A decoded picture: upright `pixels` (H, W, C), uint8 or uint16, C in {1, 3, 4}; and what its file said of itself.

    `format` and `mode` are Pillow's words ("PNG", "RGBA"). `lost` says what of the file is not in the pixels.
    """

    pixels: np.ndarray
    format: str = ""
    mode: str = ""
    lost: tuple[str, ...] = ()
    keeps: Metadata = Metadata()

    @property
    def grey(self) -> bool:
        """Whether the picture is grey, with alpha or without."""
        return self.pixels.shape[2] == 1 or self.mode in _GREY


class Frame(NamedTuple):
    """A picture of an animation: how long it is shown in milliseconds, and how often all of them are, 0 for ever."""

    picture: Picture
    duration: float
    plays: int


FIRST_FRAME = "only the first of several frames is used"
LESS_DEPTH = "16-bit colour is read at 8 bits (the extra pinxit[deep] reads it exactly)"
FLOAT_DEPTH = "float pixels are kept at 16 bits"
NO_PROFILE = "the colour profile does not fit the picture and is not used"
NO_EXIF = "the Exif data cannot be read and are not kept"


def read_picture(source: Path | BinaryIO, name: str | None = None) -> Picture:
    """Decode a picture file; `name` is what errors call it (default: the file's own).

    Palettes are resolved, transparency becomes a fourth channel, CMYK goes through its embedded profile, 16-bit grey is
    kept exactly. Whatever is wrong with the file is a `DataError` of one line; no more than `PIXEL_CEILING` is decoded.
    """
    name = name_of(source, name)
    with _opened(source, name) as file:
        return _decode(file, name)


def is_animation(source: Path | BinaryIO) -> bool:
    """Return whether a file holds several frames and is of a kind in which animations are written, too.

    What cannot be read is none: reading it will say why.
    """
    try:
        with _opened(source, "") as file, Image.open(file, formats=ANIMATED) as image:
            return bool(getattr(image, "is_animated", False))
    except DataError:
        return False


def read_frames(source: Path | BinaryIO, name: str | None = None) -> Iterator[Frame]:
    """Decode an animation frame by frame, each the whole picture as it is then shown; one lies in memory at a time.

    Raises as `read_picture`, and for 16 bits. A PNG's picture for programs that show no animations is passed over.
    """
    name = name_of(source, name)
    with _opened(source, name) as file, Image.open(file, formats=ANIMATED) as image:
        _check_size(image, name)
        size, first, lost = image.size, int(getattr(image, "default_image", False)), list[str]()
        keeps, turn = None, _orientation(image)
        for number in range(first, getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            if _is_deep(image) or image.mode in _GREY_16:
                raise DataError(f"{name}: an animation of 16 bits; only those of 8 bits are read")
            if image.size != size:
                raise DataError(f"{name}: its frames are not of one size")
            turn = max(turn, _orientation(image))
            pixels = np.ascontiguousarray(_UPRIGHT.get(turn, lambda pixels: pixels)(_pixels(image, name, lost)))
            picture = Picture(pixels, image.format or "", image.mode)
            keeps = keeps or _metadata(image, picture.grey, turn, lost)
            picture = replace(picture, lost=tuple(lost), keeps=keeps)
            yield Frame(picture, float(image.info.get("duration", 0)), _plays(image))
        _check_end(file, image, name)


def load_image(source: Path | BinaryIO, name: str | None = None) -> np.ndarray:
    """Return a picture as (H, W, C) uint8 or uint16, C in {1, 3, 4}; of an animation the first frame.

    As `read_picture`, but 16-bit colour that could only be read at 8 bits is refused: an edit must not lose depth.
    """
    return _whole_depth(read_picture(source, name), name or str(source)).pixels


def load_picture(source: Path | BinaryIO, name: str | None = None) -> Picture:
    """Return a picture that is to be edited, with its metadata: as `read_picture`, but nothing of it may be lost.

    An animation, and 16-bit colour that could only be read at 8 bits, are refused.
    """
    picture = read_picture(source, name)
    if FIRST_FRAME in picture.lost:
        raise DataError(f"{name or source}: an animation, or several pages, where a single picture is needed")
    return _whole_depth(picture, name or str(source))


def read_recipe(source: Path | BinaryIO, name: str | None = None) -> dict[str, Any] | None:
    """Return the recipe that `save_picture` wrote into a file, or None if there is none."""
    name = name_of(source, name)
    with _plain_errors(name), Image.open(source, formats=FORMATS) as image:
        text = image.info.get(_RECIPE)
        if text is None and (comment := _comment(image)).startswith(GIF_RECIPE):
            text = comment.removeprefix(GIF_RECIPE).decode()
        if text is None and (found := re.search(rb'pinxit:recipe="([^"]*)"', _xmp(image))):
            text = html.unescape(found[1].decode())
        if text is None:
            return None
        recipe = json.loads(text)
        if not isinstance(recipe, dict):
            raise DataError(f"{name}: its recipe is not one of ours")
        return recipe


def save_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W, C) uint8, uint16, or float in [0, 1] (at 8 bits), C in {1, 3, 4}, whole or not at all.

    The suffix tells the format. `UsageError` for a suffix that is not known or a picture the format cannot hold.
    """
    save_picture(path, Picture(image))


def save_picture(path: Path, picture: Picture, recipe: Mapping[str, Any] | None = None) -> None:
    """Write a picture with its metadata, as `save_image` does, and the recipe that made it, which `read_recipe` reads.

    Grey with alpha stays so. A format keeps what it has a place for: PNG everything, the others everything but text,
    JPEG 2000 only the pixels.
    """
    kind = kind_of(path)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        write_picture(file, kind, picture, recipe, path.name)


def kind_of(path: Path) -> str:
    """Return Pillow's word for the format that a suffix tells; `UsageError` if pictures are not saved so."""
    kind = format_of(path)
    if kind not in _SAVED:
        raise UsageError(f"{path.name}: cannot save pictures as {path.suffix or 'a file without a suffix'}; .png works")
    return kind


def format_of(path: Path) -> str:
    """Return Pillow's word for the format that a suffix tells, "" for none, whether pictures are saved so or not."""
    return Image.registered_extensions().get(path.suffix.lower(), "")


def write_picture(
    file: BinaryIO, kind: str, picture: Picture, recipe: Mapping[str, Any] | None = None, name: str = "picture"
) -> None:
    """Write a picture into an open file as `save_picture` does; `kind` is Pillow's word ("PNG"), `name` for errors."""
    pixels = _as_saved(picture, name)
    if pixels.dtype == np.uint16 and pixels.shape[2] == 2 and kind == "TIFF":
        pixels = pixels[..., [0, 0, 0, 1]]  # Pillow does not read such a TIFF
    if pixels.dtype == np.uint16 and kind not in _DEEP_FORMATS:
        raise UsageError(f"{name}: {kind} cannot hold 16 bits; .png works")
    try:
        options = _options(kind, picture, recipe, grey=pixels.shape[2] < 3)
        if pixels.dtype == np.uint16 and pixels.shape[2] > 1:
            _DEEP_FORMATS[kind](file, pixels, options)
        else:
            _as_pillow(pixels).save(file, kind, quality=95, **options)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None):
            raise
        raise UsageError(f"{name}: {kind} cannot hold this picture ({error}); .png works") from error


def name_of(source: Path | BinaryIO, name: str | None = None) -> str:
    """Return what errors call a file: the name that is given, or its own."""
    return name or str(source if isinstance(source, Path) else getattr(source, "name", "picture"))


def grid(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Lay (N, H, W, C) uint8 out on one white sheet (H', W', C) in rows of `columns` (default: nearly square)."""
    count, height, width, channels = images.shape
    columns = columns or max(1, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def resize(
    image: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Return (H, W, C) uint8, uint16 or float32 in [0, 1], or its part `box` (left, top, right, bottom), at `size`.

    `size` is (height, width). Bicubic, antialiased when made smaller; colours are weighted by alpha, so that nothing
    unseen bleeds in.
    """
    high, wide = size
    if image.shape[:2] == size and box in (None, (0, 0, wide, high)):
        return image
    if image.dtype == np.uint8:
        shrunk = _as_pillow(image).resize((wide, high), Image.Resampling.BICUBIC, box)
        return np.asarray(shrunk).reshape(high, wide, -1)
    values, top = image.astype(np.float32), 65535 if image.dtype == np.uint16 else 1
    if image.shape[2] == 4:
        values[..., :3] *= values[..., 3:] / top
    planes = (Image.fromarray(plane) for plane in np.moveaxis(values, 2, 0))
    resized = [np.asarray(plane.resize((wide, high), Image.Resampling.BICUBIC, box)) for plane in planes]
    values = np.stack(resized, axis=2)
    if image.shape[2] == 4:
        values[..., :3] *= top / np.maximum(values[..., 3:], top / 65535)
    return (np.rint(values) if top > 1 else values).clip(0, top).astype(image.dtype)


def eight_bit(image: np.ndarray) -> np.ndarray:
    """Return (H, W, C) uint8 or uint16 as uint8, 65535 becoming 255."""
    return (image // 257).astype(np.uint8) if image.dtype == np.uint16 else image


def reads_deep() -> bool:
    """Return whether 16-bit colour can be read exactly here (the extra `pinxit[deep]`)."""
    return importlib.util.find_spec("cv2") is not None


def _whole_depth(picture: Picture, name: str) -> Picture:
    if LESS_DEPTH in picture.lost:
        raise DataError(f"{name}: 16-bit colour needs the extra: pip install 'pinxit[deep]'")
    return picture


def _as_pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image))


@contextmanager
def _opened(source: Path | BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Give an open file at its beginning, inside of which whatever is wrong with it is a `DataError` of one line."""
    with _plain_errors(name):
        if not isinstance(source, Path):
            source.seek(0)
            yield source
        elif not stat.S_ISREG(source.stat().st_mode):
            raise DataError(f"{name}: not a file")
        else:
            with source.open("rb") as file:
                yield file


def _check_size(image: Image.Image, name: str) -> None:
    if image.width * image.height > PIXEL_CEILING:
        raise DataError(
            f"{name}: {image.width} x {image.height} pixels; at most {PIXEL_CEILING // 1_000_000} million are read"
        )


def _check_end(file: BinaryIO, image: Image.Image, name: str) -> None:
    """Raise if an animation's last mark is missing: Pillow takes a GIF cut between two frames for a shorter one."""
    file.seek(max(0, file.seek(0, io.SEEK_END) - 1024))
    tail = file.read()
    if (image.format == "GIF" and not tail.rstrip(b"\0").endswith(b";")) or (
        image.format == "PNG" and b"IEND" not in tail
    ):
        raise EOFError(name)


def _plays(image: Image.Image) -> int:
    """Return how often an animation is shown, 0 for ever. A GIF says how often again, or nothing for once."""
    if image.format == "GIF":
        again = image.info.get("loop")
        return 1 if again is None else again + bool(again)
    return int(image.info.get("loop", 0))


def _comment(image: Image.Image) -> bytes:
    comment = image.info.get("comment") if image.format == "GIF" else None
    return comment if isinstance(comment, bytes) else b""


def _decode(file: BinaryIO, name: str) -> Picture:
    if not file.read(1):
        raise DataError(f"{name}: the file is empty")
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        _check_size(image, name)
        if "loop" in image.info and not getattr(image, "is_animated", False):
            _check_end(file, image, name)
        lost = [FIRST_FRAME] if getattr(image, "is_animated", False) and image.format != "MPO" else []
        grey_alpha = any("LA;16" in str(tile.args) for tile in getattr(image, "tile", ()))  # Pillow makes it RGBA
        deep, before = _is_deep(image), _orientation(image)  # in this order: asking a PNG for its Exif loads it
        image.load()
        turn = later = _orientation(image)
        if deep and image.format in _DEEP_FORMATS and reads_deep():
            pixels, turn = _decode_deep(file), max(before, later)  # a TIFF tells it before loading, some PNGs after
        else:
            pixels = _pixels(image, name, lost)
            lost += [LESS_DEPTH] * deep
        upright = np.ascontiguousarray(_UPRIGHT.get(turn, lambda pixels: pixels)(pixels))
        picture = Picture(upright, image.format or "", "LA" if grey_alpha else image.mode)
        keeps = _metadata(image, picture.grey, max(before, later), lost)
        return replace(picture, lost=tuple(lost), keeps=keeps)


def _pixels(image: Image.Image, name: str, lost: list[str]) -> np.ndarray:
    if image.mode in _GREY_16:
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.mode in ("I", "F"):
        return _wide_grey(np.asarray(image), name, lost)[..., None]
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        return np.asarray(_through_profile(image, lost))
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def _wide_grey(values: np.ndarray, name: str, lost: list[str]) -> np.ndarray:
    top = 65535 if values.dtype.kind == "i" else 1
    if not (values.min() >= 0 and values.max() <= top):
        raise DataError(
            f"{name}: {values.dtype} pixels outside 0 to {top}; scale them to that range or save 16-bit grey"
        )
    if values.dtype.kind == "i":
        return values.astype(np.uint16)
    lost.append(FLOAT_DEPTH)
    scaled: np.ndarray = np.rint(values * 65535).astype(np.uint16)
    return scaled


def _through_profile(image: Image.Image, lost: list[str]) -> Image.Image:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):
        lost.append(NO_PROFILE)
        return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """Return the Exif orientation, 1 if there is none that can be read."""
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation)
    except _BROKEN:
        return 1
    return turn if isinstance(turn, int) and turn in _UPRIGHT else 1


def _is_deep(image: Image.Image) -> bool:
    """Return whether the file holds colour of more than 8 bits, which Pillow is about to cut to 8."""
    if image.mode in (*_GREY_16, "I", "F"):
        return False
    return any(
        ";16" in str(tile.args) or (tile.codec_name.startswith("ppm") and tile.args[-1] > 255)
        for tile in getattr(image, "tile", ())
    )


def _decode_deep(file: BinaryIO) -> np.ndarray:
    import cv2

    file.seek(0)
    try:
        pixels: Any = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(error) from error
    if pixels is None:
        raise ValueError("the 16-bit reader gave up")
    rgb: np.ndarray = pixels[..., _BGR_TO_RGB[pixels.shape[2]]]
    return rgb


def _metadata(image: Image.Image, grey: bool, turn: int, lost: list[str]) -> Metadata:
    icc = None if image.mode == "CMYK" else image.info.get("icc_profile")
    if icc and not _fits(icc, grey):
        icc = None
        lost.append(NO_PROFILE)
    try:
        exif = image.getexif()
        kept, dpi, broken = _kept_exif(exif), _dpi(image, exif), bool(image.info.get("exif") and not exif)
    except _BROKEN:
        kept, dpi, broken = None, None, True
    lost += [NO_EXIF] * broken
    if dpi and turn >= 5:  # the turns that lay the picture on its side
        dpi = dpi[::-1]
    text = image.text if isinstance(image, PngImagePlugin.PngImageFile) else {}
    private = ("XML:com.adobe.xmp", "Raw profile", _RECIPE)  # the first two may say where the picture was taken
    return Metadata(icc, kept, dpi, {key: str(text[key]) for key in text if not key.startswith(private)})


def _fits(icc: bytes, grey: bool) -> bool:
    return icc[16:20] == (b"GRAY" if grey else b"RGB ")


def _kept_exif(exif: Image.Exif) -> bytes | None:
    kept = Image.Exif()
    for tag in _TOLD.intersection(exif):
        kept[tag] = exif[tag]
    if camera := {tag: value for tag, value in exif.get_ifd(ExifTags.IFD.Exif).items() if tag not in _UNTOLD}:
        kept[ExifTags.IFD.Exif] = camera
    return kept.tobytes() if kept else None


def _dpi(image: Image.Image, exif: Image.Exif) -> tuple[float, float] | None:
    inch = {2: 1.0, 3: 2.54}.get(exif.get(_Base.ResolutionUnit, 2), 0.0)
    told = [inch * exif.get(tag, 0) for tag in (_Base.XResolution, _Base.YResolution)]
    if image.format in ("PNG", "BMP") or image.info.get("jfif_unit"):  # elsewhere Pillow makes one up
        told = image.info.get("dpi", told)
    across, down = float(told[0]), float(told[1])
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None


def _xmp(image: Image.Image) -> bytes:
    xmp = image.info.get("xmp", b"")
    return xmp if isinstance(xmp, bytes) else b""


def _as_saved(picture: Picture, name: str) -> np.ndarray:
    """Return the pixels at 8 or 16 bits, as grey and alpha where they are that."""
    pixels = picture.pixels
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise UsageError(f"{name}: the picture has values that are not finite; nothing was saved")
        pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    if picture.grey and pixels.shape[2] == 4 and (pixels[..., :1] == pixels[..., 1:3]).all():
        return pixels[..., [0, 3]]
    return pixels


def _options(kind: str, picture: Picture, recipe: Mapping[str, Any] | None, grey: bool) -> dict[str, Any]:
    """Return what Pillow's writer of this kind is to be told of the picture's metadata."""
    keeps, told = picture.keeps, json.dumps(recipe) if recipe is not None else ""
    exif, text = Image.Exif(), PngImagePlugin.PngInfo()
    if keeps.exif:
        exif.load(keeps.exif)
    for key, value in keeps.text.items():
        text.add_text(key, value)
    if told:
        text.add_itxt(_RECIPE, told)
    xmp = _XMP.format(html.escape(told)).encode() if told else b""
    if kind == "TIFF" and xmp:
        exif[_TIFF_XMP] = xmp
    if keeps.dpi and "dpi" not in _SAVED[kind]:
        exif[_Base.XResolution], exif[_Base.YResolution] = keeps.dpi
        exif[_Base.ResolutionUnit] = 2
    icc = keeps.icc if keeps.icc and _fits(keeps.icc, grey and kind in _GREY_FORMATS) else None
    options = {"icc_profile": icc, "exif": exif, "pnginfo": text, "xmp": xmp, "dpi": keeps.dpi}
    return {word: options[word] for word in _SAVED[kind] if options[word]}


def _write_deep_png(file: BinaryIO, pixels: np.ndarray, options: Mapping[str, Any]) -> None:
    """Write (H, W, C) uint16, C in {2, 3, 4}, as a PNG.

    Pillow, which has no such pixels, writes the file's head for one grey pixel; its size and kind are then ours.
    """
    small = io.BytesIO()
    Image.fromarray(np.zeros((1, 1), np.uint16)).save(small, "PNG", **options)
    head = small.getvalue()
    high, wide, channels = pixels.shape
    file.write(head[:8])
    chunk(file, b"IHDR", struct.pack(">IIBBBBB", wide, high, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))
    file.write(head[33 : head.rindex(b"IDAT") - 4])
    packer, above = zlib.compressobj(), np.zeros((1, 2 * wide * channels), np.uint8)
    for top in range(0, high, 64):
        rows = pixels[top : top + 64].astype(">u2").reshape(-1, wide * channels).view(np.uint8)
        less = rows - np.concatenate([above, rows[:-1]])  # the filter 'up'
        above = rows[-1:]
        chunk(file, b"IDAT", packer.compress(np.pad(less, ((0, 0), (1, 0)), constant_values=2).tobytes()))
    chunk(file, b"IDAT", packer.flush())
    chunk(file, b"IEND", b"")


def chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    """Write a chunk of a PNG."""
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))


def _write_deep_tiff(file: BinaryIO, pixels: np.ndarray, options: Mapping[str, Any]) -> None:
    """Write (H, W, C) uint16, C in {2, 3, 4}, as a TIFF of one strip, its directory written by Pillow."""
    high, wide, channels = pixels.shape
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    exif = options.get("exif", {})
    for tag in exif:
        directory[tag] = exif.get_ifd(tag) if tag == ExifTags.IFD.Exif else exif[tag]
    directory[TiffImagePlugin.IMAGEWIDTH], directory[TiffImagePlugin.IMAGELENGTH] = wide, high
    directory[TiffImagePlugin.BITSPERSAMPLE] = (16,) * channels
    directory[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    directory[TiffImagePlugin.COMPRESSION] = 1
    directory[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2 if channels > 2 else 1
    directory[TiffImagePlugin.PLANAR_CONFIGURATION] = 1
    directory[TiffImagePlugin.ROWSPERSTRIP] = high
    directory.tagtype[TiffImagePlugin.STRIPBYTECOUNTS] = directory.tagtype[TiffImagePlugin.STRIPOFFSETS] = 4
    directory[TiffImagePlugin.STRIPBYTECOUNTS] = pixels.nbytes
    directory[TiffImagePlugin.STRIPOFFSETS] = 0  # counted from the directory's end, by its writer
    if channels in (2, 4):
        directory[TiffImagePlugin.EXTRASAMPLES] = 2
    if "icc_profile" in options:
        directory[TiffImagePlugin.ICCPROFILE] = options["icc_profile"]
    if "dpi" in options:
        directory[TiffImagePlugin.X_RESOLUTION], directory[TiffImagePlugin.Y_RESOLUTION] = options["dpi"]
        directory[TiffImagePlugin.RESOLUTION_UNIT] = 2
    directory.save(file)
    file.write(pixels.astype("<u2").tobytes())


_DEEP_FORMATS = {"PNG": _write_deep_png, "TIFF": _write_deep_tiff}


@contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: not a picture of a kind that is read ({', '.join(FORMATS)})") from error
    except _BROKEN as error:
        raise DataError(f"{name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read ({error.strerror})"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {PIXEL_CEILING // 1_000_000} million pixels"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "cut off: the end of the picture is missing"
    return f"broken picture ({text or type(error).__name__})"
