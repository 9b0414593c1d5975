"""From a picture of any shape to a row of a batch: cropped, padded or stretched to one size, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pinxit.data.settings import Fit
from pinxit.images import resize

CACHE_CEILING = 1 << 30


class Pictures(Protocol):
    """Pictures (H, W, C) by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> np.ndarray: ...


class Renderer:
    """Gives pictures at one size, channels and depth; keeps the first GiB of rows in memory once they were made."""

    def __init__(self, pictures: Pictures, size: tuple[int, int], fit: Fit, channels: int, dtype: np.dtype) -> None:
        self.pictures, self.size, self.fit, self.channels, self.dtype = pictures, size, fit, channels, dtype
        shape = (*size, channels)
        kept = min(len(pictures), CACHE_CEILING // (int(np.prod(shape)) * dtype.itemsize))
        self._kept = np.empty((kept, *shape), dtype)
        self._made = np.zeros(kept, bool)

    def rows(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the rows of these pictures: (n, H, W, channels)."""
        numbers = np.asarray(numbers)
        inside = numbers < len(self._kept)
        for number in numbers[inside][~self._made[numbers[inside]]]:
            self._kept[number], self._made[number] = self._render(number), True
        if inside.all():
            rows: np.ndarray = self._kept[numbers]
            return rows
        return np.stack(
            [self._kept[number] if number < len(self._kept) else self._render(number) for number in numbers]
        )

    def _render(self, number: int) -> np.ndarray:
        picture = with_depth(self.pictures[number], self.dtype)
        return with_channels(fitted(picture, self.size, self.fit), self.channels)


def fitted(picture: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """Return a picture (H, W, C) at `size` = (height, width), antialiased.

    `crop` takes the largest centred part of the right shape, `pad` puts the whole on black (transparent where there is
    alpha), `stretch` changes the proportions, `patch` takes the middle at its own resolution.
    """
    (height, width), (high, wide) = picture.shape[:2], size
    if fit == "patch":
        return patch(picture, size, (0.5, 0.5))
    if fit == "stretch":
        return resize(picture, size)
    if fit == "crop":
        scale = min(height / high, width / wide)
        down, across = min(height, high * scale), min(width, wide * scale)  # a product may round up past the side
        top, left = (height - down) / 2, (width - across) / 2
        return resize(picture, size, (left, top, left + across, top + down))
    scale = max(height / high, width / wide)
    inner = resize(picture, (max(1, round(height / scale)), max(1, round(width / scale))))
    padded = np.zeros((*size, picture.shape[2]), picture.dtype)
    top, left = (high - inner.shape[0]) // 2, (wide - inner.shape[1]) // 2
    padded[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return padded


def patch(picture: np.ndarray, size: tuple[int, int], place: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return a part of a picture (H, W, C) of `size` = (height, width), at `place` in [0, 1)^2 of where it may lie.

    A picture that is smaller is first continued by its reflections, edge pixels included.
    """
    lacking = [(0, max(0, side - there)) for side, there in zip(size, picture.shape, strict=False)]
    if any(after for _, after in lacking):
        picture = np.pad(picture, (*lacking, (0, 0)), "symmetric")
    top, left = (int(at * (there - side + 1)) for at, there, side in zip(place, picture.shape, size, strict=False))
    return picture[top : top + size[0], left : left + size[1]]


def with_depth(picture: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a picture as uint8 or uint16, which it fits into; 255 becomes 65535."""
    return picture if picture.dtype == dtype else picture.astype(dtype) * 257


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Return a picture (H, W, C) with at least as many channels: grey repeated into colour, alpha opaque."""
    if picture.shape[2] == 1 and channels > 1:
        picture = picture.repeat(3, axis=2)
    if picture.shape[2] == 3 and channels == 4:
        picture = np.pad(picture, ((0, 0), (0, 0), (0, 1)), constant_values=np.iinfo(picture.dtype).max)
    return picture
