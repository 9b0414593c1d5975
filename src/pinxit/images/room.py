"""Whether a picture has room: the ceiling of pixels and the memory that is left, checked before it is decoded."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pinxit.errors import DataError, MemoryLimitError

PIXEL_CEILING = 256_000_000  # a picture of 24 megapixels, enlarged three times, can still be read
FILM_CEILING = 64_000_000  # of an animation, whose frames are composed on a canvas in several copies
_SMALL = 64 << 20  # needs of fewer bytes are not compared with the memory, which takes time
_COPIES = 2.5  # of the pixels at once, while they are decoded, turned and put in order


def check_size(size: tuple[int, int], name: str, pixel: int = 4, ceiling: int = PIXEL_CEILING) -> None:
    """Refuse a picture of this width and height, whose decoded pixels take `pixel` bytes each, if it has no room.

    `DataError` for more pixels than are ever read, `MemoryLimitError` for more than fit into the memory.
    """
    wide, high = size
    if wide * high > ceiling:
        raise DataError(f"{name}: {wide} x {high} pixels; at most {ceiling // 1_000_000} million are read")
    needed = int(wide * high * pixel * _COPIES)
    if needed > _SMALL and (left := memory_left()) is not None and needed > left:
        raise MemoryLimitError(
            f"{name}: {wide} x {high} pixels need about {needed / 1e6:,.0f} MB to decode; {left / 1e6:,.0f} MB are free"
        )


def memory_left() -> int | None:
    """Return the bytes of memory that this process may still take, None if the system does not say."""
    return min((left for left in (_of_machine(), _of_group(), _of_process()) if left is not None), default=None)


def _of_machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None
    return None


def _of_group() -> int | None:
    """Return what a container's limit leaves, its cache of files counted as free."""
    folder = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        most = int((folder / "memory.max").read_text())
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return most - int((folder / "memory.current").read_text()) + int(facts.get("inactive_file", 0))
    return None


def _of_process() -> int | None:
    """Return what the limit of the address space (`ulimit -v`) leaves."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            return most - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return None
