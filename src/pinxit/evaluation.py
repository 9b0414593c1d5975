"""An honest score: generated pictures against a reference, each number beside its protocol and three anchors.

The scale of a score belongs to its extractor and to N, so no value is told alone. Beside it stands what the same metric
says of real pictures (the floor) and of the reference's own pictures, spoiled in two ways that anyone can imagine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit import __version__
from pinxit.data import ImageSet, mnist, open_data
from pinxit.data.sets import parse_spec
from pinxit.data.settings import HOLDOUT
from pinxit.errors import DataError, UsageError
from pinxit.files import sha256, write_json
from pinxit.metrics import DEFAULT_EXTRACTORS
from pinxit.metrics.features import EXTRACTORS, Extractor
from pinxit.metrics.sets import SETS, class_entropy
from pinxit.progress import say, track
from pinxit.sampling import load
from pinxit.settings import did_you_mean
from pinxit.training.report import write_report
from pinxit.training.run import EVALUATION, RECIPE, Run

FEWEST_PICTURES = 4
"""Half of the reference, against the other half, must still have a spread."""

PIXELS_AT_ONCE = 2**22

ANCHORS = {
    "noise": "the reference's pictures, plus Gaussian noise of 25 grey levels, clipped, rounded to 8 bit",
    "blur": "the reference's pictures, each value the mean of its 3x3 neighbourhood, edges repeated, rounded to 8 bit",
}


@dataclass(frozen=True)
class Drawn:
    """Pictures in memory, such as a model draws: `images` (N, H, W, C), uint8, C in {1, 3, 4}."""

    name: str
    images: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> np.ndarray[Any, Any]:
        picture: np.ndarray[Any, Any] = self.images[number]
        return picture

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of their shape and pixels."""
        return hashlib.sha256(repr(self.images.shape).encode() + self.images.tobytes()).hexdigest()


Pictures = ImageSet | Drawn
Spoil = Callable[[Tensor, torch.Generator], Tensor]


def evaluate(
    generated: str | Path,
    reference: str,
    *,
    extractors: Sequence[str] = DEFAULT_EXTRACTORS,
    n: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare what a run, a folder, a file or a named set holds with a reference, and return what `score` does.

    A run draws `n` new pictures; what comes out is kept in the run, with the weights' hash, for its report. The
    reference is any DATA argument: of a set with an official split its test part, unless told otherwise, and the rest
    is the floor. For a run on a folder, "FOLDER:test" is the very part that was held out from it.
    """
    run = Run.open(Path(generated)) if Path(generated, RECIPE).is_file() else None
    holdout = run.recipe.data.holdout if run else HOLDOUT
    for name in extractors:
        _extractor(name)
    target, real = _parts(reference, holdout)
    if target.fingerprint != mnist.FINGERPRINT:
        say(f"{', '.join(extractors)}: knows handwritten digits only; of other pictures its distances say little")
    if run is None:
        judged, _ = _parts(str(generated), holdout)
        return score(judged, target, real=real, extractors=extractors, n=n, seed=seed)
    images, _ = load(run.folder).sample(_count(target, target, n), seed)
    drawn = Drawn(run.folder.resolve().name, images)
    document = score(drawn, target, real=real, extractors=extractors, n=n, seed=seed)
    write_json(run.folder / EVALUATION, {"weights": sha256(run.weights)} | document)
    write_report(run.folder)
    return document


def score(
    generated: Pictures,
    reference: Pictures,
    *,
    real: Pictures | None = None,
    extractors: Sequence[str] = DEFAULT_EXTRACTORS,
    n: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare generated pictures with a reference and return a JSON-able document.

    `n` pictures of each side are drawn by `seed`, by default as many as the smaller side has. `real` is a second set of
    real pictures, apart from the reference, for the floor; without it the floor is one half of the reference against
    the other. In the document `scores["fd[digits-v1]"]` holds the `value`, its protocol (`extractor`, `sha256`, `n`,
    `seed` and all else that must be equal for two values to be comparable) and `rows`: the value again and its anchors,
    each with its name, what it is, its N, its value and, for a distance, the ratio to the blur's value.

    Too few pictures are a `DataError`; an unknown extractor, and an `n` that a side does not have, a `UsageError`.
    """
    known = [_extractor(name) for name in extractors]
    n = _count(generated, reference, n)
    protocol = {
        "n": n,
        "seed": seed,
        "generated": _identity(generated),
        "reference": _identity(reference),
        "anchors": ANCHORS,
        "versions": {"pinxit": __version__, "torch": torch.__version__},
    }
    scores = {}
    for extractor in known:
        rows = list(_rows(extractor, generated, reference, real, n, seed))
        values = {name: [metric(row.features, row.target, seed) for row in rows] for name, metric in SETS.items()}
        values["class entropy"] = [class_entropy(row.posteriors) for row in rows]
        for name, column in values.items():
            scale = column[-1] if name in SETS else None
            scores[f"{name}[{extractor.name}]"] = {
                "value": column[0],
                **extractor.protocol(),
                **protocol,
                "rows": [row.told(value, scale) for row, value in zip(rows, column, strict=True)],
            }
    return {"scores": scores}


def _parts(spec: str, holdout: float) -> tuple[ImageSet, ImageSet | None]:
    """Return the pictures a person means, and the other part of their set where it has one.

    A set with an official split means its test part unless told otherwise; other sets mean all of their pictures.
    """
    base, part = parse_spec(spec)
    if Path(base, RECIPE).is_file():
        raise UsageError(f"{base} is a run and can only be judged; `pinxit sample {base} -o X.npz` makes a set of it")
    opened = open_data(base, holdout) if part else open_data(base, holdout=0)
    for note in opened.notes:
        say(note)
    if part == "train" or not opened.held_out:
        return opened.train, opened.held_out or None
    return opened.held_out, opened.train


def noise(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return pictures in [0, 1] as the anchor "noise" says."""
    return _eight_bit(images + 25 / 255 * torch.randn(images.shape, generator=rng))


def blur(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return pictures in [0, 1] as the anchor "blur" says; nothing is drawn from `rng`."""
    return _eight_bit(F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1))


def _eight_bit(images: Tensor) -> Tensor:
    return images.clamp(0, 1).mul(255).round().div(255)


@dataclass(frozen=True)
class _Row:
    """A set of pictures as the extractor sees it, beside the reference: features (N, D), posteriors (N, K)."""

    name: str
    about: str
    features: Tensor
    posteriors: Tensor
    target: Tensor

    def told(self, value: float, scale: float | None) -> dict[str, Any]:
        ratio = value / scale if scale and scale > 0 else None
        return {"name": self.name, "about": self.about, "n": len(self.features), "value": value, "ratio": ratio}


def _rows(
    extractor: Extractor, generated: Pictures, reference: Pictures, real: Pictures | None, n: int, seed: int
) -> Iterator[_Row]:
    """Yield the generated pictures, the floor, the noise and, last, the blur."""

    def see(images: Pictures, spoil: Spoil | None = None) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(images), generator=rng)[:n].tolist()
        pictures = (images[index] for index in track(chosen, f"{extractor.name} looks at {images.name}", len(chosen)))
        seen = [extractor.features(spoil(batch, rng) if spoil else batch) for batch in _batches(pictures)]
        features, posteriors = zip(*seen, strict=True)
        return torch.cat(features), torch.cat(posteriors)

    target, posteriors = see(reference)
    yield _Row("generated", generated.name, *see(generated), target)
    if real:
        features, posteriors = see(real)
        yield _Row("floor", real.name, features, posteriors, target[: len(features)])
    else:
        half = n // 2
        halves = "one half of the reference against the other"
        yield _Row("floor", halves, target[:half], posteriors[:half], target[half:])
    yield _Row("noise", "the reference with noise of 25 grey levels", *see(reference, noise), target)
    yield _Row("blur", "the reference through a 3x3 box blur", *see(reference, blur), target)


def _batches(pictures: Iterable[np.ndarray[Any, Any]]) -> Iterator[Tensor]:
    """Yield pictures (H, W, C), uint8 or uint16, as float32 (N, C, H, W) in [0, 1], runs of equal shape together."""
    for (shape, dtype), run in groupby(pictures, key=lambda picture: (picture.shape, picture.dtype)):
        while batch := list(islice(run, max(1, PIXELS_AT_ONCE // (shape[0] * shape[1])))):
            stacked = torch.from_numpy(np.stack(batch).astype(np.float32) / np.iinfo(dtype).max)
            yield stacked.permute(0, 3, 1, 2)


def _extractor(name: str) -> Extractor:
    if name not in EXTRACTORS:
        raise UsageError(f"unknown extractor {name!r}{did_you_mean(name, EXTRACTORS)}")
    return EXTRACTORS[name]


def _count(generated: Pictures, reference: Pictures, n: int | None) -> int:
    """Return how many pictures of each side to compare, or raise if there are not so many."""
    smaller = min(reference, generated, key=len)
    if len(smaller) < FEWEST_PICTURES:
        raise DataError(f"{smaller.name} has {len(smaller)} pictures; a score needs {FEWEST_PICTURES} on each side")
    if n is None:
        return len(smaller)
    if not FEWEST_PICTURES <= n <= len(smaller):
        raise UsageError(f"n must be {FEWEST_PICTURES} to {len(smaller)}, all that {smaller.name} has, not {n}")
    return n


def _identity(images: Pictures) -> dict[str, Any]:
    return {"name": images.name, "fingerprint": images.fingerprint, "pictures": len(images)}
