"""Routes that say what the server can do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from pinxit import __version__
from pinxit.web.answers import Health
from pinxit.web.requests import form, kinds

router = APIRouter(tags=["forms"])


class Summary(BaseModel):
    """An action by its name."""

    name: str
    summary: str


@router.get("/healthz")
async def health() -> Health:
    """Say that the server answers."""
    return Health(status="ok", version=__version__)


@router.get("/v1/actions")
async def actions() -> list[Summary]:
    """List the actions that can be asked for."""
    return [Summary(name=name, summary=kind.summary()) for name, (kind, _) in kinds().items()]


@router.get("/v1/actions/{name}")
async def action(name: str) -> dict[str, Any]:
    """Return the form of an action: its fields, their help, bounds and defaults."""
    return form(name)
