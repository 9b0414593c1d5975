"""What a request may read: every field that could name a file goes through a reference, and no reference leads out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import quote

import pytest

from pinxit.commands import Argument, fields
from pinxit.edits import EDITS
from pinxit.errors import DataError, UsageError, UserError
from pinxit.settings import Settings
from pinxit.web.references import WORD, MissingError, Places, reads
from pinxit.web.requests import HIDDEN, asked, kinds, run_of
from studios import Studio

NAMES_NOTHING = {
    "augment_discriminator", "code", "colour", "degrade", "device", "end", "extractors", "key", "label", "loss",
    "metrics", "move", "sampler", "size", "start", "target", "void",
}  # fmt: skip
"""Text that names no file: classes, colours, rows of tables, numbers."""
CANARY = "the-canary-sings"
ASKED: dict[str, Any] = {"edit": "adjust", "to": "blur"}
"""What a request needs beside what it reads."""
UPS = ("../", "..\\", "%2e%2e/", "..%2f", "....//", "..;/", "./../", "a/../../", "\u2024\u2024/", "%c0%ae%c0%ae/")
GOALS = ("secret.txt", "etc/passwd", "state/jobs.sqlite")
REFERENCES = ("upload", "set", "run", "job", "folder")
KINDS = ("", "job:a-name-of-one/", "run:", "folder:photos/", "set:", "upload:", "file:", "folder:")
WHOLE = (
    "/etc/passwd", "//etc/passwd", "file:///etc/passwd", "C:\\Windows\\win.ini", "\\\\host\\share\\a.png",
    "~/.ssh/id_rsa", "http://127.0.0.1:1/a.png", "ftp://host/a.png", "-", "", ".", "..", "*", "**/*.png", "a\0b.png",
    "\0", "CON", "nul.png", "/dev/stdin", "/proc/self/environ", "folder:photos/link.txt",
    "folder:photos/out/secret.txt", "folder:photos\0/a", "run:link", "run:.", "run:", "folder:photos/\0",
    "job:a-name-of-one", "a" * 4096, "folder:photos/" + "a" * 4096, "folder:photos/" + "a/" * 3000,
    "job:" + "../" * 9 + "etc/passwd", "upload:" + "0" * 64, "upload:" + "0" * 63, "set:../uploads", "run:../state",
    "folder:../runs", "folder:other/a.png", "$(id)", "`id`", "a;id", "{{7*7}}", "%s%n",
)  # fmt: skip
PAYLOADS = tuple(dict.fromkeys([*WHOLE, *(f"{kind}{up * 8}{goal}" for kind, up, goal in product(KINDS, UPS, GOALS))]))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Places beside a secret, to which links lead."""
    here = tmp_path.resolve()
    (here / "secret.txt").write_text(CANARY)
    for name in ("state/uploads", "state/sets", "state/jobs/a-name-of-one/out", "runs", "photos"):
        (here / name).mkdir(parents=True)
    with_links(here / "photos", here / "runs", here)
    return Places(here / "state", here / "runs", {"photos": here / "photos"})


def with_links(photos: Path, runs: Path, secret: Path) -> None:
    (photos / "link.txt").symlink_to(secret / "secret.txt")
    (photos / "out").symlink_to(secret)
    (photos / "loop").symlink_to("loop")
    (runs / "link").symlink_to(secret)


def texts(kind: Any) -> bool:
    """Whether a value of this type may be text of any kind, or of a kind that is not known."""
    if get_origin(kind) is Literal:
        return False
    inside = get_args(kind)
    return any(map(texts, inside)) if inside else kind in (str, Any, Path, object)


def every_field() -> Iterator[tuple[str, Argument]]:
    for name, (kind, _) in kinds().items():
        yield from ((name, one) for one in fields(kind) if not HIDDEN & {*one.path})


def test_every_text_that_may_name_a_file_is_a_reference() -> None:
    unknown = {
        one.path[-1]
        for _, one in every_field()
        if texts(one.field.annotation) and not reads(one.field) and one.path != ("edit",)
    }
    assert unknown == NAMES_NOTHING
    inside = [field for kind in EDITS.values() for field in kind.model_fields.items()]
    assert not {name for name, field in inside if texts(field.annotation) and not reads(field)} - NAMES_NOTHING


def test_there_are_enough_payloads() -> None:
    assert len(PAYLOADS) >= 280
    assert not [payload for payload in PAYLOADS if WORD.fullmatch(payload) and "/" in payload]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_no_reference_leads_out(payload: str, places: Places) -> None:
    if WORD.fullmatch(payload) and payload.partition(":")[0] not in REFERENCES:
        assert places.find(payload) == payload
        assert not {"/", "\\"} & {*payload}
        return
    with pytest.raises((UsageError, MissingError)) as refused:
        places.find(payload)
    assert str(places.state) not in str(refused.value)


def request(name: str, one: Argument, value: str) -> dict[str, Any]:
    """A request for an action with a value in a field, and words in all others that it needs."""
    made: dict[str, Any] = {}
    for field in fields(kinds()[name][0]):
        if (field.field.is_required() or field.path == one.path) and not HIDDEN & {*field.path}:
            word = value if field.path == one.path else ASKED.get(field.path[-1], "mnist")
            given: Any = [word] if get_origin(field.field.annotation) is tuple and field.path != ("edit",) else word
            *around, last = field.path
            (made.setdefault(around[0], {}) if around else made)[last] = given
    return made


READING = [(name, one) for name, one in every_field() if reads(one.field)]


@pytest.mark.parametrize(("name", "one"), READING, ids=[f"{name}-{one.path[-1]}" for name, one in READING])
def test_every_field_that_reads_refuses_paths_and_takes_references(name: str, one: Argument, places: Places) -> None:
    for payload in ("/etc/passwd", "../secret.txt", "folder:photos/link.txt", "folder:photos/../secret.txt"):
        with pytest.raises((UsageError, DataError)) as refused:
            asked(name, request(name, one, payload), places.find, Path("out"))
        assert "reference" in str(refused.value) or "not found" in str(refused.value), refused.value
    (places.folders["photos"] / "a.png").write_bytes(b"a")
    given = asked(name, request(name, one, "folder:photos/a.png"), places.find, Path("out"))
    action, _ = run_of(given, request(name, one, "folder:photos/a.png"), places)
    assert str(places.folders["photos"] / "a.png") in str(action.model_dump())


@pytest.mark.parametrize(
    "chain",
    [
        "stylize(style=/etc/passwd)",
        "adjust | stylize(style=../secret.txt)",
        'stylize(style=["/etc/passwd"])',
        '[{"name": "stylize", "style": "/etc/passwd"}]',
        [{"name": "stylize", "style": ["folder:photos/link.txt"]}],
        [{"name": "denoise", "model": "/etc/passwd"}],
        "background(to=/etc/passwd)",
    ],
)
def test_chains_are_resolved_too(chain: Any, places: Places) -> None:
    with pytest.raises(UserError, match=r"reference|not found"):
        asked("edit", {"pictures": ["mnist"], "edit": chain}, places.find, Path("out"))


def test_what_no_client_gives_is_refused(places: Places) -> None:
    for hidden in ({"overwrite": True}, {"camera": "0"}, {"settings": {"frames": True}}, {"out": "/tmp/x"}):
        with pytest.raises(UsageError):
            asked("edit adjust", {"pictures": ["mnist"]} | hidden, places.find, Path("out"))


def tree(folder: Path) -> str:
    """A hash of the names and contents of a folder, without what the server itself writes."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / "cache"))
    return hashlib.sha256(repr([(str(path), path.read_bytes()) for path in found]).encode()).hexdigest()


ROUTES = (
    "/v1/jobs/a-name-of-one/files/{}", "/v1/jobs/a-name-of-one/previews/{}", "/v1/jobs/{}", "/v1/runs/{}",
    "/v1/runs/{}/report", "/v1/runs/{}/sheets/1.png", "/v1/views?of={}", "/{}",
)  # fmt: skip


def test_no_route_leads_out(studio: Studio) -> None:
    (studio.folder / "secret.txt").write_text(CANARY)
    with_links(studio.photos, studio.runs, studio.folder)
    done = studio.ask("doctor", {}, name="a-name-of-one")
    before = tree(studio.folder)
    for number, payload in enumerate(PAYLOADS[::3]):
        route = ROUTES[number % len(ROUTES)]
        answer = studio.client.get(route.format(quote(payload[:4000], safe="/%")))
        assert answer.status_code in (200, 404, 405, 422), (route, payload, answer.text)
        assert CANARY not in answer.text
        assert "root:" not in answer.text
        assert str(studio.folder) not in answer.text, (route, payload)
    assert tree(studio.folder) == before
    assert str(studio.folder) not in json.dumps(done)


def test_paths_are_hidden_however_they_are_written(tmp_path: Path) -> None:
    here = tmp_path.resolve() / "it's \u00e9"
    places = Places(here / "state", here / "runs", {"photos": here / "photos"})
    name = "0" * 64
    said = {
        f"{places.uploads}/{name}.png: broken": f"upload:{name}: broken",
        f"{places.sets}/abc/pictures has no pictures": "set:abc has no pictures",
        f"`pinxit resume '{str(places.runs).replace(chr(39), chr(39) + chr(34) + chr(39) + chr(34) + chr(39))}/a'`": (
            "`pinxit resume 'run:a'`"
        ),
        f"{places.jobs}/job-1234/out/results/a.png": "job:job-1234/results/a.png",
        json.dumps(str(places.folders["photos"] / "a")): '"folder:photos/a"',
        f"see {places.folders['photos']}": "see folder:photos/",
        "/somewhere/else/of/mine.png and https://a.b/c/d": "mine.png and https://a.b/c/d",
    }
    for text, shown in said.items():
        assert places.hide({"a": [text]}) == {"a": [shown]}


def test_settings_without_references_stay_the_same(places: Places) -> None:
    action = asked("edit adjust", {"pictures": ["mnist"], "edit": {"gamma": 2}}, places.find, Path("out"))
    assert isinstance(action, Settings)
    assert action.model_dump(exclude_unset=True)["edit"] == {"gamma": 2}
