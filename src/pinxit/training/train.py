"""Train and resume runs: a plain loop that takes steps from the trainer, logs, saves and writes sheets."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from pinxit import models
from pinxit.data import DataSet
from pinxit.data.settings import DataSettings
from pinxit.errors import DivergedError, StoppedError, UsageError
from pinxit.files import sha256
from pinxit.objectives.settings import ObjectiveSettings, PriorSettings
from pinxit.page import command
from pinxit.progress import Line, say
from pinxit.signals import handled
from pinxit.threads import placed
from pinxit.training.advise import advise
from pinxit.training.curves import WATCH
from pinxit.training.pictures import moved, opened, pictures_of
from pinxit.training.plan import plan, plan_prior
from pinxit.training.recipes import PLAIN, Chosen, Recipe
from pinxit.training.repair import Remedies, by_table
from pinxit.training.run import Run, is_run
from pinxit.training.session import Session
from pinxit.training.settings import AUTO, TrainingSettings


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
        advice = advise(planned, pictures, given, start=start)
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
    pictures = opened(source, data, settings.opens)
    asked = training.model_dump(exclude_unset=True) if training else {}
    row = _asked(recipe, start, type(settings))
    usual = {name: value for name, value in settings.training.items() if not (name == "steps" and "minutes" in asked)}
    planned = plan(settings, source, pictures, data, TrainingSettings.parse({**usual, **asked}), row)
    return planned, pictures, settings.model_fields_set | data.model_fields_set | set(asked)


def _asked(recipe: str, start: str | Path | None, kind: type[ObjectiveSettings]) -> Chosen | None:
    """Return the recipe that was asked for: by its name, or by weights, so that networks that start from them fit.

    None if the pictures are to choose it.
    """
    if recipe != AUTO:
        return Chosen(recipe=recipe, because="as asked")
    if start is None:
        return None
    folder = next(filter(is_run, models.find(start).parents), None)  # a checkpoint lies deeper in its run
    trained = Run.open(folder).recipe if folder else None
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
    with placed(session.trainer.hardware.threads), closing(line), closing(session.journal.log), session.staying():
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
        session.finish()
        return False


def _report(run: Run) -> None:
    from pinxit.training.report import write_report  # late, because it imports matplotlib

    write_report(run.folder)


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
