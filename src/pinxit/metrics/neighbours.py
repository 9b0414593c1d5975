"""Nearest neighbours: Euclidean distances between the rows of feature matrices.

Distances are computed in float64, block by block, so that memory does not grow with N x M.

Intervals need the counts with each part of the rows left out. So every point keeps its k nearest points of *each* part:
the k-th nearest without part j is exactly the k-th of what the other parts keep, and no distance is computed twice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pinxit.errors import DataError
from pinxit.metrics.features import check

# Rows of a block: 32 MB of distances. Pairs processed together: 50 MB where 20 parts are left out.
ROWS = 2048
PAIRS = 2**18

# Ten times the rounding error of a squared distance in float64, relative to the squared norms.
ROUNDING = 1e-12


def nearest(queries: Tensor, points: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Return ascending distances (N, k) from queries (N, D) to the k nearest of points (M, D), and the points' rows.

    Distances are float64 and computed from differences, so a query that is one of the points finds it at exactly 0.
    `DataError` if there are fewer than k points, or features are not finite or of unequal D.
    """
    check(queries, points, least=1)
    if not 1 <= k <= len(points):
        raise DataError(f"k must be 1 to {len(points)} here, not {k}")
    found = [_of_block(block, points, k) for block in queries.split(ROWS)]
    distances, rows = (torch.cat(parts) for parts in zip(*found, strict=True))
    return distances, rows


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Return the squared distances (N, M) of float64 rows from norms and one product, never below 0.

    They have the rounding error of the squared norms, so equal rows are at 0 only up to `ROUNDING`.
    """
    squares = torch.addmm(other.square().sum(1), one, other.T, alpha=-2)
    return squares.add_(one.square().sum(1, keepdim=True)).clamp_(min=0)


def near_in_parts(points: Tensor, part: Tensor, k: int) -> Tensor:
    """Return the squared distances (N, P, k) to the k nearest others of each part 0 .. P - 1, rounded up.

    `part` (N,) is the part of each point; contiguous parts are fastest. If a part has fewer than k others, the rest is
    infinite. Rounding up keeps points inside that are exactly at a distance, or equal.
    """
    near = torch.full((len(points), int(part.max()) + 1, k), torch.inf, dtype=torch.float64)
    blocks = list(zip(points.split(ROWS), part.split(ROWS), near.split(ROWS), strict=True))
    for number, (block, own, near_own) in enumerate(blocks):
        squares = squared_distances(block.double(), block.double()).fill_diagonal_(torch.inf)
        _keep_nearest(near_own, squares, own)
        for later, other, near_other in blocks[number + 1 :]:
            squares = squared_distances(block.double(), later.double())
            _keep_nearest(near_own, squares, other)
            _keep_nearest(near_other, squares.T.contiguous(), own)
    norms = torch.cat([block.double().square().sum(1) for block in points.split(ROWS)])
    return near.mul_(1 + ROUNDING).add_(ROUNDING * norms[:, None, None])


class Balls:
    """Closed balls around points (M, D) that reach to the k-th nearest other point, and counts of queries in them.

    `near` (M, P, k or more) comes from `near_in_parts`. `part` (M,) and `query_part` (N,) are the parts of points and
    queries. Column 0 counts everything; with `leave_out`, column 1 + j leaves out part j of points and queries. Once
    every block of squared distances is counted, `inside` (M, columns) holds the number of queries in each ball.
    `around` (N, columns) holds the number of balls around each query.
    """

    def __init__(self, near: Tensor, k: int, part: Tensor, query_part: Tensor, leave_out: bool) -> None:
        self.part, self.query_part = part, query_part
        left_out = [[], *([each] for each in range(near.shape[1]))] if leave_out else [[]]
        self.reach = torch.stack([_kth(near, k, parts) for parts in left_out], 1)
        self.widest = self.reach.amax(1)
        self.inside = torch.zeros(self.reach.shape, dtype=torch.int32)
        self.around = torch.zeros(len(query_part), len(left_out), dtype=torch.int32)

    def count(self, squares: Tensor, query: int, point: int) -> None:
        """Count one block of squared distances; its rows start at row `query`, its columns at point `point`."""
        for pairs in (squares <= self.widest[point : point + squares.shape[1]]).nonzero().split(PAIRS):
            distances = squares[pairs[:, 0], pairs[:, 1]]
            queries, points = pairs[:, 0] + query, pairs[:, 1] + point
            reached = (distances[:, None] <= self.reach[points]).int()
            if reached.shape[1] > 1:
                for part in (self.query_part[queries], self.part[points]):
                    reached.scatter_(1, 1 + part[:, None], 0)
            self.around.index_add_(0, queries, reached)
            self.inside.index_add_(0, points, reached)


def _keep_nearest(near: Tensor, squares: Tensor, part: Tensor) -> None:
    """Update `near` (N, P, k), the smallest so far, with squared distances (N, M) to points of parts (M,)."""
    k, start = near.shape[2], 0
    for each, length in zip(*(runs.tolist() for runs in part.unique_consecutive(return_counts=True)), strict=True):
        nearer = squares[:, start : start + length].topk(min(k, length), largest=False).values
        near[:, each] = torch.cat([near[:, each], nearer], 1).topk(k, largest=False).values
        start += length


def _kth(near: Tensor, k: int, without: list[int]) -> Tensor:
    """Return the k-th smallest of each point's distances (N, P, k or more), leaving out some parts."""
    kept = near.index_fill(1, torch.tensor(without, dtype=torch.long), torch.inf)
    return kept.flatten(1).kthvalue(k).values


def _of_block(block: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return distances and rows of the k nearest points of one block of queries."""
    block = block.double()
    squares = block.new_empty(len(block), 0)
    rows = torch.empty(len(block), 0, dtype=torch.long)
    for number, part in enumerate(points.split(ROWS)):
        further = squared_distances(block, part.double())
        nearer, where = further.topk(min(k, len(part)), largest=False)
        squares, order = torch.cat([squares, nearer], 1).sort(1)
        rows = torch.cat([rows, where + number * ROWS], 1).gather(1, order)
        squares, rows = squares[:, :k], rows[:, :k]
    exact = [(block - points[column]).norm(dim=1) for column in rows.T]
    distances, order = torch.stack(exact, 1).sort(1)
    return distances, rows.gather(1, order)
