"""Actions on runs: training, going on, listing and showing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, create_model

from pinxit.actions.action import RUN, Action, AnyRun, First, Flag, N, Outcome, Reads, Source, Word
from pinxit.errors import DataError
from pinxit.page import command
from pinxit.progress import duration, say
from pinxit.training.settings import AUTO, TrainingSettings

if TYPE_CHECKING:
    from pinxit.training.run import Run

Training = Annotated[TrainingSettings, Field(title="The training")]


def shown(run: Run) -> Outcome:
    """Return a run as an outcome: its facts as the document, its state, and those of its files that exist."""
    known = facts(run)
    files = tuple(place for place in (run.weights, run.samples, run.page) if place.exists())
    history = map(str, (*run.recipe.training.revisions, *run.recipe.repairs))
    return Outcome(run, known, files, (f"{run.folder}: {describe(known)}", *history, *files))


def facts(run: Run) -> dict[str, Any]:
    """Return the facts of a run: its folder, its progress so far, and its recipe."""
    return {"folder": str(run.folder)} | run.facts() | {"recipe": run.recipe.model_dump(mode="json")}


def describe(known: Mapping[str, Any]) -> str:
    """Return a run's facts in one line."""
    recipe = known["recipe"]
    done, last = known.get("steps", 0), recipe["training"]["steps"]
    again = f"not finished; `{command('resume', known['folder'])}` continues it"
    state = "finished" if known.get("finished") else again
    return (
        f"{recipe['objective']} on {recipe['data']['name']}, step {done:,} of {last:,} "
        f"({known.get('images', 0):,} pictures in {duration(known.get('seconds', 0))}), {state}"
    )


class Train(Action):
    """Train a model on your own pictures."""

    objective: ClassVar[str] = ""

    source: Source
    out: Path | None = Field(None, description="Folder of the run; by default a new one in runs/.")
    settings: Any = Field(None, title="The model")
    data: Any = Field(None, title="The pictures")
    training: Training = TrainingSettings()
    start: Annotated[Path | None, Flag("--from")] = Field(
        None,
        description="Weights to start from: the folder of a run, or a safetensors file, also that of a checkpoint.",
    )

    def do(self) -> Outcome:
        """Train; the value is the run."""
        return shown(self._trained())

    def _trained(self, recipe: str = AUTO, auto: bool = False) -> Run:
        from pinxit.training.train import train

        out = self.out or new_folder(self.objective, self.source)
        return train(self.settings, self.source, out, self.data, self.training, self.start, recipe, auto=auto)

    @classmethod
    def variants(cls) -> Mapping[str, type[Action]]:
        """Return an action for each objective."""
        from pinxit.objectives import OBJECTIVES
        from pinxit.objectives.settings import PriorSettings
        from pinxit.training.recipes import FITTING, in_words

        def variant(name: str, kind: Any) -> type[Action]:
            fields: dict[str, Any] = {"settings": (kind, Field(default=kind(), title="The model"))}
            if kind is PriorSettings:
                return create_model("TrainPrior", __base__=TrainPrior, __doc__=kind.__doc__, **fields)
            fields["data"] = (kind.pictures, Field(default=kind.pictures(), title="The pictures"))
            if name in FITTING:
                fields["recipe"] = (
                    Annotated[Literal[AUTO, *FITTING[name]], First()],
                    Field(AUTO, description=in_words(name)),
                )
                fitted = create_model(f"Train{kind.__name__}", __base__=TrainByRecipe, __doc__=kind.__doc__, **fields)
                fitted.objective = name
                return fitted
            made = create_model(f"Train{kind.__name__}", __base__=Train, __doc__=kind.__doc__, **fields)
            made.objective = name
            return made

        return {name: variant(name, kind) for name, kind in OBJECTIVES.items()}


class TrainByRecipe(Train):
    """Train a model with settings that fit the pictures."""

    recipe: Any = AUTO
    advise: bool = Field(
        False,
        description="Of `pinxit train gan` only. Do not train. In short trials, at most a tenth of the time or a "
        "minute, look for a learning rate, penalty, augmentation and batch size that suit the pictures; say why, and "
        "print the command.",
    )
    auto: bool = Field(
        False, description="Of `pinxit train gan` only. Train by what --advise would propose; what you give stays."
    )

    def do(self) -> Outcome:
        """Train; the value is the run. With `advise`, value is the advice."""
        if not self.advise:
            return shown(self._trained(self.recipe, self.auto))
        from pinxit.training.advise import advise
        from pinxit.training.train import prepared

        planned = prepared(self.settings, self.source, self.data, self.training, self.start, self.recipe)
        advice = advise(*planned, start=self.start)
        return Outcome(advice, advice.document(), lines=advice.lines())


class TrainPrior(Action):
    """Learn a prior over the codes of a run, as a run of its own in the folder `prior` there."""

    run: Annotated[Path, RUN] = Field(
        description="Folder of a finished run of `pinxit train vae` or `pinxit train vq`."
    )
    settings: Any = Field(None, title="The model")
    training: Training = TrainingSettings()

    def do(self) -> Outcome:
        """Train; the value is the prior's run."""
        from pinxit.training.train import train_prior

        return shown(train_prior(self.settings, self.run, self.training))


class Resume(Action):
    """Continue a stopped run, bit for bit, or prolong a finished one.

    The finished weights are the same as without the stop.
    """

    run: AnyRun
    data: Annotated[str | None, Reads()] = Field(
        None, description="Where the run's pictures are now, if they were moved. They must be the same pictures."
    )
    steps: int | None = Field(
        None, ge=0, description="New number of steps, at least those already done. A finished run goes on until then."
    )

    def do(self) -> Outcome:
        """Continue training; the value is the run."""
        from pinxit.training.train import resume

        return shown(resume(self.run, self.data, self.steps))


class Demo(Action):
    """Train a GAN on handwritten digits in a few minutes and score it.

    Samples new digits and scores them against real ones. If you run it again, it continues an unfinished run, or scores
    a finished one again.
    """

    out: Path = Field(Path("runs/demo"), description="Folder of the run.")
    minutes: float | None = Field(
        None, gt=0, description="Minutes to train for; 3 if neither --minutes nor --steps is given."
    )
    steps: int | None = Field(None, ge=0, description="Optimiser steps to train for, instead of minutes.")
    seed: int = Field(0, ge=0, description="Seed of every random number.")
    n: Annotated[int, N] = Field(10_000, ge=12, description="Number of pictures in each set that the score compares.")

    def do(self) -> Outcome:
        """Train, sample and judge; value and document are the certificate."""
        from pinxit.evaluation.evaluate import evaluate
        from pinxit.images import grid, save_sheet
        from pinxit.latents.sampling import load

        run = self._run()
        sheet = self.out / "digits.png"
        save_sheet(sheet, grid(load(self.out).sample(100)[0]))
        document = evaluate(self.out, "mnist:test", n=self.n)
        return Outcome(document, document, (sheet, run.page), _scores(document, sheet, run.page))

    def _run(self) -> Run:
        from pinxit.training.recipes import GOLDEN
        from pinxit.training.run import is_run
        from pinxit.training.train import resume, train

        if is_run(self.out):
            say(f"{self.out} exists; continuing it with its own settings (another --out starts a new run)")
            return resume(self.out)
        settings, golden = GOLDEN["digits"]
        asked = self.model_dump(include={"minutes", "steps"}, exclude_none=True)
        training = TrainingSettings.parse({"seed": self.seed} | (asked or golden.model_dump(exclude_unset=True)))
        return train(settings, "mnist", self.out, training=training)


def _scores(document: Mapping[str, Any], sheet: Path, report: Path) -> Iterator[str]:
    from pinxit.evaluation.text import table

    yield from (*table(document), "")
    yield f"{sheet}  a hundred digits no one wrote"
    yield f"{report}  the whole story"


class RunsList(Action):
    """List the runs in a folder."""

    folder: Annotated[Path, Word("FOLDER")] = Field(Path("runs"), description="Folder that holds runs.")

    def do(self) -> Outcome:
        """Read the runs; value and document are a list of their facts."""
        from pinxit.training.run import Run, is_run

        found = []
        for folder in filter(is_run, sorted(self.folder.glob("*"))):
            try:
                found.append(facts(Run.open(folder)))
            except DataError as error:
                say(str(error))
        return Outcome(found, found, lines=self._lines(found))

    def _lines(self, found: list[dict[str, Any]]) -> Iterator[str]:
        if not found:
            raise DataError(f"no runs in {self.folder}; `pinxit train gan DATA` makes one")
        width = max(len(run["folder"]) for run in found)
        yield from (f"{run['folder']:<{width}}  {describe(run)}" for run in found)


class RunsShow(Action):
    """Show the settings and the progress of a run."""

    run: AnyRun

    def do(self) -> Outcome:
        """Read the run, which is the value."""
        from pinxit.training.run import Run

        return shown(Run.open(self.run))


class RunsDiagnose(Action):
    """Say what goes wrong in a run, by its log, and what may help.

    The run may be of any objective, and may still train. Findings are listed with their causes first.
    """

    run: AnyRun

    def do(self) -> Outcome:
        """Read the run; the value is its findings."""
        from pinxit.training.curves import read_log
        from pinxit.training.diagnosis import diagnose
        from pinxit.training.run import LOG, Run

        run = Run.open(self.run)
        found = diagnose(read_log(run.folder / LOG), run.recipe)
        sheets = sorted(path for path in run.samples.glob("*.png") if path.stem.isdecimal())
        picture = {"picture": str(sheets[-1])} if sheets else {}
        lines = [f"{run.folder}, since step {finding.step:,}: {finding}" for finding in found]
        document = {"findings": [asdict(finding) | picture for finding in found]}
        return Outcome(found, document, lines=lines or [f"{run.folder}: nothing found"])


def new_folder(objective: str, source: str, runs: Path = Path("runs")) -> Path:
    """Return the first of the folders RUNS/OBJECTIVE-DATA-NUMBER that does not exist."""
    stem = Path(source.rstrip("/")).stem.replace(":", "-") or "data"
    number = 1
    while (folder := runs / f"{objective}-{stem}-{number}").exists():
        number += 1
    return folder
