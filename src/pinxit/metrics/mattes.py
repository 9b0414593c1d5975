"""Metrics of mattes, and of the colours of what they cut out.

The first four are those of Rhemann et al., 2009, "A Perceptually Motivated Online Benchmark for Image Matting": mattes
are (H, W) in [0, 1], the true one second. `where` (H, W) bool says which pixels count: the whole matte, or the unknown
part of a trimap. SAD, the gradient error and the connectivity error are sums divided by 1000, as everybody prints them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.ndimage import correlate1d, label

from pinxit.colour import encoded, linear

SIGMA, CUTOFF = 1.4, 1e-2
"""Of the gradient: standard deviation of the Gaussian in pixels, and where its tails are cut."""
STEP, LEAST = 0.1, 0.15
"""Of the connectivity: between thresholds, and the least distance that counts."""
BACKDROPS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0, 0.0))
"""Black, white and green."""
BAND = (0.02, 0.98)
"""Mattes between these are the edge."""


def sad(matte: np.ndarray, true: np.ndarray, where: np.ndarray | None = None) -> float:
    """Return the sum of absolute differences, in thousands."""
    return float(_of(np.abs(_double(matte) - true), where).sum() / 1000)


def mse(matte: np.ndarray, true: np.ndarray, where: np.ndarray | None = None) -> float:
    """Return the mean of squared differences."""
    return float(_of((_double(matte) - true) ** 2, where).mean())


def gradient_error(matte: np.ndarray, true: np.ndarray, where: np.ndarray | None = None) -> float:
    """Return the sum of squared differences of the gradients' magnitudes, in thousands.

    Gradients are convolutions with the first derivatives of a Gaussian, of unit norm; edges are repeated.
    """
    return float(_of((_steepness(matte) - _steepness(true)) ** 2, where).sum() / 1000)


def connectivity_error(matte: np.ndarray, true: np.ndarray, where: np.ndarray | None = None) -> float:
    """Return the sum of differences in how well pixels hang together with the subject, in thousands.

    A pixel's level is the largest threshold up to which it belongs to the largest part, connected by edges, in which
    both mattes reach it. What a matte exceeds that by counts if it is at least `LEAST`.
    """
    thresholds = np.arange(0, 1 + STEP / 2, STEP)
    level = np.full(true.shape, -1.0)
    for before, threshold in pairwise(thresholds):
        joined = _largest((matte >= threshold) & (true >= threshold))
        level[(level == -1) & ~joined] = before
    level[level == -1] = 1
    held = [1 - apart * (apart >= LEAST) for apart in (_double(matte) - level, _double(true) - level)]
    return float(_of(np.abs(held[0] - held[1]), where).sum() / 1000)


MATTES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]] = {
    "sad": sad,
    "mse": mse,
    "gradient": gradient_error,
    "connectivity": connectivity_error,
}
"""The metrics of mattes by name; for each, smaller is better."""


def colour_error(colours: np.ndarray, true: np.ndarray, matte: np.ndarray) -> float:
    """Return the mean absolute difference of a subject's colours (H, W, C) sRGB at its edge, weighed by the matte."""
    edge = _edge(matte)
    apart = np.abs(_double(colours) - true).mean(axis=2)
    return float((matte * apart)[edge].sum() / matte[edge].sum())


def halo_index(colours: np.ndarray, true: np.ndarray, matte: np.ndarray) -> float:
    """Return the mean absolute difference at the edge after composing on black, white and green, in linear light.

    `colours` and `true` are the subject's, (H, W, C) sRGB in [0, 1]; both are composed with the same matte.
    """
    edge, share = _edge(matte), _double(matte)[..., None]

    def composed(subject: np.ndarray, backdrop: tuple[float, ...]) -> np.ndarray:
        values: np.ndarray = encoded(share * linear(_double(subject)) + (1 - share) * np.array(backdrop))
        return values

    apart = [np.abs(composed(colours, backdrop) - composed(true, backdrop))[edge].mean() for backdrop in BACKDROPS]
    return float(np.mean(apart))


def _edge(matte: np.ndarray) -> np.ndarray:
    edge: np.ndarray = (matte > BAND[0]) & (matte < BAND[1])
    return edge


def _double(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64)


def _of(values: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    return values if where is None else values[where]


def _steepness(matte: np.ndarray) -> np.ndarray:
    reach = math.ceil(SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * SIGMA * CUTOFF)))
    places = np.arange(-reach, reach + 1)
    bell = np.exp(-(places**2) / (2 * SIGMA**2)) / (SIGMA * math.sqrt(2 * math.pi))
    slope = -places * bell / SIGMA**2
    norm = math.sqrt((bell**2).sum() * (slope**2).sum())
    ways = (
        correlate1d(correlate1d(_double(matte), bell, axis, mode="nearest"), slope / norm, 1 - axis, mode="nearest")
        for axis in (0, 1)
    )
    steepness: np.ndarray = np.hypot(*ways)
    return steepness


def _largest(chosen: np.ndarray) -> np.ndarray:
    parts, count = label(chosen)
    if not count:
        return chosen
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest: np.ndarray = parts == sizes.argmax()
    return largest
