"""How much less does a film flicker that is kept steady, and how many frames a second are painted in one pass?

    python benchmarks/quality/flicker.py [--size 256] [--frames 12] [--edits quick balance ...] [--out results.json]

The film is scikit-image's astronaut with Gaussian noise of 2 of 255, anew in every frame, over which a part of its
cat moves a thirtieth of the width a frame; the style is its cup of coffee. Flicker is the mean change of a result
from frame to frame, of 255, at the pixels whose frames differ by less than 2 in every colour. `ghost` is the largest
difference from the frame's own result where the frame differs by 48 and more from each of the four before it. One
thread. `speed` is that of `stylize --quick` in frames a second of the clock and of the processor's time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch

from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Edit, Enhance, Stylize
from pinxit.images import Picture, resize, save_image
from pinxit.jobs.film import Deflicker
from pinxit.training.run import machine

NOISE, STILL, MOVED, AMOUNT, SEED = 2.0, 2, 48, 0.8, 0


def edits(style: Path) -> dict[str, Edit]:
    """The edits that may be compared, by name."""
    return {
        "quick": Stylize(style=style, quick=True),
        "optimised": Stylize(style=style, steps=20),
        "enhance": Enhance(),
        "balance": Adjust(balance="grey-world", exposure=0.3),
    }


def film(size: int, count: int) -> Iterator[np.ndarray]:
    """Yield the frames, (size, size, 3) uint8."""
    rng, side = np.random.default_rng(SEED), size // 4
    still = resize(skimage.data.astronaut(), (size, size)).astype(float)
    thing = resize(skimage.data.chelsea()[:300, 100:400], (side, side)).astype(float)
    for number in range(count):
        frame, left = still.copy(), size // 25 + number * size // 30
        frame[size // 3 : size // 3 + side, left : left + side] = thing[:, : size - left]
        yield (frame + rng.normal(0, NOISE, frame.shape)).clip(0, 255).round().astype(np.uint8)


def flicker(bound: Bound, size: int, count: int) -> dict[str, float]:
    """Return the flicker of results alone and steady, and the largest trace of what was there before."""
    steady, made, ghost = Deflicker(AMOUNT), [], 0
    for frame in film(size, count):
        alone = edit_picture(Picture(frame), [bound])
        kept = steady.smooth(Picture(frame), alone)
        made.append([pixels.astype(int) for pixels in (frame, alone.pixels, kept.pixels)])
        if len(made) > 1:
            far = np.min([np.abs(made[-1][0] - one[0]).max(axis=2) for one in made[-5:-1]], axis=0)
            ghost = max(ghost, int(np.abs(made[-1][1] - made[-1][2])[far >= MOVED].max(initial=0)))
    told = {name: [] for name in ("alone", "steady")}
    for before, after in pairwise(made):
        still = np.abs(after[0] - before[0]).max(axis=2) < STILL
        for number, changes in enumerate(told.values(), start=1):
            changes.append(np.abs(after[number] - before[number])[still].mean())
    alone, kept = (float(np.mean(changes)) for changes in told.values())
    return {"alone": round(alone, 3), "steady": round(kept, 3), "ratio": round(kept / alone, 3), "ghost": ghost}


def speed(bound: Bound, size: int, count: int = 6) -> dict[str, float]:
    """Return the frames a second, kept steady as a camera's are, by the clock and by the processor's time."""
    frames, steady = list(film(size, count + 1)), Deflicker(AMOUNT)
    steady.smooth(Picture(frames[0]), edit_picture(Picture(frames[0]), [bound]))
    clock, processor = time.perf_counter(), time.process_time()
    for frame in frames[1:]:
        steady.smooth(Picture(frame), edit_picture(Picture(frame), [bound]))
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return {"clock": round(count / clock, 2), "processor": round(count / processor, 2)}


def main() -> None:
    """Compare, and print or write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--edits", nargs="*", default=["quick", "optimised", "enhance", "balance"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        style = Path(folder) / "style.png"
        save_image(style, skimage.data.coffee()[100:356, 100:356])
        found: dict[str, Any] = {
            name: flicker(edits(style)[name].bind(), asked.size, asked.frames) for name in asked.edits
        }
        rates = {size: speed(edits(style)["quick"].bind(), size) for size in (256, 512)}
    protocol = {
        "size": asked.size,
        "frames": asked.frames,
        "noise": NOISE,
        "still": STILL,
        "steady": AMOUNT,
        "seed": SEED,
    }
    told = {"commit": commit, "machine": machine(), "protocol": protocol, "flicker": found, "speed": rates}
    text = json.dumps(told, indent=2)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
