"""What should an autoencoder's latents be drawn from? A table of recipe x sampler on MNIST, in equal steps.

    python benchmarks/quality/samplers.py [--steps 5000] [--prior-steps 5000] [--n 10000] [--seed 0] --out X.json

All recipes have the same convolutional networks of 16 channels and a code of 16 numbers, batches of 64 and Adam at
1e-3; they differ by the row of `RECIPES` alone. Nothing was tuned for a row. `prior` is N(0, I); `gmm` and
`class-gaussian` are fitted to the codes of training pictures when training is over; `flow` and `two-stage` are learned
on them, each in as many steps, as `pinxit train prior` does. Told is the Frechet distance of `n` drawn digits from as
many test digits in two extractors, with its 95 % interval, and beside it that of as many real training digits: the
floor. `falls` is how many times lower `gmm` is than `prior` (Ghosh et al., 2020, table 1: 58.73 to 10.66 for the plain
autoencoder, in another extractor).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

import pinxit

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
    """Return the Frechet distances of digits drawn by a sampler, with intervals and floors, by their full names."""
    document = pinxit.evaluate(run, "mnist:test", extractors=EXTRACTORS, metrics=["fd"], n=n, sampler=sampler)
    return {
        name: {"value": told["value"], "interval": told["interval"], "floor": told["rows"][1]["value"]}
        for name, told in document["scores"].items()
    }


def learned(run: Path, network: str, training: pinxit.TrainingSettings, n: int) -> dict[str, dict[str, Any]]:
    """Learn a prior over a run's codes, judge what it draws, and take it away again."""
    prior = pinxit.train_prior(pinxit.PriorSettings(network=network), run, training)
    found = distances(run, network, n)
    shutil.rmtree(prior.folder)
    return found


def measure(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Train one recipe and return what each sampler makes of it."""
    training = pinxit.TrainingSettings(steps=asked.steps, seed=asked.seed, threads=asked.threads)
    with tempfile.TemporaryDirectory() as place:
        settings = pinxit.VAESettings.parse(COMMON | RECIPES[name])
        run = pinxit.train(settings, "mnist", Path(place) / "run", training=training)
        told: dict[str, Any] = {"seconds": run.facts()["seconds"]}
        told["samplers"] = {sampler: distances(run.folder, sampler, asked.n) for sampler in FITTED}
        for network in LEARNED:
            told["samplers"][network] = learned(run.folder, network, training.changed(steps=asked.prior_steps), asked.n)
    prior, gmm = told["samplers"]["prior"], told["samplers"]["gmm"]
    return told | {"falls": {eye: prior[eye]["value"] / gmm[eye]["value"] for eye in prior}}


def main() -> None:
    """Measure every recipe and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--prior-steps", type=int, default=5000)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    document = {
        "commit": commit.strip(),
        "machine": {"processor": platform.processor() or platform.machine()},
        "protocol": {name: getattr(asked, name) for name in ("steps", "prior_steps", "n", "seed", "threads")}
        | {"common": COMMON, "recipes": RECIPES, "about": __doc__},
        "rows": {},
    }
    for name in asked.recipes:
        document["rows"][name] = measure(name, asked)
        print(name, json.dumps(document["rows"][name]), flush=True)
        asked.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
