"""Training that begins with weights: what fits is taken, what does not is said, and a stopped run keeps to it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import pinxit
from pinxit.data.settings import DataSettings
from pinxit.errors import DataError
from pinxit.files import sha256
from pinxit.objectives.settings import GANSettings, RestorationSettings
from pinxit.tensors import read_tensors
from pinxit.training import train as train_module
from pinxit.training.run import STATE, Run
from pinxit.training.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("no_report")

SETTINGS = RestorationSettings(channels=4, levels=1, blocks=1)


@pytest.fixture
def learn(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), np.uint8)
    np.savez(tmp_path / "set.npz", images=pixels)

    def train(name: str, settings: RestorationSettings = SETTINGS, steps: int = 2, **how: object) -> Run:
        training = TrainingSettings(steps=steps, batch_size=2, threads=1)
        return pinxit.train(settings, tmp_path / "set.npz", tmp_path / name, training=training, **how)

    return partial(train)


def test_training_begins_with_the_weights_and_the_recipe_names_them(learn) -> None:
    first = learn("first", steps=5)
    for start in (first.folder, first.weights):
        later = learn(f"later-{start.is_dir()}", steps=0, start=start)
        begun = read_tensors(later.weights)
        assert all(torch.equal(value, begun[name]) for name, value in read_tensors(first.weights).items())
        assert later.recipe.start == sha256(first.weights)
    assert first.recipe.start is None


def test_training_goes_on_from_an_earlier_checkpoint_by_the_same_recipe(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8)
    np.savez(tmp_path / "set.npz", images=pixels)

    def learn(name: str, **how: Any) -> Run:
        training = TrainingSettings(steps=2, batch_size=2, threads=1)
        return pinxit.train(GANSettings(channels=4), tmp_path / "set.npz", tmp_path / name, training=training, **how)

    first = learn("first", recipe="digits")
    (state,) = first.checkpoints.glob(f"*/{STATE}")
    later = learn("later", start=state)
    assert later.recipe.chosen is not None
    assert (later.recipe.chosen.recipe, later.recipe.start) == ("digits", sha256(state))
    begun = read_tensors(later.checkpoints / "00000000" / STATE)
    assert all(torch.equal(value, begun[name]) for name, value in read_tensors(state).items() if "networks." in name)


def test_what_does_not_fit_starts_anew_and_is_counted(learn, capsys: pytest.CaptureFixture[str]) -> None:
    first = learn("first", steps=3)
    capsys.readouterr()
    other = learn("other", SETTINGS.changed(told=0.5), steps=0, start=first.folder)
    assert "1 tensors do not fit" in capsys.readouterr().err
    old, new = read_tensors(first.weights), read_tensors(other.weights)
    assert [name for name in new if not torch.equal(old[name], new[name])] == ["restorer.first.weight"]
    save_file({"x": torch.zeros(1)}, first.folder / "x.safetensors")
    with pytest.raises(DataError, match="none of 1 tensors"):
        learn("none", start=first.folder / "x.safetensors")
    with pytest.raises(DataError, match="no weights found"):
        learn("gone", start=first.folder / "gone")
    assert not (first.folder.parent / "gone").exists()


def test_a_run_that_was_stopped_goes_on_from_them(learn, monkeypatch: pytest.MonkeyPatch) -> None:
    first = learn("first", steps=3)
    whole = learn("whole", steps=4, start=first.folder)
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_loop", lambda session, received: None)
        stopped = learn("stopped", steps=4, start=first.folder)
    pinxit.resume(stopped.folder)
    assert stopped.weights.read_bytes() == whole.weights.read_bytes()


def test_one_that_was_stopped_before_it_took_them_is_refused(learn, monkeypatch: pytest.MonkeyPatch) -> None:
    first = learn("first", steps=3)
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_fit", lambda *arguments, **values: None)
        stopped = learn("stopped", start=first.folder)
    with pytest.raises(DataError, match="--from"):
        pinxit.resume(stopped.folder)


def test_what_the_user_leaves_open_is_as_the_objective_has_it(learn) -> None:
    assert learn("patches").recipe.data.fit == "patch"
    asked = learn("asked", data=DataSettings(size=16, flip=False)).recipe.data
    assert (asked.fit, asked.size, asked.flip, asked.turn) == ("patch", 16, False, True)
    assert learn("crop", data=DataSettings(fit="crop")).recipe.data.fit == "crop"
