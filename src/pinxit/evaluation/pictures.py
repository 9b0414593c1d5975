"""The sets that an evaluation compares, and what a certificate records of each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from pinxit.data import DataSet, ImageSet, open_data
from pinxit.data.sets import parse_spec
from pinxit.errors import UsageError
from pinxit.page import command
from pinxit.progress import say
from pinxit.training.run import is_run

LOSSY = dict.fromkeys(("jpg", "jpeg", "jpe", "jfif", "mpo"), "yes") | dict.fromkeys(
    ("webp", "avif", "avifs", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "tif", "tiff", "gif"), "perhaps"
)
"""Whether a format loses detail, by file suffix. Formats not listed, and arrays, lose none."""


@dataclass(frozen=True)
class Generated:
    """Pictures in memory, such as samples of a model: `images` (N, H, W, C), uint8, C in {1, 3, 4}.

    `labels` (N,) int64 are indices into `classes`, or None. `sampler` names what a run sampled its latents from.
    `sampler_sha256` identifies that sampler's weights if it was learned.
    """

    name: str
    images: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any] | None = None
    classes: tuple[str, ...] = ()
    sampler: str = ""
    sampler_sha256: str = ""
    selection: ClassVar[str] = "all"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> np.ndarray[Any, Any]:
        picture: np.ndarray[Any, Any] = self.images[number]
        return picture

    @property
    def channels(self) -> int:
        """1, 3 or 4."""
        return int(self.images.shape[3])

    @property
    def shapes(self) -> np.ndarray[Any, Any]:
        """Height and width of each picture, (N, 2)."""
        return np.broadcast_to(self.images.shape[1:3], (len(self), 2))

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of shape and pixels."""
        return hashlib.sha256(repr(self.images.shape).encode() + self.images.tobytes()).hexdigest()

    @property
    def names(self) -> list[str]:
        """Their numbers, because they have no files."""
        return [f"{number:05d}" for number in range(len(self))]


Pictures = ImageSet | Generated


def parts(
    spec: str, holdout: float, role: str, opener: Callable[[str, float], DataSet] = open_data
) -> tuple[ImageSet, ImageSet | None]:
    """Return the part of a set that a DATA argument names, and the set's other part if it has one.

    Without ":train" or ":test", a set with an official split gives its test part, any other set all its pictures.
    `role` is what the set is called in remarks: judged, or reference. `opener` opens it, given its holdout.
    """
    base, part = parse_spec(spec)
    if is_run(Path(base)):
        raise UsageError(
            f"{base} is a run, not a set of pictures; `{command('sample', base, '-o', 'X.npz')}` makes a set of it"
        )
    opened = opener(base, holdout if part else 0)
    for note in opened.notes:
        say(f"{role}: {note}")
    if part == "train" or not opened.held_out:
        return opened.train, opened.held_out or None
    return (opened.apart if opened.apart and part != "val" else opened.held_out), opened.train


def identity(images: Pictures) -> dict[str, Any]:
    """Return what a certificate records of a set: which pictures, their sizes and their formats."""
    (least_high, least_wide), (most_high, most_wide) = images.shapes.min(0).tolist(), images.shapes.max(0).tolist()
    formats = Counter(PurePosixPath(name).suffix.lower().lstrip(".") or "array" for name in images.names)
    losses = {LOSSY.get(name, "no") for name in formats}
    return {
        "name": images.name,
        "fingerprint": images.fingerprint,
        "selection": images.selection,
        "pictures": len(images),
        "width": [least_wide, most_wide],
        "height": [least_high, most_high],
        "channels": images.channels,
        "formats": dict(formats.most_common()),
        "lossy": losses.pop() if len(losses) == 1 else "some",
    } | {name: known for name in ("sampler", "sampler_sha256") if (known := getattr(images, name, ""))}
