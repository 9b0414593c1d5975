"""How well do autoencoders know digits? Binarised MNIST, an equal time of training for every row.

    python benchmarks/quality/vae_density.py [--minutes 10] [--seed 0] [--n 10000] [--samples 500] [--threads 2]
        [--rows NAME ...] --out results.json

Training binarises anew in every step (each pixel white with its grey as the odds); the test set is binarised once, by
NumPy's Philox with seed 0. All rows are the dense networks of 784-512-512-40, batch 128, and only differ in
what their name says; the ladder has its levels of 512 between the two. Told are nats a picture, means over the first
`n` test pictures: -ELBO
(rate and distortion apart, one latent a picture), the importance-weighted bound at K = 1, 10, 100, ... up to `samples`
(Burda et al., 2016; it falls with K, and none is the truth), and the active units. The baseline of the table is a code
of nothing: every pixel by its mean over the training set.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

import pinxit
from pinxit.data import Batch, open_data
from pinxit.objectives.vae import VAE, active_units
from pinxit.progress import track

COMMON = {"network": "dense", "channels": 64, "latent": 40, "likelihood": "bernoulli", "binarise": True}
ROWS: dict[str, dict[str, object]] = {
    "VAE": {},
    "IWAE, K = 5": {"importance": 5},
    "VampPrior, 100": {"pseudo_inputs": 100},
    "ladder, 3 levels, warm-up": {"levels": 3, "beta_warmup": 5000},
}
PROTOCOL = ("minutes", "seed", "n", "samples", "threads")
AT_ONCE = 5000  # latents decoded together


def test_pictures(n: int) -> torch.Tensor:
    """Return the first `n` test pictures, (n, 1, 28, 28), black and white by NumPy's Philox with seed 0."""
    images = open_data("mnist").held_out.tensor(28)
    draws = np.random.Generator(np.random.Philox(0)).random(tuple(images.shape), dtype=np.float32)
    return (torch.from_numpy(draws) < images).float()[:n]


def bounds(objective: VAE, images: torch.Tensor, samples: int) -> dict[str, float]:
    """Return the importance-weighted bound in nats at K = 1, 10, 100, ... and `samples`, means over the pictures."""
    counts = sorted({k for k in (1, 10, 100, 1000) if k < samples} | {samples})
    total = dict.fromkeys(counts, 0.0)
    parts = images.split(max(1, AT_ONCE // samples))
    for number, part in enumerate(track(parts, f"bound of {samples}", len(parts))):
        batch = Batch(image=part, seed=1, step=number)
        drawn = objective.reconstruct(batch, samples)
        log_weights = objective.log_likelihood(drawn) - objective.log_ratio(drawn)
        for k in counts:
            total[k] += (log_weights[:, :k].logsumexp(1) - np.log(k)).sum().item()
    return {f"K = {k}": -value / len(images) for k, value in total.items()}


def judge(objective: VAE, images: torch.Tensor, samples: int) -> dict[str, object]:
    """Return what the module's head says of one model; its pictures are binarised already."""
    rate, distortion, means = 0.0, 0.0, []
    for number, part in enumerate(images.split(500)):
        drawn = objective.reconstruct(Batch(image=part, seed=2, step=number))
        rate += objective.kl(drawn).sum().item() / len(images)
        distortion -= objective.log_likelihood(drawn).sum().item() / len(images)
        means.append(drawn.mean)
    told: dict[str, object] = {"negative_elbo": rate + distortion, "rate": rate, "distortion": distortion}
    told["bound"] = bounds(objective, images, samples)
    return told | {"active_units": int(active_units(torch.cat(means)))}


def nothing(images: torch.Tensor) -> float:
    """Return the nats a picture if every pixel has its mean over the training set as its odds."""
    odds = open_data("mnist").train.tensor(28).mean(0).clamp(1e-4, 1 - 1e-4)
    return -(images * odds.log() + (1 - images) * (1 - odds).log()).sum((1, 2, 3)).mean().item()


def measure(
    settings: pinxit.VAESettings, training: pinxit.TrainingSettings, images: torch.Tensor, samples: int
) -> dict[str, object]:
    """Train one row and return what it was found to know."""
    with tempfile.TemporaryDirectory() as folder:
        run = pinxit.train(settings, "mnist", Path(folder) / "run", training=training)
        facts = {name: run.facts()[name] for name in ("steps", "images", "seconds")}
        objective = pinxit.load(run.folder).autoencoder
    with torch.no_grad():
        objective.settings = settings.changed(binarise=False)
        return facts | judge(objective, images, samples)


def main() -> None:
    """Measure every row and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="processor cores for every row")
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    images = test_pictures(asked.n)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    document = {
        "commit": commit.strip(),
        "machine": {"processor": platform.processor() or platform.machine()},
        "protocol": {name: getattr(asked, name) for name in PROTOCOL} | {"about": __doc__},
        "a code of nothing": nothing(images),
        "rows": {},
    }
    for name in asked.rows:
        settings = pinxit.VAESettings.parse(COMMON | ROWS[name])
        training = pinxit.TrainingSettings(
            minutes=asked.minutes, batch_size=128, seed=asked.seed, threads=asked.threads
        )
        document["rows"][name] = measure(settings, training, images, asked.samples)
        print(name, json.dumps(document["rows"][name]), flush=True)
        asked.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
