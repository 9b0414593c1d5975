"""How sure a value is: 95 % intervals about set metrics and about means over pictures.

An interval says how far the value may move if other pictures of the same kind, equally many, were drawn. It does not
say how far the value lies from its limit at infinite N: the Frechet distance is biased by N, and its interval with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from pinxit.errors import UsageError
from pinxit.metrics import sets
from pinxit.metrics.seen import Seen, check
from pinxit.metrics.sets import SETS, Gaussian

GROUPS = 20
BLOCKS = 10
BLOCK_ROWS = 1000
RESAMPLES = 2000
LEVEL = 0.95

# Of which group each picture of each side is.
Parts = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, `low <= value <= high`, and the method that made the interval."""

    value: float
    low: float
    high: float
    method: str


def values(generated: Seen, reference: Seen, names: Sequence[str]) -> dict[str, float]:
    """Return the named metrics of `SETS` alone, sharing work among them. An unknown name is a `UsageError`."""
    _check_names(names)
    found = {}
    if _NEIGHBOURS & set(names):
        shared = sets.neighbour_metrics(generated.features, reference.features)
        found = {name: float(column[0]) for name, column in shared.items()}
    return {name: found[name] if name in found else SETS[name].measure(generated, reference) for name in names}


def estimates(generated: Seen, reference: Seen, names: Sequence[str], seed: int = 0) -> dict[str, Estimate]:
    """Return the named metrics of `SETS` with 95 % intervals, sharing work among them.

    `kd`: both sides are cut at random into b = max(10, n / 1000) blocks, n the smaller side; the half width is
    t x sd / sqrt(b) of the b block values. Where the sets are alike this is wider than need be, by about sqrt(b).

    All others: both sides are cut at random into g = 20 groups (n / 2 of them below 40 pictures), and group j of both
    is left out, j = 1 .. g. The variance is (g - 1) / g x the sum of squares of the g values about their mean (the
    delete-a-group jackknife, Kott, 2001); the sides are independent, so it is the sum of both sides' variances. The
    half width is its root x t of g - 1 degrees. Without replacement: a bootstrap of a Frechet distance knows repeated
    pictures only, and misses the value altogether. Values with a group left out are exact, not approximations.

    Both are centred on the value and end at the metric's own bounds. At least 4 pictures a side, and 8 for the metrics
    of 5 neighbours; fewer are a `DataError`, an unknown name is a `UsageError`.
    """
    _check_names(names)
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
    if "kd" in names:
        found["kd"] = _kernel_estimate(generated, reference, min(max(BLOCKS, n // BLOCK_ROWS), n // 2), seed)
    return {name: found[name] for name in names}


def mean_estimate(samples: Tensor, seed: int = 0) -> Estimate:
    """Return the mean of samples (N,), one number a picture, with the percentile interval of 2,000 bootstrap means.

    At least 2 finite samples; others are a `DataError`.
    """
    check(samples[:, None])
    samples = samples.double()
    rng = torch.Generator().manual_seed(seed)
    means = torch.stack(
        [samples[torch.randint(len(samples), samples.shape, generator=rng)].mean() for _ in range(RESAMPLES)]
    )
    value = float(samples.mean())
    low, high = means.quantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)).tolist()
    return Estimate(
        value, min(low, value), max(high, value), f"bootstrap of the mean, {RESAMPLES} resamples, percentiles"
    )


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if name not in SETS:
            raise UsageError(f"there is no set metric {name!r}; there are {', '.join(SETS)}")


def _parts(seen: Seen, count: int, rng: torch.Generator) -> Tensor:
    """Return a part 0 .. count - 1 for every picture, at random, all parts of equal size but for 1."""
    n = len(seen.features)
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


def _kernel_estimate(generated: Seen, reference: Seen, blocks: int, seed: int) -> Estimate:
    rng = torch.Generator().manual_seed(seed)
    one, other = _parts(generated, blocks, rng), _parts(reference, blocks, rng)
    found = [
        sets.kernel_distance(generated.features[one == block], reference.features[other == block])
        for block in range(blocks)
    ]
    half = _t(blocks - 1) * float(torch.tensor(found, dtype=torch.float64).std()) / blocks**0.5
    value = sets.kernel_distance(generated.features, reference.features)
    return _bounded("kd", value, half, f"{blocks} disjoint random blocks, t")


# --- the values with each group left out, without starting anew: the first element is with all ---


def _frechet(generated: Seen, reference: Seen, parts: Parts) -> dict[str, Tensor]:
    sides = (_gaussians(seen.features, of) for seen, of in zip((generated, reference), parts, strict=True))
    distances = [sets.gaussian_distance(*pair) for pair in zip(*sides, strict=True)]
    return {"fd": torch.tensor(distances, dtype=torch.float64)}


def _gaussians(features: Tensor, part: Tensor) -> Iterator[Gaussian]:
    """Give the Gaussian fitted to features (N, D), and then without each part: its moments are taken off the sums."""
    yield sets.fitted(features)
    mean = features.mean(0, dtype=torch.float64)
    total = sets.scatter(features, mean)
    for each in range(int(part.max()) + 1):
        kept = int((part != each).sum())
        if kept <= features.shape[1]:
            yield sets.fitted(features[part != each])
        else:
            left_out = features[part == each]
            shift = (left_out.double() - mean).sum(0) / -kept
            scatter = total - sets.scatter(left_out, mean) - kept * shift.outer(shift)
            yield Gaussian(mean + shift, sets.factor(scatter / (kept - 1)))


def _neighbours(generated: Seen, reference: Seen, parts: Parts) -> dict[str, Tensor]:
    return sets.neighbour_metrics(generated.features, reference.features, parts)


def _vendi(generated: Seen, reference: Seen, parts: Parts) -> dict[str, Tensor]:
    n, dimensions = generated.features.shape
    total = sets.cosine_matrix(generated.features)
    found = [sets.effective_number(total, n)]
    for each in range(int(parts[0].max()) + 1):
        kept = parts[0] != each
        cosines = total[kept][:, kept] if n <= dimensions else total - sets.cosine_scatter(generated.features[~kept])
        found.append(sets.effective_number(cosines, int(kept.sum())))
    return {"vendi": torch.tensor(found, dtype=torch.float64)}


def _classes(generated: Seen, reference: Seen, parts: Parts) -> dict[str, Tensor]:
    total, entropy, n = sets.class_sums(generated.posteriors)
    found = [sets.class_entropies(total, entropy, n)]
    for each in range(int(parts[0].max()) + 1):
        left_out, its_entropy, rows = sets.class_sums(generated.posteriors[parts[0] == each])
        found.append(sets.class_entropies(total - left_out, entropy - its_entropy, n - rows))
    bits, score = (torch.stack(column) for column in zip(*found, strict=True))
    return {"class entropy": bits, "class score": score}


_NEIGHBOURS = {"precision", "recall", "density", "coverage"}
_REPLICATES: tuple[tuple[set[str], Callable[[Seen, Seen, Parts], dict[str, Tensor]]], ...] = (
    ({"fd"}, _frechet),
    (_NEIGHBOURS, _neighbours),
    ({"vendi"}, _vendi),
    ({"class entropy", "class score"}, _classes),
)
