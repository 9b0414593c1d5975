"""Results of any size, tile by tile: which of their pixels lie in a tile, and their values from an enlargement."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pinxit.edits.tiles import Box

REACH = 3
"""Pixels of the picture, at most, that a resampled value reaches further than those of the enlargement it is from."""


def placed(part: Box, size: tuple[int, int], result: tuple[int, int]) -> Box:
    """Return the pixels of a result whose centres lie in a part of a picture; `size` and `result` are (H, W)."""
    (top, left), (bottom, right) = (
        [-(-(2 * edge * to - length) // (2 * length)) for edge, length, to in zip(edges, size, result, strict=True)]
        for edges in ((part.top, part.left), (part.bottom, part.right))
    )
    return Box(top, left, bottom, right)


def repeated(plane: np.ndarray, size: tuple[int, int], part: Box | None = None) -> np.ndarray:
    """Return a plane (H, W) at a larger size by the nearest pixel, or a part of that."""
    part = part or Box(0, 0, *size)
    spans = (part.top, part.bottom), (part.left, part.right)
    rows, columns = (
        (2 * np.arange(*span) + 1) * length // (2 * to)
        for span, length, to in zip(spans, plane.shape, size, strict=True)
    )
    return plane[rows[:, None], columns]


def resampled(
    values: Tensor, start: tuple[int, int], source: tuple[int, int], part: Box, size: tuple[int, int]
) -> Tensor:
    """Return a part of a picture (C, H, W) resampled to `size`, clipped to [0, 1]: bicubic, antialiased when reduced.

    `values` are a window of the picture of size `source`; its first pixel is `start`. Every value is the same sum in
    the same order, whatever the window, so tiles equal the whole.
    """
    spans = (part.top, part.bottom), (part.left, part.right)
    for axis, (span, first, length, to) in enumerate(zip(spans, start, source, size, strict=True), start=1):
        places, weights = _taps(span, length, to)
        inside = torch.from_numpy((places - first).clip(0, values.shape[axis] - 1)).to(values.device)
        shares = torch.from_numpy(weights.astype(np.float32)).to(values.device)
        shape = (-1, 1) if axis == 1 else (1, -1)
        total = torch.zeros(())
        for tap in range(inside.shape[1]):
            total = total + values.index_select(axis, inside[:, tap]) * shares[:, tap].reshape(shape)
        values = total
    return values.clamp(0, 1)


def _taps(span: tuple[int, int], length: int, to: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source pixels of each pixel of a span, (n, taps), and their weights (Keys, 1981, with a = -0.5)."""
    ratio = length / to
    width = max(ratio, 1.0)
    centres = (np.arange(*span)[:, None] + 0.5) * ratio
    places = np.floor(centres - 2 * width).astype(np.int64) + np.arange(math.ceil(4 * width) + 2)
    far = np.abs((places + 0.5 - centres) / width)
    near = (1.5 * far - 2.5) * far**2 + 1
    weights = np.where(far < 1, near, np.where(far < 2, ((-0.5 * far + 2.5) * far - 4) * far + 2, 0.0))
    weights[(places < 0) | (places >= length)] = 0
    return places.clip(0, length - 1), weights / weights.sum(axis=1, keepdims=True)
