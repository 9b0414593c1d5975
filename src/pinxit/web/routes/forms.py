"""Routes that say what the server can do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from pinxit import __version__
from pinxit.data import mnist
from pinxit.web.answers import Health
from pinxit.web.requests import form, kinds
from pinxit.web.studio import Here

router = APIRouter(tags=["forms"])


class Summary(BaseModel):
    """An action by its name."""

    name: str
    summary: str


class Sources(BaseModel):
    """Where data may come from, but for uploads."""

    sets: list[str]
    folders: list[str] = Field(description="Names of folders that a person allowed: folder:NAME.")


@router.get("/healthz")
async def health() -> Health:
    """Say that the server answers."""
    return Health(status="ok", version=__version__)


@router.get("/v1/places")
async def places(here: Here) -> Sources:
    """List the named sets, and the folders that may be read."""
    return Sources(sets=[mnist.NAME], folders=sorted(here.places.folders))


@router.get("/v1/actions")
async def actions() -> list[Summary]:
    """List the actions that can be asked for."""
    return [Summary(name=name, summary=kind.summary()) for name, (kind, _) in kinds().items()]


@router.get("/v1/actions/{name}")
async def action(name: str) -> dict[str, Any]:
    """Return the form of an action: its fields, their help, bounds and defaults."""
    return form(name)
