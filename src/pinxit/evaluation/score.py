"""Generated pictures against a reference: each number with its interval, its protocol and three anchors.

The scale of a score belongs to its extractor and to N, so no value is told alone. Beside it stands what the same metric
says of real pictures (the floor) and of the reference's own pictures, spoiled in two ways that anyone can imagine.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.errors import DataError, UsageError
from pinxit.evaluation.certificate import made_by
from pinxit.evaluation.pictures import Pictures, identity
from pinxit.evaluation.seeing import choose, see_once
from pinxit.metrics.features import EXTRACTORS, Extractor
from pinxit.metrics.intervals import estimates, values
from pinxit.metrics.seen import Seen
from pinxit.metrics.sets import SETS, SetMetric
from pinxit.settings import did_you_mean

FEWEST_PICTURES = 12
"""Half of the reference, against the other half, must still have more pictures than the five neighbours of coverage."""

FRECHET_FROM = 2048
"""Pictures of each side from which a Frechet distance is told unasked: its bias grows as N falls, and below its
dimensions (2,048 in the network that made it famous) the covariances it compares are singular."""

ANCHORS = {
    "noise": "the reference's pictures, plus Gaussian noise of 25 grey levels, clipped, rounded to 8 bit",
    "blur": "the reference's pictures, each value the mean of its 3x3 neighbourhood, edges repeated, rounded to 8 bit",
}


def score(
    generated: Pictures,
    reference: Pictures,
    *,
    real: Pictures | None = None,
    extractors: Sequence[str],
    metrics: Sequence[str] | None = None,
    n: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare generated pictures with a reference and return a JSON-able document.

    `n` pictures of each side are drawn by `seed`, by default as many as the smaller side has. `real` is a second set of
    real pictures, apart from the reference, for the floor; without it, or if it is too small, the floor is one half of
    the reference against the other. Of a metric without a better side the floor is the reference's own value. Without
    `metrics` all are told that n allows.

    In the document `scores["fd[digits-v1]"]` holds the `value`, its 95 % `interval`, its protocol (`extractor`,
    `sha256`, `n`, `seed` and all else that must be equal for two values to be comparable) and `rows`: the value again
    and its anchors, each with its name, what it is, its N, its value and, where smaller is better, the ratio to the
    blur's value. `remarks` tells what the numbers suffer from.

    Too few pictures are a `DataError`; an unknown extractor or metric, and an `n` that a side does not have, a
    `UsageError`.
    """
    known = [extractor_of(name) for name in extractors]
    n = count(generated, reference, n)
    asked = {name: _known(name, SETS, "metric") for name in metrics or _sensible(n)}
    protocol = {
        "n": n,
        "seed": seed,
        "generated": identity(generated),
        "reference": identity(reference),
        "anchors": ANCHORS,
    }
    scores: dict[str, Any] = {}
    for extractor in known:
        rows = list(_rows(extractor, generated, reference, real, n, seed))
        scores |= {name: {**told, **protocol} for name, told in _scores(extractor, rows, asked, seed)}
    remarks = [
        *_about_sets(generated, reference, n),
        *_about_metrics(known, n, asked, unasked=metrics is None),
        *_about_floor(rows[1], n),
    ]
    return {"scores": scores, "remarks": remarks, "made_by": made_by()}


def extractor_of(name: str) -> Extractor:
    """Return a row of `EXTRACTORS`, or raise `UsageError`."""
    extractor: Extractor = _known(name, EXTRACTORS, "extractor")
    return extractor


def count(generated: Pictures, reference: Pictures, n: int | None) -> int:
    """Return how many pictures of each side to compare, or raise if there are not so many."""
    smaller = min(reference, generated, key=len)
    if len(smaller) < FEWEST_PICTURES:
        raise DataError(f"{smaller.name} has {len(smaller)} pictures; a score needs {FEWEST_PICTURES} on each side")
    if n is None:
        return len(smaller)
    if not FEWEST_PICTURES <= n <= len(smaller):
        raise UsageError(f"n must be {FEWEST_PICTURES} to {len(smaller)}, all that {smaller.name} has, not {n}")
    return n


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
    """A set of pictures as the extractor sees it, beside what it sees in as many pictures of the reference."""

    name: str
    about: str
    seen: Seen
    target: Seen

    def told(self, value: float, scale: float | None) -> dict[str, Any]:
        ratio = value / scale if scale and scale > 0 else None
        return {"name": self.name, "about": self.about, "n": len(self.seen.features), "value": value, "ratio": ratio}


def _scores(
    extractor: Extractor, rows: Sequence[_Row], asked: Mapping[str, SetMetric], seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each score and what is told of it: first those that compare, then those of one set alone."""
    generated, floor, *spoiled = rows
    itself = _Row("floor", "the reference itself", generated.target, generated.target)
    for alone in (False, True):
        names = [name for name, metric in asked.items() if (metric.better == "as real") is alone]
        beside = [generated, itself if alone else floor, *spoiled]
        estimated = estimates(generated.seen, generated.target, names, seed)
        columns = [values(row.seen, row.target, names) for row in beside[1:]]
        for name in names:
            column = [estimated[name].value, *(found[name] for found in columns)]
            scale = column[-1] if asked[name].better == "smaller" else None
            yield (
                f"{name}[{extractor.name}]",
                {
                    "value": estimated[name].value,
                    "interval": estimated[name].interval(),
                    "better": asked[name].better,
                    "headline": asked[name].headline,
                    "metric": asked[name].definition,
                    **extractor.protocol(),
                    "rows": [row.told(value, scale) for row, value in zip(beside, column, strict=True)],
                },
            )


def _rows(
    extractor: Extractor, generated: Pictures, reference: Pictures, real: Pictures | None, n: int, seed: int
) -> Iterator[_Row]:
    """Yield the generated pictures, the floor, the noise and, last, the blur."""
    chosen = choose(reference, n, 2 * seed)
    target = see_once(extractor, reference, chosen)
    yield _Row("generated", generated.name, see_once(extractor, generated, choose(generated, n, 2 * seed + 1)), target)
    if real and len(real) >= FEWEST_PICTURES:
        seen = see_once(extractor, real, choose(real, n, 2 * seed + 1))
        yield _Row("floor", real.name, seen, _some(target, slice(len(seen.features))))
    else:
        halves = "one half of the reference against the other"
        yield _Row("floor", halves, _some(target, slice(n // 2)), _some(target, slice(n // 2, n)))
    for spoil, about in ((noise, "the reference with noise of 25 grey levels"), (blur, "the reference, 3x3 box blur")):
        yield _Row(spoil.__name__, about, see_once(extractor, reference, chosen, spoil, seed), target)


def _some(seen: Seen, rows: slice) -> Seen:
    return Seen(seen.features[rows], seen.posteriors[rows])


def _about_sets(generated: Pictures, reference: Pictures, n: int) -> Iterator[str]:
    """Yield what the two sets' differences do to the numbers."""
    one, other = identity(generated), identity(reference)
    if (one["fingerprint"], one["selection"]) == (other["fingerprint"], other["selection"]):
        yield "both sides are the very same pictures: no score can be better, and none says anything"
    if len(generated) != len(reference):
        yield (
            f"{one['name']} has {len(generated):,} pictures and {other['name']} {len(reference):,}: {n:,} of each are "
            "compared. Distances fall as N grows, so these numbers stand beside others of the same N only"
        )
    if one["lossy"] != other["lossy"]:
        kinds = " and ".join(f"{told['name']} is {', '.join(told['formats'])}" for told in (one, other))
        yield (
            f"{kinds}: what lossy compression does to a picture is counted as a difference "
            "(a published FID went from 24.8 to 30.7 by saving as JPEG alone); save both without loss"
        )
    if (one["width"], one["height"]) != (other["width"], other["height"]):
        sizes = " and ".join(f"{told['name']} of {_sides(told)} pixels" for told in (one, other))
        yield (
            f"{sizes} are brought to one size for the extractor: detail that the larger ones have and the smaller ones "
            "lack is counted as a difference"
        )
    if one["channels"] != other["channels"]:
        kinds = " and ".join(f"{told['name']} has {told['channels']}" for told in (one, other))
        yield f"channels: {kinds}; an extractor counts missing colour or transparency as a difference"


def _sides(told: dict[str, Any]) -> str:
    (least_wide, most_wide), (least_high, most_high) = told["width"], told["height"]
    least, most = f"{least_wide} x {least_high}", f"{most_wide} x {most_high}"
    return least if least == most else f"{least} to {most}"


def _about_floor(floor: _Row, n: int) -> Iterator[str]:
    if len(floor.seen.features) < n:
        yield (
            f"the floor compares {len(floor.seen.features):,} real pictures with as many: of {n:,} its distances would "
            "be smaller"
        )


def _about_metrics(extractors: Sequence[Extractor], n: int, metrics: Container[str], unasked: bool) -> Iterator[str]:
    """Yield what is left out, and why, and what is too bold."""
    if unasked and n < FRECHET_FROM:
        yield (
            f"with {n:,} pictures (fewer than {FRECHET_FROM:,}) the kernel distance is told instead of the Frechet "
            "distance: it is unbiased at any N; --metrics fd tells the Frechet distance all the same"
        )
    for extractor in extractors:
        if "fd" in metrics and n <= extractor.dimensions:
            yield (
                f"fd[{extractor.name}]: {n:,} pictures cannot fill {extractor.dimensions:,} dimensions, so its "
                "covariances are singular and the distance is mostly bias"
            )


def _sensible(n: int) -> list[str]:
    """Return the metrics that are told unasked."""
    return [name for name in SETS if name != "fd" or n >= FRECHET_FROM]


def _known(name: str, table: dict[str, Any], what: str) -> Any:
    if name not in table:
        raise UsageError(f"unknown {what} {name!r}{did_you_mean(name, table)}")
    return table[name]
