"""How well autoencoders model digits: densities of binarised MNIST after an equal time of training.

    python benchmarks/quality/vae_density.py [--minutes 10] [--seed 0] [--n 10000] [--samples 500] [--threads 2]
        [--rows NAME ...] --out results.json

Training binarises at every step: a pixel is white with the probability of its grey value. The test set is binarised
once, by NumPy's Philox with seed 0. All rows are dense networks of 784-512-512-40 with batches of 128 and differ only
as their name says; the ladder's levels are the layers of 512. The figures are nats a picture, means over the first `n`
test pictures: -ELBO, with rate and distortion apart and one latent a picture; the importance-weighted bound at K = 1,
10, 100, ... up to `samples` (Burda et al., 2016; it falls with K towards the truth); and the active units. The baseline
is an empty code: every pixel by its mean over the training set.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import pinxit
from pinxit.data import Batch, open_data
from pinxit.objectives.vae import VAE, active_units
from pinxit.progress import track

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

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


def measured(objective: VAE, images: torch.Tensor, samples: int) -> dict[str, object]:
    """Return ELBO, bounds and active units of one model on binarised pictures."""
    rate, distortion, means = 0.0, 0.0, []
    for number, part in enumerate(images.split(500)):
        drawn = objective.reconstruct(Batch(image=part, seed=2, step=number))
        rate += objective.kl(drawn).sum().item() / len(images)
        distortion -= objective.log_likelihood(drawn).sum().item() / len(images)
        means.append(drawn.mean)
    found: dict[str, object] = {"negative_elbo": rate + distortion, "rate": rate, "distortion": distortion}
    found["bound"] = bounds(objective, images, samples)
    return found | {"active_units": int(active_units(torch.cat(means)))}


def nothing(images: torch.Tensor) -> float:
    """Return the nats a picture if every pixel is white with its mean over the training set as probability."""
    odds = open_data("mnist").train.tensor(28).mean(0).clamp(1e-4, 1 - 1e-4)
    return -(images * odds.log() + (1 - images) * (1 - odds).log()).sum((1, 2, 3)).mean().item()


def measure(
    settings: pinxit.VAESettings, training: pinxit.TrainingSettings, images: torch.Tensor, samples: int
) -> dict[str, object]:
    """Train one row and return its measurements."""
    with tempfile.TemporaryDirectory() as folder:
        run = pinxit.train(settings, "mnist", Path(folder) / "run", training=training)
        facts = {name: run.facts()[name] for name in ("steps", "images", "seconds")}
        objective = pinxit.load(run.folder).autoencoder
    with torch.no_grad():
        objective.settings = settings.changed(binarise=False)
        return facts | measured(objective, images, samples)


def main() -> None:
    """Measure every row and write the record."""
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="processor cores for every row")
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    images = test_pictures(asked.n)
    protocol = {name: getattr(asked, name) for name in PROTOCOL}
    document = record(__doc__, protocol, rows={})
    document["a code of nothing"] = nothing(images)
    for name in asked.rows:
        settings = pinxit.VAESettings.parse(COMMON | ROWS[name])
        training = pinxit.TrainingSettings(
            minutes=asked.minutes, batch_size=128, seed=asked.seed, threads=asked.threads
        )
        document["rows"][name] = measure(settings, training, images, asked.samples)
        print(name, json.dumps(document["rows"][name]), flush=True)
        write(asked.out, document)


if __name__ == "__main__":
    main()
