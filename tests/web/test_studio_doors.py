"""Who may come in: hosts, origins, tokens, kinds and sizes of bodies; and the same probes where nothing checks them."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from pinxit.errors import UsageError
from pinxit.web.api import build
from pinxit.web.doors import BODIES, Doors
from pinxit.web.references import Places
from pinxit.web.serve import named, serve
from studios import Studio

HOST = "127.0.0.1:7860"
TOKEN = "a-token-of-many-letters"
EVIL = (
    "evil.example",
    "evil.example:7860",
    "127.0.0.1",
    "127.0.0.1:80",
    "localhost.:7860",
    "127.1:7860",
    "0x7f000001:7860",
)
EVIL += ("localhost:7860@evil.example", "[::ffff:127.0.0.1]:7860", "127.0.0.1:7860.evil.example", "")
OURS = (HOST, "localhost:7860", "LocalHost:7860", "[::1]:7860")
FOREIGN = (
    "http://evil.example",
    "null",
    "https://127.0.0.1:7861",
    "http://127.0.0.1",
    "http://evil.example:7860",
    "file://",
)
WRITES = (("PUT", "/v1/jobs/a-name-of-one"), ("DELETE", "/v1/jobs/a-name-of-one"), ("PUT", "/v1/sets"))
READS = (("GET", "/v1/actions"), ("GET", "/v1/jobs/a-name-of-one/events"), ("GET", "/openapi.json"))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("doors").resolve()
    return Places(folder / "state", folder / "runs", {})


@pytest.fixture(scope="module")
def bare(places: Places) -> ASGIApp:
    return build(places)


def answers(app: ASGIApp, probes: list[dict[str, Any]]) -> list[httpx.Response]:
    """What an application answers to requests."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return [await client.request(**probe) for probe in probes]

    return asyncio.run(ask())


def probe(method: str, url: str, headers: dict[str, str], content: bytes = b"") -> dict[str, Any]:
    sent = {"content-type": "application/json"} | headers if content else headers
    return {"method": method, "url": url, "headers": sent, "content": content or None}


ALL = (*WRITES, *READS)
HOSTS = [probe(*where, {"host": host}) for where, host in itertools.product(ALL, EVIL)]
ORIGINS = [probe(*where, {"origin": origin}) for where, origin in itertools.product(ALL, FOREIGN)]
SITES = [probe(*where, {"sec-fetch-site": site}) for where, site in itertools.product(ALL, ("cross-site", "same-site"))]
HONEST = [
    probe(*where, {"host": host, **origin})
    for where, host in itertools.product(ALL, OURS)
    for origin in ({}, {"origin": f"http://{host}"}, {"sec-fetch-site": "same-origin"})
]
KINDS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png", "")
BODY = json.dumps({"action": "nothing"}).encode()
WRONG = [probe("PUT", "/v1/jobs/a-name-of-one", {"content-type": kind}, BODY) for kind in KINDS]
WRONG += [probe("PUT", "/v1/jobs/a-name-of-one", {"content-encoding": "gzip"}, BODY)]
TURNED_AWAY = {"hosts": (HOSTS, 421), "origins": (ORIGINS, 403), "sites": (SITES, 403), "kinds": (WRONG, 415)}
REFUSED = {400, 401, 403, 408, 413, 415, 421}


@pytest.mark.parametrize("what", TURNED_AWAY)
def test_others_are_turned_away_and_would_come_in_without_the_doors(what: str, bare: ASGIApp) -> None:
    probes, status = TURNED_AWAY[what]
    guarded = answers(Doors(bare, frozenset(OURS)), probes)
    assert {answer.status_code for answer in guarded} == {status}
    assert not [answer for answer in guarded if "access-control-allow-origin" in answer.headers]
    assert all(answer.json().keys() == {"error", "code"} for answer in guarded)
    control = answers(bare, probes)
    assert not {answer.status_code for answer in control} & REFUSED


def test_our_own_page_comes_in(bare: ASGIApp) -> None:
    hosts = frozenset(host.lower() for host in OURS)
    assert not {answer.status_code for answer in answers(Doors(bare, hosts), HONEST)} & REFUSED


def test_a_link_from_elsewhere_leads_to_the_page_alone(bare: ASGIApp) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    page, data = answers(Doors(bare, frozenset(OURS)), [probe("GET", "/", link), probe("GET", "/v1/actions", link)])
    assert (page.status_code, data.status_code) == (200, 403)
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_a_token_comes_as_bearer_or_cookie_and_leaves_the_address(bare: ASGIApp) -> None:
    app = Doors(bare, frozenset(OURS), TOKEN)
    wrong = [{}, {"authorization": "Bearer no"}, {"authorization": TOKEN[:-1]}, {"cookie": f"pinxit-7860={TOKEN}x"}]
    wrong += [{"cookie": f"pinxit-7861={TOKEN}"}, {"cookie": "pinxit-7860; = ,"}]
    probes = [probe(*where, headers) for where, headers in itertools.product(ALL, wrong)]
    probes += [probe("GET", "/?token=no", {}), probe("PUT", f"/v1/jobs/a-name-of-one?token={TOKEN}", {}, BODY)]
    assert {answer.status_code for answer in answers(app, probes)} == {401}
    right = [{"authorization": f"Bearer {TOKEN}"}, {"cookie": f"pinxit-7860={TOKEN}"}]
    assert {answer.status_code for answer in answers(app, [probe("GET", "/v1/actions", one) for one in right])} == {200}
    [first] = answers(app, [probe("GET", f"/?token={TOKEN}", {})])
    assert (first.status_code, first.headers["location"]) == (303, "/")
    kept = first.headers["set-cookie"]
    assert kept.startswith(f"pinxit-7860={TOKEN};")
    assert {"HttpOnly", "SameSite=strict"} <= set(kept.split("; "))


def test_a_body_is_counted_before_it_is_parsed(bare: ASGIApp) -> None:
    app, [limit, _] = Doors(bare, frozenset(OURS)), BODIES["/"]

    async def pieces() -> Any:
        for _ in range(limit // 65536 + 2):
            yield b" " * 65536

    large = probe("PUT", "/v1/jobs/a-name-of-one", {}, b" " * (limit + 1))
    said = probe("PUT", "/v1/jobs/a-name-of-one", {"content-length": "9" * 4400}, BODY)
    chunked = probe("PUT", "/v1/jobs/a-name-of-one", {}, BODY) | {"content": pieces()}
    assert [answer.status_code for answer in answers(app, [large, said, chunked])] == [413, 413, 413]


def spoken(studio: Studio, *parts: bytes, pause: float = 0.0) -> bytes:
    """What a studio answers to the bytes of a connection, sent one part after the other."""
    address = httpx.URL(studio.address)
    with socket.create_connection((address.host, address.port or 80), timeout=20) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except OSError:  # it was closed meanwhile
            pass
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except OSError:
            pass
        return answer


def head(studio: Studio, *lines: str) -> bytes:
    host = studio.address.removeprefix("http://").strip("/")
    return "\r\n".join(
        ["PUT /v1/jobs/a-name-of-one HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""]
    ).encode()


def test_a_slow_body_is_not_waited_for(studio: Studio) -> None:
    started = time.monotonic()
    slow = head(studio, "Content-Type: application/json", "Content-Length: 1000")
    assert spoken(studio, slow, b"{").split()[1] == b"408"
    assert time.monotonic() - started < 10


def test_strange_heads_are_refused(studio: Studio) -> None:
    strange = [
        head(studio, *(f"X-{number}: {'a' * 1000}" for number in range(200))),
        head(studio, f"X: {'a' * 100_000}"),
        head(studio, "Content-Length: 1", "Content-Length: 2"),
        head(studio, "Content-Length: -1"),
        head(studio, "Host: evil.example"),
        b"PUT / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\0\1\2\r\n\r\n",
    ]
    for sent in strange:
        assert spoken(studio, sent).split()[1] in (b"400", b"421", b"431"), sent[:80]
    assert studio.client.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def open_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio that others can reach."""
    started = Studio(tmp_path_factory.mktemp("open").resolve(), "--host", "0.0.0.0")
    yield started
    started.stop()


def test_an_address_that_others_reach_needs_a_token(open_studio: Studio) -> None:
    address, token = open_studio.address.split("?token=")
    assert len(token) > 16
    with httpx.Client(base_url=address, trust_env=False) as client:
        assert client.get("/v1/actions").status_code == 401
        assert client.get("/", params={"token": token}).status_code == 303
        assert client.get("/v1/actions").status_code == 200, "by the cookie"
        assert client.get("/v1/actions", headers={"host": "evil.example"}).status_code == 421
        assert client.put("/v1/sets", json={"files": []}, headers={"origin": "http://evil"}).status_code == 403
        with client.stream("GET", "/v1/jobs/nothing-here/events", headers={"host": "evil.example"}) as stream:
            assert stream.status_code == 421
    assert token not in Path(f"/proc/{open_studio.process.pid}/cmdline").read_text()
    assert not [path for path in open_studio.state.rglob("*.log") if token in path.read_text()]


def test_a_token_of_ones_own_lies_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    with pytest.raises(UsageError, match="16 to 200"):
        serve("127.0.0.1", 0, tmp_path, (), tmp_path / "token", False)


def test_folders_of_one_name_get_different_names(tmp_path: Path) -> None:
    for place in ("a/photos", "b/photos"):
        (tmp_path / place).mkdir(parents=True)
    assert list(named([tmp_path / "a/photos", tmp_path / "b/photos"])) == ["photos", "photos-2"]


def test_the_server_never_loads_torch() -> None:
    code = """
import sys
from pinxit.web.requests import form, kinds
from pinxit.web import api, serve, doors
for name in kinds():
    form(name)
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_of_the_page_is_asked_of_other_hosts(bare: ASGIApp) -> None:
    [page] = answers(Doors(bare, frozenset(OURS)), [probe("GET", "/", {})])
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page.text)
