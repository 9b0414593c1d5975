"""The route of the command line that does the same as a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from pinxit.web.routes.jobs import NewJob
from pinxit.web.words import command_line

router = APIRouter(prefix="/v1", tags=["forms"])

Name = Annotated[str, Field(max_length=255)]


class Asked(NewJob):
    """A request, and what its files are called."""

    names: dict[Annotated[str, Field(max_length=1000)], Name] = Field(
        default={}, max_length=1000, description="Names of files by their references, such as those of uploads."
    )


class Command(BaseModel):
    """What a person would type."""

    command: str = Field(description="A command line, ready to paste into a shell.")


@router.post("/command")
async def command(new: Asked) -> Command:
    """Return the command line that does the same as a request; nothing is carried out."""
    return Command(command=command_line(new.action, new.request, new.names))
