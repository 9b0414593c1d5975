"""Generated pictures against a reference: each score with its interval, its protocol and three anchor rows.

The scale of a score depends on its extractor and on N, so no value is reported alone. The anchor rows give the same
metric for real pictures (the floor) and for the reference's own pictures with noise and with blur.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.errors import DataError, UsageError, counted
from pinxit.evaluation.certificate import made_by
from pinxit.evaluation.extraction import choose, extract_cached
from pinxit.evaluation.pictures import Pictures, identity
from pinxit.hardware import in_parallel
from pinxit.metrics.extractors import EXTRACTORS, Extractor
from pinxit.metrics.features import Extracted
from pinxit.metrics.intervals import estimates, shared, values
from pinxit.metrics.sets import SETS, SetMetric
from pinxit.progress import track
from pinxit.settings import did_you_mean

FEWEST_PICTURES = 12
"""Each half of the reference must have more pictures than the five neighbours of coverage."""

FRECHET_FROM = 2048
"""The fewest pictures per side for which a Frechet distance is computed by default. Its bias grows as N falls. If N is
below the dimensions of the features (2,048 in Inception), the covariances are singular."""

MUCH_LARGER = 1.1
"""The ratio of sides above which one set holds detail that the other cannot."""

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

    `seed` chooses `n` pictures of each side, by default as many as the smaller side has. `real` is a second set of
    real pictures for the floor, disjoint from the reference. Without it, or if it is too small, the floor compares the
    two halves of the reference. For a metric of one set alone, the floor is the reference's own value. Without
    `metrics`, all metrics that make sense at this N are computed.

    `scores["fd[digits-v1]"]` in the document holds the `value`, its 95 % `interval` and its protocol: `extractor`,
    `sha256`, `n`, `seed` and everything else that must be equal for two values to be comparable. Its `rows` are the
    value again and its anchors, each with name, description, N and value. Where smaller is better, a row also has the
    ratio to the blur's value. `remarks` lists what biases the numbers.

    Too few pictures are a `DataError`. An unknown extractor or metric, or an `n` above the size of a side, is a
    `UsageError`.
    """
    known = [extractor_of(name) for name in extractors]
    n = count(generated, reference, n)
    usual = [name for name in SETS if name != "fd" or n >= FRECHET_FROM]
    chosen = {name: _known(name, SETS, "metric") for name in metrics or usual}
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
        scores |= {name: {**entry, **protocol} for name, entry in _scores(extractor, rows, chosen, seed)}
    remarks = [
        *_about_sets(generated, reference, n),
        *_about_metrics(known, n, chosen, by_default=metrics is None),
    ]
    if (least := rows[1].n) < n:
        remarks.append(
            f"the floor compares {least:,} real pictures with as many: its distances would be smaller at {n:,}"
        )
    return {"scores": scores, "remarks": remarks, "made_by": made_by()}


def extractor_of(name: str) -> Extractor:
    """Return a row of `EXTRACTORS`, or raise `UsageError`."""
    extractor: Extractor = _known(name, EXTRACTORS, "extractor")
    return extractor


def count(generated: Pictures, reference: Pictures, n: int | None) -> int:
    """Return how many pictures of each side to compare, or raise if a side has too few."""
    smaller = min(reference, generated, key=len)
    if len(smaller) < FEWEST_PICTURES:
        raise DataError(
            f"{smaller.name} has {counted(len(smaller), 'picture')}; a score needs {FEWEST_PICTURES} on each side"
        )
    if n is None:
        return len(smaller)
    if not FEWEST_PICTURES <= n <= len(smaller):
        raise UsageError(f"n must be {FEWEST_PICTURES} to {len(smaller)}, the size of {smaller.name}, not {n}")
    return n


def noise(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return pictures in [0, 1] with the noise of the anchor row "noise"."""
    return _eight_bit(images + 25 / 255 * torch.randn(images.shape, generator=rng))


def blur(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return pictures in [0, 1] with the blur of the anchor row "blur"; `rng` is not used."""
    return _eight_bit(F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1))


def _eight_bit(images: Tensor) -> Tensor:
    return images.clamp(0, 1).mul(255).round().div(255)


@dataclass(frozen=True)
class _Row:
    """The features of a set, and those of as many pictures of the reference."""

    name: str
    about: str
    extracted: Extracted
    target: Extracted

    @property
    def n(self) -> int:
        return len(self.extracted.features)

    def document(self, value: float, scale: float | None) -> dict[str, Any]:
        ratio = value / scale if scale and scale > 0 else None
        return {"name": self.name, "about": self.about, "n": self.n, "value": value, "ratio": ratio}


def _scores(
    extractor: Extractor, rows: Sequence[_Row], metrics: Mapping[str, SetMetric], seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the document of each score: first metrics of two sets, then metrics of one set alone."""
    generated, floor, *distorted = rows
    itself = _Row("floor", "the reference itself", generated.target, generated.target)
    for alone in (False, True):
        names = [name for name, metric in metrics.items() if (metric.better == "as real") is alone]
        beside = [generated, itself if alone else floor, *distorted]
        estimated = estimates(generated.extracted, generated.target, names, seed)
        columns = _anchors(beside[1:], names)
        for name in names:
            column = [estimated[name].value, *(found[name] for found in columns)]
            scale = column[-1] if metrics[name].better == "smaller" else None
            yield (
                f"{name}[{extractor.name}]",
                {
                    **estimated[name].document(),
                    "better": metrics[name].better,
                    "headline": metrics[name].headline,
                    "metric": metrics[name].definition,
                    **extractor.protocol(),
                    "rows": [row.document(value, scale) for row, value in zip(beside, column, strict=True)],
                },
            )


def _anchors(rows: Sequence[_Row], names: Sequence[str]) -> list[dict[str, float]]:
    """Return the named metrics of each row, several at once."""
    parts = [(number, group) for number in range(len(rows)) for group in shared(names)]

    def measured(part: tuple[int, list[str]]) -> dict[str, float]:
        return values(rows[part[0]].extracted, rows[part[0]].target, part[1])

    found: list[dict[str, float]] = [{} for _ in rows]
    for (number, _), some in zip(parts, track(in_parallel(measured, parts), "anchor rows", len(parts)), strict=True):
        found[number] |= some
    return found


def _rows(
    extractor: Extractor, generated: Pictures, reference: Pictures, real: Pictures | None, n: int, seed: int
) -> Iterator[_Row]:
    """Yield the rows of the generated pictures, the floor, the noise and the blur, in this order."""
    chosen = choose(reference, n, 2 * seed)
    target = extract_cached(extractor, reference, chosen)
    yield _Row(
        "generated", generated.name, extract_cached(extractor, generated, choose(generated, n, 2 * seed + 1)), target
    )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    if real and len(real) >= FEWEST_PICTURES:
        extracted = extract_cached(extractor, real, choose(real, n, 2 * seed + 1))
        yield _Row("floor", real.name, extracted, target.rows(order[: len(extracted.features)]))
    else:
        left, right = (target.rows(half) for half in order[: n // 2 * 2].chunk(2))
        yield _Row("floor", "one half of the reference against the other", left, right)
    for distort, about in (
        (noise, "the reference with noise of 25 grey levels"),
        (blur, "the reference, 3x3 box blur"),
    ):
        yield _Row(distort.__name__, about, extract_cached(extractor, reference, chosen, distort, seed), target)


def _about_sets(generated: Pictures, reference: Pictures, n: int) -> Iterator[str]:
    """Yield how differences between the two sets bias the scores."""
    facts = ours, real = identity(generated), identity(reference)
    if (ours["fingerprint"], ours["selection"]) == (real["fingerprint"], real["selection"]):
        yield "both sides are the same pictures: every score is perfect and says nothing"
    if len(generated) != len(reference):
        yield (
            f"{ours['name']} has {len(generated):,} pictures and {real['name']} {len(reference):,}: {n:,} of each are "
            "compared. Distances fall as N grows, so compare these numbers only with others at the same N"
        )
    if ours["lossy"] != real["lossy"]:
        kinds = " and ".join(f"{each['name']} is {', '.join(each['formats'])}" for each in facts)
        yield (
            f"{kinds}: scores count the traces of lossy compression as a difference (saving as JPEG raised a published "
            "FID from 24.8 to 30.7); save both without loss"
        )
    if not 1 / MUCH_LARGER < _side(generated) / _side(reference) < MUCH_LARGER:
        sizes = " and ".join(f"{each['name']} of {_sides(each)} pixels" for each in facts)
        yield (
            f"{sizes} are resized to one size for the extractor: scores count detail that the smaller ones lack as a "
            "difference"
        )
    if ours["channels"] != real["channels"]:
        kinds = " and ".join(f"{each['name']} has {each['channels']}" for each in facts)
        yield f"channels: {kinds}; scores count missing colour or transparency as a difference"


def _side(images: Pictures) -> float:
    """Return the root of the median area, in pixels."""
    return float(np.median(images.shapes.prod(1))) ** 0.5


def _sides(known: dict[str, Any]) -> str:
    (least_wide, most_wide), (least_high, most_high) = known["width"], known["height"]
    least, most = f"{least_wide} x {least_high}", f"{most_wide} x {most_high}"
    return least if least == most else f"{least} to {most}"


def _about_metrics(extractors: Sequence[Extractor], n: int, metrics: Container[str], by_default: bool) -> Iterator[str]:
    """Yield why the Frechet distance is left out, or why it says little."""
    if by_default and n < FRECHET_FROM:
        yield (
            f"with {n:,} pictures (fewer than {FRECHET_FROM:,}) the kernel distance replaces the Frechet distance, "
            "because it is unbiased at any N; --metrics fd gives the Frechet distance all the same"
        )
    for extractor in extractors:
        if "fd" in metrics and n <= extractor.dimensions:
            yield (
                f"fd[{extractor.name}]: {n:,} pictures cannot fill {extractor.dimensions:,} dimensions, so the "
                "covariances are singular and the distance is mostly bias"
            )


def _known(name: str, table: dict[str, Any], what: str) -> Any:
    if name not in table:
        raise UsageError(f"unknown {what} {name!r}{did_you_mean(name, table)}")
    return table[name]
