"""The autoencoder from the command line: train, sample by any sampler, reconstruct, traverse, look for the strange."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pinxit.cli import run
from pinxit.errors import DataError
from pinxit.images import load_image
from pinxit.latents import coding
from pinxit.latents.sampling import load
from pinxit.training import train as train_module

pytestmark = pytest.mark.usefixtures("no_report")

ROOT = Path(__file__).parents[2]
TINY = [
    "--network",
    "dense",
    "--channels",
    "8",
    "--latent",
    "4",
    "--batch-size",
    "16",
    "--threads",
    "1",
    "--precision",
    "float32",
]


def pictures(path: Path, count: int = 60) -> str:
    """Grey cards of three brightnesses, a class each, with a little noise."""
    rng = np.random.default_rng(0)
    levels = np.array([60, 120, 190])[np.arange(count) % 3]
    images = levels[:, None, None] + rng.integers(-10, 10, (count, 16, 16))
    np.savez(path, images=images.astype(np.uint8), labels=np.arange(count) % 3)
    return str(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A VAE, a conditional one and a GAN of the cards."""
    place = tmp_path_factory.mktemp("runs")
    source = pictures(place / "cards.npz")
    for name, words in {"vae": ["vae"], "cvae": ["vae", "--conditional"], "gan": ["gan"]}.items():
        steps = "2" if name == "gan" else "150"
        more = ["--learning-rate", "5e-3"] if name != "gan" else []
        words = [
            "train",
            *words,
            source,
            "--steps",
            steps,
            "--average",
            "0.9",
            "--out",
            str(place / name),
            *TINY,
            *more,
        ]
        assert run(words) == 0
    return {name: place / name for name in ("vae", "cvae", "gan")}


def test_a_sampler_is_asked_for_by_name_and_told(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", str(runs["vae"]), "-n", "6", "-o"]
    for sampler in ("gmm", "prior", "class-gaussian"):
        assert run([*words, str(tmp_path / f"{sampler}.npz"), "--sampler", sampler]) == 0
        assert f"latents sampled with '{sampler}', one of prior" in capsys.readouterr().err
    assert run([*words, str(tmp_path / "usual.npz")]) == 0
    assert (tmp_path / "usual.npz").read_bytes() == (tmp_path / "gmm.npz").read_bytes()
    assert "labels" not in np.load(tmp_path / "gmm.npz")
    assert np.load(tmp_path / "class-gaussian.npz")["labels"].tolist() == [0, 1, 2, 0, 1, 2]
    assert run([*words, str(tmp_path / "x.npz"), "--sampler", "gmn"]) == 2
    assert "did you mean 'gmm'" in capsys.readouterr().err
    assert run(["sample", str(runs["gan"]), "--sampler", "gmm", "-o", str(tmp_path / "x.npz")]) == 2
    assert run([*words, str(tmp_path / "ways.npz"), "--interpolate", "5"]) == 0
    assert np.load(tmp_path / "ways.npz")["images"].shape == (30, 16, 16, 1)


@pytest.mark.parametrize("name", ["vae", "cvae"])
def test_a_class_asked_for_is_the_class_drawn(runs: dict[str, Path], name: str) -> None:
    model = load(runs[name]).using("class-gaussian")
    brightness = [model.sample(50, label=label)[0].mean() for label in "012"]
    assert brightness == pytest.approx([60, 120, 190], abs=25)


@pytest.mark.parametrize("name", ["vae", "cvae"])
def test_reconstruct_shows_before_and_after(runs: dict[str, Path], name: str, tmp_path: Path) -> None:
    source = str(runs[name].parent / "cards.npz")
    assert run(["reconstruct", str(runs[name]), source, "-n", "5", "-o", str(tmp_path / "sheet.png")]) == 0
    assert load_image(tmp_path / "sheet.png").shape == (2 * 18 + 2, 8 * 18 + 2, 1)
    model = load(runs[name])
    pairs = coding.before_and_after(model, coding.model_pictures(model, source, 5))
    assert pairs.shape == (10, 16, 16, 1)
    assert np.array_equal(pairs[::2, ..., 0], np.load(source)["images"][:5])
    assert np.abs(pairs[::2].astype(float) - pairs[1::2]).mean() < 20
    alone = coding.reconstruct(model, coding.model_pictures(model, source, 1))
    assert np.array_equal(alone[0], pairs[1])
    assert run(["reconstruct", str(runs["vae"]), source]) == 0
    assert (runs["vae"] / "reconstruct.png").exists()


def test_traverse_moves_one_number_a_row_those_that_vary_most_first(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("vae", "cvae", "gan"):
        out = tmp_path / f"{name}.png"
        assert run(["traverse", str(runs[name]), "-n", "3", "--columns", "5", "-o", str(out)]) == 0
        assert load_image(out).shape == (3 * 18 + 2, 5 * 18 + 2, 1)
    ways = coding.traverse(load(runs["vae"]), 4, 5, seed=1).astype(float)
    assert ways.shape == (4, 5, 16, 16, 1)
    moved = np.abs(ways[:, 0] - ways[:, -1]).mean((1, 2, 3))
    assert moved[0] > 20
    assert len(coding.traverse(load(runs["vae"]), 99, 2)) == 4


def test_the_strange_one_has_the_highest_score_and_a_map_of_where(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.load(runs["vae"].parent / "cards.npz")["images"][:4].copy()
    images[2, 4:8, 4:8] = 255
    np.savez(tmp_path / "odd.npz", images=images)
    words = ["anomaly", str(runs["vae"]), str(tmp_path / "odd.npz"), "-o", str(tmp_path / "found")]
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tmp_path / "found" / "anomaly.json").read_text())
    scores = [entry["score"] for entry in document["pictures"]]
    assert scores == sorted(scores, reverse=True)
    first = document["pictures"][0]
    assert first["name"] == "00002"
    assert first["error"] > 1.3 * document["pictures"][1]["error"]
    hot, cooler = (load_image(tmp_path / "found" / entry["sheet"]) for entry in document["pictures"][:2])
    assert hot.shape == (20, 56, 3)
    brightest = [sheet[2:18, 38:54].sum(2).max() for sheet in (hot, cooler)]
    assert brightest[0] == 252 + 254 + 164  # the hottest colour of the map
    assert 0 < brightest[1] < 252 + 254 + 164
    model = load(runs["vae"])
    (one,) = coding.anomalies(model, coding.model_pictures(model, str(tmp_path / "odd.npz"), 1))
    assert one.score == pytest.approx(next(e["score"] for e in document["pictures"] if e["name"] == "00000"), rel=1e-6)
    odd = coding.anomalies(model, coding.model_pictures(model, str(tmp_path / "odd.npz")))[2]
    assert odd.error[4:8, 4:8].mean() > 5 * odd.error.mean() / 2
    assert run([*words, "-y"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("  00002")


def test_what_cannot_be_coded_is_one_line(
    runs: dict[str, Path], photos: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(runs["vae"].parent / "cards.npz")
    assert run(["reconstruct", str(runs["gan"]), source, "-o", str(tmp_path / "x.png")]) == 2
    assert "has no encoder" in capsys.readouterr().err
    assert run(["anomaly", str(runs["gan"]), source, "-o", str(tmp_path / "x")]) == 2
    assert run(["reconstruct", str(runs["vae"]), "no-such-folder", "-o", str(tmp_path / "x.png")]) == 3
    with pytest.raises(DataError, match="each picture's class"):
        coding.model_pictures(load(runs["cvae"]), str(photos(3, mode="L", size=(16, 16), name="grey")))


def test_pictures_of_any_size_and_fewer_colours_are_fitted_to_the_run(
    photos: Callable[..., Path], tmp_path: Path
) -> None:
    source = photos(8, size=(20, 20))
    words = ["train", "vae", str(source), "--size", "16", "--steps", "2", "--out", str(tmp_path / "run"), *TINY]
    assert run(words) == 0
    model = load(tmp_path / "run")
    seen = coding.model_pictures(model, str(photos(2, mode="L", size=(50, 30), name="grey")))
    assert seen.images.shape == (2, 3, 16, 16)
    assert coding.reconstruct(model, seen).shape == (2, 16, 16, 3)


DOCUMENTED = re.findall(r"^\|.*\| `(--.*)` \|$", (ROOT / "docs" / "autoencoders.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("flags", DOCUMENTED)
def test_every_documented_method_trains(
    flags: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "_report", lambda run: None)  # takes most of the time
    source = str(runs["vae"].parent / "cards.npz")
    asked = [*flags.split(), "--steps", "2", "--out", str(tmp_path / "run"), *TINY]
    assert run(["train", "vae", source, *asked]) == 0
    assert load(tmp_path / "run").sample(2)[0].shape == (2, 16, 16, 1)


def test_the_documented_methods_are_found() -> None:
    assert len(DOCUMENTED) == 16
