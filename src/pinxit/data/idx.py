"""IDX files, the format of MNIST: a magic number, big-endian sizes, then bytes (LeCun, Cortes and Burges, 1998)."""

from __future__ import annotations

import gzip
import os
import re
import struct
from pathlib import Path
from typing import IO

import numpy as np

from pinxit.data.arrays import BROKEN, line, read_claimed, refuse_claim
from pinxit.errors import DataError
from pinxit.files import open_plain

IMAGES = re.compile(r"(.*?)-?images[-.]idx3-ubyte(\.gz)?")


def is_images(path: Path) -> bool:
    """Return whether a file is named like the images of an IDX pair, such as `train-images-idx3-ubyte.gz`."""
    return IMAGES.fullmatch(path.name) is not None


def labels_beside(images: Path) -> Path | None:
    """Return the label file that belongs to an image file by its usual name, zipped or not; None if there is none."""
    plain = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    return next((path for path in (images.with_name(plain), images.with_name(plain + ".gz")) if path.is_file()), None)


def load(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an IDX file, plain or gzip; any defect is a `DataError`."""
    try:
        with open_plain(path) as plain:
            file_bytes = os.fstat(plain.fileno()).st_size
            file: IO[bytes] = gzip.GzipFile(fileobj=plain) if path.suffix == ".gz" else plain  # type: ignore[assignment]
            return _parse(file, path.name, dimensions, file_bytes)
    except BROKEN as error:
        raise DataError(f"{path.name}: cannot be read as an IDX file ({line(error)})") from error


def _parse(file: IO[bytes], name: str, dimensions: int, file_bytes: int) -> np.ndarray:
    if file.read(4) != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{name}: not an IDX file of bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
    size = refuse_claim(name, shape, 1, file_bytes)
    return np.frombuffer(read_claimed(file, size, name), np.uint8).reshape(shape)
