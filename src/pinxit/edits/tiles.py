"""Pictures cut into tiles that leave no seams in the result, as large as memory allows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pinxit.edits.bound import Bound
from pinxit.nets.peak import Peak

MEMORY = 1 << 30  # bytes for a tile, if no limit is given
SIDE = 256  # pixels of a tile that memory does not limit
HALOS = 16  # a tile's side is at least this many halos; computing the context twice is then 27 % of the work
TRIAL = 64
MARGIN = 1.6  # factor for memory inside operations, not held by tensors: 1.54 for 3 x 3 convolutions of 32 channels

Plane = TypeVar("Plane", np.ndarray, Tensor)


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels; `bottom` and `right` are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def of(self, plane: Plane, scale: int = 1) -> Plane:
        """Return this part of (H, W, ...), or the corresponding part of a picture `scale` times as large."""
        return plane[self.top * scale : self.bottom * scale, self.left * scale : self.right * scale]

    def with_halo(self, halo: int, picture: Box) -> Box:
        """Return the part with `halo` more pixels on every side, as far as the picture has them."""
        top, left = max(picture.top, self.top - halo), max(picture.left, self.left - halo)
        return Box(top, left, min(picture.bottom, self.bottom + halo), min(picture.right, self.right + halo))

    def inside(self, window: Box) -> Box:
        """Return the part in the coordinates of a window around it."""
        top, left = self.top - window.top, self.left - window.left
        return Box(top, left, top + self.size[0], left + self.size[1])


def halo_of(bound: Bound) -> int:
    """Return the pixels of context around a tile: the radius, rounded up to a multiple of the stride."""
    return _multiple(bound.radius or 0, bound.stride)


def cut(picture: Box, side: int, stride: int) -> Iterator[Box]:
    """Yield the tiles of a picture, of about equal size, at most `side` wide and high, on multiples of `stride`."""
    high, wide = (_multiple(math.ceil(length / math.ceil(length / side)), stride) for length in picture.size)
    for top in range(0, picture.bottom, high):
        for left in range(0, picture.right, wide):
            yield Box(top, left, min(top + high, picture.bottom), min(left + wide, picture.right))


def side_for(bound: Bound, pixel: float, memory: int) -> int:
    """Return the side of tiles, a multiple of the stride: no larger than is fast, 0 if none fits.

    `pixel` is the memory of a run for each pixel, `memory` its limit, both in bytes.
    """
    halo, stride = halo_of(bound), bound.stride
    fits = math.isqrt(max(0, int(memory / pixel))) - 2 * halo
    return max(0, min(fits, _multiple(max(SIDE, HALOS * halo), stride)) // stride * stride)


def bytes_per_pixel(bound: Bound, channels: int, masked: bool, device: str) -> float:
    """Return the peak memory of a run for each pixel, in bytes: as the edit states it, or measured on a small tile."""
    ends = 4 * channels * (2 + 3 * bound.scale**2)  # tile and result, with the engine's own copies
    if bound.bytes_per_pixel:
        return MARGIN * bound.bytes_per_pixel + ends
    side = _multiple(TRIAL, bound.stride)
    image = torch.full((channels, side, side), 0.5, device=device)
    mask = torch.ones(1, side, side, device=device) if masked else None
    with torch.no_grad(), Peak() as peak:
        bound.run(image, mask)
    return MARGIN * peak.most / side**2 + ends


def _multiple(length: int, stride: int) -> int:
    return math.ceil(length / stride) * stride
