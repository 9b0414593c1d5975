"""Starting and ending the server."""

from __future__ import annotations

import os
import re
import secrets
import socket
import webbrowser
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from pinxit.errors import BusyError, DataError, UsageError
from pinxit.files import cache_folder, disk_errors, read_bytes
from pinxit.progress import say

LOCALHOST, LOOPBACK = "localhost", ("127.0.0.1", "localhost", "[::1]")
TOKEN = re.compile(r"[\w.~-]{16,200}", re.ASCII)
MOST_AT_ONCE, LAST_ANSWERS = 200, 2
"""Connections at once, and seconds that answers get to end when the server does."""


def serve(host: str, port: int, runs: Path, folders: Sequence[Path], token: Path | None, show: bool) -> None:
    """Serve the studio until it is interrupted. `token` is a file that holds one.

    Raises `UsageError` if its packages are missing or the address cannot be had, `BusyError` if it runs already.
    """
    try:
        import uvicorn

        from pinxit.web.api import build
        from pinxit.web.doors import Doors
        from pinxit.web.references import Places
    except ImportError as error:
        raise UsageError("the studio needs more packages: pip install 'pinxit[studio]'") from error
    secret = _secret(host, token)
    state = cache_folder() / "studio"
    with disk_errors(state):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = FileLock(state / ".lock", timeout=0).acquire()
    except Timeout as error:
        raise BusyError("a studio runs already; close it first, or give this one a PINXIT_CACHE of its own") from error
    with lock, _listening(host, port) as listening:
        port = listening.getsockname()[1]
        places = Places(state.resolve(), runs.resolve(), named(folders))
        app = Doors(build(places), _hosts(host, port), secret)
        config = uvicorn.Config(
            app, log_level="error" if os.environ.get("PINXIT_DEBUG") else "critical", access_log=False, ws="none",
            server_header=False, limit_concurrency=MOST_AT_ONCE, timeout_graceful_shutdown=LAST_ANSWERS,
        )  # fmt: skip
        address = f"http://{_shown(host)}:{port}/"
        say(
            f"the studio is at {address}{f'?token={secret}' if secret else ''} (Ctrl-C ends it; a training saves first)"
        )
        if show and not secret:  # others could read the token among the words of the browser's process
            webbrowser.open(address)
        uvicorn.Server(config).run([listening])


def named(folders: Sequence[Path]) -> Mapping[str, Path]:
    """Return the folders that a person allowed by names, which differ; `DataError` if one is no folder."""
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"--folder {folder}: not a folder")
        stem = folder.resolve().name or "folder"
        names = (f"{stem}-{number}" if number > 1 else stem for number in count(1))
        found[next(name for name in names if name not in found)] = folder.resolve()
    return found


def _secret(host: str, token: Path | None) -> str | None:
    """Return the token: that of a file, or one that is made up if others can reach the address."""
    if token is not None:
        words = read_bytes(token, 1000).decode(errors="replace").strip()
        if not TOKEN.fullmatch(words):
            raise UsageError(f"--token {token}: the file should hold 16 to 200 letters, digits, - or _")
        return words
    return None if _is_local(host) else secrets.token_urlsafe(24)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == LOCALHOST


def _shown(host: str) -> str:
    """Return how an address names a host; in place of "every address of the machine", one that always works."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return LOOPBACK[0] if address.version == 4 else LOOPBACK[2]
    return host if address.version == 4 else f"[{host}]"


def _hosts(host: str, port: int) -> frozenset[str]:
    """Return what a request may name as its host."""
    names = {_shown(host).lower(), *LOOPBACK}
    return frozenset(f"{name}:{port}" for name in names) | (names if port == 80 else frozenset())


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address and sends answers at once; `UsageError` if it cannot be had."""
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        return listening
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be used ({error.strerror}); another --port would work") from error
