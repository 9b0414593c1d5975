"""Pictures cut into tiles that cannot be seen in the result, as large as memory allows."""

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

MEMORY = 1 << 30  # of a tile, where no limit is given
SIDE = 256  # of a tile that memory does not limit, in pixels
HALOS = 16  # or, if that is more, in halos: context is computed twice, which is then 27 % of the work
TRIAL = 64
MARGIN = 1.6  # what operations hold inside, where tensors do not show it: 1.54 for 3 x 3 convolutions of 32 channels

Plane = TypeVar("Plane", np.ndarray, Tensor)


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels; `bottom` and `right` are the first that are no longer in it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def of(self, plane: Plane, scale: int = 1) -> Plane:
        """Return this part of (H, W, ...) or, of what is `scale` times larger, the part that belongs to it."""
        return plane[self.top * scale : self.bottom * scale, self.left * scale : self.right * scale]

    def with_halo(self, halo: int, picture: Box) -> Box:
        """Return the part with `halo` pixels more on every side where the picture has them."""
        top, left = max(picture.top, self.top - halo), max(picture.left, self.left - halo)
        return Box(top, left, min(picture.bottom, self.bottom + halo), min(picture.right, self.right + halo))

    def inside(self, window: Box) -> Box:
        """Return the part in the pixels of a window that holds it."""
        top, left = self.top - window.top, self.left - window.left
        return Box(top, left, top + self.size[0], left + self.size[1])


def halo_of(bound: Bound) -> int:
    """Return the pixels of context that a tile is given: the radius, up to a multiple of the stride."""
    return _multiple(bound.radius or 0, bound.stride)


def cut(picture: Box, side: int, stride: int) -> Iterator[Box]:
    """Yield the tiles of a picture, all of about one size, at most `side` wide and high, on multiples of `stride`."""
    high, wide = (_multiple(math.ceil(length / math.ceil(length / side)), stride) for length in picture.size)
    for top in range(0, picture.bottom, high):
        for left in range(0, picture.right, wide):
            yield Box(top, left, min(top + high, picture.bottom), min(left + wide, picture.right))


def side_for(bound: Bound, pixel: float, memory: int) -> int:
    """Return how wide and high tiles may be, a multiple of the stride: no larger than is fast, 0 if none fits.

    `pixel` is what a run holds for each pixel, `memory` what it may hold, both in bytes.
    """
    halo, stride = halo_of(bound), bound.stride
    fits = math.isqrt(max(0, int(memory / pixel))) - 2 * halo
    return max(0, min(fits, _multiple(max(SIDE, HALOS * halo), stride)) // stride * stride)


def bytes_per_pixel(bound: Bound, channels: int, masked: bool, device: str) -> float:
    """Return what a run holds at most at once for each pixel, in bytes: as it states, or measured on a small tile."""
    ends = 4 * channels * (2 + 3 * bound.scale**2)  # the tile and the result, with the engine's own copies
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
