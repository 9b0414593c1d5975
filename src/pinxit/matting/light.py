"""The light of a scene: how a subject would look in another one's, and the shadows that lie on a background.

All colours are linear light. The light of a scene is taken for the mean of its colours (grey world; Buchsbaum, 1980),
so that brightness and tint both follow.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from pinxit.images import resize

FURTHEST = 3.0
"""Light changes by at most this factor, and at least by its inverse."""
SIDE = 128
"""Pixels of the longer side at which a background is looked at for its shadows."""
WIDE, PEAK = 0.15, 8
"""Standard deviation of what counts as near, as a share of the longer side; the power of a mean near the top."""
EVEN = 0.93
"""Down to this share of the background's light there is no shadow, but texture and noise."""


def gain(old: np.ndarray, weights: np.ndarray, new: np.ndarray, amount: float) -> np.ndarray:
    """Return the factors (C,) that bring colours (n, C), each with a weight (n,), into the light of others (m, C).

    `amount` in [0, 1] is how far, in the logarithm.
    """
    before = (old * weights[:, None]).sum(axis=0) / max(weights.sum(), 1e-6)
    ratio = np.maximum(new.mean(axis=0), 1e-3) / np.maximum(before, 1e-3)
    factors: np.ndarray = ratio.clip(1 / FURTHEST, FURTHEST) ** amount
    return factors.astype(np.float32)


def level(brightness: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return how bright a background would be without shadows, (H, W) float32: nearly the brightest around.

    `brightness` (H, W) is its light, and counts by the share of the background in each pixel, (H, W).
    """
    ratio = min(1.0, SIDE / max(brightness.shape))
    size = tuple(max(1, round(side * ratio)) for side in brightness.shape)
    sigma = WIDE * max(size)
    share, light = (resize(plane[..., None], (size[0], size[1]))[..., 0] for plane in (background, brightness))
    share = share.clip(0, 1) ** 2 + np.float32(1e-4)
    peaks = gaussian_filter(share * light.clip(1e-4) ** PEAK, sigma, mode="nearest")
    top = (peaks / gaussian_filter(share, sigma, mode="nearest")) ** (1 / PEAK)
    return resize(top[..., None].astype(np.float32), (brightness.shape[0], brightness.shape[1]))[..., 0]


def shade(brightness: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Return what shadows leave of the light, (H, W) in [0, 1], by a background's brightness and its `level`."""
    left: np.ndarray = (brightness / np.maximum(clear * EVEN, 1e-4)).clip(0, 1)
    return left.astype(np.float32)
