"""Laws over the table of objectives: who moves, what repeats, what accumulation and a stop change (nothing)."""

import copy
import dataclasses
import math
import tempfile
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from pinxit import hardware
from pinxit.data import Batch, open_data
from pinxit.data.settings import DataSettings
from pinxit.errors import DataError, DivergedError, UserError
from pinxit.images import save_image
from pinxit.nets.shapes import PictureShape, Planes, Target, keep_variance
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.objective import Autoencoder, Judgement, Loss, Objective, Player, Probabilistic
from pinxit.objectives.optimiser import OPTIMISERS, Optimiser
from pinxit.objectives.settings import (
    ClassifySettings,
    ColourSettings,
    DetectSettings,
    EnhancementSettings,
    GANSettings,
    MattingSettings,
    ObjectiveSettings,
    PriorSettings,
    RestorationSettings,
    SegmentSettings,
    StyleSettings,
    TranslationSettings,
    VAESettings,
    VQVAESettings,
)
from pinxit.objectives.vae import active_units, edge_energy
from pinxit.settings import Size, sides
from pinxit.training import plan as plan_module
from pinxit.training import train as train_module
from pinxit.training.settings import TrainingSettings
from pinxit.training.store import Checkpoints
from pinxit.training.trainer import Trainer, check_range, schedule

pytestmark = pytest.mark.usefixtures("no_report")

STYLES = tempfile.TemporaryDirectory(prefix="pinxit-")
STYLE = Path(STYLES.name) / "style.png"
save_image(STYLE, np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))

SIZE = "24x20"  # oblong, and not a power of two
GAN = partial(GANSettings, channels=4, latent=6)
VAE = partial(VAESettings, channels=4, latent=6)
VQ = partial(VQVAESettings, channels=4, codes=16, dimensions=4)
Prior = partial(PriorSettings, width=32, depth=2)
RESTORE = partial(RestorationSettings, channels=4, levels=2, blocks=1)
CLASSIFY = partial(ClassifySettings, channels=4)
TRANSLATE = partial(TranslationSettings, channels=4, patch=16)
CASES = {
    "dcgan": GAN(),
    "dcgan conditional": GAN(conditional=True),
    "bilinear attention": GAN(enlarge="bilinear", attention=10, minibatch="deviation", discriminator_norm="none"),
    "nearest virtual": GAN(enlarge="nearest", generator_norm="virtual", conditional=True),
    "spectral residual attention": GAN(network="residual", discriminator_norm="spectral", attention=10, r1=1),
    "spectral dense discrimination": GAN(network="dense", discriminator_norm="spectral", minibatch="discrimination"),
    "spectral": GAN(discriminator_norm="spectral", loss="wasserstein", conditional=True),
    "aided": GAN(network="dense", discriminator="aided", feature_matching=1, conditional=True),
    "style gan": GAN(network="style", path_length=2, r1=1, conditional=True),
    "style attention": GAN(network="style", attention=10, minibatch="discrimination"),
    "residual": GAN(network="residual"),
    "plain": GAN(network="plain", loss="hinge"),
    "dense": GAN(network="dense", loss="least-squares"),
    "wgan": GAN(loss="wasserstein", weight_clip=0.01, discriminator_steps=2, discriminator_norm="none"),
    "wgan-gp": GAN(loss="wasserstein", gradient_penalty=10, discriminator_norm="none"),
    "r1 r2": GAN(loss="relativistic", r1=1, r2=1, discriminator_norm="none"),
    "dense r1 r2 latent": GAN(network="dense", loss="relativistic", r1=1, r2=1, latent_gradient=1),
    "packed dragan": GAN(
        network="dense", packing=2, dragan=10, r1=1, gradient_penalty=1, augment_discriminator="colour"
    ),
    "adaptive": GAN(network="dense", augment_discriminator="translation,cutout,colour", augment_target=0.6),
    "every trick": GAN(
        network="dense",
        conditional=True,
        r1=1,
        dragan=1,
        augment_discriminator="cutout",
        augment_target=0.6,
        feature_matching=1,
        historical_averaging=0.1,
        label_smoothing=0.1,
        code_categories=2,
        minibatch="deviation",
    ),
    "infogan": GAN(network="dense", code_categories=3, code_values=1, discriminator_steps=2),
    "adamw": GAN(network="dense", optimiser="adamw", weight_decay=0.1, discriminator_rate=1e-4),
    "rmsprop": GAN(network="dense", optimiser="rmsprop"),
    "sgd": VAE(network="dense", optimiser="sgd", beta1=0.5, adversarial=0.1, discriminator_rate=1e-4),
    "sgd without momentum": VAE(network="dense", optimiser="sgd", beta1=0),
    "vae": VAE(),
    "vae conditional": VAE(conditional=True, beta=4, beta_warmup=3),
    "vae residual": VAE(network="residual", free_bits=0.1),
    "vae dense": VAE(network="dense", likelihood="bernoulli"),
    "beta-tc-vae": VAE(penalty="tc", likelihood="logistic"),
    "infovae": VAE(penalty="info", noise=0.2),
    "iwae": VAE(network="dense", importance=3),
    "vampprior": VAE(network="dense", pseudo_inputs=5),
    "iwae vampprior": VAE(network="dense", importance=2, pseudo_inputs=3),
    "wae": VAE(penalty="mmd"),
    "rae": VAE(penalty="l2", decoder_l2=1e-3),
    "rae-gp": VAE(penalty="l2", latent_gradient=0.1),
    "rae-sn": VAE(penalty="l2", spectral_norm=True),
    "ae": VAE(penalty="none", likelihood="bernoulli"),
    "vq": VQ(),
    "vq rotation": VQ(gradient="rotation", halvings=1),
    "ladder": VAE(network="dense", levels=3),
    "ladder conditional": VAE(levels=2, conditional=True, importance=2),
    "perceptual vae": VAE(perceptual=0.5),
    "vae-gan": VAE(adversarial=0.1),
    "vae-gan conditional": VAE(network="dense", conditional=True, adversarial=0.1, adversarial_loss="relativistic"),
    "flow": Prior(network="flow"),
    "flow conditional": Prior(network="flow", conditional=True),
    "two-stage": Prior(network="two-stage"),
    "two-stage conditional": Prior(network="two-stage", conditional=True),
    "transformer": Prior(network="transformer"),
    "transformer conditional": Prior(network="transformer", conditional=True),
    "denoise": RESTORE(grey=0.5, told=0.5),
    "denoise nafnet": RESTORE(network="nafnet", loss="l1"),
    "inpaint": RESTORE(degrade="pixels(share=0.5) or strokes"),
    "upscale": RESTORE(degrade="downscale(scale=2)", perceptual=0.1, adversarial=0.1),
    "crisp": RESTORE(degrade="real(scale=2)", perceptual=0.1, jitter=3, adversarial=0.1, discriminator="pixels"),
    "noise2noise": RESTORE(target="noisy", loss="l2"),
    "noise2void": RESTORE(target="blind-spot", degrade=""),
    "neighbor2neighbor": RESTORE(target="neighbours"),
    "enhance": EnhancementSettings(width=8, degrade="dark(gamma=0.5..2) | clip or dark(gain=1)"),
    "matte": MattingSettings(channels=8, replace=0.5),
    "colourise": ColourSettings(width=4),
    "classify": CLASSIFY(label_smoothing=0.1, dropout=0.1),
    "classify lite0": CLASSIFY(network="lite0", trained_blocks=1),
    "classify mixed": CLASSIFY(network="plain", mixup=0.2, balanced=True),
    "detect": DetectSettings(channels=16, trained_blocks=1),
    "segment": SegmentSettings(channels=4, loss="cross-entropy,dice", balance=0.5),
    "segment lite0": SegmentSettings(network="lite0", channels=8, trained_blocks=1, loss="focal"),
    "translate": TRANSLATE(network="residual", r1=1, r2=1, penalty_every=2),
    "translate by much": TRANSLATE(
        dropout=0.3, feature_matching=1, perceptual=1, loss="relativistic", discriminator_norm="spectral"
    ),
    "translate by distance": TRANSLATE(adversarial=0, generator_norm="instance"),
    "translate both ways": TRANSLATE(dropout=0.3, r1=1),
    "translate by contrast": TRANSLATE(method="contrast"),
    "style": StyleSettings(style=STYLE, style_size=32),
    "any style": StyleSettings(any=True, styles=STYLE.parent),
}
UNPAIRED = ("translate both ways", "translate by contrast")
EVERY_CASE = pytest.mark.parametrize("settings", CASES.values(), ids=CASES)


def batch(step: int, rows: int = 6, size: Size = SIZE, channels: int = 3, masked: bool = False) -> Batch:
    rng = np.random.default_rng(step)
    image = torch.from_numpy(rng.random((rows, channels, *sides(size)), dtype=np.float32))
    corner, side = rng.uniform(0, 10, (rows, 3, 2)), rng.uniform(4, 10, (rows, 3, 2))
    boxes = np.concatenate([corner, corner + side, rng.integers(-2, 3, (rows, 3, 1))], axis=2)
    companions = {"pair": image[:, :1].round(), "other": image.flip(0), "boxes": torch.from_numpy(boxes).float()}
    if masked:
        companions["mask"] = torch.from_numpy(rng.choice([0, 1, 2, 255], (rows, 1, *sides(size))))
    return Batch(image=image, label=torch.arange(rows) % 3, **companions, seed=1, step=step)


def built(settings: ObjectiveSettings) -> Objective:
    """The objective of small pictures; a prior is over codes of an autoencoder that has not learned anything."""
    torch.manual_seed(0)
    paired = settings not in [CASES[name] for name in UNPAIRED]
    shape = PictureShape(SIZE, 3, 3, target=Target(Planes(1 if paired else 3), paired))
    if not isinstance(settings, PriorSettings):
        return settings.build(shape)
    return settings.build_on((VQ if settings.network == "transformer" else VAE)().build(shape), 3)


def trainer(settings: ObjectiveSettings, precision: str = "float32", **training: object) -> Trainer:
    objective = built(settings)
    asked = TrainingSettings(**({"steps": 4, "batch_size": 6} | training))
    return Trainer(
        objective, partial(batch, masked=settings.opens == "masks"), asked, hardware.choose("cpu", precision, threads=1)
    )


def snapshot(objective: Objective) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in objective.networks.named_parameters()}


def test_every_objective_has_a_case() -> None:
    assert {type(settings) for settings in CASES.values()} == set(OBJECTIVES.values())


@EVERY_CASE
def test_every_player_moves_all_of_its_parameters_and_no_others(settings: ObjectiveSettings) -> None:
    machine = trainer(settings)
    for player in machine.players:
        loss = machine._backward(player, machine.batches(0), None, 1)
        own = {id(weight) for weight in player.module.parameters()}
        for name, weight in machine.objective.networks.named_parameters():
            if id(weight) in own:
                assert weight.grad is not None, f"{player.name} leaves {name} alone"
            else:
                assert weight.grad is None, f"{player.name} moves {name}"
        before = snapshot(machine.objective)
        machine._move(player, [loss])
        for name, weight in machine.objective.networks.named_parameters():
            moved = not torch.equal(weight, before[name])
            # A bias before a normalisation has no gradient; everything with one must move.
            assert moved <= (id(weight) in own), f"{player.name} moved {name}"
        assert any(
            not torch.equal(weight, before[name]) for name, weight in machine.objective.networks.named_parameters()
        )


@EVERY_CASE
def test_a_stopped_run_goes_on_bit_for_bit(settings: ObjectiveSettings) -> None:
    whole = trainer(settings)
    records = [record.values for record in whole]
    first, second = trainer(settings), trainer(settings.model_copy())
    first.advance(), first.advance()
    kept = {
        name: value.clone(memory_format=torch.contiguous_format) for name, value in first.state().items()
    }  # as saved
    second.load(kept, first.step)
    assert [record.values for record in second] == records[2:]
    assert all(torch.equal(value, second.state()[name]) for name, value in whole.state().items())


@EVERY_CASE
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_terms_are_finite_and_the_average_is_of_the_weights(settings: ObjectiveSettings, precision: str) -> None:
    machine = trainer(settings, precision, average=0.0)
    for record in machine:
        assert record.values
    for name, value in machine.average.state_dict().items():
        assert torch.equal(value, machine.objective.networks.state_dict()[name]), name


@pytest.mark.parametrize(
    "name",
    [
        "dense r1 r2 latent",
        "dense",
        "vae conditional",
        "iwae vampprior",
        "rae-gp",
        "vq",
        "flow",
        "two-stage",
        "inpaint",
        "noise2void",
        "enhance",
    ],
)
def test_accumulation_changes_nothing_but_rounding(name: str) -> None:
    whole, parts = trainer(CASES[name]), trainer(CASES[name], accumulate=3)
    for one, other in zip(whole, parts, strict=True):
        for values in (one.values, other.values):
            for read in ("active_units", "sharpness"):  # over the pictures at hand
                values.pop(f"autoencoder/{read}", None)
        assert one.values == pytest.approx(other.values, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize("settings", [s for s in CASES.values() if s.usual_prior])
def test_an_autoencoder_codes_pictures_and_decodes_them(settings: ObjectiveSettings) -> None:
    """What sampling, compression, export and priors rest on: codes are latents, discrete ones whole numbers."""
    objective = built(settings)
    assert isinstance(objective, Autoencoder)
    objective.networks.eval()
    given = batch(0)
    label = given.label if objective.shape.classes else None
    with torch.no_grad():
        code, learned = objective.encode(given.image, label), objective.codes(given)
        restored = objective.sample(code, label)
        assert torch.equal(objective.sample(code, label), restored)
    assert code.shape == learned.shape == (len(given), objective.latent)
    assert code.is_floating_point() == learned.is_floating_point() == (not objective.codebook_size)
    assert restored.shape == given.image.shape
    assert 0 <= restored.min() <= restored.max() <= 1
    if objective.codebook_size:
        assert 0 <= code.min() <= code.max() < objective.codebook_size
        assert torch.equal(code, learned)
        assert objective.bits_per_pixel == pytest.approx(objective.latent * 4 / (24 * 20))  # 16 codes of 4 bits
    else:
        assert isinstance(objective, Probabilistic)
        assert torch.equal(objective.posterior(given.image, label)[0], code)
        assert torch.equal(code, learned) == (not objective.gaussian)


def test_objectives_without_codes_have_no_usual_prior() -> None:
    for settings in CASES.values():
        assert (settings.usual_prior is not None) == isinstance(built(settings), Autoencoder)


def test_every_optimiser_has_a_case() -> None:
    assert {settings.optimiser for settings in CASES.values()} == set(OPTIMISERS)


@pytest.mark.parametrize(
    ("name", "weight_decay", "expected"),
    [
        # First steps by the papers' formulas: weight 2, gradient 4 (8 with L2 of weight decay 2), rate 0.1.
        ("adam", 0.0, 2 - 0.1 * 1),
        ("adam", 2.0, 2 - 0.1 * 1),
        ("adamw", 2.0, 2 * (1 - 0.1 * 2) - 0.1 * 1),
        ("rmsprop", 0.0, 2 - 0.1 * 4 / (0.1 * 4**2) ** 0.5),
        ("sgd", 0.0, 2 - 0.1 * 4),
        ("sgd", 2.0, 2 - 0.1 * 8),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_optimisers_step_by_their_formulas(name: str, weight_decay: float, expected: float, fused: bool) -> None:
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    weight.grad = torch.tensor([4.0])
    Optimiser(name, 0.1, (0.5, 0.9), weight_decay).build([weight], fused).step()
    assert weight.item() == pytest.approx(expected, rel=1e-5)


def test_momentum_and_running_means_are_the_betas() -> None:
    """The second step with the same gradient 4, rate 0.1, betas (0.5, 0.9)."""
    for name, second in (("sgd", 0.1 * (4 + 0.5 * 4)), ("rmsprop", 0.1 * 4 / ((0.9 * 0.1 + 0.1) * 4**2) ** 0.5)):
        weight = torch.nn.Parameter(torch.tensor([2.0]))
        optimiser = Optimiser(name, 0.1, (0.5, 0.9)).build([weight])
        places = []
        for _ in range(2):
            weight.grad = torch.tensor([4.0])
            optimiser.step()
            places.append(weight.item())
        assert places[0] - places[1] == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize(
    "settings", [GAN(network="dense"), VAE(network="dense", adversarial=0.1), RESTORE(adversarial=1)]
)
def test_a_discriminator_has_a_rate_of_its_own(settings: ObjectiveSettings) -> None:
    machine = trainer(settings.changed(discriminator_rate=1e-4, learning_rate=3e-3))
    machine.advance()
    rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in machine.optimisers.items()}
    assert rates.pop("discriminator") == 1e-4
    assert list(rates.values()) == [3e-3]
    same = trainer(settings)
    same.advance()
    assert {optimiser.param_groups[0]["lr"] for optimiser in same.optimisers.values()} == {settings.learning_rate}


def test_a_player_moves_on_every_nth_step_only() -> None:
    machine = trainer(CASES["wgan"])
    moved = [any(name.startswith("generator/") for name in record.values) for record in machine]
    assert moved == [True, False, True, False]


def test_weights_are_clipped_where_asked() -> None:
    machine = trainer(CASES["wgan"])
    machine.advance()
    assert all(weight.abs().max() <= 0.01 for weight in machine.objective.networks["discriminator"].parameters())


class Exploding(Objective):
    """One weight whose loss is as asked."""

    player = "net"

    def __init__(self, term: str) -> None:
        self.networks = torch.nn.ModuleDict({"net": torch.nn.Linear(1, 1)})
        self.model, self.term = ("net",), term

    def players(self) -> tuple[Player, ...]:
        return (Player("net", self.networks["net"], self.loss, Optimiser()),)

    def draw(self, batch: Batch) -> None:
        return None

    def loss(self, batch: Batch, drawn: None) -> Loss:
        value = self.networks["net"](torch.ones(1, 1)).sum()
        good = {"fine": value**2}
        if self.term == "gradient":
            return Loss(good | {"root": (value - value.detach()).abs().sqrt()})
        return Loss(good | {self.term: value * float("nan")}) if self.term else Loss(good)

    def preview(self, batch: Batch) -> torch.Tensor:
        return batch.image


@pytest.mark.parametrize(("term", "named"), [("kl", "net's kl is nan"), ("gradient", "net's gradient norm is nan")])
def test_what_is_not_finite_is_named_and_nothing_moves(term: str, named: str) -> None:
    objective = Exploding(term)
    machine = Trainer(objective, batch, TrainingSettings(steps=3), hardware.choose("cpu", threads=1))
    before = copy.deepcopy(machine.state())
    with pytest.raises(DivergedError, match=f"step 1: the {named}"):
        machine.advance()
    assert all(torch.equal(value, before[name]) for name, value in machine.state().items())


@EVERY_CASE
def test_pictures_of_0_to_255_are_refused_before_anything_moves(settings: ObjectiveSettings) -> None:
    machine = trainer(settings)
    before = copy.deepcopy(machine.state())
    machine.batches = lambda step: dataclasses.replace(batch(step), image=255 * batch(step).image)
    with pytest.raises(DataError, match=r"must be in \[0, 1\].* to 25[45]"):
        machine.advance()
    assert all(torch.equal(value, before[name]) for name, value in machine.state().items())


@pytest.mark.parametrize("wrong", [[0.0, 255.0], [-0.5, 0.5], [math.nan, 0.0]])
def test_pictures_below_0_and_not_a_number_are_refused_too(wrong: list[float]) -> None:
    with pytest.raises(DataError, match=r"must be in \[0, 1\]"):
        check_range(torch.tensor(wrong))


def test_clipping_bounds_the_gradient_and_reports_its_norm_before() -> None:
    machine = trainer(GAN(network="dense"), clip=1e-3)
    seen = []
    for player in machine.players:
        weights = list(player.module.parameters())
        machine.optimisers[player.name].step = lambda weights=weights: seen.append(
            torch.nn.utils.get_total_norm([weight.grad for weight in weights]).item()
        )
    values = machine.advance().values
    assert seen == pytest.approx([1e-3, 1e-3], rel=1e-2)
    assert values["generator/gradient_norm"] > 1e-2


@pytest.mark.parametrize(
    ("shape", "shares"),
    [
        ("constant", [0.5, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 1 / 2, 1 / 4]),
        ("cosine", [0.5, 1, 1, 0.5, 0.1464466]),
        ("late", [0.5, 1, 1, 1, 3 / 4]),
    ],
)
def test_schedules_rise_and_fall_as_they_say(shape: str, shares: list[float]) -> None:
    settings = TrainingSettings(steps=6, warmup=2, schedule=shape)
    assert [schedule(settings, step) for step in (0, 1, 2, 4, 5)] == pytest.approx(shares)
    assert schedule(settings, 6) == pytest.approx(1 if shape == "constant" else 0)


def test_the_average_follows_its_equation() -> None:
    machine = trainer(GAN(network="dense"), average=0.5)
    name = "generator.picture.bias"
    expected = machine.average.state_dict()[name].clone()
    for step in range(4):
        machine.advance()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * machine.objective.networks.state_dict()[name]
        assert torch.allclose(machine.average.state_dict()[name], expected, atol=1e-7)


@pytest.mark.parametrize("network", ["dcgan", "residual", "plain", "dense"])
@pytest.mark.parametrize("size", [16, 17, 28, "33x20", "16x64"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_networks_fit_any_size_and_channels(network: str, size: Size, channels: int) -> None:
    objective = GAN(network=network, channels=2).build(PictureShape(size, channels))
    drawn = objective.networks["generator"](torch.randn(2, 6))
    assert 0 <= drawn.min() <= drawn.max() <= 1
    fake = objective.sample(torch.randn(2, 6))
    assert fake.shape == (2, channels, *sides(size))
    assert 0 <= fake.min() <= fake.max() <= 1
    assert objective.score(fake, None).shape == (2,)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["dcgan", "residual", "plain", "dense"])
@pytest.mark.parametrize("size", [100, 255, "256x128", 512])
def test_networks_fit_large_pictures(network: str, size: Size) -> None:
    test_networks_fit_any_size_and_channels(network, size, 3)


class Judged(Exploding):
    """The weight's bias is what is judged, on the held-out pictures as they are."""

    seen: ClassVar[list[torch.Tensor]] = []
    judgement = Judgement("bias", "highest", lambda batch: Judged.seen.append(batch.image) or float(len(Judged.seen)))


def test_the_best_checkpoint_by_a_judgement_on_held_out_pictures_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "pictures.npz", images=np.random.default_rng(0).integers(0, 256, (60, 16, 16), np.uint8))
    monkeypatch.setattr(plan_module, "build", lambda recipe, autoencoder: Judged(""))
    monkeypatch.setattr("pinxit.training.session.SECONDS_BETWEEN_CHECKPOINTS", -1)
    data = DataSettings(flip=True, turn=True, holdout=0.2)
    training = TrainingSettings(steps=6, batch_size=4, threads=1)
    run = train_module.train(GAN(), tmp_path / "pictures.npz", tmp_path / "run", data=data, training=training)
    assert len(Judged.seen) == 6
    held_out = open_data(str(tmp_path / "pictures.npz"), 0.2).held_out.tensor(16)
    expected = sorted(image.flatten().tolist() for image in held_out)
    assert all(sorted(image.flatten().tolist() for image in seen) == expected for seen in Judged.seen)
    assert Checkpoints(run.checkpoints).best() == 6


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Linear(256, 256),
        torch.nn.Conv2d(64, 64, 3, padding=1),
        torch.nn.Conv2d(64, 64, 4, 2, 1),
        torch.nn.ConvTranspose2d(64, 64, 4, 2, 1),
    ],
    ids=str,
)
def test_layers_start_with_the_variance_of_what_they_read(layer: torch.nn.Module) -> None:
    torch.manual_seed(0)
    keep_variance(layer)
    read = torch.randn(2000, 256) if isinstance(layer, torch.nn.Linear) else torch.randn(40, 64, 16, 16)
    given = layer(read.relu())
    inside = given if given.ndim == 2 else given[..., 2:-2, 2:-2]
    assert inside.var().item() == pytest.approx(1, abs=0.15)
    assert not layer.bias.any()


AUTOENCODERS = {name: settings for name, settings in CASES.items() if isinstance(settings, VAESettings)}


@pytest.mark.parametrize("network", ["convolutional", "residual", "dense"])
@pytest.mark.parametrize("size", [16, 17, 28, "33x20", "16x64"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_autoencoders_fit_any_size_and_channels(network: str, size: Size, channels: int) -> None:
    objective = VAE(network=network, channels=2).build(PictureShape(size, channels))
    objective.loss(batch(0, 2, size, channels), objective.draw(batch(0, 2, size, channels)))
    image = objective.sample(objective.encode(batch(0, 2, size, channels).image))
    assert image.shape == (2, channels, *sides(size))
    assert 0 <= image.min() <= image.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("network", ["convolutional", "residual", "dense"])
@pytest.mark.parametrize("size", [32, 100, 255, "256x128", 512])
def test_autoencoders_fit_large_pictures(network: str, size: Size) -> None:
    test_autoencoders_fit_any_size_and_channels(network, size, 3)


@pytest.mark.parametrize("settings", AUTOENCODERS.values(), ids=AUTOENCODERS)
def test_an_autoencoder_looks_at_each_picture_alone(settings: VAESettings) -> None:
    torch.manual_seed(0)
    objective = settings.build(PictureShape(SIZE, 3, 3))
    whole, part = objective.reconstruct(batch(0), 2), objective.reconstruct(batch(0).rows(2, 4), 2)
    assert torch.allclose(whole.mean.view(6, -1)[2:4], part.mean.view(2, -1), atol=1e-5)
    assert torch.allclose(whole.latent[4:8], part.latent, atol=1e-5)
    assert torch.allclose(whole.logits[4:8], part.logits, atol=1e-4)
    noise = batch(0).normal(2, 6) if objective.gaussian else 0
    mean, deviation = (one.view(6, -1, 6) for one in (whole.mean, (whole.log_variance / 2).exp()))
    expected = mean + deviation * noise
    assert torch.allclose(whole.latent.view(6, 2, 6), expected, atol=1e-5)


def test_terms_and_readings_are_the_equations() -> None:
    torch.manual_seed(0)
    for settings in (VAE(), VAE(pseudo_inputs=4), VAE(importance=5)):
        objective = settings.build(PictureShape(SIZE, 3))
        with torch.no_grad():
            objective.networks["posterior"].head.weight *= 20  # posteriors far enough from the prior to be told from it
        drawn = objective.draw(batch(0))
        values = objective.loss(batch(0), drawn)
        samples = settings.importance
        q = torch.distributions.Normal(drawn.mean, (drawn.log_variance / 2).exp())
        log_q = q.log_prob(drawn.latent.view(6, samples, 6).movedim(1, 0)).sum(2).T
        prior = objective.prior()
        parts = torch.distributions.Independent(torch.distributions.Normal(prior.means, prior.factors), 1)
        mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(prior.weights), parts)
        log_p = mixture.log_prob(drawn.latent).view(6, samples)
        noise = torch.distributions.Normal(drawn.logits.sigmoid(), 0.1)
        image = batch(0).image.repeat_interleave(samples, 0)
        log_x = noise.log_prob(image).sum((1, 2, 3)).view(6, samples)
        assert torch.allclose(objective.log_ratio(drawn), log_q - log_p, atol=1e-3)
        assert values.readings["distortion"].item() == pytest.approx(-log_x.mean().item(), rel=1e-5)
        restored, given = (np.asarray(part.detach(), float) for part in (drawn.logits.sigmoid(), batch(0).image))
        energy = [sum(np.square(np.diff(part, axis=axis)).mean() for axis in (2, 3)) for part in (restored, given)]
        assert values.readings["sharpness"].item() == pytest.approx(energy[0] / energy[1], rel=1e-3)
        if samples > 1:
            bound = (log_x + log_p - log_q).logsumexp(1) - np.log(samples)
            assert torch.allclose(objective.bound(drawn), bound, rtol=1e-4)
            assert values.terms["bound"].item() == pytest.approx(-bound.mean().item(), rel=1e-4)
        elif settings.pseudo_inputs:
            assert values.terms["kl"].item() == pytest.approx((log_q - log_p).mean().item(), rel=1e-3)
        else:
            expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean().item()
            assert [values.terms["kl"].item(), values.readings["rate"].item()] == pytest.approx(
                [expected] * 2, rel=1e-4
            )
            with torch.no_grad():
                assert objective.judge(batch(0)) + log_x.mean().item() == pytest.approx(expected, rel=1e-3)


def test_the_penaltys_weight_warms_up_and_readings_do_not() -> None:
    torch.manual_seed(0)
    objective = VAE(beta=3, beta_warmup=4).build(PictureShape(SIZE, 3))
    for step, share in ((0, 0.25), (2, 0.75), (3, 1), (9, 1)):
        loss = objective.loss(batch(step), objective.draw(batch(step)))
        assert loss.terms["kl"].item() == pytest.approx(3 * share * loss.readings["rate"].item(), rel=1e-5)
    free = VAE(free_bits=2.0).build(PictureShape(SIZE, 3))
    loss = free.loss(batch(0), free.draw(batch(0)))
    assert loss.terms["kl"].item() == pytest.approx(12) != pytest.approx(loss.readings["rate"].item())


def test_the_decoders_terms_are_their_equations() -> None:
    torch.manual_seed(0)
    objective = VAE(penalty="none", decoder_l2=0.5, network="dense").build(PictureShape(SIZE, 3))
    terms = objective.loss(batch(0), objective.draw(batch(0))).terms
    squares = sum((part**2).sum().item() for part in objective.decoder.parameters())
    assert terms["decoder_l2"].item() == pytest.approx(0.25 * squares, rel=1e-4)
    assert set(terms) == {"reconstruction", "decoder_l2"}
    objective = VAE(penalty="none", latent_gradient=0.5, network="dense").build(PictureShape(SIZE, 3))
    terms = objective.loss(batch(0), objective.draw(batch(0))).terms
    latent = objective.encode(batch(0).image).detach().requires_grad_()
    along = (objective.decoder(latent).sigmoid() * batch(0).normal(3, 20, 24, stream="direction")).sum()
    (gradient,) = torch.autograd.grad(along, latent)
    assert terms["latent_gradient"].item() == pytest.approx(0.5 * gradient.square().sum().item() / 6 / 1440, rel=1e-4)


def test_spectral_norm_keeps_layers_from_stretching() -> None:
    machine = trainer(VAE(network="dense", penalty="l2", spectral_norm=True), average=0.9, steps=30)
    assert list(machine)
    for decoder in (machine.objective.decoder, machine.average["decoder"]):
        for layer in (decoder.first, decoder.second, decoder.picture):
            assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=0.1)


def test_binarised_pictures_are_drawn_anew_each_step_with_the_greys_as_odds() -> None:
    objective = VAE(network="dense", likelihood="bernoulli", binarise=True).build(PictureShape(20, 1))
    grey = Batch(image=torch.full((400, 1, 20, 20), 0.3), seed=0, step=0)
    first, second = objective.target(grey), objective.target(dataclasses.replace(grey, step=1))
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert first.mean() == pytest.approx(0.3, abs=0.01)
    assert not torch.equal(first, second)
    assert torch.equal(first, objective.target(grey))
    for edge in (0.0, 1.0):
        assert (objective.target(dataclasses.replace(grey, image=torch.full((2, 1, 20, 20), edge))) == edge).all()


def test_a_blur_takes_edge_energy_and_flat_pictures_are_as_sharp_as_each_other() -> None:
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    ramp = torch.nn.functional.avg_pool2d(step, (1, 3), 1, (0, 1), count_include_pad=False)
    assert edge_energy(step).item() == pytest.approx(1 / 7 / 2, rel=1e-4)
    assert edge_energy(ramp).item() == pytest.approx(3 * (1 / 3) ** 2 / 7 / 2, rel=1e-4)
    assert edge_energy(step.mT).item() == pytest.approx(edge_energy(step).item())
    assert edge_energy(torch.full((2, 3, 4, 4), 0.3)) / edge_energy(torch.zeros(2, 3, 4, 4)) == 1


def test_active_units_are_dimensions_whose_means_vary() -> None:
    mean = torch.tensor([[0.0, 1.0, 0.09], [0.0, -1.0, -0.09], [0.0, 0.0, 0.0]])
    assert active_units(mean) == 1
    assert active_units(2 * mean) == 2


@pytest.mark.parametrize(
    ("settings", "shape", "line"),
    [
        (VAE(binarise=True), PictureShape(20, 1), "--likelihood bernoulli"),
        (VAE(binarise=True, likelihood="bernoulli"), PictureShape(SIZE, 3), "grey"),
        (VAE(noise=0.1, likelihood="bernoulli"), PictureShape(SIZE, 3), "--noise"),
        (VAE(importance=5, beta=2), PictureShape(SIZE, 3), "--importance"),
        (VAE(importance=5, penalty="mmd"), PictureShape(SIZE, 3), "--importance"),
        (VAE(pseudo_inputs=5, penalty="tc"), PictureShape(SIZE, 3), "--pseudo-inputs"),
        (VAE(pseudo_inputs=5, conditional=True), PictureShape(SIZE, 3, 2), "--conditional"),
        (VAE(free_bits=1, penalty="l2"), PictureShape(SIZE, 3), "--free-bits"),
        (VAE(importance=5, perceptual=1), PictureShape(SIZE, 3), "--perceptual"),
        (VAE(adversarial=1, adversarial_loss="wasserstein"), PictureShape(SIZE, 3), "--adversarial-loss"),
        (VAE(levels=2, penalty="mmd"), PictureShape(SIZE, 3), "--levels"),
        (VAE(levels=2, pseudo_inputs=5), PictureShape(SIZE, 3), "--pseudo-inputs"),
        (VAE(levels=7), PictureShape(SIZE, 3), "--latent of at least 7"),
        (VAE(conditional=True), PictureShape(SIZE, 3), "needs classes"),
        (VAE(), PictureShape(1100, 3), "16 to 1024"),
    ],
)
def test_an_autoencoder_that_makes_no_sense_is_refused(settings: VAESettings, shape: PictureShape, line: str) -> None:
    with pytest.raises(UserError, match=line):
        settings.build(shape)


@pytest.mark.parametrize("name", ["vae", "vampprior", "rae"])
def test_the_preview_has_pictures_reconstructions_and_where_sensible_new_ones(name: str) -> None:
    objective = CASES[name].build(PictureShape(SIZE, 3))
    with torch.no_grad():
        sheet = objective.preview(batch(0, rows=8))
    assert sheet.shape == (8, 3, 20, 24)
    assert torch.equal(sheet[[0, 2]], batch(0, rows=8).image[:2])
    assert 0 <= sheet.min() <= sheet.max() <= 1
    assert torch.equal(sheet[6], batch(0, rows=8).image[3]) == (name == "rae")


def test_the_progress_line_tells_each_players_first_term() -> None:
    values = {"critic/adversarial": 1.0, "critic/r1": 2.0, "painter/reconstruction": 3.0, "painter/gradient_norm": 4.0}
    values["watch/diversity"] = 5.0
    assert train_module._losses(values) == "critic 1.000  painter 3.000"
