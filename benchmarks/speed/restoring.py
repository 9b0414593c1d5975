"""How fast is a picture restored? Against the plain forward pass of the same network over the whole picture.

    python benchmarks/speed/restoring.py [--edits denoise upscale] [--megapixels 1 4 12] [--rounds 3] [--out FILE]

Both arms: the networks that ship, untrained (their weights do not change the time): a U-Net of 32 channels, 3 levels
and 2 blocks for noise; one of 48 channels, 1 level and 6 blocks that enlarges by 2. The picture is scikit-image's
astronaut again and again, 4 : 3, of so many megapixels before it is enlarged; colour, 8 bits. One thread. The plain arm
is `network(image)`: float32, rows after rows (NCHW), nothing cut, and the picture a tensor already. Ours is
`edit_picture` with everything it does: tiles, checks, rounding to 8 bits. The arms take turns in one process, and must
give the same picture to one level in 255.

Told are seconds of processor time, which other jobs on the machine change little. The plain arm needs the memory that
it needs: some 3 GB for 12 megapixels of noise, 12 GB to enlarge them. The last line of stdout is `ratio X`, the least
of all the medians over rounds of plain seconds / our seconds.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import skimage.data
import torch
from torch import Tensor

from pinxit.data.batch import to_uint8
from pinxit.editors.engine import edit_picture
from pinxit.editors.restorer import Restorer
from pinxit.images import Picture
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.restoration import Restoration
from pinxit.objectives.settings import RestorationSettings
from pinxit.training.run import machine

EDITS = {
    "denoise": RestorationSettings(told=0.5, channels=32, levels=3, blocks=2),
    "upscale": RestorationSettings(degrade="downscale(scale=2)", channels=48, levels=1, blocks=6),
}
T = TypeVar("T")


def untrained(edit: str) -> Restoration:
    """Return a network as `pinxit.editors.restorer.load` does, with weights of seed 0 that change a picture."""
    torch.manual_seed(0)
    objective = EDITS[edit].build(PictureShape(64, 3))
    torch.nn.init.normal_(objective.restorer.last.weight, std=0.01)
    objective.networks.eval().requires_grad_(False)
    return objective


def photograph(megapixels: float) -> np.ndarray:
    """Return (H, W, 3) uint8 of about so many megapixels, 4 : 3."""
    high = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    wide, piece = round(high * 4 / 3), skimage.data.astronaut()
    return np.tile(piece, (math.ceil(high / len(piece)), math.ceil(wide / len(piece)), 1))[:high, :wide]


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds of processor time of a run, and what it gives."""
    started = time.process_time()
    found = run()
    return time.process_time() - started, found


@torch.no_grad()
def plain(objective: Restoration, image: Tensor) -> Tensor:
    """Return the whole picture (1, 3, H, W) through the network."""
    planes = objective.planes(image, None, image.new_zeros(1))
    restored: Tensor = objective.restorer(image, planes)
    return restored


def measure(edit: str, megapixels: float, rounds: int) -> dict[str, object]:
    """Return the speed of both arms on one picture."""
    objective = untrained(edit)
    ours, theirs = Restorer(objective, "cpu"), copy.deepcopy(objective)
    theirs.networks.to(memory_format=torch.contiguous_format)
    pixels = photograph(megapixels)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div(255).contiguous()
    times = []
    for _ in range(rounds):
        slow, whole = timed(lambda: plain(theirs, image))
        (expected,) = to_uint8(whole)
        del whole
        fast, edited = timed(lambda: edit_picture(Picture(pixels), [ours]).pixels)
        if np.abs(expected.astype(np.int16) - edited).max() > 1:
            raise SystemExit(f"{edit}: the arms do not give the same picture")
        times.append((slow, fast))
    size = pixels.shape[0] * pixels.shape[1] / 1e6
    return {
        "edit": edit,
        "megapixels": round(size, 2),
        "ratio": statistics.median(slow / fast for slow, fast in times),
        "plain_megapixels_per_second": size / statistics.median(slow for slow, _ in times),
        "our_megapixels_per_second": size / statistics.median(fast for _, fast in times),
        "rounds": [[round(slow, 2), round(fast, 2)] for slow, fast in times],
    }


def main() -> None:
    """Measure, print and keep every edit at every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", nargs="+", choices=EDITS, default=list(EDITS))
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1.0, 4.0, 12.0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for edit in asked.edits:
        for megapixels in asked.megapixels:
            row = measure(edit, megapixels, asked.rounds)
            rows.append(row)
            print(
                f"{edit:8} {row['megapixels']:5} megapixels: plain {row['plain_megapixels_per_second']:.3f}, ours "
                f"{row['our_megapixels_per_second']:.3f} megapixels a second of one thread, ratio {row['ratio']:.2f}",
                flush=True,
            )
    if asked.out:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        protocol = {"about": __doc__, "threads": 1, "rounds": asked.rounds}
        document = {"commit": commit, "machine": machine(), "protocol": protocol, "rows": rows}
        asked.out.write_text(json.dumps(document, indent=2) + "\n")
    print(f"ratio {min(row['ratio'] for row in rows):.2f}")


if __name__ == "__main__":
    main()
