"""Seconds of training until generated digits reach a score: pinxit's defaults against PyTorch's DCGAN example.

    python benchmarks/speed/time_to_quality.py [--minutes 10] [--n 10000] [--threads 2] [--out results.json]

The plain arm is the well-known example (pytorch/examples, dcgan/main.py) as published, written anew: its networks (100
latents, 64 channels, five transposed convolutions), MNIST resized to 64 x 64, batches of 64, binary cross-entropy, Adam
at 2e-4 with beta1 0.5, float32, a DataLoader, and samples of the raw weights in training mode, as the example makes its
sheets. pinxit is what `pinxit train gan mnist` does: the recipe that it chooses, at 28 x 28, and its averaged weights.
It runs once in float32 and once in bf16, if the processor computes in it.

All arms train in turn in one process, a slice of `--slice` seconds each, so that all of them meet the same load. Only
training counts: sampling and scoring do not. An arm is scored after 10, 11.5, 13.2 ... seconds of training (each time
15 % more), by `fd[digits-v1]` of n samples against the test digits, and it stops after the last target or its minutes.
The time to a target is that of the first score at or below it. A ratio is the plain arm's time over ours; it is a lower
bound where the plain arm did not get there. The plain arm learns digits of 64 pixels, and the extractor sees 28. So it
is compared with test digits that made the same detour, which alone costs 65. The floors beside are the scores of real
training digits, each against its own arm's reference.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import pinxit
from pinxit import hardware
from pinxit.data import ImageSet, open_data
from pinxit.data.settings import DataSettings
from pinxit.evaluation.extraction import extract
from pinxit.evaluation.pictures import Generated, Pictures
from pinxit.images.convert import to_uint8
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.sets import SETS
from pinxit.threads import placed
from pinxit.training.plan import build_trainer, plan
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

TARGETS, FIRST, GROWTH = (20.0, 12.0), 10.0, 1.15
EXTRACTOR = EXTRACTORS["digits-v1"]
BATCH, SIDE, LATENT, WIDTH = 64, 64, 100, 64


class Example:
    """PyTorch's DCGAN example: `step` trains a batch, `sample` gives pictures in [0, 1]."""

    def __init__(self, images: ImageSet) -> None:
        torch.manual_seed(0)
        self.generator = nn.Sequential(
            *self._up(LATENT, 8 * WIDTH, 1, 0), *self._up(8 * WIDTH, 4 * WIDTH), *self._up(4 * WIDTH, 2 * WIDTH),
            *self._up(2 * WIDTH, WIDTH), nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1, bias=False), nn.Tanh(),
        ).apply(self._initialise)  # fmt: skip
        self.discriminator = nn.Sequential(
            nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            *self._down(WIDTH), *self._down(2 * WIDTH), *self._down(4 * WIDTH),
            nn.Conv2d(8 * WIDTH, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
        ).apply(self._initialise)  # fmt: skip
        self.criterion = nn.BCELoss()
        self.of_discriminator = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.of_generator = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        digits = TensorDataset(images.tensor(28))
        self.batches = self._endless(DataLoader(digits, BATCH, shuffle=True, collate_fn=self._resized))

    @staticmethod
    def _up(inside: int, outside: int, stride: int = 2, padding: int = 1) -> tuple[nn.Module, ...]:
        layer = nn.ConvTranspose2d(inside, outside, 4, stride, padding, bias=False)
        return layer, nn.BatchNorm2d(outside), nn.ReLU(True)

    @staticmethod
    def _down(inside: int) -> tuple[nn.Module, ...]:
        layer = nn.Conv2d(inside, 2 * inside, 4, 2, 1, bias=False)
        return layer, nn.BatchNorm2d(2 * inside), nn.LeakyReLU(0.2, inplace=True)

    @staticmethod
    def _initialise(layer: nn.Module) -> None:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)

    @staticmethod
    def _resized(rows: list[tuple[Tensor]]) -> Tensor:
        digits = torch.stack([digit for (digit,) in rows])
        return 2 * F.interpolate(digits, SIDE, mode="bilinear", antialias=True) - 1

    @staticmethod
    def _endless(loader: DataLoader[Any]) -> Iterator[Tensor]:
        while True:
            yield from loader

    def step(self) -> None:
        self.discriminator.zero_grad()
        real = next(self.batches)
        label = torch.full((len(real),), 1.0)
        loss_real = self.criterion(self.discriminator(real).view(-1), label)
        loss_real.backward()
        fake = self.generator(torch.randn(len(real), LATENT, 1, 1))
        label.fill_(0.0)
        loss_fake = self.criterion(self.discriminator(fake.detach()).view(-1), label)
        loss_fake.backward()
        self.of_discriminator.step()
        self.generator.zero_grad()
        label.fill_(1.0)
        loss = self.criterion(self.discriminator(fake).view(-1), label)
        loss.backward()
        self.of_generator.step()
        (loss_real.item(), loss_fake.item(), loss.item())  # the example prints them

    @torch.no_grad()
    def sample(self, n: int) -> np.ndarray:
        parts = (torch.randn(min(BATCH, n - start), LATENT, 1, 1) for start in range(0, n, BATCH))
        return np.concatenate([to_uint8((self.generator(part) + 1) / 2) for part in parts])


class Ours:
    """What `pinxit train gan mnist` does."""

    def __init__(self, precision: str, threads: int) -> None:
        training = TrainingSettings.parse({"precision": precision, "threads": threads})
        digits = open_data("mnist")
        recipe = plan(pinxit.GANSettings(), "mnist", digits, DataSettings(), training)
        self.trainer: Trainer = build_trainer(recipe, digits.train)

    def step(self) -> None:
        self.trainer.advance()

    @torch.no_grad()
    def sample(self, n: int) -> np.ndarray:
        latents = torch.randn(n, self.trainer.objective.latent, generator=torch.Generator().manual_seed(1))
        generator = self.trainer.average["generator"]
        return np.concatenate([to_uint8(generator(part).clamp(0, 1)) for part in latents.split(BATCH)])


@dataclass
class Arm:
    """What one arm has done: seconds of training, steps, and its scores by seconds."""

    model: Example | Ours
    score: Callable[[Pictures], float]
    n: int
    seconds: float = 0.0
    steps: int = 0
    due: float = FIRST
    curve: list[tuple[float, float]] = field(default_factory=list)

    def train(self, budget: float) -> None:
        """Train for some seconds, and score at those that are due."""
        end = self.seconds + budget
        while self.seconds < end and not self.done():
            begun = time.perf_counter()
            self.model.step()
            self.seconds += time.perf_counter() - begun
            self.steps += 1
            if self.seconds >= self.due:
                self.curve.append((round(self.seconds, 1), self.score(Generated("samples", self.model.sample(self.n)))))
                self.due *= GROWTH

    def done(self) -> bool:
        """Say whether the last target is reached."""
        return any(value <= min(TARGETS) for _, value in self.curve)

    def reached(self, target: float) -> float | None:
        """Return the seconds of training at the first score at or below the target; None without one."""
        return next((seconds for seconds, value in self.curve if value <= target), None)

    def document(self) -> dict[str, Any]:
        """Return what was measured."""
        return {
            "seconds": round(self.seconds, 1),
            "steps": self.steps,
            "pictures": self.steps * BATCH,
            "reached": {f"{target:g}": self.reached(target) for target in TARGETS},
            "curve": self.curve,
        }


def ratios(plain: Arm, ours: Arm) -> dict[str, Any]:
    """Return the plain arm's seconds over ours for each target; where it did not get there, those it trained."""
    found = {}
    for target in TARGETS:
        mine, other = ours.reached(target), plain.reached(target)
        bound = "" if other else " at least"
        found[f"{target:g}{bound}"] = mine and round((other or plain.seconds) / mine, 2)
    return found


def enlarged(digits: Tensor) -> Pictures:
    """Return digits (N, 1, 28, 28) as the plain arm learns them."""
    large = F.interpolate(digits, SIDE, mode="bilinear", antialias=True).clamp(0, 1)
    return Generated("digits of 64 pixels", to_uint8(large))


def scorer(real: Pictures, n: int) -> Callable[[Pictures], float]:
    """Return the distance of n pictures from real ones."""
    reference = extract(EXTRACTOR, real, range(min(n, len(real))))
    return lambda pictures: round(SETS["fd"].measure(extract(EXTRACTOR, pictures, range(n)), reference), 2)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="the most that an arm trains")
    parser.add_argument("--n", type=int, default=10_000, help="pictures in a score")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slice", type=float, default=5, help="seconds of training in a turn")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    digits = open_data("mnist")
    small = scorer(digits.held_out, asked.n)
    large = scorer(enlarged(digits.held_out.tensor(28)), asked.n)
    floors = {"28 pixels": small(digits.train), "64 pixels": large(enlarged(digits.train.tensor(28, stop=asked.n)))}
    precisions = dict.fromkeys(("float32", hardware.choose("cpu", "auto", asked.threads).precision))
    arms = {"example": Arm(Example(digits.train), large, asked.n)}
    arms |= {name: Arm(Ours(name, asked.threads), small, asked.n) for name in precisions}
    protocol = {name: getattr(asked, name) for name in ("minutes", "n", "threads", "slice")}
    document = record(__doc__, protocol, floors=floors)
    left = asked.minutes * 60
    with placed(asked.threads):
        while left > 0 and not all(arm.done() for arm in arms.values()):
            for arm in arms.values():
                arm.train(min(asked.slice, left))
            left -= asked.slice
            document |= {"arms": {name: arm.document() for name, arm in arms.items()}}
            write(asked.out, document)
    document |= {"ratios": {name: ratios(arms["example"], arms[name]) for name in precisions}}
    write(asked.out, document)
    print(json.dumps({name: document[name] for name in ("floors", "arms", "ratios")}, indent=1))


if __name__ == "__main__":
    main()
