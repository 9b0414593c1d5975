"""Jobs: who is next, what is refused, what is left when something is stopped or killed, and what comes again."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pinxit.errors import DiskError
from pinxit.web.answers import status_of
from pinxit.web.events import Events
from pinxit.web.processes import is_alive
from pinxit.web.references import Places
from pinxit.web.store import QUEUED, RUNNING, Job, Store
from pinxit.web.studio import MOST_OF_CLIENT
from pinxit.web.uploads import forget_uploads, keep
from studios import Studio, png

LONG = {"edit": {"max_steps": 100_000, "channels": 4}}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Studio]:
    """A studio of a test's own, which may be killed."""
    started = Studio(tmp_path.resolve())
    yield started
    started.stop()


def workers(studio: Studio) -> list[int]:
    """The processes that compute for a studio."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            words = (path.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == studio.process.pid and b"pinxit.web.worker" in words:
            found.append(int(path.parent.name))
    return found


def kill_workers(studio: Studio) -> None:
    for number in workers(studio):
        os.kill(number, signal.SIGKILL)


def job(number: int, client: str, lane: str = "work") -> Job:
    return Job(f"job-{number:04}", client, "doctor", {}, lane, QUEUED, 0, float(number), None, None, None, None)


def test_a_client_with_one_job_does_not_wait_for_all_of_another(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    for number in range(6):
        store.add(job(number, "many"))
    store.add(job(6, "one"))
    store.add(job(7, "view", "view"))
    order = []
    while (following := store.next("work")) is not None:
        store.start(following.id)
        store.end(following.id, "done", {})
        order.append(following.client)
    assert order == ["many", "one", *["many"] * 5]
    assert store.waiting() == store.waiting(lane="view") == 1


def test_what_is_too_much_is_sent_away_and_what_waits_can_be_cancelled(own: Studio) -> None:
    answers = [own.put("doctor", {}, wait=0) for _ in range(MOST_OF_CLIENT + 3)]
    codes = [answer.status_code for answer in answers]
    assert codes.count(202) in (MOST_OF_CLIENT, MOST_OF_CLIENT + 1)
    assert {*codes} == {202, 503}
    assert answers[-1].headers["retry-after"]
    other = own.client.put("/v1/jobs/of-another", json={"action": "doctor"}, headers={"x-client": "other"})
    assert other.status_code == 202
    waiting = answers[10].json()["id"]
    assert own.client.delete(f"/v1/jobs/{waiting}").json()["state"] == "cancelled"
    assert own.until(answers[0].json()["id"], "done", "failed")["state"] == "done"
    assert [one["id"] for one in own.client.get("/v1/jobs", headers={"x-client": "other"}).json()] == ["of-another"]


@pytest.mark.slow
def test_a_job_that_is_stopped_leaves_nothing(own: Studio) -> None:
    picture = own.upload(png(size=(64, 64)))
    running = own.ask("edit denoise-prior", {"pictures": [picture], **LONG}, wait=0, name="to-be-stopped")
    own.until(running["id"], "running")
    pictures = (line for line in follow(own, running["id"]) if line.startswith("event: p"))
    next(pictures)
    own.client.delete("/v1/jobs/to-be-stopped")
    assert own.until("to-be-stopped", "cancelled", "done", "failed")["state"] == "cancelled"
    assert not (own.state / "jobs" / "to-be-stopped").exists()
    assert own.ask("doctor", {})["state"] == "done", "the worker goes on"


def follow(studio: Studio, name: str, after: int = 0) -> Iterator[str]:
    headers = {"last-event-id": str(after)}
    with httpx.stream("GET", f"{studio.address}v1/jobs/{name}/events", headers=headers, timeout=60) as stream:
        yield from stream.iter_lines()


def test_events_are_numbered_and_go_on_where_a_client_left(studio: Studio) -> None:
    picture = studio.upload(png())
    done = studio.ask("edit adjust", {"pictures": [picture]})
    numbers = [int(line[4:]) for line in follow(studio, done["id"]) if line.startswith("id: ")]
    assert numbers == sorted(set(numbers))
    later = [int(line[4:]) for line in follow(studio, done["id"], numbers[-1] - 1) if line.startswith("id: ")]
    assert later == numbers[-1:]
    assert [line for line in follow(studio, done["id"], 10**9) if line.startswith("event: ")][-1] == "event: end"


def test_followers_see_every_event_but_lines_of_progress_that_follow_each_other() -> None:
    async def told() -> list[tuple[int, str]]:
        events = Events()
        for name in ("remark", "progress", "progress", "sheet", "progress"):
            await events.add({"event": name})
        return [(event["number"], event["event"]) async for event in events.follow(0, lambda: True)]

    assert asyncio.run(told()) == [(1, "remark"), (3, "progress"), (4, "sheet"), (5, "progress")]


@pytest.mark.slow
def test_a_job_whose_worker_is_killed_runs_once_more_and_no_more(own: Studio) -> None:
    picture = own.upload(png(size=(64, 64)))
    name = own.ask("edit denoise-prior", {"pictures": [picture], **LONG}, wait=0)["id"]
    for _ in range(2):
        next(line for line in follow(own, name) if line.startswith("event: p"))
        kill_workers(own)
        time.sleep(0.5)
    ended = own.until(name, "done", "failed")
    assert (ended["state"], ended["result"]["code"]) == ("failed", 5)
    assert own.ask("doctor", {})["state"] == "done"


@pytest.mark.slow
def test_jobs_outlive_the_server(own: Studio) -> None:
    names = [own.ask("doctor", {}, wait=0)["id"] for _ in range(3)]
    own.stop(signal.SIGKILL)
    own.start()
    assert {own.until(name, "done", "failed")["state"] for name in names} == {"done"}


ENDLESS = {"source": "folder:photos", "settings": {"network": "dense", "channels": 2, "latent": 4}}
ENDLESS |= {"data": {"size": 16}, "training": {"steps": 100_000, "batch_size": 2, "threads": 1}}


@pytest.mark.slow
def test_a_training_outlives_the_server_and_saves_when_it_is_stopped(own: Studio) -> None:
    for number in range(12):
        (own.photos / f"{number}.png").write_bytes(png(number, (16, 16)))

    def trained(name: str) -> dict[str, Any]:
        own.ask("train gan", ENDLESS, wait=0, name=name)
        next(line for line in follow(own, name) if line == "event: sheet")
        return own.job(name)

    first = trained("training-1")
    assert first["run"] == "gan-photos-1"
    folder = own.state / "jobs" / "training-1"
    own.stop(signal.SIGKILL)
    assert is_alive(folder)
    own.start()
    assert own.job("training-1")["state"] == RUNNING
    kinds = {line for line, _ in zip(follow(own, "training-1"), range(40), strict=False) if line.startswith("event")}
    assert {"event: run", "event: sheet", "event: progress"} <= kinds
    own.client.delete("/v1/jobs/training-1")
    assert own.until("training-1", "cancelled", "done", "failed")["state"] == "cancelled"
    reached = own.client.get("/v1/runs/gan-photos-1").json()["steps"]
    assert reached > 0
    assert not is_alive(folder)

    again = own.ask("resume", {"run": "run:gan-photos-1"}, wait=0, name="training-2")
    next(line for line in follow(own, again["id"]) if line == "event: progress")
    own.stop()
    assert not is_alive(own.state / "jobs" / "training-2")
    own.start()
    ended = own.job("training-2")
    assert (ended["state"], ended["run"]) == ("cancelled", "gan-photos-1")
    assert "all saved" in ended["result"]["error"]
    assert own.client.get("/v1/runs/gan-photos-1").json()["steps"] > reached

    trained("training-3")
    os.kill(int((own.state / "jobs" / "training-3" / "pid").read_text()), signal.SIGKILL)
    ended = own.until("training-3", "failed", "done")
    assert (ended["state"], ended["run"], ended["result"]["code"]) == ("failed", "gan-photos-2", 5)


def test_uploads_expire(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "runs", {})
    for name in ("uploads/a.png", "uploads/b.png", "uploads/c/pictures.zip", "sets/d/pictures/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for name in ("uploads/a.png", "uploads/c", "sets/d"):
        os.utime(tmp_path / name, (1, 1))
    forget_uploads(places, time.time() - 60)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["b.png"]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uploads").mkdir()

    async def body() -> AsyncIterator[bytes]:
        yield b"\x89PNG\r\n\x1a\n"

    def full(*asked: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pinxit.web.uploads.os.fsync", full)
    content = "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6"
    with pytest.raises(DiskError, match="disk is full") as refused:
        asyncio.run(keep(Places(tmp_path, tmp_path, {}), content, body()))
    assert status_of(refused.value) == 507
    assert not [*(tmp_path / "uploads").iterdir()]
