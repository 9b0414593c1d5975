"""What the page shows of runs: their facts, curves, findings and sheets, read from their folders. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pinxit.errors import BusyError, DataError
from pinxit.training.curves import FOUND, WATCH, read_log
from pinxit.training.diagnosis import diagnose
from pinxit.training.run import LOG, MARKER, STATE, Run, is_run

MOST_POINTS = 500
"""Points of a curve that a page gets; longer curves are thinned."""


def listed(folder: Path) -> list[dict[str, Any]]:
    """Return the runs of a folder, the newest first."""
    found = []
    for path in folder.glob("*") if folder.is_dir() else ():
        with suppress(DataError):
            if is_run(path) and not path.is_symlink():
                found.append((path.stat().st_mtime, summary(Run.open(path))))
    return [row for _, row in sorted(found, key=lambda row: row[0], reverse=True)]


def summary(run: Run) -> dict[str, Any]:
    """Return what a list shows of a run."""
    facts, recipe = run.facts(), run.recipe
    sheets = steps(run)
    return {
        "name": run.folder.name,
        "objective": recipe.objective,
        "data": recipe.data.name,
        "steps": facts.get("steps", 0),
        "last": recipe.training.steps,
        "images": facts.get("images", 0),
        "seconds": facts.get("seconds", 0),
        "finished": facts.get("finished", False),
        "weights": run.weights.exists(),
        "classes": list(recipe.data.classes),
        "sheet": sheets[-1] if sheets else None,
    }


def details(run: Run) -> dict[str, Any]:
    """Return everything that a page shows of a run, but its pictures."""
    return summary(run) | {
        "recipe": run.recipe.model_dump(mode="json", exclude={"data": {"source"}}),
        "prior": is_run(run.prior),
        "training": is_training(run),
        "sheets": steps(run),
        "checkpoints": checkpoints(run),
        "findings": [asdict(finding) for finding in diagnose(read_log(run.folder / LOG), run.recipe)],
        "evaluation": run.evaluation(),
        "report": run.page.exists(),
    }


def curves(run: Run) -> dict[str, dict[str, list[float]]]:
    """Return the curves of a run's log by name, thinned; what the watch and findings wrote is left out."""
    found = {}
    for name, curve in read_log(run.folder / LOG).items():
        if not name.startswith((WATCH, FOUND)):
            every = max(1, -(-len(curve.at) // MOST_POINTS))
            found[name] = {"at": curve.at[::every].tolist(), "values": curve.values[::every].tolist()}
    return found


def steps(run: Run) -> list[int]:
    """Return the steps of which there is a sheet."""
    return sorted(int(path.stem) for path in _sheets(run) if path.stem.isdecimal())


def checkpoints(run: Run) -> dict[int, str]:
    """Return the file of each complete checkpoint inside the run's folder, by its step, from which a run may start."""
    found = run.checkpoints.glob(f"*/{STATE}")
    complete = [path for path in found if path.parent.name.isdecimal() and (path.parent / MARKER).exists()]
    return {int(path.parent.name): str(path.relative_to(run.folder)) for path in sorted(complete)}


def sheet(run: Run, step: int) -> Path | None:
    """Return the sheet of a step; None if there is none."""
    return next((path for path in _sheets(run) if path.stem.isdecimal() and int(path.stem) == step), None)


def _sheets(run: Run) -> Iterator[Path]:
    return (path for path in run.samples.glob("*.png") if path.is_file() and not path.is_symlink())


def is_training(run: Run) -> bool:
    """Say whether a process trains the run now."""
    try:
        with run.lock():
            return False
    except BusyError:
        return True
