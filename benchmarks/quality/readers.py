"""What pinxit reads of a folder of pictures, beside libvips: the refused, the remarked on, and the different.

    pip install pyvips[binary]
    python benchmarks/quality/readers.py FOLDER

Suited are the test pictures of Pillow's source package, PngSuite, and exif-samples. A difference is the largest of any
sample, as a share of the range, after turning; libvips gives animations, float pixels and CMYK as they are stored.
Prints a table; exit 1 if any file ended with anything but a picture or a line of pinxit's own.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from pinxit.errors import UserError
from pinxit.images import Picture, read_picture

ROUNDING = 1.01 / 255


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


def main() -> int:
    """Print the table."""
    rows = {path: row(path) for path in sorted(Path(sys.argv[1]).rglob("*")) if path.is_file()}
    for path, (what, words) in rows.items():
        if what != "equal" or words:
            print(f"{what:14} {path.relative_to(sys.argv[1])}: {words}")
    print(dict(Counter(what for what, _ in rows.values())))
    return int(any(what == "FAULT" for what, _ in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
