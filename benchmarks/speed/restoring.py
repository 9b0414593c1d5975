"""The speed of restoring a picture, against the plain forward pass of the same network over the whole picture.

    python benchmarks/speed/restoring.py [--edits denoise upscale] [--megapixels 1 4 12] [--rounds 3] [--out FILE]

Both arms use the shipped networks of `pinxit edit denoise` and `pinxit edit upscale --scale 2`. The picture is
scikit-image's astronaut, repeated to 4 : 3 and the given megapixels (before enlarging), colour, 8 bits. One thread. The
plain arm is `network(image)`: float32, NCHW, uncut, from a tensor. Ours is `edit_picture` with everything it does, in
the precision it chooses (bf16 if the processor has it): tiles, checks, rounding to 8 bits. The arms take turns in one
process, and their results must agree to 50 dB. The arm `float32` is ours without bf16; it separates the gain of bf16
from the rest.

Times are processor seconds, which other jobs change little. The plain arm needs about 3 GB to denoise 12 megapixels and
12 GB to enlarge them. The last line of stdout is `ratio X`, the least of the medians over rounds of plain seconds / our
seconds.
"""

from __future__ import annotations

import copy
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pinxit.edits.engine import edit_picture
from pinxit.edits.restore import Restored, TorchRestorer
from pinxit.edits.settings import Denoise, Edit, Upscale
from pinxit.images import Picture
from pinxit.images.convert import to_uint8
from pinxit.objectives.restoration import Restoration

sys.path.append(str(Path(__file__).parents[1]))
from pictures import photograph
from record import arguments, record, write

EDITS: dict[str, Edit] = {"denoise": Denoise(), "upscale": Upscale(scale=2)}
ALIKE = 50.0
T = TypeVar("T")


def restorer(edit: str) -> Restored:
    """Return the edit with its shipped network."""
    bound = EDITS[edit].bind()
    if not isinstance(bound, Restored):
        raise TypeError(edit)
    return bound


def in_torch(bound: Restored) -> TorchRestorer:
    """Return what runs the network of an edit."""
    if not isinstance(bound.runner, TorchRestorer):
        raise TypeError(bound.runner)
    return bound.runner


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """Return the processor seconds of a run, and its result."""
    started = time.process_time()
    found = run()
    return time.process_time() - started, found


@torch.no_grad()
def plain(objective: Restoration, image: Tensor) -> Tensor:
    """Return the network's output for the whole picture (1, 3, H, W)."""
    planes = objective.planes(image, None, image.new_zeros(1))
    restored: Tensor = objective.restorer(image, planes)
    return restored


def measure(edit: str, megapixels: float, rounds: int) -> dict[str, object]:
    """Return the speed of all arms on one picture."""
    ours, exact = restorer(edit), restorer(edit)
    in_torch(exact).hardware = replace(in_torch(exact).hardware, precision="float32")
    theirs = copy.deepcopy(in_torch(ours).objective)
    theirs.networks.to(memory_format=torch.contiguous_format)
    high = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    pixels = photograph(round(high * 4 / 3), high)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div(255).contiguous()
    times, alike = [], math.inf
    for _ in range(rounds):
        slow, whole = timed(lambda: plain(theirs, image))
        (expected,) = to_uint8(whole)
        del whole
        fast, edited = timed(lambda: edit_picture(Picture(pixels), [ours]).pixels)
        between, _ = timed(lambda: edit_picture(Picture(pixels), [exact]))
        error = np.square(expected.astype(np.float32) - edited).mean()
        alike = min(alike, 10 * math.log10(255**2 / max(error, 1e-9)))
        if alike < ALIKE:
            raise SystemExit(f"{edit}: the results of the arms differ, PSNR {alike:.1f} dB")
        times.append((slow, fast, between))
    size = pixels.shape[0] * pixels.shape[1] / 1e6
    slows, fasts, betweens = zip(*times, strict=True)
    return {
        "edit": edit,
        "precision": in_torch(ours).hardware.precision,
        "megapixels": round(size, 2),
        "ratio": statistics.median(slow / fast for slow, fast, _ in times),
        "ratio_float32": statistics.median(slow / between for slow, _, between in times),
        "plain_megapixels_per_second": size / statistics.median(slows),
        "our_megapixels_per_second": size / statistics.median(fasts),
        "our_float32_megapixels_per_second": size / statistics.median(betweens),
        "decibels_between_the_arms": round(alike, 1),
        "rounds": [[round(seconds, 2) for seconds in row] for row in times],
    }


def main() -> None:
    """Measure, print and record every edit at every size."""
    parser = arguments(__doc__)
    parser.add_argument("--edits", nargs="+", choices=EDITS, default=list(EDITS))
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1.0, 4.0, 12.0])
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for edit in asked.edits:
        for megapixels in asked.megapixels:
            row = measure(edit, megapixels, asked.rounds)
            rows.append(row)
            print(
                f"{edit:8} {row['megapixels']:5} megapixels: plain {row['plain_megapixels_per_second']:.3f}, ours "
                f"{row['our_megapixels_per_second']:.3f} megapixels a second of one thread, ratio {row['ratio']:.2f} "
                f"({row['ratio_float32']:.2f} in float32)",
                flush=True,
            )
    write(asked.out, record(__doc__, {"threads": 1, "rounds": asked.rounds}, rows=rows))
    print(f"ratio {min(row['ratio'] for row in rows):.2f}")


if __name__ == "__main__":
    main()
