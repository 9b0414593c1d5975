"""Routes for runs: their list, recipes, curves, sheets and reports."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from fastapi.responses import FileResponse

from pinxit.training.run import Run
from pinxit.web import runs as shown
from pinxit.web.files import served
from pinxit.web.references import MissingError
from pinxit.web.studio import Here, Studio

router = APIRouter(prefix="/v1/runs", tags=["runs"])

Name = Annotated[str, InPath(pattern=r"^[\w-][\w.-]{0,127}(/prior)?$", description="Name of the run.")]
SANDBOX = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
"""What a report may do in a browser: show itself."""


@router.get("")
async def runs(here: Here) -> list[dict[str, Any]]:
    """List the runs, the newest first."""
    return await asyncio.to_thread(shown.listed, here.places.runs)


@router.get("/{name:path}/curves")
async def curves(name: Name, here: Here) -> dict[str, Any]:
    """Return the curves of a run's log."""
    return await asyncio.to_thread(lambda: shown.curves(_opened(here, name)))


@router.get("/{name:path}/sheets/{step}.png", response_class=FileResponse)
async def sheet(name: Name, step: int, here: Here) -> FileResponse:
    """Return the sheet of samples of a step."""
    found = shown.sheet(_opened(here, name), step)
    if found is None:
        raise MissingError(f"no sheet of step {step}")
    return served(found)


@router.get("/{name:path}/report", response_class=FileResponse)
async def report(name: Name, here: Here) -> FileResponse:
    """Return the report of a run, a page that loads nothing and runs no script."""
    page = _opened(here, name).page
    if not page.exists():
        raise MissingError(f"{name} has no report yet")
    return FileResponse(page, media_type="text/html", headers={"content-security-policy": SANDBOX})


@router.get("/{name:path}")
async def run(name: Name, here: Here) -> dict[str, Any]:
    """Return a run: its recipe, progress, findings, sheets and scores."""
    return await asyncio.to_thread(lambda: shown.details(_opened(here, name)))


def _opened(here: Studio, name: str) -> Run:
    return Run.open(Path(here.places.find(f"run:{name}")))
