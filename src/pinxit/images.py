"""The only door for pictures: files to arrays and back, with nothing clipped, turned or dropped in silence."""

from __future__ import annotations

import importlib.util
import io
import math
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from pinxit.errors import DataError, UsageError
from pinxit.files import whole_file

PIXEL_CEILING = 64_000_000
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO"))

_SAVED = ("AVIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")  # the others drop alpha or colours without a word
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_DEEP_FORMATS = ("PNG", "TIFF")
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


@dataclass(frozen=True)
class Picture:
    """A decoded picture: upright `pixels` (H, W, C), uint8 or uint16, C in {1, 3, 4}; and what its file said of itself.

    `format` and `mode` are Pillow's words ("PNG", "RGBA"). `lost` says what of the file is not in the pixels.
    """

    pixels: np.ndarray
    format: str = ""
    mode: str = ""
    lost: tuple[str, ...] = ()


FIRST_FRAME = "only the first of several frames is used"
LESS_DEPTH = "16-bit colour is read at 8 bits (the extra pinxit[deep] reads it exactly)"
FLOAT_DEPTH = "float pixels are kept at 16 bits"
NO_PROFILE = "the colour profile does not fit the picture and is not used"


def read_picture(source: Path | BinaryIO, name: str | None = None) -> Picture:
    """Decode a picture file; `name` is what errors call it (default: the file's own).

    Palettes are resolved, transparency becomes a fourth channel, CMYK goes through its embedded profile, 16-bit grey is
    kept exactly. Whatever is wrong with the file is a `DataError` of one line; no more than `PIXEL_CEILING` is decoded.
    """
    name = name or str(source if isinstance(source, Path) else getattr(source, "name", "picture"))
    with _plain_errors(name):
        if not isinstance(source, Path):
            return _decode(source, name)
        if not stat.S_ISREG(source.stat().st_mode):
            raise DataError(f"{name}: not a file")
        with source.open("rb") as file:
            return _decode(file, name)


def load_image(source: Path | BinaryIO, name: str | None = None) -> np.ndarray:
    """Return a picture as (H, W, C) uint8 or uint16, C in {1, 3, 4}; of an animation the first frame.

    As `read_picture`, but 16-bit colour that could only be read at 8 bits is refused: an edit must not lose depth.
    """
    picture = read_picture(source, name)
    if LESS_DEPTH in picture.lost:
        raise DataError(f"{name or source}: 16-bit colour needs the extra: pip install 'pinxit[deep]'")
    return picture.pixels


def save_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W, C) uint8, uint16, or float in [0, 1] (at 8 bits), C in {1, 3, 4}, whole or not at all.

    The suffix tells the format. `UsageError` for a suffix that is not known or a picture the format cannot hold.
    """
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in _SAVED:
        raise UsageError(f"{path.name}: cannot save pictures as {path.suffix or 'a file without a suffix'}; .png works")
    if image.dtype.kind == "f":
        if not np.isfinite(image).all():
            raise UsageError(f"{path.name}: the picture has values that are not finite; nothing was saved")
        image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if image.dtype == np.uint16 and kind not in _DEEP_FORMATS:
        raise UsageError(f"{path.name}: {kind} cannot hold 16 bits; .png works")
    with whole_file(path) as temporary:
        try:
            if image.dtype == np.uint16 and image.shape[2] > 1:
                temporary.write_bytes(_encode_deep(image, path))
            else:
                _as_pillow(image).save(temporary, kind, quality=95)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None):
                raise
            raise UsageError(f"{path.name}: {kind} cannot hold this picture ({error}); .png works") from error


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
    """Return (H, W, C) uint8 or uint16, or its part `box` (left, top, right, bottom), at `size` = (height, width).

    Bicubic, antialiased when made smaller; colours are weighted by alpha, so that nothing unseen bleeds in.
    """
    high, wide = size
    if image.shape[:2] == size and box in (None, (0, 0, wide, high)):
        return image
    if image.dtype == np.uint8:
        shrunk = _as_pillow(image).resize((wide, high), Image.Resampling.BICUBIC, box)
        return np.asarray(shrunk).reshape(high, wide, -1)
    values = image.astype(np.float32)
    if image.shape[2] == 4:
        values[..., :3] *= values[..., 3:] / 65535
    planes = (Image.fromarray(plane) for plane in np.moveaxis(values, 2, 0))
    resized = [np.asarray(plane.resize((wide, high), Image.Resampling.BICUBIC, box)) for plane in planes]
    values = np.stack(resized, axis=2)
    if image.shape[2] == 4:
        values[..., :3] *= 65535 / np.maximum(values[..., 3:], 1)
    return np.rint(values).clip(0, 65535).astype(np.uint16)


def eight_bit(image: np.ndarray) -> np.ndarray:
    """Return (H, W, C) uint8 or uint16 as uint8, 65535 becoming 255."""
    return (image // 257).astype(np.uint8) if image.dtype == np.uint16 else image


def reads_deep() -> bool:
    """Return whether 16-bit colour can be read exactly here (the extra `pinxit[deep]`)."""
    return importlib.util.find_spec("cv2") is not None


def _as_pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image))


def _decode(file: BinaryIO, name: str) -> Picture:
    if not file.read(1):
        raise DataError(f"{name}: the file is empty")
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > PIXEL_CEILING:
            raise DataError(
                f"{name}: {image.width} x {image.height} pixels; at most {PIXEL_CEILING // 1_000_000} million are read"
            )
        lost = [FIRST_FRAME] if getattr(image, "is_animated", False) and image.format != "MPO" else []
        deep, turn = _is_deep(image), _orientation(image)  # in this order: asking a PNG for its Exif loads it
        image.load()
        later = _orientation(image)
        if deep and image.format in _DEEP_FORMATS and reads_deep():
            pixels, turn = _decode_deep(file), max(turn, later)  # a TIFF tells it before loading, some PNGs after
        else:
            pixels, turn = _pixels(image, name, lost), later
            lost += [LESS_DEPTH] * deep
        upright = _UPRIGHT.get(turn, lambda pixels: pixels)(pixels)
        return Picture(np.ascontiguousarray(upright), image.format or "", image.mode, tuple(lost))


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
    turn = image.getexif().get(ExifTags.Base.Orientation)
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


def _encode_deep(image: np.ndarray, path: Path) -> bytes:
    if not reads_deep():
        raise DataError(f"{path.name}: 16-bit colour needs the extra: pip install 'pinxit[deep]'")
    import cv2

    _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., _BGR_TO_RGB[image.shape[2]]]))
    return bytes(encoded)


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
