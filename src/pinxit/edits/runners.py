"""Runners: a trained network that edits pictures, run by torch or by onnxruntime behind one interface.

Only `Runner.run` passes grey pictures to colour networks, and colour pictures to grey networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
import torch
from torch import Tensor

from pinxit import models, runtime
from pinxit.errors import DataError
from pinxit.progress import say


class Inputs(TypedDict, total=False):
    """The inputs that a network may take beside the picture, by the names of `Runner.inputs`."""

    mask: Tensor
    """(1, H, W), 1 in the holes."""
    sigma: float
    """The noise's standard deviation in units of the image range, 0 if unknown."""
    style: np.ndarray
    """A picture (h, w, C) float32 in [0, 1], C 1 or 3."""
    strength: float
    """How far towards the style, in [0, 1]."""


class Runner(ABC):
    """A trained network from pictures to pictures, ready to run."""

    name: str = ""
    """The file or folder that the network is from, for errors."""
    channels: int | None = None
    """Channels of the pictures it takes: 1 or 3; None for either."""
    radius: int | None = None
    """An output pixel depends on input pixels at most this far away; None: on the whole picture."""
    stride: int = 1
    """Tiles start on multiples of this."""
    scale: int = 1
    """How many times wider and higher its output is."""
    inputs: Collection[str] = ()
    """The names of its inputs beside the picture: mask, sigma, style, strength."""
    bytes_per_pixel: int = 0
    """Bytes of memory per input pixel if something other than torch holds them; otherwise 0, and they are measured."""

    @abstractmethod
    def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
        """Return the network's output (N, C, H scale, W scale) for pictures (N, C, H, W) with `channels` channels."""

    def for_picture(self, pixels: np.ndarray) -> Runner:
        """Return the runner with all it needs to know about the whole picture (H, W, C) before tiles run."""
        return self

    def run(self, image: Tensor, inputs: Inputs) -> Tensor:
        """Return the network's output (C, H scale, W scale), float32 in [0, 1], for a picture (C, H, W).

        A colour network gets a grey picture in three equal channels; a grey network gets each colour by itself.
        """
        channels = self.channels or len(image)
        by_channel = channels < len(image)
        rows = image[:, None] if by_channel else image.expand(channels, -1, -1)[None]
        edited = self.rows(rows, inputs).float()
        if not edited.isfinite().all():
            raise DataError(
                f"{self.name or 'this network'}: gives values that are not finite; it diverged in training, or its "
                "weights are damaged"
            )
        edited = edited.clamp(0, 1)
        if by_channel:
            return edited[:, 0]
        return edited[0].mean(0, keepdim=True) if len(image) < channels else edited[0]


class OnnxRunner(Runner):
    """A file of `pinxit export`, run by onnxruntime on the processor."""

    def __init__(self, model: runtime.Model) -> None:
        self.model = model
        self.channels, self.radius, self.stride, self.scale = model.channels, model.radius, model.stride, model.scale
        self.inputs, self.bytes_per_pixel = frozenset(model.inputs) - {"image"}, model.bytes_per_pixel

    def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
        """Return the network's output for pictures, computed on the processor."""
        given: dict[str, Any] = {**inputs}
        if "mask" in inputs:
            given["mask"] = np.broadcast_to(
                inputs["mask"].cpu().numpy()[..., None], (len(images), *images.shape[2:], 1)
            )
        if "style" in inputs:
            high, wide, _ = inputs["style"].shape
            given["style"] = np.broadcast_to(inputs["style"], (1, high, wide, self.model.channels))
        with models.runtime_errors():
            edited = self.model.rows(images.movedim(1, 3).cpu().numpy(), given)
        return torch.from_numpy(edited).movedim(3, 1)


R = TypeVar("R")


def runner_of(
    place: Path, kind: str | None, by: str, in_torch: Callable[[Any], R], in_onnx: Callable[[runtime.Model], R]
) -> R:
    """Return the runner of the model at a place, which is as for `models.load`.

    The model must be of this kind, or of any if `kind` is None. `by` is "torch" or "onnx". For onnx, a run or its
    weights are exported first, once. onnxruntime always runs an exported file. `in_torch` makes a runner of the trained
    objective, `in_onnx` of an exported model.
    """
    if by == "onnx" and not models.is_exported(place):
        from pinxit.exporting import cached

        place = cached(place)
    model = models.load(place, *filter(None, [kind]))
    if model.exported is None:
        return in_torch(model.objective)
    say(f"{place.name}: run by onnxruntime on the processor")
    return in_onnx(model.exported)
