"""What is lost on a way through codes? A VQ-VAE beside plain vector quantisation of patches, at equal bits.

    python benchmarks/quality/vq_codes.py DATA [--steps 1000] [--codes 256] [--n 2000] [--seed 0] --out results.json

Every row describes a picture by a map of a quarter of its sides in one of `codes` codes: the VQ-VAE with its gradient
straight through and rotated, and the baseline, whose codes are the centres of 4 x 4 patches of training pictures
(Lloyd, 1982: 100,000 patches, 20 rounds). Told are, over the first `n` held-out pictures, the mean PSNR in dB (of each
picture's mean squared error), the share of codes that occur at all, and exp(entropy) of their use.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import pinxit
from pinxit.data import ImageSet, open_data
from pinxit.objectives.vq import VQVAE

PATCHES, ROUNDS, PATCH = 100_000, 20, 4


def judge(images: Tensor, restored: Tensor, codes: Tensor, count: int) -> dict[str, float]:
    """Return what the module's head says of reconstructions (N, C, H, W) and their codes (N, P)."""
    share = codes.flatten().bincount(minlength=count) / codes.numel()
    return {
        "psnr": -10 * (restored - images).square().mean((1, 2, 3)).log10().mean().item(),
        "codes_used": (share > 0).float().mean().item(),
        "perplexity": torch.special.entr(share).sum().exp().item(),
    }


def learned(
    settings: pinxit.VQVAESettings, source: str, training: pinxit.TrainingSettings, images: Tensor
) -> dict[str, float]:
    """Train a VQ-VAE and judge it."""
    with tempfile.TemporaryDirectory() as folder:
        run = pinxit.train(settings, source, Path(folder) / "run", training=training)
        model, seconds = pinxit.load(run.folder), run.facts()["seconds"]
    assert isinstance(model.objective, VQVAE)
    with torch.no_grad():
        codes = torch.cat([model.objective.encode(part) for part in images.split(250)])
        restored = torch.cat([model.objective.sample(part) for part in codes.split(250)])
    return judge(images, restored, codes, settings.codes) | {"seconds": seconds}


def patches(images: Tensor) -> Tensor:
    """Return the patches of pictures (N, C, H, W), (N, P, C * 16)."""
    return F.unfold(images, PATCH, stride=PATCH).mT


def plain(train: ImageSet, side: int, codes: int, seed: int, images: Tensor) -> dict[str, float]:
    """Quantise patches by their nearest centres and judge that."""
    rng = torch.Generator().manual_seed(seed)
    seen = patches(train.tensor(side, stop=10_000)).flatten(0, 1)
    seen = seen[torch.randperm(len(seen), generator=rng)[:PATCHES]]
    centres = seen.unique(dim=0)
    centres = centres[torch.randperm(len(centres), generator=rng)[:codes]]
    for _ in range(ROUNDS):
        near = torch.cdist(seen, centres).argmin(1)
        count = near.bincount(minlength=codes)
        total = torch.zeros_like(centres).index_add_(0, near, seen)
        centres = torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], centres)
    given = patches(images)
    found = torch.cdist(given.flatten(0, 1), centres).argmin(1).view(given.shape[:2])
    return judge(images, F.fold(centres[found].mT, side, PATCH, stride=PATCH), found, codes)


def main() -> None:
    """Measure every row and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    pictures = open_data(asked.data)
    side = pinxit.DataSettings().side(pictures.train)[0]
    images = pictures.held_out.tensor(side, stop=asked.n)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    training = pinxit.TrainingSettings(steps=asked.steps, seed=asked.seed, average=0.99)
    rows = {"patches": plain(pictures.train, side, asked.codes, asked.seed, images)}
    for gradient in ("straight-through", "rotation"):
        settings = pinxit.VQVAESettings(codes=asked.codes, gradient=gradient)
        rows[gradient] = learned(settings, asked.data, training, images)
    document = {
        "commit": commit.strip(),
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "protocol": {name: getattr(asked, name) for name in ("steps", "codes", "n", "seed")} | {"about": __doc__},
        "data": {"name": pictures.held_out.name, "fingerprint": pictures.held_out.fingerprint, "side": side},
        "rows": rows,
    }
    asked.out.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
