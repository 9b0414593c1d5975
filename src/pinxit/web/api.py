"""The HTTP API: typed jobs, uploads, results and runs. Every action is the one of the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.routing import Route

from pinxit import __version__
from pinxit.web.answers import REFUSALS, explain_errors
from pinxit.web.queue import Queue
from pinxit.web.references import Places
from pinxit.web.routes import forms, jobs, page, pictures, runs, words
from pinxit.web.store import Store
from pinxit.web.studio import Studio

PAGE = Path(__file__).parent / "page"


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

    app = FastAPI(title="pinxit", version=__version__, lifespan=life, docs_url=None, redoc_url=None, responses=REFUSALS)
    app.state.studio = Studio(places, store, queue)
    explain_errors(app, places)
    for topic in (forms, words, jobs, pictures, runs, page):
        app.include_router(topic.router)
    app.routes.append(Route("/{path:path}", StaticFiles(directory=PAGE, html=True), methods=["GET"]))
    return app
