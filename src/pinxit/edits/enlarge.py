"""Enlargement by any factor: networks enlarge by whole numbers, one after the other, and the result is resampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from pinxit.edits.bound import Bound
from pinxit.edits.resampling import REACH
from pinxit.edits.restore import Faithful, Restored, chosen_restorer, misfit, restorer
from pinxit.errors import UsageError
from pinxit.models import chosen, mixture

LARGEST = 8
"""The largest factor."""
MIDDLE = 0.8
"""The share of the crisp network, beside the clean one, in the middle of the dial."""
AMPLIFIED = 5
"""Factor on differences in a map of what is invented."""


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


class Invented(Bound):
    """How far one enlargement is from another: the largest difference of the colours, amplified, as a grey picture."""

    def __init__(self, one: Bound, other: Bound) -> None:
        self.one, self.other, self.scale = one, other, one.scale
        self.radius = None if one.radius is None or other.radius is None else max(one.radius, other.radius)
        self.stride = math.lcm(one.stride, other.stride)
        self.weights = {**one.weights, **other.weights}
        self.bytes_per_pixel = one.bytes_per_pixel + other.bytes_per_pixel

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the map in each channel of the picture: 0 where both agree, 1 from 1 / AMPLIFIED on."""
        if mask is not None:
            raise UsageError("--only invented maps the whole picture: leave out masks")
        apart = (self.one.run(image, mask) - self.other.run(image, mask)).abs().amax(0, keepdim=True)
        return (AMPLIFIED * apart).clamp(0, 1).expand(len(image), -1, -1).contiguous()


def _times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return a size (H, W) times a factor, rounded."""
    return int(size[0] * factor + 0.5), int(size[1] * factor + 0.5)


def by_factor(networks: Sequence[Bound], factor: float) -> Bound:
    """Return the enlargement by a factor, by the network of the least sufficient scale; resampled if that is not it."""
    enough = next((one for one in networks if one.scale >= factor), networks[-1])
    return enough if enough.scale == factor else Resized(enough, factor)


def enlarger(networks: Sequence[Bound], scale: float, side: int | None, fidelity: float) -> Bound:
    """Return the enlargement by a factor, or to a longer side, by networks of ascending scales."""
    if fidelity:
        networks = [Faithful(one, fidelity) for one in networks]
    return by_factor(networks, scale) if side is None else ToSide(networks, side)


@dataclass(frozen=True)
class Networks:
    """Networks that enlarge, on a device: those that ship, named by kind and scale, and models of a person's own."""

    names: Mapping[str, Mapping[int, str]]
    device: str
    runtime: str

    def own(self, model: Path) -> list[Bound]:
        """Return the enlargement by a model, and by the model applied twice."""
        own = restorer(model, self.device, self.runtime)
        if own.scale == 1 or "mask" in own.runner.inputs:
            raise misfit(model)
        return [own] if own.radius is None else [own, Twice(own, own)]

    def shipped(self, kind: str, factor: float | None) -> list[Bound]:
        """Return the enlargements by networks of a kind that suffice for a factor, or for any factor if it is None."""
        return self._enough(lambda scale: self._load(kind, scale), factor)

    def crisp(self, dial: float, factor: float | None, *, invented: bool) -> list[Bound]:
        """Return the enlargements between faithful, at dial 0, and crisp, at 1; or maps of what these invent."""
        crisp = self._enough(lambda scale: self._dialled(scale, dial), factor)
        if not invented:
            return crisp
        return [Invented(one, other) for one, other in zip(crisp, self.shipped("faithful", factor), strict=True)]

    def _enough(self, load: Callable[[int], Bound], factor: float | None) -> list[Bound]:
        """Return what enlarges by a factor; beyond the largest scale, a faithful network then doubles the result."""
        scales = list(self.names["faithful"])
        if factor is not None and factor <= scales[-1]:
            return [load(next(scale for scale in scales if factor <= scale))]
        found = [load(scale) for scale in scales]
        return [*found, Twice(found[-1], self._load("faithful", scales[0]))]

    def _load(self, kind: str, scale: int) -> Restored:
        return chosen_restorer(self.names[kind][scale], None, self.device, self.runtime, scale=scale)

    def _dialled(self, scale: int, dial: float) -> Restored:
        """Return the network at a dial, whose weights are a mixture (Wang et al., 2018, ESRGAN, section 3.4).

        Differs from the paper: three networks are mixed, not two. From 0 to 0.5 the weights go straight from faithful
        to a point between clean and crisp, and from there to crisp.
        """
        if dial in (0, 1):
            return self._load("crisp" if dial else "faithful", scale)
        halfway = 1 - abs(1 - 2 * dial)
        shares = {"faithful": max(0.0, 1 - 2 * dial), "clean": (1 - MIDDLE) * halfway}
        shares["crisp"] = 1 - sum(shares.values())
        found = {kind: chosen(self.names[kind][scale], None) for kind, share in shares.items() if share}
        mixed = mixture({place: shares[kind] for kind, (place, _) in found.items()})
        weights = {name: digest for _, known in found.values() for name, digest in known.items()}
        return restorer(mixed, self.device, self.runtime, weights=weights)
