"""`pinxit map` and `pinxit codes`: where codes are, and what each of their numbers does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pinxit.cli import run
from pinxit.images import load_image
from pinxit.latents import coding
from pinxit.latents.sampling import GenerativeModel, load
from pinxit.training import train as train_module

KINDS = {"vae": [], "ladder": ["--levels", "2"], "rae": ["--penalty", "l2"], "vampprior": ["--pseudo-inputs", "3"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of forty steps on cards of any grey."""
    place = tmp_path_factory.mktemp("runs")
    levels = np.random.default_rng(0).uniform(20, 235, (40, 1, 1))
    np.savez(place / "cards.npz", images=np.broadcast_to(levels, (40, 16, 16)).astype(np.uint8))
    words = "--network dense --channels 4 --latent 4 --batch-size 16 --threads 1 --steps 40 --average 0.5"
    for name, more in KINDS.items():
        words_of = ["train", "vae", str(place / "cards.npz"), "--learning-rate", "1e-2", "--out", str(place / name)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train_module, "_report", lambda run: None)  # takes most of the time
            assert run([*words_of, *words.split(), *more]) == 0
    return place


def seen(runs: Path, name: str) -> tuple[GenerativeModel, coding.ModelPictures]:
    model = load(runs / name)
    return model, coding.model_pictures(model, str(runs / "cards.npz"))


def test_the_principal_plane_is_the_one_of_largest_variance() -> None:
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.normal(size=(500, 3)) * [1, 5, 2] @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + 7)
    place, share = coding.principal_plane(codes)
    values = np.linalg.eigvalsh(np.cov(codes.numpy().T, bias=True))[::-1]
    assert place.var(0, correction=0).tolist() == pytest.approx(values[:2])
    assert place.mean(0).tolist() == pytest.approx([0, 0], abs=1e-9)
    assert share == pytest.approx(values[:2].sum() / values.sum())
    mirrored = coding.principal_plane(codes.flip(0))[0].flip(0)
    assert torch.allclose(mirrored, place)
    assert coding.principal_plane(torch.tensor([[1.0], [3.0]]))[0][:, 1].tolist() == [0, 0]
    along = torch.linspace(-1, 1, 9)[:, None] * torch.tensor([0.1, -2.0, 0.3])
    assert (coding.principal_plane(along)[0][:, 0].diff() < 0).all()  # the largest number of the axis is positive


def test_pictures_stand_where_their_codes_are(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pictures = seen(runs, "vae")
    places = torch.tensor([[-1.0, -0.9], [1.0, 0.45], [0.0, 0.1], [0.9, 0.45]])
    some = coding.ModelPictures(pictures.names[:4], pictures.images[:4], None)
    monkeypatch.setattr(coding, "principal_plane", lambda codes: (places, 1.0))
    sheet, _ = coding.latent_map(model, some, 4)
    grey = sheet[:, 0, 0, 0].reshape(4, 4)
    own = coding.to_uint8(some.images)[:, 0, 0, 0]
    assert grey[3, 0] == own[0]
    assert grey[1, 3] == own[3]  # nearer to the middle of its cell than the one that stands on the edge
    assert grey[1, 2] == own[2]
    assert (grey == 255).sum() == 13
    monkeypatch.undo()
    one = coding.ModelPictures(pictures.names[:1], pictures.images[:1], None)
    sheet, share = coding.latent_map(model, one, 3)
    assert share == 0
    assert [cell.min() < 255 for cell in sheet] == [number == 4 for number in range(9)]  # in the middle


@pytest.mark.parametrize("name", KINDS)
def test_codes_are_read_number_by_number(runs: Path, name: str) -> None:
    model, pictures = seen(runs, name)
    told = coding.read_codes(model, pictures)
    mean, log_variance = model.autoencoder.posterior(pictures.images, None)
    numbers = {entry["number"]: entry for entry in told["numbers"]}
    assert sorted(numbers) == [0, 1, 2, 3]
    varies = mean.var(0, correction=0)
    assert [numbers[n]["varies"] for n in range(4)] == pytest.approx(varies.tolist(), rel=1e-3, abs=1e-6)
    assert told["active"] == (varies > 0.01).sum()
    if name == "rae":
        assert told["rate"] is None
        assert all(entry["kl"] is None for entry in told["numbers"])
        shown = [entry["varies"] for entry in told["numbers"]]
    else:
        posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
        kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).mean(0)
        assert [numbers[n]["kl"] for n in range(4)] == pytest.approx(kl.tolist(), rel=1e-3, abs=1e-5)
        shown = [entry["kl"] for entry in told["numbers"]]
        if name == "vae":
            assert told["rate"] == pytest.approx(kl.sum().item(), rel=1e-3)
    assert shown == sorted(shown, reverse=True)
    if name == "rae":
        drawn = model.autoencoder.elbo(model.autoencoder.reconstruct(next(iter(pictures.alone("")))))
        one = coding.ModelPictures(pictures.names[:1], pictures.images[:1], None)
        assert coding.read_codes(model, one)["distortion"] == pytest.approx(-drawn.item(), rel=1e-4)


def test_the_commands_write_and_tell(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(runs / "cards.npz")
    words = ["map", str(runs / "vae"), source, "--columns", "3"]
    assert run([*words, "-o", str(tmp_path / "map.png")]) == 0
    assert load_image(tmp_path / "map.png").shape == (3 * 18 + 2, 3 * 18 + 2, 1)
    assert "% of the codes' variance" in capsys.readouterr().err
    assert run(words) == 0
    assert (runs / "vae" / "map.png").exists()
    capsys.readouterr()
    assert run(["codes", str(runs / "vae"), source, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 40
    assert run(["codes", str(runs / "rae"), source]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 6
    assert shown[-1].endswith("of 4 numbers active")
    assert run(["map", str(runs / "vae"), source, "-n", "0"]) == 2


def test_collapsed_codes_are_said_to_be(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "same.npz", images=np.full((3, 16, 16), 99, np.uint8))
    assert run(["codes", str(runs / "vae"), str(tmp_path / "same.npz")]) == 0
    assert "have collapsed" in capsys.readouterr().out
