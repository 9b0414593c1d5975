"""Laws over what can be added to a GAN: augmentations, packs, and the terms of the literature."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pinxit
from pinxit import hardware
from pinxit.cli import run as command_line
from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.latents import coding
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.adaptive import PICTURES, AdaptiveProbability
from pinxit.objectives.augmentation import AUGMENTATIONS, augmented
from pinxit.objectives.gan import GAN, feature_distance
from pinxit.objectives.history import History
from pinxit.objectives.information import Code
from pinxit.objectives.networks import GAN_NETWORKS
from pinxit.objectives.settings import LAYERS_OF, GANSettings
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

SMALL = {"channels": 2, "latent": 6}
PROCESSOR = hardware.choose("cpu", "float32", threads=1)


def batch(step: int = 0, rows: int = 8, channels: int = 3, high: int = 16, wide: int = 20) -> Batch:
    image = torch.from_numpy(np.random.default_rng(step).random((rows, channels, high, wide), dtype=np.float32))
    return Batch(image=image, label=torch.arange(rows) % 2, seed=1, step=step)


def built(network: str = "dense", **settings: object) -> GAN:
    torch.manual_seed(0)
    return GANSettings(network=network, **(SMALL | settings)).build(PictureShape("20x16", 3, 2))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_are_lawful(name: str, channels: int) -> None:
    given = batch(channels=channels)
    image = given.image.clone().requires_grad_()
    changed = augmented(image, [name], 1, given, "seen")
    for never in (0, torch.tensor(0.0)):
        assert augmented(image, [name], never, given, "seen") is image, "nothing is done in vain"
    assert changed.shape == image.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert (changed != image).flatten(1).any(1).float().mean() > 0.6, "a shift of 0 is possible"
    assert not torch.equal(changed, augmented(image, [name], 1, given, "other")), "each stream has its own draws"
    half = augmented(image[4:], [name], 1, given.rows(4, 8), "seen")
    assert torch.equal(changed[4:], half), "a row depends on no other"
    (gradient,) = torch.autograd.grad(changed.square().sum(), image, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), image)
    assert gradient.abs().sum() > 0 < second.abs().sum()
    if channels == 4 and name == "colour":
        assert torch.equal(changed[:, 3], image[:, 3])
    if name == "cutout":
        gone = (changed == 0).all(1).flatten(1).float().mean(1)
        assert ((gone >= 1 / 16) & (gone <= 1 / 4)).all(), "alpha is cleared too"
    if name == "translation":
        kept = changed[:, :, 2:-2, 2:-2]
        assert all(row.unique().numel() <= whole.unique().numel() for row, whole in zip(kept, image, strict=True))


def test_a_shift_moves_whole_pixels_and_leaves_nothing_behind() -> None:
    image = torch.arange(1.0, 257).view(1, 1, 16, 16)
    moved = AUGMENTATIONS["translation"].change(image, torch.tensor([[0.0, 0.999]]))  # 2 up, 2 right
    assert torch.equal(moved[..., :-2, 2:], image[..., 2:, :-2])
    assert moved[..., -2:, :].abs().sum() + moved[..., :2].abs().sum() == 0


def test_colours_move_as_the_numbers_say() -> None:
    change = AUGMENTATIONS["colour"].change
    image = torch.rand(1, 3, 4, 4)
    same = [0.5, 1.0, 0.0]
    assert torch.allclose(change(image, torch.tensor([same])), image)
    for number, value, expected in (
        (0, 0.0, (image + 1) / 2),
        (0, 1.0, image / 2),
        (1, 0.0, image.mean(1, keepdim=True).expand_as(image)),
        (2, 1.0, (image + image.mean()) / 2),
    ):
        numbers = torch.tensor([[*same[:number], value, *same[number + 1 :]]])
        assert torch.allclose(change(image, numbers), expected, atol=1e-6)


@pytest.mark.parametrize("network", GAN_NETWORKS)
def test_a_pack_has_one_score_and_every_picture_counts(network: str) -> None:
    objective, given = built(network, packing=4, discriminator_norm="none", minibatch="none"), batch()
    image = given.image.clone().requires_grad_()
    scores = objective.score(image)
    assert scores.shape == (2,)
    (gradient,) = torch.autograd.grad(scores[0], image)
    assert (gradient.flatten(1).abs().sum(1) > 0).tolist() == [True] * 4 + [False] * 4
    assert torch.equal(objective.judged(given, image, "real").scores, scores)
    assert torch.equal(objective.score(image[:7]), objective.score(image[:4])), "a pack that is not full has no score"


def test_the_gradient_penalties_are_their_equations_for_packs_too() -> None:
    objective, given = built(packing=2, r1=3.0, r2=5.0, gradient_penalty=7.0, dragan=11.0), batch()
    fakes = objective.draw(given)
    terms = objective.discriminator_loss(given, fakes).terms
    real, fake = given.image, fakes.image.detach()
    place = given.uniform(1, 1, 1, stream="interpolation")[[0, 0, 2, 2, 4, 4, 6, 6]]
    noise = given.normal(3, 16, 20, stream="around") * torch.stack([row.std() / 2 for row in real])[:, None, None, None]

    def lengths(images: torch.Tensor) -> np.ndarray:
        packs = [images[start : start + 2].clone().requires_grad_() for start in range(0, 8, 2)]
        gradients = [torch.autograd.grad(objective.score(pack)[0], pack)[0] for pack in packs]
        return np.array([math.sqrt(float((gradient.double() ** 2).sum())) for gradient in gradients])

    expected = {
        "r1": 3 / 2 * np.mean(lengths(real) ** 2),
        "r2": 5 / 2 * np.mean(lengths(fake) ** 2),
        "gradient_penalty": 7 * np.mean((lengths(fake + place * (real - fake)) - 1) ** 2),
        "dragan": 11 * np.mean((lengths(real + noise) - 1) ** 2),
    }
    assert {name: terms[name].item() for name in expected} == pytest.approx(expected, rel=1e-4)


def test_lazy_penalties_have_the_same_mean_weight() -> None:
    weights = {"r1": 3.0, "r2": 5.0, "gradient_penalty": 7.0, "dragan": 11.0}
    always, lazy = built(**weights), built(**weights, penalty_every=4)
    for step in (3, 4, 5):
        lazy_terms, terms = (
            {name: term.item() for name, term in one.discriminator_loss(given, one.draw(given)).terms.items()}
            for given in [batch(step)]
            for one in (lazy, always)
        )
        if step % 4:
            assert lazy_terms.keys() == terms.keys() - weights.keys()
        else:
            expected = {name: (4 if name in weights else 1) * term for name, term in terms.items()}
            assert lazy_terms == pytest.approx(expected)


def test_augmentation_treats_real_and_fake_alike_in_both_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, object, float]] = []

    def counted(image: torch.Tensor, names: object, probability: float, batch: Batch, stream: str) -> torch.Tensor:
        seen.append((stream, names, probability))
        return augmented(image, names, probability, batch, stream)

    monkeypatch.setattr("pinxit.objectives.gan.augmented", counted)
    objective = built(loss="relativistic", augment_discriminator="cutout", augment_probability=0.25)
    fakes = objective.draw(batch())
    objective.discriminator_loss(batch(), fakes)
    assert seen == [(f"augment {side}", ("cutout",), 0.25) for side in ("real", "fake")]
    objective.loss(batch(), fakes)
    assert sorted(seen[2:]) == sorted(seen[:2])


def test_adaptive_probability_follows_the_sign_of_real_scores() -> None:
    probability = AdaptiveProbability(target=0.6, largest=0.5)
    probability.follow(0.7, PICTURES // 4)
    assert probability.value.item() == pytest.approx(0.25)
    probability.follow(0.5, PICTURES // 8)
    assert probability.value.item() == pytest.approx(0.125, rel=1e-3)
    for sign, end in ((1.0, 0.5), (-1.0, 0.0)):
        probability.follow(sign, PICTURES)
        assert probability.value.item() == end


def test_adaptive_probability_moves_once_a_step_and_is_logged() -> None:
    objective = built(augment_discriminator="cutout", augment_target=0.6, learning_rate=1e-9)
    with torch.no_grad():
        objective.networks["discriminator"].score.score.bias.fill_(9.0)  # every picture is called real
    training = TrainingSettings(steps=3, batch_size=8, accumulate=2)
    machine = Trainer(objective, batch, training, PROCESSOR)
    logged = [record.values["discriminator/augment_probability"] for record in machine]
    assert logged == pytest.approx([0, 8 / PICTURES, 16 / PICTURES])
    objective.loss(batch(), objective.draw(batch()))
    objective.discriminator_loss(batch(), objective.draw(batch()))
    assert objective.augment_probability.item() == pytest.approx(24 / PICTURES), "a loss moves nothing"


@pytest.mark.parametrize("loss", [name for name, row in ADVERSARIAL.items() if not row.bounded])
def test_the_middle_of_a_loss_is_where_real_and_fake_are_equally_likely(loss: str) -> None:
    row = ADVERSARIAL[loss]
    best = torch.zeros(1, requires_grad=True)
    if row.middle is None:  # only differences count
        assert row.discriminator(best + 5, best + 5).item() == pytest.approx(row.discriminator(best, best).item())
        return
    score = torch.tensor([row.middle], requires_grad=True)
    row.discriminator(score, score).backward()
    assert score.grad.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", [name for name, row in ADVERSARIAL.items() if row.labelled])
def test_label_smoothing_lowers_the_label_of_real_pictures(loss: str) -> None:
    objective = built(loss=loss, label_smoothing=0.2)
    fakes = objective.draw(batch())
    real = torch.tensor([0.8 if loss == "least-squares" else math.log(0.8 / 0.2)], requires_grad=True)
    total = ADVERSARIAL[loss].discriminator(real, real.detach()) + 0.2 * real.mean()
    total.backward()
    assert real.grad.item() == pytest.approx(0, abs=1e-6), "the best real score is that of the label 0.8"
    terms = objective.discriminator_loss(batch(), fakes).terms
    assert terms["label_smoothing"].item() == pytest.approx(0.2 * objective.score(batch().image).mean().item())


def test_feature_matching_is_the_distance_of_mean_features() -> None:
    objective = built(feature_matching=3.0)
    fakes = objective.draw(batch())
    term = objective.loss(batch(), fakes).terms["feature_matching"]
    of = objective.networks["discriminator"].last_features
    real, fake = (of(image).detach().numpy() for image in (batch().image, fakes.image))
    expected = 3 * np.mean((real.mean(0) - fake.mean(0)) ** 2)
    assert term.item() == pytest.approx(expected, rel=1e-5)
    assert feature_distance(torch.eye(3), torch.eye(3).flip(0)).item() == 0


def test_a_history_is_the_mean_of_past_weights() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    history = History(layer)
    for step, weight in enumerate([1.0, 2.0, 6.0]):
        layer.weight.data.fill_(weight)
        history.follow(layer, step)
    layer.weight.data.fill_(5.0)
    assert history.distance(layer).item() == pytest.approx((5 - 3) ** 2)


def test_training_takes_each_step_into_the_histories() -> None:
    machine = Trainer(built(historical_averaging=0.1), batch, TrainingSettings(steps=3, batch_size=8), PROCESSOR)
    layer = machine.objective.networks["generator"].first
    weights = [layer.weight.detach().clone()]
    for record in machine:
        distance = record.values["generator/historical_averaging"]
        assert (distance > 0) == (record.step > 1), "at first there is no past"
        weights.append(layer.weight.detach().clone())
    mean = machine.objective.networks["history"]["generator"].get_buffer("generator-first-weight")
    assert torch.allclose(mean, torch.stack(weights).mean(0), atol=1e-6)


def test_a_code_is_a_category_and_values_in_the_generators_input() -> None:
    code, latent = Code(4, 2), batch(rows=2000).normal(8)
    given = code.given(latent)
    assert given.shape == latent.shape
    assert torch.equal(given[:, :4].argmax(1), latent[:, :4].argmax(1))
    assert set(given[:, :4].unique().tolist()) == {0, 1}
    assert given[:, :4].mean(0).tolist() == pytest.approx([0.25] * 4, abs=0.04)
    assert given[:, 4:6].mean().item() == pytest.approx(0, abs=0.03)
    assert given[:, 4:6].std().item() == pytest.approx(3**-0.5, abs=0.02), "uniform from -1 to 1"
    assert torch.equal(given[:, 6:], latent[:, 6:])
    chosen = code.given(code.chosen(latent, category=2, values=[-0.5]))
    assert (chosen[:, :4] == torch.tensor([0.0, 0, 1, 0])).all()
    assert chosen[:, 4].tolist() == pytest.approx([-0.5] * 2000)
    assert torch.equal(chosen[:, 5:], given[:, 5:])


def test_the_information_is_the_papers_bound() -> None:
    code, latent = Code(3, 1), batch(rows=50).normal(5)
    read = batch(step=7, rows=50).normal(4)
    log_q = torch.log_softmax(read[:, :3], 1)[torch.arange(50), latent[:, :3].argmax(1)]
    value = 2 * torch.distributions.Normal(0.0, 1.0).cdf(latent[:, 3]) - 1
    log_q = log_q + torch.distributions.Normal(read[:, 3], 1.0).log_prob(value)
    expected = log_q.mean() + math.log(3) + math.log(2)
    assert code.information(read, latent).item() == pytest.approx(expected.item(), rel=1e-5)
    sure = torch.cat([1e4 * code.given(latent)[:, :3], value[:, None]], 1)
    assert Code(3, 0).information(sure[:, :3], latent).item() == pytest.approx(math.log(3))


def test_codes_can_be_read_after_some_steps() -> None:
    objective = built(code_categories=2, channels=8, learning_rate=5e-3)
    machine = Trainer(objective, batch, TrainingSettings(steps=60, batch_size=8), PROCESSOR)
    bounds = [-record.values["generator/information"] for record in machine]
    assert np.mean(bounds[-10:]) > 0.5 > np.mean(bounds[:3]), "log 2 is all there is to know"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"packing": 2, "conditional": True}, "--packing"),
        ({"packing": 2, "code_values": 1}, "--packing"),
        ({"label_smoothing": 0.1, "loss": "hinge"}, "saturating or non-saturating or least-squares"),
        ({"label_smoothing": 0.1, "loss": "wasserstein", "weight_clip": 0.01}, "--label-smoothing"),
        ({"augment_target": 0.6}, "--augment-discriminator colour,translation,cutout"),
        ({"augment_probability": 0.5}, "--augment-discriminator"),
        (
            {
                "augment_target": 0.6,
                "augment_discriminator": "cutout",
                "loss": "wasserstein",
                "weight_clip": 1,
            },
            "--augment-target",
        ),
        ({"code_categories": 1}, "--code-categories"),
        ({"information": 0.5}, "add --code-categories"),
        ({"code_categories": 6}, "at least 7"),
        ({"network": "dcgan", "dragan": 10}, "--discriminator-norm none"),
        ({"penalty_every": 8}, "add --r1"),
        ({"discriminator": "projected", "r1": 1}, "omit --discriminator"),
        ({"discriminator": "projected", "packing": 2}, "omit --packing"),
    ],
)
def test_tricks_that_cannot_work_are_refused(settings: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        built(**({"network": "dense"} | settings))


@pytest.mark.parametrize("network", GAN_NETWORKS)
def test_a_default_of_layers_that_a_network_does_not_have_is_told(network: str) -> None:
    assert GANSettings(network=network).remarks() == (), "nothing was asked for"
    networks = built(network).networks
    has = {"enlarge": any(isinstance(layer, nn.ConvTranspose2d) for layer in networks["generator"].modules())} | {
        f"{player}_norm": any(isinstance(layer, nn.BatchNorm2d) for layer in networks[player].modules())
        for player in ("generator", "discriminator")
    }
    for name, default in LAYERS_OF:
        told = GANSettings(network=network, **{name: default}).remarks()
        assert [network in line for line in told] == ([] if has[name] else [True])


@pytest.mark.usefixtures("no_report")
def test_the_command_line_fixes_parts_of_a_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "cards.npz", images=np.random.default_rng(0).integers(0, 256, (12, 16, 16), np.uint8))
    training = TrainingSettings(steps=1, batch_size=4, threads=1, device="cpu", precision="float32")
    coded = GANSettings(network="dense", code_categories=3, code_values=2, **SMALL)
    pinxit.train(coded, tmp_path / "cards.npz", tmp_path / "run", None, training)
    run, out = str(tmp_path / "run"), tmp_path / "some.npz"
    assert command_line(["sample", run, "-n", "3", "--code", "category=2, value2=-0.5", "-o", str(out)]) == 0
    model = pinxit.load(run)
    latents = model.objective.code.chosen(model.latents(3), 2, [None, -0.5])
    assert np.array_equal(np.load(out)["images"], model.generate(latents))
    free, fixed = model.latents(3), model.fixing("value2=1").latents(3)
    assert (1 - model.code.given(fixed)[:, 4]).abs().max() <= 2e-6
    assert (free != fixed).any(0).tolist() == [number == 4 for number in range(SMALL["latent"])]
    assert fixed.isfinite().all()
    rows = model.fixing("category=1").interpolate(2, 3)
    assert rows.shape == (2, 3, 16, 16, 1)

    rows = coding.traverse(model, rows=3, columns=3)
    categories = torch.cat([model.code.chosen(model.latents(1), number) for number in range(3)])
    assert np.array_equal(rows[0], model.generate(categories))
    ends = torch.cat([model.code.chosen(model.latents(1), None, [end]) for end in (-0.98758, 0.0, 0.98758)])
    assert np.abs(rows[1].astype(int) - model.generate(ends)).max() <= 1

    wrong = {
        "categry=1": "did you mean 'category'", "category=3": "a whole number from 0 to 2", "value1=2": "-1 to 1",
        "category": "write it as category=0, value2=0.5", "value1=nan": "-1 to 1", "value3=0": "no such part",
    }  # fmt: skip
    for text, why in wrong.items():
        assert command_line(["sample", run, "--code", text]) == 2
        assert why in capsys.readouterr().err
    pinxit.train(GANSettings(network="dense", **SMALL), tmp_path / "cards.npz", tmp_path / "plain", None, training)
    assert command_line(["sample", str(tmp_path / "plain"), "--code", "category=1"]) == 2
    assert "--code: this run has none; train it with --code-categories" in capsys.readouterr().err


def test_an_unknown_augmentation_is_refused_with_the_nearest() -> None:
    assert GANSettings(augment_discriminator=" cutout , colour").augment_discriminator == "cutout,colour"
    with pytest.raises(UsageError, match="did you mean 'colour'"):
        GANSettings.parse({"augment_discriminator": "color"})


@pytest.mark.usefixtures("no_report")
def test_a_run_with_a_code_samples_it_and_a_batch_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "cards.npz", images=np.random.default_rng(0).integers(0, 256, (12, 16, 16), np.uint8))
    training = TrainingSettings(steps=1, batch_size=4, threads=1, device="cpu", precision="float32")
    coded = GANSettings(network="dense", code_categories=3, **SMALL)
    pinxit.train(coded, tmp_path / "cards.npz", tmp_path / "run", None, training)
    model = pinxit.load(tmp_path / "run")
    latents = [model.objective.code.chosen(model.latents(5), category) for category in (0, 1)]
    one, other = (model.generate(each) for each in latents)
    assert one.shape == (5, 16, 16, 1)
    assert not np.array_equal(one, other)
    assert np.array_equal(model.fixing("category=1").sample(5)[0], other)
    packed = GANSettings(network="dense", packing=3, **SMALL)
    with pytest.raises(UsageError, match="--packing 3 needs a multiple of 3, such as 6"):
        pinxit.train(packed, tmp_path / "cards.npz", tmp_path / "none", None, training)
    near = GANSettings(network="dense", minibatch="discrimination", **SMALL)
    for accumulate, packing in ((4, 1), (2, 2)):
        alone = training.changed(accumulate=accumulate)
        with pytest.raises(UsageError, match=f"has {packing}; it needs {2 * packing}, as by --batch-size"):
            pinxit.train(near.changed(packing=packing), tmp_path / "cards.npz", tmp_path / "none", None, alone)
    assert not (tmp_path / "none").exists()
