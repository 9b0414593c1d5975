"""Pictures to files: what each format can hold, and what it keeps of the metadata."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from pinxit.errors import UsageError
from pinxit.files import whole_file
from pinxit.images.metadata import RECIPE, XMP_FIELD, add_texts, exif_of, fits_exif, profile_fits, recipe_xmp
from pinxit.images.picture import ColourTags, Metadata, Picture, to_pillow
from pinxit.images.tags import told_of
from pinxit.images.write_deep import WRITERS
from pinxit.marks import SHEET_RECIPE

# The formats we save, and the metadata that Pillow's writer takes. Other formats drop alpha or colours silently.
_SAVED = {
    "AVIF": ("icc_profile", "exif", "xmp"),
    "JPEG": ("icc_profile", "exif", "xmp", "dpi"),
    "JPEG2000": (),
    "PNG": ("icc_profile", "exif", "pnginfo", "dpi"),
    "TIFF": ("icc_profile", "exif", "dpi"),
    "WEBP": ("icc_profile", "exif", "xmp"),
}
_GREY_FORMATS = ("JPEG", "PNG", "TIFF")  # the others save grey as colour, which a grey profile does not fit

AUTO: Literal["auto"] = "auto"
QUALITY = 95
Quality = int | Literal["auto"] | None
"""Quality of JPEG, WebP and AVIF, 1 to 100.

`AUTO` is `QUALITY`, or for the picture of a JPEG the finer of that and its own. None is what pinxit 0.2 did: `QUALITY`,
and colours at half the resolution.
"""


def save_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W, C) uint8, uint16, or float in [0, 1] (at 8 bits), C in {1, 3, 4}, whole or not at all.

    The suffix decides the format. `UsageError` for an unknown suffix or a picture that the format cannot hold.
    """
    save_picture(path, Picture(image))


def save_picture(
    path: Path,
    picture: Picture,
    recipe: Mapping[str, Any] | None = None,
    quality: Quality = AUTO,
    inside: Path | None = None,
) -> None:
    """Write a picture with its metadata, as `save_image` does, and the recipe that made it, which `read_recipe` reads.

    A JPEG's picture keeps its subsampling in a JPEG; other pictures become 4:4:4 in JPEG and AVIF.
    Grey with alpha stays so. PNG keeps all metadata, JPEG 2000 none, the other formats everything but text.
    `inside` is as for `whole_file`.
    """
    kind = kind_of(path)
    with whole_file(path, inside) as temporary, temporary.open("wb") as file:
        write_picture(file, kind, picture, recipe, path.name, quality)


def save_sheet(path: Path, sheet: np.ndarray, inside: Path | None = None) -> None:
    """Write a sheet of pictures as `save_image` does, with the mark by which it is left out of sets.

    `inside` is as for `whole_file`.
    """
    save_picture(path, Picture(sheet), SHEET_RECIPE, inside=inside)


def kind_of(path: Path) -> str:
    """Return Pillow's word for the format of a suffix; `UsageError` if pictures are not saved in it."""
    kind = format_of(path)
    if kind not in _SAVED:
        raise UsageError(f"{path.name}: cannot save pictures as {path.suffix or 'a file without a suffix'}; .png works")
    return kind


def format_of(path: Path) -> str:
    """Return Pillow's word for the format of a suffix, whether we save it or not; "" for an unknown suffix."""
    return Image.registered_extensions().get(path.suffix.lower(), "")


def write_picture(
    file: BinaryIO,
    kind: str,
    picture: Picture,
    recipe: Mapping[str, Any] | None = None,
    name: str = "picture",
    quality: Quality = AUTO,
) -> None:
    """Write a picture into an open file as `save_picture` does; `kind` is Pillow's word ("PNG"), `name` for errors."""
    pixels = _as_saved(picture, name)
    if pixels.dtype == np.uint16 and pixels.shape[2] == 2 and kind == "TIFF":
        pixels = pixels[..., [0, 0, 0, 1]]  # Pillow does not read a TIFF of 16-bit grey with alpha
    if pixels.dtype == np.uint16 and kind not in WRITERS:
        raise UsageError(f"{name}: {kind} cannot hold 16 bits; .png works")
    try:
        options = _options(kind, picture, recipe, grey=pixels.shape[2] < 3)
        if pixels.dtype == np.uint16 and pixels.shape[2] > 1:
            WRITERS[kind](file, pixels, options)
        else:
            to_pillow(pixels).save(file, kind, **_compression(kind, picture.keeps, quality), **options)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None):
            raise
        raise UsageError(f"{name}: {kind} cannot hold this picture ({error}); .png works") from error


def unheld(kind: str, keeps: Metadata) -> Iterator[str]:
    """Yield the names of the metadata that a format cannot hold; `kind` is Pillow's word ("PNG")."""
    holds = _SAVED.get(kind, ())
    if keeps.icc and "icc_profile" not in holds:
        yield "colour profile"
    if keeps.exif and "exif" not in holds:
        yield "Exif"
    if kind != "PNG" and told_of(keeps.tags):
        yield "colour tags (gAMA, cHRM, cICP or nclx)"
    for key in keeps.text:
        if "pnginfo" not in holds and not (fits_exif(key) and "exif" in holds):
            yield f"text {key}"


def _as_saved(picture: Picture, name: str) -> np.ndarray:
    """Return the pixels at 8 or 16 bits, as two channels if they are grey with alpha."""
    pixels = picture.pixels
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise UsageError(f"{name}: the picture has values that are not finite; nothing was saved")
        pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    if picture.grey and pixels.shape[2] == 4 and (pixels[..., :1] == pixels[..., 1:3]).all():
        return pixels[..., [0, 3]]
    return pixels


def _colour_chunks(tags: ColourTags) -> tuple[tuple[bytes, bytes], ...]:
    """Return a PNG's chunks on its colours: those of its own PNG, or code points as cICP, whose numbers are of RGB."""
    if tags.cicp and not tags.chunks:
        primaries, transfer, _, _ = tags.cicp
        return ((b"cICP", bytes([min(primaries, 255), min(transfer, 255), 0, 1])),)
    return tags.chunks


def _compression(kind: str, keeps: Metadata, quality: Quality) -> dict[str, Any]:
    """Return the options of Pillow's writer that decide how much of the picture is lost."""
    if quality is None:
        return {"quality": QUALITY}
    options: dict[str, Any] = {"quality": QUALITY if quality == AUTO else quality}
    if kind == "AVIF":
        return options | {"subsampling": "4:4:4"}
    if kind != "JPEG":
        return options
    if quality == AUTO and keeps.jpeg and (finer := _finer(keeps.jpeg.tables)):
        options = {"qtables": finer}
    return options | {"subsampling": keeps.jpeg.subsampling if keeps.jpeg else 0}


def _finer(tables: Sequence[Sequence[int]]) -> list[list[int]] | None:
    """Return a JPEG's tables, each number at most that of `QUALITY`; None if the tables of `QUALITY` are as fine."""
    usual = [np.array(table) for _, table in sorted(_usual_tables().items())]
    finer = [np.minimum(own, table) for own, table in zip(tables, usual, strict=False)]
    if all((own == table).all() for own, table in zip(finer, usual, strict=False)):
        return None
    return [table.tolist() for table in finer]


@cache
def _usual_tables() -> dict[int, list[int]]:
    Image.new("RGB", (1, 1)).save(file := io.BytesIO(), "JPEG", quality=QUALITY)
    with Image.open(file) as image:
        tables: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]
        return tables


def _options(kind: str, picture: Picture, recipe: Mapping[str, Any] | None, grey: bool) -> dict[str, Any]:
    """Return the options of Pillow's writer of this kind: the metadata that it can store."""
    keeps, recipe_text = picture.keeps, json.dumps(recipe) if recipe is not None else ""
    exif, text = exif_of(keeps.exif), PngImagePlugin.PngInfo()
    for chunk, content in _colour_chunks(keeps.tags):
        text.add(chunk, content)
    for key, value in keeps.text.items():
        text.add_text(key, value)
    if recipe_text:
        text.add_itxt(RECIPE, recipe_text)
    if "pnginfo" not in _SAVED[kind]:
        add_texts(exif, keeps.text)
    xmp = recipe_xmp(recipe_text) if recipe_text else b""
    if kind == "TIFF" and xmp:
        exif[XMP_FIELD] = xmp
    if keeps.dpi and "dpi" not in _SAVED[kind]:
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = keeps.dpi
        exif[ExifTags.Base.ResolutionUnit] = 2
    icc = keeps.icc if keeps.icc and profile_fits(keeps.icc, grey and kind in _GREY_FORMATS) else None
    options = {"icc_profile": icc, "exif": exif, "pnginfo": text, "xmp": xmp, "dpi": keeps.dpi}
    return {word: options[word] for word in _SAVED[kind] if options[word]}
