"""`pinxit resume`: go on with a stopped run."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pinxit.commands import Json
from pinxit.commands.runs import show_run

app = App(name="resume", help="Go on with a stopped run, bit for bit.")


@app.default
def resume(folder: Annotated[Path, Parameter(name="RUN")], /, *, as_json: Json = False) -> None:
    """Go on with a stopped run; the finished weights are what they would have been, bit for bit.

    Parameters
    ----------
    folder
        The run's folder.
    """
    from pinxit.training.train import resume as go_on

    show_run(go_on(folder), as_json)
