"""Modes that GANs cover: stacked MNIST, whose 1,000 modes are triples of digits in red, green and blue.

    python benchmarks/quality/stacked_mnist.py --minutes 20 --threads 2 --out benchmarks/results/stacked_mnist.json

Set (Metz et al., 2017; Srivastava et al., 2017): 128,000 pictures of 28 x 28 pixels, each of three training digits of
MNIST drawn with equal probability, one a channel. The set is made by its seed and kept in the cache. No class is given
to the training. Each row is a run of `pinxit train gan` with the settings that it names and no recipe.

Protocol (Lin et al., 2018): of 26,000 samples `digits-v1` reads each channel. `modes` are the triples that were read at
least once; `modes3` those that were read at least three times, since a misread picture makes a mode that is not there.
`KL` is the divergence, in nats, of their frequencies from equal ones. Beside stand the share of 10,000 stacked test
digits that are read right in all three channels, and modes and KL of 26,000 real pictures. The KL of a perfect sampler
is (1000 - 1) / (2 x 26000) = 0.019.

The first row is the plain DCGAN: networks, rates and batches of Radford et al. (2016) as PacGAN ran them, and samples
of its raw weights. It is trained for the minutes and, as `plain, equal pictures`, for as many pictures as the last row
saw in its minutes. `--steps` in place of `--minutes` gives all rows as many pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pinxit
from pinxit.data import open_data
from pinxit.data.settings import DataSettings
from pinxit.errors import DivergedError
from pinxit.files import cache_folder, whole_file
from pinxit.images.convert import to_float
from pinxit.latents import sampling
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.training.recipes import PLAIN

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

PICTURES, SAMPLES, TESTED, MODES = 128_000, 26_000, 10_000, 1000
STEADY = {"loss": "relativistic", "discriminator_norm": "none", "r1": 1.0, "r2": 1.0, "learning_rate": 1e-3}
ROWS: dict[str, dict[str, Any]] = {
    "plain": {"network": "dcgan", "channels": 64, "latent": 100, "learning_rate": 2e-4},
    "defaults": {},
    "digits": {"r1": 0.1, "penalty_every": 4, "discriminator_norm": "none"},  # the recipe of grey digits
    "packing 2": {"packing": 2},
    "packing 4": {"packing": 4},
    "deviation": {"minibatch": "deviation"},
    "relativistic, R1 + R2": STEADY,
    "relativistic, R1 + R2, packing 2": STEADY | {"packing": 2},
    "residual, relativistic, R1 + R2": STEADY | {"network": "residual"},
}
RAW = {"average": 0.0}
"""The plain row's samples are of its raw weights."""


def stacked(part: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (count, 28, 28, 3) uint8 of a part of MNIST, and their modes (count,) in 0..999."""
    digits = open_data("mnist").train if part == "train" else open_data("mnist").held_out
    images = (digits.tensor(28)[:, 0] * 255).round().byte().numpy()
    chosen = np.random.default_rng(seed).integers(0, len(images), (count, 3))
    return images[chosen].transpose(0, 2, 3, 1), digits.labels[chosen] @ [100, 10, 1]


def training_set(seed: int) -> Path:
    """Return the npz of the training pictures, which is made if it is not in the cache."""
    path = cache_folder() / f"stacked-mnist-{seed}.npz"
    if not path.exists():
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, images=stacked("train", PICTURES, seed)[0])
    return path


def read(images: np.ndarray) -> Tensor:
    """Return the modes (N,) that the classifier reads in pictures (N, 28, 28, 3) uint8."""
    reader = EXTRACTORS["digits-v1"]
    digits = [reader.extract(to_float(images[..., place, None])).posteriors.argmax(1) for place in range(3)]
    return 100 * digits[0] + 10 * digits[1] + digits[2]


def counted(modes: Tensor) -> dict[str, float]:
    """Return modes, modes3 and KL of modes (N,)."""
    count = torch.bincount(modes, minlength=MODES)
    share = count.double() / len(modes)
    kl = torch.special.xlogy(share, share * MODES).sum()
    return {"modes": int((count > 0).sum()), "modes3": int((count > 2).sum()), "KL": round(kl.item(), 4)}


def of_real(seed: int) -> dict[str, Any]:
    """Return the accuracy of the classifier on stacked test digits, and modes and KL of real pictures by it."""
    images, modes = stacked("test", TESTED, seed + 1)
    right = (read(images) == torch.from_numpy(modes)).double().mean().item()
    return {"accuracy": round(right, 4)} | counted(read(stacked("train", SAMPLES, seed + 2)[0]))


def trained(change: dict[str, Any], budget: dict[str, Any], seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Train one run; return its modes and KL, the pictures that it saw, and its seconds."""
    training = pinxit.TrainingSettings(seed=seed, threads=asked.threads, **budget)
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        try:
            run = pinxit.train(
                pinxit.GANSettings(**change), training_set(asked.set), Path(place) / "run",
                data=DataSettings(holdout=0), training=training, recipe=PLAIN,
            )  # fmt: skip
        except DivergedError as error:
            return {"diverged": str(error)}
        facts = {name: run.facts()[name] for name in ("images", "seconds")}
        images, _ = sampling.load(run.folder).sample(SAMPLES, seed=1)
    if asked.folder:
        sampling.save_samples(asked.folder / f"{len(list(asked.folder.glob('*.png'))):02d}.png", images[:64])
    return counted(read(images)) | facts


def main() -> None:
    """Measure every row, and write the record after each."""
    parser = arguments(__doc__, needs_out=True)
    budgets = parser.add_mutually_exclusive_group(required=True)
    budgets.add_argument("--minutes", type=float, help="minutes of training of each row")
    budgets.add_argument("--steps", type=int, help="steps of 64 pictures of each row")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", type=int, default=0, help="the seed of the set")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["plain", "packing 2"], metavar="ROW")
    parser.add_argument("--folder", type=Path, help="an existing folder for the runs and a sheet of each row's samples")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    budget = {"minutes": asked.minutes} if asked.steps is None else {"steps": asked.steps}
    protocol = budget | {"threads": asked.threads, "set": asked.set, "rows": {name: ROWS[name] for name in asked.rows}}
    document = record(__doc__, protocol, real=of_real(asked.set), rows=[])
    print(json.dumps(document["real"]), flush=True)

    def add(name: str, seed: int, own: dict[str, Any], kind: str = "") -> dict[str, Any]:
        row = {"name": name, "seed": seed} | trained(ROWS[kind or name], own, seed, asked)
        document["rows"].append(row)
        write(asked.out, document)
        print(json.dumps(row), flush=True)
        return row

    for seed in asked.seeds:
        for name in asked.rows:
            row = add(name, seed, budget | (RAW if name == "plain" else {}))
        if asked.steps is None and "plain" in asked.rows and "images" in row:
            add("plain, equal pictures", seed, {"steps": row["images"] // 64} | RAW, "plain")


if __name__ == "__main__":
    main()
