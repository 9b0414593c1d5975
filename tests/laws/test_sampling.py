"""Laws of sampling: a picture is a function of its seed, whatever else is drawn and however."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from scipy.stats import multivariate_normal

import pinxit
from pinxit.data import open_data
from pinxit.errors import DataError, UsageError
from pinxit.images.convert import to_uint8
from pinxit.latents import directions, sampling, styles
from pinxit.latents.choosing import Choice
from pinxit.latents.sampling import GenerativeModel, load, named, slerp
from pinxit.latents.strategies import STRATEGIES
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.mixture import Mixture

pytestmark = pytest.mark.usefixtures("no_report")

NETWORKS = ["dcgan", "residual", "plain", "dense", "style"]
SMALL = {"channels": 4, "latent": 6}
CASES = {
    network: pinxit.GANSettings(network=network, conditional=network == "dcgan", **SMALL) for network in NETWORKS
} | {
    "vae": pinxit.VAESettings(network="dense", **SMALL),
    "cvae": pinxit.VAESettings(conditional=True, **SMALL),
    "vampprior": pinxit.VAESettings(network="dense", pseudo_inputs=5, **SMALL),
    "rae": pinxit.VAESettings(network="dense", penalty="l2", **SMALL),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each case, forty steps long."""
    place = tmp_path_factory.mktemp("runs")
    images = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3), np.uint8)
    np.savez(place / "pictures.npz", images=images, labels=np.arange(12) % 3)
    training = pinxit.TrainingSettings(steps=40, batch_size=4, threads=1)
    for name, settings in CASES.items():
        pinxit.train(settings, place / "pictures.npz", place / name, training=training)
    return {name: place / name for name in CASES}


@pytest.fixture(params=CASES)
def model(request: pytest.FixtureRequest, runs: dict[str, Path]) -> GenerativeModel:
    return load(runs[request.param])


def test_a_picture_depends_on_its_seed_alone(model: GenerativeModel) -> None:
    images, _ = model.sample(70, seed=3)
    for start, count in ((0, 1), (5, 2), (17, 1), (63, 3), (69, 1)):
        alone, _ = model.sample(count, seed=3 + start)
        expected = images[start : start + count]
        if not model.classes:  # with classes the class depends on the place in the row
            assert np.array_equal(alone, expected), (start, count)
    assert len(np.unique(images.reshape(70, -1), axis=0)) == 70


def test_a_conditional_picture_depends_on_its_seed_and_class_alone(runs: dict[str, Path]) -> None:
    model = load(runs["dcgan"])
    images, labels = model.sample(66, seed=1, label="2")
    assert labels.tolist() == [2] * 66
    assert np.array_equal(model.sample(1, seed=66, label="2")[0][0], images[65])
    assert not np.array_equal(model.sample(1, seed=66, label="1")[0][0], images[65])
    assert model.sample(5)[1].tolist() == [0, 1, 2, 0, 1]


def test_samples_are_eight_bit_pictures_of_the_runs_size(model: GenerativeModel) -> None:
    images, _ = model.sample(3)
    assert images.shape == (3, 20, 20, 3)
    assert images.dtype == np.uint8


def test_latents_are_normal_and_truncation_cuts_their_tails(model: GenerativeModel) -> None:
    model = replace(model, samplers={"prior": Mixture.normal(6)}, sampler="prior")
    free, cut = model.latents(4000), model.latents(4000, truncation=0.5)
    assert free.mean().abs() < 0.03
    assert free.std() == pytest.approx(1, abs=0.03)
    assert free.abs().max() > 3
    assert cut.abs().max() <= 0.5
    assert cut.std() == pytest.approx(0.2815, abs=0.01)  # of a standard normal between -0.5 and 0.5


def test_styles_are_truncated_towards_the_mean_of_their_class(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left of how pictures of a class differ near 0, all of it at 1, and less the less is kept."""
    monkeypatch.setattr(styles, "POOL", 100)
    plain = load(runs["style"])
    classed = replace(plain, objective=plain.objective.settings.changed(conditional=True).build(PictureShape(20, 3, 3)))
    classed.objective.networks.eval()
    assert np.array_equal(plain.sample(9, truncation=1.0)[0], plain.sample(9)[0])
    for model in (plain, classed):
        some = [model.sample(30, 5, truncation=share)[0] for share in (1e-4, 0.5, 1)]
        spread = [images.reshape(-1, 3, 1200).std(0).mean() for images in some]
        assert spread[0] < 0.1
        assert spread == sorted(spread)
    mean = plain.sample(1, truncation=1e-4)[0]
    with torch.no_grad():
        generator = plain.objective.networks["generator"]
        expected = to_uint8(generator.pictures_of(generator.styles(plain.latents(100)).mean(0, keepdim=True)))
    assert np.abs(mean.astype(int) - expected).max() <= 1
    assert np.array_equal(plain.interpolate(1, 3, truncation=0.5)[0, 0], plain.sample(1, truncation=0.5)[0][0])
    alone = plain.sample(1, 7, truncation=0.5)[0][0]
    assert np.array_equal(plain.sample(70, truncation=0.5)[0][7], alone)
    with pytest.raises(UsageError, match="so at most 1"):
        plain.sample(1, truncation=2)


def test_the_least_number_one_can_draw_is_cut_to_a_finite_latent(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling.draws, "uniform", lambda keys, count: np.zeros((len(keys), count), np.float32))
    assert load(runs["dense"]).latents(2, truncation=50).isfinite().all()


def test_a_way_goes_from_picture_to_picture(model: GenerativeModel) -> None:
    ways = model.interpolate(2, 5, seed=4)
    ends = model.generate(model.latents(3, seed=4, labels=model.labels(3)), model.labels(3))
    assert ways.shape == (2, 5, 20, 20, 3)
    assert np.array_equal(ways[0, 0], ends[0])
    if not model.classes:
        assert np.array_equal(ways[0, -1], ways[1, 0])
        assert np.array_equal(ways[1, -1], ends[2])
    steps = np.abs(np.diff(ways.astype(int), axis=1)).mean(axis=(2, 3, 4))
    assert steps.max() < np.abs(ways[:, 0].astype(int) - ways[:, -1]).mean(axis=(1, 2, 3)).max()


SAMPLERS = [
    ("vae", "prior"),
    ("cvae", "gmm"),
    ("vae", "class-gaussian"),
    ("cvae", "class-gaussian"),
    ("vampprior", "prior"),
    ("rae", "gmm"),
]


@pytest.mark.parametrize(("name", "sampler"), SAMPLERS)
def test_with_every_sampler_a_picture_depends_on_its_seed_and_class_alone(
    runs: dict[str, Path], name: str, sampler: str
) -> None:
    model = load(runs[name]).using(sampler)
    label = "2" if model.classes else None
    images, _ = model.sample(70, seed=3, label=label)
    for start in (0, 5, 64, 69):
        assert np.array_equal(model.sample(1, seed=3 + start, label=label)[0][0], images[start])
    assert len(np.unique(images.reshape(70, -1), axis=0)) == 70
    if label:
        assert not np.array_equal(model.sample(1, seed=3, label="1")[0][0], images[0])


CHOICES = [
    ("dense", "prior", "discriminator"),
    ("dcgan", "prior", "discriminator"),
    ("dcgan", "prior", "density"),
    ("vae", "gmm", "density"),
    ("cvae", "class-gaussian", "density"),
    ("vampprior", "prior", "density"),
]


@pytest.mark.parametrize(("name", "sampler", "strategy"), CHOICES)
def test_a_chosen_picture_depends_on_its_seed_and_class_alone_and_is_a_better_one(
    runs: dict[str, Path], name: str, sampler: str, strategy: str
) -> None:
    plain = load(runs[name]).using(sampler)
    model = plain.choosing(strategy, 0.2, runs[name])
    label = "2" if plain.classes else None
    labels = model.labels(70, label)
    chosen = model.latents(70, seed=3, labels=labels)
    for start in (0, 5, 69):
        alone = model.latents(1, seed=3 + start, labels=model.labels(1, label))
        assert torch.equal(alone[0], chosen[start])
    value = model.choice.value
    first = value(plain.latents(500, seed=3, labels=model.labels(500, label)), model.labels(500, label))
    assert value(chosen, labels).mean() > first.quantile(0.55)
    if strategy == "density":  # none of seventy pictures needs all its candidates
        assert value(chosen, labels).min() > first.quantile(0.7)


def test_a_choice_that_accepts_all_changes_nothing_and_one_that_accepts_none_takes_the_best(
    runs: dict[str, Path],
) -> None:
    model = load(runs["dense"])
    candidates = torch.stack([model._proposed(range(4), attempt, None) for attempt in range(50)])
    for odds, expected in ((1.0, candidates[0]), (0.0, candidates[candidates[:, :, 0].argmax(0), torch.arange(4)])):
        row = replace(STRATEGIES["density"], odds=lambda values, cut, top, odds=odds: torch.full_like(values, odds))
        choice = Choice(row, 0.5, lambda latent, label: latent[:, 0])
        assert torch.equal(replace(model, choice=choice).latents(4), expected)


def test_the_odds_are_those_of_exact_rejection_sampling(rng: np.random.Generator) -> None:
    """Latents of N(0, 1), scores of the log-density ratio to N(1, 0.5^2): what is kept is distributed like the latter.

    With the cut at log-odds of 0 nothing is shifted: then exp(score - top) is the probability.
    """
    x = torch.from_numpy(rng.normal(size=200_000))
    ratio = x.square() / 2 - 2 * (x - 1).square()
    top = ratio.new_full((1,), 2 / 3)  # the largest, at x = 4 / 3
    odds = STRATEGIES["discriminator"].odds(ratio, top - math.log(2), top)
    assert torch.allclose(odds, (ratio - top).exp(), atol=1e-5)
    kept = x[torch.from_numpy(rng.random(len(x))) < odds]
    assert kept.mean() == pytest.approx(1, abs=0.01)
    assert kept.std() == pytest.approx(0.5, abs=0.01)


def test_the_density_of_a_mixture_is_that_of_scipy(rng: np.random.Generator) -> None:
    weights, means = np.array([0.3, 0.7]), rng.normal(size=(2, 3))
    full = np.tril(rng.normal(size=(2, 3, 3)), -1) + np.eye(3) * rng.uniform(0.5, 2, (2, 1, 3))
    x = rng.normal(size=(5, 3))
    diagonal = np.abs(full.diagonal(axis1=1, axis2=2))
    forms = (full, full @ full.swapaxes(1, 2)), (diagonal, [np.diag(one) for one in diagonal**2])
    for factors, covariances in forms:
        own = Mixture(*map(torch.from_numpy, (weights, means, factors)))
        each = np.stack([multivariate_normal(m, c).logpdf(x) for m, c in zip(means, covariances, strict=True)], 1)
        assert np.allclose(own.log_density(torch.from_numpy(x)), np.log(np.exp(each) @ weights))
        picked = own.log_density(torch.from_numpy(x), torch.tensor([0, 1, 1, 0, 1]))
        assert np.allclose(picked, each[range(5), [0, 1, 1, 0, 1]])


def test_a_strategy_that_cannot_judge_says_why(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a run of 'vae' has none; --strategy density works without"):
        load(runs["vae"]).choosing("discriminator", 0.5, runs["vae"])
    folder = tmp_path / "copy"
    shutil.copytree(runs["dense"], folder)
    recipe = (folder / "recipe.json").read_text()
    refused = {
        "loss": ("hinge", "no log-odds"), "packing": (2, "packs of 2"), "minibatch": ("deviation", "of a batch"),
        "discriminator": ("projected", "places of a picture"),
    }  # fmt: skip
    for field, (value, why) in refused.items():
        document = json.loads(recipe)
        document["settings"][field] = value
        (folder / "recipe.json").write_text(json.dumps(document))
        with pytest.raises(UsageError, match=f"{why}.*--strategy density works without"):
            load(runs["dense"]).choosing("discriminator", 0.5, folder)
    (folder / "recipe.json").write_text(recipe)
    for state in folder.glob("checkpoints/*/state.safetensors"):
        state.write_bytes(b"damaged")
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match="has no good checkpoint"):
        load(folder).choosing("discriminator", 0.5, folder)
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(UsageError, match="--keep needs --strategy"):
        pinxit.sample(folder, keep=0.2)


def test_the_usual_sampler_is_the_sensible_one_and_others_are_kept_in_the_run(runs: dict[str, Path]) -> None:
    assert {name: load(folder).sampler for name, folder in runs.items() if name not in NETWORKS} == {
        "vae": "gmm", "cvae": "class-gaussian", "vampprior": "prior", "rae": "gmm",
    }  # fmt: skip
    assert set(load(runs["vae"]).samplers) == {"prior", "gmm", "class-gaussian"}
    assert set(load(runs["dense"]).samplers) == {"prior"}
    assert load(runs["vae"]).classes == ()
    assert load(runs["vae"]).using("class-gaussian").classes == ("0", "1", "2")
    assert len(load(runs["vampprior"]).samplers["prior"].means) == 5
    before = (runs["vae"] / "samplers.safetensors").read_bytes()
    (runs["vae"] / "samplers.safetensors").unlink()
    pinxit.resume(runs["vae"])
    assert (runs["vae"] / "samplers.safetensors").read_bytes() == before


def test_a_fitted_mixture_has_the_codes_moments(runs: dict[str, Path]) -> None:
    model = load(runs["vae"])
    pictures = open_data(str(runs["vae"].parent / "pictures.npz"), model.recipe.data.holdout).train
    codes = model.encode(pictures.tensor(20))
    found = model.samplers["gmm"]
    assert torch.allclose(found.weights @ found.means, codes.mean(0), atol=0.15)
    by_class = model.samplers["class-gaussian"].means
    own = torch.stack([codes[torch.from_numpy(pictures.labels == label)].mean(0) for label in range(3)])
    assert torch.allclose(by_class - codes.mean(0), (own - codes.mean(0)) * 0.8, atol=0.15)


def test_codes_and_pictures_go_both_ways(runs: dict[str, Path]) -> None:
    model = load(runs["rae"])
    image = torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    codes = model.encode(image)
    assert codes.shape == (3, 6)
    assert model.generate(codes).shape == (3, 20, 20, 3)
    with pytest.raises(UsageError, match="has no encoder"):
        load(runs["dense"]).encode(image)


def test_an_unfitted_or_damaged_sampler_is_one_line(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="--sampler gmm: this run does not have it"):
        load(runs["dense"]).using("gmm")
    with pytest.raises(UsageError, match="did you mean 'gmm'"):
        load(runs["vae"]).using("gmn")
    for name in ("recipe.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((runs["rae"] / name).read_bytes())
    assert load(tmp_path).sampler == "prior"
    assert "'gmm' is not fitted" in capsys.readouterr().err
    good = load_file(runs["rae"] / "samplers.safetensors")
    too_many = {f"class-gaussian.{part}": good[f"gmm.{part}"].clone() for part in ("weights", "means", "factors")}
    hostile = [
        b"garbage",
        (runs["rae"] / "weights.safetensors").read_bytes(),
        save({name: value for name, value in good.items() if name != "gmm.weights"}),
        save(good | {"gmm.means": torch.zeros(10, 7)}),
        save(good | {"gmm.weights": good["gmm.weights"] * torch.nan}),
        save(good | {"gmm.more": torch.zeros(1)}),
        save(good | {"gmm.weights": torch.tensor(1.0)}),
        save(good | {"class-gaussian.weights": torch.zeros(0)}),
        save(good | too_many),
        save({"gmm.weights": torch.zeros(0), "gmm.means": torch.zeros(0, 6), "gmm.factors": torch.zeros(0, 6, 6)}),
    ]
    for content in hostile:
        (tmp_path / "samplers.safetensors").write_bytes(content)
        with pytest.raises(DataError, match=r"samplers\.safetensors"):
            load(tmp_path)


def test_slerp_keeps_the_norm_and_reaches_both_ends() -> None:
    rng = torch.Generator().manual_seed(0)
    start, end = (torch.nn.functional.normalize(torch.randn(5, 8, generator=rng), dim=1) * 3 for _ in range(2))
    for place in torch.linspace(0, 1, 7):
        assert torch.allclose(slerp(start, end, place).norm(dim=1), torch.full((5,), 3.0), atol=1e-5)
    assert torch.allclose(slerp(start, end, torch.tensor(0.0)), start, atol=1e-6)
    assert torch.allclose(slerp(start, end, torch.tensor(1.0)), end, atol=1e-6)
    assert torch.allclose(slerp(start, start, torch.tensor(0.3)), start, atol=1e-5)


def test_seeds_may_be_any(model: GenerativeModel) -> None:
    images, _ = model.sample(8, seed=2)
    some, _ = model.seeded((2, 9, 4)).sample(3)
    if not model.classes:  # with classes the class depends on the place in the row
        assert np.array_equal(some, images[[0, 7, 2]])
    assert np.array_equal(model.seeded((5, 6, 7)).interpolate(2, 3), model.interpolate(2, 3, seed=5))


def test_a_move_shifts_every_latent_and_none_leaves_the_pictures(model: GenerativeModel) -> None:
    length = directions.spread(model.samplers[model.sampler], model.directions()[1])
    there = model.moving("2=-1.5").latents(4)
    torch.testing.assert_close(model.latents(4) - there, 1.5 * length * model.directions()[1].expand(4, -1))
    assert np.array_equal(model.moving("1=0").sample(3)[0], model.sample(3)[0])
    for wrong in ("1", "0=1", "7=1", "1=1,1=2", "1=nan", ""):
        with pytest.raises(UsageError, match="--move"):
            model.moving(wrong)


def test_the_directions_of_a_linear_generator_are_its_singular_vectors() -> None:
    """Independent of the estimate: numpy's singular values of the matrix that makes the pictures."""
    weights = torch.linalg.qr(torch.randn(12, 4, generator=torch.Generator().manual_seed(0))).Q * torch.tensor(
        [8.0, 4, 2, 1]
    )
    turned = weights @ torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1))).Q.T

    class Linear:
        def sample(self, latent: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
            return (latent @ turned.T).reshape(-1, 3, 2, 2)

    found = directions.directions(Linear(), torch.randn(1024, 4))
    expected = np.linalg.svd(turned.numpy())[2]
    assert np.abs((found.numpy() * expected).sum(1)).min() > 0.99
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()


def test_what_cannot_be_drawn_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no classes"):
        load(runs["dense"]).sample(1, label="2")
    with pytest.raises(UsageError, match="ask for 1 or more"):
        load(runs["dense"]).sample(0)
    with pytest.raises(UsageError, match="no such class"):
        load(runs["dcgan"]).sample(1, label="7")
    with pytest.raises(DataError, match="is not a run"):
        load(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "garbage", "other network", "flipped length"])
def test_damaged_weights_are_one_line(runs: dict[str, Path], tmp_path: Path, damage: str) -> None:
    (tmp_path / "recipe.json").write_bytes((runs["dense"] / "recipe.json").read_bytes())
    good = (runs["dense"] / "weights.safetensors").read_bytes()
    content = {
        "empty": b"",
        "garbage": b"\x80\x04garbage" * 100,
        "other network": (runs["residual"] / "weights.safetensors").read_bytes(),
        "flipped length": b"\xff" * 8 + good[8:],
    }[damage]
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert "weights.safetensors" in str(caught.value)


def test_labels_are_kept_as_the_names_of_their_classes() -> None:
    labels = np.array([1, 0, 1])
    assert named(labels, ("1", "2")).tolist() == [2, 1, 2]
    assert named(labels, ("cats", "dogs")).tolist() == ["dogs", "cats", "dogs"]
    assert named(labels, ("01", "1")).tolist() == ["1", "01", "1"]
