"""What does it cost to learn denoising without clean pictures? Equal networks, steps and batches; another target each.

    python benchmarks/quality/unsupervised.py PICTURES [--steps 4000] [--limit N] [--out results.json]

PICTURES is a folder; 5 % of it, chosen by the hash of the names, are held out and judged on. Gaussian noise of 25 of
255, not clipped, on grey pictures (BT.601). Each network is a U-Net of 16 channels and 3 levels, trained by
`pinxit.train` with the squared error, for which the mean of the noise is best, on one thread; only `target` differs:

    clean       the supervised twin
    noisy       Noise2Noise (Lehtinen et al., 2018), pairs of two draws of the noise
    neighbours  Neighbor2Neighbor (Huang et al., 2021), single noisy pictures
    blind-spot  Noise2Void (Krull et al., 2019), single noisy pictures

The noise of the last two is drawn anew whenever a picture is, as their authors do. A row is the mean PSNR in dB over
the middles, at most 256 x 256, of the held-out pictures, each with noise of its own that is the same for all rows, of
results that are clipped to [0, 1] and not rounded. The rows `noisy` picture and 8 x 8 sliding DCT, told sigma, need no
training. The last line of stdout is how many dB each target stays behind the twin.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from restoration import chosen, decibels, in_colour, rounded
from torch import Tensor

import pinxit
from pinxit.colour import BT601, luma
from pinxit.data import ImageSet
from pinxit.data.render import fit_picture
from pinxit.data.settings import PatchSettings
from pinxit.edits.dct import denoise_dct
from pinxit.edits.restore import restorer
from pinxit.objectives.settings import RestorationSettings
from pinxit.training.run import machine
from pinxit.training.settings import TrainingSettings

SIDE, SIGMA, HELD_OUT = 256, 25 / 255, 0.05
TWIN, TARGETS = "clean", ("noisy", "neighbours", "blind-spot")
SETTINGS = RestorationSettings(
    degrade=f"noise(sigma={SIGMA})", loss="l2", grey=1.0, channels=16, levels=3, blocks=2, learning_rate=2e-3
)
TRAINING = TrainingSettings(batch_size=8, schedule="cosine", warmup=100, clip=1.0, average=0.99, threads=1)

Pair = tuple[Tensor, Tensor]
"""A clean picture (1, H, W) and its noisy form."""


def pairs(images: ImageSet, numbers: list[int]) -> list[Pair]:
    """Return the pictures that are judged on, with noise drawn by their numbers."""
    found = []
    for number in numbers:
        pixels = images[number]
        size = min(SIDE, pixels.shape[0]), min(SIDE, pixels.shape[1])
        clean = rounded(luma(in_colour(fit_picture(pixels, size, "patch"))[None], BT601)[0])
        rng = torch.Generator().manual_seed(number)
        found.append((clean, clean + SIGMA * torch.empty(clean.shape).normal_(generator=rng)))
    return found


def mean(restore: Callable[[Tensor], Tensor], judged: list[Pair]) -> float:
    """Return the mean PSNR in dB of what `restore` makes of the noisy pictures."""
    return sum(decibels(restore(noisy), clean) for clean, noisy in judged) / len(judged)


def learned(target: str, pictures: str, steps: int, judged: list[Pair]) -> dict[str, float]:
    """Train a network for a target; return its PSNR and the processor's seconds that training took."""
    settings, training = SETTINGS.changed(target=target), TRAINING.changed(steps=steps)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = pinxit.train(settings, pictures, Path(folder) / "run", PatchSettings(holdout=HELD_OUT), training)
        seconds = time.process_time() - started
        network = restorer(run.folder, "cpu", "torch")
    return {"psnr": mean(lambda noisy: network.run(noisy, None), judged), "seconds": round(seconds, 1)}


def main() -> None:
    """Measure, print and keep every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    images, numbers = chosen(asked.pictures, HELD_OUT, asked.limit, "")
    judged = pairs(images, numbers)
    rows: dict[str, dict[str, float]] = {
        "noisy picture": {"psnr": mean(lambda noisy: noisy, judged)},
        "dct": {"psnr": mean(lambda noisy: denoise_dct(noisy, SIGMA).clamp(0, 1), judged)},
    }
    for target in (TWIN, *TARGETS):
        rows[target] = learned(target, asked.pictures, asked.steps, judged)
        print(target, json.dumps(rows[target]), flush=True)
    behind = {target: round(rows[TWIN]["psnr"] - rows[target]["psnr"], 2) for target in TARGETS}
    if asked.out:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        protocol = {"pictures": images.name, "fingerprint": images.fingerprint, "about": __doc__}
        protocol |= {"names": [images.names[number] for number in numbers], "steps": asked.steps}
        protocol |= {"settings": SETTINGS.model_dump(), "training": TRAINING.model_dump()}
        document = {"commit": commit, "machine": machine(), "protocol": protocol, "rows": rows, "behind": behind}
        asked.out.write_text(json.dumps(document, indent=2) + "\n")
    for name, row in rows.items():
        print(f"{name:14}{row['psnr']:6.2f} dB")
    print(json.dumps(behind))


if __name__ == "__main__":
    main()
