"""Threads of a training have their places and give them back; results stay the same."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from pinxit import hardware, threads

linux = pytest.mark.skipif(sys.platform != "linux", reason="libgomp is the OpenMP of torch on Linux only")


def places() -> list[set[int]]:
    """Return the cores of each thread of this process."""
    return [os.sched_getaffinity(int(task.name)) for task in Path("/proc/self/task").iterdir()]


@pytest.fixture
def every_core(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The first cores of the machine, at most two, for this process, and as many threads of torch."""
    for name in threads.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    affinity, count = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    yield cores
    torch.set_num_threads(count)
    os.sched_setaffinity(0, affinity)


@linux
def test_each_thread_has_a_core_while_it_computes_and_results_are_the_same(every_core: list[int]) -> None:
    numbers = torch.linspace(0, 1, 1 << 18)
    free, kept = numbers.sum(), [len(cores) for cores in places()].count(1)
    with threads.placed(len(every_core)):
        assert os.sched_getaffinity(0) == {every_core[0]}
        assert all({core} in places() for core in every_core)
        assert threads.usable_cores() == every_core
        assert torch.equal(numbers.sum(), free)
        assert list(hardware.in_parallel(lambda _: os.sched_getaffinity(0), range(3))) == [set(every_core)] * 3
    assert os.sched_getaffinity(0) == set(every_core)
    assert [len(cores) for cores in places()].count(1) <= kept


@linux
def test_threads_are_left_alone_where_they_are_fewer_than_cores_or_a_person_chose(
    every_core: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with threads.placed(len(every_core) + 1):
        assert os.sched_getaffinity(0) == set(every_core)
    for name in threads.CHOSEN:
        with monkeypatch.context() as patch, threads.placed(1):
            patch.setenv(name, "0")
            with threads.placed(len(every_core)):
                assert os.sched_getaffinity(0) == set(every_core)


@linux
def test_places_are_given_back_after_an_error(every_core: list[int]) -> None:
    with pytest.raises(KeyError), threads.placed(len(every_core)):
        raise KeyError
    assert os.sched_getaffinity(0) == set(every_core)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(os.sched_getaffinity, 0).result() == set(every_core)


def test_threads_turn_briefly_unless_a_person_says_how_they_wait() -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    code = f"import pinxit, os; print({{name: os.environ[name] for name in {names} if name in os.environ}})"
    for chosen in ({}, {"OMP_WAIT_POLICY": "PASSIVE"}, {"GOMP_SPINCOUNT": "5"}, {"KMP_BLOCKTIME": "0"}):
        said = subprocess.check_output([sys.executable, "-c", code], env=clean | chosen, text=True)
        assert said.strip() == str(chosen or {"GOMP_SPINCOUNT": "10000"})


def test_the_share_that_is_left_is_of_the_cores_we_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, cores, usable, share in ((0.0, 2, 2, 1.0), (2.0, 2, 2, 0.5), (6.0, 2, 2, 0.25), (8.0, 16, 4, 1.0)):
        monkeypatch.setattr(os, "getloadavg", lambda wanted=wanted: (wanted, 0.0, 0.0))
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr(hardware, "usable_cores", lambda usable=usable: usable)
        assert hardware.load() == (wanted, share)
