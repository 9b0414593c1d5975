"""Laws of the watch: it moves nothing, sees the same in parts, and its readings mean what they say."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pinxit
from conftest import TinyRuns
from pinxit import hardware
from pinxit.data import Batch
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.settings import GANSettings, ObjectiveSettings, VAESettings, VQVAESettings
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer
from pinxit.training.watch import Likeness, Motion, RandomFeatures, Units, Watch, due, told_apart

GAN = partial(GANSettings, channels=4, latent=4)
CASES: dict[str, ObjectiveSettings] = {
    "batch norm": GAN(conditional=True),
    "spectral norm": GAN(discriminator_norm="spectral", loss="hinge", packing=2, discriminator_steps=2),
    "adaptive": GAN(network="dense", augment_discriminator="translation", augment_target=0.6),
    "autoencoder": VAESettings(channels=4, latent=4, adversarial=0.1),
    "codebook": VQVAESettings(channels=4, codes=8, dimensions=4),
}


def pictures(rows: int = 24, seed: int = 0) -> Batch:
    """Half of them dark, half bright, so that they have kinds."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(rows, 1, 16, 16, generator=rng) / 2 + (torch.arange(rows) % 2 / 2)[:, None, None, None]
    return Batch(image=image, label=torch.arange(rows) % 3, seed=1, step=9)


def trainer(settings: ObjectiveSettings, watched: bool, accumulate: int = 1) -> Trainer:
    torch.manual_seed(0)
    objective = settings.build(PictureShape(16, 1, 3))
    computing = hardware.choose("cpu", "float32", threads=1)
    training = TrainingSettings(steps=2, batch_size=12, accumulate=accumulate)
    made = Trainer(objective, lambda step: replace(pictures(12, step), step=step), training, computing)
    if watched:
        seen = (batch.to(computing.device, computing.memory_format) for batch in (pictures(), pictures(seed=1)))
        made.watch = Watch(objective, computing, 12 // accumulate, *seen, [pictures(seed=2).image])
    return made


def test_a_watched_training_ends_with_the_same_bits() -> None:
    """Nothing that a network remembers moves, no global number is drawn, and buffers are as before a look."""
    for name, settings in CASES.items():
        watched, alone = trainer(settings, True), trainer(settings, False)
        drawn = torch.get_rng_state()
        records = [list(one) for one in (watched, alone)]
        assert torch.equal(torch.get_rng_state(), drawn)
        states = [one.state() for one in (watched, alone)]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items()), name
        assert all(part.training for part in watched.objective.networks.modules())
        first, *later = (
            {key: value for key, value in record.values.items() if not key.startswith("watch/")}
            for record in records[0]
        )
        assert [first, *later] == [record.values for record in records[1]]
        assert records[0][0].values.keys() > first.keys()


def test_a_look_sees_the_same_in_any_number_of_parts() -> None:
    for settings in (GAN(discriminator_norm="none", network="dense"), VAESettings(network="dense", channels=4)):
        whole, parts = (next(iter(trainer(settings, True, accumulate))).values for accumulate in (1, 3))
        assert whole.keys() == parts.keys()
        for name in (name for name in whole if name.startswith("watch/")):
            assert whole[name] == pytest.approx(parts[name], rel=1e-3, abs=1e-5), name


def test_every_player_is_looked_at_however_seldom_it_moves() -> None:
    for every in (1, 2, 3, 7, 30, 50):
        looks = [step for step in range(0, 500, every) if due(step, every)]
        assert looks == sorted(looks)
        assert len(looks) == 10


def test_distances_are_in_units_of_the_pictures_own() -> None:
    data = pictures(256).image
    likeness = Likeness(RandomFeatures(1), data.split(64), 64)
    like = likeness.read(pictures(64, seed=5).image)
    for name in ("diversity", "separation", "coverage", "nearest"):
        assert float(like[name]) == pytest.approx(1, abs=0.2), name
    copies = likeness.read(data[:64])
    assert float(copies["nearest"]) < 0.01
    one = likeness.read(data[:1].expand(64, -1, -1, -1))
    assert max(float(one[name]) for name in ("diversity", "separation")) < 0.01
    half = likeness.read(pictures(128, seed=5).image[::2])
    assert 0.3 < float(half["coverage"]) < 0.7
    assert float(Likeness(RandomFeatures(1), [data[:1].expand(64, -1, -1, -1)], 64).own) < 0.01


def test_a_colour_that_nobody_can_see_is_not_seen() -> None:
    image = torch.rand(3, 4, 16, 16)
    image[:, 3] = 0
    other = torch.cat([torch.rand(3, 3, 16, 16), image[:, 3:]], dim=1)
    assert torch.equal(RandomFeatures(4)(image), RandomFeatures(4)(other))


def test_units_are_dead_if_they_are_constant_in_all_parts() -> None:
    units = Units()
    for part in (torch.tensor([[1.0, -1, -2, 3]] * 2), torch.tensor([[1.0, 5, -3, 3]] * 2)):
        with units:
            F.relu(part)
            F.leaky_relu(torch.arange(12.0).view(2, 2, 3))
    assert float(units.dead()) == pytest.approx(3 / 7)  # of relu the first (1), the third (0) and the fourth (3)
    assert float(Units().dead()) == 0


def test_pairs_are_told_apart_by_their_order_alone() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert float(told_apart(real, fake)) == 0.75
    assert float(told_apart(real, real)) == 0.5
    assert float(told_apart(fake - 9, real)) == 0


def test_motion_is_read_layer_by_layer() -> None:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    for weight, gradient in zip(module.parameters(), (3.0, 4.0), strict=True):
        weight.data.fill_(1.0)
        weight.grad = torch.full_like(weight, gradient)
    motion = Motion(module)
    with torch.no_grad():
        for weight in module.parameters():
            weight += 0.5
    read = motion.read()
    expected = {"first": 6.0, "last": 4 * 2**0.5, "least": 4 * 2**0.5, "largest": 6.0}
    assert read == pytest.approx(
        {f"gradient_{key}": value for key, value in expected.items()} | {"update_ratio": 0.5, "idle_weights": 0}
    )


def test_a_player_without_any_gradient_does_not_move() -> None:
    """As one whose fakes are detached by mistake; or a part of it, whose layers are never called."""
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, bias=False))
    assert Motion(module).read() == {"update_ratio": 0.0, "idle_weights": 1.0}
    module[1](torch.ones(1, 2)).backward()
    assert Motion(module).read()["idle_weights"] == 0.75


def test_weights_that_begin_at_zero_are_not_thrown_away() -> None:
    module = nn.Linear(2, 2)
    for weight in module.parameters():
        nn.init.zeros_(weight)
    motion = Motion(module)
    nn.init.ones_(module.weight)
    assert "update_ratio" not in motion.read()


def test_a_motion_too_large_for_a_number_is_left_out() -> None:
    """A log has finite numbers only: a line with another one would be lost."""
    module = nn.Linear(2, 2, bias=False)
    nn.init.constant_(module.weight, 1e30)
    motion = Motion(module)
    nn.init.constant_(module.weight, -1e30)
    assert motion.read() == {"idle_weights": 1.0}


@pytest.mark.usefixtures("no_report")
def test_a_run_that_was_stopped_logs_what_it_would_have_logged(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    """The looks, and the findings that appear: learning at a rate of 1e-9 is none."""
    settings = pinxit.GANSettings(network="dense", channels=4, latent=4, learning_rate=1e-9)
    how = {"batch_size": 4, "threads": 1, "device": "cpu", "precision": "float32"}
    short, long = tmp_path / "short", tmp_path / "long"
    pinxit.train(settings, tiny_runs.cards, short, None, pinxit.TrainingSettings(steps=130, **how))
    pinxit.train(settings, tiny_runs.cards, long, None, pinxit.TrainingSettings(steps=160, **how))
    moved = shutil.copytree(short, tmp_path / "moved")
    pinxit.resume(moved, steps=160)
    log = (long / "log.jsonl").read_bytes()
    assert (moved / "log.jsonl").read_bytes() == log
    assert log.count(b'"watch/told_apart"') == 4
    assert log.count(b'"finding/no-learning": 1') == 1
    assert b"finding" not in (short / "log.jsonl").read_bytes()
