"""The advisor: trials are a function of the recipe and the pictures, bounded, and what they choose can be pasted."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from pinxit.cli import run as pinxit_run
from pinxit.data import open_data
from pinxit.data.settings import DataSettings
from pinxit.errors import UsageError
from pinxit.objectives.settings import GANSettings, VAESettings
from pinxit.training import advise, plan
from pinxit.training.recipes import Recipe
from pinxit.training.run import Run
from pinxit.training.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("no_report")

TINY = {"network": "dense", "channels": 2, "latent": 4}
HOW = {"steps": 3, "batch_size": 8, "threads": 1, "device": "cpu", "precision": "float32"}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(advise, "LOOKS", 1)
    monkeypatch.setattr(advise, "LAST", 1)
    np.savez(tmp_path / "pictures.npz", images=np.random.default_rng(0).integers(0, 256, (32, 16, 16), np.uint8))
    return str(tmp_path / "pictures.npz")


def planned(pictures: str, **training: object) -> Recipe:
    asked = TrainingSettings(**HOW | training)
    return plan.plan(GANSettings(**TINY), pictures, open_data(pictures), DataSettings(), asked)


def test_advice_is_the_same_again_and_can_be_pasted(
    tmp_path: Path, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, images = planned(pictures), open_data(pictures)
    found = [advise.advise(recipe, images, {"r1"}, most=6) for _ in range(2)]
    trials = [[(trial.change, trial.unlike, trial.ill) for trial in advice.trials] for advice in found]
    assert trials[0] == trials[1]
    assert found[0].change == found[1].change
    tried = [set(trial.change) for trial in found[0].trials]
    assert tried == [set(), *[{"learning_rate"}] * 2, *[{"augment_discriminator"}] * 2, {"batch_size"}]
    assert len(found[0].reasons) == 3

    monkeypatch.setattr(advise.Trial, "rank", property(lambda trial: (False, -len(str(trial.change)))))
    monkeypatch.setattr(advise, "BETTER", -1e9)
    [*sentences, command] = (advice := advise.advise(recipe, images, set(), most=5)).lines()
    assert advice.change.keys() == {"learning_rate", "r1"}
    assert "GB of memory" in sentences[-1]
    assert advice.document()["command"] == command
    words = shlex.split(command)
    assert words[0] == "pinxit"
    out = tmp_path / "pasted"
    assert pinxit_run([*words[1:], "--out", str(out), "--threads", "1", "--device", "cpu"]) == 0
    pasted = Run.open(out).recipe
    assert pasted.settings == advice.recipe.settings
    assert pasted.training.batch_size == advice.recipe.training.batch_size
    assert "5 short trials then chose --learning-rate" in advice.recipe.chosen.because


def test_auto_trains_by_the_advice_and_keeps_what_is_given(
    tmp_path: Path, pictures: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "gan", pictures, "--network", "dense", "--channels", "2", "--latent", "4", "--learning-rate",
             "1e-3", "--r1", "1", "--batch-size", "8", "--steps", "3", "--augment-discriminator", "cutout",
             "--threads", "1", "--device", "cpu", "--precision", "float32"]  # fmt: skip
    assert pinxit_run([*words, "--auto", "--out", str(tmp_path / "run")]) == 0
    assert Run.open(tmp_path / "run").recipe.settings == GANSettings(
        **TINY, learning_rate=1e-3, r1=1.0, augment_discriminator="cutout"
    )
    assert "trial 1, as it is: " in capsys.readouterr().err
    given = {"learning_rate", "r1", "augment_discriminator", "batch_size"}
    recipe, images = planned(pictures), open_data(pictures)
    begun = [advise.advise(recipe, images, given, start=start).trials[0].unlike for start in (None, tmp_path / "run")]
    assert begun[0] != begun[1], "trials start from the weights that training starts from"
    np.savez(tmp_path / "one.npz", images=np.zeros((1, 16, 16), np.uint8))
    assert pinxit_run([*words[:2], str(tmp_path / "one.npz"), *words[3:], "--advise"]) == 0
    assert capsys.readouterr().out.startswith("Nothing is proposed: trials compare samples with 2 pictures or more.\n")
    assert pinxit_run([*words, "--advise"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("pinxit train gan ")


def test_trials_are_bounded(pictures: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, images = planned(pictures), open_data(pictures)
    monkeypatch.setattr(advise, "SECONDS", 0.0)
    advice = advise.advise(recipe, images, set())
    assert advice.reasons == ["Nothing is proposed: trials would take longer than a tenth of the training."]
    assert advice.recipe == recipe
    settings = VAESettings(channels=2)
    other = recipe.changed(objective="vae", settings=settings.model_dump(exclude_unset=True))
    with pytest.raises(UsageError, match="pinxit train gan"):
        advise.advise(other, images, set())
