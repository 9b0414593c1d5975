"""From pictures of any shape to rows of a batch: cropped, padded or stretched to one size, or a patch of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from pinxit.colour import BT601, luma
from pinxit.data.settings import Fit
from pinxit.images import resize, resize_nearest
from pinxit.images.convert import to_float
from pinxit.nets.shapes import over_black

CACHE_CEILING = 1 << 30
VOID = 255  # the class of mask pixels that belong to no class, and of those beside a padded picture


class Pictures(Protocol):
    """Pictures (H, W, C) by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> np.ndarray: ...


class Renderer:
    """Gives pictures at one size, channels and depth. It keeps the first GiB of rows in memory."""

    def __init__(
        self,
        pictures: Pictures,
        size: tuple[int, int],
        fit: Fit,
        channels: int,
        dtype: np.dtype,
        masks: bool = False,
    ) -> None:
        self.pictures, self.size, self.fit, self.channels, self.dtype = pictures, size, fit, channels, dtype
        self.masks = masks
        kept = min(len(pictures), CACHE_CEILING // (math.prod(size) * channels * dtype.itemsize))
        self._kept = np.empty((kept, *size, channels), dtype)
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
        return np.stack([self._kept[n] if n < len(self._kept) else self._render(n) for n in numbers])

    def _render(self, number: int) -> np.ndarray:
        if self.masks:
            return fit_mask(self.pictures[number], self.size, self.fit)
        picture = with_depth(self.pictures[number], self.dtype)
        return with_channels(fit_picture(picture, self.size, self.fit), self.channels)


def fit_picture(picture: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """Return a picture (H, W, C) at `size` = (height, width), antialiased.

    `crop` takes the largest centred part of the right proportions. `pad` puts the whole picture on black, which is
    transparent where there is alpha. `stretch` changes the proportions. `patch` takes the middle at its own resolution.
    """
    return _fitted(picture, size, fit, resize, 0)


def fit_mask(mask: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """Return class numbers (H, W, 1) as `fit_picture` places its picture, by the nearest pixel; padding is `VOID`."""
    return _fitted(mask, size, fit, resize_nearest, VOID)


def _fitted(
    picture: np.ndarray, size: tuple[int, int], fit: Fit, resized: Callable[..., np.ndarray], beside: int
) -> np.ndarray:
    if fit == "patch":
        return patch(picture, size, (0.5, 0.5))
    if fit == "pad":
        (high, wide), (top, left) = _inner(picture.shape, size)
        padded = np.full((*size, picture.shape[2]), beside, picture.dtype)
        padded[top : top + high, left : left + wide] = resized(picture, (high, wide))
        return padded
    return resized(picture, size, _crop_box(picture.shape, size) if fit == "crop" else None)


def placement(
    shape: Sequence[int], size: tuple[int, int], fit: Fit, place: Sequence[float] | np.ndarray = (0.5, 0.5)
) -> tuple[float, float, float, float]:
    """Return how a picture of `shape` = (height, width) is placed at `size`: (across, down, left, top).

    Its point (x, y), in pixels, becomes (x * across + left, y * down + top). `place` is as for `patch`.
    """
    (height, width), (high, wide) = shape[:2], size
    if fit == "patch":
        top, left = _corner((max(height, high), max(width, wide)), size, place)
        return 1.0, 1.0, -float(left), -float(top)
    if fit == "pad":
        (inner_high, inner_wide), (top, left) = _inner(shape, size)
        return inner_wide / width, inner_high / height, float(left), float(top)
    left_edge, top_edge, right, bottom = _crop_box(shape, size) if fit == "crop" else (0.0, 0.0, width, height)
    across, down = wide / (right - left_edge), high / (bottom - top_edge)
    return across, down, -left_edge * across, -top_edge * down


def patch(picture: np.ndarray, size: tuple[int, int], place: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return a part of a picture (H, W, C) of `size` = (height, width), at its own resolution.

    `place` in [0, 1)^2 chooses among all positions, from top to bottom and from left to right. A smaller picture is
    first continued by its reflections, edge pixels included.
    """
    missing = [(0, max(0, side - length)) for side, length in zip(size, picture.shape, strict=False)]
    if any(after for _, after in missing):
        picture = np.pad(picture, (*missing, (0, 0)), "symmetric")
    top, left = _corner(picture.shape, size, place)
    return picture[top : top + size[0], left : left + size[1]]


def with_depth(picture: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a picture as uint8 or uint16, never at a lower depth; 255 becomes 65535."""
    return picture if picture.dtype == dtype else picture.astype(dtype) * 257


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Return a picture (H, W, C) with at least as many channels: grey repeated into colour, alpha opaque."""
    if picture.shape[2] == 1 and channels > 1:
        picture = picture.repeat(3, axis=2)
    if picture.shape[2] == 3 and channels == 4:
        picture = np.pad(picture, ((0, 0), (0, 0), (0, 1)), constant_values=np.iinfo(picture.dtype).max)
    return picture


def converted(picture: np.ndarray, channels: int) -> tuple[Tensor, str]:
    """Return a picture (H, W, C) as (channels, H, W) in [0, 1], and what it lost by that, in words."""
    image, lost = to_float(with_channels(picture, channels)[None].copy()), []
    if image.shape[1] == 4 > channels:
        image = over_black(image)
        lost.append("its transparency is laid over black")
    if image.shape[1] == 3 > channels:
        image = luma(image, BT601)
        lost.append("its colours become grey")
    return image[0], " and ".join(lost) + (", as the model needs it" if lost else "")


def _crop_box(shape: Sequence[int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred part that has the proportions of `size`: (left, top, right, bottom)."""
    (height, width), (high, wide) = shape[:2], size
    scale = min(height / high, width / wide)
    down, across = min(height, high * scale), min(width, wide * scale)  # a product may round up past the side
    top, left = (height - down) / 2, (width - across) / 2
    return left, top, left + across, top + down


def _inner(shape: Sequence[int], size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the (height, width) of a whole picture inside `size`, and its (top, left) there."""
    (height, width), (high, wide) = shape[:2], size
    scale = max(height / high, width / wide)
    inner = max(1, round(height / scale)), max(1, round(width / scale))
    return inner, ((high - inner[0]) // 2, (wide - inner[1]) // 2)


def _corner(shape: Sequence[int], size: tuple[int, int], place: Sequence[float] | np.ndarray) -> tuple[int, int]:
    """Return the top and left of a patch, chosen by `place`."""
    top, left = (int(at * (length - side + 1)) for at, length, side in zip(place, shape, size, strict=False))
    return top, left
