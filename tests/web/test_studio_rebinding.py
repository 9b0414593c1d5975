"""A page of an attacker whose name leads to this machine (DNS rebinding), in a real browser.

Chromium is told that evil.test is 127.0.0.1, as the attacker's name server would tell it. The same page reads and
writes on the same routes without their doors, so the probes are able to.
"""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from pinxit.web.api import build
from pinxit.web.references import Places
from studios import Studio

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = "evil.test"
REFUSED = re.compile("does not answer to that host|another origin may not")
"""What the studio says to those that it turns away."""
LURE = "<!doctype html><title>cats</title>"
PROBES = """async (to) => {
  const asked = async (method, path, rest) => (await fetch(to + path, { method, ...rest })).text();
  const told = (one, good, bad) => new Promise((yes, no) => {
    Object.assign(one, { [good]: () => yes("told"), [bad]: no });
    setTimeout(no, 1500);
  });
  const json = { headers: { "content-type": "application/json" }, body: '{"action": "doctor"}' };
  const frame = Object.assign(document.createElement("iframe"), { name: "sink" });
  const form = Object.assign(document.createElement("form"), {
    method: "POST", action: to + "/v1/command", enctype: "text/plain", target: "sink",
  });
  document.body.append(frame, form);
  const probes = {
    get: () => asked("GET", "/v1/runs"),
    put: () => asked("PUT", "/v1/jobs/evil-evil", json),
    simple: () => asked("POST", "/v1/command", { body: '{"action": "doctor"}' }),
    blind: () => asked("POST", "/v1/command", { body: "{}", mode: "no-cors" }),
    events: () => {
      const one = new EventSource(to + "/v1/jobs/evil-evil/events");
      return told(one, "onopen", "onerror").finally(() => one.close());
    },
    image: () => { const one = new Image(); one.src = to + "/icon.svg"; return told(one, "onload", "onerror"); },
    script: () => import(to + "/words.js").then(() => "told"),
    socket: () => told(new WebSocket(to.replace("http", "ws") + "/v1/jobs"), "onopen", "onerror"),
    form: async () => {
      form.submit();
      await told(frame, "onload", "onerror");
      return frame.contentDocument.body.textContent;
    },
  };
  const got = {};
  for (const [name, probe] of Object.entries(probes)) got[name] = await probe().catch(() => "");
  return got;
}"""
"""What a page tries on the server at `to`; the answer has what it could read, by the probe's name."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if not CHROMIUM:
        pytest.skip("needs Chromium: apt-get install chromium")
    # A browser's own guard of local addresses is off: older ones have none.
    words = [
        "--no-sandbox",
        f"--host-resolver-rules=MAP {EVIL} 127.0.0.1",
        "--disable-features=LocalNetworkAccessChecks",
    ]
    with sync.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=CHROMIUM, args=words)
        yield opened
        opened.close()


class Attacker(BaseHTTPRequestHandler):
    """Serves the lure at every path."""

    def do_GET(self) -> None:
        """Answer with the lure."""
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(LURE.encode())

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@contextmanager
def attacker() -> Iterator[int]:
    """Serve the lure; give the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Attacker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def bare(place: Path) -> Iterator[int]:
    """Serve the routes without their doors; give the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    servers: list[uvicorn.Server] = []

    def serve() -> None:
        app = build(Places(place / "state", place / "runs", {}))
        servers.append(uvicorn.Server(uvicorn.Config(app, ws="none", log_level="critical")))
        servers[0].run([listening])

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1]
    servers[0].should_exit = True
    thread.join()


def rebound(page: Page, port: int) -> None:
    """Open the lure as if it came from evil.test at the very port of the server, before the name was bound anew."""
    page.route("**/lure", lambda route: route.fulfill(body=LURE, content_type="text/html"))
    page.goto(f"http://{EVIL}:{port}/lure")


def test_a_page_whose_name_is_bound_anew_reads_and_writes_nothing(browser: Browser, studio: Studio) -> None:
    port = int(studio.address.rstrip("/").rpartition(":")[2])
    jobs = studio.client.get("/v1/jobs").json()
    answers: list[tuple[str, int]] = []
    with attacker() as lure:
        for origin in (f"{EVIL}:{lure}", f"127.0.0.1:{lure}", f"{EVIL}:{port}"):
            for to in (f"http://{EVIL}:{port}", f"http://127.0.0.1:{port}"):
                page = browser.new_page()
                rebound(page, port) if origin == f"{EVIL}:{port}" else page.goto(f"http://{origin}/lure")
                page.on("response", lambda answer: answers.append((answer.url, answer.status)))
                read = page.evaluate(PROBES, to)
                assert {name: text for name, text in read.items() if text and not REFUSED.search(text)} == {}, (
                    origin,
                    to,
                )
                page.close()
        page = browser.new_page()
        page.on("response", lambda answer: answers.append((answer.url, answer.status)))
        page.goto(f"http://{EVIL}:{port}/")
        assert REFUSED.search(page.content())
    assert len(answers) > 10
    assert [row for row in answers if row[1] not in (403, 421)] == []
    assert studio.client.get("/v1/jobs").json() == jobs


def test_without_its_doors_the_same_page_reads_and_writes(browser: Browser, tmp_path: Path) -> None:
    with bare(tmp_path) as port:
        page = browser.new_page()
        rebound(page, port)
        got = page.evaluate(PROBES, f"http://{EVIL}:{port}")
        page.close()
    assert got["get"] == "[]"
    assert '"action":"doctor"' in got["put"]
    assert {name for name, text in got.items() if text} == {*got} - {"socket"}, "there is no socket"
