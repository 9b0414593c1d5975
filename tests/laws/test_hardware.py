"""Work in parallel: in order, one-threaded, and the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from pinxit.hardware import in_parallel


@pytest.mark.parametrize("threads", [1, 3])
def test_items_are_done_in_order_on_one_thread_each(threads: int) -> None:
    before, taken = torch.get_num_threads(), []

    def items() -> Iterator[int]:
        for item in range(9):
            taken.append(item)
            yield item

    torch.set_num_threads(threads)
    try:
        done = in_parallel(lambda item: (item, torch.get_num_threads()), items())
        assert next(done) == (0, 1)
        assert len(taken) == threads + 1
        assert list(done) == [(item, 1) for item in range(1, 9)]
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_an_error_ends_the_work_and_gives_the_threads_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            list(in_parallel(lambda item: 1 / item, [1, 0, 1]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
