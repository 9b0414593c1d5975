"""Modes that GANs cover: the grid of 25 Gaussians of VEEGAN and PacGAN, with pinxit's own losses and trainer.

    python benchmarks/quality/gaussians.py --out benchmarks/results/gaussians.json [--picture docs/gaussians.png]

Data (Srivastava et al., 2017; Lin et al., 2018, section 4.1): 100,000 points of 25 Gaussians of equal weight, with
means {-4, -2, 0, 2, 4}^2 and deviation 0.05; batches of 100. The objective is that of `pinxit train gan`, with a row of
`ADVERSARIAL`, its penalties, packing, norms and the trainer's weight average, of decay 0.99 because runs are short.
Only the networks are of the benchmark, because points are no pictures. A point counts as a picture of one row and two
columns, in units of the plane.

Every row has the same steps, batches, optimiser, initial weights and latents by seed; a row changes what it names.
Wasserstein rows move the generator at every fifth step, as their papers do. `seconds` are of one processor core.

Of 2,500 samples of the averaged generator: `modes`, to which at least one sample of high quality belongs; `high
quality`, the share of samples within three deviations of a mean; `reverse KL` in nats, of the shares of the nearest
means from equal shares. The same of 2,500 real points is in the record: 25 modes, a share of 0.989, and a KL of 0.005.

Differs from PacGAN: networks of a third of the width (the generator has 128 units instead of 400, the discriminator 64
maxout units of 2 pieces instead of 200 of 5), no batch normalisation, first layers whose kinks lie all over the plane
from the start, and 3,000 steps instead of 400,000. So figures compare rows here and not with those of papers.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pinxit
from pinxit import hardware
from pinxit.data import Batch, draws
from pinxit.errors import DivergedError
from pinxit.nets import spectral
from pinxit.nets.shapes import ClassScore, PictureShape, keep_variance
from pinxit.objectives.gan import GAN
from pinxit.plots import Figure
from pinxit.training.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

MEANS = torch.cartesian_prod(*[torch.arange(-4, 5, 2.0)] * 2)
DEVIATION, POINTS, BATCH, SAMPLES, LATENT = 0.05, 100_000, 100, 2500, 2
AVERAGE = 0.99
REACH = 5
NOTHING = {"modes": 0, "high quality": 0.0, "reverse KL": math.log(len(MEANS))}
"""The figures of a run that diverged."""
GENERATOR, DISCRIMINATOR, PIECES, LAYERS = 128, 64, 2, 3
COMMON = {"network": "dense", "latent": LATENT, "discriminator_norm": "none"}
ROWS: dict[str, dict[str, Any]] = {
    "non-saturating (plain GAN)": {},
    "saturating": {"loss": "saturating"},
    "least-squares": {"loss": "least-squares"},
    "hinge": {"loss": "hinge"},
    "relativistic": {"loss": "relativistic"},
    "wasserstein, clipping": {"loss": "wasserstein", "weight_clip": 0.1, "discriminator_steps": 5},
    "wasserstein, gradient penalty": {"loss": "wasserstein", "gradient_penalty": 0.1, "discriminator_steps": 5},
    "non-saturating, spectral norm": {"discriminator_norm": "spectral"},
    "non-saturating, DRAGAN": {"dragan": 1.0},
    "non-saturating, packing 4": {"packing": 4},
    "non-saturating, R1": {"r1": 0.1},
    "relativistic, R1 + R2": {"loss": "relativistic", "r1": 0.1, "r2": 0.1},
}


def points(count: int, seed: int) -> Tensor:
    """Return points (count, 2) of the mixture."""
    rows = np.arange(count)
    mode = draws.uniform(draws.row_keys(seed, 0, rows, "mode"), 1)[:, 0] * len(MEANS)
    noise = draws.normal(draws.row_keys(seed, 0, rows, "noise"), 2)
    return MEANS[torch.from_numpy(mode.astype(np.int64))] + DEVIATION * torch.from_numpy(noise)


@torch.no_grad()
def spread(first: nn.Linear) -> None:
    """Set the biases of a layer on the plane so that each unit changes sign at a random point of it."""
    places = torch.empty_like(first.weight).uniform_(-REACH, REACH)
    first.bias.copy_(-(first.weight * places).sum(1))


class Generator(nn.Sequential):
    """Latents (N, LATENT) to points (N, 1, 1, 2), by ReLU layers."""

    def __init__(self) -> None:
        widths = [LATENT, *[GENERATOR] * LAYERS]
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
        super().__init__(*layers, nn.Linear(GENERATOR, 2))
        self.apply(keep_variance)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return points."""
        return super().forward(latent)[:, None, None]


class Discriminator(nn.Module):
    """Packs of points (N, packing, 1, 2) to scores (N,), by maxout layers (Goodfellow et al., 2013)."""

    def __init__(self, packing: int) -> None:
        super().__init__()
        widths = [2 * packing, *[DISCRIMINATOR] * LAYERS]
        self.layers = nn.ModuleList(nn.Linear(a, PIECES * b) for a, b in pairwise(widths))
        self.score = ClassScore(DISCRIMINATOR, 0)
        self.apply(keep_variance)

    def last_features(self, image: Tensor) -> Tensor:
        """Return the last hidden layer (N, DISCRIMINATOR)."""
        x = image.flatten(1)
        for layer in self.layers:
            x = torch.maximum(*layer(x).chunk(PIECES, 1))
        return x

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return scores."""
        return self.score(self.last_features(image), label)


class Points(GAN):
    """pinxit's GAN with the networks above, on points of the plane."""

    unclipped = True

    def __init__(self, settings: pinxit.GANSettings) -> None:
        super().__init__(settings, PictureShape("2x1", 1))
        generator, discriminator = Generator(), Discriminator(settings.packing)
        spread(discriminator.layers[0])
        if settings.discriminator_norm == "spectral":
            spectral.normalise(discriminator)
        self.networks.update({"generator": generator, "discriminator": discriminator})

    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return points (N, 1, 1, 2) of latents (N, LATENT)."""
        return self.generated(latent, label)


def measured(found: Tensor) -> dict[str, float]:
    """Return modes, share of high quality and reverse KL of points (N, 2)."""
    distance, nearest = torch.cdist(found, MEANS).min(1)
    good = distance <= 3 * DEVIATION
    share = torch.bincount(nearest, minlength=len(MEANS)).double() / len(found)
    kl = torch.special.xlogy(share, share * len(MEANS)).sum()
    return {"modes": len(nearest[good].unique()), "high quality": good.double().mean().item(), "reverse KL": kl.item()}


def trained(change: dict[str, Any], seed: int, asked: argparse.Namespace) -> tuple[Tensor, float]:
    """Train one row; return 2,500 samples of its averaged generator (N, 2), and the seconds that it took."""
    data = points(POINTS, seed)[:, None, None]

    def batch(step: int) -> Batch:
        epoch, start = divmod(step * BATCH, POINTS)
        rows = draws.permutation(POINTS, seed, epoch)[start : start + BATCH]
        return Batch(image=data[torch.from_numpy(rows)], seed=seed, step=step)

    torch.manual_seed(seed)
    settings = pinxit.GANSettings(**COMMON | {"learning_rate": asked.rate} | change)
    training = pinxit.TrainingSettings(steps=asked.steps, batch_size=BATCH, seed=seed, average=AVERAGE)
    started = time.process_time()
    trainer = Trainer(Points(settings), batch, training, hardware.choose("cpu", "float32", 1))
    for _ in trainer:
        pass
    seconds = time.process_time() - started
    latent = Batch(image=data[:SAMPLES], seed=seed, step=asked.steps).normal(LATENT, stream="samples")
    with trainer.averaged() as objective:
        return objective.sample(latent).flatten(1), seconds


def summary(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the mean and the standard error of each figure over seeds."""
    values = {name: [row[name] for row in rows] for name in (*NOTHING, "seconds")}
    errors = {name: stdev(own) / len(own) ** 0.5 if len(own) > 1 else 0.0 for name, own in values.items()}
    return {name: [round(mean(own), 4), round(errors[name], 4)] for name, own in values.items()}


def drawn(clouds: dict[str, Tensor], path: Path) -> None:
    """Save a picture of each row's samples beside real points."""
    columns = 5
    figure = Figure(figsize=(2.2 * columns, 2.4 * -(-len(clouds) // columns)), layout="constrained")
    axes = list(figure.subplots(-(-len(clouds) // columns), columns, squeeze=False).flat)
    for place in axes[len(clouds) :]:
        place.set_axis_off()
    for place, (name, found) in zip(axes, clouds.items(), strict=False):
        place.scatter(*found.T, s=1, linewidths=0, color="#1f4e79")
        place.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", xticks=(), yticks=())
        place.set_title(name, fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train every row with every seed, and write the record after each seed."""
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=2e-3, help="the learning rate of all rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--picture", type=Path, help="the picture of the first seed's samples to write")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    real = points(SAMPLES, seed=2**20)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in asked.rows}
    clouds = {"real": real}
    for seed in asked.seeds:
        for name in asked.rows:
            try:
                found, seconds = trained(ROWS[name], seed, asked)
                rows[name].append({"seed": seed} | measured(found) | {"seconds": round(seconds, 1)})
                clouds.setdefault(name, found)
            except DivergedError as error:
                rows[name].append({"seed": seed, "diverged": str(error), "seconds": 0.0} | NOTHING)
            print(name, json.dumps(rows[name][-1]), flush=True)
        protocol = {"steps": asked.steps, "rate": asked.rate, "common": COMMON, "rows": {n: ROWS[n] for n in rows}}
        means = {name: summary(own) for name, own in rows.items()}
        write(asked.out, record(__doc__, protocol, real=measured(real), means=means, runs=rows))
    if asked.picture:
        drawn(clouds, asked.picture)


if __name__ == "__main__":
    main()
