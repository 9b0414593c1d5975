"""Laws of priors over codes: densities are densities, what is drawn was learned, and a run stays what it was."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

import pinxit
from pinxit.data import Batch
from pinxit.errors import DataError, StoppedError, UsageError, UserError
from pinxit.evaluation.evaluate import sampled
from pinxit.evaluation.pictures import identity
from pinxit.files import sha256
from pinxit.latents import coding
from pinxit.latents.sampling import load
from pinxit.nets.flow import Flow
from pinxit.nets.shapes import PictureShape
from pinxit.nets.transformer import CodeTransformer
from pinxit.nets.vectors import Standard
from pinxit.objectives.mixture import Mixture, fit_mixture
from pinxit.objectives.prior import STANDARDISING
from pinxit.objectives.settings import PriorSettings, VAESettings, VQVAESettings
from pinxit.training.run import Run
from pinxit.training.session import Session

pytestmark = pytest.mark.usefixtures("no_report")

SMALL = {"width": 32, "depth": 2}
TRAINING = pinxit.TrainingSettings(steps=20, batch_size=4, threads=1)


def stirred(module: torch.nn.Module, deviation: float = 0.3) -> torch.nn.Module:
    """The module with weights far from where they start."""
    numbers = torch.Generator().manual_seed(0)
    for weight in module.parameters():
        weight.data += deviation * torch.randn(weight.shape, generator=numbers)
    return module.requires_grad_(False)


def flow(dimensions: int, classes: int = 0) -> Flow:
    torch.manual_seed(0)
    return stirred(Flow(dimensions, 32, 3, classes), 0.05)


@pytest.mark.parametrize("dimensions", [2, 3, 5, 8])
@pytest.mark.parametrize("classes", [0, 3])
def test_a_flows_inverse_is_its_inverse_and_its_volume_the_jacobians(dimensions: int, classes: int) -> None:
    network = flow(dimensions, classes)
    code = torch.randn(7, dimensions, generator=torch.Generator().manual_seed(1))
    label = torch.arange(7) % classes if classes else None
    normal, log_volume = network(code, label)
    assert torch.allclose(network.inverse(normal, label), code, atol=1e-5)
    assert ((normal - code).abs().amax(0) > 0.1).all()  # every number changes
    for row in range(7):
        own = None if label is None else label[row : row + 1]
        jacobian = torch.autograd.functional.jacobian(lambda x, own=own: network(x[None], own)[0][0], code[row])
        assert log_volume[row].item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-4)
    if classes:
        assert not torch.allclose(network(code, (label + 1) % classes)[0], normal, atol=1e-2)


def test_a_flows_density_adds_up_to_one() -> None:
    axis = torch.linspace(-12, 12, 301)
    density = flow(2).log_density(torch.cartesian_prod(axis, axis)).exp()
    assert density.sum().item() * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1, abs=0.01)


def test_a_flow_starts_as_what_it_is_given_in_another_order() -> None:
    torch.manual_seed(0)
    code = torch.randn(4, 6)
    normal, log_volume = Flow(6, 32, 2, 0)(code)
    assert torch.allclose(normal.sort(1).values, code.sort(1).values)
    assert not log_volume.any()


def test_units_are_the_codes_moments_and_their_inverse_the_codes() -> None:
    units = Standard(3)
    codes = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.0]) + 2
    for step, part in enumerate(codes.split(100)):
        units.follow(part, 1 / (step + 1))
    assert torch.allclose(units.mean, codes.mean(0), atol=1e-5)
    assert torch.allclose(units.deviation[:2], codes.std(0, correction=0)[:2], rtol=1e-4)
    assert units(codes).isfinite().all()  # a number that never varies
    assert torch.allclose(units.inverse(units(codes)), codes, atol=1e-5)
    assert units.log_volume.item() == pytest.approx(units.deviation.log().sum().item())


class Points:
    """Stands for an autoencoder whose codes are drawn from a given mixture."""

    latent, codebook_size = 2, 0
    networks = torch.nn.ModuleDict()

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def codes(self, batch: Batch) -> torch.Tensor:
        return self.mixture.latents(batch.normal(2, stream="n"), batch.uniform(1, stream="u"))


@pytest.mark.parametrize(("network", "steps", "share"), [("flow", 250, 0.4), ("two-stage", 600, 0.7)])
def test_a_prior_learns_what_no_gaussian_knows(network: str, steps: int, share: float) -> None:
    """Three narrow Gaussians in a plane: of the likelihood that one fitted Gaussian misses only a share is missed."""
    means = torch.tensor([[6.0, 1.0], [0.0, 10.0], [-6.0, 1.0]])
    truth = Mixture(torch.tensor([0.2, 0.3, 0.5]), means, torch.full((3, 2), 0.5))
    torch.manual_seed(0)
    prior = PriorSettings(network=network, width=64, depth=3).build_on(Points(truth), 0)
    optimiser = torch.optim.Adam(prior.networks.parameters(), lr=3e-3, fused=True)
    image = torch.zeros(128, 1, 1, 1)
    for step in range(steps):
        batch = Batch(image=image, seed=0, step=step)
        if step == 0:
            prior.start(batch)
        (term,) = prior.loss(batch, prior.draw(batch)).terms.values()
        optimiser.zero_grad()
        term.backward()
        optimiser.step()
        prior.after_step(batch, {})
    fresh = Batch(image=torch.zeros(2000, 1, 1, 1), seed=1, step=0)
    codes = prior.draw(fresh)
    single = fit_mixture(codes, components=1)
    with torch.no_grad():
        learned = prior.judge(fresh)
        drawn = prior.latents(fresh.normal(prior.normals, stream="b"), fresh.uniform(0, stream="b"))
    full = Mixture(truth.weights, truth.means, truth.factors.diag_embed())
    best = -full.log_joint(codes).logsumexp(1).mean().item()
    gaussian = -single.log_joint(codes).logsumexp(1).mean().item()
    assert best - 0.05 < learned < best + share * (gaussian - best)
    near = torch.cdist(drawn, means).min(1)
    assert (near.values < 2).float().mean() > 0.65
    shares = near.indices.bincount(minlength=3) / len(drawn)
    assert torch.allclose(shares, truth.weights, atol=0.12)
    for found, expected in zip(prior.moments(), (codes.mean(0), codes.std(0)), strict=True):
        assert torch.allclose(found, expected, rtol=0.1, atol=0.3)


def transformer(classes: int = 0) -> CodeTransformer:
    torch.manual_seed(0)
    return stirred(CodeTransformer(5, 6, 32, 2, classes), 0.1)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_transformer_reads_the_codes_before_alone(classes: int) -> None:
    network = transformer(classes)
    codes = torch.tensor([[0, 1, 2, 3, 4, 0]])
    label = torch.tensor([1]) if classes else None
    logits = network(codes, label)
    assert logits.shape == (1, 6, 5)
    for place in range(6):
        other = codes.clone()
        other[0, place] = (codes[0, place] + 1) % 5
        changed = (network(other, label) - logits).abs().amax(2)[0] > 1e-6
        assert changed.tolist() == [later > place for later in range(6)]
    if classes:
        assert ((network(codes, torch.tensor([2])) - logits).abs().amax(2) > 1e-6).all()


def test_a_transformers_probabilities_of_all_maps_add_up_to_one() -> None:
    torch.manual_seed(0)
    network = stirred(CodeTransformer(3, 4, 32, 1, 0), 0.2)
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    log_p = network(every).log_softmax(2).gather(2, every[..., None]).sum((1, 2))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-5)
    drawn = network.sample(torch.rand(20_000, 4, generator=torch.Generator().manual_seed(0)))
    numbers = (drawn * torch.tensor([27, 9, 3, 1])).sum(1)
    assert torch.allclose(numbers.bincount(minlength=81) / 20_000, log_p.exp(), atol=0.012)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_transformer_draws_by_the_inverse_distribution(classes: int) -> None:
    """Step by step with what it keeps, as all at once without."""
    network = transformer(classes)
    uniform = torch.rand(40, 6, generator=torch.Generator().manual_seed(0))
    label = torch.arange(40) % classes if classes else None
    drawn = network.sample(uniform, label)
    edges = network(drawn, label).softmax(2).cumsum(2)
    below = torch.cat([torch.zeros_like(edges[..., :1]), edges], dim=2).gather(2, drawn[..., None])[..., 0]
    above = edges.gather(2, drawn[..., None])[..., 0]
    assert ((below - 1e-5 <= uniform) & (uniform <= above + 1e-5)).all()
    assert (network.sample(torch.zeros(1, 6)) == 0).all()
    assert (network.sample(torch.full((1, 6), 1 - 2**-24)) == 4).all()
    network.logits.bias[0] = -math.inf
    assert (network.sample(torch.zeros(1, 6)) == 1).all()  # never what has no probability


def test_latents_and_pictures_are_computed_in_parts_of_one_size(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = load(runs["transformer"]), []
    prior, sample = model.samplers["transformer"], model.objective.sample
    latents = prior.latents
    monkeypatch.setattr(prior, "latents", lambda *part: seen.append([len(one) for one in part]) or latents(*part))
    monkeypatch.setattr(
        model.objective, "sample", lambda *part: seen.append([len(one) for one in part]) or sample(*part)
    )
    assert len(model.sample(70)[0]) == 70
    assert seen == [[64, 64, 64], [64, 64, 64], [64, 64], [64, 64]]


def shape_of(network: str) -> VAESettings | VQVAESettings:
    if network == "transformer":
        return VQVAESettings(channels=4, codes=16, dimensions=4)
    return VAESettings(network="dense", channels=4, latent=6)


@pytest.mark.parametrize("network", ["flow", "two-stage", "transformer"])
def test_the_autoencoder_stays_as_it_is_and_is_not_saved(network: str) -> None:
    torch.manual_seed(0)
    autoencoder = shape_of(network).build(PictureShape(20, 3))
    before = {name: value.clone() for name, value in autoencoder.networks.state_dict().items()}
    prior = PriorSettings(network=network, **SMALL).build_on(autoencoder, 0)
    batch = Batch(image=torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0)), seed=0, step=0)
    for value in prior.loss(batch, prior.draw(batch)).terms.values():
        value.backward()
    prior.after_step(batch, {})
    assert all(torch.equal(value, before[name]) for name, value in autoencoder.networks.state_dict().items())
    assert all(weight.grad is None for weight in autoencoder.networks.parameters())
    own = {id(weight) for weight in prior.networks.parameters()}
    assert not own & {id(weight) for weight in autoencoder.networks.parameters()}
    sheet = prior.preview(batch)
    assert sheet.shape == (4, 3, 20, 20)
    assert 0 <= sheet.min() <= sheet.max() <= 1


def test_costs_are_in_nats_a_code_and_in_bits_a_code() -> None:
    torch.manual_seed(0)
    image = torch.rand(4, 3, 20, 20)
    batch = Batch(image=image, seed=0, step=STANDARDISING)
    vae = PriorSettings(network="flow", **SMALL).build_on(shape_of("flow").build(PictureShape(20, 3)), 0)
    vae.standard.square.fill_(4.0)
    code = vae.draw(batch)
    expected = -torch.distributions.Normal(0.0, 2.0).log_prob(code).sum(1)  # a flow that has not learned anything
    assert torch.allclose(vae.cost(batch, code), expected, atol=1e-4)
    kept = vae.standard.mean.clone()
    vae.after_step(batch, {})
    assert torch.equal(vae.standard.mean, kept)
    vq = PriorSettings(network="transformer", **SMALL).build_on(shape_of("transformer").build(PictureShape(20, 3)), 0)
    vq.transformer.logits.weight.data.zero_()
    assert torch.allclose(vq.cost(batch, vq.draw(batch)), torch.full((4,), math.log2(16)))


def test_a_second_stages_cost_is_its_bound() -> None:
    torch.manual_seed(0)
    stage = PriorSettings(network="two-stage", **SMALL).build_on(shape_of("flow").build(PictureShape(20, 3)), 0)
    stirred(stage.networks, 0.1)
    stage.standard.mean.fill_(0.5), stage.standard.square.fill_(4.25)
    batch = Batch(image=torch.rand(4, 3, 20, 20), seed=0, step=0)
    code = stage.draw(batch)
    units = (code - 0.5) / 2
    mean, log_variance = stage.networks["encoder"](units, None).chunk(2, dim=1)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    own = mean + posterior.stddev * batch.normal(6, stream="second stage")
    likelihood = torch.distributions.Normal(stage.networks["decoder"](own, None), stage.log_noise.exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    expected = (kl - likelihood.log_prob(units)).sum(1) + 6 * math.log(2)
    assert torch.allclose(stage.cost(batch, code), expected, atol=1e-4)
    normal = torch.randn(3, 12)
    drawn = 0.5 + 2 * (stage.networks["decoder"](normal[:, :6], None) + stage.log_noise.exp() * normal[:, 6:])
    assert torch.allclose(stage.latents(normal, normal[:, :0]), drawn, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "autoencoder", "size", "classes", "line"),
    [
        ({"network": "flow"}, VQVAESettings(channels=4), 20, 0, "transformer"),
        ({"network": "two-stage"}, VQVAESettings(channels=4), 20, 0, "transformer"),
        ({"network": "transformer"}, VAESettings(channels=4), 20, 0, "--network flow"),
        ({"network": "transformer"}, VQVAESettings(channels=4, dimensions=4), 256, 0, "4,096 .* --halvings"),
        ({"network": "transformer", "width": 40}, VQVAESettings(channels=4), 20, 0, "--width 40"),
        ({"network": "flow"}, VAESettings(channels=4, latent=1), 20, 0, "two-stage"),
        ({"network": "flow", "conditional": True}, VAESettings(channels=4), 20, 0, "--conditional needs classes"),
    ],
)
def test_a_prior_that_makes_no_sense_is_refused(
    settings: dict[str, object], autoencoder: VAESettings, size: int, classes: int, line: str
) -> None:
    with pytest.raises(UserError, match=line):
        PriorSettings(**settings).build_on(autoencoder.build(PictureShape(size, 3)), classes)


RUNS = {
    "flow": (VAESettings(network="dense", channels=4, latent=6), PriorSettings(**SMALL)),
    "two-stage": (
        VAESettings(network="dense", channels=4, latent=6, conditional=True),
        PriorSettings(network="two-stage", conditional=True, **SMALL),
    ),
    "transformer": (VQVAESettings(channels=4, codes=16, dimensions=4), PriorSettings(conditional=True, **SMALL)),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with a prior for each network, and before and beside them: what cannot have one."""
    place = tmp_path_factory.mktemp("priors")
    images = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), np.uint8)
    np.savez(place / "pictures.npz", images=images, labels=np.arange(40) % 3)
    for name, (settings, prior) in RUNS.items():
        pinxit.train(settings, place / "pictures.npz", place / name, training=TRAINING)
        pinxit.train_prior(prior, place / name, TRAINING)
    pinxit.train(pinxit.GANSettings(network="dense", channels=4), place / "pictures.npz", place / "gan", None, TRAINING)
    return {name: place / name for name in (*RUNS, "gan")}


def copied(run: Path, to: Path) -> Path:
    for file in run.rglob("*"):
        if file.is_file():
            (to / file.relative_to(run)).parent.mkdir(parents=True, exist_ok=True)
            (to / file.relative_to(run)).write_bytes(file.read_bytes())
    return to


@pytest.mark.parametrize("name", RUNS)
def test_with_a_learned_prior_a_picture_depends_on_its_seed_and_class_alone(runs: dict[str, Path], name: str) -> None:
    model = load(runs[name]).using(name)
    label = "2" if model.classes else None
    images, _ = model.sample(70, seed=3, label=label)
    for start in (0, 5, 64, 69):
        assert np.array_equal(model.sample(1, seed=3 + start, label=label)[0][0], images[start])
    assert len(np.unique(images.reshape(70, -1), axis=0)) == 70
    assert bool(model.classes) == (name != "flow")
    if label:
        first, second = (model.latents(70, labels=torch.full((70,), one)) for one in (0, 1))
        assert not torch.equal(first, second)


def test_the_usual_sampler_of_a_book_of_codes_is_its_prior_and_others_keep_theirs(runs: dict[str, Path]) -> None:
    assert {name: load(folder).sampler for name, folder in runs.items()} == {
        "flow": "gmm", "two-stage": "class-gaussian", "transformer": "transformer", "gan": "prior",
    }  # fmt: skip
    assert set(load(runs["flow"]).samplers) == {"prior", "gmm", "class-gaussian", "flow"}
    assert Run.open(runs["flow"] / "prior").recipe.settings.network == "flow"
    assert Run.open(runs["transformer"] / "prior").recipe.settings.network == "transformer"
    assert Run.open(runs["flow"] / "prior").recipe.data == Run.open(runs["flow"]).recipe.data


def test_codes_out_of_a_book_have_no_tails_no_between_and_no_way(runs: dict[str, Path]) -> None:
    model = load(runs["transformer"])
    for ask, line in (
        (lambda: model.sample(1, truncation=1.0), "--truncation"),
        (lambda: model.interpolate(1, 3), "--interpolate"),
        (lambda: coding.traverse(model, 2, 3), "quantised codes"),
    ):
        with pytest.raises(UsageError, match=line):
            ask()
    flow = load(runs["flow"]).using("flow")
    assert not np.array_equal(flow.sample(1, truncation=0.5)[0], flow.sample(1)[0])
    assert flow.interpolate(1, 3).shape == (1, 3, 20, 20, 3)
    assert coding.traverse(flow, 2, 3).shape == (2, 3, 20, 20, 3)


def test_the_certificate_says_which_prior_drew(runs: dict[str, Path]) -> None:
    run = Run.open(runs["flow"])
    told = identity(sampled(run, 2, 0, "flow"))
    assert told["sampler"] == "flow"
    assert told["sampler_sha256"] == sha256(run.prior / "weights.safetensors")
    assert "sampler_sha256" not in identity(sampled(run, 2, 0, ""))


@pytest.mark.parametrize("name", RUNS)
def test_a_stopped_prior_goes_on_bit_for_bit_wherever_its_run_lies(
    runs: dict[str, Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = (runs[name] / "prior" / "weights.safetensors").read_bytes()
    moved = copied(runs[name], tmp_path / "elsewhere")
    for file in sorted((moved / "prior").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (moved / "prior").rmdir()
    save = Session.save

    def stop(session: Session) -> None:
        save(session)
        raise StoppedError(2, "stopped")

    monkeypatch.setattr(Session, "due", lambda session: session.trainer.step in (7, 20))
    monkeypatch.setattr(Session, "save", stop)
    with pytest.raises(StoppedError):
        pinxit.train_prior(RUNS[name][1], moved, TRAINING)
    assert (moved / "prior" / "weights.safetensors").read_bytes() != expected
    monkeypatch.setattr(Session, "save", save)
    moved = moved.rename(tmp_path / "moved")
    monkeypatch.chdir(moved / "prior")
    pinxit.resume(".")
    assert (moved / "prior" / "weights.safetensors").read_bytes() == expected


def test_what_has_no_codes_or_a_prior_or_is_not_finished_is_one_line(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        (runs["gan"], UsageError, "a run of 'gan' has no codes"),
        (runs["flow"], UsageError, "has a prior already; `pinxit resume"),
        (runs["flow"] / "prior", UsageError, "a run of 'prior' has no codes"),
        (tmp_path, DataError, "is not a run"),
    ]
    for folder, error, line in cases:
        with pytest.raises(error, match=line):
            pinxit.train_prior(PriorSettings(), folder)
    started = copied(runs["transformer"], tmp_path / "started")
    (started / "prior" / "recipe.json").unlink()
    report = started / "report.json"
    report.write_text(report.read_text().replace('"finished": true', '"finished": false'))
    with pytest.raises(DataError, match="is not finished; `pinxit resume"):
        pinxit.train_prior(PriorSettings(), started)
    with pytest.raises(UsageError, match="pinxit train prior"):
        load(started).sample(1)
    with pytest.raises(UsageError, match=r"`pinxit sample .*flow` draws from it"):
        load(runs["flow"] / "prior")
    with pytest.raises(UsageError, match="train_prior"):
        pinxit.train(PriorSettings(), runs["flow"], tmp_path / "out")
    with pytest.raises(UsageError, match=r"pinxit train prior`.*known: prior"):
        load(runs["gan"]).using("two-stage")


def test_nothing_is_left_behind_by_a_prior_that_makes_no_sense(runs: dict[str, Path], tmp_path: Path) -> None:
    run = copied(runs["flow"], tmp_path / "run")
    (run / "prior").rename(tmp_path / "aside")
    with pytest.raises(UsageError, match="--network flow"):
        pinxit.train_prior(PriorSettings(network="transformer"), run)
    assert not (run / "prior").exists()


def test_a_prior_of_other_weights_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    run = copied(runs["flow"], tmp_path / "run")
    weights = load_file(run / "weights.safetensors")
    (run / "weights.safetensors").write_bytes(save(weights | {"noise.log": weights["noise.log"] + 1}))
    for ask in (lambda: load(run), lambda: pinxit.resume(run / "prior")):
        with pytest.raises(DataError, match="of other weights than those in"):
            ask()
    (run / "weights.safetensors").unlink()
    with pytest.raises(DataError, match="of other weights than those in"):
        pinxit.resume(run / "prior")
    alone = copied(runs["flow"] / "prior", tmp_path / "alone" / "prior")
    with pytest.raises(DataError, match="is not a run"):
        pinxit.resume(alone)


@pytest.mark.parametrize("hostile", ["gan", "no network", "damaged"])
def test_a_hostile_prior_is_one_line(runs: dict[str, Path], tmp_path: Path, hostile: str) -> None:
    run = copied(runs["flow"], tmp_path / "run")
    prior = run / "prior"
    recipe = (prior / "recipe.json").read_text()
    spoil: dict[str, Callable[[], object]] = {
        "gan": lambda: (prior / "recipe.json").write_bytes((runs["gan"] / "recipe.json").read_bytes()),
        "no network": lambda: (prior / "recipe.json").write_text(recipe.replace('"flow"', '"auto"')),
        "damaged": lambda: (prior / "weights.safetensors").write_bytes(b"garbage"),
    }
    spoil[hostile]()
    with pytest.raises(UserError) as caught:
        load(run)
    assert "\n" not in str(caught.value)


def test_an_unfinished_prior_says_so(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copied(runs["transformer"], tmp_path / "run")
    report = run / "prior" / "report.json"
    report.write_text(report.read_text().replace('"finished": true', '"finished": false'))
    assert load(run).sampler == "transformer"
    assert "is not fully trained" in capsys.readouterr().err
