"""Laws of the diagnosis: each rule sees its own trouble in a made-up log, and nothing in a healthy one."""

import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from conftest import TinyRuns
from pinxit.cli import run as command_line
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.losses.latent import PENALTIES
from pinxit.objectives import OBJECTIVES
from pinxit.training import plan
from pinxit.training.curves import EVERY, Curve, Windows, read_log
from pinxit.training.diagnosis import ENDS, RULES, diagnose, judge
from pinxit.training.diagnosis.remedies import anew
from pinxit.training.recipes import DataRecipe, HardwareRecipe, Recipe, TrainingRecipe

FIXTURES = Path(__file__).parents[1] / "fixtures"
WINDOWS = 20
STEPS = WINDOWS * EVERY
Log = dict[str, Curve]
CODED = (
    "exploding-gradient",
    "no-learning",
    "dead-units",
    "posterior-collapse",
    "blurry-decoder",
    "dead-codes",
    "idle-levels",
)
NEVER = STEPS * 10  # a last step that the log does not reach


def recipe(steps: int = NEVER, objective: str = "gan", **settings: object) -> Recipe:
    return Recipe(
        objective=objective,
        settings=OBJECTIVES[objective].parse(settings),
        data=DataRecipe(source="cards.npz", name="cards", fingerprint="f" * 64, size=16, channels=1),
        training=TrainingRecipe(steps=steps, batch_size=8),
        hardware=HardwareRecipe(device="cpu", precision="float32", threads=1, reason="a test"),
    )


def curve(values: Iterable[float], every: int = EVERY) -> Curve:
    values = np.array(list(values), np.float64)
    return Curve(np.arange(len(values)) * every + 1.0, values)


def to(*ends: float) -> Curve:
    """A reading at every look that goes evenly from the first value to the last, within the first five looks."""
    return curve([*np.linspace(ends[0], ends[-1], 5), *[ends[-1]] * (WINDOWS - 5)])


def steady(value: float, last: float | None = None) -> Curve:
    """A value of every step, with the noise that all have; `last` is what it goes to in the first quarter."""
    rng = np.random.default_rng(int(abs(value) * 100) + 1)
    path = np.concatenate([np.linspace(value, value if last is None else last, STEPS // 4), np.zeros(STEPS * 3 // 4)])
    path[STEPS // 4 :] = path[STEPS // 4 - 1]
    return curve(path * (1 + 0.05 * rng.standard_normal(STEPS)), 1)


def growing(first: float, last: float) -> Curve:
    return curve(np.geomspace(first, last, STEPS), 1)


def healthy() -> Log:
    """A GAN whose samples come close to the pictures within the first five looks."""
    log = {f"watch/{player}/update_ratio": to(4e-2, 1e-2) for player in ("discriminator", "generator")}
    log |= {f"watch/{player}/dead_units": to(0, 0.02) for player in ("discriminator", "generator")}
    log |= {f"{player}/gradient_norm": steady(2.0) for player in ("discriminator", "generator")}
    return log | {
        "discriminator/adversarial": steady(0.8),
        "discriminator/real_score": steady(1.5),
        "discriminator/fake_score": steady(-1.2),
        "generator/adversarial": steady(1.6),
        "watch/diversity": to(0.1, 1.0),
        "watch/separation": to(0.1, 0.9),
        "watch/coverage": to(0.05, 0.9),
        "watch/nearest": to(4.0, 1.1),
        "watch/data_diversity": to(0.5, 0.5),
        "watch/told_apart": to(1.0, 0.9),
        "watch/train_score": to(0.0, 1.5),
        "watch/held_out_score": to(0.0, 1.4),
        "watch/sample_score": to(0.0, -1.2),
        "watch/held_out_told_apart": to(1.0, 0.9),
        "watch/non_finite": to(0, 0),
    }


def autoencoder(**readings: Curve) -> Log:
    usual = {"active_units": steady(9), "sharpness": steady(0.7), "reconstruction": steady(20)}
    return {f"autoencoder/{name}": value for name, value in (usual | readings).items()}


def swinging() -> Log:
    scores = curve(np.repeat([-1.2, -8.0] * (WINDOWS // 2), EVERY), 1)
    return {"discriminator/fake_score": scores}


def balanced() -> Log:
    """Scores that were apart, and then hardly are: they swing by more than that, but by little."""
    real, fake = (np.repeat([side] * 8 + [0.1 * side] * (WINDOWS - 8), EVERY) for side in (1.5, -1.5))
    jitter = np.repeat([0.0, 0.4] * (WINDOWS // 2), EVERY)
    return {"discriminator/real_score": curve(real + jitter, 1), "discriminator/fake_score": curve(fake + jitter, 1)}


def one_odd_window() -> Curve:
    """A loss that is far too small but for some odd steps in the last window but one."""
    values = np.full(STEPS, 1e-3)
    values[-2 * EVERY : -2 * EVERY + 5] = 9.0
    return curve(values, 1)


UNLIKE = {"watch/nearest": to(4.0, 3.6), "watch/diversity": to(0.1, 0.3), "watch/coverage": to(0.05, 0.1)}
SICK: dict[str, list[tuple[Recipe, Log]]] = {
    "exploding-gradient": [
        (recipe(), healthy() | {"discriminator/gradient_norm": growing(2.0, 4e3)}),
        (recipe(), healthy() | {"watch/generator/update_ratio": to(0.3, 0.4)}),
        (recipe(), healthy() | UNLIKE | {"watch/discriminator/update_ratio": to(7.0, 1e-3)}),
        (recipe(), healthy() | {"watch/non_finite": curve([0] * (WINDOWS - 1) + [1])}),
        (recipe(), healthy() | {"discriminator/real_score": steady(3e4)}),
        (recipe(objective="vae"), autoencoder() | {"autoencoder/gradient_norm": growing(1.0, 1e4)}),
    ],
    "no-learning": [
        (recipe(), healthy() | UNLIKE | {"watch/generator/update_ratio": to(1e-6, 1e-6)}),
        (recipe(objective="restore"), {"watch/restorer/update_ratio": to(1e-7, 1e-7)}),
        (recipe(), healthy() | {"watch/discriminator/idle_weights": to(0.3, 0.3)}),
    ],
    "vanishing-gradient": [
        (recipe(loss="saturating"), healthy() | UNLIKE | {"generator/gradient_norm": steady(2.0, 1e-4)}),
        (recipe(loss="wasserstein", weight_clip=1e-4), healthy() | UNLIKE | {"generator/gradient_norm": steady(1e-9)}),
    ],
    "dead-units": [(recipe(), healthy() | {"watch/generator/dead_units": to(0.1, 0.8)})],
    "discriminator-memorises": [
        (recipe(), healthy() | {"watch/held_out_score": to(0.0, -0.9), "watch/told_apart": to(1.0, 1.0)}),
        (recipe(), healthy() | {"watch/nearest": to(4.0, 0.2)}),
    ],
    "discriminator-weak": [
        (recipe(), healthy() | {"watch/told_apart": to(0.5, 0.2), "watch/diversity": to(0.1, 0.05)}),
        (recipe(), healthy() | UNLIKE | {"watch/told_apart": to(0.5, 0.2)}),
        (recipe(), healthy() | {"watch/told_apart": to(0.5, 0.0), "discriminator/adversarial": steady(0.01)}),
    ],
    "discriminator-won": [
        (
            recipe(loss=loss),
            healthy()
            | UNLIKE
            | {"discriminator/adversarial": steady(row.healthy[0] / 9), "watch/told_apart": to(1, 1)},
        )
        for loss, row in ADVERSARIAL.items()
        if row.healthy
    ]
    + [
        (recipe(), healthy() | UNLIKE | {"discriminator/adversarial": one_odd_window(), "watch/told_apart": to(1, 1)}),
        (
            recipe(),
            healthy()
            | {"watch/told_apart": to(1, 1), "watch/nearest": curve([4.0] + [1.0] * 4 + [3.0] * (WINDOWS - 5))},
        ),
    ],
    "collapse": [
        (recipe(), healthy() | {"watch/diversity": to(0.1, 0.02), "watch/separation": to(0.1, 0.0)}),
        (recipe(), healthy() | {"watch/separation": to(0.1, 0.01), "watch/coverage": to(0.1, 0.15)}),
        (recipe(), healthy() | {"watch/data_diversity": to(0.0, 0.0)}),
    ],
    "partial-collapse": [(recipe(), healthy() | {"watch/coverage": to(0.05, 0.2), "watch/separation": to(0.1, 0.4)})],
    "identity": [(recipe(objective="translate"), healthy() | {"watch/identity": to(0.5, 0.01)})],
    "oscillation": [(recipe(), healthy() | swinging())],
    "posterior-collapse": [(recipe(objective="vae"), autoencoder(active_units=steady(0.01), sharpness=steady(0.05)))],
    "blurry-decoder": [(recipe(objective="vae"), autoencoder(sharpness=steady(0.1)))],
    "dead-codes": [
        (recipe(objective="vq"), {"autoencoder/codes_used": steady(0.1)}),
        (recipe(objective="vq"), {"autoencoder/codes_used": steady(0.9), "watch/codes_met": to(0.3, 0.1)}),
    ],
    "idle-levels": [(recipe(objective="vae", levels=2), autoencoder(rate_level_1=steady(3), rate_level_2=steady(0)))],
    "still-improving": [
        (recipe(STEPS), healthy() | {"watch/nearest": curve(np.linspace(4, 1.2, WINDOWS))}),
    ],
    "finished": [(recipe(STEPS), healthy())],
}
EACH = [(name, of, log) for name, cases in SICK.items() for of, log in cases]
WELL = [
    (recipe(), healthy()),
    (recipe(), healthy() | {"watch/generator/update_ratio": to(5e-5, 5e-5)}),  # large weights, as of a style generator
    (recipe(), healthy() | {"watch/diversity": curve([0.1] * 8 + [0.9] * 12)}),  # samples that differ late
    (recipe(), healthy() | balanced()),
    (recipe(objective="vae"), autoencoder()),
    (recipe(objective="vq"), {}),
]


def cut(log: Log, step: float) -> Log:
    """What a log held after a step; a curve that had no point yet is missing."""
    parts = {name: Curve(*(column[at.at <= step] for column in at)) for name, at in log.items()}
    return {name: part for name, part in parts.items() if len(part.at)}


def test_each_rule_sees_its_own_trouble_and_no_other_does() -> None:
    assert SICK.keys() == RULES.keys()
    for name, of, log in EACH:
        found = diagnose(log, of)
        assert [finding.name for finding in found] == [name]
        (finding,) = found
        assert finding.grave == (name not in (*ENDS, "blurry-decoder"))
        assert 1 <= finding.step <= STEPS
        assert finding.evidence
        assert all(np.isfinite(value) for value in finding.evidence.values())
        assert "{" not in finding.sentence
        assert finding.sentence.endswith(".")
        json.dumps(asdict(finding), allow_nan=False)


def test_nothing_is_found_in_healthy_logs() -> None:
    for of, log in WELL:
        assert diagnose(log, of) == ()
    for kind in ("gan", "vae", "vq"):
        log = read_log(FIXTURES / f"{kind}-after" / "log.jsonl")
        of = Recipe.parse(json.loads((FIXTURES / kind / "recipe.json").read_text()))
        assert diagnose(log, of.changed(training={"steps": 1000})) == ()


def test_a_finding_depends_on_the_log_alone() -> None:
    """Not on the order of its lines, on unknown names, on how often one asks, or on how the windows were made."""
    for _, of, log in EACH:
        found = diagnose(log, of)
        rng = np.random.default_rng(0)
        orders = {name: rng.permutation(len(one.at)) for name, one in log.items()}
        mixed = {name: Curve(*(column[orders[name]] for column in one)) for name, one in reversed(log.items())}
        assert diagnose(mixed | {"aardvark/zeal": to(1, 9), "watch/": to(1, 2)}, of) == found
        assert diagnose(log, of) == found
        grown, steps = Windows(), {float(step) for one in log.values() for step in one.at}
        places = {name: dict(zip(*one, strict=True)) for name, one in log.items()}
        for step in sorted(steps):
            grown.add(int(step), {name: values[step] for name, values in places.items() if step in values})
        assert judge(grown, of, of.training.steps <= STEPS) == found


def test_a_log_that_is_cut_or_damaged_is_no_error() -> None:
    for _, of, log in [*EACH, *(("", *well) for well in WELL)]:
        for step in (0, 1, EVERY, EVERY + 1, 3 * EVERY + 7, 5 * EVERY + 1, STEPS // 2):
            diagnose(cut(log, step), of)
    for of, log in (case for name in ("collapse", "discriminator-won") for case in SICK[name]):
        for left in log:
            diagnose({left: log[left]}, of)
            diagnose({other: one for other, one in log.items() if other != left}, of)
    ladder = recipe(objective="vae", levels=2), {"autoencoder/rate_level_x": curve([0.0] * WINDOWS)}
    assert diagnose(ladder[1], ladder[0]) == ()
    far = Curve(np.array([1.0, 1e300]), np.array([1.0, 1e300]))
    for values in (far, curve([]), curve([0.0]), curve([1e308] * 9), curve([-1e-308] * 300)):
        for of, log in WELL:
            diagnose(dict.fromkeys(log, values), of)


@pytest.mark.usefixtures("no_report")
def test_a_remedy_is_a_command_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It repeats what was asked for, but for one setting."""
    monkeypatch.chdir(tmp_path)
    np.savez("cards.npz", images=np.random.default_rng(0).integers(0, 256, (12, 16, 16), np.uint8))
    asked = {"network": "dense", "channels": 2, "latent": 2, "r1": 0.5, "conditional": False}
    (found,) = diagnose(SICK["collapse"][0][1], recipe(**asked))
    words = shlex.split(found.remedy or "")
    assert words[:4] == ["pinxit", "train", "gan", "cards.npz"]
    words[words.index("--steps") + 1] = "1"
    assert command_line([*words[1:], "--out", "again"]) == 0
    again = Recipe.parse(json.loads(Path("again/recipe.json").read_text()))
    before = recipe(**asked).settings.model_dump()
    changed = {name for name, value in again.settings.model_dump().items() if value != before[name]}
    assert len(changed) == 1
    assert again.training.batch_size == 8


@pytest.mark.parametrize("how", ["--paired", "--unpaired", "ab"])
@pytest.mark.usefixtures("no_report")
def test_a_remedy_of_a_translation_names_both_places(
    how: str, tmp_path: Path, photos: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ways = {"ab": [str(photos(6, size=(64, 32)))]}
    ways[how] = ways.get(how) or [str(photos(6, name="a")), str(photos(6, name="b")), how]
    words = ["train", "translate", *ways[how], "--size", "16", "--channels", "4", "--patch", "16", "--steps", "1"]
    assert command_line([*words, "--out", "first"]) == 0
    first = Recipe.parse(json.loads(Path("first/recipe.json").read_text()))
    assert command_line([*shlex.split(anew(first, {"learning_rate": 1e-5}))[1:], "--out", "again"]) == 0
    again = Recipe.parse(json.loads(Path("again/recipe.json").read_text()))
    assert again.settings == first.settings.changed(learning_rate=1e-5)
    assert (again.data, again.others, again.training) == (first.data, first.others, first.training)


@pytest.mark.usefixtures("no_report")
def test_a_remedy_repeats_what_is_void(tmp_path: Path, tiny_runs: TinyRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "segment", str(tiny_runs.fields), "--void", "2", "--steps", "1", "--channels", "4"]
    assert command_line([*words, "--out", "first"]) == 0
    first = Recipe.parse(json.loads(Path("first/recipe.json").read_text()))
    assert " --void 2 " in anew(first, {"learning_rate": 1e-5})
    both = first.changed(data=first.data.changed(void=("1", "2")).model_dump())
    assert " --void 1 --void 2 " in anew(both, {"learning_rate": 1e-5})


def test_a_remedy_changes_the_settings_that_are_in_force() -> None:
    of, log = recipe(learning_rate=1e-3), SICK["collapse"][0][1]
    repair = {"at": 0, "field": "learning_rate", "value": 1e-4, "because": "collapse at step 100"}
    now = of.changed(repairs=(repair,))
    assert [found.remedy for found in diagnose(log, now)] == [found.remedy for found in diagnose(log, now.repaired(1))]
    prior = recipe(objective="prior", learning_rate=1e-9)
    (found,) = diagnose({"watch/prior/update_ratio": curve([1e-9] * WINDOWS)}, prior)
    assert found.remedy is not None
    assert found.remedy.startswith("pinxit train prior RUN --learning-rate 0.001 --steps")


KINDS: list[tuple[str, dict[str, object]]] = [
    ("gan", {}), ("gan", {"network": "style", "loss": "saturating", "label_smoothing": 0.1}),
    ("gan", {"loss": "wasserstein", "discriminator_norm": "spectral", "weight_decay": 0.1, "discriminator_steps": 5}),
    ("gan", {"loss": "wasserstein", "weight_clip": 0.5, "optimiser": "sgd", "learning_rate": 0.5}),
    ("gan", {"packing": 2, "discriminator_norm": "none", "penalty_every": 4, "r1": 20.0, "r2": 20.0}),
    ("gan", {"conditional": True, "code_categories": 3, "generator_norm": "virtual", "discriminator_rate": 1e-5}),
    *(("vae", {"penalty": penalty, "levels": 1}) for penalty in PENALTIES),
    ("vae", {"levels": 3, "beta": 4.0}), ("vae", {"importance": 5, "learning_rate": 0.5}),
    ("vae", {"pseudo_inputs": 5}),
    ("vq", {"codes": 64}),
]  # fmt: skip


def test_no_remedy_is_refused() -> None:
    for objective, settings in KINDS:
        of = recipe(objective=objective, **settings)
        of = of.changed(data=of.data.changed(classes=("a", "b")).model_dump())
        plan.refuse_misfit(of)
        for name in RULES if objective == "gan" else CODED:
            found = next((found for change in RULES[name].changes if (found := change(of))), {})
            other = of
            for field, better in found.items():
                other = other.having(field, better)
            plan.refuse_misfit(other)


def test_a_slow_change_is_followed_until_it_ends() -> None:
    """What was ill and is well again is not told, and a finding begins with the last stretch of its signs."""

    def trouble(values: list[float]) -> Log:
        return healthy() | {"watch/diversity": curve(values)}

    ill, well = [0.02] * 8, [1.0] * 12
    assert diagnose(trouble(ill + well), recipe()) == ()
    (found,) = diagnose(trouble(well + ill), recipe())
    assert found.name == "collapse"
    assert abs(found.step - (12 * EVERY + 1)) <= 2 * EVERY
