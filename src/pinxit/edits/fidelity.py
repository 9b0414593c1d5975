"""How true an enlarged picture is to the one it was made from: the dial that brings it there, and the map of the rest.

Both make the enlarged picture small again as MATLAB's imresize does, bicubic and antialiased, and compare.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pinxit.degradations import resize_bicubic
from pinxit.edits.bound import Bound
from pinxit.edits.mask import unit
from pinxit.edits.tiles import SIDE, Box, cut
from pinxit.errors import UsageError
from pinxit.images import Picture

ROUNDS = 6
REACH = 3 * ROUNDS + 1  # in pixels of the small picture: `down` and `up` look 2 away, one after the other 3
HOTTEST = 0.05


class Faithful(Bound):
    """An edit that enlarges, and iterative back-projection (Irani and Peleg, 1991) of what it gives.

    x <- x + up(y - down(x)) brings x near a picture whose `down` is y; `fidelity` in [0, 1] is how much of the way.
    Differs from the paper: `up` is bicubic interpolation, one picture is all there is, and six rounds are enough.
    """

    def __init__(self, enlarging: Bound, fidelity: float) -> None:
        self.enlarging, self.fidelity = enlarging, fidelity
        self.radius = None if enlarging.radius is None else enlarging.radius + REACH
        self.stride, self.scale, self.weights = enlarging.stride, enlarging.scale, enlarging.weights
        self.bytes_per_pixel = enlarging.bytes_per_pixel

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the enlarged picture, (C, H scale, W scale), in [0, 1]."""
        enlarged = faithful = self.enlarging.run(image, mask)
        small, large = ((high, wide) for _, high, wide in (image.shape, enlarged.shape))
        for _ in range(ROUNDS):
            faithful = faithful + resize_bicubic(image - resize_bicubic(faithful, small), large)
        return enlarged.lerp(faithful, self.fidelity).clamp(0, 1)


def disagreement(before: Picture, after: Picture) -> np.ndarray:
    """Return how far a result, made as small as its picture, is from it: (H, W) in [0, 1], the most of its colours.

    So it tells where detail was invented that the picture speaks against. What is fully transparent agrees.
    `UsageError` if the result is not a whole number of times as large.
    """
    size = before.pixels.shape[:2]
    scale = after.pixels.shape[0] // size[0]
    if after.pixels.shape[:2] != (size[0] * scale, size[1] * scale):
        raise UsageError("a map shows edits that keep the size or enlarge the whole picture")
    whole, found = Box(0, 0, *size), np.empty(size, np.float32)
    for tile in cut(whole, SIDE, stride=1):
        window = tile.with_halo(2, whole)  # as far as `down` looks
        large = torch.from_numpy(unit(window.of(after.pixels, scale)[..., :3])).permute(2, 0, 1)
        small = tile.inside(window).of(resize_bicubic(large, window.size).permute(1, 2, 0)).numpy()
        tile.of(found)[:] = np.abs(small - unit(tile.of(before.pixels)[..., :3])).max(axis=2)
    if before.pixels.shape[2] == 4:
        found[before.pixels[..., 3] == 0] = 0
    return found.clip(0, 1)


def heat(values: np.ndarray) -> np.ndarray:
    """Return (H, W) as colours (H, W, 3) uint8: black for 0, through red, to bright yellow from `HOTTEST` on."""
    from matplotlib import colormaps  # here, for an edit without a map goes without it

    colours: np.ndarray = colormaps["inferno"](values / HOTTEST, bytes=True)[..., :3]
    return colours
