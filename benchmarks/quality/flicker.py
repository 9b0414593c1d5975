"""How much `--steady` reduces the flicker of a film, and how many frames a second are painted in one pass.

    python benchmarks/quality/flicker.py [--size 256] [--frames 12] [--edits quick balance ...] [--out results.json]

The film is scikit-image's astronaut with Gaussian noise of 2 of 255, drawn for every frame. A part of its cat moves
across it by a thirtieth of the width a frame. The style is its cup of coffee. Flicker is the mean change of a result
from frame to frame, of 255, over pixels whose frames differ by less than 2 in every colour. `ghost` is the largest
difference from the frame's own result where the frame differs by 48 or more from each of the four before it. One
thread. `speed` is that of `stylize --quick`, in frames a second of the clock and of the processor.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import skimage.data
import torch

from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Edit, Enhance, Stylize
from pinxit.images import Picture, resize, save_image
from pinxit.jobs.film import Deflicker

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

NOISE, STILL, MOVED, AMOUNT, SEED = 2.0, 2, 48, 0.8, 0


def edits(style: Path) -> dict[str, Edit]:
    """Return the edits that can be compared, by name."""
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
    """Return the flicker of results alone and steady, and the largest trace of earlier frames."""
    steady, made, ghost = Deflicker(AMOUNT), [], 0
    for frame in film(size, count):
        alone = edit_picture(Picture(frame), [bound])
        kept = steady.smooth(Picture(frame), alone)
        made.append([pixels.astype(int) for pixels in (frame, alone.pixels, kept.pixels)])
        if len(made) > 1:
            far = np.min([np.abs(made[-1][0] - one[0]).max(axis=2) for one in made[-5:-1]], axis=0)
            ghost = max(ghost, int(np.abs(made[-1][1] - made[-1][2])[far >= MOVED].max(initial=0)))
    changed: dict[str, list[float]] = {name: [] for name in ("alone", "steady")}
    for before, after in pairwise(made):
        still = np.abs(after[0] - before[0]).max(axis=2) < STILL
        for number, changes in enumerate(changed.values(), start=1):
            changes.append(np.abs(after[number] - before[number])[still].mean())
    alone, kept = (float(np.mean(changes)) for changes in changed.values())
    return {"alone": round(alone, 3), "steady": round(kept, 3), "ratio": round(kept / alone, 3), "ghost": ghost}


def speed(bound: Bound, size: int, count: int = 6) -> dict[str, float]:
    """Return frames a second with steadying, as for a camera, by clock and processor time."""
    frames, steady = list(film(size, count + 1)), Deflicker(AMOUNT)
    steady.smooth(Picture(frames[0]), edit_picture(Picture(frames[0]), [bound]))
    clock, processor = time.perf_counter(), time.process_time()
    for frame in frames[1:]:
        steady.smooth(Picture(frame), edit_picture(Picture(frame), [bound]))
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return {"clock": round(count / clock, 2), "processor": round(count / processor, 2)}


def main() -> None:
    """Compare, print and write the record."""
    parser = arguments(__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--edits", nargs="*", default=["quick", "optimised", "enhance", "balance"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        style = Path(folder) / "style.png"
        save_image(style, skimage.data.coffee()[100:356, 100:356])
        found = {name: flicker(edits(style)[name].bind(), asked.size, asked.frames) for name in asked.edits}
        rates = {str(size): speed(edits(style)["quick"].bind(), size) for size in (256, 512)}
    protocol = {
        "size": asked.size,
        "frames": asked.frames,
        "noise": NOISE,
        "still": STILL,
        "steady": AMOUNT,
        "seed": SEED,
    }
    document = record(__doc__, protocol, flicker=found, speed=rates)
    print(json.dumps(document, indent=2))
    write(asked.out, document)


if __name__ == "__main__":
    main()
