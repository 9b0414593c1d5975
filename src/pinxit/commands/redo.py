"""`pinxit redo`: what made a picture, again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="redo", help="Make a result of an edit again, or do the same to another picture.")


@app.default
def redo(
    result: Annotated[Path, Parameter(name="OUT")],
    /,
    *,
    on: Path | None = None,
    out: Annotated[Path | None, Parameter(name=["-o", "--out"])] = None,
    device: str | None = None,
    overwrite: Annotated[bool, Parameter(name=["-y", "--overwrite"], negative=())] = False,
) -> None:
    """Make a result of `pinxit edit` again by the recipe in it, the same bytes; or do the same to another picture.

    Parameters
    ----------
    result
        The result; its recipe is in it, or beside it as OUT.json.
    on
        The picture it was made from, if that is not beside it; or another picture.
    out
        The new result; by default OUT-2, or as --on is called, in the folder of OUT.
    device
        auto, cpu, cuda, cuda:N or mps; by default what the recipe says.
    overwrite
        Replace what is there already.
    """
    from pinxit.jobs.redo import redo as make_again

    print(make_again(result, on, out, device, overwrite))
