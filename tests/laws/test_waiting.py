"""Threads that wait sleep while the machine is busy, and only then; results stay the same."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from pinxit import hardware, waiting

linux = pytest.mark.skipif(sys.platform != "linux", reason="libgomp is the OpenMP of torch on Linux only")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@linux
def test_waiting_threads_sleep_and_the_results_are_the_same(two_threads: None) -> None:
    import resource

    numbers = torch.linspace(0, 1, 1 << 18)
    turning, threads = numbers.sum(), threading.active_count()
    cores = max(2, hardware.usable_cores())
    with waiting.asleep(cores):
        assert threading.active_count() == threads + cores - 1
        before, sums = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, [turning]
        while resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before < 300 and len(sums) < 10_000:
            sums.append(numbers.sum())
            time.sleep(0.0001)  # this thread sleeps once a round, the other one only while it waits
        assert len(sums) < 290
    assert all(torch.equal(turning, found) for found in sums)
    assert threading.active_count() == threads


def test_one_thread_waits_for_nobody() -> None:
    before, threads = torch.get_num_threads(), threading.active_count()
    torch.set_num_threads(1)
    try:
        with waiting.asleep(cores=8):
            assert threading.active_count() == threads
    finally:
        torch.set_num_threads(before)


def test_a_machine_is_busy_when_threads_wait_for_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK", 0.01)
    for waited, found in ((0.0, False), (0.002, False), (0.004, True), (0.5, True), (-1.0, False)):
        read = iter([3.0, 3.0 + waited])
        monkeypatch.setattr(waiting, "_waited", lambda read=read: next(read))
        assert waiting.busy() is found


@pytest.mark.parametrize(
    ("turning", "asleep", "kept"), [(10, 20, True), (10, 12, False), (10, 5, False), (0, 1, False)]
)
def test_sleep_is_kept_only_while_a_training_makes_more_steps(
    monkeypatch: pytest.MonkeyPatch, turning: int, asleep: int, kept: bool
) -> None:
    sleeping, rested = [False], []

    @contextmanager
    def beside(cores: int) -> Iterator[None]:
        sleeping[0] = True
        yield
        sleeping[0] = False

    def sleep(seconds: float) -> None:
        if seconds == waiting.REST:
            rested.append(sleeping[0])
        waiting.Steps.done += asleep if sleeping[0] else turning

    monkeypatch.setattr(waiting, "asleep", beside)
    monkeypatch.setattr(waiting.time, "sleep", sleep)
    waiting.try_sleep(2)
    assert rested == [kept]


def test_what_a_person_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[int] = []
    monkeypatch.setattr(waiting, "_watching", watched.append)
    for name in waiting.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    for name in waiting.CHOSEN:
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            waiting.watch.__wrapped__(2)
    assert not watched
    waiting.watch.__wrapped__(2)
    assert watched == [2]


def test_the_share_that_is_left_is_of_the_cores_we_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, cores, usable, share in ((0.0, 2, 2, 1.0), (2.0, 2, 2, 0.5), (6.0, 2, 2, 0.25), (8.0, 16, 4, 1.0)):
        monkeypatch.setattr(os, "getloadavg", lambda wanted=wanted: (wanted, 0.0, 0.0))
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr(hardware, "usable_cores", lambda usable=usable: usable)
        assert hardware.load() == (wanted, share)
