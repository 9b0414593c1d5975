"""The action that serves the studio: a page for people, and the HTTP API behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pinxit.actions.action import Action, Flag, Outcome


class Studio(Action):
    """Work in a browser: edit, train, look at runs, sample and judge.

    Serves a page and an HTTP API (/openapi.json) on this machine alone. Nothing is sent anywhere else.
    """

    port: int = Field(7860, ge=0, le=65535, description="Port of the server; 0 for any that is free.")
    folders: Annotated[tuple[Path, ...], Flag("--folder")] = Field(
        (), description="Folder of pictures that the page may read. May be given several times."
    )
    runs: Path = Field(Path("runs"), description="Folder of the runs.")
    host: str = Field(
        "127.0.0.1", description="Address to listen at. Any but this machine's own (127.0.0.1) needs a token."
    )
    token: Path | None = Field(
        None, description="File that holds what others must know to come in; made up and printed if --host needs one."
    )
    open: Annotated[bool, Flag("--open", negative="--no-open")] = Field(True, description="Open the browser.")

    def do(self) -> Outcome:
        """Serve until interrupted; there is no value."""
        from pinxit.web.serve import serve

        serve(self.host, self.port, self.runs, self.folders, self.token, self.open)
        return Outcome(lines=())
