"""Minutes are kept while the speed changes, and a run is a function of its recipe with every change of plan in it."""

import random
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import pinxit
from pinxit.data import open_data
from pinxit.data.settings import DataSettings
from pinxit.errors import DataError, UsageError
from pinxit.files import sha256
from pinxit.objectives.settings import GANSettings
from pinxit.training import plan, train
from pinxit.training.budget import MOST_REVISIONS, Budget
from pinxit.training.recipes import TrainingRecipe
from pinxit.training.run import Run
from pinxit.training.session import Session
from pinxit.training.trainer import Trainer, progress, schedule

GAN = GANSettings(network="dense", channels=2, latent=4)
MINUTES = 40 / 60  # forty seconds of the fake clock


def change(after: float, factor: float) -> Callable[[float], float]:
    """A speed that changes by a factor, from a number of seconds on."""
    return lambda seconds: 1.0 if seconds < after else factor


rng = random.Random(0)
SPEEDS: dict[str, Callable[[float], float]] = {
    "as planned": lambda seconds: 1.0,
    "drops after a third": change(33, 0.1),
    "rises after a third": change(33, 5.0),
    "drops late": change(88, 0.1),
    "drops at the end": change(97, 0.1),
    "rises late": change(75, 5.0),
    "planned on a quiet machine": lambda seconds: 0.15,
    "planned on a busy machine": lambda seconds: 8.0,
    "comes and goes": lambda seconds: 0.2 if 20 < seconds < 50 else 1.0,
    "noise": lambda seconds: rng.uniform(0.3, 1.7),
    "swings, and nearly stands at the end": lambda seconds: 0.02 if seconds > 95 else (0.1, 4.0)[int(seconds / 10) % 2],
    "slower and slower": lambda seconds: 1 / (1 + seconds / 10),
}


def test_minutes_are_kept_within_a_fifth_whatever_happens() -> None:
    for name, speed in SPEEDS.items():
        for steps in (50, 2000):
            budget, seconds, step, last = Budget(100.0, 0, 0.0, 0), 0.0, 0, steps
            while step < last:
                step, seconds = step + 1, seconds + 100 / steps / speed(seconds)
                last = budget.plan(step, seconds, last)
            assert 80 <= seconds <= 120, (name, steps, seconds)
            assert budget.revisions <= MOST_REVISIONS
            assert name != "as planned" or step == steps


def recipe(**values: object) -> TrainingRecipe:
    return TrainingRecipe.parse(values)


def test_progress_is_continuous_at_a_change_of_plan_and_reaches_one() -> None:
    for warmup in (0, 10, 60):
        training = recipe(steps=200, warmup=warmup, schedule="linear")
        plain = [(step - warmup) / (200 - warmup) for step in range(warmup, 201)]
        assert [progress(training, step) for step in range(warmup, 201)] == plain
        for at, steps in ((40, 400), (120, 130), (125, 1000)):
            before = progress(training, max(at, warmup))
            training = training.revised(at, steps)
            assert progress(training, max(at, warmup)) == pytest.approx(before)
            assert progress(training, steps) == pytest.approx(1)
            done = [progress(training, step) for step in range(max(at, warmup), steps + 1)]
            assert all(later >= earlier for earlier, later in pairwise(done))
        assert schedule(training, 1000) == pytest.approx(0)
        assert [revision.at for revision in training.revisions] == [40, 120, 125]


def test_a_finished_schedule_goes_on_where_it_would_be_in_the_new_length() -> None:
    training = recipe(steps=100, schedule="linear").revised(100, 400)
    assert [schedule(training, step) for step in (50, 100, 200, 400)] == pytest.approx([0.5, 0.75, 0.5, 0])
    assert schedule(recipe(steps=100).revised(100, 400), 150) == 1


def test_a_change_that_was_to_come_later_is_dropped() -> None:
    training = recipe(steps=100).revised(30, 80).revised(50, 70)
    assert training.revised(40, 90).revisions == recipe(steps=100).revised(30, 80).revised(40, 90).revisions
    assert training.revised(30, 90).revisions == recipe(steps=100).revised(30, 90).revisions
    with pytest.raises(UsageError, match="rise, up to the last step"):
        recipe(steps=40, revisions=[{"at": 50, "planned": 60}])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that only training moves: a step takes a second, and from 13 seconds on as long as is asked for."""
    now, slow = [0.0], [1.0]
    advance = Trainer.advance

    def slowly(trainer: Trainer) -> object:
        now[0] += 1.0 if now[0] < 13 else slow[0]
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", slowly)
    monkeypatch.setattr("pinxit.training.session.time.monotonic", lambda: now[0])
    monkeypatch.setattr(plan, "_seconds_a_step", lambda *arguments: 1.0)
    monkeypatch.setattr(train, "_report", lambda run: None)
    return lambda seconds: slow.__setitem__(0, seconds)


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    np.savez(tmp_path / "pictures.npz", images=np.random.default_rng(0).integers(0, 256, (32, 16, 16), np.uint8))
    return str(tmp_path / "pictures.npz")


def new(folder: Path, pictures: str, **training: object) -> Run:
    """A run that has a recipe and nothing else."""
    how = {"batch_size": 4, "threads": 1, "device": "cpu", "precision": "float32", "schedule": "linear"}
    settings = pinxit.TrainingSettings(**how, **training)
    return Run.create(folder, plan.plan(GAN, pictures, open_data(pictures), DataSettings(), settings))


def repeated(run: Run, folder: Path) -> Run:
    """The run that a finished recipe alone makes, on a machine of any speed."""
    folder.mkdir()
    shutil.copy(run.folder / "recipe.json", folder)
    return pinxit.resume(folder)


def same(one: Run, other: Run) -> bool:
    logs = [(run.folder / "log.jsonl").read_bytes() for run in (one, other)]
    sheets = [sorted(path.name for path in run.samples.iterdir()) for run in (one, other)]
    return sha256(one.weights) == sha256(other.weights) and logs[0] == logs[1] and sheets[0] == sheets[1]


def test_a_kill_at_every_change_of_plan_changes_nothing(
    tmp_path: Path, pictures: str, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    save, killed = Session.save, set[int]()

    def saved(session: Session) -> None:  # killed once at each change, between the recipe and the checkpoint
        changes = {revision.at for revision in session.run.recipe.training.revisions}
        if changes - killed:
            killed.update(changes)
            raise KilledError
        save(session)

    for slow in (8.0, 0.4):
        clock(slow)
        run = new(tmp_path / f"run{slow}", pictures, minutes=MINUTES)
        killed.clear()
        monkeypatch.setattr(Session, "save", saved)
        while True:
            try:
                pinxit.resume(run.folder)
                break
            except KilledError:
                continue
        monkeypatch.setattr(Session, "save", save)
        training = Run.open(run.folder).recipe.training
        assert training.minutes is None
        assert len(killed) >= len(training.revisions) >= 1
        clock(3.0)
        assert same(repeated(run, tmp_path / f"again{slow}"), run)


def test_a_fixed_number_of_steps_keeps_its_recipe(tmp_path: Path, pictures: str, clock: object) -> None:
    run = new(tmp_path / "run", pictures, steps=5)
    before = (run.folder / "recipe.json").read_bytes()
    assert b"revisions" not in before
    pinxit.resume(run.folder)
    assert (run.folder / "recipe.json").read_bytes() == before


def test_a_run_is_prolonged_and_its_repeat_is_the_same(
    tmp_path: Path, pictures: str, clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new(tmp_path / "run", pictures, steps=6)
    pinxit.resume(run.folder)
    once = sha256(run.weights)
    pinxit.resume(run.folder, steps=6)
    assert sha256(run.weights) == once
    assert not Run.open(run.folder).recipe.training.revisions
    pinxit.resume(run.folder, steps=9)
    pinxit.resume(run.folder, steps=12)
    assert "goes on at 0.25 of its highest and falls to 0 (linear)" in capsys.readouterr().err
    with pytest.raises(UsageError, match="has reached step 12 already"):
        pinxit.resume(run.folder, steps=11)
    shown = list(pinxit.ACTIONS["runs show"](run=run.folder).do().lines)
    assert shown[1:3] == ["step 6: the plan of 6 steps was changed", "step 9: the plan of 9 steps was changed"]
    assert run.facts()["finished"] is True
    assert run.facts()["steps"] == 12
    assert same(repeated(run, tmp_path / "again"), run)


def test_a_run_whose_pictures_moved_goes_on_with_the_same_and_refuses_others(
    tmp_path: Path, pictures: str, clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))
    run = new(tmp_path / "run", pictures, steps=2)
    there = Path(pictures).rename(tmp_path / "there.npz")
    pinxit.resume(run.folder, data=there)
    assert Run.open(run.folder).recipe.data == run.recipe.data.changed(source=str(there))
    images = np.load(there)["images"]
    images[0] += 1
    np.savez(tmp_path / "others.npz", images=images[:-2])
    before = (run.folder / "recipe.json").read_bytes()
    with pytest.raises(DataError, match=r"of 32 pictures 2 fewer \(.*31\), 1 changed \(.*0\)"):
        pinxit.resume(run.folder, data=tmp_path / "others.npz")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(DataError, match="holds 30 pictures; this machine has not seen the run's own"):
        pinxit.resume(run.folder, data=tmp_path / "others.npz")
    with pytest.raises(UsageError, match="another part"):
        pinxit.resume(run.folder, data=f"{there}:test")
    assert (run.folder / "recipe.json").read_bytes() == before
