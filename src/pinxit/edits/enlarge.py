"""Enlargement by any factor: networks enlarge by whole numbers, one after the other, and the result is resampled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from pinxit.edits.bound import Bound
from pinxit.edits.resampling import REACH
from pinxit.edits.restore import Faithful, Restored, chosen_restorer, misfit, restorer
from pinxit.errors import UsageError

LARGEST = 8
"""The largest factor."""


class Twice(Bound):
    """Two enlarging edits, one after the other."""

    enlarges_alpha = True

    def __init__(self, first: Bound, second: Bound) -> None:
        if first.radius is None or second.radius is None:
            raise UsageError(
                "two networks one after the other must run in tiles, and one of these takes whole pictures"
            )
        self.first, self.second, self.scale = first, second, first.scale * second.scale
        self.radius = first.radius + math.ceil(second.radius / first.scale)
        self.stride = math.lcm(first.stride, second.stride)
        self.weights = {**first.weights, **second.weights}
        self.bytes_per_pixel = first.bytes_per_pixel + first.scale**2 * second.bytes_per_pixel

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture enlarged by both."""
        return self.second.run(self.first.run(image, mask), mask)


class Resized(Bound):
    """An enlarging edit whose result is resampled to `factor` times the picture's size."""

    def __init__(self, enlarging: Bound, factor: float) -> None:
        if enlarging.radius is None:
            raise UsageError(f"this network takes whole pictures, so it has one factor: --scale {enlarging.scale}")
        self.enlarging, self.factor, self.scale = enlarging, factor, enlarging.scale
        self.radius, self.stride = enlarging.radius + REACH, enlarging.stride
        self.weights, self.bytes_per_pixel = enlarging.weights, enlarging.bytes_per_pixel
        self.enlarges_alpha = enlarging.enlarges_alpha

    def result_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size times the factor, rounded."""
        return _times(size, self.factor)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture enlarged by the network's factor."""
        return self.enlarging.run(image, mask)


class ToSide(Bound):
    """An enlargement of each picture until its longer side has `side` pixels."""

    def __init__(self, networks: Sequence[Bound], side: int) -> None:
        self.networks, self.side = networks, side
        self.weights = {name: digest for one in networks for name, digest in one.weights.items()}

    def for_picture(self, pixels: np.ndarray) -> Bound:
        """Return the enlargement of this picture; `UsageError` if it is larger already, or too small."""
        longer = max(pixels.shape[:2])
        if not longer < self.side <= LARGEST * longer:
            why = "it has to be longer than that" if self.side <= longer else f"it can grow {LARGEST} times at most"
            raise UsageError(f"--to {self.side}: the longer side has {longer} pixels; {why}")
        return by_factor(self.networks, self.side / longer)

    def result_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size with `side` pixels on the longer side."""
        return _times(size, self.side / max(size))

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the enlarged picture."""
        return self.for_picture(image.permute(1, 2, 0).numpy()).run(image, mask)


def _times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return a size (H, W) times a factor, rounded."""
    return int(size[0] * factor + 0.5), int(size[1] * factor + 0.5)


def by_factor(networks: Sequence[Bound], factor: float) -> Bound:
    """Return the enlargement by a factor, by the network of the least sufficient scale; resampled if that is not it."""
    enough = next((one for one in networks if one.scale >= factor), networks[-1])
    return enough if enough.scale == factor else Resized(enough, factor)


def enlarger(
    names: Mapping[int, str],
    model: Path | None,
    scale: float,
    side: int | None,
    fidelity: float,
    device: str,
    runtime: str,
) -> Bound:
    """Return the enlargement by a factor, or to a longer side, by the networks of these scales or by a model."""
    if model:
        own = restorer(model, device, runtime)
        if own.scale == 1 or "mask" in own.runner.inputs:
            raise misfit(model)
        networks: list[Bound] = [own] if own.radius is None else [own, Twice(own, own)]
    else:
        networks = _shipped(names, scale if side is None else LARGEST, device, runtime)
    if fidelity:
        networks = [Faithful(one, fidelity) for one in networks]
    return by_factor(networks, scale) if side is None else ToSide(networks, side)


def _shipped(names: Mapping[int, str], factor: float, device: str, runtime: str) -> list[Bound]:
    """Return the enlargements by shipped networks up to the first that suffices for a factor; the last is by two."""
    loaded: dict[int, Restored] = {}
    for scale, name in names.items():
        if factor <= scale or factor > max(names):
            loaded[scale] = chosen_restorer(name, None, device, runtime, scale=scale)
        if factor <= scale:
            break
    found: list[Bound] = list(loaded.values())
    return found if factor <= max(names) else [*found, Twice(loaded[max(loaded)], loaded[min(loaded)])]
