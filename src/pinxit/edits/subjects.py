"""Ways to the matte of a picture: how much of each pixel belongs to the subject."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from pinxit.edits.engine import split
from pinxit.edits.mask import light_of, unit
from pinxit.errors import UsageError
from pinxit.images import Picture, load_picture

NO_WAY = (
    "nothing says where the subject is: --matte names a matte, white where the subject is; a picture with transparent "
    "parts needs none"
)


class Finder(ABC):
    """A way to the matte of any number of pictures, with all it needs loaded."""

    weights: Mapping[str, str] = MappingProxyType({})
    """The SHA-256 of the shipped weights that it runs with, by name."""

    @abstractmethod
    def matte(self, picture: Picture) -> np.ndarray:
        """Return the matte (H, W) float32 in [0, 1], 1 where a pixel belongs to the subject alone.

        It is about the picture's colours: what is transparent in the picture itself is no part of it.
        """

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory that it takes for a picture of `size` = (H, W), the matte included."""
        return 4 * size[0] * size[1]


class OwnAlpha(Finder):
    """The subject is all that a picture shows: its own alpha has cut it out already."""

    def matte(self, picture: Picture) -> np.ndarray:
        """Return 1 everywhere; `UsageError` if nothing of the picture is transparent."""
        _, alpha = split(picture)
        if alpha is None or alpha.min() == alpha.max():
            raise UsageError(NO_WAY)
        return np.ones(alpha.shape, np.float32)


class Given(Finder):
    """A matte from a file: the brightness of a grey picture, or the alpha of a cut-out."""

    def __init__(self, path: Path) -> None:
        pixels = load_picture(path).pixels
        self.path, self.values = path, unit(pixels[..., 3]) if _is_cut_out(pixels) else light_of(pixels[..., :3])

    def matte(self, picture: Picture) -> np.ndarray:
        """Return the file's matte; `UsageError` if its size is not the picture's."""
        check_size(self.path, self.values, picture)
        return self.values


def check_size(path: Path, drawn: np.ndarray, picture: Picture) -> None:
    """Raise `UsageError` if what a file shows has not the picture's size."""
    there, here = (f"{wide} x {high}" for high, wide in (drawn.shape[:2], picture.pixels.shape[:2]))
    if there != here:
        raise UsageError(f"{path.name} has {there} pixels and the picture {here}; the sizes must be the same")


def _is_cut_out(pixels: np.ndarray) -> bool:
    return pixels.shape[2] == 4 and pixels[..., 3].min() < pixels[..., 3].max()
