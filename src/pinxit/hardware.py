"""Where and how to compute: device, precision, memory format and threads, with the reason for the choice."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch

from pinxit import threads as placing
from pinxit.errors import UsageError, counted

T = TypeVar("T")
R = TypeVar("R")
Precision = Literal["bf16", "float32"]


@dataclass(frozen=True)
class Hardware:
    """How a run computes. The recipe records `precision` and `threads`, so that a resumed run gives the same bits."""

    device: torch.device
    precision: Precision
    threads: int
    reason: str

    @property
    def memory_format(self) -> torch.memory_format:
        """channels_last: for convolutions as fast or faster on every device tried."""
        return torch.channels_last

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which networks compute in this precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def apply(self) -> None:
        """Set the number of threads of this process."""
        torch.set_num_threads(self.threads)

    def describe(self) -> str:
        """Return a description of the choice."""
        return f"{self.device}, {self.precision}, channels_last, {counted(self.threads, 'thread')}: {self.reason}"


def choose(device: str = "auto", precision: str = "auto", threads: int | None = None) -> Hardware:
    """Return the hardware that was asked for; open choices depend on what the machine has.

    Raises `UsageError` if the machine lacks the device that was asked for; there is no silent replacement.
    """
    chosen, reason = _device(device)
    fast, why = _fast_bf16(chosen)
    kept: Precision = "bf16" if precision == "bf16" or (precision == "auto" and fast) else "float32"
    if precision != "auto":
        why = f"{precision} as asked"
    return Hardware(chosen, kept, threads or usable_cores(), f"{reason}; {why}")


def usable_cores() -> int:
    """Return how many cores this process may use, which can be fewer than the machine has."""
    return len(placing.usable_cores())


def load() -> tuple[float, float] | None:
    """Return how many threads wanted the processor in the last minute, on average, and the share that is left for us.

    The share is of the cores that this process may use, if it uses all of them. None if the system does not tell.
    """
    if not hasattr(os, "getloadavg"):
        return None
    wanted = os.getloadavg()[0]
    return wanted, min(1.0, (os.cpu_count() or 1) / (wanted + usable_cores()))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread in this block.

    A decomposition on two threads is hardly faster on an idle machine and ten times slower beside other work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield `function` of each item in order. As many are computed at once as torch has threads, each on one thread.

    So results do not depend on the number of threads. At most one item more than there are threads is waiting.
    """
    workers = torch.get_num_threads()
    waiting: deque[Future[R]] = deque()
    with one_thread(), ThreadPoolExecutor(workers, initializer=_alone) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    give_back()


def give_back() -> None:
    """Give memory that was freed back to the system: glibc keeps it for each thread."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


def _alone() -> None:
    """Let a thread compute by itself, on any core."""
    torch.set_num_threads(1)
    placing.anywhere()


def _device(name: str) -> tuple[torch.device, str]:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        if cuda:
            return torch.device("cuda"), f"found {torch.cuda.get_device_name()}"
        if mps:
            return torch.device("mps"), "found an Apple GPU"
        return torch.device("cpu"), "no GPU found"
    device = torch.device(name)
    available = {"cpu": True, "cuda": cuda and (device.index or 0) < torch.cuda.device_count(), "mps": mps}[device.type]
    if not available:
        raise UsageError(
            f"--device {name}: torch finds no such device on this machine; --device auto uses what is there"
        )
    return device, f"{name} as asked"


def _fast_bf16(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return fast, f"the GPU {'computes' if fast else 'does not compute'} in bf16"
    if device.type == "cpu":
        return _processor_bf16()
    return False, "float32 is the safe choice there"


def _processor_bf16() -> tuple[bool, str]:
    capabilities = torch.cpu.get_capabilities()
    names = {"amx_bf16": "AMX", "amx_tile": "AMX", "avx512_bf16": "AVX512-BF16", "bf16": "BF16"}
    found = next((label for key, label in names.items() if capabilities.get(key)), None)
    return (True, f"the processor has {found}") if found else (False, "the processor has no bf16 arithmetic")


def convolution_speed(device: torch.device) -> dict[Precision, float]:
    """Return the measured speed of a convolution in each precision, in GFLOP/s.

    It is the median of ten passes of 128 maps of 64 channels and 28 x 28 pixels through 3 x 3 kernels, channels_last.
    """
    speeds: dict[Precision, float] = {}
    formats: dict[Precision, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16}
    for name, dtype in formats.items():
        layer = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False, device=device, dtype=dtype)
        layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        maps = torch.ones(128, 64, 28, 28, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            seconds = sorted(_timed(layer, maps) for _ in range(10))[5]
        speeds[name] = 2 * maps.numel() * 64 * 9 / seconds / 1e9
    return speeds


def _timed(layer: torch.nn.Module, maps: torch.Tensor) -> float:
    started = time.perf_counter()
    layer(maps).sum().item()
    return time.perf_counter() - started
