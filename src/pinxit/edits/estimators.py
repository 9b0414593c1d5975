"""Networks that guess where the subject of a picture is: those that ship, and an ONNX file of one's own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from pinxit import runtime
from pinxit.edits.mask import unit
from pinxit.errors import DataError, UsageError
from pinxit.images import resize
from pinxit.models import SHIPPED, runtime_errors, shipped
from pinxit.nets.person import SIDE, PersonNet
from pinxit.tensors import read_tensors

PERSON = "person-v1"
USUAL, MULTIPLE = 512, 32
"""Sides in pixels at which a file that takes any size is run, the longer one, and of which they are multiples."""


class Estimator(ABC):
    """A network that guesses where the subject is."""

    what: str
    """What it finds, for errors."""
    fine: bool = False
    """Whether its guess is a matte with edges of its own, which need not be found anew."""
    weights: Mapping[str, str] = MappingProxyType({})
    """The SHA-256 of the shipped weights that it runs with, by name."""

    @abstractmethod
    def guess(self, colours: np.ndarray) -> np.ndarray:
        """Return how much colours (H, W, C) belong to the subject, (h, w) float32 in [0, 1], of any size."""


class People(Estimator):
    """MediaPipe's network, which finds people."""

    what = "person"

    def __init__(self) -> None:
        self.weights = {PERSON: SHIPPED[PERSON]}
        self.network = PersonNet().eval().requires_grad_(False)
        self.network.load_state_dict(read_tensors(shipped(PERSON)))

    def guess(self, colours: np.ndarray) -> np.ndarray:
        """Return the shares of people, (256, 256)."""
        small = torch.from_numpy(unit(resize(colours, (SIDE, SIDE)))).movedim(2, 0)
        found: np.ndarray = self.network(small.expand(1, 3, -1, -1))[0, 0].numpy()
        return found


ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    # MediaPipe Selfie Segmentation (Google, 2021).
    "person": People,
}
"""What can guess where the subject is, by the names of `matte.Matted.find`; `--subject` takes the first."""


class Scale(NamedTuple):
    """What a network takes instead of values in [0, 1]: these less `centre`, divided by `spread`, for each colour."""

    centre: tuple[float, ...]
    spread: tuple[float, ...]


SCALES: dict[str, Scale] = {
    "0..1": Scale((0.0,), (1.0,)),
    "-1..1": Scale((0.5,), (0.5,)),
    # The mean and the standard deviation of ImageNet's pictures.
    "imagenet": Scale((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""The ranges of pictures that networks of others take, by the names of `matte.Matted.network_range`."""


class Network(Estimator):
    """A network of others from colour pictures to mattes, as an ONNX file, run by onnxruntime on the processor.

    It has one input, (1, 3, H, W) or (1, H, W, 3) float32, of fixed or of any sides, and a first output of one value
    for each pixel. Values beyond [0, 1] are taken for logits.
    """

    what, fine = "subject", True

    def __init__(self, path: Path, scale: str) -> None:
        self.path, self.scale = path, SCALES[scale]
        with runtime_errors():
            self.session = runtime.session(path)
        inputs = self.session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        if len(inputs) != 1 or len(shape) != 4 or inputs[0].type != "tensor(float)" or 3 not in (shape[1], shape[3]):
            raise UsageError(f"{path.name}: its input is not one colour picture, (1, 3, H, W) or (1, H, W, 3) float32")
        self.name, self.first = inputs[0].name, shape[1] == 3
        self.sides = shape[2:] if self.first else shape[1:3]

    def guess(self, colours: np.ndarray) -> np.ndarray:
        """Return the network's matte; `DataError` if what it gives is none."""
        size = _sides(self.sides, colours.shape[:2])
        values = np.broadcast_to(unit(resize(colours, size)), (*size, 3))
        values = ((values - self.scale.centre) / self.scale.spread).astype(np.float32)[None]
        given = np.ascontiguousarray(np.moveaxis(values, 3, 1) if self.first else values)
        try:
            output: Any = runtime.within_limit(self.session, {self.name: given}, math.prod(size))[0]
        except Exception as error:  # onnxruntime's errors have nothing else in common
            raise DataError(f"{self.path.name}: cannot be run ({' '.join(str(error).split())})") from error
        found = np.squeeze(np.asarray(output))
        if found.ndim != 2 or found.dtype.kind != "f" or not np.isfinite(found).all():
            raise DataError(f"{self.path.name}: its output is no matte of one finite value for each pixel")
        if found.min() < 0 or found.max() > 1:
            found = 1 / (1 + np.exp(-found.astype(np.float64)))
        return found.astype(np.float32)


def _sides(wanted: Sequence[Any], size: tuple[int, ...]) -> tuple[int, int]:
    """Return the sides at which a picture of `size` is run: those of the file, or of the picture's shape."""
    ratio = min(1.0, USUAL / max(size))
    own = [max(1, math.ceil(side * ratio / MULTIPLE)) * MULTIPLE for side in size]
    high, wide = (side if isinstance(side, int) and side > 0 else free for side, free in zip(wanted, own, strict=True))
    return high, wide
