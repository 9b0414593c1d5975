"""Batches as a function of (seed, step): resuming needs no saved state, and a row's noise depends on no other row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinxit.data import draws
from pinxit.data.augment import NO_CLASS, augmented, clipped
from pinxit.data.render import placement
from pinxit.data.sets import ImageSet, Layer
from pinxit.data.settings import Augment, Fit
from pinxit.images.convert import to_float
from pinxit.settings import Size, sides


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Rows of training data, and each row's own randomness.

    - `image`: float32 (N, C, H, W) in [0, 1]; a label map has a plane for each class.
    - `label`: int64 (N,), the class.
    - `mask`: (N, 1, H, W); where a picture is to change (float32, 0 or 1), or each pixel's class (int64; 255 is void).
    - `pair`: float32 (N, C', H, W) in [0, 1], another picture of the same scene.
    - `boxes`: float32 (N, K, 5); left, top, right, bottom in pixels from the top left corner, and the class. Rows that
      pad a picture of fewer boxes have class -1. Things of class k that are neither right nor wrong to find have class
      -2 - k.
    - `caption`: N texts.
    - `sound`: float32 (N, D), a vector that describes a sound.
    - `other`: float32 (N, C, H, W) in [0, 1], an independent sample of a second set.
    - `features`: float32 (N, D), what a frozen network makes of the images, which are then (N, C, 1, 1) and black.

    Row i draws from (seed, step, start + i, stream). `start` is the index of row 0 within its step, so a part of a
    batch draws the same numbers as the whole.
    """

    image: Tensor
    label: Tensor | None = None
    mask: Tensor | None = None
    pair: Tensor | None = None
    boxes: Tensor | None = None
    caption: tuple[str, ...] | None = None
    sound: Tensor | None = None
    other: Tensor | None = None
    features: Tensor | None = None
    seed: int
    step: int
    start: int = 0

    def __len__(self) -> int:
        return len(self.image)

    def normal(self, *shape: int, stream: str = "latent") -> Tensor:
        """Return standard normal float32 (N, *shape), on the device of the images; each row has its own."""
        return self._sampled(draws.normal, shape, stream)

    def uniform(self, *shape: int, stream: str = "latent") -> Tensor:
        """Return float32 (N, *shape) uniform in [0, 1), on the device of the images; each row has its own."""
        return self._sampled(draws.uniform, shape, stream)

    def coins(self, odds: Tensor, stream: str) -> Tensor:
        """Return float32 ones with the probabilities `odds` (N, ...), else zeros; each row has its own draws."""
        return (self._sampled(draws.coarse, tuple(odds.shape[1:]), stream) < odds).float()

    def generators(self, stream: str) -> list[torch.Generator]:
        """Return a generator for each row, on the processor, for draws whose count is not known beforehand."""
        keys = draws.row_keys(self.seed, self.step, np.arange(self.start, self.start + len(self)), stream)
        return [torch.Generator().manual_seed(int(key >> np.uint64(1))) for key in keys]

    def rows(self, start: int, stop: int) -> Batch:
        """Return rows `start` to `stop` as a batch of their own; each row draws the same numbers as here."""
        cut: dict[str, Any] = {name: values[start:stop] for name, values in self._columns().items()}
        return replace(self, start=self.start + start, **cut)

    def to(self, device: torch.device, memory_format: torch.memory_format) -> Batch:
        """Return the batch on a device, with its pictures in a memory format."""
        tensors = {name: values for name, values in self._columns().items() if isinstance(values, Tensor)}
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in tensors.items()}
        return replace(self, **moved | {"image": moved["image"].to(memory_format=memory_format)})

    def _columns(self) -> dict[str, Any]:
        """Return everything that has a value for each row."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in columns.items() if not isinstance(values, int | None)}

    def _sampled(self, draw: Callable[[np.ndarray, int], np.ndarray], shape: tuple[int, ...], stream: str) -> Tensor:
        keys = draws.row_keys(self.seed, self.step, np.arange(self.start, self.start + len(self)), stream)
        numbers = draw(keys, math.prod(shape)).reshape(len(self), *shape)
        return torch.from_numpy(numbers).to(self.image.device)


def numbers_at(count: int, step: int, batch_size: int, seed: int) -> np.ndarray:
    """Return which of `count` pictures make up the batch of a step, (batch_size,).

    Each epoch has each picture once, in a random order that depends on (seed, epoch). A batch may cross into the next
    epoch.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    numbers = np.empty(batch_size, np.int64)
    epochs = positions // count
    for epoch in range(epochs[0], epochs[-1] + 1):
        inside = epochs == epoch
        numbers[inside] = draws.permutation(count, seed, epoch)[positions[inside] % count]
    return numbers


def batch_at(
    images: ImageSet,
    step: int,
    batch_size: int,
    seed: int,
    *,
    size: Size,
    fit: Fit = "crop",
    augment: Augment = Augment(),
) -> Batch:
    """Return the batch of a step: a pure function of its arguments.

    Its pictures are those of `numbers_at`. Mask, pair and boxes are fitted and augmented like their picture.
    """
    numbers = numbers_at(len(images), step, batch_size, seed)
    places = draws.uniform(draws.row_keys(seed, step, np.arange(batch_size), "patch"), 2) if fit == "patch" else None

    def rows(layer: Layer) -> np.ndarray:
        return layer.rows(numbers, sides(size), fit, places)

    def planes(layer: Layer) -> Tensor:
        return one_hot(rows(layer), len(layer.colours)) if layer.colours else to_float(rows(layer))

    belongs = images.companions
    batch = Batch(
        image=planes(images),
        label=None if images.labels is None else torch.from_numpy(images.labels[numbers]),
        mask=None if belongs.mask is None else torch.from_numpy(rows(belongs.mask)).permute(0, 3, 1, 2).long(),
        pair=None if belongs.pair is None else planes(belongs.pair),
        boxes=None if belongs.boxes is None else _boxes(images, belongs.boxes, numbers, sides(size), fit, places),
        seed=seed,
        step=step,
    )
    return augmented(batch, augment)


def one_hot(numbers: np.ndarray, classes: int) -> Tensor:
    """Return class numbers (N, H, W, 1) as a plane for each class, float32 (N, K, H, W); all 0 where there is none."""
    planes = numbers == np.arange(classes, dtype=np.uint8)
    return torch.from_numpy(planes).permute(0, 3, 1, 2).float()


def _boxes(
    images: ImageSet,
    boxes: Sequence[np.ndarray],
    numbers: np.ndarray,
    size: tuple[int, int],
    fit: Fit,
    places: np.ndarray | None,
) -> Tensor:
    """Return the boxes of pictures in the form of `Batch`, (n, K, 5), moved like their fitted pictures."""
    found = [boxes[number] for number in numbers]
    filled = np.zeros((len(found), max(map(len, found)), 5), np.float32)
    filled[..., 4] = NO_CLASS
    for row, (number, one) in enumerate(zip(numbers, found, strict=True)):
        place = (0.5, 0.5) if places is None else places[row]
        across, down, left, top = placement(images.shapes[number], size, fit, place)
        filled[row, : len(one)] = one * (across, down, across, down, 1) + (left, top, left, top, 0)
    return clipped(torch.from_numpy(filled), size)
