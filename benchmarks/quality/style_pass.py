"""Styles painted in one pass: style distance, effect of strength, time, and large pictures.

    python benchmarks/quality/style_pass.py PHOTOS [--model RUN|WEIGHTS] [--pairs N] [--one RUN] [--out results.json]

PHOTOS is the output of `weights/restoration.py prepare`. Only its part held out by a hash of the name is used:
photographs and two paintings, beside `skimage.data`'s brick and stained tissue. Each content is painted at 256 pixels
in one style (styles take turns), in one pass by the model (by default the shipped network) and by 60 steps of `stylize`
without `--quick`. Both use the style at the size of the content (`--scale 1`).

Style distance is that of Gram matrices in the five maps of st-lpips's AlexNet, squared, relative to the style's, and
averaged over maps. Content distance is st-lpips[alex] from the content. Time is of whole edits at 512 pixels, including
the statistics of the content: the median of five, in seconds of clock and processor, because other jobs may run. A
picture of 4,096 pixels, an enlarged content, is painted in a process of its own, whose peak memory is recorded.
Gradients across the borders of tiles are compared with those of the columns and rows beside them, in the painting and
in the content. `--one` also measures a run that has learned one style.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from skimage import data

from pinxit.colour import pixel_luma
from pinxit.data import open_data
from pinxit.edits import engine
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Stylize
from pinxit.edits.tiles import Box, cut
from pinxit.images import Picture, resize, save_image
from pinxit.losses.style import gram, style_distance
from pinxit.metrics.perceptual import _alexnet, st_lpips
from pinxit.nets.shapes import over_black
from pinxit.training.run import Run

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

HELD_OUT = 0.05
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SMALL, LARGE, PRINT = 256, 512, 4096
STEPS = 60
MEMORY = 1 << 30


def squares(photos: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return contents and styles, uint8 with three channels, that the shipped network was not trained on."""
    held = open_data(str(photos), HELD_OUT).held_out
    known = dict(zip(held.names, (held[number] for number in range(len(held))), strict=True))
    contents = [data.astronaut(), data.chelsea(), *(known[name] for name in known if "bsds" in name)]
    paintings = [known[name] for name in known if "details__" in name]
    return contents, [*paintings, np.repeat(data.brick()[..., None], 3, axis=2), data.immunohistochemistry()]


def fitted(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return the middle square of a picture, `side` pixels wide."""
    high, wide = pixels.shape[:2]
    least = min(high, wide)
    top, left = (high - least) // 2, (wide - least) // 2
    return resize(pixels[top : top + least, left : left + least, :3], (side, side))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    """Return a picture as (1, 3, H, W) in [0, 1]."""
    return over_black(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)


@torch.no_grad()
def style_apart(pixels: np.ndarray, style: np.ndarray) -> float:
    """Return the style distance of two pictures in AlexNet."""
    one, other = ([gram(maps) for maps in _alexnet()(tensor(each))] for each in (pixels, style))
    return float(style_distance(one, other))


def content_apart(pixels: np.ndarray, content: np.ndarray) -> float:
    """Return the content distance of a picture."""
    return float(st_lpips(tensor(pixels), tensor(content)))


def timed(run: Callable[[], object]) -> dict[str, float]:
    """Return the median of five times of a call, in seconds of the clock and of the processor."""
    clock, processor = [], []
    for _ in range(5):
        started = time.perf_counter(), time.process_time()
        run()
        clock.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    return {"clock": round(float(np.median(clock)), 3), "processor": round(float(np.median(processor)), 3)}


def chroma(pixels: np.ndarray) -> float:
    """Return the mean distance of colours from grey, in units of the range."""
    values = pixels / 255
    return float(np.linalg.norm(values - pixel_luma(values)[..., None], axis=2).mean())


def painted(content: np.ndarray, edit: Bound, strength: float = 1.0) -> np.ndarray:
    """Return the content edited."""
    return edit_picture(Picture(content), [edit], strength=strength).pixels


def pair(content: np.ndarray, style: np.ndarray, place: Path, model: dict[str, object]) -> dict[str, object]:
    """Return the measurements of one content and one style, uint8 squares."""
    save_image(place, style)
    edit = Stylize(style=place, scale=1, **model).bind()
    passes = [painted(content, edit, strength) for strength in STRENGTHS]
    optimised = painted(content, Stylize(style=place, scale=1, steps=STEPS).bind())
    kept = painted(content, Stylize(style=place, keep_colours=True, **model).bind())
    return {
        "unchanged_at_0": bool((passes[0] == content).all()),
        "style": [style_apart(each, style) for each in passes],
        "content": [content_apart(each, content) for each in passes],
        "style_optimised": style_apart(optimised, style),
        "content_optimised": content_apart(optimised, content),
        "chroma_kept": chroma(kept) / chroma(content),
    }


def large(content: np.ndarray, style: Path, model: dict[str, object]) -> dict[str, float]:
    """Return time, memory and borders of a picture of `PRINT` pixels; call it in a process of its own."""
    pixels = resize(content, (PRINT, PRINT))
    edit = Stylize(style=style, **model).bind(memory=MEMORY)
    tiles: list[Box] = []

    def noted(*words: object) -> list[Box]:
        tiles[:] = cut(*words)  # type: ignore[arg-type]
        return tiles

    engine.cut = noted  # type: ignore[assignment]
    started = time.perf_counter(), time.process_time()
    after = edit_picture(Picture(pixels), [edit], memory=MEMORY).pixels
    clock, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    down, across = sorted({tile.bottom for tile in tiles} - {PRINT}), sorted({tile.right for tile in tiles} - {PRINT})
    ratios, before = (
        [*at_borders(values, across), *at_borders(values.swapaxes(0, 1), down)]
        for values in (after.astype(np.int16), pixels.astype(np.int16))
    )
    return {
        "clock": round(clock, 1),
        "processor": round(processor, 1),
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "tiles": len(tiles),
        "gradient_at_borders": round(float(np.mean(ratios)), 4),
        "gradient_at_borders_of_the_content": round(float(np.mean(before)), 4),
        "gradient_at_borders_worst": round(float(max(ratios, key=lambda ratio: abs(ratio - 1))), 4),
    }


def at_borders(values: np.ndarray, borders: Sequence[int]) -> list[float]:
    """Return the gradient across each border between columns, relative to that at 8 to 32 pixels beside it.

    Only multiples of 8 are compared, because the content is enlarged 8 times, which leaves a trace of that period.
    """
    steep = np.abs(np.diff(values, axis=1)).mean(axis=(0, 2))
    beside = np.array([-32, -24, -16, -8, 8, 16, 24, 32])
    return [float(steep[border - 1] / steep[border - 1 + beside].mean()) for border in borders]


def one_style(place: Path, content: np.ndarray) -> dict[str, object]:
    """Return the measurements of a run that learned one style."""
    run = Run.open(place)
    edit = Stylize(model=place).bind()
    small, wide = fitted(content, SMALL), fitted(content, LARGE)
    style = run.recipe.settings.style  # type: ignore[attr-defined]
    return {
        "style": Path(str(style)).name,
        "training": {name: run.facts().get(name) for name in ("steps", "seconds", "finished")},
        "seconds_at_512": timed(lambda: painted(wide, edit)),
        "seconds_at_256": timed(lambda: painted(small, edit)),
    }


def table(pairs: Sequence[dict[str, object]]) -> str:
    """Return the means as a table of Markdown."""
    style, content = (np.array([each[name] for each in pairs]).mean(0) for name in ("style", "content"))
    lines = ["| strength | style distance | content distance |", "| --- | --- | --- |"]
    lines += [f"| {s:g} | {a:.3f} | {b:.3f} |" for s, a, b in zip(STRENGTHS, style, content, strict=True)]
    best = (float(np.mean([each[f"{name}_optimised"] for each in pairs])) for name in ("style", "content"))
    return "\n".join([*lines, "| {} steps of optimisation | {:.3f} | {:.3f} |".format(STEPS, *best)])


def main() -> None:
    """Measure everything."""
    parser = arguments(__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--one", type=Path)
    parser.add_argument("--large", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    model: dict[str, object] = {"model": asked.model} if asked.model else {"quick": True}
    contents, styles = squares(asked.photos)
    if asked.large:
        print(json.dumps(large(contents[0], asked.large, model)))
        return
    place = (asked.out or Path("style_pass.json")).with_suffix(".png")
    pairs = []
    for number in range(asked.pairs):
        content, style = (fitted(one[number % len(one)], SMALL) for one in (contents, styles))
        pairs.append(pair(content, style, place, model))
        print(json.dumps(pairs[-1]), flush=True)
    steps = np.array([[np.diff(each["style"]) < 0, np.diff(each["content"]) > 0] for each in pairs])
    save_image(place, fitted(styles[0], LARGE))
    edit, wide = Stylize(style=place, **model).bind(), fitted(contents[0], LARGE)
    words = [sys.executable, __file__, str(asked.photos), "--large", str(place)]
    words += ["--model", str(asked.model)] if asked.model else []
    found = record(
        __doc__,
        {"threads": torch.get_num_threads()},
        pairs=pairs,
        monotone={
            "style": int(steps[:, 0].all(1).sum()),
            "content": int(steps[:, 1].all(1).sum()),
            "of": len(pairs),
        },
        no_worse_than_optimised=int(sum(each["style"][-1] <= each["style_optimised"] for each in pairs)),
        seconds_at_512=timed(lambda: painted(wide, edit)),
        print=json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout),
        one_style=one_style(asked.one, contents[0]) if asked.one else None,
        card=table(pairs),
    )
    place.unlink()
    write(asked.out, found)
    print(found["card"])


if __name__ == "__main__":
    main()
