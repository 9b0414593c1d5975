"""Batches as a function of (seed, step): resuming needs no saved sampler, and a row's noise depends on no other row."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.data import draws
from pinxit.data.sets import ImageSet
from pinxit.data.settings import Augment, Fit
from pinxit.images.convert import to_float


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Rows of training data: images float32 (N, C, H, W) in [0, 1], labels int64 (N,), and each row's own randomness.

    Row i draws from (seed, step, start + i, stream). `start` is the index of row 0 within its step, so that a part of a
    batch draws what the whole would have drawn.
    """

    image: Tensor
    label: Tensor | None = None
    mask: Tensor | None = None
    pair: Tensor | None = None
    other: Tensor | None = None
    seed: int
    step: int
    start: int = 0

    def __len__(self) -> int:
        return len(self.image)

    def normal(self, *shape: int, stream: str = "latent") -> Tensor:
        """Return standard normal float32 (N, *shape), on the device of the images; each row has its own."""
        return self._drawn(draws.normal, shape, stream)

    def uniform(self, *shape: int, stream: str = "latent") -> Tensor:
        """Return float32 (N, *shape) uniform in [0, 1), on the device of the images; each row has its own."""
        return self._drawn(draws.uniform, shape, stream)

    def coins(self, odds: Tensor, stream: str) -> Tensor:
        """Return float32 of ones with the probabilities `odds` (N, ...), else zeros; each row has its own draws."""
        return (self._drawn(draws.coarse, tuple(odds.shape[1:]), stream) < odds).float()

    def generators(self, stream: str) -> list[torch.Generator]:
        """Return a generator for each row, on the processor, for draws whose number is not known beforehand."""
        keys = draws.row_keys(self.seed, self.step, np.arange(self.start, self.start + len(self)), stream)
        return [torch.Generator().manual_seed(int(key >> np.uint64(1))) for key in keys]

    def rows(self, start: int, stop: int) -> Batch:
        """Return rows `start` to `stop` as a batch of their own, in which each row draws what it drew here."""
        cut: dict[str, Any] = {name: tensor[start:stop] for name, tensor in self._tensors().items()}
        return replace(self, start=self.start + start, **cut)

    def to(self, device: torch.device, memory_format: torch.memory_format) -> Batch:
        """Return the batch on a device, with its pictures in a memory format."""
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self._tensors().items()}
        return replace(self, **moved | {"image": moved["image"].to(memory_format=memory_format)})

    def _tensors(self) -> dict[str, Tensor]:
        fields = {name: getattr(self, name) for name in ("image", "label", "mask", "pair", "other")}
        return {name: tensor for name, tensor in fields.items() if tensor is not None}

    def _drawn(self, draw: Callable[[np.ndarray, int], np.ndarray], shape: tuple[int, ...], stream: str) -> Tensor:
        keys = draws.row_keys(self.seed, self.step, np.arange(self.start, self.start + len(self)), stream)
        drawn = draw(keys, math.prod(shape)).reshape(len(self), *shape)
        return torch.from_numpy(drawn).to(self.image.device)


def batch_at(
    images: ImageSet,
    step: int,
    batch_size: int,
    seed: int,
    *,
    size: int,
    fit: Fit = "crop",
    augment: Augment = Augment(),
) -> Batch:
    """Return the batch of a step: a pure function of its arguments.

    The pictures come in the random order of (seed, epoch), each once an epoch; a batch may reach over its end.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    numbers = np.empty(batch_size, np.int64)
    epochs = positions // len(images)
    for epoch in range(epochs[0], epochs[-1] + 1):
        inside = epochs == epoch
        numbers[inside] = _order(len(images), seed, epoch)[positions[inside] % len(images)]
    if fit == "patch":
        keys = draws.row_keys(seed, step, np.arange(batch_size), "patch")
        rows = images.patches(numbers, size, draws.uniform(keys, 2))
    else:
        rows = images.rows(numbers, (size, size), fit)
    batch = Batch(
        image=to_float(rows),
        label=None if images.labels is None else torch.from_numpy(images.labels[numbers]),
        seed=seed,
        step=step,
    )
    return replace(batch, image=augmented(batch, augment))


def augmented(batch: Batch, augment: Augment) -> Tensor:
    """Return the square images mirrored, turned, scaled, rotated and shifted as each row draws it, edges reflected."""
    image = batch.image
    moves = bool(augment.shift or augment.rotate or augment.scale)
    if not (augment.flip or augment.turn or moves):
        return image
    coin, *signed, quarter = batch.uniform(6, stream="augment").T
    if augment.flip:
        image = torch.where((coin < 0.5)[:, None, None, None], image.flip(-1), image)
    if augment.turn:
        turns = (4 * quarter).int().tolist()
        image = torch.stack([row.rot90(turn, (1, 2)) for row, turn in zip(image, turns, strict=True)])
    if not moves:
        return image
    across, down, turn, zoom = (2 * draw - 1 for draw in signed)
    angle, factor = torch.deg2rad(turn * augment.rotate), 1 + zoom * augment.scale
    cosine, sine = angle.cos() / factor, angle.sin() / factor
    shift = torch.stack([across, down], dim=1)[:, :, None] * (2 * augment.shift)
    back = torch.stack([cosine, sine, -sine, cosine], dim=1).view(
        -1, 2, 2
    )  # from where a pixel goes to where it came from
    where = F.affine_grid(torch.cat([back, -back @ shift], dim=2), list(image.shape), align_corners=False)
    return F.grid_sample(image, where, padding_mode="reflection", align_corners=False)


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return draws.permutation(count, seed, epoch)
