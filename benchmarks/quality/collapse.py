"""Is a posterior that has collapsed named, and does a warm-up of beta cure it? A VAE on MNIST at beta = 50.

    python benchmarks/quality/collapse.py [--steps 1500] [--seeds 0 1 2] [--threads 1] --out results.json

Every case is trained twice with the same final weight of the KL: at once, and rising from zero over the first half of
the run (`--beta-warmup`). Networks are dense with 256 units, the code has 16 numbers, batches 64 pictures. Told of the
10,000 test digits, by the averaged weights: active units (Burda et al., 2016), rate and distortion in nats, and the
weighted objective, distortion + beta x rate, which says which of the two runs is the better optimum at the same beta;
and whether the run's own report names the collapse.

How much a nat of code is worth decides whether there is anything to cure. By the linear theory (Lucas et al., 2019) a
direction of the pictures with variance v is worth coding at noise s if v > beta s^2; MNIST's largest v is 5.1. The
first case lies a little below that edge (50 x 0.27^2 = 3.6): the collapse is a place that training at once leaves only
slowly, and the warm-up ends elsewhere. In the second one (Bernoulli) the code of nothing is the optimum at beta = 50:
the warm-up only delays it, and a smaller beta is the cure; in the third, at 25, the two ways lie about level.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

import pinxit
from pinxit.data import Batch, open_data
from pinxit.objectives.vae import VAE, active_units

COMMON = {"network": "dense", "latent": 16}
CASES: dict[str, dict[str, object]] = {
    "Gaussian, noise 0.27, beta 50": {"noise": 0.27, "beta": 50},
    "Bernoulli, beta 50": {"likelihood": "bernoulli", "beta": 50},
    "Bernoulli, beta 25": {"likelihood": "bernoulli", "beta": 25},
}
NAMED = "The codes have collapsed"


@torch.no_grad()
def judge(objective: VAE, images: torch.Tensor) -> dict[str, float]:
    """Return what the module's head says of one model."""
    rate, distortion, means = 0.0, 0.0, []
    for number, part in enumerate(images.split(500)):
        drawn = objective.reconstruct(Batch(image=part, seed=0, step=number))
        rate += objective.kl(drawn).sum().item() / len(images)
        distortion -= objective.log_likelihood(drawn).sum().item() / len(images)
        means.append(drawn.mean)
    told = {"active_units": active_units(torch.cat(means)).item(), "rate": rate, "distortion": distortion}
    return told | {"objective": distortion + objective.weight * rate}


def measure(case: str, warmup: int, seed: int, asked: argparse.Namespace, images: torch.Tensor) -> dict[str, Any]:
    """Train one run and return what became of its codes, and whether its report names it."""
    settings = pinxit.VAESettings.parse(COMMON | CASES[case] | {"beta_warmup": warmup})
    training = pinxit.TrainingSettings(steps=asked.steps, seed=seed, threads=asked.threads)
    with tempfile.TemporaryDirectory() as place:
        run = pinxit.train(settings, "mnist", Path(place) / "run", training=training)
        named = NAMED in (run.folder / "report.html").read_text(encoding="utf-8")
        objective = pinxit.load(run.folder).autoencoder
    return judge(objective, images) | {"named": named}


def main() -> None:
    """Measure every case and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    images = open_data("mnist").held_out.tensor(28)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    document: dict[str, Any] = {
        "commit": commit.strip(),
        "machine": {"processor": platform.processor() or platform.machine()},
        "protocol": {name: getattr(asked, name) for name in ("steps", "seeds", "threads")}
        | {"common": COMMON, "cases": CASES, "about": __doc__},
        "rows": {},
    }
    for case in asked.cases:
        for way, warmup in (("at once", 0), ("warm-up", asked.steps // 2)):
            found = [measure(case, warmup, seed, asked, images) for seed in asked.seeds]
            document["rows"][f"{case}, {way}"] = found
            print(f"{case}, {way}: {json.dumps(found)}", flush=True)
            asked.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
