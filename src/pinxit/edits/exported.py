"""Models that `pinxit export` wrote, as edits: run by onnxruntime, on the processor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pinxit import models
from pinxit.edits.bound import Bound, Runtime
from pinxit.errors import UsageError
from pinxit.models import is_exported, runtime_errors
from pinxit.progress import say
from pinxit.runtime import Model


class Exported(Bound):
    """A file of `pinxit export` in the place of the network it was made of, computing in float32 or as it says."""

    def __init__(self, model: Model, sigma: float | None = None) -> None:
        self.model, self.told = model, {} if sigma is None else {"sigma": sigma}
        self.holes = "mask" in model.inputs
        if "style" in model.inputs:
            raise UsageError(f"{model.path}: paints in styles; `pinxit edit stylize` runs it")
        with runtime_errors():
            model.check({*self.told, *(["mask"] if self.holes else [])})
        self.radius, self.stride, self.scale = model.radius, model.stride, model.scale
        self.bytes_per_pixel = model.bytes_per_pixel

    @property
    def undoes(self) -> str:
        """What the network was made to undo, for a person."""
        try:
            return str(json.loads(self.model.metadata["settings"])["degrade"])
        except (KeyError, TypeError, ValueError):
            return "something else"

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return what the model makes of the picture, (C, H scale, W scale), in [0, 1]; holes are where mask > 0."""
        if self.holes and mask is None:
            raise UsageError("this network fills holes and must be told where: --mask, --box, --colour or --brightness")
        holes = (mask[0] > 0).float().cpu().numpy() if mask is not None and self.holes else None
        return through(self.model, image, self.told, holes)


def placed(place: Path, runtime: Runtime) -> Path:
    """Return where the model lies that is to be run in the place of this one: for onnxruntime what it is exported as.

    `UsageError` if what exports and runs it is not installed.
    """
    if runtime == "torch" or is_exported(place):
        return place
    from pinxit.export import kept

    return kept(place)


def read(place: Path, objective: str | None = None) -> Model:
    """Return the model in a file; `UsageError` if it is of another objective than is asked for."""
    model = cast(Model, models.load(place, *([objective] if objective else [])).exported)
    say(f"{place.name}: run by onnxruntime, on the processor")
    return model


def through(model: Model, image: Tensor, told: Mapping[str, Any], holes: np.ndarray | None = None) -> Tensor:
    """Return what a model makes of a picture (C, H, W), in [0, 1]; the rest is as for `runtime.Model.run`."""
    with runtime_errors():
        pixels = model.run(image.permute(1, 2, 0).cpu().numpy(), holes, told)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).clamp(0, 1)
