"""A subject cut out by colours and contours from a box or from points (GrabCut: Rother, Kolmogorov and Blake, 2004).

The colours of subject and background are mixtures of Gaussians; a cut between them is cheapest where each side fits its
mixture and the contour lies on edges of the picture. It is a minimum cut of a graph of pixels, by scipy's maximum flow;
mixtures and cut take turns. Differs from the paper: clusters start as equal parts along the axis of most variance, and
a cut that loses the subject is not taken. From points alone, the first guess is what is nearer to them than to the
edges, along paths that avoid changes of colour (geodesic distance; Bai and Sapiro, 2007).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.ndimage import label
from scipy.sparse import csgraph

CLUSTERS = 5
FITS = 5
ROUNDS = 5
VANISHED = 0.1
"""A cut that leaves less than this share of the inside has lost the subject."""
CONTOUR = 5.0
"""Cost of a contour between equal pixels, beside logarithms of likelihoods; the paper has 50, for larger pictures."""
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
UNITS = 20
"""Costs are whole numbers of this fraction: the flow is exact in them."""
SPREAD = 1e-4
"""Least variance of a cluster."""
DETOUR = 1e-3
"""Length of a step between pixels of one colour, in units of the image range."""


def subject(colours: np.ndarray, inside: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return where the subject is, (H, W) bool, in colours (H, W, C) float in [0, 1].

    It lies `inside` (H, W) bool, which is less than the whole or has seeds, and holds the `seeds` (H, W) bool.
    """
    first = inside if not inside.all() else _near(colours, seeds)
    found, links = first | seeds, _links(colours)
    flat = colours.reshape(-1, colours.shape[2])
    for _ in range(ROUNDS):
        if not 0 < found.sum() < found.size:
            break
        as_subject, as_background = (_cost(_fit(flat[part.ravel()]), flat) for part in (found, ~found))
        before, found = found, _cut(links, as_subject, as_background, must=seeds, may=inside)
        if found.sum() < VANISHED * inside.sum():
            found = before
        if (before == found).all():
            break
    return _with_seeds(found, seeds) if seeds.any() else found


def _with_seeds(found: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return the connected parts that hold a seed."""
    parts, _ = label(found, np.ones((3, 3)))
    return np.isin(parts, np.unique(parts[seeds & found]))


class _Mixture(NamedTuple):
    """Gaussians: weights (k,), means (k, C) and covariances (k, C, C)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def _fit(colours: np.ndarray) -> _Mixture:
    """Return a mixture fitted to colours (n, C); each belongs to the cluster that it fits best."""
    centred = colours - colours.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    ranks = (centred @ axis).argsort(kind="stable").argsort(kind="stable")
    labels = ranks * CLUSTERS // len(colours)
    for _ in range(FITS):
        mixture = _gaussians(colours, labels)
        labels = _logs(mixture, colours).argmax(axis=1)
    return _gaussians(colours, labels)


def _gaussians(colours: np.ndarray, labels: np.ndarray) -> _Mixture:
    parts = [part for label in range(CLUSTERS) if len(part := colours[labels == label])]
    eye = np.eye(colours.shape[1])
    return _Mixture(
        np.array([len(part) / len(colours) for part in parts]),
        np.array([part.mean(axis=0) for part in parts]),
        np.array([np.atleast_2d(np.cov(part.T, bias=True)) + SPREAD * eye for part in parts]),
    )


def _logs(mixture: _Mixture, colours: np.ndarray) -> np.ndarray:
    """Return the logarithms of the likelihoods of colours (n, C) in each cluster, times its weight, (n, k)."""
    apart = colours[:, None] - mixture.means
    far = np.einsum("nkc,kcd,nkd->nk", apart, np.linalg.inv(mixture.covariances), apart)
    logs: np.ndarray = np.log(mixture.weights) - (far + np.linalg.slogdet(mixture.covariances)[1]) / 2
    return logs


def _cost(mixture: _Mixture, colours: np.ndarray) -> np.ndarray:
    cost: np.ndarray = -np.logaddexp.reduce(_logs(mixture, colours), axis=1)
    return cost


class _Links(NamedTuple):
    """Pairs of neighbours, by their numbers, and the cost of a contour between them."""

    ones: np.ndarray
    others: np.ndarray
    costs: np.ndarray


def _pairs(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of neighbouring pixels, the squares of their difference in colour, and their distances."""
    high, wide = colours.shape[:2]
    numbers, found = np.arange(high * wide).reshape(high, wide), []
    for down, right in STEPS:
        left = max(-right, 0)
        one = (slice(0, high - down), slice(left, wide - max(right, 0)))
        other = (slice(down, high), slice(left + right, wide - max(right, 0) + right))
        squares = ((colours[one] - colours[other]) ** 2).sum(axis=2)
        found.append((numbers[one].ravel(), numbers[other].ravel(), squares.ravel(),
                      np.full(squares.size, np.hypot(down, right))))  # fmt: skip
    ones, others, squares, lengths = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return ones, others, squares, lengths


def _links(colours: np.ndarray) -> _Links:
    ones, others, squares, lengths = _pairs(colours)
    usual = max(2 * squares.mean(), 1e-9)
    return _Links(ones, others, CONTOUR * np.exp(-squares / usual) / lengths)


def _cut(
    links: _Links, as_subject: np.ndarray, as_background: np.ndarray, must: np.ndarray, may: np.ndarray
) -> np.ndarray:
    """Return the side of the subject, (H, W) bool, of the cheapest cut, given what each pixel costs on each side."""
    pixels, never = must.size, int(UNITS * CONTOUR * 10)
    least = np.minimum(as_subject, as_background)
    to_subject, to_background = (
        np.minimum(np.rint(UNITS * (cost - least)), never - 1) for cost in (as_background, as_subject)
    )
    to_subject = np.where(must.ravel(), never, np.where(may.ravel(), to_subject, 0))
    to_background = np.where(must.ravel(), 0, np.where(may.ravel(), to_background, never))
    source, sink, numbers = pixels, pixels + 1, np.arange(pixels)
    between = np.rint(UNITS * links.costs)
    rows = np.concatenate([links.ones, links.others, np.full(pixels, source), numbers])
    columns = np.concatenate([links.others, links.ones, numbers, np.full(pixels, sink)])
    capacities = np.concatenate([between, between, to_subject, to_background]).astype(np.int32)
    graph = sparse.csr_array((capacities, (rows, columns)), shape=(pixels + 2, pixels + 2))
    flow = csgraph.maximum_flow(sparse.csr_matrix(graph), source, sink).flow
    left = graph - flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(pixels + 2, bool)
    reached[csgraph.breadth_first_order(left, source, return_predecessors=False)] = True
    return reached[:pixels].reshape(must.shape)


def _near(colours: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return the pixels that are nearer to the seeds than to the edges, along paths through even colours."""
    ones, others, squares, lengths = _pairs(colours)
    steps = np.sqrt(squares) + DETOUR * lengths
    graph = sparse.csr_matrix((steps, (ones, others)), shape=(seeds.size, seeds.size))
    edge = np.ones(seeds.shape, bool)
    edge[1:-1, 1:-1] = False
    distances = [
        csgraph.dijkstra(graph, directed=False, indices=np.flatnonzero(chosen), min_only=True)
        for chosen in (seeds, edge & ~seeds)
    ]
    return (distances[0] < distances[1]).reshape(seeds.shape)
