"""Recipes by data: which is chosen, what it fills in, and that whatever a user gives wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pinxit
from pinxit.cli import run
from pinxit.data import open_data
from pinxit.data.settings import DataSettings
from pinxit.errors import UsageError
from pinxit.nets.meta import without_memory
from pinxit.nets.shapes import PictureShape
from pinxit.training.recipes import FITTING, PLAIN, Chosen, Fitting, Known, Recipe, filled, fitting
from pinxit.training.run import Run
from pinxit.training.settings import TrainingSettings

TINY = {"channels": 2, "latent": 4}
ROW = Fitting(
    "all", lambda known: True, lambda known: "because of a test",
    {"loss": "hinge", "r1": 0.1, "discriminator_norm": "none"}, {"flip": True}, {"average": 0.5, "batch_size": 3},
)  # fmt: skip
SETS = {
    Known(1405, 4, 0.99, 64): "sprites",
    Known(216, 4, 0.04, 64): "photos",
    Known(4999, 3, 0.0, 256): "photos",
    Known(500, 1, 0.0, 28): "few",
    Known(60_000, 1, 0.0, 28): "digits",
    Known(60_000, 1, 0.0, "256x64"): PLAIN,
    Known(60_000, 3, 0.0, 64): PLAIN,
}


def test_a_set_gets_the_first_recipe_that_fits() -> None:
    found = {known: fitting("gan", None, known) for known in SETS}
    assert {known: chosen.recipe for known, chosen in found.items() if chosen} == SETS
    assert str(found[Known(500, 1, 0.0, 28)]) == "recipe few, because 500 pictures are fewer than 5,000"
    assert fitting("vae", None, Known(216, 1, 0.0, 64)) is None
    with pytest.raises(UsageError, match="did you mean 'few'"):
        fitting("gan", Chosen(recipe="fev", because="as asked"), Known(216, 1, 0.0, 64))


def test_every_recipe_is_a_possible_request() -> None:
    for objective, rows in FITTING.items():
        assert list(rows)[-1] == PLAIN
        for row in rows.values():
            settings = filled(pinxit.OBJECTIVES[objective](), row.settings)
            filled(settings.pictures(), row.data), filled(TrainingSettings(), row.training)
            for shape in (PictureShape(28, 1, 2), PictureShape(64, 4, 2), PictureShape("96x64", 3, 2)):
                with without_memory():
                    settings.build(shape)
    assert FITTING["gan"][PLAIN].settings == FITTING["gan"][PLAIN].data == FITTING["gan"][PLAIN].training == {}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_report: None) -> Any:
    """Return a function that trains for no step on grey cards, where one recipe fits everything."""
    monkeypatch.setitem(FITTING, "gan", {"odd": ROW, PLAIN: FITTING["gan"][PLAIN]})
    np.savez(tmp_path / "cards.npz", images=np.full((20, 16, 16), 90, np.uint8))

    def train(*flags: str) -> Recipe:
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        words = ["train", "gan", str(tmp_path / "cards.npz"), "--steps", "0", "--channels", "2", "--latent", "4"]
        assert run([*words, "--threads", "1", *(() if "--out" in flags else ("--out", str(folder))), *flags]) == 0
        return Run.open(Path(flags[-1]) if "--out" in flags else folder).recipe

    return train


def test_a_recipe_fills_in_what_is_not_given(made: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = made()
    assert (
        "recipe odd, because of a test: --loss hinge --r1 0.1 --discriminator-norm none --flip"
        in capsys.readouterr().err
    )
    assert (recipe.chosen.recipe, recipe.chosen.because) == ("odd", "because of a test")
    assert (recipe.settings.loss, recipe.settings.r1, recipe.data.flip) == ("hinge", 0.1, True)
    assert (recipe.training.average, recipe.training.batch_size) == (0.5, 3)

    given = made("--loss", "least-squares", "--no-flip", "--average", "0.9")
    assert (given.settings.loss, given.settings.r1, given.data.flip) == ("least-squares", 0.1, False)
    assert (given.training.average, given.training.batch_size) == (0.9, 3)

    for flags, because in (
        (["--recipe", "plain"], "as asked"),
        (["--network", "dense"], "because odd does not go with --network dense"),
        (["--discriminator-norm", "batch"], "because odd does not go with what was asked for: --r1"),
    ):
        plain = made(*flags)
        assert plain.chosen.recipe == PLAIN
        assert plain.chosen.because.startswith(because)
        assert (plain.settings.loss, plain.data, plain.training.batch_size) == (
            "non-saturating", plain.data.changed(flip=False), 64
        )  # fmt: skip

    by_python = pinxit.train(
        pinxit.GANSettings(**TINY), tmp_path / "cards.npz", tmp_path / "python", DataSettings(),
        TrainingSettings(steps=0, threads=1),
    ).recipe  # fmt: skip
    assert by_python.model_dump_json() == recipe.model_dump_json()
    assert made("--recipe", "odd").changed(chosen=None) == recipe.changed(chosen=None)
    words = ["train", "gan", str(tmp_path / "cards.npz"), "--recipe", "odd", "--discriminator-norm", "batch"]
    assert run([*words, "--out", str(tmp_path / "none")]) == 2
    assert "recipe odd does not go with what was asked for; --recipe plain does: --r1" in capsys.readouterr().err
    assert run([*words[:3], "--network", "dense", "--attention", "8", "--out", str(tmp_path / "none")]) == 2
    assert "recipe" not in capsys.readouterr().err, "no recipe goes with what cannot be"
    assert not (tmp_path / "none").exists()
    for recipe in ("odd", PLAIN):
        made("--recipe", recipe, "--out", str(tmp_path / recipe))
        chosen = made("--from", str(tmp_path / recipe)).chosen
        assert (chosen.recipe, chosen.because) == (recipe, "because the weights to start from were trained by it")
    chosen = made("--from", str(tmp_path / "odd" / "weights.safetensors")).chosen
    assert chosen.recipe == "odd", "its folder is a run"
    (tmp_path / "odd" / "weights.safetensors").rename(tmp_path / "alone.safetensors")
    chosen = made("--from", str(tmp_path / "alone.safetensors")).chosen
    assert str(chosen) == "recipe plain, because the weights to start from were trained without a recipe"
    capsys.readouterr()
    words = ["train", "vae", str(tmp_path / "cards.npz"), "--from", str(tmp_path / PLAIN), "--threads", "1"]
    assert run([*words, "--out", str(tmp_path / "vae")]) == 3
    assert "fits this network" in capsys.readouterr().err, "a recipe of GANs is none of a vae's"


def test_the_share_of_transparent_pictures_is_known(tmp_path: Path) -> None:
    images = np.full((4, 16, 16, 4), 255, np.uint8)
    images[0, 0, 0, 3] = 254
    np.savez(tmp_path / "cards.npz", images=images)
    found = open_data(str(tmp_path / "cards.npz"), 0).train
    assert (found.transparent, found.channels) == (0.25, 4)
