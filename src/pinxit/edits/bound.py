"""What the engine runs on pictures: an edit that has loaded all it needs (`Bound`). No torch here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from pinxit.images import Picture


Padding = tuple[tuple[int, int], tuple[int, int]]
"""Pixels above and below, left and right of a picture."""


class Room(NamedTuple):
    """Bytes that `Bound.prepared` takes at most while it runs, and that its result then keeps."""

    most: int = 0
    kept: int = 0


class Bound(ABC):
    """An edit that has loaded what it needs and runs on any number of pictures.

    If `radius` is None, the engine passes it whole pictures. Otherwise it passes tiles, under `torch.no_grad()`. A tile
    comes in a window whose origin is a multiple of `stride`, with at least `radius` pixels of context on every side,
    except at the picture's borders.
    """

    radius: int | None = None
    """An output pixel depends on input pixels at most this far away; None: on the whole picture."""
    stride: int = 1
    """Tiles start on multiples of this."""
    scale: int = 1
    """How many times wider and higher `run` makes a picture."""
    enlarges_alpha: bool = False
    """Whether it enlarges alpha too, as a grey picture; otherwise alpha is enlarged by bicubic interpolation."""
    padding: Padding = ((0, 0), (0, 0))
    """Pixels that are added around the picture, by repeating its edges, before the edit runs."""
    weights: Mapping[str, str] = MappingProxyType({})
    """The SHA-256 of the shipped weights that it runs with, by name."""
    bytes_per_pixel: int = 0
    """Bytes of memory per input pixel. Required if `radius` is None or torch does not hold them; otherwise measured."""

    @abstractmethod
    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the edited picture, (C, H scale, W scale) float32 in [0, 1].

        `image` is (C, H, W) float32 in [0, 1], C 1 or 3; it must not be modified. `mask` is (1, H, W), above 0 where
        the picture is to change. The same picture gives the same bytes.
        """

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield the intermediate results of a slow edit; the last is that of `run`. Called only if `radius` is None."""
        yield self.run(image, mask)

    def for_picture(self, pixels: np.ndarray) -> Bound:
        """Return the edit with all it needs to know about the whole picture, such as its noise, before tiles run.

        `pixels` are the colours, (H, W, C) uint8, uint16 or float32 in [0, 1], C 1 or 3.
        """
        return self

    def result_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the result of a picture of `size` = (H, W).

        What `run` gives is resampled to it, which an edit of the whole picture cannot ask for.
        """
        return size[0] * self.scale, size[1] * self.scale

    def at_strength(self, strength: float) -> tuple[Bound, float]:
        """Return the edit at a strength in [0, 1], and the share of its result that the engine is to blend in.

        By default that is the edit itself and `strength`. An edit that has a strength of its own returns itself at that
        strength, and 1. At strength 0 it is not run.
        """
        return self, strength

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of a run on a picture of `size` = (H, W), in bytes. Called only if `radius` is None."""
        return self.bytes_per_pixel * math.prod(size)

    def doubts(self, before: Picture, after: Picture) -> np.ndarray | None:
        """Return where a result may not be what its picture shows, (H, W) in [0, 1]; None for where the two differ."""
        return None

    def area(self, mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
        """Return where a picture of `size` = (H, W) may change, (H, W) in [0, 1], or None for everywhere.

        By default that is the mask.
        """
        return mask

    def room_to_prepare(self, pixels: np.ndarray, area: np.ndarray | None) -> Room:
        """Return the memory that `prepared` takes beside these and beside one tile of an edit that it runs."""
        return Room()

    def prepared(
        self, pixels: np.ndarray, area: np.ndarray | None, memory: int | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture and the mask to pass to `run` instead of these, within a limit in bytes if there is one.

        The limit leaves `room_to_prepare`, and a tile.
        """
        return pixels, area


class Layered(Bound):
    """An edit whose result may have other alpha or channels than its picture: the engine hands it whole pictures."""

    deep: bool = False
    """Whether its results have 16 bits where their pictures have 8."""

    @abstractmethod
    def compose(self, picture: Picture, share: np.ndarray) -> Picture:
        """Return the edited picture, of the same size and depth, or of 16 bits if it is `deep`.

        `share` (H, W) in [0, 1] is how much it applies: where it is 0 no bit changes, and alpha that is new is opaque.
        """

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Refuse: alpha is a part of the result, so the engine calls `compose`."""
        raise TypeError(f"{type(self).__name__} edits pictures with their alpha; call compose")


@dataclass(frozen=True)
class Local(Bound):
    """An edit that is a function of each pixel's neighbourhood, `radius` pixels to every side; 0: the pixel alone."""

    function: Callable[[Tensor], Tensor]
    radius: int = 0

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the function's value, clipped to [0, 1]."""
        return self.function(image).clamp(0, 1)
