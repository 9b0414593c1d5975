"""What pinxit reads of a folder of pictures, beside libvips: the refused, the remarked on, and the different.

    pip install pyvips[binary]
    python benchmarks/quality/readers.py FOLDER
    python benchmarks/quality/readers.py

Without a folder, pictures of more than 8 bits are written by other libraries, and read: exactly, or refused in a line.
With one, suited are the test pictures of Pillow's source package, PngSuite, and exif-samples. A difference is the
largest of any sample, as a share of the range, after turning; libvips gives animations, float pixels and CMYK as they
are stored. Prints a table; exit 1 for a row WRONG or FAULT: other numbers than those written, or another end than a
picture or a line of pinxit's own.
"""

from __future__ import annotations

import base64
import io
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from pinxit.errors import UserError
from pinxit.images import Picture, read_picture

ROUNDING = 1.01 / 255
CODEC = 700 / 65535  # what a lossy codec changes in a picture of four colours
HEIC = base64.b64decode(  # 24 x 16 of 10 bits: red, green, black and blue
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAA"
    "AERAAAEAAQAAAAABoAABAAAAAAAAAf0AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/GlwcnAAAADc"
    "aXBjbwAAAHVodmNDAQQIAAAAnbgAAAAA//AA/P36+gAADwNgAAEAF0ABDAH//wQIAAADAJ24AAADAAD/ugJAYQABACpCAQEECAAAAwCduAAAAwAA"
    "/6AggQTZbqrprm4CGgwIAAADAMgAAAMACEBiAAEABkQBwXGLEgAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFw"
    "AAAAGAAAAAEAAAAQAAAAAf///9gAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCgoKAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAACBW1kYXQAAAH5"
    "KAGvBbIJvIIG0C7tkc///pP/SP9E/nn5Z+Wfln5Z+W/lv5b+W/lv5b+W/lv/O1//8idr///YG2v165bVsUrlK5SuUrlLoy6MujLoy6MujLoyw0//"
    "Y90AP/vr/3z/3r/u3+3f7d/t3+3f7e/t7+3v7e/t7+3v7e/t5Wd68gwB/8Rf+If+Hf8K/wL/Av8C/wL/A38DfwN/A38DfwN/A38Ddlnr0P/9BN6A"
    "tnnU2CKEihIoSJ3xO2F//npJ880fO4XnHbmd7md7md7mcHk0CQ///vgN3u+XqcPCv55/nn+ef55/oMOgw6DDoMOgw6DDoMOgs7x8B2AJ/eZ+8f7s"
    "/cX2d9nfZ32d9oHaB2gdoHaB2gdoHZ4XoUCP//85MOcNuasMvSSMZIxkjGSMZI9wj3CPcI9wj3CPcI9wjXrsfwABJaVFSDz8JZQPwPwPwPwUWUWU"
    "WUWUWUWUWToIG66/kePyLvx+PjGeFp4WnhaeFPGRX/6kKUIkpd8BJEkSRBjc/5sg/bt+gGP8H50VdDPp0Ch7CvZt9g6AAQdSunSfAcwMBpwYoOOQ"
    "UHHJOYaAAA52e7IKrDhMS//YoBwDkA4B1wm17aYNSUAztdgSuHAACqj8RooSzM5OFfSiJk2pEybfmf1AARxE8gO3SqrSzPQmOVLBnKlh9V4nVmE4"
    "gA=="
)


def by_libvips(path: Path) -> np.ndarray | str:
    """Return (H, W, C) in [0, 1] as libvips reads a file, or its reason not to."""
    import pyvips

    try:
        image = pyvips.Image.new_from_file(str(path), fail_on="truncated").autorot()
        if image.interpretation in ("cmyk", "lab", "labs"):
            image = image.icc_transform("srgb") if image.interpretation == "cmyk" else image.colourspace("srgb")
        samples = np.atleast_3d(image.numpy())
    except pyvips.Error as error:
        return " ".join(str(error).split())[:60] or "an error"
    top = {np.dtype("u1"): 255.0, np.dtype("u2"): 65535.0, np.dtype("i2"): 65535.0}.get(samples.dtype, 1.0)
    return samples / top


def difference(picture: Picture, other: np.ndarray) -> float | str:
    """Return the largest difference where something is seen, or why pictures cannot be compared."""
    ours = picture.pixels / np.iinfo(picture.pixels.dtype).max
    if ours.shape[:2] != other.shape[:2]:
        return f"size {ours.shape[1]} x {ours.shape[0]}, not {other.shape[1]} x {other.shape[0]}"
    clear = [one[..., -1:] if one.shape[2] in (2, 4) else np.ones_like(one[..., :1]) for one in (ours, other)]
    colours = [np.broadcast_to(one[..., : 3 if one.shape[2] > 2 else 1], (*one.shape[:2], 3)) for one in (ours, other)]
    seen = np.abs(colours[0] - colours[1]) * (clear[0] > 0)
    return max(float(seen.max()), float(np.abs(clear[0] - clear[1]).max()))


def row(path: Path) -> tuple[str, str]:
    """Return what became of a file, and the words on it."""
    try:
        picture = read_picture(path)
    except UserError as error:
        other = by_libvips(path)
        return ("refused" if isinstance(other, str) else "REFUSED ALONE"), str(error).removeprefix(f"{path}: ")
    except Exception as error:  # what this script looks for
        return "FAULT", repr(error)
    other = by_libvips(path)
    found = other if isinstance(other, str) else difference(picture, other)
    told = "; ".join(picture.lost)
    if isinstance(found, str):
        return "read alone" if isinstance(other, str) else "DIFFERS", f"{found}; {told}"
    if found > ROUNDING:
        return "told" if told else "DIFFERS", f"by {found:.3f}; {picture.format} {picture.mode}; {told}"
    return "equal", told


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    """Return (H, W, S), or planes (S, H, W), as a TIFF."""
    tifffile.imwrite(file := io.BytesIO(), pixels, metadata=None, **options)
    return file.getvalue()


def deep_pictures() -> Iterator[tuple[str, bytes, np.ndarray]]:
    """Yield pictures of more than 8 bits: what they are, their files, and the numbers (H, W, C) uint16 in them."""
    clear = np.random.default_rng(0).integers(0, 65536, (33, 50, 4), dtype=np.uint16)
    colour, grey = np.ascontiguousarray(clear[..., :3]), np.ascontiguousarray(clear[..., 0])
    rgb, alpha = {"photometric": "rgb"}, np.full_like(clear[..., 3:], 65535 // 3)
    planes = np.moveaxis(colour, 2, 0)
    yield "PNG RGB", imagecodecs.png_encode(colour), colour
    yield "PNG RGBA", imagecodecs.png_encode(clear), clear
    yield "TIFF chunky", tiff(colour, **rgb), colour
    yield "TIFF planar", tiff(planes, planarconfig="separate", **rgb), colour
    yield "TIFF LZW", tiff(colour, compression="lzw", predictor=True, **rgb), colour
    yield "TIFF planar deflate", tiff(planes, planarconfig="separate", compression="deflate", **rgb), colour
    yield "TIFF tiled", tiff(colour, tile=(16, 16), **rgb), colour
    yield "TIFF big-endian, large", tiff(colour, byteorder=">", bigtiff=True, **rgb), colour
    yield "TIFF turned", tiff(colour, extratags=[(274, 3, 1, 6, True)], **rgb), np.rot90(colour, -1)
    faint = np.concatenate([colour // 3, alpha], axis=2)
    whole = np.concatenate([colour // 3 * 3, alpha], axis=2)
    yield "TIFF premultiplied", tiff(faint, extrasamples=["assocalpha"], **rgb), whole
    yield "TIFF white is zero", tiff(grey, photometric="miniswhite"), 65535 - grey[..., None]
    yield "TIFF float", tiff((colour / 65535).astype(np.float32), **rgb), colour
    yield "TIFF L*a*b*", tiff(colour, photometric="cielab"), colour
    whole = np.rint((colour >> 4) * (65535 / 4095)).astype(np.uint16)
    yield "JPEG 2000, 12 bits", imagecodecs.jpeg2k_encode(colour >> 4, level=0, bitspersample=12), whole
    whole = np.rint((colour >> 6) * (65535 / 1023)).astype(np.uint16)
    avif = imagecodecs.avif_encode(colour >> 6, level=100, bitspersample=10, pixelformat="444")
    yield "AVIF, 10 bits", avif, whole
    corners = np.array([[[65535, 0, 0], [0, 65535, 0]], [[0, 0, 0], [0, 0, 65535]]], np.uint16)
    yield "HEIC, 10 bits", HEIC, corners.repeat(8, axis=0).repeat(12, axis=1)


def deep_row(content: bytes, known: np.ndarray) -> str:
    """Return whether a file's numbers are read exactly, or how far from it, or why they are not read."""
    try:
        pixels = read_picture(io.BytesIO(content), "file").pixels
    except UserError as error:
        return f"refused: {error}"
    if (pixels.dtype, pixels.shape) != (known.dtype, known.shape):
        return f"WRONG: {pixels.dtype} {pixels.shape}, not {known.dtype} {known.shape}"
    far = np.abs(pixels.astype(int) - known).max() / 65535
    return "exact" if far == 0 else f"{'as lossy as its codec' if far < CODEC else 'WRONG'}: by {far:.5f}"


def main() -> int:
    """Print the table."""
    if not sys.argv[1:]:
        deep = {what: deep_row(content, known) for what, content, known in deep_pictures()}
        for what, words in deep.items():
            print(f"{what:24} {words}")
        return int(any(words.startswith("WRONG") for words in deep.values()))
    rows = {path: row(path) for path in sorted(Path(sys.argv[1]).rglob("*")) if path.is_file()}
    for path, (what, words) in rows.items():
        if what != "equal" or words:
            print(f"{what:14} {path.relative_to(sys.argv[1])}: {words}")
    print(dict(Counter(what for what, _ in rows.values())))
    return int(any(what == "FAULT" for what, _ in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
