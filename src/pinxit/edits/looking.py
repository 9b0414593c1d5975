"""A picture of any size as a loss network sees it: in tiles, whose statistics and gradients add up to the whole's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.edits.tiles import Box, cut
from pinxit.losses.style import LossNetwork, moments, with_means

TILE, HALO, STRIDE = 640, 64, 16
SHIFT = 8

Edge = Literal["replicate", "circular"]


class Seen(NamedTuple):
    """What a network sees of a tile: Gram matrices, fine to coarse, and the content's map with how its places count."""

    grams: tuple[Tensor, ...]
    content: Tensor
    counts: Tensor | None


class Summary(NamedTuple):
    """What is known of a whole picture: Gram matrices, fine to coarse, and moments (1, C) of what tells content."""

    grams: tuple[Tensor, ...]
    mean: Tensor
    variance: Tensor


class Look:
    """How pictures of `size` are looked at. The first Gram matrix is of the colours; all are of channels and 1.

    `mask` (1, 1, H, W) in [0, 1] says how much each pixel counts, by default all the same. Tiles see `HALO` pixels of
    their surroundings, which is less than a network's receptive field: what lies further away tells next to nothing.
    """

    def __init__(
        self, network: LossNetwork, size: tuple[int, int], mask: Tensor | None = None, edge: Edge = "replicate"
    ) -> None:
        self.network, self.edge = network, edge
        self.mask = None if mask is None else self.framed(mask)
        frame = Box(0, 0, *(side + SHIFT for side in size))
        tiles = [(tile, tile.with_halo(HALO, frame)) for tile in cut(frame, TILE, STRIDE)]
        counts = [self._count(tile) for tile, _ in tiles]
        self.tiles = [tile for tile, count in zip(tiles, counts, strict=True) if count]
        self.shares = [count / sum(counts) for count in counts if count]

    def framed(self, image: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """Return a picture (1, C, H, W) with `SHIFT` pixels more, as many of them above and left as `shift` says."""
        down, right = shift
        if self.edge == "replicate":
            return F.pad(image, (right, SHIFT - right, down, SHIFT - down), mode="replicate")
        rows, columns = (
            (torch.arange(side + SHIFT, device=image.device) - before) % side
            for side, before in zip(image.shape[2:], shift, strict=True)
        )
        return image[:, :, rows][..., columns]

    def windows(self, frame: Tensor) -> list[Tensor]:
        """Return what the tiles see of a frame (1, C, H, W), as parts of it."""
        return [part(frame, window) for _, window in self.tiles]

    def see(self, window: Tensor, number: int) -> Seen:
        """Return what is seen of tile `number` in its window (1, C, h, w)."""
        maps = self.network(window.contiguous(memory_format=torch.channels_last))
        layers = (window.expand(-1, 3, -1, -1), *maps.style, maps.content)
        cores = [self._core(one, number) for one in layers]
        counts = [self._counts(one, number) for one in layers]
        grams = tuple(with_means(one, count) for one, count in zip(cores[:-1], counts[:-1], strict=True))
        return Seen(grams, cores[-1], counts[-1])

    def own(self, window: Tensor, number: int) -> Tensor:
        """Return a tile's own pixels out of its window, and the neighbours of the last ones."""
        tile, around = self.tiles[number]
        inside = tile.inside(around)
        return part(window, replace(inside, bottom=inside.bottom + 1, right=inside.right + 1))

    @torch.no_grad()
    def summary(self, image: Tensor) -> Summary:
        """Return what a picture (1, C, H, W) is as a whole."""
        told: list[list[Tensor]] = []
        for number, (share, window) in enumerate(zip(self.shares, self.windows(self.framed(image)), strict=True)):
            seen = self.see(window, number)
            mean, deviation = moments(seen.content)
            told.append([share * one for one in (*seen.grams, mean, deviation**2 + mean**2)])
        *grams, mean, square = [torch.stack(ones).sum(0) for ones in zip(*told, strict=True)]
        return Summary(tuple(grams), mean, square - mean**2)

    def _count(self, tile: Box) -> float:
        return math.prod(tile.size) if self.mask is None else part(self.mask, tile).sum().item()

    def _counts(self, maps: Tensor, number: int) -> Tensor | None:
        if self.mask is None:
            return None
        window = part(self.mask, self.tiles[number][1])
        return self._core(F.adaptive_avg_pool2d(window, (maps.shape[2], maps.shape[3])), number)

    def _core(self, maps: Tensor, number: int) -> Tensor:
        """Return the part of a window's maps that is the tile's own."""
        if len(self.tiles) == 1:
            return maps
        tile, window = self.tiles[number]
        stride = 2 ** round(math.log2(window.size[0] / maps.shape[2]))
        top, left = ((one - other) // stride for one, other in ((tile.top, window.top), (tile.left, window.left)))
        high, wide = (-(-side // stride) for side in tile.size)
        return maps[..., top : top + high, left : left + wide]


class Gathered(torch.autograd.Function):
    """A sum over the windows of a frame whose gradient is gathered window by window: one is in memory at a time."""

    @staticmethod
    def forward(ctx: Any, frame: Tensor, look: Look, lower: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> Tensor:
        """Return the sum of what `lower` reports of each window and its number; it goes down what it gives first."""
        gradient, total = torch.zeros_like(frame), frame.new_zeros(())
        for number, (_, box) in enumerate(look.tiles):
            with torch.enable_grad():
                window = part(frame, box).detach().requires_grad_()
                loss, reported = lower(window, number)
            part(gradient, box).add_(torch.autograd.grad(loss, window)[0])
            total += reported.detach()
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the frame."""
        return ctx.gradient.mul_(upstream), None, None


def part(image: Tensor, box: Box) -> Tensor:
    """Return this part of a picture (1, C, H, W)."""
    return image[..., box.top : box.bottom, box.left : box.right]
