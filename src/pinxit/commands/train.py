"""`pinxit train`: train a model on your own pictures; one sub-command for each row of `OBJECTIVES`."""

# Annotations are read when a command is made, for its settings class is known only then: no `annotations` import here.
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pinxit.commands import Json
from pinxit.commands.runs import show_run
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.settings import ObjectiveSettings, PriorSettings
from pinxit.training.settings import TrainingSettings

app = App(name="train", help="Train a model on your own pictures.")


def command(objective: str, kind: type[ObjectiveSettings]) -> Callable[..., None]:
    """Return the command that trains `objective`, whose flags are the fields of its settings."""

    def train(
        source: Annotated[
            str,
            Parameter(name="DATA", help="A name (mnist), a folder of pictures, a zip, an npz, or IDX files."),
        ],
        /,
        *,
        out: Annotated[Path | None, Parameter(help="The run's folder; by default a new one in runs/.")] = None,
        settings: Annotated[kind, Parameter(name="*", group="The model")] = kind(),  # type: ignore[valid-type]  # noqa: B008
        data: Annotated[kind.pictures, Parameter(name="*", group="The pictures")] = kind.pictures(),  # type: ignore[name-defined]  # noqa: B008
        training: Annotated[TrainingSettings, Parameter(name="*", group="The training")] = TrainingSettings(),
        start: Annotated[
            Path | None,
            Parameter(name="--from", help="Begin with these weights: a run's folder, or a safetensors file."),
        ] = None,
        as_json: Json = False,
    ) -> None:
        from pinxit.training.train import train

        run = train(settings, source, out or new_folder(objective, source), data, training, start)
        show_run(run, as_json)

    return train


def prior(
    folder: Annotated[Path, Parameter(name="RUN", help="The folder of a finished run of `vae` or `vq`.")],
    /,
    *,
    settings: Annotated[PriorSettings, Parameter(name="*", group="The model")] = PriorSettings(),  # noqa: B008
    training: Annotated[TrainingSettings, Parameter(name="*", group="The training")] = TrainingSettings(),
    as_json: Json = False,
) -> None:
    """Learn a prior over the codes of a run, as a run of its own in the folder `prior` there."""
    from pinxit.training.train import train_prior

    show_run(train_prior(settings, folder, training), as_json)


for name, kind in OBJECTIVES.items():
    app.command(prior if kind is PriorSettings else command(name, kind), name=name, help=kind.__doc__)


def new_folder(objective: str, source: str) -> Path:
    """Return the first folder runs/OBJECTIVE-DATA-NUMBER that is not there yet."""
    stem = Path(source.rstrip("/")).stem.replace(":", "-") or "data"
    number = 1
    while (folder := Path("runs") / f"{objective}-{stem}-{number}").exists():
        number += 1
    return folder
