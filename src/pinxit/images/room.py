"""Whether a picture has room: the ceiling of pixels and the memory that is left, checked before it is decoded."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pinxit.errors import DataError, MemoryLimitError

PIXEL_CEILING = 256_000_000  # a picture of 24 megapixels, enlarged three times, can still be read
_FRAME_CEILING = 40_000_000  # 7680 x 4320 pixels, and some more; 1 GB while it is decoded
_FILM_CEILING = 20_000_000_000  # 10,000 frames of 1920 x 1080
_DENSEST = 200_000  # pixels in a byte of a file; a frame that shows nothing new takes some 40 bytes
_FRAME_BYTES = 10  # times the copies: as measured of WebP
_SMALL = 64 << 20  # needs of fewer bytes are not compared with the memory, which takes time
_COPIES = 2.5  # of the pixels at once, while they are decoded, turned and put in order


def check_size(size: tuple[int, int], name: str, pixel: int = 4) -> None:
    """Refuse a picture of this width and height, whose decoded pixels take `pixel` bytes each, if it has no room.

    `DataError` for more pixels than are ever read, `MemoryLimitError` for more than fit into the memory.
    """
    wide, high = size
    if wide * high > PIXEL_CEILING:
        raise DataError(f"{name}: {wide} x {high} pixels; at most {PIXEL_CEILING // 1_000_000} million are read")
    needed = int(wide * high * pixel * _COPIES)
    if (left := too_little_for(needed)) is not None:
        raise MemoryLimitError(
            f"{name}: {wide} x {high} pixels need about {needed / 1e6:,.0f} MB to decode; {left / 1e6:,.0f} MB are free"
        )


def check_frames(size: tuple[int, int], frames: int, length: int, name: str) -> None:
    """Refuse an animation of so many frames of this width and height if it has no room, as `check_size` does.

    `DataError` also if its file of `length` bytes is far too small for it. A decoder holds several whole frames.
    """
    wide, high = size
    shown = f"{frames:,} frames of {wide} x {high} pixels" if frames > 1 else f"frames of {wide} x {high} pixels"
    if wide * high > _FRAME_CEILING:
        raise DataError(f"{name}: {shown}; at most {_FRAME_CEILING // 1_000_000} million a frame are read")
    total = wide * high * frames
    if total > _FILM_CEILING:
        raise DataError(f"{name}: {shown}; at most {_FILM_CEILING // 1_000_000_000} billion in all are read")
    if total > PIXEL_CEILING and total > _DENSEST * length:
        raise DataError(f"{name}: {shown} in {length:,} bytes; so small a file holds no such animation")
    check_size(size, name, _FRAME_BYTES)


def too_little_for(needed: int) -> int | None:
    """Return the bytes of memory that are left if they are fewer than `needed`, else None."""
    left = memory_left() if needed > _SMALL else None
    return left if left is not None and left < needed else None


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
