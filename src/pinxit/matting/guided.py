"""A matte found at a smaller size brought to a picture's own size, where the colours say how its details lie.

The fast guided filter (He and Sun, 2015, from He, Sun and Tang, 2010): in windows of the small picture the matte is an
affine function of the colours; the functions are enlarged, and applied to the large picture's colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter

RADIUS, EPS = 2, 1e-5


def functions(colours: np.ndarray, matte: np.ndarray, radius: int = RADIUS, eps: float = EPS) -> np.ndarray:
    """Return the affine functions around each pixel, (C + 1, H, W) float32: a weight for each colour, and a constant.

    `colours` are (H, W, C), `matte` is (H, W), both in [0, 1]. `eps` weighs against steep functions.
    """
    side, channels = 2 * radius + 1, colours.shape[2]

    def mean(planes: np.ndarray) -> np.ndarray:
        return np.stack([uniform_filter(plane, side, mode="nearest") for plane in np.moveaxis(planes, 2, 0)], axis=2)

    given = np.asarray(colours, np.float64)
    share = np.asarray(matte, np.float64)[..., None]
    centre, level = mean(given), mean(share)
    products = (given[..., :, None] * given[..., None, :]).reshape(*share.shape[:2], -1)
    spread = mean(products).reshape(*share.shape[:2], channels, channels) - centre[..., :, None] * centre[..., None, :]
    with_matte = mean(given * share) - centre * level
    slopes = np.linalg.solve(spread + eps * np.eye(channels), with_matte[..., None])[..., 0]
    constant = level - (slopes * centre).sum(axis=2, keepdims=True)
    return np.moveaxis(mean(np.concatenate([slopes, constant], axis=2)), 2, 0).astype(np.float32)


def applied(found: np.ndarray, colours: np.ndarray, rows: slice, size: Sequence[int]) -> np.ndarray:
    """Return the matte of some rows of a picture of `size` = (H, W): enlarged functions of their colours (n, W, C)."""
    down, across = (_between(np.arange(length), length, to) for length, to in zip(size, found.shape[1:], strict=True))
    low, high, share = (part[rows, None] for part in down)
    lines = found[:, low[:, 0]] * (1 - share) + found[:, high[:, 0]] * share
    left, right, share = across
    planes = lines[..., left] * (1 - share) + lines[..., right] * share
    matte: np.ndarray = (planes[:-1] * np.moveaxis(colours, 2, 0)).sum(axis=0) + planes[-1]
    return matte.clip(0, 1)


def _between(places: np.ndarray, length: int, to: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two pixels of a side of `to` pixels that lie around each place of one of `length`, and the share."""
    exact = ((places + 0.5) * to / length - 0.5).clip(0, to - 1)
    low = exact.astype(int)
    return low, np.minimum(low + 1, to - 1), (exact - low).astype(np.float32)
