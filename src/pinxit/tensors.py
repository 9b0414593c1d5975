"""Read and write safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pinxit.errors import DataError
from pinxit.files import write_whole


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: str | None = None) -> None:
    """Write tensors as safetensors, whole or not at all; the same tensors and `about` give the same bytes."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, save(plain, {"pinxit": about} if about else None))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raises `DataError` if it is not one."""
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable safetensors file ({error})") from error
