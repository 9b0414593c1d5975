"""Starting and ending the server."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from pinxit.errors import BusyError, UsageError
from pinxit.files import cache_folder
from pinxit.progress import say

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(host: str, port: int, runs: Path, folders: Sequence[Path], token: str | None, show: bool) -> None:
    """Serve the studio until it is interrupted.

    Raises `UsageError` if its packages are missing or the address cannot be had, `BusyError` if it runs already.
    """
    try:
        import uvicorn

        from pinxit.web.api import build
        from pinxit.web.doors import Doors
        from pinxit.web.references import Places
    except ImportError as error:
        raise UsageError("the studio needs more packages: pip install 'pinxit[studio]'") from error
    token = None if host in LOOPBACK and not token else token or secrets.token_urlsafe(24)
    state = cache_folder() / "studio"
    state.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(state / ".lock", timeout=0).acquire()
    except Timeout as error:
        raise BusyError("a studio runs already; close it first, or give this one a PINXIT_CACHE of its own") from error
    with lock, _listening(host, port) as listening:
        port = listening.getsockname()[1]
        places = Places(
            state.resolve(), runs.resolve(), {folder.resolve().name: folder.resolve() for folder in folders}
        )
        names = frozenset(f"{name}:{port}" for name in {host, "127.0.0.1", "localhost", "[::1]"})
        app = Doors(build(places), names, token)
        address = f"http://{host}:{port}/" + (f"?token={token}" if token else "")
        say(f"the studio is at {address} (Ctrl-C ends it; a training saves first)")
        if show:
            webbrowser.open(address)
        uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([listening])


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; `UsageError` if it cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be used ({error.strerror}); another --port would work") from error
