"""Films without flicker: a result is averaged over time wherever its frames do not change.

An edit of each frame alone reacts to the noise in that frame, and to motion elsewhere in it. The average removes this
flicker; pixels that did change keep their own result, so nothing leaves a ghost.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter

from pinxit.edits.mask import rounded, unit
from pinxit.errors import UsageError
from pinxit.images import Picture, load_picture, resize

WINDOW = 5
REGION, PIXEL = 10 / 255, 24 / 255
"""Differences from which earlier frames have no weight: of a window's mean, and of a single pixel."""


class Deflicker:
    """The memory of one film: running means of its frames and of their results, with the same weights.

    `amount` in [0, 1) is the weight of the earlier frames where a frame equals their mean. The weight falls linearly
    from half of `REGION` and `PIXEL` to 0 at the whole. Even in a slow fade, a result therefore mixes only frames that
    differ by less than these. A cut, or a frame of another size, starts the means again.
    """

    def __init__(self, amount: float) -> None:
        self.amount = amount
        self.means: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the means hold."""
        return sum(mean.nbytes for mean in self.means or ())

    def smooth(self, frame: Picture, result: Picture) -> Picture:
        """Return the next frame's result averaged with the earlier ones; alpha and unedited pixels stay as they are.

        `UsageError` if the result's size is not a whole multiple of the frame's.
        """
        before, after = unit(frame.pixels), unit(result.pixels)
        scale = after.shape[0] // before.shape[0]
        if after.shape[:2] != (before.shape[0] * scale, before.shape[1] * scale):
            raise UsageError("--steady needs edits that keep the size or enlarge the whole picture; use --steady 0")
        if self.means is None or [mean.shape for mean in self.means] != [before.shape, after.shape]:
            self.means = before, after
            return result
        mean_frame, mean_result = self.means
        share = self.amount * similarity(before, mean_frame)[..., None]
        mean_frame = before + share * (mean_frame - before)
        mean_result = after + resize(share, after.shape[:2]) * (mean_result - after)
        mean_result[..., 3:] = after[..., 3:]
        kept = _kept(frame, result)
        mean_result[kept] = after[kept]
        self.means = mean_frame, mean_result
        return replace(result, pixels=rounded(mean_result, result.pixels.dtype))


class FrameFiles:
    """A film whose frames are files, edited in order, perhaps by several processes one after the other."""

    def __init__(self, amount: float) -> None:
        self.memory = Deflicker(amount)
        self.newest: Path | None = None

    def memory_for(self, frame: Path, before: tuple[Path, Path] | None) -> Deflicker:
        """Return the memory with which to edit a frame.

        `before` holds the frame before it and its result; None for the first frame, or if that frame failed. If another
        process made that result, the memory starts again from these two files.
        """
        if before and before[0] != self.newest:
            self.memory = Deflicker(self.memory.amount)
            self.memory.smooth(*map(load_picture, before))
        self.newest = frame
        return self.memory


def similarity(frame: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return how similar two pictures (H, W, C) in [0, 1] are at and around each pixel, (H, W) float32 in [0, 1]."""
    far = np.abs(frame - mean).max(axis=2)
    around = uniform_filter(far, WINDOW, mode="nearest")
    near: np.ndarray = 2 - 2 * np.maximum(far / np.float32(PIXEL), around / np.float32(REGION))
    return near.clip(0, 1)


def _kept(frame: Picture, result: Picture) -> np.ndarray:
    """Return where a result equals its frame bit for bit, or is fully transparent: (H, W) bool."""
    pixels = result.pixels
    kept = pixels[..., 3] == 0 if pixels.shape[2] == 4 else np.zeros(pixels.shape[:2], bool)
    return kept | (pixels == frame.pixels).all(axis=2) if pixels.shape == frame.pixels.shape else kept
