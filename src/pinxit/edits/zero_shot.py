"""Zero-shot Noise2Noise: a tiny network learns to denoise from the two halves of one noisy picture.

Mansour and Heckel, 2023, "Zero-shot Noise2Noise: efficient image denoising without any data". Differs from it: steps
are taken on random crops, so that a picture of any size costs the same memory and time, with a step size that goes
down as a cosine, and fewer of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch, draws
from pinxit.edits.bound import Bound, Local
from pinxit.edits.canvas import moves, seeded
from pinxit.edits.mask import unit
from pinxit.hardware import choose
from pinxit.objectives.objective import Loss, Objective, Player
from pinxit.objectives.optimiser import Optimiser
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

RADIUS = 2
WIDTH = 48
CROP = 128
LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class ZeroShotNoise2Noise(Bound):
    """A picture without the noise that a network sees in it which learned from that very picture."""

    steps: int
    seed: int
    device: str
    radius = RADIUS

    def fitted(self, pixels: np.ndarray) -> Bound:
        """Return the edit by the network that has learned from (H, W, C)."""
        with seeded(self.seed):
            objective = ZeroShot(pixels.shape[2])
        trainer = Trainer(
            objective,
            partial(crop_at, pixels, self.seed),
            TrainingSettings(steps=self.steps, schedule="cosine", average=0),
            choose(self.device),
        )
        for _ in moves(trainer, "zero-shot: step"):
            pass
        denoiser = objective.denoiser.requires_grad_(False)
        return Local(lambda image: denoiser(image[None])[0], RADIUS)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture without noise, in [0, 1], by a network that learns from this picture alone."""
        return self.fitted(image.permute(1, 2, 0).cpu().numpy()).run(image, mask)


class Denoiser(nn.Module):
    """Pictures (N, C, H, W) without the noise that two 3 x 3 convolutions and one of single pixels see in them."""

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
        return (Player("denoiser", self.denoiser, self._loss, Optimiser(rate=LEARNING_RATE)),)

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the two halves of the noisy pictures (N, C, H, W), H and W even."""
        return halves(batch.image)

    def preview(self, batch: Batch) -> Tensor:
        """Return the pictures as the denoiser gives them."""
        return self.denoiser(batch.image)

    def _loss(self, batch: Batch, drawn: tuple[Tensor, Tensor]) -> Loss:
        first, second = drawn
        first_denoised, second_denoised = self.denoiser(torch.cat(drawn)).chunk(2)
        first_half, second_half = halves(self.denoiser(batch.image))
        residual = F.mse_loss(first_denoised, second) + F.mse_loss(second_denoised, first)
        consistency = F.mse_loss(first_denoised, first_half) + F.mse_loss(second_denoised, second_half)
        return Loss({"residual": residual / 2, "consistency": consistency / 2})


def crop_at(pixels: np.ndarray, seed: int, step: int) -> Batch:
    """Return the one crop of (H, W, C) from which a step learns: a function of (seed, step); its sides are even."""
    height, width, _ = pixels.shape
    sides = [min(CROP, side + side % 2) for side in (height, width)]
    place = draws.uniform(draws.row_keys(seed, step, np.arange(1), "crop"), 2)[0]
    top, left = (
        int(share * (whole - side + 1)) for share, whole, side in zip(place, (height, width), sides, strict=True)
    )
    crop = unit(pixels[top : top + sides[0], left : left + sides[1]])
    missing = [(0, side - there) for side, there in zip(sides, crop.shape, strict=False)]
    return Batch(
        image=torch.from_numpy(np.pad(crop, [*missing, (0, 0)], mode="edge")).permute(2, 0, 1)[None],
        seed=seed,
        step=step,
    )


def halves(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of the two diagonals of each 2 x 2 block, (N, C, H / 2, W / 2) twice; H and W even."""
    a, b, c, d = (image[..., row::2, column::2] for row in (0, 1) for column in (0, 1))
    return (b + c) / 2, (a + d) / 2
