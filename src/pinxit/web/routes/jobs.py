"""Routes for jobs: asking, following, stopping, and fetching results."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from pinxit.web.answers import JobState
from pinxit.web.files import served
from pinxit.web.studio import LONGEST_WAIT, Client, Here
from pinxit.web.worker import PREVIEWS

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Name = Annotated[str, InPath(pattern="^[0-9a-zA-Z-]{8,64}$", description="Name of the job, chosen by the client.")]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the end.")]
After = Annotated[int, Header(alias="last-event-id", ge=0, description="Number of the last event that was seen.")]


class NewJob(BaseModel):
    """A request: an action by its name, and its fields."""

    model_config = ConfigDict(extra="forbid")

    action: str = Field(max_length=64, description="Name of an action, as GET /v1/actions lists them.")
    request: dict[str, Any] = Field(
        default={}, description="Its fields, as its form says. What is read is named by references."
    )


@router.get("")
async def jobs(here: Here, client: Client = "anyone") -> list[JobState]:
    """List the last hundred jobs of this client."""
    return [JobState.of(job) for job in here.store.newest(client, 100)]


@router.put("/{name}", status_code=202)
async def new_job(name: Name, new: NewJob, here: Here, client: Client = "anyone", wait: Wait = 0) -> JobState:
    """Ask for an action. The same name and request again is the same job."""
    here.ask(name, client, new.action, new.request)
    return JobState.of(await here.ended(name, wait))


@router.get("/{name}")
async def job(name: Name, here: Here) -> JobState:
    """Return a job and its state."""
    return JobState.of(here.found(name))


@router.delete("/{name}", status_code=202)
async def cancel(name: Name, here: Here) -> JobState:
    """Stop a job. A training saves first."""
    await here.queue.cancel(here.found(name))
    return JobState.of(here.found(name))


@router.get("/{name}/events", response_class=StreamingResponse)
async def events(name: Name, here: Here, last: After = 0) -> StreamingResponse:
    """Follow a job: server-sent events of progress, remarks and pictures, and its end."""
    here.found(name)

    async def lines() -> AsyncIterator[str]:
        async for event in here.queue.follow(name, last):
            yield f"id: {event['number']}\nevent: {event['event']}\ndata: {json.dumps(event)}\n\n"
        yield f"event: end\ndata: {JobState.of(here.found(name)).model_dump_json()}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})


@router.get("/{name}/files/{file:path}", response_class=FileResponse)
async def result(name: Name, file: str, here: Here) -> Response:
    """Return a file of a job's result."""
    return served(Path(here.places.find(f"job:{name}/{file}")), here.places)


@router.get("/{name}/previews/{file}", response_class=FileResponse)
async def preview(
    name: Name, file: Annotated[str, InPath(pattern=r"^[\w-]+\.png$", max_length=64)], here: Here
) -> Response:
    """Return an intermediate picture of a job."""
    here.found(name)
    return served(here.places.jobs / name / PREVIEWS / file, here.places)
