"""Closed-form matting: the matte between known subject and known background (Levin, Lischinski and Weiss, 2008).

In each window of 3 x 3 pixels the matte is to be an affine function of the colours. What departs from that is a
quadratic form, a^T L a, with the matting Laplacian L (eq. 12). With the known pixels fixed, its minimum solves a sparse
system. Differs from the paper: colours are linear light, where a mixed pixel is a mixture; known pixels are
constraints, not penalties; the system is solved by conjugate gradients, preconditioned by a V-cycle over squares of
2 x 2 pixels, instead of directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

WINDOW = list(product(range(3), repeat=2))
EPS = 1e-6
"""Weight of the slopes of the affine functions: larger is smoother and stands more noise, smaller keeps finer hairs."""
CLOSE = 1e-4
"""The residual, as a share of the right side, at which the solver stops."""
ROUNDS = 400
COARSEST = 300
DAMPING = 0.9
CHUNK = 1 << 15
"""Windows that are looked at together."""
BYTES = 1200
"""Bytes for each pixel that solving takes at most."""


class Belief(NamedTuple):
    """What else is known of a matte: its values (H, W), and the weight of a squared difference from each."""

    share: np.ndarray
    weight: np.ndarray


def matte(colours: np.ndarray, known: np.ndarray, certain: np.ndarray, belief: Belief | None = None) -> np.ndarray:
    """Return the matte (H, W) float32 in [0, 1] of colours (H, W, C), linear light in [0, 1].

    `known` (H, W) in [0, 1] is the matte where `certain` (H, W) bool; at least one pixel must be certain.
    """
    result = np.where(certain, known, 0).astype(np.float64)
    if certain.all():
        return result.astype(np.float32)
    places = np.argwhere(~certain)
    rows = _rows(_stencil(np.asarray(colours, np.float64), ~certain), places)
    unknown, right = rows[:, np.flatnonzero(~certain)].tocsr(), -(rows @ result.ravel())
    if belief is not None:
        weight = belief.weight[~certain]
        unknown, right = (unknown + sparse.diags_array(weight)).tocsr(), right + weight * belief.share[~certain]
    solution = solved(unknown, right, places)
    result[~certain] = solution.clip(0, 1)
    return result.astype(np.float32)


def _stencil(colours: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the Laplacian as (5, 5, H, W): what a pixel has to do with those up to two rows and columns away.

    Only windows that hold a `wanted` pixel count: no others have to do with one.
    """
    high, wide, channels = colours.shape
    stencil = np.zeros((5, 5, high, wide))
    holding = np.any([wanted[y : high - 2 + y, x : wide - 2 + x] for y, x in WINDOW], axis=0)
    for rows, columns in _in_chunks(*np.nonzero(holding)):
        windows = np.stack([colours[rows + y, columns + x] for y, x in WINDOW], axis=1)
        centred = windows - windows.mean(axis=1, keepdims=True)
        spread = centred.swapaxes(1, 2) @ centred / 9 + EPS / 9 * np.eye(channels)
        shares = np.eye(9) - (1 + centred @ np.linalg.solve(spread, centred.swapaxes(1, 2))) / 9
        for (one, (y, x)), (other, (v, u)) in product(enumerate(WINDOW), repeat=2):
            stencil[v - y + 2, u - x + 2, rows + y, columns + x] += shares[:, one, other]
    return stencil


def _in_chunks(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK], columns[start : start + CHUNK]


def _rows(stencil: np.ndarray, places: np.ndarray) -> sparse.csr_array:
    """Return the Laplacian's rows of the pixels at `places` (n, 2), sparse, over all pixels."""
    high, wide = stencil.shape[2:]
    steps = np.array(list(product(range(-2, 3), repeat=2)))
    near = places[:, None] + steps
    inside = ((near >= 0) & (near < (high, wide))).all(axis=2)
    values = stencil.reshape(25, high, wide)[:, places[:, 0], places[:, 1]].T[inside]
    columns = (near[..., 0] * wide + near[..., 1])[inside]
    starts = np.concatenate([[0], inside.sum(axis=1).cumsum()])
    return sparse.csr_array((values, columns, starts), shape=(len(places), high * wide))


def solved(system: sparse.csr_array, right: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the solution of a positive definite system whose unknowns are pixels at `places` (n, 2)."""
    cycle = linalg.LinearOperator(system.shape, matvec=_cycle(system, places), dtype=np.float64)
    solution, _ = linalg.cg(system, right, rtol=CLOSE, maxiter=ROUNDS, M=cycle)
    return solution


def _cycle(system: sparse.csr_array, places: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a symmetric V-cycle that nearly solves a system: smoothing, and the same for squares of 2 x 2 pixels.

    The smoother divides by the sums of each row's absolute values, so that it always converges.
    """
    if len(places) <= COARSEST:
        return linalg.splu(sparse.csc_array(system)).solve
    squares, number = np.unique(places // 2, axis=0, return_inverse=True)
    gather = sparse.csr_array((np.ones(len(places)), number.ravel(), np.arange(len(places) + 1)))
    inner = _cycle((gather.T @ system @ gather).tocsr(), squares)
    step = DAMPING / abs(system).sum(axis=1)

    def cycle(right: np.ndarray) -> np.ndarray:
        guess = step * right
        guess = guess + step * (right - system @ guess)
        guess = guess + gather @ inner(gather.T @ (right - system @ guess))
        guess = guess + step * (right - system @ guess)
        return guess + step * (right - system @ guess)

    return cycle
