"""Runners: a trained network that edits pictures, run by torch or by onnxruntime behind one interface.

`Runner.run` is the one place where grey pictures meet networks of colour, and colours a network of grey.
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
from pinxit.progress import say


class Inputs(TypedDict, total=False):
    """What a network can be given beside the picture, by the names of `Runner.inputs`."""

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

    channels: int | None = None
    """Channels of the pictures it takes: 1 or 3; None for either."""
    radius: int | None = None
    """How many input pixels away an output pixel depends on; None: on the whole picture."""
    stride: int = 1
    """Tiles start on multiples of it."""
    scale: int = 1
    """How many times wider and higher its output is."""
    inputs: Collection[str] = ()
    """The names of what it can be given beside the picture: mask, sigma, style, strength."""
    bytes_per_pixel: int = 0
    """Memory of a run for each input pixel if something other than torch holds it; else 0, and it is measured."""

    @abstractmethod
    def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
        """Return what the network makes of pictures (N, C, H, W), C as `channels` says: (N, C, H scale, W scale)."""

    def for_picture(self, pixels: np.ndarray) -> Runner:
        """Return the runner with what it must know of the whole picture (H, W, C) before tiles are run."""
        return self

    def run(self, image: Tensor, inputs: Inputs) -> Tensor:
        """Return what the network makes of a picture (C, H, W), (C, H scale, W scale) float32 in [0, 1].

        A network of colour is given a grey picture three times over; a network of grey, each colour by itself.
        """
        channels = self.channels or len(image)
        apart = channels < len(image)
        rows = image[:, None] if apart else image.expand(channels, -1, -1)[None]
        edited = self.rows(rows, inputs).float().clamp(0, 1)
        if apart:
            return edited[:, 0]
        return edited[0].mean(0, keepdim=True) if len(image) < channels else edited[0]


class OnnxRunner(Runner):
    """A file of `pinxit export`, run by onnxruntime on the processor."""

    def __init__(self, model: runtime.Model) -> None:
        self.model = model
        self.channels, self.radius, self.stride, self.scale = model.channels, model.radius, model.stride, model.scale
        self.inputs, self.bytes_per_pixel = frozenset(model.inputs) - {"image"}, model.bytes_per_pixel

    def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
        """Return what the file's network makes of pictures, on the processor."""
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
    """Return the runner of a model of one kind, or of any if that is None, at a place as `models.load` takes it.

    `by` is "torch" or "onnx": for onnx, a run or its weights are exported first, once. An exported file is always run
    by onnxruntime. `in_torch` makes a runner of the trained objective, `in_onnx` of an exported model.
    """
    if by == "onnx" and not models.is_exported(place):
        from pinxit.exporting import cached

        place = cached(place)
    model = models.load(place, *filter(None, [kind]))
    if model.exported is None:
        return in_torch(model.objective)
    say(f"{place.name}: run by onnxruntime on the processor")
    return in_onnx(model.exported)
