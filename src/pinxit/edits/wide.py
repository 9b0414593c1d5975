"""Wide holes: completed with pieces of the picture; a network fills what is narrow, and both are blended in between."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import find_objects, label, maximum_filter, minimum_filter
from torch import Tensor

from pinxit.edits.bound import Bound, Padding, Room
from pinxit.edits.mask import light_of, rounded, sixteen_bit, unit
from pinxit.edits.montage import completed
from pinxit.edits.restore import RIM, Fill, deep_bands
from pinxit.edits.tiles import Box
from pinxit.errors import UsageError
from pinxit.images import Picture

NARROW, WIDE, STEP = 10, 16, 3
"""Widths in pixels up to which the network fills a hole alone, and from which pieces do; blended in steps between."""
BLOCK = 8
"""Pixels of a side of the cells in which wide holes are looked for."""
CONTEXT = 192
"""Pixels around a hole, at least, from which pieces are taken; as many as the hole is long, if that is more."""
BYTES, COARSE = 150, 120_000_000
"""Memory of completing a window: bytes for each of its pixels, and for the coarsest size at most."""


class Window(NamedTuple):
    """A part of the picture, and the box in it around the holes that are completed there."""

    whole: Box
    holes: Box


class Completed(Fill):
    """Fills wide holes with pieces of the picture, and the rest by the network.

    `source` is where pieces may be taken from, white there; it has the size of the picture without padding.
    `keep_lines` continues straight edges. `seed` is that of the order in which offsets are tried.
    """

    def __init__(
        self,
        restorer: Bound,
        device: str,
        *,
        source: Picture | None = None,
        keep_lines: bool = False,
        seed: int = 0,
        margin: float = 0.0,
        fade: float = 0.0,
        padding: Padding = Bound.padding,
    ) -> None:
        super().__init__(restorer, device, margin=margin, fade=fade, padding=padding)
        self.source, self.keep_lines, self.seed = source, keep_lines, seed

    def room_to_prepare(self, pixels: np.ndarray, area: np.ndarray | None) -> Room:
        """Return the memory of the largest window, or of a smooth fill where nothing can be copied."""
        smooth = super().room_to_prepare(pixels, area)
        windows = [] if area is None else windows_of(area, everywhere=self.source is not None)
        if area is None or not windows:
            return smooth
        kept = (pixels.shape[2] * max(pixels.itemsize, 2) + 2) * area.size
        largest = max(window.whole.size[0] * window.whole.size[1] for window in windows)
        return Room(max(kept + BYTES * largest + min(COARSE, 8 * BYTES * largest), kept + smooth.most), kept)

    def prepared(
        self, pixels: np.ndarray, area: np.ndarray | None, memory: int | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture with wide holes completed, and the share of the network in each pixel, in [0, 1]."""
        windows = [] if area is None or area.all() else windows_of(area, everywhere=self.source is not None)
        if area is None or not windows:
            return super().prepared(pixels, area, memory)
        allowed = self._allowed(area.shape)
        fine, share = np.array(sixteen_bit(pixels)), (area != 0).astype(np.float16)
        for window in windows:
            self._complete(pixels, area, allowed, window, fine, share)
        if not any(deep.any() for _, deep in deep_bands(share)):
            return fine, share
        fine, rims = super().prepared(fine, share, memory)  # nothing could be copied there
        return fine, share * rims

    def _complete(
        self,
        pixels: np.ndarray,
        area: np.ndarray,
        allowed: np.ndarray | None,
        window: Window,
        fine: np.ndarray,
        share: np.ndarray,
    ) -> None:
        """Complete the wide holes of a window, in place."""
        part, inner = window.whole, window.holes.inside(window.whole)
        hole = part.of(area) != 0
        good = ~hole if allowed is None else part.of(allowed) & ~hole
        rng = np.random.default_rng(self.seed)
        found = completed(unit(part.of(pixels)), hole, good, rng, keep_lines=self.keep_lines)
        if found is None:
            return
        filled, left = found
        narrow = narrowness(hole)
        narrow[minimum_filter(hole, 2 * RIM + 1, mode="constant", cval=1)] = 0
        narrow[left] = 1
        mine = inner.of(hole) & inner.of(holes_with_wide_parts(hole))
        window.holes.of(fine)[mine] = rounded(inner.of(filled)[mine], fine.dtype)
        window.holes.of(share)[mine] = inner.of(narrow)[mine]

    def _allowed(self, size: tuple[int, ...]) -> np.ndarray | None:
        """Return where pieces may be taken from, in the padded picture; None for everywhere."""
        if self.source is None:
            return None
        (top, bottom), (left, right) = self.padding
        light = light_of(self.source.pixels) >= 0.5
        if (light.shape[0] + top + bottom, light.shape[1] + left + right) != size:
            there = f"{light.shape[1]} x {light.shape[0]}"
            here = f"{size[1] - left - right} x {size[0] - top - bottom}"
            raise UsageError(f"--source has {there} pixels and the picture {here}; the sizes must be the same")
        return np.pad(light, self.padding)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture with what is narrow filled by the network, as far as the mask says."""
        filled = super().run(image, mask)
        return filled if mask is None else image.lerp(filled, mask)


def narrowness(hole: np.ndarray) -> np.ndarray:
    """Return the share of the network, (H, W) float16: 1 where a hole is narrow, 0 where it is wide.

    The width of a hole at a pixel is the side of the largest square in the hole that covers the pixel.
    """
    widths = range(NARROW, WIDE + 1, STEP)
    fits = sum(opened(hole, side).astype(np.float16) for side in widths)
    return np.asarray(hole * (1 - fits / len(widths)), np.float16)


def opened(hole: np.ndarray, side: int) -> np.ndarray:
    """Return the pixels of a hole that squares of this side in the hole cover; the picture is mirrored at its edges."""
    wide = np.pad(hole, side, mode="symmetric")
    covered = maximum_filter(minimum_filter(wide, side), side, origin=-1 if side % 2 == 0 else 0)
    return np.asarray(covered[side:-side, side:-side])


def holes_with_wide_parts(hole: np.ndarray) -> np.ndarray:
    """Return the connected holes in which a square of `NARROW` pixels fits."""
    names, count = label(hole, np.ones((3, 3)))
    wide = np.zeros(count + 1, bool)
    wide[names[opened(hole, NARROW)]] = True
    wide[0] = False
    return np.asarray(wide[names])


def windows_of(area: np.ndarray, everywhere: bool) -> list[Window]:
    """Return the windows in which wide holes are completed; their boxes of holes do not overlap.

    `everywhere`: pieces may come from the whole picture.
    """
    cells = tuple(-(-side // BLOCK) for side in area.shape)
    holes, wide = np.zeros(cells, bool), np.zeros(cells, bool)
    for band, deep in deep_bands(area, NARROW // 2 - 1):
        rows = slice(band.start // BLOCK, band.start // BLOCK + -(-len(deep) // BLOCK))
        holes[rows], wide[rows] = in_cells(area[band] != 0), in_cells(deep)
    if not wide.any():
        return []
    boxes = [(part[0].start, part[1].start, part[0].stop, part[1].stop) for part in grouped(holes, wide)]
    picture = Box(0, 0, *area.shape)
    windows = []
    for top, left, bottom, right in boxes:
        box = Box(top * BLOCK, left * BLOCK, min(bottom * BLOCK, picture.bottom), min(right * BLOCK, picture.right))
        windows.append(Window(picture if everywhere else box.with_halo(max(CONTEXT, *box.size), picture), box))
    return windows


def grouped(holes: np.ndarray, wide: np.ndarray) -> list[tuple[slice, slice]]:
    """Return the boxes of cells around connected holes with wide parts; boxes that overlap become one."""
    names, count = label(holes, np.ones((3, 3)))
    keep = np.zeros(count + 1, bool)
    keep[names[wide]] = True
    joined = keep[names] & holes
    while True:
        boxes = find_objects(label(joined, np.ones((3, 3)))[0])
        before = joined.sum()
        for box in boxes:
            joined[box] = True
        if joined.sum() == before:
            return boxes


def in_cells(plane: np.ndarray) -> np.ndarray:
    """Return which cells of `BLOCK` x `BLOCK` pixels have any pixel of a plane (H, W) bool."""
    plane = np.pad(plane, tuple((0, -side % BLOCK) for side in plane.shape))
    return np.asarray(plane.reshape(len(plane) // BLOCK, BLOCK, -1, BLOCK).any(axis=(1, 3)))


def read_source(path: Path | None) -> Picture | None:
    """Return the picture that says where pieces may be taken from; it is understood as a drawn mask."""
    from pinxit.edits.drawn import understood
    from pinxit.images import load_picture

    return None if path is None else understood(load_picture(path))[0]
