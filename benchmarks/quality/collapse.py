"""Whether the report names a collapsed posterior, and whether a warm-up of beta cures it: a VAE on MNIST.

    python benchmarks/quality/collapse.py [--steps 1500] [--seeds 0 1 2] [--threads 1] --out results.json

Every case is trained twice with the same final weight of the KL: at once, and rising from zero over the first half of
the run (`--beta-warmup`). Networks are dense with 256 units, the code has 16 numbers, batches have 64 pictures. The
averaged weights are measured on the 10,000 test digits: active units (Burda et al., 2016), rate and distortion in nats,
and the weighted objective, distortion + beta x rate. The objective says which of the two runs is the better optimum at
the same beta. The record also says whether the run's own report names the collapse.

The worth of a nat of code decides whether a cure is possible. By the linear theory (Lucas et al., 2019), a direction of
variance v is worth coding at noise s if v > beta s^2. MNIST's largest v is 5.1. The first case is a little below that
limit (50 x 0.27^2 = 3.6): training at once leaves the collapse only slowly, and the warm-up ends elsewhere. In the
second case (Bernoulli, beta = 50) an empty code is the optimum: the warm-up only delays it, and a smaller beta is the
cure. In the third, at 25, the two ways are about equal.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import pinxit
from pinxit.data import Batch, open_data
from pinxit.objectives.vae import VAE, active_units

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

COMMON = {"network": "dense", "latent": 16}
CASES: dict[str, dict[str, object]] = {
    "Gaussian, noise 0.27, beta 50": {"noise": 0.27, "beta": 50},
    "Bernoulli, beta 50": {"likelihood": "bernoulli", "beta": 50},
    "Bernoulli, beta 25": {"likelihood": "bernoulli", "beta": 25},
}
NAMED = "The codes have collapsed"


@torch.no_grad()
def measured(objective: VAE, images: torch.Tensor) -> dict[str, float]:
    """Return active units, rate, distortion and objective of one model."""
    rate, distortion, means = 0.0, 0.0, []
    for number, part in enumerate(images.split(500)):
        drawn = objective.reconstruct(Batch(image=part, seed=0, step=number))
        rate += objective.kl(drawn).sum().item() / len(images)
        distortion -= objective.log_likelihood(drawn).sum().item() / len(images)
        means.append(drawn.mean)
    found = {"active_units": active_units(torch.cat(means)).item(), "rate": rate, "distortion": distortion}
    return found | {"objective": distortion + objective.weight * rate}


def measure(case: str, warmup: int, seed: int, asked: argparse.Namespace, images: torch.Tensor) -> dict[str, Any]:
    """Train one run and return the measurements of its codes, and whether its report names the collapse."""
    settings = pinxit.VAESettings.parse(COMMON | CASES[case] | {"beta_warmup": warmup})
    training = pinxit.TrainingSettings(steps=asked.steps, seed=seed, threads=asked.threads)
    with tempfile.TemporaryDirectory() as place:
        run = pinxit.train(settings, "mnist", Path(place) / "run", training=training)
        named = NAMED in (run.folder / "report.html").read_text(encoding="utf-8")
        objective = pinxit.load(run.folder).autoencoder
    return measured(objective, images) | {"named": named}


def main() -> None:
    """Measure every case and write the record."""
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    images = open_data("mnist").held_out.tensor(28)
    protocol = {name: getattr(asked, name) for name in ("steps", "seeds", "threads")}
    document = record(__doc__, protocol | {"common": COMMON, "cases": CASES}, rows={})
    for case in asked.cases:
        for way, warmup in (("at once", 0), ("warm-up", asked.steps // 2)):
            found = [measure(case, warmup, seed, asked, images) for seed in asked.seeds]
            document["rows"][f"{case}, {way}"] = found
            print(f"{case}, {way}: {json.dumps(found)}", flush=True)
            write(asked.out, document)


if __name__ == "__main__":
    main()
