"""Networks that learn from the one picture beat stated bars within seconds."""

from __future__ import annotations

import pytest
import torch
from skimage import data
from torch import Tensor

from pinxit.degradations import resize_bicubic
from pinxit.edits.settings import DenoisePrior, DenoiseZeroShot, InpaintPrior, UpscalePrior
from pinxit.edits.single import PATIENCE, WINDOW, FittedPrior

CAMERA = torch.from_numpy(data.camera() / 255).float()[None]
FACE = CAMERA[:, 90:154, 200:264]


def noisy(clean: Tensor, sigma: float = 25 / 255) -> Tensor:
    return clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))


def psnr(image: Tensor, clean: Tensor) -> float:
    return -10 * (image - clean).square().mean().log10().item()


def test_zero_shot_gains_4_db() -> None:
    spoilt = noisy(CAMERA)
    with torch.no_grad():
        bound = DenoiseZeroShot(steps=150).bind().for_picture(spoilt.permute(1, 2, 0).numpy())
        restored = bound.run(spoilt, None)
    assert psnr(restored, CAMERA) - psnr(spoilt, CAMERA) > 4


def test_the_prior_denoises() -> None:
    spoilt = noisy(FACE)
    restored = DenoisePrior(max_steps=100, channels=16).bind().run(spoilt, None)
    assert psnr(restored, FACE) - psnr(spoilt, FACE) > 2


def test_the_prior_fills_what_is_lost() -> None:
    mask = (torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    restored = InpaintPrior(max_steps=100, channels=16).bind().run(FACE * (1 - mask), mask)
    assert psnr(restored, FACE) - psnr(FACE.mean(), FACE) > 8


def test_the_prior_enlarges() -> None:
    small = resize_bicubic(FACE, (32, 32))
    restored = UpscalePrior(max_steps=100, channels=16).bind().run(small, None)
    assert psnr(restored, FACE) - psnr(FACE.mean(), FACE) > 8


@pytest.mark.slow
def test_the_prior_stops_within_half_a_decibel_of_the_best_stop() -> None:
    clean = CAMERA[:, 64:192, 192:320]
    bound = DenoisePrior(max_steps=2500).bind()
    assert isinstance(bound, FittedPrior)
    stages = [psnr(stage, clean) for stage in bound.stages(noisy(clean), None)]
    mean, best = torch.zeros(()), 0.0
    for number, restored in enumerate(bound.restorations(noisy(clean), None), start=1):
        mean = mean + (restored[0] - mean) / min(number, WINDOW)
        best = max(best, psnr(mean, clean))
    assert len(stages) < 2500 // 50, f"it ended by itself, {PATIENCE} steps after the valley"
    assert stages[-1] > best - 0.5
