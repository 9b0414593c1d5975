"""The VQ-VAE, tiny, learns to describe pictures in codes, all of which it uses; and its commands."""

from pathlib import Path

import numpy as np
import pytest
import torch

import pinxit
from pinxit.cli import run
from pinxit.images import load_image
from pinxit.latents import coding

pytestmark = pytest.mark.usefixtures("no_report")

SETTINGS = ["--channels", "8", "--codes", "32", "--dimensions", "8", "--decay", "0.95", "--learning-rate", "5e-3"]
TRAINING = ["--steps", "250", "--batch-size", "32", "--threads", "1", "--average", "0.95"]


def slopes(count: int, seed: int) -> np.ndarray:
    """Cards of 16 pixels whose grey rises evenly in a direction of its own."""
    rng = np.random.default_rng(seed)
    across, down = np.mgrid[-1:1:16j, -1:1:16j]
    turn, grey = rng.uniform(0, 2 * np.pi, (count, 1, 1)), rng.uniform(80, 175, (count, 1, 1))
    return (grey + 60 * (np.cos(turn) * across + np.sin(turn) * down)).round().astype(np.uint8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    np.savez(place / "slopes.npz", images=slopes(512, 0))
    np.savez(place / "others.npz", images=slopes(200, 1))
    for gradient in ("straight-through", "rotation"):
        words = ["train", "vq", str(place / "slopes.npz"), "--gradient", gradient, "--out", str(place / gradient)]
        assert run([*words, *SETTINGS, *TRAINING]) == 0
    return {gradient: place / gradient for gradient in ("straight-through", "rotation")}


@pytest.mark.parametrize("gradient", ["straight-through", "rotation"])
def test_new_pictures_come_back_and_nearly_all_codes_are_used(runs: dict[str, Path], gradient: str) -> None:
    model = pinxit.load(runs[gradient])
    others = coding.model_pictures(model, str(runs[gradient].parent / "others.npz"))
    error = coding.reconstruct(model, others).astype(float) / 255 - others.images.movedim(1, 3).numpy()
    spread = others.images.var(0).mean().item()
    assert np.square(error).mean() < spread / 8
    codes = model.encode(others.images)
    assert codes.shape == (200, 16)
    assert codes.dtype == torch.int64
    assert codes.unique().numel() > 0.9 * 32


def test_codes_are_reconstructed_but_not_drawn_and_it_is_said(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, source = str(runs["rotation"]), str(runs["rotation"].parent / "others.npz")
    assert run(["reconstruct", folder, source, "-n", "5", "-o", str(tmp_path / "sheet.png")]) == 0
    assert "codes of 0.312 bits per pixel" in capsys.readouterr().err
    assert load_image(tmp_path / "sheet.png").shape == (2 * 18 + 2, 8 * 18 + 2, 1)
    for words in (
        ["sample", folder, "-o", str(tmp_path / "x.npz")],
        ["sample", folder, "-o", str(tmp_path / "x.npz"), "--interpolate", "3"],
        ["traverse", folder, "-o", str(tmp_path / "x.png")],
    ):
        assert run(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "a run of 'vq' has no prior to sample codes from" in line
    assert run(["anomaly", folder, source, "-o", str(tmp_path / "found")]) == 2
    assert "a run of 'vq' has no likelihood" in capsys.readouterr().err
    assert not (tmp_path / "found").exists()
