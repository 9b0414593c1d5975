"""An edit: what a person sets (`Edit`), and what then runs on pictures (`Bound`). No torch here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pinxit.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


Room = tuple[tuple[int, int], tuple[int, int]]
"""Pixels above and below, left and right of a picture."""
Runtime = Literal["torch", "onnx"]


class Bound(ABC):
    """An edit that has loaded what it needs and runs on any number of pictures.

    The engine gives it whole pictures where `radius` is None, else tiles, under `torch.no_grad()`: windows whose origin
    is a multiple of `stride`, with `radius` pixels and more of context on every side but at the picture's borders.
    """

    radius: int | None = None
    """How many input pixels away an output pixel looks at most; None: at all of them."""
    stride: int = 1
    """Tiles start on multiples of it."""
    scale: int = 1
    """How many times wider and higher the result is."""
    room: Room = ((0, 0), (0, 0))
    """By how much the picture grows before the edit sees it, its edges repeated."""
    weights: Mapping[str, str] = MappingProxyType({})
    """The SHA-256 of the shipped weights it runs with, by their names."""
    bytes_per_pixel: int = 0
    """What a run holds for each pixel, stated where `radius` is None or others than torch hold it; else measured."""

    @abstractmethod
    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the edited picture, in [0, 1], (C, H scale, W scale) float32.

        `image` is (C, H, W) float32 in [0, 1], C 1 or 3, and must not be changed; `mask` is (1, H, W), above 0 where
        the picture is to change. The same picture gives the same bytes.
        """

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield what a slow edit has so far, the last of it being what `run` gives; only where `radius` is None."""
        yield self.run(image, mask)

    def fitted(self, pixels: np.ndarray) -> Bound:
        """Return the edit with what it must know of the whole picture (its noise, its histogram) before tiles are run.

        `pixels` are the colours, (H, W, C) uint8, uint16 or float32 in [0, 1], C 1 or 3.
        """
        return self

    def tempered(self, strength: float) -> tuple[Bound, float]:
        """Return the edit at a strength in [0, 1], and how much of what it gives is to be mixed in: all edits can that.

        One that is itself strong or weak gives what it is at that strength, and 1; at strength 0 it is not run.
        """
        return self, strength

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return what a run holds for a picture of `size` = (H, W), asked where `radius` is None."""
        return self.bytes_per_pixel * math.prod(size)

    def area(self, mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
        """Return where a picture of `size` = (H, W) is to change, (H, W) in [0, 1], None for everywhere: as asked."""
        return mask

    def prepared(self, pixels: np.ndarray, area: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture and the mask that `run` is to see in the place of these."""
        return pixels, area


@dataclass(frozen=True)
class Local(Bound):
    """An edit that is a function of a picture's neighbourhoods of `radius` pixels, 0 for single ones."""

    function: Callable[[Tensor], Tensor]
    radius: int = 0

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the function's value, within [0, 1]."""
        return self.function(image).clamp(0, 1)


class Edit(Settings):
    """An edit's settings: its fields are the flags, its docstring is the help."""

    proof: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    """The setting that a sheet of proofs shows beside the strength, with its values."""
    steady: ClassVar[float] = 0.0
    """The share of earlier results in a film's where it stays as it was, if nothing is said (`editors.steady`)."""

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load what the edit needs, once. `memory` is how many bytes it may use, None for as many as it likes."""
        raise NotImplementedError


class Networked(Edit):
    """What edits by a trained network have in common: what runs it."""

    runtime: Runtime = Field(
        "torch",
        description="What runs the network: torch, or onnx for onnxruntime, on the processor and in float32; it is "
        "exported once, into pinxit's cache folder.",
    )
