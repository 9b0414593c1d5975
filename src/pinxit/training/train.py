"""Train and resume runs: a plain loop that takes steps from the trainer, logs, saves and writes sheets."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pinxit import models
from pinxit.data import Batch, DataSet, ImageSet
from pinxit.data.settings import DataSettings
from pinxit.errors import DataError, DiskError, DivergedError, StoppedError, UsageError
from pinxit.files import sha256
from pinxit.images import grid, save_sheet
from pinxit.images.convert import to_uint8
from pinxit.objectives.mixture import flattened
from pinxit.objectives.objective import Generative
from pinxit.objectives.settings import ObjectiveSettings, PriorSettings
from pinxit.page import command
from pinxit.progress import Line, say, show
from pinxit.settings import BASE_NAMES, sides
from pinxit.signals import handled
from pinxit.tensors import read_tensors, write_tensors
from pinxit.threads import placed
from pinxit.training.advise import advise
from pinxit.training.budget import Budget
from pinxit.training.curves import EVERY, FOUND, WATCH, Windows, read_log
from pinxit.training.diagnosis import Finding, judge
from pinxit.training.plan import (
    batch_of,
    build_trainer,
    build_watch,
    moved,
    opened,
    pictures_of,
    plan,
    plan_prior,
    refuse_misfit,
)
from pinxit.training.recipes import PLAIN, Chosen, Recipe, TrainingRecipe
from pinxit.training.repair import TRIES, Remedies, by_table, courses, is_kept, is_of, kept
from pinxit.training.run import LOG, RECIPE, Log, Run, is_run, machine, rounded
from pinxit.training.settings import AUTO, TrainingSettings
from pinxit.training.store import Checkpoint, Checkpoints
from pinxit.training.trainer import Record, Trainer, schedule

SECONDS_BETWEEN_CHECKPOINTS = 25.0
SHEETS = 16
SHEET = "{:07d}.png"
SHEET_PICTURES, SHEET_PIXELS = 64, 64 * 256 * 256  # a sheet of large pictures shows fewer
JUDGED = 256
CODED = 10_000
SHOWN = 64  # windows after which the log is looked through less often


def train(
    settings: ObjectiveSettings,
    source: str | Path,
    out: str | Path,
    data: DataSettings | None = None,
    training: TrainingSettings | None = None,
    start: str | Path | None = None,
    recipe: str = AUTO,
    remedies: Remedies = by_table,
    auto: bool = False,
) -> Run:
    """Train a new run in the folder `out` on the pictures of `source`, and return it when it is finished.

    `data` may be of any class; what it and `training` do not set gets the objective's own defaults. `start` is a run or
    a safetensors file: training starts from those of its weights whose name and shape match. `recipe` is a name of
    `FITTING`, whose settings stand for those that are not given; auto is the recipe of the run that training starts
    from, or else chosen by the pictures. `remedies` are the changes that `training.auto_fix` tries. `auto` lets short
    trials choose some of what is not given (`advise`). Every open choice is made, reported, and written into the recipe
    before the first step. Raises `UsageError`, `DataError`, `DiskError`, `DivergedError`, `BusyError`, or
    `StoppedError` after a signal.
    """
    source, out = str(source), Path(out)
    Run.refuse_used(out)
    planned, pictures, given = prepared(settings, source, data, training, start, recipe)
    if auto:
        advice = advise(planned, pictures, given)
        for reason in advice.reasons:
            say(reason)
        planned = advice.recipe
    if start is not None:
        start = models.find(start)
        planned = planned.changed(start=sha256(start))
    run = Run.create(out, planned)
    _fit(run, pictures, start, remedies=remedies)
    return run


def prepared(
    settings: ObjectiveSettings,
    source: str,
    data: DataSettings | None = None,
    training: TrainingSettings | None = None,
    start: str | Path | None = None,
    recipe: str = AUTO,
) -> tuple[Recipe, DataSet, set[str]]:
    """Return the recipe of what `train` is asked for, its pictures, and the names of the settings that were given."""
    if settings.of_codes:
        raise UsageError("a prior is trained on the codes of a run: pinxit.train_prior(settings, RUN)")
    data = settings.pictures.parse(data.model_dump(exclude_unset=True) if data else {})
    pictures = opened(source, data)
    asked = training.model_dump(exclude_unset=True) if training else {}
    row = _asked(recipe, start, type(settings))
    planned = plan(settings, source, pictures, data, TrainingSettings.parse({**settings.training, **asked}), row)
    return planned, pictures, settings.model_fields_set | data.model_fields_set | set(asked)


def _asked(recipe: str, start: str | Path | None, kind: type[ObjectiveSettings]) -> Chosen | None:
    """Return the recipe that was asked for: by its name, or by weights, so that networks that start from them fit.

    None if the pictures are to choose it.
    """
    if recipe != AUTO:
        return Chosen(recipe=recipe, because="as asked")
    if start is None:
        return None
    folder = models.find(start).parent
    trained = Run.open(folder).recipe if is_run(folder) else None
    if trained and trained.chosen and isinstance(trained.settings, kind):
        return Chosen(recipe=trained.chosen.recipe, because="because the weights to start from were trained by it")
    return Chosen(recipe=PLAIN, because="because the weights to start from were trained without a recipe")


def train_prior(settings: PriorSettings, folder: str | Path, training: TrainingSettings | None = None) -> Run:
    """Train a prior over the codes of the finished run in `folder`; it becomes a run in the subfolder `prior`.

    It uses the run's own training pictures, drawn in the same way. Raises what `train` does.
    """
    run = Run.open(Path(folder))
    if is_run(run.prior):
        raise UsageError(
            f"{run.folder} has a prior already; `{command('resume', run.prior)}` continues it, or move it away"
        )
    pictures = pictures_of(run.recipe.data)
    recipe = plan_prior(settings, run, pictures.train, training or TrainingSettings())
    prior = Run.create(run.prior, recipe)
    _fit(prior, pictures)
    return prior


def resume(out: str | Path, data: str | Path | None = None, steps: int | None = None) -> Run:
    """Continue the run in the folder `out` from its newest good checkpoint, or from the start if it has none.

    `data` is where its pictures are now; they must be the same. `steps` is another last step, not below the step that
    is reached; so a finished run goes on. Both are written into the recipe.
    """
    run = Run.open(Path(out))
    pictures = pictures_of(run.recipe.data) if data is None else moved(run.recipe.data, str(data))

    def change(session: Session) -> None:
        if data is not None:
            run.change(data=run.recipe.data.changed(source=str(data)).model_dump(exclude_unset=True))
        if steps is not None:
            session.prolong(steps)

    _fit(run, pictures, change=change)
    return run


def _fit(
    run: Run,
    pictures: DataSet,
    start: Path | None = None,
    change: Callable[[Session], None] | None = None,
    remedies: Remedies = by_table,
) -> None:
    """Train `run` to its last step, and write its report however it ends.

    `start` has the weights of a new run that does not begin at random. `change` is called before the first step.
    Where settings change on the way, training goes on as a resumed run does: from the disk.
    """
    try:
        with run.lock(), _signals() as received:
            session = Session(run, pictures, start, remedies)
            if change is not None:
                change(session)
            while _loop(session, received):
                session = Session(run, pictures, remedies=remedies)
    except (StoppedError, DivergedError):
        _report(run)
        raise
    _report(run)


def _loop(session: Session, received: list[int]) -> bool:
    """Take steps until the last, or until a signal: log each, write a sheet of some, save from time to time.

    Return whether another session is to go on, because settings change.
    """
    line = Line("step", session.last, session.trainer.step, share=0.95)
    with placed(session.trainer.hardware.threads), closing(line), closing(session.log), session.staying():
        for record in session.records():
            session.refuse_moved()
            revised = session.keep_minutes()
            line.total = session.last
            line.update(record.step, _losses(record.values))
            if record.step in session.sheets:
                session.show()
            asked_to_stop = bool(received)
            if asked_to_stop or revised or session.due():
                session.save()
            if asked_to_stop and record.step < session.last:
                folder = session.run.folder
                raise StoppedError(
                    received[0],
                    f"stopped after step {record.step:,}, all saved; `{command('resume', folder)}` continues it",
                )
        if session.over:
            return True
        session.settle()
        session.publish()
        session.fit_samplers()
        return False


def _report(run: Run) -> None:
    from pinxit.training.report import write_report  # late, because it imports matplotlib

    write_report(run.folder)


class Session:
    """A run in training in this process: its trainer, its log, and the times when files are written.

    It trains by the settings that are in force at its first step. It is over where others come into force, or where
    training has to return.
    """

    def __init__(self, run: Run, pictures: DataSet, start: Path | None = None, remedies: Remedies = by_table) -> None:
        self.run, self.pictures, self.remedies = run, pictures, remedies
        self.auto_fix = run.recipe.training.auto_fix
        self.checkpoints = Checkpoints(run.checkpoints, spared=kept if self.auto_fix else lambda newest: ())
        self.checkpoints.sweep()
        if run.recipe.repairs:
            self.checkpoints.drop(lambda step, facts: not is_of(run.recipe, step, facts.get("repairs", 0)))
        found, self.autoencoder = self.checkpoints.newest(), models.autoencoder_of(run)
        if found is None:
            self._refuse_another_beginning(start)
        self.repairs = run.recipe.in_force(found.step if found else 0)
        self.recipe = run.recipe.repaired(self.repairs)
        self.trainer = self._trainer(found)
        self.sheets = sheet_steps(run.recipe.training)
        facts = found.facts if found else {}
        self.trainer.watch = build_watch(run.recipe, pictures, self.trainer)
        self._remove_later_sheets()
        self.log = Log(run.folder / LOG, facts.get("log_bytes", 0))
        past = read_log(run.folder / LOG)
        self.windows = Windows.of(past)
        self.told = {name.removeprefix(FOUND) for name in past if name.startswith(FOUND)}
        self.ill: Finding | None = None
        self.over = False
        self.seconds: float = facts.get("seconds", 0.0)
        if run.recipe.repairs:  # the time before a return counts too
            self.seconds = max(self.seconds, run.facts().get("seconds", 0.0))
        self.saved = time.monotonic()
        self.started = self.saved - self.seconds
        self.budget = self._budget()
        if start is not None:
            self._begin(start)
        elif run.recipe.repairs:
            self.publish()  # in place of the weights of a course that was left

    def records(self) -> Iterator[Record]:
        """Take the steps that are left, and log each; a step that is refused is logged as one that is not finite."""
        while self.trainer.step < self.last and not self.over:
            if self.run.recipe.in_force(self.trainer.step) != self.repairs:
                self.save()
                self.over = True
                return
            try:
                record = self.trainer.advance()
            except DivergedError as error:
                self._log_non_finite(self.trainer.step + 1, error)
                return
            self._log(record.step, record.values)
            if self.auto_fix and self.ill:
                self._mend(self.ill)
                return
            yield record

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        """Log a step, with the findings that appear now, and say these."""
        values = rounded(values)
        self.windows.add(step, values)
        refused = values.get("watch/non_finite", 0) > 0
        due = step % (EVERY * max(1, self.windows.count // SHOWN)) == 0
        appeared = self._tell(step, ended=False) if due or refused else []
        self.log.write(step, values | {f"{FOUND}{finding.name}": finding.step for finding in appeared})

    def _tell(self, step: int, ended: bool) -> list[Finding]:
        """Say what is found now and was not before, and return it."""
        found = judge(self.windows, self.recipe, ended)
        appeared = [finding for finding in found if finding.name not in self.told]
        for finding in appeared:
            say(f"step {step:,}: {finding}")
        self.told |= {finding.name for finding in appeared}
        self.ill = next((finding for finding in found if finding.grave), None)
        return appeared

    def _log_non_finite(self, step: int, error: DivergedError) -> None:
        """Log a step with values that are not finite; raise the error unless the run mends itself."""
        self._log(step, {"watch/non_finite": 1.0})
        if not (self.auto_fix and self.ill):
            raise error
        self._mend(self.ill)

    def _mend(self, finding: Finding) -> None:
        """Change a setting from a healthy step on, in the recipe, and end the session; the next one begins there.

        Raises `DivergedError` if nothing is left to try.
        """
        step = self.windows.last
        self.over = True
        self.seconds = round(time.monotonic() - self.started, 3)
        self.note()
        tries = courses(self.run.recipe, finding, step, self.remedies)
        course = next(filter(self._works, tries), None) if len(self.run.recipe.repairs) < TRIES else None
        if course is None:
            for line in self.run.recipe.repairs:
                say(str(line))
            raise DivergedError(
                f"step {step:,}: {finding.name} still, after {len(self.run.recipe.repairs)} repairs; "
                f"`{command('runs', 'diagnose', self.run.folder)}` says more; begin anew with other settings"
            )
        self.run.change(**course.model_dump(include={"repairs", "training"}, exclude_unset=True))
        say(f"auto-fix: {course.repairs[-1]}")

    def _works(self, course: Recipe) -> bool:
        """Say whether networks can be built by all of a course's settings."""
        try:
            refuse_misfit(course.repaired(len(course.repairs)), self.autoencoder)
        except UsageError:
            return False
        return True

    @property
    def last(self) -> int:
        """The last step, as it is planned now."""
        return self.run.recipe.training.steps

    def _budget(self) -> Budget | None:
        training = self.run.recipe.training
        if training.minutes is None:
            return None
        return Budget(training.minutes * 60, self.trainer.step, self.seconds, len(training.revisions))

    def _trainer(self, found: Checkpoint | None) -> Trainer:
        """Return the trainer at the step of a checkpoint, or at step 0 without one.

        Where repairs begin at just that step, the checkpoint's networks are those from before.
        """
        before = self.run.recipe.repaired(found.facts.get("repairs", 0)) if found else self.recipe
        refuse_misfit(before, self.autoencoder, found.state if found else None)
        trainer = build_trainer(self.recipe, self.pictures.train, self.autoencoder)
        if found is None:
            return trainer
        try:
            if before == self.recipe:
                trainer.load(found.state, found.step)
            else:
                trainer.adapt(found.state, found.step, before.settings.optimiser == self.recipe.settings.optimiser)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{self.run.folder}: the checkpoint of step {found.step} belongs to another network than {RECIPE} "
                "describes"
            ) from error
        say(f"continuing from step {found.step:,}")
        return trainer

    def _remove_later_sheets(self) -> None:
        """Remove the sheets of steps that a killed session took in vain: another plan may not come to them again."""
        for sheet in self.run.samples.glob("*.png"):
            step = int(sheet.stem) if sheet.stem.isdecimal() else 0
            if step > self.trainer.step and sheet.name == SHEET.format(step) and sheet.is_file():
                sheet.unlink()

    def _refuse_another_beginning(self, start: Path | None) -> None:
        """Raise `DataError` if the first step cannot be taken from what the recipe names: weights or a picture.

        A recipe may be somebody else's, so a picture is read only if its content is the recipe's.
        """
        recipe, example = self.run.recipe, self.run.recipe.settings.example()
        if recipe.start and start is None:
            raise DataError(
                f"{self.run.folder} has no good checkpoint and was to start from other weights; train it again with "
                "--from"
            )
        if example and (recipe.example is None or sha256(example) != recipe.example):
            raise DataError(
                f"{self.run.folder} has no good checkpoint, and {example} is not known to be the picture that it "
                "learns from; train it again"
            )

    def _begin(self, start: Path) -> None:
        """Take the matching weights from a file, and save them as the checkpoint of step 0."""
        left = self.trainer.begin(read_tensors(start))
        say(
            f"starting from the weights of {start}"
            + (f"; {left} tensors do not fit and are initialised" if left else "")
        )
        self.save()

    def keep_minutes(self) -> bool:
        """Plan another last step if the run would miss its minutes; return whether it was planned."""
        if self.budget is None:
            return False
        steps = self.budget.plan(self.trainer.step, time.monotonic() - self.started, self.last)
        if steps == self.last:
            return False
        say(f"step {self.trainer.step:,}: {steps:,} steps in place of {self.last:,}, to keep the minutes")
        self._train_as(self.run.recipe.training.revised(self.trainer.step, steps))
        return True

    def prolong(self, steps: int) -> None:
        """Change the last step because a person asks for it, and say what the learning rate does then."""
        reached, before = self.trainer.step, self.run.recipe.training
        if steps < reached:
            raise UsageError(f"--steps {steps:,}: the run has reached step {reached:,} already; ask for at least that")
        self.budget = None
        after = before if steps == before.steps else before.revised(reached, steps)
        self._train_as(after.changed(minutes=None))
        if after is not before:
            say(f"{steps:,} steps in place of {before.steps:,}: {rate_in_words(after, reached)}")
            if self.run.prior.exists():
                say(f"{self.run.prior} fits the weights of step {reached:,} only; move it away and train it again")

    def settle(self) -> None:
        """Drop the minutes of a finished run, so that its recipe is a fixed number of steps wherever it is repeated.

        What is found at the end is said; the log does not hold it, because a run may be prolonged.
        """
        self._tell(self.trainer.step, ended=True)
        if self.run.recipe.training.minutes is not None:
            self._train_as(self.run.recipe.training.changed(minutes=None))

    def _train_as(self, training: TrainingRecipe) -> None:
        """Train by another plan from now on; first it is on the disk."""
        if training == self.run.recipe.training:
            return
        self.run.change(training=training.model_dump(exclude_unset=True))
        self.recipe = self.run.recipe.repaired(self.repairs)
        self.trainer.settings = self.recipe.training
        self.sheets = sheet_steps(training)

    def due(self) -> bool:
        """Say whether a checkpoint is due: at the last step and other fixed ones, or some seconds after the last."""
        return self._fixed() or time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS

    def _fixed(self) -> bool:
        """Say whether a checkpoint of this step is written however long it took."""
        return self.trainer.step == self.last or (self.auto_fix and is_kept(self.trainer.step))

    def save(self) -> None:
        """Write a checkpoint, then the weights for use and the facts of the run so far.

        A run that mends itself does so at fixed steps only; at others it writes nothing if a tensor is not finite.
        """
        seconds = round(time.monotonic() - self.started, 3)
        facts = {"log_bytes": self.log.sync(), "seconds": seconds} | self._judgement()
        facts |= {"repairs": self.repairs} if self.repairs else {}
        try:
            self.checkpoints.save(self.trainer.step, self.trainer.state(), facts)
        except DivergedError as error:
            if not self.auto_fix:
                raise
            if self._fixed():
                self._log_non_finite(self.trainer.step, error)
            return
        self.seconds = seconds
        self.publish()
        self.saved = time.monotonic()

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Turn an error that comes from a moved folder into that of `refuse_moved`."""
        try:
            yield
        except (OSError, DataError, DiskError):
            self.refuse_moved()
            raise

    def refuse_moved(self) -> None:
        """Save and stop if the run's folder was moved while it trains, so that no other of its name is made."""
        if self.run.here():
            return
        was, moved = self.run.folder, self.run.moved()
        what = f"{was} was moved or removed while it trained; stopped after step {self.trainer.step:,}"
        if moved is None:
            raise DiskError(f"{what}; checkpoints from before are where the folder is now")
        self.run, self.checkpoints = moved, Checkpoints(moved.checkpoints, spared=self.checkpoints.spared)
        self.save()
        raise DiskError(f"{what}, all saved; `{command('resume', moved.folder)}` continues it")

    def publish(self) -> None:
        """Write the weights for use and the facts of the run so far.

        The weights state the settings that stand in the recipe's file, so those of an older run stay the same bytes.
        """
        recipe = self.run.recipe
        about = recipe.model_dump_json(
            include={"objective", "settings", "data"},
            exclude={"data": {"source"}},
            exclude_unset=True,
            context=BASE_NAMES,
        )
        write_tensors(self.run.weights, self.trainer.average.state_dict(), about, self.run.folder)
        self.note()

    def note(self) -> None:
        """Write the facts of the run so far."""
        recipe = self.run.recipe
        images = self.trainer.step * recipe.training.batch_size
        self.run.note(
            steps=self.trainer.step,
            images=images,
            seconds=self.seconds,
            images_per_second=round(images / max(self.seconds, 1e-9), 1),
            finished=self.trainer.step == self.last,
            machine=machine(),
        )

    def show(self) -> None:
        """Write a sheet of the averaged model's output for fixed latents and pictures."""
        shown = min(SHEET_PICTURES, SHEET_PIXELS // math.prod(sides(self.run.recipe.data.size)))
        batch = batch_of(self.run.recipe, self.pictures.train, step=0, size=shown)
        with self.trainer.averaged() as objective:
            images = objective.preview(batch.to(self.trainer.hardware.device, self.trainer.hardware.memory_format))
        sheet = self.run.samples / SHEET.format(self.trainer.step)
        save_sheet(sheet, grid(to_uint8(images)), self.run.folder)
        show(sheet, f"samples of step {self.trainer.step:,}")

    def fit_samplers(self) -> None:
        """Write the samplers of latents fitted to at most `CODED` training pictures.

        Each picture is used once, without augmentation. Equal weights give equal bytes.
        """
        if not isinstance(self.trainer.objective, Generative):
            return
        with self.trainer.averaged():
            size = self.run.recipe.training.batch_size
            steps = range(max(1, min(CODED, len(self.pictures.train)) // size))
            batches = (self._plain(self.pictures.train, step, size) for step in steps)
            fitted = self.trainer.objective.fit_samplers(batches)
        if fitted:
            write_tensors(self.run.samplers, flattened(fitted), inside=self.run.folder)

    def _judgement(self) -> dict[str, Any]:
        judgement = self.trainer.objective.judgement
        if judgement is None or not len(self.pictures.held_out):
            return {}
        batch = self._plain(self.pictures.held_out, 0, min(JUDGED, len(self.pictures.held_out)))
        with self.trainer.averaged():
            value = judgement.read(batch)
        return {"judgement": {"name": judgement.name, "best": judgement.best, "value": value}}

    def _plain(self, images: ImageSet, step: int, size: int) -> Batch:
        """Return rows of a step without augmentation, on the networks' device."""
        batch = batch_of(self.run.recipe, images, step, size, augment=False)
        return batch.to(self.trainer.hardware.device, self.trainer.hardware.memory_format)


def rate_in_words(training: TrainingSettings, step: int) -> str:
    """Return what the learning rate does from `step` to the last step."""
    share = schedule(training, step)
    if training.schedule == "constant":
        return "the learning rate stays constant"
    return f"the learning rate goes on at {share:.2f} of its highest and falls to 0 ({training.schedule}) at the end"


def sheet_steps(training: TrainingSettings) -> set[int]:
    """Return the steps after which a sheet is written: denser at the start, where more changes; and the last."""
    found: set[int] = set()
    for start, last in training.plans():
        planned = {max(1, round(last * (part / SHEETS) ** 2)) for part in range(1, SHEETS + 1)}
        found = {step for step in found if step <= start} | {step for step in planned if step > start}
    return found | {training.steps}


def _losses(values: dict[str, float]) -> str:
    """Return each player's first term; the watch is no player."""
    first = {name.partition("/")[0]: value for name, value in reversed(values.items()) if not name.startswith(WATCH)}
    return "  ".join(f"{player} {value:.3f}" for player, value in reversed(first.items()))


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect signals that ask for a stop; a second interrupt stops at once. Works in the main thread only."""
    received: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if number in received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    with handled(ask, "SIGINT", "SIGTERM", "SIGUSR1"):
        yield received
