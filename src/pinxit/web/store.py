"""The jobs of the server, kept in SQLite: what was asked, how far it is, and what came of it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)

_TABLE = """
create table if not exists jobs (
    id text primary key, client text not null, action text not null, request text not null, lane text not null,
    state text not null, tries integer not null default 0, created real not null, started real, ended real,
    result text, run text
);
create index if not exists waiting on jobs (lane, state);
create index if not exists turns on jobs (client, lane, started);
create index if not exists over on jobs (ended);
"""


@dataclass(frozen=True)
class Job:
    """A request of a client, and its state. `result` holds `document` and `files`, or `error` and `code`.

    `run` is the name of the run that it trains, once there is one.
    """

    id: str
    client: str
    action: str
    request: Mapping[str, Any]
    lane: str
    state: str
    tries: int
    created: float
    started: float | None
    ended: float | None
    result: Mapping[str, Any] | None
    run: str | None


class Store:
    """The table of jobs in a file."""

    def __init__(self, path: Path) -> None:
        self.base = sqlite3.connect(path, isolation_level=None)
        self.base.row_factory = sqlite3.Row
        self.base.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _TABLE)

    def add(self, job: Job) -> None:
        """Keep a new job."""
        values = (job.id, job.client, job.action, json.dumps(job.request), job.lane, job.state, job.created)
        names = "id, client, action, request, lane, state, created"
        self.base.execute(f"insert into jobs ({names}) values (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608

    def get(self, name: str) -> Job | None:
        """Return a job; None if there is none of this name."""
        row = self.base.execute(f"{_SELECT} where id = ?", (name,)).fetchone()
        return _job(row) if row else None

    def newest(self, client: str, count: int) -> list[Job]:
        """Return the last jobs of a client, the newest first."""
        rows = self.base.execute(f"{_SELECT} where client = ? order by created desc limit ?", (client, count))
        return [_job(row) for row in rows]

    def of_state(self, *states: str) -> list[Job]:
        """Return the jobs in these states, the oldest first."""
        marks = ", ".join("?" * len(states))
        return [_job(row) for row in self.base.execute(f"{_SELECT} where state in ({marks}) order by created", states)]

    def waiting(self, lane: str | None = None, client: str | None = None) -> int:
        """Return how many jobs wait, of a lane or a client if one is named."""
        return int(
            self.base.execute(
                "select count(*) from jobs where state = ? and (? is null or lane = ?) and (? is null or client = ?)",
                (QUEUED, lane, lane, client, client),
            ).fetchone()[0]
        )

    def next(self, lane: str) -> Job | None:
        """Return the job of a lane that is to run now: the oldest of the client whose last start is longest ago."""
        row = self.base.execute(
            f"{_SELECT} as job where state = ? and lane = ? order by {_LAST_TURN} nulls first, created limit 1",
            (QUEUED, lane),
        ).fetchone()
        return _job(row) if row else None

    def start(self, name: str) -> None:
        """Note that a job runs."""
        self.base.execute(
            "update jobs set state = ?, tries = tries + 1, started = ? where id = ?", (RUNNING, time.time(), name)
        )

    def trains(self, name: str, run: str) -> None:
        """Note the run that a job trains."""
        self.base.execute("update jobs set run = ? where id = ?", (run, name))

    def wait_again(self, name: str) -> None:
        """Put a job whose process died back into its queue."""
        self.base.execute("update jobs set state = ? where id = ?", (QUEUED, name))

    def end(self, name: str, state: str, result: Mapping[str, Any]) -> None:
        """Note how a job ended."""
        self.base.execute(
            "update jobs set state = ?, ended = ?, result = ? where id = ?",
            (state, time.time(), json.dumps(result), name),
        )

    def expired(self, before: float) -> list[str]:
        """Return the jobs that ended before a time, in seconds since 1970."""
        return [row[0] for row in self.base.execute("select id from jobs where ended < ?", (before,))]

    def forget(self, name: str) -> None:
        """Remove a job."""
        self.base.execute("delete from jobs where id = ?", (name,))

    def close(self) -> None:
        """Close the file."""
        self.base.close()


_SELECT = "select id, client, action, request, lane, state, tries, created, started, ended, result, run from jobs"
_LAST_TURN = "(select max(started) from jobs as other where other.client = job.client and other.lane = job.lane)"


def _job(row: sqlite3.Row) -> Job:
    known = dict(row)
    result = json.loads(known.pop("result") or "null")
    return Job(**known | {"request": json.loads(known["request"]), "result": result})
