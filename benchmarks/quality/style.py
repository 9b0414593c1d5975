"""Quality of paintings at the first try: contents by styles, strength, colours and textures, at default settings.

    python benchmarks/quality/style.py DATA FOLDER [--turn 0/2] [--out results.json]

DATA is a folder with the pictures named in `CONTENTS` and `STYLES`; the others come from scikit-image or are drawn
here. Results are kept in FOLDER and not made again. Several processes share the work with `--turn 0/2` and
`--turn 1/2`; a last run without `--turn` measures the results and writes `sheet.png`.

Sheet: 6 contents by 6 styles, the longer side 512 pixels. Strength: ten of these pairs at 256 pixels and five
strengths. Distances are of Gram matrices (style, at the size `stylize` uses) and of the last two maps (content) of the
AlexNet of the package `stlpips-pytorch`, which no painting uses. Colours: mean chroma in CIELAB with `keep_colours`,
relative to the content's. Textures: mean absolute difference of neighbours across the edges that meet in a tiling,
relative to that inside, of `SEEDS` textures of each sample; single rows or columns differ from the mean by a tenth and
more. Print size: a picture of 4,096 x 3,072 pixels, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor

from pinxit.edits.engine import edit_picture
from pinxit.edits.painting import SHIFT, STRIDE, TILE
from pinxit.edits.settings import Edit, Stylize, Texture
from pinxit.edits.tiles import Box, cut
from pinxit.images import Picture
from pinxit.losses.style import content_distance, gram, style_distance
from pinxit.nets.alexnet import ShiftTolerantAlexNet
from pinxit.nets.pretrained import STLPIPS, stlpips_weights

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

SIDE, SMALL = 512, 256
SHOWN = round(Stylize().strokes * SMALL)
"""Longer side of a style as `stylize` uses it for a picture of `SMALL` pixels."""
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
PAIRS, SEEDS = 10, 8
PRINT = (3072, 4096)


def lines() -> np.ndarray:
    """Wavy lines, dark blue on cream, (512, 512, 3) uint8."""
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    wave = np.sin(2 * np.pi * (18 * across + 10 * down) + 3 * np.sin(2 * np.pi * (2 * down + across)))
    share = (np.clip(4 * wave, -1, 1)[..., None] + 1) / 2
    return np.rint(share * [250, 240, 215] + (1 - share) * [20, 30, 90]).astype(np.uint8)


CONTENTS: dict[str, str | Callable[[], np.ndarray]] = {
    "astronaut": skimage.data.astronaut,
    "man": "photos-bsds/test/302022.jpg",
    "cat": skimage.data.chelsea,
    "coffee": skimage.data.coffee,
    "mountains": "photos-wallpapers/picosdeeuropa_by_Aitzol_Berasategi.jpg",
    "castle": "photos-paintings-cc0/explore_monuments__neuschwansteinCastle.webp",
}
STYLES: dict[str, str | Callable[[], np.ndarray]] = {
    "church": "photos-paintings-cc0/details__Eglise_dAuvers-sur-Oise_background.webp",
    "terrace": "photos-paintings-cc0/details__Gogh4_background.webp",
    "wallpaper": "photos-wallpapers/Painting-Colors_by__herobrine7gamer.jpg",
    "brick": skimage.data.brick,
    "lines": lines,
    "stain": skimage.data.immunohistochemistry,
}
SAMPLES = {"brick": skimage.data.brick, "gravel": skimage.data.gravel, "stain": skimage.data.immunohistochemistry}


def fitted(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return colours (H, W, 3) uint8 whose longer side is that long."""
    image = Image.fromarray(pixels).convert("RGB")
    share = side / max(image.size)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def named(table: dict[str, str | Callable[[], np.ndarray]], name: str, data: Path) -> np.ndarray:
    source = table[name]
    return np.asarray(Image.open(data / source).convert("RGB")) if isinstance(source, str) else source()


class Job:
    """A picture to make: its content, edit and strength."""

    def __init__(self, name: str, before: np.ndarray, editor: Edit, strength: float = 1.0) -> None:
        self.name, self.before, self.editor, self.strength = name, before, editor, strength

    def done(self, folder: Path) -> np.ndarray:
        """Return the result, made now if it is not in the folder, with its seconds beside it."""
        path = folder / f"{self.name}.png"
        if not path.is_file():
            started, busy = time.perf_counter(), time.process_time()
            edited = edit_picture(Picture(self.before), [self.editor], strength=self.strength)
            seconds = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - busy}
            path.with_suffix(".json").write_text(json.dumps(seconds))
            Image.fromarray(edited.pixels).save(path)
            print(f"{self.name}: {seconds['processor_seconds']:.1f} s of a processor", flush=True)
        return np.asarray(Image.open(path))


def pairs() -> list[tuple[str, str]]:
    """Return ten pairs that include every content and style."""
    names = list(STYLES)
    return [(content, names[(row + turn) % 6]) for turn in (0, 2) for row, content in enumerate(CONTENTS)][:PAIRS]


def jobs(data: Path, folder: Path) -> dict[str, dict[str, Job]]:
    """Return the jobs by part and name."""
    paths = {}
    for name in STYLES:
        paths[name] = folder / f"style-{name}.png"
        if not paths[name].is_file():
            Image.fromarray(np.asarray(named(STYLES, name, data))).save(paths[name])
    contents = {name: named(CONTENTS, name, data) for name in CONTENTS}
    large, small = ({name: fitted(one, side) for name, one in contents.items()} for side in (SIDE, SMALL))
    every = {
        "sheet": [Job(f"{c}-{s}", large[c], Stylize(style=(paths[s],))) for c, s in product(CONTENTS, STYLES)],
        "strength": [
            Job(f"{c}-{s}-{strength:g}", small[c], Stylize(style=(paths[s],)), strength)
            for (c, s), strength in product(pairs(), STRENGTHS)
        ],
        "colours": [
            Job(f"colours-{c}-{s}", small[c], Stylize(style=(paths[s],), keep_colours=True)) for c, s in pairs()[:6]
        ],
        "texture": [
            Job(f"texture-{name}-{seed}", fitted(one(), SMALL), Texture(seed=seed))
            for (name, one), seed in product(SAMPLES.items(), range(SEEDS))
        ],
    }
    return {part: {job.name: job for job in made} for part, made in every.items()}


def measured(parts: dict[str, dict[str, Job]], folder: Path) -> dict[str, object]:
    done = {part: {name: job.done(folder) for name, job in made.items()} for part, made in parts.items()}
    save_sheet(done["sheet"], folder)
    for name, pixels in done["texture"].items():
        Image.fromarray(np.tile(pixels, (3, 3, 1))).save(folder / f"{name}-3x3.png")
    seconds = [json.loads((folder / f"{name}.json").read_text())["processor_seconds"] for name in done["sheet"]]
    save_strengths(done["strength"], folder)
    return {
        "sheet_processor_seconds": {"median": float(np.median(seconds)), "most": max(seconds)},
        "strength": dict(strengths(done["strength"], folder)),
        "chroma_kept": {name: chroma(pixels) / chroma(parts["colours"][name].before)
                        for name, pixels in done["colours"].items()},
        "wrap_over_inside": {name: wraps(done["texture"], name) for name in SAMPLES},
    }  # fmt: skip


def strengths(done: dict[str, np.ndarray], folder: Path) -> Iterator[tuple[str, object]]:
    """Yield distances at each strength, in the mean and of each pair, and of how many pairs they are strict."""
    rows: dict[str, dict[str, list[float]]] = {}
    for content, style in pairs():
        wanted = seen(fitted(np.asarray(Image.open(folder / f"style-{style}.png")), SHOWN))
        results = [seen(done[f"{content}-{style}-{strength:g}"]) for strength in STRENGTHS]
        rows[f"{content}-{style}"] = {
            "style": [style_distance([gram(m) for m in one], [gram(m) for m in wanted]).item() for one in results],
            "content": [
                sum(content_distance(one[level], results[0][level]).item() for level in (3, 4)) / 2 for one in results
            ],
        }
    for kind, sign in (("style", -1), ("content", 1)):
        values = np.array([row[kind] for row in rows.values()])
        yield f"{kind}_mean", values.mean(0).tolist()
        yield f"{kind}_strict_pairs", int((np.diff(values, axis=1) * sign > 0).all(1).sum())
    yield "pairs", rows


@torch.no_grad()
def seen(pixels: np.ndarray) -> tuple[Tensor, ...]:
    return alexnet()(torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)[None])


@cache
def alexnet() -> ShiftTolerantAlexNet:
    network = ShiftTolerantAlexNet()
    network.load_state_dict(stlpips_weights())
    return network.eval()


def print_size(data: Path, folder: Path) -> dict[str, float]:
    """Return time, memory and borders of a picture of `PRINT` pixels; call it in a process of its own.

    Tiles are shifted by 0 to `SHIFT` pixels at every step. So the rows or columns within `SHIFT` pixels of a border are
    compared with as many of them farther away.
    """
    high, wide = PRINT
    mountains = Image.fromarray(np.asarray(named(CONTENTS, "mountains", data))).resize((wide, high), Image.LANCZOS)
    started, busy = time.perf_counter(), time.process_time()
    style = folder / "style-church.png"
    after = edit_picture(Picture(np.asarray(mountains)), [Stylize(style=(style,))]).pixels
    clock, processor = time.perf_counter() - started, time.process_time() - busy
    Image.fromarray(after).save(folder / "print.jpg", quality=92)
    tiles = list(cut(Box(0, 0, high + SHIFT, wide + SHIFT), TILE, STRIDE))
    ratios = [
        ratio
        for values, borders in (
            (after, {tile.right for tile in tiles} - {wide + SHIFT}),
            (after.swapaxes(0, 1), {tile.bottom for tile in tiles} - {high + SHIFT}),
        )
        for ratio in at_borders(values, sorted(borders))
    ]
    return {
        "clock": clock,
        "processor": processor,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "gradient_at_borders": float(np.mean(ratios)),
        "gradient_at_borders_least": min(ratios),
        "gradient_at_borders_most": max(ratios),
    }


def at_borders(pixels: np.ndarray, borders: Sequence[int]) -> Iterator[float]:
    """Yield the gradient across columns up to `SHIFT` left of each border, relative to that of columns beside."""
    steep = np.abs(np.diff(pixels.astype(np.int16), axis=1)).mean(axis=(0, 2))
    for border in borders:
        near = steep[border - SHIFT - 1 : border + 1].mean()
        beside = [steep[start : start + SHIFT + 2].mean() for start in (border - 4 * SHIFT, border + 3 * SHIFT)]
        yield float(near / np.mean(beside))


def chroma(pixels: np.ndarray) -> float:
    return float(np.hypot(*np.moveaxis(rgb2lab(pixels)[..., 1:], 2, 0)).mean())


def wraps(done: dict[str, np.ndarray], name: str) -> dict[str, object]:
    """Return wrap over inside of a sample's textures, each, and in the mean of wraps over the mean of insides."""
    textures = [done[f"texture-{name}-{seed}"] for seed in range(SEEDS)]
    across, within = ([of(pixels) for pixels in textures] for of in (wrap, inside))
    return {"mean": sum(across) / sum(within), "each": [a / b for a, b in zip(across, within, strict=True)]}


def inside(pixels: np.ndarray) -> float:
    whole = pixels.astype(float)
    return float(np.mean([np.abs(np.diff(whole, axis=axis)).mean() for axis in (0, 1)]))


def wrap(pixels: np.ndarray) -> float:
    whole = pixels.astype(float)
    return float(np.mean([np.abs(whole[0] - whole[-1]).mean(), np.abs(whole[:, 0] - whole[:, -1]).mean()]))


def save_sheet(done: dict[str, np.ndarray], folder: Path) -> None:
    """Save the sheet: a row a content, a column a style."""
    side = SMALL
    sheet = np.full(((1 + len(CONTENTS)) * side, len(STYLES) * side, 3), 255, np.uint8)
    for column, style in enumerate(STYLES):
        above = fitted(np.asarray(Image.open(folder / f"style-{style}.png")), side)
        for row, pixels in enumerate([above, *(fitted(done[f"{content}-{style}"], side) for content in CONTENTS)]):
            top, left = row * side, column * side
            sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    Image.fromarray(sheet).save(folder / "sheet.png")


def save_strengths(done: dict[str, np.ndarray], folder: Path) -> None:
    """Save the strengths: a row a pair, a column a strength."""
    sheet = np.full((PAIRS * SMALL, len(STRENGTHS) * SMALL, 3), 255, np.uint8)
    for (row, (content, style)), (column, strength) in product(enumerate(pairs()), enumerate(STRENGTHS)):
        pixels, top, left = done[f"{content}-{style}-{strength:g}"], row * SMALL, column * SMALL
        sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    Image.fromarray(sheet).save(folder / "strengths.png")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--turn", help="k/n: make every n-th picture, from the k-th, and measure nothing")
    parser.add_argument("--print", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.print:
        (asked.folder / "print.json").write_text(json.dumps(print_size(asked.data, asked.folder)))
        return
    parts = jobs(asked.data, asked.folder)
    if asked.turn:
        turn, count = map(int, asked.turn.split("/"))
        for job in [job for made in parts.values() for job in made.values()][turn::count]:
            job.done(asked.folder)
        return
    if not (asked.folder / "print.json").is_file():
        words = [sys.executable, __file__, str(asked.data), str(asked.folder), "--print"]
        subprocess.run(words, check=True)
    results = measured(parts, asked.folder) | {"print": json.loads((asked.folder / "print.json").read_text())}
    print(json.dumps(results, indent=2))
    protocol = {"strengths": STRENGTHS, "alexnet_sha256": STLPIPS.sha256}
    write(asked.out, record(__doc__, protocol, results=results))


if __name__ == "__main__":
    main()
