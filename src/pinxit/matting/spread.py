"""Values spread from where they are known to pixels of like lightness (Levin, Lischinski and Weiss, 2004).

"Colorization using optimization": a pixel's value is to be the weighted mean of its neighbours', and neighbours of like
lightness weigh more (eq. 1 and 2). Differs from the paper: the weight of two neighbours is the same in both directions,
with the mean of their windows' variances, so that the system is symmetric and conjugate gradients solve it; it is no
less than `LEAST`, so that every pixel is reached; and values may be pulled towards 0.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.ndimage import uniform_filter

from pinxit.matting.closed_form import solved

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""From a pixel to half of its eight neighbours; the other half see it as theirs."""
VARIANCE, FLOOR, LEAST = 0.6, 4e-5, 1e-3
"""Of lightness in [0, 1]: the share and the least value of a window's variance, and the least weight of neighbours."""
BYTES = 900
"""Bytes for each pixel that spreading takes at most."""


def spread(light: np.ndarray, values: np.ndarray, known: np.ndarray, pull: float = 0.0) -> np.ndarray:
    """Return values (H, W, C) float64 at every pixel, those of `values` where they are `known` (H, W) bool.

    `light` (H, W) is lightness in [0, 1]. `pull` is the weight of a value's square against that of its difference from
    a like neighbour: larger lets values reach less far.
    """
    result = np.where(known[..., None], values, 0).astype(np.float64)
    unknown = ~known.ravel()
    if not known.any() or known.all():
        return result
    rows = _laplacian(np.asarray(light, np.float64))[unknown]
    system = (rows[:, unknown] + sparse.diags_array(np.full(unknown.sum(), float(pull)))).tocsr()
    places, flat = np.argwhere(~known), result.reshape(known.size, -1)
    for channel in range(flat.shape[1]):
        flat[unknown, channel] = solved(system, -(rows @ flat[:, channel]), places)
    return result


def settled(light: np.ndarray, values: np.ndarray, hold: float) -> np.ndarray:
    """Return values (H, W, C) float64 made even among neighbours of like lightness (H, W), in [0, 1].

    `hold` is the weight of a value's squared change against that of its difference from a like neighbour.
    """
    system = (_laplacian(np.asarray(light, np.float64)) + hold * sparse.eye_array(light.size)).tocsr()
    places = np.argwhere(np.ones(light.shape, bool))
    planes = [solved(system, hold * plane.ravel(), places) for plane in np.moveaxis(values, 2, 0)]
    return np.stack(planes, axis=1).reshape(values.shape)


def _laplacian(light: np.ndarray) -> sparse.csr_array:
    """Return the sum of the weights of each pixel's neighbours on the diagonal, less the weights, (HW, HW)."""
    high, wide = light.shape
    mean, square = (uniform_filter(plane, 3, mode="nearest") for plane in (light, light**2))
    scale = np.maximum(VARIANCE * (square - mean**2), FLOOR)
    numbers = np.arange(light.size).reshape(high, wide)
    ones, others, weights = [], [], []
    for down, right in STEPS:
        here = slice(0, high - down), slice(max(0, -right), wide - max(0, right))
        there = slice(down, high), slice(max(0, right), wide - max(0, -right))
        weight = np.exp(-((light[here] - light[there]) ** 2) / (scale[here] + scale[there])).clip(LEAST)
        ones.append(numbers[here].ravel())
        others.append(numbers[there].ravel())
        weights.append(weight.ravel())
    one, other, weight = (np.concatenate(parts) for parts in (ones, others, weights))
    total = (np.bincount(one, weight, light.size) + np.bincount(other, weight, light.size)).astype(np.float64)
    half = sparse.coo_array((weight, (one, other)), shape=(light.size, light.size))
    return (sparse.diags_array(total) - half - half.T).tocsr()
