"""How threads wait for each other: turning while the machine is quiet, asleep while other programs want its cores.

Between parallel regions OpenMP's threads turn for some milliseconds, because it takes long to wake a sleeping thread.
On a busy machine a turning thread keeps the core from the thread it waits for, and most of the speed is lost. libgomp
turns for a moment only while a process has more OpenMP threads than cores (`gomp_throttled_spin_count_var`). So a
thread watches how long the threads of this process wait for a core. If that is long, it tries further teams of threads,
which sleep and never compute, and keeps them for a while if a training makes more steps with them. On some systems it
makes fewer. No result changes: every operation has the same number of threads as before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

CHOSEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""The variables by which a person chooses how threads wait."""
LOOK, TRY, REST = 0.25, 1.0, 20.0  # seconds: to see whether the machine is busy, to count steps, between two trials
MORE = 1.1  # times as many steps, and one: what sleeping has to reach
WAITED = 0.3  # seconds a second without a core, of all threads together: from there, sleeping loses less than turning
PARALLEL = 1 << 17  # numbers that torch adds in parallel


@cache
def watch(cores: int) -> None:
    """Watch this process, which may use `cores`, from now on; not if the environment says how threads wait."""
    if not any(name in os.environ for name in CHOSEN):
        threading.Thread(target=_watching, args=(cores,), name="pinxit-waiting", daemon=True).start()


class Steps:
    """The number of steps that trainings of this process made."""

    done = 0


def _watching(cores: int) -> None:
    while True:
        if busy():
            try_sleep(cores)


def try_sleep(cores: int) -> None:
    """Let waiting threads sleep for some seconds if a training then makes more steps; else leave them turning."""
    turning = _steps_now()
    with asleep(cores):
        if better := _steps_now() > MORE * turning + 1:
            time.sleep(REST)
    if not better:
        time.sleep(REST)


def _steps_now() -> int:
    before = Steps.done
    time.sleep(TRY)
    return Steps.done - before


def busy() -> bool:
    """Watch for a moment, and say whether the threads of this process had to wait for a core."""
    before = _waited()
    time.sleep(LOOK)
    return _waited() - before > WAITED * LOOK


def _waited() -> float:
    """Return the seconds that the threads of this process waited for a core so far; 0 where no one counts them."""
    waited = 0
    for task in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # a thread that has just ended
            waited += int(task.read_text().split()[1])
    return waited / 1e9


@contextmanager
def asleep(cores: int) -> Iterator[None]:
    """Let waiting threads sleep: keep more OpenMP threads than there are cores."""
    others = torch.get_num_threads() - 1  # of a team, beside its first
    count = (cores - 1) // others if others else 0
    leave = threading.Event()
    teams = [threading.Thread(target=_team, args=(leave,), daemon=True) for _ in range(count)]
    for team in teams:
        team.start()
    try:
        yield
    finally:
        leave.set()
        for team in teams:
            team.join()


def _team(leave: threading.Event) -> None:
    """Be the first of a team of threads, until `leave`."""
    torch.ones(PARALLEL).sum()
    leave.wait()
