"""Which distribution to sample an autoencoder's latents from: recipes x samplers on MNIST, in equal steps.

    python benchmarks/quality/samplers.py [--steps 5000] [--prior-steps 5000] [--n 10000] [--seed 0] --out X.json

All recipes have the same convolutional networks of 16 channels and a code of 16 numbers, batches of 64 and Adam at
1e-3. They differ only by their row of `RECIPES`, and none was tuned. `prior` is N(0, I). `gmm` and `class-gaussian` are
fitted to the codes of training pictures after training. `flow` and `two-stage` are learned on these codes, each in
--prior-steps, by `pinxit train prior`. Each row has the Frechet distance of `n` sampled digits from as many test digits
in two extractors, with its 95 % interval. The floor is that of as many real training digits. `falls` is the ratio of
`prior` to `gmm` (Ghosh et al., 2020, table 1: 58.73 to 10.66 for the plain autoencoder, in another extractor).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import pinxit

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

COMMON = {"channels": 16, "latent": 16}
RECIPES: dict[str, dict[str, object]] = {
    "AE": {"penalty": "none"},
    "RAE-L2": {"penalty": "l2", "decoder_l2": 1e-4},
    "VAE": {},
    "WAE-MMD": {"penalty": "mmd"},
}
FITTED = ("prior", "gmm", "class-gaussian")
LEARNED = ("flow", "two-stage")
EXTRACTORS = ("digits-v1", "digits-v2")


def distances(run: Path, sampler: str, n: int) -> dict[str, dict[str, Any]]:
    """Return the Frechet distances of a sampler's digits, with intervals and floors, by their full names."""
    document = pinxit.evaluate(run, "mnist:test", extractors=EXTRACTORS, metrics=["fd"], n=n, sampler=sampler)
    return {
        name: {"value": score["value"], "interval": score["interval"], "floor": score["rows"][1]["value"]}
        for name, score in document["scores"].items()
    }


def learned(run: Path, network: str, training: pinxit.TrainingSettings, n: int) -> dict[str, dict[str, Any]]:
    """Learn a prior over a run's codes, measure its samples, and remove it."""
    prior = pinxit.train_prior(pinxit.PriorSettings(network=network), run, training)
    found = distances(run, network, n)
    shutil.rmtree(prior.folder)
    return found


def measure(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Train one recipe and return the distances of each sampler."""
    training = pinxit.TrainingSettings(steps=asked.steps, seed=asked.seed, threads=asked.threads)
    with tempfile.TemporaryDirectory() as place:
        settings = pinxit.VAESettings.parse(COMMON | RECIPES[name])
        run = pinxit.train(settings, "mnist", Path(place) / "run", training=training)
        found: dict[str, Any] = {"seconds": run.facts()["seconds"]}
        found["samplers"] = {sampler: distances(run.folder, sampler, asked.n) for sampler in FITTED}
        prior_training = training.changed(steps=asked.prior_steps)
        for network in LEARNED:
            found["samplers"][network] = learned(run.folder, network, prior_training, asked.n)
    prior, gmm = found["samplers"]["prior"], found["samplers"]["gmm"]
    return found | {"falls": {name: prior[name]["value"] / gmm[name]["value"] for name in prior}}


def main() -> None:
    """Measure every recipe and write the record."""
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--prior-steps", type=int, default=5000)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    protocol = {name: getattr(asked, name) for name in ("steps", "prior_steps", "n", "seed", "threads")}
    document = record(__doc__, protocol | {"common": COMMON, "recipes": RECIPES}, rows={})
    for name in asked.recipes:
        document["rows"][name] = measure(name, asked)
        print(name, json.dumps(document["rows"][name]), flush=True)
        write(asked.out, document)


if __name__ == "__main__":
    main()
