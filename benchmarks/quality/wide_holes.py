"""Wide holes in photographs: pieces of the picture against a smooth fill by the network, Telea and biharmonic.

    python benchmarks/quality/wide_holes.py DATA [--show FOLDER] [--widths] [--seed 0] [--out FILE]

DATA is a folder with photos-bsds/test, photos-wallpapers, textures-dtd and saliency-ecssd. The 20 photographs are 12 of
photos-bsds/test (every 17th name), 4 of photos-wallpapers (every 4th, the longer side reduced to 1,024 pixels) and 4 of
textures-dtd (the first of every second class). Each has two kinds of holes, anywhere: a box with sides of 96 to 192
pixels, and the shape of an object of saliency-ecssd of the same height; none is longer than half the shorter side of
its picture. No one chose the places.

Rows: what inpaint did before (`--wide smooth`), Telea (OpenCV, if installed), biharmonic (scikit-image), and inpaint.
PSNR is of the hole. st-lpips[alex] is of the hole with as much around it on every side as a quarter of it. kd[lite0] is
over the same parts of all pictures and both kinds of holes, filled against original; 40 pictures are few for it, so
its jackknife interval stands beside it. Less is better but for PSNR.

--widths instead fills a band of 8 to 32 pixels across each picture, at 45 degrees, once by the network alone and once
with pieces alone: the widths between which one gives way to the other. --show writes each picture with its hole, every
row and the original side by side.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Inpaint
from pinxit.images import Picture
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.perceptual import st_lpips
from pinxit.metrics.sets import kernel_distance
from pinxit.progress import track

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parent))
from record import arguments, record, write
from restoration import fillers

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A function of pixels (H, W, 3) uint8, 0 in the hole, and the hole (H, W) bool, to filled pixels."""
LONGEST, SIDES, WIDTHS = 1024, (96, 192), (8, 12, 16, 20, 24, 32)


def photographs(data: Path) -> list[Path]:
    """Return the 20 photographs."""
    classes = sorted(folder for folder in (data / "textures-dtd").iterdir() if folder.is_dir())
    return [
        *sorted((data / "photos-bsds" / "test").glob("*.jpg"))[::17],
        *sorted((data / "photos-wallpapers").glob("*.jpg"))[::4][:4],
        *(min(folder.glob("*.jpg")) for folder in classes[1::2][:4]),
    ]


def loaded(path: Path) -> np.ndarray:
    """Return a photograph (H, W, 3) uint8 with a longer side of at most `LONGEST`."""
    with Image.open(path) as image:
        colours = image.convert("RGB")
        colours.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        return np.asarray(colours)


def holes(size: tuple[int, int], objects: list[Path], rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a box and the shape of an object, each (H, W) bool."""
    most = min(SIDES[1], min(size) // 2)
    high, wide = rng.integers(min(SIDES[0], most), most + 1, 2).tolist()
    with Image.open(objects[rng.integers(len(objects))]) as image:
        shape = np.asarray(image.convert("L")) > 127
    rows, columns = (np.flatnonzero(shape.any(axis=axis)) for axis in (1, 0))
    shape = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = min(high / shape.shape[0], most / shape.shape[1])
    small = Image.fromarray(shape).resize([max(8, round(side * scale)) for side in shape.shape[::-1]])
    for kind, form in (("box", np.ones((high, wide), bool)), ("object", np.asarray(small))):
        top, left = (int(rng.integers(side - part + 1)) for side, part in zip(size, form.shape, strict=True))
        hole = np.zeros(size, bool)
        hole[top : top + form.shape[0], left : left + form.shape[1]] = form
        yield kind, hole


def by(bound: Bound) -> Fill:
    """Return an edit as a function."""
    return lambda pixels, hole: edit_picture(Picture(pixels), [bound], hole.astype(np.float32)).pixels


def plain(function: Callable[[Tensor, Tensor], Tensor]) -> Fill:
    """Return a method of `restoration.fillers` as a function of pixels."""

    def fill(pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
        filled = function(image, torch.from_numpy(hole[None].astype(np.float32))).permute(1, 2, 0).numpy()
        return np.where(hole[..., None], np.rint(filled * 255).astype(np.uint8), pixels)

    return fill


def around(hole: np.ndarray) -> tuple[slice, slice]:
    """Return the part of a picture that is judged: the box of the hole and a quarter of it more on every side."""
    parts = []
    for axis in (1, 0):
        lines = np.flatnonzero(hole.any(axis=axis))
        more = max((lines[-1] - lines[0]) // 4, 16)
        parts.append(slice(max(0, int(lines[0]) - more), int(lines[-1]) + more + 1))
    return parts[0], parts[1]


def tensor(pixels: np.ndarray) -> Tensor:
    """Return pixels (H, W, 3) uint8 as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


def judged(filled: np.ndarray, clean: np.ndarray, hole: np.ndarray) -> dict[str, float]:
    """Return the distances of one result."""
    error = ((filled[hole].astype(float) - clean[hole]) / 255) ** 2
    part = around(hole)
    return {
        "psnr": -10 * math.log10(max(error.mean(), 1e-10)),
        "st-lpips[alex]": st_lpips(tensor(filled[part]), tensor(clean[part])).item(),
    }


def distance_of_sets(filled: list[np.ndarray], clean: list[np.ndarray]) -> dict[str, float]:
    """Return kd[lite0] with half the width of its 95 % interval, by a jackknife over pictures."""
    extractor = EXTRACTORS["lite0"]
    one, other = (
        extractor.extract(torch.cat([extractor.prepare(tensor(part)) for part in parts])).features
        for parts in (filled, clean)
    )
    keep = ~torch.eye(len(one), dtype=torch.bool)
    without = np.array([kernel_distance(one[rows], other[rows]) for rows in keep])
    spread = math.sqrt((len(one) - 1) * without.var())
    return {"kd[lite0]": kernel_distance(one, other), "kd[lite0] +-": 1.96 * spread}


def bands(size: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield bands of each width across the middle of a picture."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    away = np.abs((rows - size[0] / 2) - (columns - size[1] / 2)) / math.sqrt(2)
    inside = (np.abs(rows - size[0] / 2) < size[0] / 4) & (np.abs(columns - size[1] / 2) < size[1] / 4)
    for width in WIDTHS:
        yield str(width), inside & (away < width / 2)


def rows_of(widths: bool, seed: int) -> dict[str, Fill]:
    """Return the methods that are compared."""
    smooth, pieces = by(Inpaint(wide="smooth").bind()), by(Inpaint(seed=seed).bind())
    if widths:
        import pinxit.edits.wide

        pinxit.edits.wide.NARROW, pinxit.edits.wide.WIDE = 5, 5
        return {"smooth": smooth, "pieces": pieces}
    return {"smooth": smooth} | {name: plain(function) for name, function in fillers().items()} | {"pieces": pieces}


def save(folder: Path, name: str, pictures: list[np.ndarray]) -> None:
    """Write pictures side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    gap = np.full((len(pictures[0]), 4, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([part for one in pictures for part in (one, gap)][:-1], axis=1)).save(folder / name)


def main() -> None:
    """Fill, judge, print and record."""
    parser = arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--show", type=Path)
    parser.add_argument("--widths", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    paths = photographs(asked.data)
    objects = sorted((asked.data / "saliency-ecssd" / "masks").glob("*.png"))
    methods = rows_of(asked.widths, asked.seed)
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("original", *methods)}
    for number, path in enumerate(track(paths, "picture", len(paths))):
        clean = loaded(path)
        rng = np.random.default_rng(number)
        for kind, hole in bands(clean.shape[:2]) if asked.widths else holes(clean.shape[:2], objects, rng):
            holed = np.where(hole[..., None], np.uint8(0), clean)
            shown = [np.where(hole[..., None], np.uint8(128), clean)]
            parts["original"].append(clean[around(hole)])
            for name, fill in methods.items():
                begun = time.perf_counter()
                filled = fill(holed, hole)
                values = judged(filled, clean, hole) | {"seconds": time.perf_counter() - begun}
                found.setdefault(kind, {}).setdefault(name, []).append(values)
                parts[name].append(filled[around(hole)])
                shown.append(filled)
            if asked.show:
                save(asked.show, f"{number:02}-{kind}-{path.stem}.png", [*shown, clean])
    means = {
        kind: {name: {key: float(np.mean([one[key] for one in rows])) for key in rows[0]} for name, rows in by.items()}
        for kind, by in found.items()
    }
    for kind, rows in means.items():
        for name, values in rows.items():
            print(f"{kind:8}{name:12}" + "   ".join(f"{key} {value:.4g}" for key, value in values.items()))
    sets = {name: distance_of_sets(parts[name], parts["original"]) for name in methods}
    print("\n".join(f"{name:20}{values}" for name, values in sets.items()))
    protocol = {"names": [path.name for path in paths], "widths": asked.widths, "seed": asked.seed}
    write(asked.out, record(__doc__, protocol, means=means, sets=sets, pictures=found))


if __name__ == "__main__":
    main()
