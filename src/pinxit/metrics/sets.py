"""Set metrics: functions of two feature matrices (N, D) and (M, D), one row per picture.

The generated set comes first, the reference second. The scale of a value depends on the extractor and on N: compare
only values of the same extractor at the same N. All arithmetic is in float64, in blocks of rows, so that memory does
not grow with N x M. The order of rows affects only the last digits. Sets of fewer than 2 pictures, features that are
not finite, and unequal D are a `DataError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from typing import Literal, NamedTuple

import torch
from scipy.linalg import lapack
from torch import Tensor

from pinxit.errors import DataError
from pinxit.hardware import one_thread
from pinxit.metrics.features import Extracted, check
from pinxit.metrics.neighbours import ROWS, Balls, near_in_parts, squared_distances

# A ball reaches to the k-th neighbour: Kynkaanniemi et al. use k = 3 for precision and recall, Naeem et al. k = 5.
PRECISION_K = 3
COVERAGE_K = 5


# --- Frechet distance ---


class Gaussian(NamedTuple):
    """A Gaussian: its mean (D,) and a factor A (R, D) of its covariance A^T A."""

    mean: Tensor
    factor: Tensor


class Moments(NamedTuple):
    """A mean (D,) and a covariance (D, D)."""

    mean: Tensor
    covariance: Tensor


def frechet_distance(generated: Tensor, reference: Tensor) -> float:
    """Return the squared Frechet distance of the Gaussians fitted to features (N, D) and (M, D), never below 0.

        |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)        (Heusel et al., 2017, eq. 6)

    with unbiased covariances S. The last trace is the sum of the singular values of A1 A2^T, for any factors S = A^T A.
    This needs no general matrix root and loses no digits where N is below D and the covariances are singular. The value
    falls with N towards its limit.
    """
    check(generated, reference)
    return gaussian_distance(gaussian_of(generated), gaussian_of(reference))


def gaussian_distance(one: Gaussian, other: Gaussian) -> float:
    """Return the squared Frechet distance of two Gaussians."""
    product = one.factor @ other.factor.T
    with one_thread():
        cross = torch.linalg.svdvals(product).sum()
    distance = (one.mean - other.mean).square().sum() + one.factor.square().sum() + other.factor.square().sum()
    return float((distance - 2 * cross).clamp(min=0))


def moments_distance(one: Moments, other: Moments) -> float:
    """Return the squared Frechet distance of two Gaussians given by mean and covariance, each of more than D pictures.

    The last trace is the sum of the roots of the eigenvalues of A1 S2 A1^T. That takes half the time of singular values
    and costs digits only where a singular value is below 1e-8 of the largest.
    """
    root = factor(one.covariance)
    product = root @ other.covariance @ root.T
    with one_thread():
        cross = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    distance = (one.mean - other.mean).square().sum() + one.covariance.trace() + other.covariance.trace()
    return float((distance - 2 * cross).clamp(min=0))


def gaussian_of(features: Tensor) -> Gaussian:
    """Return the Gaussian with the mean and unbiased covariance of features (N, D)."""
    n, dimensions = features.shape
    mean = features.mean(0, dtype=torch.float64)
    if n <= dimensions:
        return Gaussian(mean, (features - mean) / (n - 1) ** 0.5)
    return Gaussian(mean, factor(scatter(features, mean) / (n - 1)))


def scatter(features: Tensor, centre: Tensor) -> Tensor:
    """Return the sum (D, D) of the squares x^T x of the rows (N, D) about a centre (D,), in float64."""
    total = torch.zeros(len(centre), len(centre), dtype=torch.float64)
    for block in features.split(ROWS):
        centred = block.double() - centre
        total.addmm_(centred.T, centred)
    return total


def factor(covariance: Tensor) -> Tensor:
    """Return a factor (R, D) of a covariance (D, D) by Cholesky decomposition, pivoted if it is singular.

    R is then the rank: directions with less than D x 1e-16 of the largest variance are dropped.
    """
    with one_thread():
        upper, failed = torch.linalg.cholesky_ex(covariance.double(), upper=True)
    if not failed:
        return upper
    packed, order, rank, _ = lapack.dpstrf(covariance.double().numpy())
    found = torch.zeros(rank, len(covariance), dtype=torch.float64)
    found[:, torch.from_numpy(order).long() - 1] = torch.from_numpy(packed).triu()[:rank]
    return found


# --- kernel distance ---


def kernel_distance(generated: Tensor, reference: Tensor) -> float:
    """Return the squared maximum mean discrepancy of features (N, D) and (M, D); unbiased, so it can be negative.

        E k(x, x') + E k(y, y') - 2 E k(x, y),   k(x, y) = (x.y / D + 1)^3        (Binkowski et al., 2018, eq. 3-4)

    in the kernel's own scale; papers often print it times 1,000. The means are over all pairs of different pictures.
    The paper averages over random subsets of 1,000 to save time, with the same expectation and more variance.
    """
    check(generated, reference)
    return _mean_within(generated) + _mean_within(reference) - 2 * _mean_across(generated, reference)


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    return (one.double() @ other.double().T).div_(one.shape[1]).add_(1).pow_(3)


def _mean_across(one: Tensor, other: Tensor) -> float:
    total = sum(float(_kernel(x, y).sum()) for x in one.split(ROWS) for y in other.split(ROWS))
    return total / (len(one) * len(other))


def _mean_within(features: Tensor) -> float:
    """Return the mean of k(x, x') over all pairs of different rows, computing each pair once."""
    blocks = features.split(ROWS)
    total = 0.0
    for number, block in enumerate(blocks):
        square = _kernel(block, block)
        total += float(square.sum() - square.trace())
        total += 2 * sum(float(_kernel(block, later).sum()) for later in blocks[number + 1 :])
    return total / (len(features) * (len(features) - 1))


# --- balls of nearest neighbours ---


def precision(generated: Tensor, reference: Tensor, k: int = PRECISION_K) -> float:
    """Return the share of generated features (N, D) that lie in a ball of the reference (M, D), from 0 to 1.

    The closed ball of a picture reaches to its k-th nearest other picture of the same set (Kynkaanniemi et al., 2019,
    eq. 1-2). All pictures are used; the paper uses equally many of both sets. Outliers of the reference have balls so
    large that even noise falls in them, so it is not a headline. k must be below M.
    """
    around = _balls(generated, reference, k).around
    return float((around > 0).double().mean())


def recall(generated: Tensor, reference: Tensor, k: int = PRECISION_K) -> float:
    """Return the share of reference features (M, D) that lie in a ball of the generated (N, D), from 0 to 1.

    It is the precision with the sets exchanged (Kynkaanniemi et al., 2019, eq. 1-2). k must be below N.
    """
    return precision(reference, generated, k)


def density(generated: Tensor, reference: Tensor, k: int = COVERAGE_K) -> float:
    """Return the mean number of balls of the reference (M, D) around a generated picture (N, D), divided by k.

    It is about 1 for equal distributions and can be larger (Naeem et al., 2020, eq. 3; their balls are open, which
    differs only for equal distances). k must be below M.
    """
    return float(_balls(generated, reference, k).around.sum()) / (k * len(generated))


def coverage(generated: Tensor, reference: Tensor, k: int = COVERAGE_K) -> float:
    """Return the share of balls of the reference (M, D) that hold a generated picture (N, D), from 0 to 1.

    For equal distributions and N = M its expectation is 1 - (N - 1)...(N - k) / ((2N - 1)...(2N - k)), which approaches
    1 - 2^-k (Naeem et al., 2020, eq. 4 and 7; their balls are open). It grows with N / M. k must be below M.
    """
    inside = _balls(generated, reference, k).inside
    return float((inside > 0).double().mean())


def neighbour_metrics(
    generated: Tensor, reference: Tensor, parts: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return precision, recall, density and coverage from one pass over the distances, each a vector (1,) or (1 + P,).

    `parts` gives the part 0 .. P - 1 of each picture of both sides. The value is then followed by the values without
    part 0, 1, ... of both sides, equal to those of the plain functions on the rest.
    """
    check(generated, reference, least=COVERAGE_K + 1)
    one, other = parts or (_whole(generated), _whole(reference))
    if parts:
        generated, reference = generated[one.argsort()], reference[other.argsort()]
        one, other = one.sort().values, other.sort().values
    n, m = (_left(part, parts is not None) for part in (one, other))
    if min(n.min(), m.min()) <= COVERAGE_K:
        raise DataError(f"too few pictures for {COVERAGE_K} neighbours with a part left out; give at least 8 a side")
    near = near_in_parts(reference, other, COVERAGE_K)
    wide, narrow = (Balls(near, k, other, one, parts is not None) for k in (COVERAGE_K, PRECISION_K))
    near = near_in_parts(generated, one, PRECISION_K)
    own = Balls(near, PRECISION_K, one, other, parts is not None)
    _count(generated, reference, (wide, narrow), (own,))
    return {
        "precision": (narrow.around > 0).sum(0) / n,
        "recall": (own.around > 0).sum(0) / m,
        "density": wide.around.sum(0) / (COVERAGE_K * n),
        "coverage": (wide.inside > 0).sum(0) / m,
    }


def _balls(queries: Tensor, points: Tensor, k: int) -> Balls:
    """Return the balls of points (M, D) with queries (N, D) counted."""
    check(queries, points, least=k + 1)
    part = _whole(points)
    balls = Balls(near_in_parts(points, part, k), k, part, _whole(queries), leave_out=False)
    _count(queries, points, (balls,), ())
    return balls


def _count(generated: Tensor, reference: Tensor, of_reference: Sequence[Balls], of_generated: Sequence[Balls]) -> None:
    """Count the pictures of each set in the balls of the other."""
    for row in range(0, len(generated), ROWS):
        block = generated[row : row + ROWS].double()
        for column in range(0, len(reference), ROWS):
            squares = squared_distances(block, reference[column : column + ROWS].double())
            for balls in of_reference:
                balls.count(squares, row, column)
            for balls in of_generated:
                balls.count(squares.T, column, row)


def _whole(features: Tensor) -> Tensor:
    return torch.zeros(len(features), dtype=torch.long)


def _left(part: Tensor, leave_out: bool) -> Tensor:
    """Return the number of all pictures and, with `leave_out`, the numbers without each part, float64."""
    without = len(part) - part.bincount()
    return torch.cat([torch.tensor([len(part)]), without[: len(without) * leave_out]]).double()


# --- one set by itself ---


def vendi_score(features: Tensor) -> float:
    """Return the effective number of different pictures, from features (N, D): 1 if all are equal, N if orthogonal.

        exp(-sum l log l), l the eigenvalues of K / N, K the cosines        (Friedman and Dieng, 2023, def. 3.1)

    using the D x D matrix with the same eigenvalues if D is below N. Noise may score high and the value grows with N,
    so compare it with the reference's own value at the same N. Features that are all 0 count as equal to one another
    and orthogonal to the rest.
    """
    check(features)
    return effective_number(cosine_matrix(features), len(features))


def cosine_matrix(features: Tensor) -> Tensor:
    """Return U U^T or, if D is below N, U^T U; the rows of U are those of features (N, D) normalised to length 1."""
    if len(features) <= features.shape[1]:
        units = _units(features)
        return units @ units.T
    return cosine_scatter(features)


def cosine_scatter(features: Tensor) -> Tensor:
    """Return U^T U (D, D); the rows of U are those of features (N, D) normalised to length 1."""
    total = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64)
    for block in features.split(ROWS):
        units = _units(block)
        total.addmm_(units.T, units)
    return total


def effective_number(cosines: Tensor, n: int) -> float:
    """Return the Vendi score of n pictures from their `cosine_matrix`."""
    with one_thread():
        values = torch.linalg.eigvalsh(cosines / n).clamp(min=0)
    empty = (1 - values.sum()).clamp(min=0)
    return exp(float(torch.special.entr(values).sum() + torch.special.entr(empty)))


def _units(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features.double(), dim=1)


def class_entropy(posteriors: Tensor) -> float:
    """Return the entropy in bits of the mean of class posteriors (N, K): log2 K if all classes are equally frequent.

    It is the entropy of the marginal in the Inception score (Salimans et al., 2016); 0 means a single class.
    """
    check(posteriors)
    return float(class_entropies(*class_sums(posteriors))[0])


def class_score(posteriors: Tensor) -> float:
    """Return exp of the mean KL(p(y|x) || p(y)) of class posteriors (N, K), p(y) their mean: from 1 to K.

    It is the formula of the Inception score (Salimans et al., 2016) over all pictures at once; the paper averages over
    ten splits, which lowers it. Confident posteriors of many classes score high, whatever the pictures look like.
    """
    check(posteriors)
    return float(class_entropies(*class_sums(posteriors))[1])


def class_sums(posteriors: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return the sum (K,) of class posteriors (N, K), the sum of their entropies in nats, and N."""
    doubled = [block.double() for block in posteriors.split(ROWS)]
    entropy = torch.stack([torch.special.entr(block).sum() for block in doubled]).sum()
    return torch.stack([block.sum(0) for block in doubled]).sum(0), entropy, len(posteriors)


def class_entropies(total: Tensor, entropy: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return class entropy and class score from `class_sums`."""
    of_mean = torch.special.entr(total / n).sum()
    return of_mean / log(2), (of_mean - entropy / n).exp().clamp(min=1)


# --- the table ---


@dataclass(frozen=True)
class SetMetric:
    """A measure of a generated set and a reference, and how to read it.

    `definition` is part of the protocol: only values with equal definitions are comparable. Better is a `smaller` or a
    `larger` value or, `as real`, one near the reference's own. A `headline` may stand in the first table: noise and
    black pictures cannot win it. `bounds` are the least and the greatest possible value.
    """

    measure: Callable[[Extracted, Extracted], float]
    definition: str
    better: Literal["smaller", "larger", "as real"]
    headline: bool = False
    bounds: tuple[float, float] = (0, inf)


# The name of a score is the key followed by the extractor in brackets, such as "fd[digits-v1]".
SETS: dict[str, SetMetric] = {
    "fd": SetMetric(
        lambda generated, reference: frechet_distance(generated.features, reference.features),
        "|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), unbiased covariances",
        "smaller",
        headline=True,
    ),
    "kd": SetMetric(
        lambda generated, reference: kernel_distance(generated.features, reference.features),
        "MMD^2 with k(x, y) = (x.y / D + 1)^3, U-statistic over all pairs, not times 1000",
        "smaller",
        headline=True,
        bounds=(-inf, inf),
    ),
    "precision": SetMetric(
        lambda generated, reference: precision(generated.features, reference.features),
        f"share of generated in a ball of the reference, k = {PRECISION_K}, closed balls",
        "larger",
        bounds=(0, 1),
    ),
    "recall": SetMetric(
        lambda generated, reference: recall(generated.features, reference.features),
        f"share of the reference in a ball of the generated, k = {PRECISION_K}, closed balls",
        "larger",
        bounds=(0, 1),
    ),
    "density": SetMetric(
        lambda generated, reference: density(generated.features, reference.features),
        f"balls of the reference about a generated picture, over k, k = {COVERAGE_K}, closed balls",
        "larger",
    ),
    "coverage": SetMetric(
        lambda generated, reference: coverage(generated.features, reference.features),
        f"share of balls of the reference with a generated picture in them, k = {COVERAGE_K}, closed balls",
        "larger",
        headline=True,
        bounds=(0, 1),
    ),
    "vendi": SetMetric(
        lambda generated, reference: vendi_score(generated.features),
        "exp of the entropy of the eigenvalues of the cosine matrix / N, of the generated alone",
        "as real",
        bounds=(1, inf),
    ),
    "class score": SetMetric(
        lambda generated, reference: class_score(generated.posteriors),
        "exp of mean KL(p(y|x) || p(y)), no splits, of the generated alone",
        "as real",
        bounds=(1, inf),
    ),
    "class entropy": SetMetric(
        lambda generated, reference: class_entropy(generated.posteriors),
        "entropy of the mean class posterior in bits, of the generated alone",
        "as real",
    ),
}
