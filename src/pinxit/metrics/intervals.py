"""95 % intervals of set metrics and of means over pictures.

An interval covers the choice of pictures: how far the value may move with as many other pictures of the same kind. It
does not cover the distance to the limit at infinite N. The Frechet distance is biased by N, and so is its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

from pinxit.hardware import in_parallel
from pinxit.metrics import ONE_SAMPLE, sets
from pinxit.metrics.features import Extracted, check
from pinxit.metrics.sets import SETS, Gaussian, Moments
from pinxit.progress import track

GROUPS = 20
BLOCKS = 10
BLOCK_ROWS = 1000
RESAMPLES = 2000
REMEASURED = 400
NOTHING = -1  # the group that no picture is in
LEVEL = 0.95
WILSON = "Wilson's score interval"

# The group of each picture, for both sides.
Parts = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, `low <= value <= high`, and the interval's method."""

    value: float
    low: float
    high: float
    method: str

    def interval(self) -> dict[str, float | str]:
        """Return the interval as a document has it, with its level."""
        return {"low": self.low, "high": self.high, "level": LEVEL, "method": self.method}

    def document(self) -> dict[str, Any]:
        """Return the value and its interval as a document has them."""
        return {"value": self.value, "interval": self.interval()}


def values(generated: Extracted, reference: Extracted, names: Sequence[str]) -> dict[str, float]:
    """Return the named metrics of `SETS` without intervals, sharing work among them."""
    found = {}
    if _NEIGHBOURS & set(names):
        shared = sets.neighbour_metrics(generated.features, reference.features)
        found = {name: float(column[0]) for name, column in shared.items()}
    return {name: found[name] if name in found else SETS[name].measure(generated, reference) for name in names}


def shared(names: Sequence[str]) -> list[list[str]]:
    """Return names of metrics in groups: only within a group do `values` share work."""
    together = [name for name in names if name in _NEIGHBOURS]
    return [[name] for name in names if name not in _NEIGHBOURS] + ([together] if together else [])


def estimates(generated: Extracted, reference: Extracted, names: Sequence[str], seed: int = 0) -> dict[str, Estimate]:
    """Return the named metrics of `SETS` with 95 % intervals, sharing work among them.

    `kd`: both sides are split at random into b = max(10, n / 1000) blocks, n being the smaller side. The half width
    is t x sd / sqrt(b) of the b block values. For similar sets this is too wide, by about sqrt(b).

    All others: both sides are split at random into g = 20 groups (n / 2 below 40 pictures), and group j of both is
    left out, j = 1 .. g. The variance is (g - 1) / g x the sum of squares of the g values about their mean (the
    delete-a-group jackknife, Kott, 2001). The sides are independent, so it is the sum of both sides' variances. The
    half width is its root x t of g - 1 degrees. There is no replacement: a bootstrap repeats pictures, which biases a
    Frechet distance so much that the interval misses the value. Values with a group left out are exact.

    Intervals are centred on the value and clipped to the metric's bounds. A share (precision, recall, coverage) of 0 or
    1 does not change with any group, so its interval is extended to Wilson's for as many independent pictures. Fewer
    than 4 pictures per side, or 8 for the metrics of 5 neighbours, are a `DataError`.
    """
    check(generated.features, reference.features, least=4)
    rng = torch.Generator().manual_seed(seed)
    n = min(len(generated.features), len(reference.features))
    groups = min(GROUPS, n // 2)
    parts = _parts(generated, groups, rng), _parts(reference, groups, rng)
    method = f"delete-a-group jackknife without replacement, {groups} groups, t"
    found = {}
    for family, replicates in _REPLICATES:
        if family & set(names):
            for name, column in replicates(generated, reference, parts).items():
                found[name] = _bounded(name, float(column[0]), _jackknife(column[1:]), method)
                if name in _SHARES:
                    found[name] = _widened(found[name], len((generated, reference)[_SHARES[name]].features))
    for name in set(names) - found.keys() - {"kd"}:
        found[name] = _bounded(name, *_remeasured(SETS[name].measure, generated, reference, parts), method)
    if "kd" in names:
        found["kd"] = _kernel_estimate(generated, reference, min(max(BLOCKS, n // BLOCK_ROWS), n // 2), seed)
    return {name: found[name] for name in names}


def _remeasured(
    measure: Callable[[Extracted, Extracted], float], generated: Extracted, reference: Extracted, parts: Parts
) -> tuple[float, float]:
    """Return a metric and its half width, by measuring again without each group."""
    one, other = parts
    groups = range(int(one.max()) + 1)
    left_out = [measure(generated.rows(one != group), reference.rows(other != group)) for group in groups]
    return measure(generated, reference), _jackknife(torch.tensor(left_out, dtype=torch.float64))


def mean_estimate(samples: Tensor, seed: int = 0) -> Estimate:
    """Return the mean of samples (N,), one per picture, with the percentile interval of 2,000 bootstrap means.

    A single sample has no interval: both ends are its value. Samples that are not finite are a `DataError`.
    """
    check(samples[:, None], least=1)
    samples = samples.double()
    if len(samples) == 1:
        return Estimate(float(samples), float(samples), float(samples), ONE_SAMPLE)
    rng = torch.Generator().manual_seed(seed)
    means = torch.stack(
        [samples[torch.randint(len(samples), samples.shape, generator=rng)].mean() for _ in range(RESAMPLES)]
    )
    value = float(samples.mean())
    low, high = means.quantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)).tolist()
    method = f"bootstrap of the mean, {RESAMPLES} resamples, percentiles"
    return Estimate(value, min(low, value), max(high, value), method)


def resampled(measure: Callable[[Tensor], float], n: int, seed: int = 0) -> Estimate:
    """Return a measure of rows (n,) of pictures, with the percentile interval of `REMEASURED` bootstrap samples.

    One picture has no interval: both ends are its value.
    """
    value = measure(torch.arange(n))
    if n == 1:
        return Estimate(value, value, value, ONE_SAMPLE)
    rng = torch.Generator().manual_seed(seed)
    found = [measure(torch.randint(n, (n,), generator=rng)) for _ in range(REMEASURED)]
    ends = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
    low, high = torch.tensor(found, dtype=torch.float64).quantile(ends).tolist()
    return Estimate(value, min(low, value), max(high, value), f"bootstrap, {REMEASURED} resamples, percentiles")


def share_estimate(hits: Tensor) -> Estimate:
    """Return the share of True in (N,), N >= 1, with its score interval (Wilson, 1927), valid at 0 and 1 too.

    The rows must be independent.
    """
    value = float(hits.double().mean())
    return Estimate(value, *_wilson(value, len(hits)), WILSON)


def _wilson(value: float, n: int) -> tuple[float, float]:
    """Return the ends of the interval of a share of n."""
    z = float(ndtri((1 + LEVEL) / 2))
    centre, half = value + z**2 / (2 * n), z * sqrt(value * (1 - value) / n + (z / (2 * n)) ** 2)
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return min(max(low, 0), value), max(min(high, 1), value)


def _widened(share: Estimate, n: int) -> Estimate:
    """Return a share of n pictures with an interval that includes Wilson's."""
    low, high = _wilson(share.value, n)
    return Estimate(share.value, min(share.low, low), max(share.high, high), f"{share.method}, united with {WILSON}")


def _parts(extracted: Extracted, count: int, rng: torch.Generator) -> Tensor:
    """Return a random part 0 .. count - 1 for each picture; sizes of parts differ by at most 1."""
    n = len(extracted.features)
    return (torch.arange(n) % count)[torch.randperm(n, generator=rng)]


def _bounded(name: str, value: float, half: float, method: str) -> Estimate:
    least, most = SETS[name].bounds
    return Estimate(value, min(value, max(value - half, least)), max(value, min(value + half, most)), method)


def _jackknife(left_out: Tensor) -> float:
    """Return the half width of the interval from the values (g,) with each group left out."""
    g = len(left_out)
    error = ((left_out - left_out.mean()).square().sum() * (g - 1) / g).sqrt()
    return _t(g - 1) * float(error)


def _t(degrees: int) -> float:
    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def _kernel_estimate(generated: Extracted, reference: Extracted, blocks: int, seed: int) -> Estimate:
    rng = torch.Generator().manual_seed(seed)
    one, other = _parts(generated, blocks, rng), _parts(reference, blocks, rng)
    found = [
        sets.kernel_distance(generated.features[one == block], reference.features[other == block])
        for block in range(blocks)
    ]
    half = _t(blocks - 1) * float(torch.tensor(found, dtype=torch.float64).std()) / blocks**0.5
    value = sets.kernel_distance(generated.features, reference.features)
    return _bounded("kd", value, half, f"{blocks} disjoint random blocks, t")


# --- values with each group left out, sharing work; the first element has all groups ---


def _frechet(generated: Extracted, reference: Extracted, parts: Parts) -> dict[str, Tensor]:
    sides = [_Moments.of(side.features, part) for side, part in zip((generated, reference), parts, strict=True)]
    quick = min(len(part) - int(part.bincount().max()) for part in parts) > generated.features.shape[1]

    def distance(left_out: int) -> float:
        one, other = sides
        if quick and left_out != NOTHING:
            return sets.moments_distance(one.moments_without(left_out), other.moments_without(left_out))
        return sets.gaussian_distance(one.without(left_out), other.without(left_out))

    return {"fd": _with_each_left_out(distance, parts, "fd and its interval")}


@dataclass(frozen=True)
class _Moments:
    """Features (N, D) with the part of each, their mean (D,), and their scatter (D, D) about it."""

    features: Tensor
    part: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor, part: Tensor) -> _Moments:
        mean = features.mean(0, dtype=torch.float64)
        return cls(features, part, mean, sets.scatter(features, mean))

    def without(self, group: int) -> Gaussian:
        """Return the Gaussian of the features without one part; of all without NOTHING."""
        kept = self.part != group
        if group == NOTHING or int(kept.sum()) <= self.features.shape[1]:
            return sets.gaussian_of(self.features[kept])
        mean, covariance = self.moments_without(group)
        return Gaussian(mean, sets.factor(covariance))

    def moments_without(self, group: int) -> Moments:
        """Return the moments of the features without one part, by subtracting its own."""
        left_out = self.features[self.part == group]
        count = len(self.features) - len(left_out)
        shift = (left_out.double() - self.mean).sum(0) / -count
        scatter = self.scatter - sets.scatter(left_out, self.mean) - count * shift.outer(shift)
        return Moments(self.mean + shift, scatter / (count - 1))


def _with_each_left_out(measure: Callable[[int], float], parts: Parts, what: str) -> Tensor:
    """Return a measure with NOTHING left out, then with each group left out."""
    groups = range(NOTHING, int(parts[0].max()) + 1)
    return torch.tensor(list(track(in_parallel(measure, groups), what, len(groups))), dtype=torch.float64)


def _vendi(generated: Extracted, reference: Extracted, parts: Parts) -> dict[str, Tensor]:
    n, dimensions = generated.features.shape
    total = sets.cosine_matrix(generated.features)

    def number(left_out: int) -> float:
        kept = parts[0] != left_out
        cosines = total[kept][:, kept] if n <= dimensions else total - sets.cosine_scatter(generated.features[~kept])
        return sets.effective_number(cosines, int(kept.sum()))

    return {"vendi": _with_each_left_out(number, parts, "vendi and its interval")}


def _classes(generated: Extracted, reference: Extracted, parts: Parts) -> dict[str, Tensor]:
    total, entropy, n = sets.class_sums(generated.posteriors)
    found = [sets.class_entropies(total, entropy, n)]
    for each in range(int(parts[0].max()) + 1):
        left_out, its_entropy, rows = sets.class_sums(generated.posteriors[parts[0] == each])
        found.append(sets.class_entropies(total - left_out, entropy - its_entropy, n - rows))
    bits, score = (torch.stack(column) for column in zip(*found, strict=True))
    return {"class entropy": bits, "class score": score}


# The side whose pictures a share counts: 0 the generated, 1 the reference.
_SHARES = {"precision": 0, "recall": 1, "coverage": 1}
_NEIGHBOURS = {"precision", "recall", "density", "coverage"}
_REPLICATES: tuple[tuple[set[str], Callable[[Extracted, Extracted, Parts], dict[str, Tensor]]], ...] = (
    ({"fd"}, _frechet),
    (_NEIGHBOURS, lambda one, other, parts: sets.neighbour_metrics(one.features, other.features, parts)),
    ({"vendi"}, _vendi),
    ({"class entropy", "class score"}, _classes),
)
