"""Who may come in: checks of every request before anything of it is read, as ASGI middleware."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pinxit.web.answers import refusal

COOKIE = "pinxit-{}"
"""Name of the cookie that holds the token, with the port: browsers tell no ports apart."""
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'; object-src 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
BODIES = {
    "/v1/uploads/": (256 << 20, ("image/", "application/zip", "application/octet-stream")),
    "/v1/images/edits": (64 << 20, ("multipart/form-data",)),
    "/": (1 << 20, ("application/json",)),
}
"""The most bytes of a body, and what it may be, by the beginning of the path; the first row that fits holds."""
OURS = ("same-origin", "none")
"""What a browser says of requests by our own page, and of an address that a person typed."""
LONGEST_HEAD = 32_768
PATIENCE, PACE = 1.5, 16_384
"""A body must come within so many seconds, and those that it earns by so many bytes a second."""
DRAINED = 1.0
"""Seconds for which the rest of a refused body is read, so that the client hears why."""


@dataclass(frozen=True)
class Doors:
    """The checks: which hosts a request may name, and the token if one is needed."""

    app: ASGIApp
    hosts: frozenset[str]
    token: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        send = _with_headers(send)
        limit, kinds = next(row for path, row in BODIES.items() if scope["path"].startswith(path))
        if refused := self._refusal(scope, headers) or _misfit(headers, limit, kinds):
            if _has_body(headers):
                await _drain(receive)
            await refusal(*refused)(scope, receive, send)
        elif self.token and _shown(scope):
            await self._welcome(scope, receive, send)
        else:
            await self.app(scope, _counted(receive, limit), send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return the status and the reason with which a request is refused; None if it may come in."""
        if headers.get("host", "").lower() not in {*self.hosts, _reached(scope)}:
            return 421, "this server does not answer to that host name"
        if sum(len(name) + len(value) for name, value in headers.items()) > LONGEST_HEAD:
            return 431, f"the headers have more than {LONGEST_HEAD:,} letters"
        if not _same_origin(scope, headers):
            return 403, "a page of another origin may not ask for this"
        if self.token and not self._known(scope, headers, self.token):
            return 401, "a token is needed; open the address that the studio printed"
        return None

    def _known(self, scope: Scope, headers: dict[str, str], token: str) -> bool:
        """Say whether a request shows the token: as a bearer, a cookie, or in the address that was printed."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        given = (bearer, _cookie(scope, headers), _shown(scope))
        return any(hmac.compare_digest(one.encode(), token.encode()) for one in given)

    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Move the token from the address into a cookie that no script can read."""
        answer = RedirectResponse(scope["path"], 303)
        answer.set_cookie(_name(scope), self.token or "", httponly=True, samesite="strict")
        await answer(scope, receive, send)


def _reached(scope: Scope) -> str:
    """Return the address at which a request came in, which a person may type: no page can give it another name."""
    host, port = scope.get("server") or ("", None)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _same_origin(scope: Scope, headers: dict[str, str]) -> bool:
    """Say whether a request comes from no page but ours; links from elsewhere may lead to the page itself."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
        return False
    if headers.get("sec-fetch-site", OURS[0]) in OURS:
        return True
    return scope["path"] == "/" and scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"


def _name(scope: Scope) -> str:
    return COOKIE.format((scope.get("server") or ("", 0))[1])


def _cookie(scope: Scope, headers: dict[str, str]) -> str:
    try:
        kept = SimpleCookie(headers.get("cookie", "")).get(_name(scope))
    except CookieError:
        return ""
    return kept.value if kept else ""


def _shown(scope: Scope) -> str:
    """Return the token in the address of a page."""
    asked = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=None) if scope["method"] == "GET" else {}
    return asked.get("token", [""])[0]


def _has_body(headers: dict[str, str]) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _misfit(headers: dict[str, str], limit: int, kinds: tuple[str, ...]) -> tuple[int, str] | None:
    """Return the status and the reason with which a body is refused by what its headers say."""
    length = headers.get("content-length", "0")
    if len(length) > len(str(limit)) or int(length) > limit:
        return 413, f"the body has more than {limit:,} bytes"
    if not _has_body(headers):
        return None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith(kinds) or headers.get("content-encoding", "identity") != "identity":
        return 415, f"the body should be {' or '.join(kinds)}, and not compressed"
    return None


def _counted(receive: Receive, limit: int) -> Receive:
    """Return `receive` for a body of at most `limit` bytes that does not dawdle."""
    seen, started, whole = 0, time.monotonic(), False

    async def counted() -> Message:
        nonlocal seen, whole
        if whole:
            return await receive()
        left = started + PATIENCE + seen / PACE - time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, left))
        except TimeoutError as error:
            raise HTTPException(408, "the body comes too slowly") from error
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if seen > limit:
            await _drain(receive)
            raise HTTPException(413, f"the body has more than {limit:,} bytes")
        return message

    return counted


async def _drain(receive: Receive) -> None:
    """Read the rest of a body for a short time."""
    try:
        async with asyncio.timeout(DRAINED):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        return


def _with_headers(send: Send) -> Send:
    """Return `send` that adds our headers to the answer."""
    own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *_missing(own, there)]
        await send(message)

    return sent


def _missing(own: Iterable[tuple[bytes, bytes]], there: set[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return (row for row in own if row[0] not in there)
