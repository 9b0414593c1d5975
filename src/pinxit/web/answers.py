"""What the server answers: the forms of its documents, and refusals as one line with the right HTTP status."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from pinxit.errors import UserError, printable, shorten
from pinxit.web.references import MissingError, Places
from pinxit.web.store import Job

AGAIN = 2
"""Seconds after which a client that was sent away may ask again."""
LONGEST_LINE = 1000


class FullError(UserError):
    """Too many jobs wait already."""

    exit_code = 8


STATUS: dict[type[UserError] | int, int] = {MissingError: 404, FullError: 503, 2: 422, 3: 422, 5: 507, 6: 507, 8: 409}
"""The HTTP status for a kind of error, or for its exit code; 500 for others, which are our fault."""


class Refusal(BaseModel):
    """Why a request is refused."""

    error: str = Field(description="One line: what, why, and what would work.")
    code: int = Field(description="The exit code that the command line would have.")


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text}
    for status, text in {
        400: "The request cannot be read.",
        401: "A token is needed.",
        403: "A page of another origin asks.",
        404: "There is no such thing, or it has expired.",
        405: "That cannot be done with it.",
        408: "The body comes too slowly.",
        409: "Another process uses it.",
        413: "The body is too large.",
        415: "The body is of a kind that is not taken here.",
        421: "The server does not answer to that host name.",
        422: "The request is wrong.",
        431: "The headers are too long.",
        503: "Too many jobs wait; ask again later.",
        507: "The memory or the disk is used up.",
    }.items()
}
"""Every refusal that an operation may answer with."""


class Health(BaseModel):
    """That the server answers."""

    status: str
    version: str


class Result(BaseModel):
    """What came of a job."""

    model_config = ConfigDict(extra="forbid")

    document: Any = Field(None, description="What --json would print.")
    lines: list[str] = Field([], description="What a terminal would show.")
    files: list[str] = Field([], description="Names of the result's files: GET /v1/jobs/{id}/files/{file}.")
    error: str | None = Field(None, description="Why the job, or a part of it, failed.")
    code: int | None = Field(None, description="The exit code that the command line would have; null if all went well.")


class JobState(BaseModel):
    """A job, and how far it is."""

    id: str
    action: str
    request: dict[str, Any]
    state: str = Field(description="queued, running, done, failed or cancelled.")
    run: str | None = Field(description="Name of the run that it trains, as soon as there is one.")
    created: float = Field(description="Seconds since 1970; so are started and ended.")
    started: float | None
    ended: float | None
    result: Result | None

    @classmethod
    def of(cls, job: Job) -> JobState:
        """Return what a client may know of a job."""
        result = Result.model_validate(job.result) if job.result is not None else None
        return cls(
            id=job.id,
            action=job.action,
            request=dict(job.request),
            state=job.state,
            run=job.run,
            created=job.created,
            started=job.started,
            ended=job.ended,
            result=result,
        )


def status_of(error: UserError) -> int:
    """Return the HTTP status of an error."""
    return STATUS.get(type(error), STATUS.get(error.exit_code, 500))


def refusal(status: int, text: str, code: int = 2) -> JSONResponse:
    """Return an answer that says in one line why not."""
    headers = {"retry-after": str(AGAIN)} if status == 503 else {}
    return JSONResponse({"error": shorten(printable(text), LONGEST_LINE), "code": code}, status, headers)


def explain_errors(app: FastAPI, places: Places) -> None:
    """Let every error of the application become a refusal, without paths of this machine."""

    @app.exception_handler(UserError)
    async def refused(request: Request, error: UserError) -> JSONResponse:
        return refusal(status_of(error), places.hide(str(error)), error.exit_code)

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> JSONResponse:
        answer = refusal(error.status_code, error.detail)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return refusal(500, "our fault: PINXIT_DEBUG=1 shows where; please report this", 1)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return refusal(422, f"{where}: {first['msg']}" if where else first["msg"])
