"""The cost of learning to denoise without clean pictures: equal networks, steps and batches, different targets.

    python benchmarks/quality/unsupervised.py PICTURES [--steps 4000] [--limit N] [--out results.json]

PICTURES is a folder; 5 % of it, chosen by a hash of the names, is held out for the measurements. Gaussian noise of 25
of 255, not clipped, on grey pictures (BT.601). Each network is a U-Net of 16 channels and 3 levels, trained by
`pinxit.train` on one thread with the squared error, which the mean of the noise minimises. Only `target` differs:

    clean       supervised
    noisy       Noise2Noise (Lehtinen et al., 2018), pairs of two draws of the noise
    neighbours  Neighbor2Neighbor (Huang et al., 2021), single noisy pictures
    blind-spot  Noise2Void (Krull et al., 2019), single noisy pictures

The last two draw new noise whenever a picture is used, as their authors do. A row is the mean PSNR in dB over the
middles, at most 256 x 256, of the held-out pictures. Each has its own noise, equal for all rows. Results are clipped to
[0, 1] and not rounded. The rows `noisy picture` and `dct` (8 x 8 sliding DCT, sigma given) need no training. The last
line of stdout is how many dB each target is behind `clean`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from restoration import chosen, in_colour
from torch import Tensor

import pinxit
from pinxit.colour import BT601, luma
from pinxit.data import ImageSet
from pinxit.data.render import fit_picture
from pinxit.data.settings import PatchSettings
from pinxit.edits.dct import denoise_dct
from pinxit.edits.restore import restorer
from pinxit.objectives.settings import RestorationSettings
from pinxit.training.settings import TrainingSettings

sys.path.append(str(Path(__file__).parents[1]))
from pictures import decibels, rounded
from record import arguments, record, write

SIDE, SIGMA, HELD_OUT = 256, 25 / 255, 0.05
SUPERVISED, TARGETS = "clean", ("noisy", "neighbours", "blind-spot")
SETTINGS = RestorationSettings(
    degrade=f"noise(sigma={SIGMA})", loss="l2", grey=1.0, channels=16, levels=3, blocks=2, learning_rate=2e-3
)
TRAINING = TrainingSettings(batch_size=8, schedule="cosine", warmup=100, clip=1.0, average=0.99, threads=1)

Pair = tuple[Tensor, Tensor]
"""A clean picture (1, H, W) and its noisy form."""


def pairs(images: ImageSet, numbers: list[int]) -> list[Pair]:
    """Return the held-out pictures, each with noise seeded by its number."""
    found = []
    for number in numbers:
        pixels = images[number]
        size = min(SIDE, pixels.shape[0]), min(SIDE, pixels.shape[1])
        clean = rounded(luma(in_colour(fit_picture(pixels, size, "patch"))[None], BT601)[0])
        rng = torch.Generator().manual_seed(number)
        found.append((clean, clean + SIGMA * torch.empty(clean.shape).normal_(generator=rng)))
    return found


def mean(restore: Callable[[Tensor], Tensor], held_out: list[Pair]) -> float:
    """Return the mean PSNR in dB of the noisy pictures restored."""
    return sum(decibels(restore(noisy), clean) for clean, noisy in held_out) / len(held_out)


def learned(target: str, pictures: str, steps: int, held_out: list[Pair]) -> dict[str, float]:
    """Train a network for a target; return its PSNR and the processor's seconds that training took."""
    settings, training = SETTINGS.changed(target=target), TRAINING.changed(steps=steps)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = pinxit.train(settings, pictures, Path(folder) / "run", PatchSettings(holdout=HELD_OUT), training)
        seconds = time.process_time() - started
        network = restorer(run.folder, "cpu", "torch")
    return {"psnr": mean(lambda noisy: network.run(noisy, None), held_out), "seconds": round(seconds, 1)}


def main() -> None:
    """Measure, print and record every row."""
    parser = arguments(__doc__)
    parser.add_argument("pictures")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--limit", type=int)
    asked = parser.parse_args()
    images, numbers = chosen(asked.pictures, HELD_OUT, asked.limit, "")
    held_out = pairs(images, numbers)
    rows: dict[str, dict[str, float]] = {
        "noisy picture": {"psnr": mean(lambda noisy: noisy, held_out)},
        "dct": {"psnr": mean(lambda noisy: denoise_dct(noisy, SIGMA).clamp(0, 1), held_out)},
    }
    for target in (SUPERVISED, *TARGETS):
        rows[target] = learned(target, asked.pictures, asked.steps, held_out)
        print(target, json.dumps(rows[target]), flush=True)
    behind = {target: round(rows[SUPERVISED]["psnr"] - rows[target]["psnr"], 2) for target in TARGETS}
    protocol = {"pictures": images.name, "fingerprint": images.fingerprint, "steps": asked.steps}
    protocol |= {"names": [images.names[number] for number in numbers]}
    protocol |= {"settings": SETTINGS.model_dump(), "training": TRAINING.model_dump()}
    write(asked.out, record(__doc__, protocol, rows=rows, behind=behind))
    for name, row in rows.items():
        print(f"{name:14}{row['psnr']:6.2f} dB")
    print(json.dumps(behind))


if __name__ == "__main__":
    main()
