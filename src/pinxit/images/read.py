"""Files to pictures. Whatever is wrong with a file becomes a `DataError` of one line, and only here."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from pinxit.errors import DataError, MemoryLimitError, UserError
from pinxit.images import deep, heic, jpeg12, pillow, tiff
from pinxit.images.containers import canvas
from pinxit.images.metadata import recipe_of
from pinxit.images.picture import FIRST_FRAME, Picture
from pinxit.images.room import PIXEL_CEILING, check_frames, check_size


@dataclass(frozen=True)
class Reader:
    """How one kind of file is recognised and decoded.

    `knows(file)` says whether a file, open at its beginning, is of this kind. `read(file, name)` decodes it; `name` is
    for errors. Both may raise any error. `suffixes` are the suffixes of such files.
    """

    suffixes: frozenset[str]
    knows: Callable[[BinaryIO], bool]
    read: Callable[[BinaryIO, str], Picture]


def _suffixes(*formats: str) -> frozenset[str]:
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in formats)


READERS = {
    "TIFF": Reader(_suffixes("TIFF"), tiff.knows, tiff.read),
    "HEIC": Reader(heic.SUFFIXES, heic.knows, heic.read),
    "JPEG of 12 bits": Reader(frozenset(), jpeg12.knows, jpeg12.read),
    "deep": Reader(frozenset(), deep.knows, deep.read),
    "pillow": Reader(_suffixes(*pillow.FORMATS, "MPO"), lambda file: True, pillow.read),  # last: takes what is left
}
_UNKNOWN = f"not a picture in a format that is read ({', '.join(pillow.FORMATS)}, HEIC)"
SUFFIXES = frozenset[str]().union(*(reader.suffixes for reader in READERS.values()))


def read_picture(source: Path | BinaryIO, name: str | None = None) -> Picture:
    """Decode a picture file; `name` is what errors call it (default: the file's own).

    Palettes are resolved, transparency becomes a fourth channel, CMYK is converted by its embedded profile, 16 bits are
    kept exactly. Whatever is wrong with the file is a `DataError` of one line. At most `PIXEL_CEILING` is decoded.
    """
    name = name_of(source, name)
    with opened(source, name) as file:
        if not file.read(1):
            raise DataError(f"{name}: the file is empty")
        for reader in READERS.values():
            file.seek(0)
            if reader.knows(file):
                file.seek(0)
                return reader.read(file, name)
        raise DataError(f"{name}: {_UNKNOWN}")


def load_image(source: Path | BinaryIO, name: str | None = None) -> np.ndarray:
    """Return a picture as (H, W, C) uint8 or uint16, C in {1, 3, 4}; of an animation the first frame."""
    return read_picture(source, name).pixels


def load_picture(source: Path | BinaryIO, name: str | None = None) -> Picture:
    """Return a picture to be edited, with its metadata: as `read_picture`, but nothing of it may be lost.

    Refuses animations and files of several pages.
    """
    name = name_of(source, name)
    picture = read_picture(source, name)
    if FIRST_FRAME in picture.lost:
        raise DataError(f"{name}: an animation, or several pages; a single picture is needed")
    return picture


def read_mask(source: Path | BinaryIO, name: str | None = None) -> Picture:
    """Decode a file of class numbers: (H, W, 1) uint8, the values of a grey picture or the indices of a palette.

    Refuses JPEG, whose ringing invents classes, colour, and numbers above 255.
    """
    name = name_of(source, name)
    with opened(source, name) as file:
        if tiff.knows(file):
            tiff.check_first(file, name)
        file.seek(0)
        return pillow.read_mask(file, name)


def read_recipe(source: Path | BinaryIO, name: str | None = None) -> dict[str, Any] | None:
    """Return the recipe that `save_picture` wrote into a file, None if there is none."""
    name = name_of(source, name)
    with opened(source, name) as file, Image.open(file, formats=pillow.FORMATS) as image:
        recipe = recipe_of(image)
        if not (recipe is None or isinstance(recipe, dict)):
            raise DataError(f"{name}: its recipe was not written by pinxit")
        return recipe


def name_of(source: Path | BinaryIO, name: str | None = None) -> str:
    """Return what errors call a file: the given name, or its own."""
    return name or str(source if isinstance(source, Path) else getattr(source, "name", "picture"))


@contextmanager
def opened(source: Path | BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Give an open file at its beginning. Inside, whatever is wrong with the file becomes a `DataError` of one line.

    Too little memory becomes a `MemoryLimitError`.
    """
    try:
        if not isinstance(source, Path):
            yield _with_room(source, name)
        elif not stat.S_ISREG(source.stat().st_mode):
            raise DataError(f"{name}: not a file")
        else:
            with source.open("rb") as file:
                yield _with_room(file, name)
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: {_UNKNOWN}") from error
    except UserError:
        raise
    except MemoryError as error:
        raise MemoryLimitError(f"{name}: not enough memory to decode it; a smaller picture would work") from error
    except Exception as error:  # whatever a decoder of strangers' files comes up with
        raise DataError(f"{name}: {_reason(error)}") from error


def _with_room(file: BinaryIO, name: str) -> BinaryIO:
    """Return a file at its beginning; refuse one for which Pillow would take too much memory when it opens it."""
    wide, high, moves = canvas(file)
    if moves:
        check_frames((wide, high), 1, 0, name)
    else:
        check_size((wide, high), name)
    file.seek(0)
    return file


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read ({error.strerror})"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {PIXEL_CEILING // 1_000_000} million pixels"
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "cut off: the end of the picture is missing"
    return f"broken picture ({text or type(error).__name__})"
