"""`pinxit train`: train a model on your own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pinxit.commands import Json
from pinxit.commands.runs import show_run
from pinxit.data.settings import DataSettings
from pinxit.objectives.settings import GANSettings
from pinxit.training.settings import TrainingSettings

app = App(name="train", help="Train a model on your own pictures.")


@app.command
def gan(
    source: Annotated[str, Parameter(name="DATA")],
    /,
    *,
    out: Path | None = None,
    settings: Annotated[GANSettings, Parameter(name="*", group="The game")] = GANSettings(),
    data: Annotated[DataSettings, Parameter(name="*", group="The pictures")] = DataSettings(),
    training: Annotated[TrainingSettings, Parameter(name="*", group="The training")] = TrainingSettings(),
    as_json: Json = False,
) -> None:
    """Train a generative adversarial network: new pictures like those of DATA.

    Parameters
    ----------
    source
        A name (mnist), a folder of pictures, a zip, an npz, or IDX files.
    out
        The run's folder; by default a new one in runs/.
    """
    from pinxit.training.train import train

    run = train(settings, source, out or new_folder("gan", source), data, training)
    show_run(run, as_json)


def new_folder(objective: str, source: str) -> Path:
    """Return the first folder runs/OBJECTIVE-DATA-NUMBER that is not there yet."""
    stem = Path(source.rstrip("/")).stem.replace(":", "-") or "data"
    number = 1
    while (folder := Path("runs") / f"{objective}-{stem}-{number}").exists():
        number += 1
    return folder
