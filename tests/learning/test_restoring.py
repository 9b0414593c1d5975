"""Restoration learns: from clean pictures and from none, a tiny network takes away most of what spoils photographs."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

import pinxit
from pinxit.data.settings import DataSettings
from pinxit.objectives.settings import EnhancementSettings, ObjectiveSettings, RestorationSettings
from pinxit.training.pictures import pictures_of
from pinxit.training.plan import batch_of, build
from pinxit.training.settings import TrainingSettings
from pinxit.training.store import Checkpoints

pytestmark = pytest.mark.usefixtures("no_report")

NOISE = "noise(sigma=0.0980392)"  # 25 of 255
RESTORE = partial(RestorationSettings, channels=16, levels=2, blocks=1, learning_rate=3e-3)


def gained(place: Path, asked: ObjectiveSettings, steps: int = 150) -> float:
    """Return the dB of PSNR by which a tiny network, after so many steps, betters held-out parts of photographs."""
    photos = [data.astronaut(), data.coffee(), data.chelsea()]
    parts = [photo[y : y + 100, x : x + 100] for photo in photos for y in (0, 100, 200) for x in (0, 100, 200, 300)]
    green = [part[..., 1] for part in parts if part.shape == (100, 100, 3)]
    np.savez(place / "photos.npz", images=np.stack(green))
    training = TrainingSettings(steps=steps, batch_size=8, threads=1, schedule="cosine", average=0.9)
    shown = DataSettings(size=48, holdout=0.25)
    run = pinxit.train(asked, place / "photos.npz", place / "run", shown, training)
    after = Checkpoints(run.checkpoints).newest().facts["judgement"]["value"]
    held_out = pictures_of(run.recipe.data).held_out
    with torch.no_grad():
        return after - build(run.recipe).judge(batch_of(run.recipe, held_out, 0, len(held_out), augment=False))


def test_it_learns_to_take_noise_away(tmp_path: Path) -> None:
    assert gained(tmp_path, RESTORE(degrade=NOISE)) > 6


def test_it_learns_how_dark_pictures_are(tmp_path: Path) -> None:
    """It begins with the right gain where pictures reach white, and must find the gamma."""
    gain = gained(tmp_path, EnhancementSettings(width=16, learning_rate=3e-3, degrade="dark(gamma=2, read_noise=0)"))
    assert gain > 4


@pytest.mark.slow
@pytest.mark.parametrize("target", ["noisy", "blind-spot", "neighbours"])
def test_it_learns_so_without_clean_pictures(tmp_path: Path, target: str) -> None:
    assert gained(tmp_path, RESTORE(degrade=NOISE, target=target, loss="l2"), 400) > 4.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("degrade", "least"), [("pixels(share=0.5)", 15), ("downscale(scale=2)", 0.5), ("blur(sigma=1.5)", 2)]
)
def test_it_learns_to_undo_what_else_spoils_pictures(tmp_path: Path, degrade: str, least: float) -> None:
    gain = gained(tmp_path, RESTORE(degrade=degrade), 400)
    print(degrade, gain)
    assert gain > least
