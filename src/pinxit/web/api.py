"""The HTTP API: typed jobs, uploads, results and runs. Every action is the one of the command line."""

from __future__ import annotations

import asyncio
import hashlib
import json
import mimetypes
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from pinxit import __version__
from pinxit.errors import DataError, UsageError, UserError
from pinxit.training.run import Run
from pinxit.web import runs as shown
from pinxit.web.queue import Queue
from pinxit.web.references import NAME, Places
from pinxit.web.requests import asked, form, kind_of, kinds
from pinxit.web.store import DONE, ENDED, QUEUED, Job, Store
from pinxit.web.uploads import SETS, keep, keep_set

PAGE = Path(__file__).parent / "page"
MOST_WAITING, MOST_OF_CLIENT, AGAIN = 64, 16, 2
STATUS = {2: 422, 3: 422, 5: 507, 6: 507, 8: 409}
"""The HTTP status for each exit code of an error; 500 for others."""
SANDBOX = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
LONGEST_WAIT = 60.0


class NewJob(BaseModel):
    """A request: an action by its name, and its fields."""

    model_config = ConfigDict(extra="forbid")

    action: str = Field(max_length=64, description="Name of an action, as GET /v1/actions lists them.")
    request: dict[str, Any] = Field(
        default={}, description="Its fields, as its form says. What is read is named by references."
    )


class NewSet(BaseModel):
    """A set of pictures made of uploads."""

    model_config = ConfigDict(extra="forbid")

    files: list[str] = Field(min_length=1, max_length=20_000, description="References: upload:SHA256.")


class Refusal(BaseModel):
    """Why a request is refused."""

    error: str = Field(description="One line: what, why, and what would work.")
    code: int = Field(description="The exit code that the command line would have.")


def build(places: Places) -> FastAPI:
    """Return the application; its jobs run while it serves."""
    for folder in (places.uploads, places.sets, places.jobs):
        folder.mkdir(parents=True, exist_ok=True)
    store = Store(places.state / "jobs.sqlite")
    queue = Queue(store, places)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        queue.start()
        yield
        await queue.stop()
        store.close()

    app = FastAPI(title="pinxit", version=__version__, lifespan=life, docs_url=None, redoc_url=None)

    @app.exception_handler(UserError)
    async def refused(request: Request, error: UserError) -> JSONResponse:
        return _refusal(error)

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        """Say that the server answers."""
        return {"status": "ok", "version": __version__}

    @app.get("/v1/actions")
    async def actions() -> list[dict[str, str]]:
        """List the actions that can be asked for."""
        return [{"name": name, "summary": kind.summary()} for name, (kind, _) in kinds().items()]

    @app.get("/v1/actions/{name}")
    async def action(name: str) -> dict[str, Any]:
        """Return the form of an action: its fields, their help, bounds and defaults."""
        return form(name)

    @app.put("/v1/uploads/{name}", status_code=201)
    async def upload(name: str, request: Request) -> dict[str, Any]:
        """Keep a file, named by its SHA-256: a picture, or a zip of pictures."""
        place = await keep(places, name, request.stream())
        reference = f"upload:{name}"
        if place.suffix in SETS:
            return {"reference": reference, "kind": "set"}
        job = await view(reference, 1600)
        if job.state != DONE:
            place.unlink(missing_ok=True)
            return _failed(job)
        return {"reference": reference, "kind": "picture"} | dict((job.result or {})["document"])

    @app.put("/v1/sets", status_code=201)
    async def new_set(asked: NewSet) -> dict[str, str]:
        """Make a set of uploads, for training and evaluation."""
        return {"reference": f"set:{keep_set(places, asked.files)}"}

    @app.put("/v1/jobs/{name}", status_code=202)
    async def new_job(
        name: Annotated[str, Field(pattern="^[0-9a-zA-Z-]{8,64}$")],
        new: NewJob,
        response: Response,
        client: Annotated[str, Header(alias="x-client", pattern="^[0-9a-zA-Z-]{1,64}$")] = "anyone",
        wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the end.")] = 0,
    ) -> dict[str, Any]:
        """Ask for an action. The same name and request again is the same job."""
        job = store.get(name)
        if job and (job.action, job.request) != (new.action, new.request):
            raise UsageError("this name is taken by a job with another request; choose another name")
        if job is None:
            if store.waiting() >= MOST_WAITING or store.waiting(client=client) >= MOST_OF_CLIENT:
                return _busy()
            asked(new.action, new.request, places, places.jobs / name / "out")
            lane = kind_of(new.action)[1].lane
            job = Job(name, client, new.action, new.request, lane, QUEUED, 0, time.time(), None, None, None)
            queue.add(job)
        return _public(await ended(job.id, wait))

    async def ended(name: str, seconds: float) -> Job:
        """Return a job, when it has ended or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for _ in queue.follow(name):
                    pass
        return _found(store, name)

    @app.get("/v1/jobs")
    async def jobs(
        client: Annotated[str, Header(alias="x-client", pattern="^[0-9a-zA-Z-]{1,64}$")] = "anyone",
    ) -> list[dict[str, Any]]:
        """List the last hundred jobs of this client."""
        return [_public(job) for job in store.newest(client, 100)]

    @app.get("/v1/jobs/{name}")
    async def job(name: str) -> dict[str, Any]:
        """Return a job and its state."""
        return _public(_found(store, name))

    @app.delete("/v1/jobs/{name}", status_code=202)
    async def cancel(name: str) -> dict[str, Any]:
        """Stop a job. A training saves first."""
        found = _found(store, name)
        asyncio.get_running_loop().create_task(queue.cancel(found))
        return _public(found)

    @app.get("/v1/jobs/{name}/events")
    async def events(name: str, last: Annotated[int, Header(alias="last-event-id", ge=0)] = 0) -> StreamingResponse:
        """Follow a job: server-sent events of progress, remarks and pictures, and its end."""
        _found(store, name)

        async def lines() -> AsyncIterator[str]:
            async for event in queue.follow(name, last):
                yield f"id: {event['number']}\nevent: {event['event']}\ndata: {json.dumps(event)}\n\n"
            yield f"event: end\ndata: {json.dumps(_public(_found(store, name)))}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    @app.get("/v1/jobs/{name}/files/{file:path}")
    async def result(name: str, file: str) -> FileResponse:
        """Return a file of a job's result."""
        return _file(Path(places.find(f"job:{name}/{file}")))

    @app.get("/v1/jobs/{name}/previews/{file}")
    async def preview(name: str, file: str) -> FileResponse:
        """Return an intermediate picture of a job."""
        _found(store, name)
        if not NAME.fullmatch(file):
            raise DataError("no such picture")
        return _file(places.jobs / name / "previews" / file)

    async def view(reference: str, side: int) -> Job:
        """Return the job that shows a picture as a PNG."""
        request = {"picture": reference, "side": side}
        name = f"view-{hashlib.sha256(f'{reference} {side}'.encode()).hexdigest()[:32]}"
        job = store.get(name)
        if job is None or (job.state in ENDED and not (places.jobs / name / "out" / "view.png").exists()):
            store.forget(name)
            asked("view", request, places, places.jobs / name / "out")
            queue.add(Job(name, "view", "view", request, "view", QUEUED, 0, time.time(), None, None, None))
        return await ended(name, LONGEST_WAIT)

    @app.get("/v1/views")
    async def picture(
        of: Annotated[str, Query(max_length=1000, description="Reference of a picture.")],
        side: Annotated[int, Query(ge=1, le=4096, description="Longest side in pixels.")] = 1600,
    ) -> Response:
        """Show a picture of any format and depth as a PNG of 8 bits, upright."""
        job = await view(of, side)
        if job.state != DONE:
            return _failed(job)
        return _file(places.jobs / job.id / "out" / "view.png")

    @app.get("/v1/runs")
    async def runs() -> list[dict[str, Any]]:
        """List the runs, the newest first."""
        return await asyncio.to_thread(shown.listed, places.runs)

    def opened(name: str) -> Run:
        return Run.open(Path(places.find(f"run:{name}")))

    @app.get("/v1/runs/{name}")
    async def run(name: str) -> dict[str, Any]:
        """Return a run: its recipe, progress, findings, sheets and scores."""
        return await asyncio.to_thread(lambda: shown.details(opened(name)))

    @app.get("/v1/runs/{name}/curves")
    async def curves(name: str) -> dict[str, Any]:
        """Return the curves of a run's log."""
        return await asyncio.to_thread(lambda: shown.curves(opened(name)))

    @app.get("/v1/runs/{name}/sheets/{step}.png")
    async def sheet(name: str, step: int) -> FileResponse:
        """Return the sheet of samples of a step."""
        found = shown.sheet(opened(name), step)
        if found is None:
            raise DataError(f"no sheet of step {step}")
        return _file(found)

    @app.get("/v1/runs/{name}/report")
    async def report(name: str) -> FileResponse:
        """Return the report of a run, a page that loads nothing and runs no script."""
        page = opened(name).page
        if not page.exists():
            raise DataError(f"{name} has no report yet")
        return FileResponse(page, media_type="text/html", headers={"content-security-policy": SANDBOX})

    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return app


def _found(store: Store, name: str) -> Job:
    job = store.get(name)
    if job is None:
        raise DataError("no such job; it may have expired")
    return job


def _public(job: Job) -> dict[str, Any]:
    """Return what a client may know of a job."""
    return {
        "id": job.id,
        "action": job.action,
        "request": job.request,
        "state": job.state,
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "result": job.result,
    }


def _file(path: Path) -> FileResponse:
    if not path.is_file():
        raise DataError("no such file; it may have expired")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    kind = kind if kind.startswith("image/") and "svg" not in kind else "application/octet-stream"
    return FileResponse(path, media_type=kind, filename=path.name)


def _failed(job: Job) -> JSONResponse:
    result = job.result or {"error": "this takes too long; ask again later", "code": 8}
    code = result.get("code", 1)
    return JSONResponse({"error": result.get("error", ""), "code": code}, STATUS.get(code, 422))


def _refusal(error: UserError) -> JSONResponse:
    status = 404 if isinstance(error, DataError) else STATUS.get(error.exit_code, 500)
    return JSONResponse({"error": str(error), "code": error.exit_code}, status)


def _busy() -> JSONResponse:
    return JSONResponse(
        {"error": f"too many jobs wait; ask again in {AGAIN} seconds", "code": 8}, 503, {"retry-after": str(AGAIN)}
    )
