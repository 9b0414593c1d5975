"""A session: one stretch of a run's training, by the settings that are in force at its first step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pinxit import models
from pinxit.data import DataSet
from pinxit.errors import DataError, DiskError, DivergedError, UsageError
from pinxit.files import sha256
from pinxit.page import command
from pinxit.progress import say
from pinxit.tensors import read_tensors
from pinxit.training import outputs
from pinxit.training.budget import Budget
from pinxit.training.diagnosis import Finding
from pinxit.training.journal import Journal
from pinxit.training.plan import build_trainer, build_watch, refuse_misfit
from pinxit.training.recipes import Recipe, TrainingRecipe
from pinxit.training.repair import TRIES, Remedies, by_table, courses, cut_short, is_kept, is_of, kept
from pinxit.training.run import RECIPE, Run
from pinxit.training.settings import TrainingSettings
from pinxit.training.store import Checkpoint, Checkpoints
from pinxit.training.trainer import Record, Trainer, schedule

SECONDS_BETWEEN_CHECKPOINTS = 25.0


class Session:
    """A run in training in this process: its trainer, its log, and the times when files are written.

    `recipe` has the settings by which it trains. It is over where others come into force, or where training has to
    return.
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
            refuse_another_beginning(run, start)
        facts = found.facts if found else {}
        self.repairs = run.recipe.in_force(found.step if found else 0)
        self.recipe = run.recipe.repaired(self.repairs)
        self.trainer = self._trainer(found)
        self.trainer.watch = build_watch(run.recipe, pictures, self.trainer)
        self.sheets = outputs.sheet_steps(run.recipe.training)
        outputs.remove_later_sheets(run, self.trainer.step)
        self.journal = Journal(run, facts.get("log_bytes", 0))
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

    def _begin(self, start: Path) -> None:
        """Take the matching weights from a file, and save them as the checkpoint of step 0."""
        left = self.trainer.begin(read_tensors(start))
        say(
            f"starting from the weights of {start}"
            + (f"; {left} tensors do not fit and are initialised" if left else "")
        )
        self.save()

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
                self._refuse(self.trainer.step + 1, error)
                return
            self.journal.write(record.step, record.values, self.recipe)
            if self.auto_fix and self.journal.ill:
                self._mend(self.journal.ill)
                return
            yield record

    def _refuse(self, step: int, error: DivergedError) -> None:
        """Log a step with values that are not finite; raise the error unless the run mends itself."""
        self.journal.refuse(step, self.recipe)
        if not (self.auto_fix and self.journal.ill):
            raise error
        self._mend(self.journal.ill)

    def _mend(self, finding: Finding) -> None:
        """Change a setting from a healthy step on, in the recipe, and end the session; the next one begins there.

        Raises `DivergedError` if nothing is left to try.
        """
        step, history = self.journal.windows.last, self.run.recipe.repairs
        self.over = True
        self.seconds = self.passed()
        outputs.note(self.run, self.trainer.step, self.seconds)
        tries = courses(self.run.recipe, finding, step, self.remedies)
        course = next(filter(self._works, tries), None) if len(history) < TRIES else None
        if course is None:
            for repair in history:
                say(str(repair))
            raise DivergedError(
                f"step {step:,}: {finding.name} still, after {len(history)} repairs; "
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

    def _train_as(self, training: TrainingRecipe) -> None:
        """Train by another plan from now on; first it is on the disk."""
        if training == self.run.recipe.training:
            return
        self.run.change(training=training.model_dump(exclude_unset=True))
        self.recipe = self.run.recipe.repaired(self.repairs)
        self.trainer.settings = self.recipe.training
        self.sheets = outputs.sheet_steps(training)

    def finish(self) -> None:
        """Say what is found at the end, and write what a finished run has.

        The log does not hold these findings, because a run may be prolonged. The recipe of a finished run is a fixed
        number of steps, wherever it is repeated.
        """
        self.journal.look(self.trainer.step, self.recipe, ended=True)
        if self.run.recipe.training.minutes is not None:
            self._train_as(self.run.recipe.training.changed(minutes=None))
        if planned := cut_short(self.run.recipe):
            more = command("resume", self.run.folder, "--steps", planned)
            say(f"auto-fix: returns took most of the minutes; `{more}` trains all {planned:,} steps of the plan")
        outputs.calibrate(self.run, self.trainer, self.pictures.held_out)
        self.publish()
        self._say_judgement()
        outputs.fit_samplers(self.run, self.trainer, self.pictures.train)

    def _say_judgement(self) -> None:
        """Say how well a recogniser did on pictures that were held out."""
        if not self.recipe.settings.recognises:
            return
        if found := outputs.judgement(self.run, self.trainer, self.pictures.held_out).get("judgement"):
            more = command("evaluate", self.run.folder)
            say(f"{found['name']} on held-out pictures: {found['value']:.3f}; `{more}` says how certain that is")

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
        seconds = self.passed()
        facts = {"log_bytes": self.journal.log.sync(), "seconds": seconds}
        facts |= outputs.judgement(self.run, self.trainer, self.pictures.held_out)
        facts |= {"repairs": self.repairs} if self.repairs else {}
        try:
            self.checkpoints.save(self.trainer.step, self.trainer.state(), facts)
        except DivergedError as error:
            if not self.auto_fix:
                raise
            if self._fixed():
                self._refuse(self.trainer.step, error)
            return
        self.seconds = seconds
        self.publish()
        self.saved = time.monotonic()

    def publish(self) -> None:
        """Write the weights for use and the facts of the run so far."""
        outputs.publish(self.run, self.trainer)
        outputs.note(self.run, self.trainer.step, self.seconds)

    def passed(self) -> float:
        """Return the seconds that the run took in all its sessions."""
        return round(time.monotonic() - self.started, 3)

    def show(self) -> None:
        """Write a sheet of samples."""
        outputs.write_sheet(self.run, self.trainer, self.pictures.train)

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


def refuse_another_beginning(run: Run, start: Path | None) -> None:
    """Raise `DataError` if the first step cannot be taken from what the recipe names: weights or a picture.

    A recipe may be somebody else's, so a picture is read only if its content is the recipe's.
    """
    recipe, example = run.recipe, run.recipe.settings.example()
    if recipe.start and start is None:
        raise DataError(
            f"{run.folder} has no good checkpoint and was to start from other weights; train it again with --from"
        )
    if example and (recipe.example is None or sha256(example) != recipe.example):
        raise DataError(
            f"{run.folder} has no good checkpoint, and {example} is not known to be the picture that it learns from; "
            "train it again"
        )


def rate_in_words(training: TrainingSettings, step: int) -> str:
    """Return what the learning rate does from `step` to the last step."""
    share = schedule(training, step)
    if training.schedule == "constant":
        return "the learning rate stays constant"
    return f"the learning rate goes on at {share:.2f} of its highest and falls to 0 ({training.schedule}) at the end"
