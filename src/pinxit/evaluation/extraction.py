"""Extracting the features of a set of pictures. Those of a reference are cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pinxit.errors import DiskError
from pinxit.evaluation.pictures import Pictures
from pinxit.files import cache_folder, whole_file
from pinxit.metrics.extractors import Extractor
from pinxit.metrics.features import Extracted, gathered
from pinxit.nets.shapes import over_black
from pinxit.progress import say, track

PIXELS_AT_ONCE = 2**22
"""Pixels of a batch, in the set or in the extractor's input, whichever is more: 50 MB in colour."""

CACHE_CEILING = 2 << 30
"""The most bytes of features that the cache keeps; the least recently used files are removed first."""

Distortion = Callable[[Tensor, torch.Generator], Tensor]


def choose(images: Pictures, n: int, seed: int) -> list[int]:
    """Return the numbers of n pictures of a set: all in order, or the first n of a random permutation."""
    if n >= len(images):
        return list(range(len(images)))
    return torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:n].tolist()


def extract(
    extractor: Extractor, images: Pictures, chosen: Sequence[int], distortion: Distortion | None = None, seed: int = 0
) -> Extracted:
    """Return the features of the chosen pictures, distorted first if a distortion is given."""
    rng = torch.Generator().manual_seed(seed)
    pictures = (images[number] for number in track(chosen, f"{extractor.name} on {images.name}", len(chosen)))
    inputs = (
        extractor.prepare(some)
        for batch in batches(pictures, extractor.side)
        for some in (distortion(over_black(batch), rng) if distortion else batch).split(extractor.rows)
    )
    return gathered(extractor.extract_each(_regrouped(inputs, extractor.rows)), len(chosen))


def extract_cached(
    extractor: Extractor, images: Pictures, chosen: Sequence[int], distortion: Distortion | None = None, seed: int = 0
) -> Extracted:
    """Return what `extract` does, from the cache where possible. A cache that cannot be written is no error."""
    path = _cache_file(extractor, images, chosen, distortion, seed)
    with suppress(OSError, SafetensorError, KeyError):
        tensors = load_file(path)
        with suppress(OSError):
            path.touch()
        return Extracted(tensors["features"], tensors["posteriors"])
    extracted = extract(extractor, images, chosen, distortion, seed)
    try:
        with whole_file(path) as temporary:
            save_file(extracted._asdict(), temporary)
    except DiskError as error:
        say(f"features were not cached: {error}")
    _prune(path.parent)
    return extracted


def batches(pictures: Iterable[np.ndarray[Any, Any]], side: int) -> Iterator[Tensor]:
    """Yield pictures (H, W, C), uint8 or uint16, as float32 batches (N, C, H, W) in [0, 1], each of one shape.

    They stay small when they are resized to `side` x `side`.
    """
    for (shape, dtype), run in groupby(pictures, key=lambda picture: (picture.shape, picture.dtype)):
        while batch := list(islice(run, max(1, PIXELS_AT_ONCE // max(shape[0] * shape[1], side**2)))):
            stacked = torch.from_numpy(np.stack(batch).astype(np.float32) / np.iinfo(dtype).max)
            yield stacked.permute(0, 3, 1, 2)


def _regrouped(parts: Iterable[Tensor], rows: int) -> Iterator[Tensor]:
    """Yield the rows of tensors (n, C, H, W) in groups of `rows`; only the last group may be smaller."""
    waiting: list[Tensor] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= rows:
            whole = torch.cat(waiting)
            full = len(whole) // rows * rows
            yield from whole[:full].split(rows)
            waiting = [whole[full:]] if full < len(whole) else []
    if waiting:
        yield torch.cat(waiting)


def _cache_file(
    extractor: Extractor, images: Pictures, chosen: Sequence[int], distortion: Distortion | None, seed: int
) -> Path:
    facts = {
        "extractor": extractor.protocol(),
        "pictures": [images.fingerprint, images.selection],
        "chosen": list(chosen),
        "spoil": [distortion.__name__, seed] if distortion else [],
    }
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return cache_folder() / "features" / f"{key}.safetensors"


def _prune(folder: Path) -> None:
    """Remove the least recently used features until the rest is below the ceiling."""
    files = []
    for path in folder.glob("*.safetensors"):
        with suppress(OSError):  # another process may prune too
            files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    kept = 0
    for _, size, path in sorted(files, reverse=True):
        kept += size
        if kept > CACHE_CEILING:
            with suppress(OSError):
                path.unlink()
