"""Auto-fix: what it changes and from where, and that kills and repeats come to the same weights, bit for bit."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import pinxit
from pinxit.actions import ACTIONS
from pinxit.cli import run as pinxit_run
from pinxit.data import open_data
from pinxit.data.settings import DataSettings
from pinxit.errors import DivergedError, UsageError
from pinxit.files import sha256
from pinxit.objectives.settings import GANSettings
from pinxit.tensors import read_tensors
from pinxit.training import journal, plan, repair, session, store
from pinxit.training.curves import EVERY, Windows, read_log
from pinxit.training.diagnosis import RULES, Finding, Rule
from pinxit.training.diagnosis.remedies import rate, when
from pinxit.training.recipes import Recipe, Repair
from pinxit.training.repair import SPACING, at_random, by_table, courses, cut_short, healthy, is_of, kept
from pinxit.training.run import Run
from pinxit.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_report")

ILL = 4 * EVERY
"""The step after which a training with a high learning rate is found to be ill, by the judge of these tests."""


def judged(windows: Windows, recipe: Recipe, ended: bool) -> tuple[Finding, ...]:
    """Find every training ill whose learning rate is high: a function of the log and the settings, as the real one."""
    ill = windows.last >= ILL and recipe.settings.learning_rate > 2e-3
    return (Finding("collapse", True, ILL - 20, {}, "It is ill.", None),) if ill else ()


@pytest.fixture
def ill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge above. The first remedy is none that a training takes; the second is of no use, and changes shapes."""
    monkeypatch.setattr(journal, "judge", judged)
    changes = lambda recipe: {"steps": 5}, when("packing", 1, 2), rate(0.5)
    monkeypatch.setitem(RULES, "collapse", Rule(lambda course: None, "", changes=changes))


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    np.savez(tmp_path / "pictures.npz", images=np.random.default_rng(0).integers(0, 256, (32, 16, 16), np.uint8))
    return str(tmp_path / "pictures.npz")


def new(folder: Path, pictures: str, model: Mapping[str, object] = {}, **training: object) -> Run:
    """A run that has a recipe and nothing else."""
    how = {"steps": ILL + 20, "batch_size": 4, "threads": 1, "device": "cpu", "precision": "float32", "auto_fix": True}
    gan = GANSettings(**{"network": "dense", "channels": 2, "latent": 4, "learning_rate": 3e-3} | model)
    settings = pinxit.TrainingSettings(**how | training)
    return Run.create(folder, plan.plan(gan, pictures, open_data(pictures), DataSettings(), settings))


def copied(run: Run, folder: Path) -> Run:
    """A run of the same recipe, in which no step is done."""
    folder.mkdir()
    shutil.copy(run.folder / "recipe.json", folder)
    return Run.open(folder)


def same(one: Run, other: Run) -> bool:
    """Say whether two runs have the same weights, log, recipe and sheets."""
    files = [(run.folder / name).read_bytes() for name in ("log.jsonl", "recipe.json") for run in (one, other)]
    sheets = [sorted(path.name for path in run.samples.iterdir()) for run in (one, other)]
    return (
        sha256(one.weights) == sha256(other.weights)
        and files[0] == files[1]
        and files[2] == files[3]
        and sheets[0] == sheets[1]
    )


class KilledError(Exception):
    pass


def killing(monkeypatch: pytest.MonkeyPatch, places: set[str]) -> None:
    """Kill the trainer once at each place: the name of a method, when, and the step."""
    left = set(places)

    def at(place: str) -> None:
        if place in left:
            left.remove(place)
            raise KilledError(place)

    def around(owner: type, name: str, step: Callable[..., int]) -> None:
        method = getattr(owner, name)

        def called(*arguments: object, **values: object) -> object:
            number = step(*arguments)
            at(f"before {name} {number}")
            found = method(*arguments, **values)
            at(f"after {name} {number}")
            return found

        monkeypatch.setattr(owner, name, called)

    around(Run, "change", lambda run: len(run.recipe.repairs))
    around(Trainer, "advance", lambda trainer: trainer.step)
    around(store.Checkpoints, "save", lambda checkpoints, step, *rest: step)
    around(store.Checkpoints, "drop", lambda checkpoints, *rest: 0)


def test_kills_and_repeats_come_to_the_same_weights(
    tmp_path: Path, pictures: str, ill: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new(tmp_path / "run", pictures)
    pinxit.resume(run.folder)
    repairs = [(repair.at, repair.field, repair.value) for repair in Run.open(run.folder).recipe.repairs]
    assert repairs == [(0, "packing", 2), (0, "learning_rate", 1.5e-3)]
    assert "auto-fix: collapse at step 200: --packing 2 from step 100 on\n" in capsys.readouterr().err
    values = ("packing 2", "learning-rate 0.0015")
    story = [f"collapse at step 200: --{value} from step 0 on" for value in values]
    assert list(ACTIONS["runs show"](run=run.folder).do().lines)[1:3] == story
    again = copied(run, tmp_path / "again")
    pinxit.resume(again.folder)
    assert same(again, run)

    killed = new(tmp_path / "killed", pictures)
    places = {"before save 100", "after save 100", "after advance 199", "before change 0", "after change 0",
              "before drop 0", "after drop 0", "before change 1", "after change 1", "after advance 219"}  # fmt: skip
    killing(monkeypatch, places)
    lives = 0
    while True:
        try:
            pinxit.resume(killed.folder)
            break
        except KilledError:
            lives += 1
    assert lives == len(places)
    assert same(killed, run)


def test_a_repair_in_the_middle_keeps_what_fits(
    tmp_path: Path, pictures: str, ill: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "collapse", Rule(lambda course: None, "", changes=(when("packing", 1, 2),)))
    monkeypatch.setattr(
        journal, "judge", lambda windows, recipe, ended: judged(windows, recipe, ended) * (recipe.settings.packing == 1)
    )
    run = new(tmp_path / "run", pictures)
    pinxit.resume(run.folder)
    recipe = Run.open(run.folder).recipe
    assert recipe.repairs[0].at == SPACING
    assert store.Checkpoints(run.checkpoints).steps() == [100, 200, 220]
    again = copied(run, tmp_path / "again")
    pinxit.resume(again.folder)
    assert same(again, run)

    images = open_data(pictures).train
    checkpoint = store.Checkpoints(run.checkpoints)._read(run.checkpoints / f"{SPACING:08d}")
    seeded, adapted = (plan.build_trainer(recipe.repaired(1), images) for _ in range(2))
    adapted.adapt(checkpoint.state, SPACING, same_optimiser=True)
    for name, value in adapted.objective.networks.state_dict().items():
        saved = checkpoint.state[f"networks.{name}"]
        expected = saved if saved.shape == value.shape else seeded.objective.networks.state_dict()[name]
        assert torch.equal(value, expected), name
    assert {name for name, optimiser in adapted.optimisers.items() if optimiser.state} == {"generator"}
    adapted = plan.build_trainer(recipe.repaired(0), images)
    adapted.adapt(checkpoint.state, SPACING, same_optimiser=True)
    assert adapted.state().keys() == checkpoint.state.keys()
    assert all(torch.equal(value, checkpoint.state[name]) for name, value in adapted.state().items())


def test_a_return_writes_the_weights_it_returns_to(
    tmp_path: Path, pictures: str, ill: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, advance = new(tmp_path / "run", pictures), Trainer.advance

    def killed(trainer: Trainer) -> object:
        if trainer.objective.settings.packing == 2:
            raise KilledError
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", killed)
    with pytest.raises(KilledError):
        pinxit.resume(run.folder)
    checkpoint = store.Checkpoints(run.checkpoints).newest()
    assert checkpoint is not None
    assert run.facts()["steps"] == checkpoint.step == SPACING
    for name, value in read_tensors(run.weights).items():
        assert torch.equal(value, checkpoint.state[f"average.{name}"]), name


def test_a_log_that_was_cut_within_a_line_loses_no_other(tmp_path: Path, pictures: str) -> None:
    run = new(tmp_path / "run", pictures, steps=5)
    pinxit.resume(run.folder)
    log = run.folder / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-40])
    pinxit.resume(run.folder, steps=8)
    assert read_log(log)["generator/adversarial"].at.tolist() == [1, 2, 3, 4, 6, 7, 8]


def test_what_nothing_helps_is_given_up_with_the_story(
    tmp_path: Path, pictures: str, ill: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repair, "TWICE", 4)
    beyond = Finding("collapse", True, 1, {}, "It is ill.", None)
    monkeypatch.setattr(journal, "judge", lambda windows, recipe, ended: (beyond,))
    run = new(tmp_path / "run", pictures)
    assert pinxit_run(["resume", str(run.folder)]) == 4
    said = capsys.readouterr().err
    history = Run.open(run.folder).recipe.repairs
    assert [repair.value for repair in history] == [2, 1.5e-3, 7.5e-4, 3.8e-4]
    assert all(f"{repair}\n" in said for repair in history)
    assert "step 50: collapse still, after 4 repairs" in said
    with pytest.raises(DivergedError, match="collapse still"):
        pinxit.resume(run.folder)
    assert Run.open(run.folder).recipe.repairs == history


def test_a_loss_and_a_tensor_that_are_not_finite_are_repaired(
    tmp_path: Path, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, save = Trainer.advance, store.Checkpoints.save

    def diverging(trainer: Trainer) -> object:
        if trainer.step == 60 and trainer.settings.clip == 0:
            raise DivergedError("the loss is nan")
        return advance(trainer)

    def saved(checkpoints: store.Checkpoints, step: int, *rest: object) -> None:
        if len(Run.open(checkpoints.run).recipe.repairs) < 2:
            raise DivergedError("a tensor is not finite")
        save(checkpoints, step, *rest)

    monkeypatch.setattr(Trainer, "advance", diverging)
    monkeypatch.setattr(store.Checkpoints, "save", saved)
    monkeypatch.setattr(session, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)  # at steps that depend on time, it is no matter
    run = new(tmp_path / "run", pictures, steps=70)
    pinxit.resume(run.folder)
    found = [(repair.at, repair.field, repair.because) for repair in Run.open(run.folder).recipe.repairs]
    name = "exploding-gradient at step"
    assert found == [(0, "clip", f"{name} 61"), (0, "learning_rate", f"{name} 70")]
    lines = (run.folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 71))
    for clip, why in ((1.0, "a tensor is not finite"), (0.0, "the loss is nan")):
        plain = new(tmp_path / f"plain{clip}", pictures, steps=61, auto_fix=False, clip=clip)
        monkeypatch.setattr(session, "SECONDS_BETWEEN_CHECKPOINTS", 1e9)
        with pytest.raises(DivergedError, match=why):
            pinxit.resume(plain.folder)


def test_steps_of_return() -> None:
    for reached in range(0, 20_000, SPACING):
        for newest in range(reached, 20_000, 7 * SPACING):
            assert {step for step in kept(newest) if step <= reached} <= kept(reached)
    finding = Finding("collapse", True, 1601, {}, "", None)
    assert healthy(finding, 2000, ()) == 1600
    one = Repair(at=1600, field="clip", value=1.0, because="collapse at step 2,000")
    assert healthy(finding, 2050, (one,)) == 800
    assert healthy(Finding("collapse", True, 3001, {}, "", None), 3150, (one,)) == 3000
    assert healthy(Finding("collapse", True, 151, {}, "", None), 400, ()) == 0


def test_settings_in_force_and_checkpoints_of_a_course(tmp_path: Path, pictures: str) -> None:
    recipe = new(tmp_path / "run", pictures).recipe
    assert "repairs" not in recipe.model_dump_json()
    plain = recipe.changed(training=recipe.training.changed(auto_fix=False).model_dump(exclude_unset=True))
    assert "auto_fix" not in plain.model_dump_json()
    values = ((100, "clip", 1.0), (300, "learning_rate", 1e-3), (300, "flip", True))
    history = [{"at": at, "field": field, "value": value, "because": "x"} for at, field, value in values]
    longer = recipe.changed(repairs=history)
    assert Recipe.parse(json.loads(longer.model_dump_json())) == longer
    at = {step: longer.repaired(longer.in_force(step)) for step in (0, 99, 100, 299, 300)}
    assert [found.training.clip for found in at.values()] == [0, 0, 1, 1, 1]
    assert [found.settings.learning_rate for found in at.values()] == [3e-3, 3e-3, 3e-3, 3e-3, 1e-3]
    assert at[300].data.flip is True
    assert at[0] == recipe
    of = {(step, repairs) for step in (99, 100, 101, 300, 301) for repairs in range(4) if is_of(longer, step, repairs)}
    assert of == {(99, 0), (100, 0), (100, 1), (101, 1), (300, 1), (300, 2), (300, 3), (301, 3)}
    for wrong in ({"field": "seed"}, {"field": "free_bits"}, {"field": "clip", "value": -1.0}):
        with pytest.raises(UsageError):
            recipe.changed(repairs=[history[0] | wrong])
    with pytest.raises(UsageError, match="should rise"):
        recipe.changed(repairs=history[::-1])


def test_a_training_whose_minutes_went_into_returns_says_so(tmp_path: Path, pictures: str) -> None:
    recipe = new(tmp_path / "run", pictures, steps=700).recipe
    finding = Finding("collapse", True, 151, {}, "", None)
    mended = next(courses(recipe, finding, 600, by_table))
    shorter = {steps: mended.training.revised(20, steps).model_dump(exclude_unset=True) for steps in (349, 350)}
    assert cut_short(mended.changed(training=shorter[349])) == 700
    assert cut_short(mended.changed(training=shorter[350])) is None
    assert cut_short(mended) is None
    assert cut_short(recipe.changed(training=shorter[349])) is None  # a slow machine, and no return


def test_each_course_changes_one_setting_and_a_control_chooses_among_the_same(tmp_path: Path, pictures: str) -> None:
    recipe = new(tmp_path / "run", pictures, {"learning_rate": 0.1}).recipe
    fields = set()
    for name in RULES:
        finding = Finding(name, True, 1601, {}, "", None)
        for course in courses(recipe, finding, 2000, by_table):
            [found] = course.repairs
            assert course.repaired(0) == recipe
            assert recipe.having(found.field, found.value) == course.repaired(1)
            assert found.at == 1600
            fields.add(found.field)
    finding = Finding("collapse", True, 1601, {}, "", None)
    again = course.changed(
        training=course.training.revised(900, 5000).revised(1700, 6000).model_dump(exclude_unset=True)
    )
    longer = next(courses(again, finding, 2050, by_table))  # back to 800: all that came later counts from there
    assert [repair.at for repair in longer.repairs] == [800, 800]
    assert list(longer.training.plans()) == [(0, recipe.training.steps), (800, 6000)]
    drawn = {course.repairs[0].field for course in courses(recipe, finding, 2000, at_random(0))}
    assert drawn == fields
    orders = {
        str([course.repairs[0] for course in courses(recipe, finding, 2000, at_random(seed))]) for seed in range(3)
    }
    assert len(orders) == 3
