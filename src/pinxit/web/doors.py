"""Who may come in: checks of every request before anything of it is read, as ASGI middleware."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "pinxit"
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
}
SAFE = ("GET", "HEAD")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Doors:
    """The checks: which hosts a request may name, the token if one is needed, and the most bytes of its body."""

    app: ASGIApp
    hosts: frozenset[str]
    token: str | None = None
    most: int = 1 << 20
    most_upload: int = 256 << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused:
            await _answer(send, *refused)
            return
        limit = self.most_upload if scope["path"].startswith("/v1/uploads/") else self.most
        if int(headers.get("content-length", 0)) > limit:
            await _answer(send, 413, f"the body has more than {limit:,} bytes")
            return
        await self.app(scope, _counted(receive, limit), _with_headers(send, self._cookie(scope)))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return the status and the reason with which a request is refused; None if it may come in."""
        if headers.get("host", "").lower() not in self.hosts:
            return 421, "this server does not answer to that host name"
        if not headers.get("content-length", "0").isdecimal():
            return 400, "content-length is no number"
        if scope["method"] not in SAFE and not self._same_origin(headers):
            return 403, "a page of another origin may not change anything here"
        if self.token and not self._known(scope, headers):
            return 401, "a token is needed; open the address that the studio printed"
        return None

    def _same_origin(self, headers: dict[str, str]) -> bool:
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        return origin is None or urlsplit(origin).netloc.lower() == headers["host"].lower()

    def _known(self, scope: Scope, headers: dict[str, str]) -> bool:
        """Say whether the request shows the token: as a bearer, a cookie, or in the address that was printed."""
        kept = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        shown = (
            headers.get("authorization", "").removeprefix("Bearer "),
            kept.value if kept else "",
            _token(scope),
        )
        return any(hmac.compare_digest(one.encode(), (self.token or "").encode()) for one in shown)

    def _cookie(self, scope: Scope) -> Iterable[tuple[bytes, bytes]]:
        """Return the header that keeps the token, for a request that showed it in its address."""
        if self.token and _token(scope):
            yield b"set-cookie", f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/".encode()


def _token(scope: Scope) -> str:
    return parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]


def _counted(receive: Receive, limit: int) -> Receive:
    """Return `receive` that ends the connection's body once it has more than `limit` bytes."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            return {"type": "http.disconnect"}
        return message

    return counted


def _with_headers(send: Send, more: Iterable[tuple[bytes, bytes]]) -> Send:
    """Return `send` that adds our headers to the answer."""
    own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(row for row in own if row[0] not in there), *more]
        await send(message)

    return sent


async def _answer(send: Send, status: int, reason: str) -> None:
    """Refuse a request with a line."""
    body = json.dumps({"error": reason, "code": 2}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
