"""Routes for pictures: uploads, sets of them, and views of anything that can be read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pinxit.web.answers import STATUS, refusal
from pinxit.web.files import served
from pinxit.web.store import DONE, Job
from pinxit.web.studio import Here
from pinxit.web.uploads import SETS, keep, keep_set

router = APIRouter(prefix="/v1", tags=["pictures"])
SIDE = 1600


class Upload(BaseModel):
    """A file that the server keeps."""

    reference: str = Field(description="What requests call it: upload:SHA256.")
    kind: str = Field(description="picture, or set for a zip of pictures.")
    width: int | None = None
    height: int | None = None
    channels: int | None = None


class NewSet(BaseModel):
    """A set of pictures made of uploads."""

    model_config = ConfigDict(extra="forbid")

    files: list[str] = Field(min_length=1, max_length=20_000, description="References: upload:SHA256.")


class Reference(BaseModel):
    """What requests call something."""

    reference: str


@router.put("/uploads/{name}", status_code=201, response_model=Upload)
async def upload(name: str, request: Request, here: Here) -> Upload | Response:
    """Keep a file, named by its SHA-256: a picture, or a zip of pictures."""
    place = await keep(here.places, name, request.stream())
    reference = f"upload:{name}"
    if place.suffix in SETS:
        return Upload(reference=reference, kind="set")
    job, _ = await here.view(reference, SIDE)
    if job.state != DONE or job.result is None:
        place.unlink(missing_ok=True)
        return _failed(job)
    return Upload(reference=reference, kind="picture", **job.result["document"])


@router.put("/sets", status_code=201)
async def new_set(asked: NewSet, here: Here) -> Reference:
    """Make a set of uploads, for training and evaluation."""
    return Reference(reference=f"set:{keep_set(here.places, asked.files)}")


@router.get("/views", response_class=FileResponse)
async def view(
    here: Here,
    of: Annotated[str, Query(max_length=1000, description="Reference of a picture.")],
    side: Annotated[int, Query(ge=1, le=4096, description="Longest side in pixels.")] = SIDE,
) -> Response:
    """Show a picture of any format and depth as a PNG of 8 bits, upright."""
    job, place = await here.view(of, side)
    return served(place, here.places) if job.state == DONE else _failed(job)


def _failed(job: Job) -> Response:
    """Return why a picture cannot be shown."""
    if not job.result:
        return refusal(503, "this takes too long; ask again later", 8)
    code = job.result["code"]
    return refusal(STATUS.get(code, 500), job.result["error"], code)
