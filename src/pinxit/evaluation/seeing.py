"""Showing pictures to an extractor; what it sees in a reference is kept in the cache."""

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
from pinxit.metrics.features import Extractor
from pinxit.metrics.seen import Seen
from pinxit.nets.shapes import over_black
from pinxit.progress import say, track

PIXELS_AT_ONCE = 2**22

CACHE_CEILING = 2 << 30
"""Bytes of features that the cache keeps; the oldest go first."""

Spoil = Callable[[Tensor, torch.Generator], Tensor]


def choose(images: Pictures, n: int, seed: int) -> list[int]:
    """Return the numbers of n pictures of a set: all in order, or those that a random permutation puts first."""
    if n >= len(images):
        return list(range(len(images)))
    return torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:n].tolist()


def see(
    extractor: Extractor, images: Pictures, chosen: Sequence[int], spoil: Spoil | None = None, seed: int = 0
) -> Seen:
    """Return what an extractor sees in the chosen pictures, spoiled first if that is asked for."""
    rng = torch.Generator().manual_seed(seed)
    pictures = (images[number] for number in track(chosen, f"{extractor.name} looks at {images.name}", len(chosen)))
    fitted = (extractor.fit(spoil(over_black(batch), rng) if spoil else batch) for batch in batches(pictures))
    features, posteriors = zip(*map(extractor.see, _gathered(fitted, extractor.rows)), strict=True)
    return Seen(torch.cat(features), torch.cat(posteriors))


def see_once(
    extractor: Extractor, images: Pictures, chosen: Sequence[int], spoil: Spoil | None = None, seed: int = 0
) -> Seen:
    """Return what `see` does, from the cache if the same was seen before; a cache one cannot write to is no error."""
    path = _cached(extractor, images, chosen, spoil, seed)
    with suppress(OSError, SafetensorError, KeyError):
        tensors = load_file(path)
        with suppress(OSError):
            path.touch()
        return Seen(tensors["features"], tensors["posteriors"])
    seen = see(extractor, images, chosen, spoil, seed)
    try:
        with whole_file(path) as temporary:
            save_file(seen._asdict(), temporary)
    except DiskError as error:
        say(f"not kept for the next time: {error}")
    _prune(path.parent)
    return seen


def batches(pictures: Iterable[np.ndarray[Any, Any]]) -> Iterator[Tensor]:
    """Yield pictures (H, W, C), uint8 or uint16, as float32 (N, C, H, W) in [0, 1], runs of equal shape together."""
    for (shape, dtype), run in groupby(pictures, key=lambda picture: (picture.shape, picture.dtype)):
        while batch := list(islice(run, max(1, PIXELS_AT_ONCE // (shape[0] * shape[1])))):
            stacked = torch.from_numpy(np.stack(batch).astype(np.float32) / np.iinfo(dtype).max)
            yield stacked.permute(0, 3, 1, 2)


def _gathered(parts: Iterable[Tensor], rows: int) -> Iterator[Tensor]:
    """Yield the rows of tensors (n, C, H, W) again, at least `rows` at a time but for the last."""
    waiting: list[Tensor] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= rows:
            whole = torch.cat(waiting)
            full = len(whole) // rows * rows
            yield whole[:full]
            waiting = [whole[full:]] if full < len(whole) else []
    if waiting:
        yield torch.cat(waiting)


def _cached(extractor: Extractor, images: Pictures, chosen: Sequence[int], spoil: Spoil | None, seed: int) -> Path:
    facts = {
        "extractor": extractor.protocol(),
        "pictures": [images.fingerprint, images.selection],
        "chosen": list(chosen),
        "spoil": [spoil.__name__, seed] if spoil else [],
    }
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return cache_folder() / "features" / f"{key}.safetensors"


def _prune(folder: Path) -> None:
    """Remove the features that were not used for longest, until the rest is below the ceiling."""
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
