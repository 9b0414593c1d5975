"""`pinxit morph`: pictures on the way from one class to another."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pinxit.cli import run
from pinxit.images import load_image
from pinxit.latents import coding
from pinxit.latents.sampling import load
from pinxit.training import train as train_module


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder, a conditional one and one without classes, of cards with a white half: the left or the upper."""
    place = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (80, 16, 16), np.uint8)
    images[::2, :, :8] += 200
    images[1::2, :8] += 200
    np.savez(place / "halves.npz", images=images, labels=np.arange(80) % 2)
    np.savez(place / "left.npz", images=images[::2], labels=np.zeros(40, int))
    np.savez(place / "plain.npz", images=images)
    words = "--network dense --channels 4 --latent 4 --batch-size 16 --threads 1 --average 0.9 --learning-rate 1e-2"
    kinds = {"halves": ("halves", 200, []), "conditional": ("halves", 1, ["--conditional"]), "plain": ("plain", 1, [])}
    for name, (source, steps, more) in kinds.items():
        asked = ["train", "vae", str(place / f"{source}.npz"), "--steps", str(steps), "--out", str(place / name), *more]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train_module, "_report", lambda run: None)  # takes most of the time
            assert run([*asked, *words.split()]) == 0
    return place


def test_a_picture_of_one_class_becomes_one_of_the_other(runs: Path) -> None:
    model = load(runs / "halves")
    pictures = coding.model_pictures(model, str(runs / "left.npz"), 3)
    ways = coding.morph(model, pictures, "0", "1", 5)[..., 0].astype(float)
    assert ways.shape == (3, 5, 16, 16)
    assert np.array_equal(ways[:, 0], coding.reconstruct(model, pictures)[..., 0])
    lower_left, upper_right = ways[:, :, 8:, :8].mean((0, 2, 3)), ways[:, :, :8, 8:].mean((0, 2, 3))
    assert lower_left[0] > 150 > 100 > lower_left[-1]
    assert upper_right[0] < 100 < 150 < upper_right[-1]
    assert (np.diff(lower_left) < 0).all()
    assert (np.diff(upper_right) > 0).all()


def test_the_command_writes_a_row_a_picture(runs: Path, tmp_path: Path) -> None:
    words = ["morph", str(runs / "halves"), str(runs / "left.npz"), "--start", "0", "--end", "1", "-n", "3"]
    assert run([*words, "--columns", "4", "-o", str(tmp_path / "sheet.png")]) == 0
    sheet = load_image(tmp_path / "sheet.png")
    assert sheet.shape == (3 * 18 + 2, 4 * 18 + 2, 1)
    assert sheet[2:10, 3 * 18 + 10 : 4 * 18].mean() > 150  # the last of a row is white above on the right
    assert run(words) == 0
    assert (runs / "halves" / "morph.png").exists()


def test_pictures_of_the_first_class_are_found_among_others(runs: Path, tmp_path: Path) -> None:
    model = load(runs / "halves")
    found = coding.model_pictures(model, str(runs / "halves.npz"), 3, only="1")
    assert found.names == ["00001", "00003", "00005"]
    assert torch.equal(found.images, coding.model_pictures(model, str(runs / "halves.npz")).images[1:6:2])
    conditional = coding.model_pictures(load(runs / "conditional"), str(runs / "halves.npz"), 2, only="1")
    assert conditional.labels.tolist() == [1, 1]
    assert len(coding.model_pictures(model, str(runs / "plain.npz"), 3, only="1")) == 3
    held_out = coding.model_pictures(model, f"{runs / 'halves.npz'}:test", only="1")
    assert 0 < len(held_out) < 40
    assert all(int(name) % 2 for name in held_out.names)
    words = ["morph", str(runs / "halves"), str(runs / "halves.npz"), "--start", "1", "--end", "0", "-n", "2"]
    assert run([*words, "--columns", "2", "-o", str(tmp_path / "sheet.png")]) == 0
    sheet = load_image(tmp_path / "sheet.png")
    for top in (2, 20):  # each row begins with a picture whose upper half is white
        assert sheet[top : top + 8, 10:18].mean() > 150 > 100 > sheet[top + 8 : top + 16, 2:10].mean()


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [("halves", "7", "no such class"), ("conditional", "0", "do not hold the class"), ("plain", "0", "class-gaussian")],
)
def test_what_cannot_be_moved_is_one_line(
    runs: Path, name: str, start: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["morph", str(runs / name), str(runs / "left.npz"), "--start", start, "--end", "1", "-n", "2"]
    capsys.readouterr()
    assert run([*words, "-o", str(tmp_path / "x.png")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert said in told
    assert not (tmp_path / "x.png").exists()
