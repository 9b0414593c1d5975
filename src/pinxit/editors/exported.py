"""A model that `pinxit export` wrote, as an edit: run by onnxruntime, on the processor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pinxit.editors.editor import Bound
from pinxit.errors import DataError, UsageError
from pinxit.progress import say
from pinxit.runtime import USAGE, Model, RefusedError

SUFFIX = ".onnx"


class Exported(Bound):
    """A file of `pinxit export` in the place of the network it was made of, computing in float32 or as it says."""

    def __init__(self, path: Path, sigma: float | None = None) -> None:
        with _as_ours():
            self.model, self.sigma = Model(path), sigma
            self.holes = "mask" in self.model.inputs
            self.model.check(self.holes, sigma)
        self.radius, self.stride, self.scale = self.model.radius, self.model.stride, self.model.scale
        self.bytes_per_pixel = self.model.bytes_per_pixel
        say(f"{path.name}: run by onnxruntime, on the processor")

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
        with _as_ours():
            made = self.model.run(image.permute(1, 2, 0).cpu().numpy(), holes, self.sigma)
        return torch.from_numpy(np.ascontiguousarray(made.transpose(2, 0, 1))).clamp(0, 1)


@contextmanager
def _as_ours() -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        raise (UsageError if error.exit_code == USAGE else DataError)(str(error)) from error
