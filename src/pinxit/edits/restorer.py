"""A trained restorer at work: its weights found, checked and bound, and pictures passed through it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from pinxit import hardware, models
from pinxit.edits.bound import Bound, Runtime
from pinxit.edits.exported import Exported, placed, read
from pinxit.errors import UsageError
from pinxit.models import chosen, is_exported
from pinxit.objectives.restoration import Restoration

GREY, COLOUR = 1, 3


class Restorer(Bound):
    """A restorer as an edit. A network of colours is given grey thrice; one of grey, each colour by itself.

    It computes in bf16 where the device is faster so; a pixel's bits depend on those within `radius` alone.
    """

    def __init__(self, objective: Restoration, device: str, sigma: float | None = None) -> None:
        if sigma is not None and not objective.settings.told:
            raise UsageError("--sigma: this network sees the noise by itself; one trained with --told can be told it")
        self.objective, self.level = objective, sigma or 0.0
        self.hardware = hardware.choose(device)
        network = objective.restorer.to(self.hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.radius, self.stride, self.scale = objective.radius, objective.stride, network.scale
        self.holes, self.undoes = objective.holes, objective.settings.degrade

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture restored, (C, H scale, W scale), in [0, 1]; holes are where the mask is above 0."""
        if self.holes and mask is None:
            raise UsageError("this network fills holes and must be told where: --mask, --box, --colour or --brightness")
        own = self.objective.shape.channels
        apart = own == GREY and len(image) == COLOUR
        rows = image[:, None] if apart else image.expand(own, -1, -1)[None]
        holes = (mask > 0).float().expand(len(rows), -1, -1, -1) if mask is not None and self.holes else None
        with torch.no_grad(), self.hardware.autocast():
            restored = self.objective.restore(rows.contiguous(memory_format=torch.channels_last), holes, self.level)
        restored = restored.float().clamp(0, 1)
        if apart:
            return restored[:, 0]
        return restored[0].mean(0, keepdim=True) if len(image) < own else restored[0]


def bound(
    name: str,
    model: Path | None,
    device: str,
    runtime: Runtime,
    *,
    scale: int,
    holes: bool,
    sigma: float | None = None,
) -> Restorer | Exported:
    """Return the shipped network `name`, or a model in its place, which must enlarge and fill holes as it does."""
    place, weights = chosen(name, model)
    restorer = opened(place, device, runtime, sigma)
    if (restorer.scale, restorer.holes) != (scale, holes):
        raise UsageError(f"{model}: made to undo {restorer.undoes!r}; `pinxit edit restore` runs it")
    restorer.weights = weights
    return restorer


def opened(place: Path, device: str, runtime: Runtime, sigma: float | None = None) -> Restorer | Exported:
    """Return the restorer of a run's folder, of a file of its weights, or of a file that `pinxit export` made of it."""
    place = placed(place, runtime)
    return Exported(read(place), sigma) if is_exported(place) else Restorer(load(place), device, sigma)


def load(place: Path) -> Restoration:
    """Return the restorer of a run's folder or of a file of its weights; `DataError` as `models.load` says."""
    return cast(Restoration, models.load(place, "restore").objective)
