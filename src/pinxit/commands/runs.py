"""`pinxit runs`: list and show runs. Nothing here imports torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from pinxit.commands import Json
from pinxit.errors import DataError
from pinxit.progress import duration, say

if TYPE_CHECKING:
    from pinxit.training.run import Run

app = App(name="runs", help="List and show runs.")


@app.command(name="list")
def list_runs(folder: Annotated[Path, Parameter(name="FOLDER")] = Path("runs"), /, *, as_json: Json = False) -> None:
    """List the runs in a folder.

    Parameters
    ----------
    folder
        Where the runs lie.
    """
    from pinxit.training.run import RECIPE, Run

    found = []
    for recipe in sorted(folder.glob(f"*/{RECIPE}")):
        try:
            found.append(facts(Run.open(recipe.parent)))
        except DataError as error:
            say(str(error))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found:
        raise DataError(f"no runs in {folder}; `pinxit train gan DATA` makes one")
    else:
        width = max(len(run["folder"]) for run in found)
        for run in found:
            print(f"{run['folder']:<{width}}  {describe(run)}")


@app.command
def show(folder: Annotated[Path, Parameter(name="RUN")], /, *, as_json: Json = False) -> None:
    """Show what a run was asked and how far it is.

    Parameters
    ----------
    folder
        The run's folder.
    """
    from pinxit.training.run import Run

    show_run(Run.open(folder), as_json)


def show_run(run: Run, as_json: bool) -> None:
    """Print a run's facts: lines for a person, or one JSON document."""
    if as_json:
        print(json.dumps(facts(run), indent=2, ensure_ascii=False))
        return
    known = facts(run)
    print(f"{known['folder']}: {describe(known)}")
    for name in ("weights.safetensors", "samples", "report.html"):
        if (run.folder / name).exists():
            print(f"  {run.folder / name}")


def facts(run: Run) -> dict[str, Any]:
    """Return what is known of a run: its folder, what it did so far, and its recipe."""
    return {"folder": str(run.folder)} | run.facts() | {"recipe": run.recipe.model_dump(mode="json")}


def describe(known: dict[str, Any]) -> str:
    """Return a run's facts in one line."""
    recipe = known["recipe"]
    done, last = known.get("steps", 0), recipe["training"]["steps"]
    state = "finished" if known.get("finished") else f"not finished; `pinxit resume {known['folder']}` goes on"
    return (
        f"{recipe['objective']} on {recipe['data']['name']}, step {done:,} of {last:,} "
        f"({known.get('images', 0):,} pictures in {duration(known.get('seconds', 0))}), {state}"
    )
