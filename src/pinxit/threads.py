"""Where threads run: while a training computes, each thread of OpenMP stays on a core of its own. No torch here.

A scheduler that sees two trainings with two threads each may put both threads of one on the same core. Each then waits
for the other, and nine tenths of the speed is lost. `pinxit/__init__.py` has the other half of the remedy: threads turn
only briefly (`GOMP_SPINCOUNT`) before they sleep. No result changes: every operation has the same number of threads.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CHOSEN = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY")
"""The variables by which a person chooses where OpenMP's threads run."""


_cores: list[int] = []  # that the process may use, while its threads have their places


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    return _cores or sorted(os.sched_getaffinity(0))


@contextmanager
def placed(threads: int) -> Iterator[None]:
    """Keep each of `threads` OpenMP threads on a core of its own in this block, if there is one for each core.

    With fewer threads than cores the scheduler is left alone: other runs would be kept to the same cores. So it is
    where the environment says where threads run, and where the OpenMP library is not libgomp.
    """
    cores = usable_cores()
    openmp = None if any(name in os.environ for name in CHOSEN) or len(cores) != threads else _libgomp()
    if openmp is None:
        yield
        return
    before, _cores[:] = [*_cores], cores
    _place(openmp, [{core} for core in cores])
    try:
        yield
    finally:
        _place(openmp, [set(cores)] * threads)
        _cores[:] = before


def anywhere() -> None:
    """Let the calling thread run on every core again: a thread starts on the core of the one that made it."""
    _move(set(usable_cores()))


def _place(openmp: ctypes.CDLL, places: Sequence[set[int]]) -> None:
    """Let each thread of the calling thread's team move to its place, in a parallel region."""

    def move(_: int) -> None:
        _move(places[openmp.omp_get_thread_num()])

    openmp.GOMP_parallel(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(move), None, len(places), 0)


def _move(cores: set[int]) -> None:
    with suppress(OSError, AttributeError):  # cores were taken from this process, or the system knows no affinity
        os.sched_setaffinity(0, cores)


def _libgomp() -> ctypes.CDLL | None:
    """Return the OpenMP library that torch has loaded, if it is libgomp."""
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            if "libgomp" in line:
                return ctypes.CDLL(line.split(maxsplit=5)[-1])
    return None
