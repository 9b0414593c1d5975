"""Read and write safetensors files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pinxit.errors import DataError, MemoryLimitError, is_about_memory
from pinxit.files import open_plain, write_whole


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: str | None = None, inside: Path | None = None
) -> None:
    """Write tensors as safetensors, whole or not at all; the same tensors and `about` give the same bytes.

    `inside` is as for `whole_file`.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, save(plain, {"pinxit": about} if about else None), inside)


def read_tensors(path: Path, inside: Path | None = None) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raises as `open_tensors`."""
    with open_tensors(path, inside) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping


@contextmanager
def open_tensors(path: Path, inside: Path | None = None) -> Iterator[Any]:
    """Give a safetensors file as `safe_open` does; whatever it raises inside becomes a `DataError` about the file.

    It is read by its open handle where the system gives that a name. `inside` is as for `open_plain`.
    """
    with open_plain(path, inside) as file:
        handle = Path(f"/dev/fd/{file.fileno()}")
        try:
            with safe_open(handle if handle.exists() else path, "pt") as tensors:
                yield tensors
        except MALFORMED as error:
            if is_about_memory(error):
                raise MemoryLimitError(f"{path}: too little memory for its {path.stat().st_size:,} bytes") from error
            raise DataError(f"{path}: not a readable safetensors file ({error})") from error


MALFORMED = (SafetensorError, OSError, ValueError, KeyError, TypeError, OverflowError, RuntimeError)
"""What damaged safetensors files raise."""
