"""Routes for runs: their list, recipes, curves, sheets and reports."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response

from pinxit.training.run import Run
from pinxit.web import runs as shown
from pinxit.web.files import served
from pinxit.web.references import MissingError
from pinxit.web.studio import Here, Studio

router = APIRouter(prefix="/v1/runs", tags=["runs"])

Name = Annotated[str, InPath(pattern=r"^[^/]{1,200}(/prior)?$", description="Name of the run.")]
SANDBOX = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
"""What a report may do in a browser: show itself."""


@router.get("")
async def runs(here: Here) -> list[dict[str, Any]]:
    """List the runs, the newest first."""
    return here.places.hide(await asyncio.to_thread(shown.listed, here.places.runs))


@router.get("/{name:path}/curves")
async def curves(name: Name, here: Here) -> dict[str, Any]:
    """Return the curves of a run's log."""
    return await asyncio.to_thread(lambda: shown.curves(_opened(here, name)))


@router.get("/{name:path}/sheets/{step}.png", response_class=FileResponse)
async def sheet(name: Name, step: int, here: Here) -> Response:
    """Return the sheet of samples of a step."""
    found = shown.sheet(_opened(here, name), step)
    if found is None:
        raise MissingError(f"no sheet of step {step}")
    return served(found, here.places)


@router.get("/{name:path}/report", response_class=FileResponse)
async def report(name: Name, here: Here) -> Response:
    """Return the report of a run, a page that loads nothing and runs no script."""
    page = await asyncio.to_thread(served, _opened(here, name).page, here.places, "text/html")
    page.headers["content-security-policy"] = SANDBOX
    return page


@router.get("/{name:path}")
async def run(name: Name, here: Here) -> dict[str, Any]:
    """Return a run: its recipe, progress, findings, sheets and scores."""
    return here.places.hide(await asyncio.to_thread(lambda: shown.details(_opened(here, name))))


def _opened(here: Studio, name: str) -> Run:
    return Run.open(Path(here.places.find(f"run:{name}")))
