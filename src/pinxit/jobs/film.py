"""Frames that do not flicker: where a film's picture stays as it was, what is made of it does too.

An edit that is made of every frame alone makes something else of the noise in each, and of all that moves elsewhere.
So a result is averaged with those before it, but only where its frame shows what they showed, pixel by pixel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import uniform_filter

from pinxit.edits.mask import rounded, unit
from pinxit.errors import UsageError
from pinxit.images import Picture, resize

WINDOW = 5
REGION, PIXEL = 10 / 255, 24 / 255
"""From which difference on, in the mean of a window and in one pixel, nothing is left of what was before."""


class Steady:
    """A running mean of a film's results, and of its frames by the same weights: one film's memory.

    `amount` in [0, 1) is the share of what was before where the frame is near the mean frame; it falls from there, in a
    line from half of `REGION` and `PIXEL` on. As both means have equal weights, a result holds only what was made of
    frames that differ by less than that, however long a fade is. A cut, or another size, begins anew.
    """

    def __init__(self, amount: float) -> None:
        self.amount = amount
        self.means: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def held(self) -> int:
        """Bytes that the means hold."""
        return sum(mean.nbytes for mean in self.means or ())

    def follow(self, frame: Picture, result: Picture) -> Picture:
        """Return the next frame's result, averaged with those before it; alpha, and what is not edited, as they are.

        `UsageError` if a result is not a whole number of times as large as its frame.
        """
        before, after = unit(frame.pixels), unit(result.pixels)
        scale = after.shape[0] // before.shape[0]
        if after.shape[:2] != (before.shape[0] * scale, before.shape[1] * scale):
            raise UsageError(
                "--steady is for edits that keep the size or enlarge the whole picture; --steady 0 would do"
            )
        if self.means is None or [mean.shape for mean in self.means] != [before.shape, after.shape]:
            self.means = before, after
            return result
        mean_frame, mean_result = self.means
        share = self.amount * nearness(before, mean_frame)[..., None]
        mean_frame = before + share * (mean_frame - before)
        mean_result = after + resize(share, after.shape[:2]) * (mean_result - after)
        mean_result[..., 3:] = after[..., 3:]
        kept = _kept(frame, result)
        mean_result[kept] = after[kept]
        self.means = mean_frame, mean_result
        return replace(result, pixels=rounded(mean_result, result.pixels.dtype))


def nearness(frame: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return how near two pictures (H, W, C) in [0, 1] are at each pixel and around it, (H, W) float32 in [0, 1]."""
    far = np.abs(frame - mean).max(axis=2)
    around = uniform_filter(far, WINDOW, mode="nearest")
    near: np.ndarray = 2 - 2 * np.maximum(far / np.float32(PIXEL), around / np.float32(REGION))
    return near.clip(0, 1)


def _kept(frame: Picture, result: Picture) -> np.ndarray:
    """Return where a result is its frame, bit for bit, and where it is hidden: (H, W) bool."""
    pixels = result.pixels
    kept = pixels[..., 3] == 0 if pixels.shape[2] == 4 else np.zeros(pixels.shape[:2], bool)
    return kept | (pixels == frame.pixels).all(axis=2) if pixels.shape == frame.pixels.shape else kept
