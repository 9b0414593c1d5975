"""Networks that learn from one picture alone: the deep image prior, and zero-shot Noise2Noise.

Deep image prior (Ulyanov, Vedaldi and Lempitsky, 2018): a convolutional network that generates a picture from noise
learns what is natural in it before it learns its noise. Differs from it: a narrower network, a code of 8 channels, and
stopping by the variance of the network's output (`Settling`) instead of a number of steps chosen for each picture.

Zero-shot Noise2Noise (Mansour and Heckel, 2023, "Zero-shot Noise2Noise: efficient image denoising without any data"): a
tiny network learns to denoise from the two halves of one noisy picture. Differs from it: steps are taken on random
crops, so that a picture of any size costs the same memory and time, with a cosine schedule, and fewer of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch, draws
from pinxit.degradations import resize_bicubic
from pinxit.edits.bound import Bound, Local
from pinxit.edits.mask import unit
from pinxit.errors import UsageError
from pinxit.hardware import choose
from pinxit.nets.hourglass import Hourglass
from pinxit.objectives.objective import Loss, Objective, Player
from pinxit.objectives.optimiser import Optimiser
from pinxit.progress import track
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Record, Trainer

CODE, CODE_RANGE = 8, 0.1
JITTER = 1 / 30  # in every task; the paper has it in some
PRIOR_RATE = 0.01
WINDOW, PATIENCE = 200, 500
STAGE = 50

RADIUS = 2
WIDTH = 48
CROP = 128
ZERO_SHOT_RATE = 2e-3


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initialise weights from `seed`, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def training_records(trainer: Trainer, what: str) -> Iterator[Record]:
    """Yield a record after each step, with progress on stderr; gradients are on during a step only."""

    def advances() -> Iterator[Record]:
        while trainer.step < trainer.settings.steps:
            with torch.enable_grad():
                record = trainer.advance()
            yield record

    return track(advances(), what, trainer.settings.steps)


class Settling:
    """The running mean of a sequence of pictures, and the mean at the time they varied least.

    A network that learns one degraded picture comes near the clean one first and then learns the noise. The running
    variance of its output has its minimum in between (Wang et al., 2023, "Early stopping for deep image prior",
    ES-EMV). Differs from it: the mean is returned, and it spans the same `window` pictures as the variance, so that it
    is the mean of exactly those that varied so little.
    """

    def __init__(self, window: int, patience: int) -> None:
        self.window, self.patience = window, patience
        self.count, self.best_count = 0, 0
        self.variance = self.least = 0.0
        self.mean = self.best = torch.empty(0)

    def update(self, picture: Tensor) -> None:
        """Take the next picture: m <- m + (x - m) / n, v <- (1 - 1 / n) (v + mean (x - m)^2 / n), n <= window."""
        self.count += 1
        if self.count == 1:
            self.mean = picture.clone()
        share = 1 / min(self.count, self.window)
        self.variance = (1 - share) * (self.variance + share * (picture - self.mean).square().mean().item())
        self.mean.lerp_(picture, share)
        if self.count <= self.window or self.variance < self.least:
            self.best, self.best_count, self.least = self.mean.clone(), self.count, self.variance

    @property
    def over(self) -> bool:
        """Whether the variance has reached no new minimum for `patience` pictures."""
        return self.count - self.best_count >= self.patience


# The deep image prior.


@dataclass(frozen=True)
class FittedPrior(Bound):
    """The output of the network that is fitted to a picture, once it has settled or after `max_steps`."""

    max_steps: int
    channels: int
    seed: int
    device: str
    scale: int = 1
    holes: bool = False
    radius = None

    @property
    def bytes_per_pixel(self) -> int:  # type: ignore[override]
        """Memory of a step for each input pixel, as measured in float32; bf16 takes two thirds of it."""
        return (700 + 50 * self.channels) * self.scale**2

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the restored picture."""
        return deque(self.stages(image, mask), maxlen=1).pop()

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield the best so far every `STAGE` steps, and finally the best of all."""
        settling = Settling(WINDOW, PATIENCE)
        for restored in self.restorations(image, mask):
            settling.update(restored)
            if settling.over:
                break
            if settling.count % STAGE == 0:
                yield settling.best[0]
        yield settling.best[0]

    def restorations(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield the network's output at each step, (1, C, H, W), without stopping before `max_steps`."""
        if self.holes and mask is None:
            raise UsageError("this edit fills holes: say where with --mask, --box, --colour or --brightness")
        unknown = (mask[None] > 0).float() if self.holes and mask is not None else None
        if unknown is not None and unknown.all():
            raise UsageError("the mask covers the whole picture; the network needs a part of it to learn from")
        channels, height, width = image.shape
        batch = Batch(image=image[None], mask=unknown, seed=self.seed, step=0)
        size = height * self.scale, width * self.scale
        with seeded(self.seed):
            objective = DeepImagePrior(channels, size, self.channels)
        training = TrainingSettings(steps=self.max_steps, average=0)
        trainer = Trainer(objective, lambda step: replace(batch, step=step), training, choose(self.device))
        for _ in training_records(trainer, "deep image prior: step"):
            yield objective.restored


class DeepImagePrior(Objective):
    """Lower |known (down(network(code)) - picture)|^2 over the network's weights (eq. 2, with section 3's data terms).

    A batch is the one degraded picture (1, C, h, w), its mask 1 where it is unknown. The network's output has
    `size` = (H, W), larger than the picture if its resolution is to rise; `down` reduces it to the picture's own. Noise
    of standard deviation `JITTER` is added to the code at every step.
    """

    model = ("hourglass",)
    unclipped = True

    def __init__(self, channels: int, size: tuple[int, int], width: int) -> None:
        self.hourglass = Hourglass(CODE, channels, width)
        self.networks = nn.ModuleDict({"hourglass": self.hourglass})
        self.size = size
        multiple = self.hourglass.multiple
        sides = (max(2, -(-side // multiple)) * multiple for side in size)
        self.code = CODE_RANGE * torch.rand(1, CODE, *sides)
        self.restored = torch.empty(0)

    def players(self) -> tuple[Player, ...]:
        """Return the network."""
        return (Player("hourglass", self.hourglass, self._loss, Optimiser(rate=PRIOR_RATE)),)

    def draw(self, batch: Batch) -> Tensor:
        """Return the network's output for the code and this step's jitter, (1, C, H, W); `restored` keeps it too."""
        code = self.code.to(batch.image.device) + JITTER * batch.normal(*self.code.shape[1:], stream="jitter")
        high, wide = self.size
        restored = self.hourglass(code)[:, :, :high, :wide]
        self.restored = restored.detach()
        return restored

    def preview(self, batch: Batch) -> Tensor:
        """Return the network's output at this step, (1, C, H, W)."""
        return self.draw(batch)

    def _loss(self, batch: Batch, restored: Tensor) -> Loss:
        high, wide = batch.image.shape[2:]
        down = restored if (high, wide) == self.size else resize_bicubic(restored, (high, wide))
        known = torch.ones_like(down) if batch.mask is None else (1 - batch.mask).expand_as(down)
        return Loss({"reconstruction": (known * (down - batch.image).square()).sum() / known.sum()})


# Zero-shot Noise2Noise.


@dataclass(frozen=True)
class ZeroShotNoise2Noise(Bound):
    """A picture without the noise, as estimated by a network that has learned from this picture."""

    steps: int
    seed: int
    device: str
    radius = RADIUS

    def for_picture(self, pixels: np.ndarray) -> Bound:
        """Return the edit by the network that has learned from (H, W, C)."""
        with seeded(self.seed):
            objective = ZeroShot(pixels.shape[2])
        training = TrainingSettings(steps=self.steps, schedule="cosine", average=0)
        trainer = Trainer(objective, partial(crop_at, pixels, self.seed), training, choose(self.device))
        for _ in training_records(trainer, "zero-shot: step"):
            pass
        denoiser = objective.denoiser.requires_grad_(False)
        return Local(lambda image: denoiser(image[None])[0], RADIUS)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture without noise, in [0, 1], by a network that learns from this picture alone."""
        return self.for_picture(image.permute(1, 2, 0).cpu().numpy()).run(image, mask)


class Denoiser(nn.Module):
    """Pictures (N, C, H, W) minus the noise that two 3 x 3 convolutions and a 1 x 1 convolution estimate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.noise = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(WIDTH, channels, 1),
        )

    def forward(self, noisy: Tensor) -> Tensor:
        """Return (N, C, H, W), not clipped."""
        return noisy - self.noise(noisy)


class ZeroShot(Objective):
    """Lower the residual and the consistency loss of a denoiser on the two halves of a noisy picture (section 3)."""

    model = ("denoiser",)
    unclipped = True

    def __init__(self, channels: int) -> None:
        self.denoiser = Denoiser(channels)
        self.networks = nn.ModuleDict({"denoiser": self.denoiser})

    def players(self) -> tuple[Player, ...]:
        """Return the denoiser."""
        return (Player("denoiser", self.denoiser, self._loss, Optimiser(rate=ZERO_SHOT_RATE)),)

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the two halves of the noisy pictures (N, C, H, W), H and W even."""
        return halves(batch.image)

    def preview(self, batch: Batch) -> Tensor:
        """Return the pictures, denoised."""
        return self.denoiser(batch.image)

    def _loss(self, batch: Batch, pair: tuple[Tensor, Tensor]) -> Loss:
        first, second = pair
        first_denoised, second_denoised = self.denoiser(torch.cat(pair)).chunk(2)
        first_half, second_half = halves(self.denoiser(batch.image))
        residual = F.mse_loss(first_denoised, second) + F.mse_loss(second_denoised, first)
        consistency = F.mse_loss(first_denoised, first_half) + F.mse_loss(second_denoised, second_half)
        return Loss({"residual": residual / 2, "consistency": consistency / 2})


def crop_at(pixels: np.ndarray, seed: int, step: int) -> Batch:
    """Return the one crop of (H, W, C) that a step learns from: a function of (seed, step), with even sides."""
    height, width, _ = pixels.shape
    sides = [min(CROP, side + side % 2) for side in (height, width)]
    place = draws.uniform(draws.row_keys(seed, step, np.arange(1), "crop"), 2)[0]
    top, left = (
        int(share * (whole - side + 1)) for share, whole, side in zip(place, (height, width), sides, strict=True)
    )
    crop = unit(pixels[top : top + sides[0], left : left + sides[1]])
    missing = [(0, side - length) for side, length in zip(sides, crop.shape, strict=False)]
    return Batch(
        image=torch.from_numpy(np.pad(crop, [*missing, (0, 0)], mode="edge")).permute(2, 0, 1)[None],
        seed=seed,
        step=step,
    )


def halves(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of the two diagonals of each 2 x 2 block, (N, C, H / 2, W / 2) twice; H and W even."""
    a, b, c, d = (image[..., row::2, column::2] for row in (0, 1) for column in (0, 1))
    return (b + c) / 2, (a + d) / 2
