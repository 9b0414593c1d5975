"""Networks that guess where the subject of a picture is: those that ship, and an ONNX file of one's own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from pinxit import runtime
from pinxit.edits.mask import unit
from pinxit.errors import DataError, UsageError
from pinxit.images import resize
from pinxit.models import SHIPPED, chosen, load, runtime_errors, shipped
from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.person import SIDE, PersonNet
from pinxit.nets.pretrained import lite0_network
from pinxit.objectives.matting import Matting
from pinxit.tensors import read_tensors

PERSON, MATTE = "person-v1", "matte-v1"
USUAL, MULTIPLE = 512, 32
"""Sides in pixels at which a file that takes any size is run, the longer one, and of which they are multiples."""
READ = 320
"""The longer side in pixels at which our own network reads a picture."""
ROOM = 64 << 20
"""Bytes that reading takes; 47 MB were measured."""
WORN = (
    399, 400, 411, 433, 439, 445, 451, 452, 457, 459, 465, 474, 501, 514, 515, 518, 529, 552, 560, 568, 570, 578, 585,
    601, 608, 610, 614, 615, 617, 629, 638, 639, 643, 652, 655, 658, 667, 678, 689, 697, 735, 775, 785, 793, 796, 806,
    808, 824, 834, 836, 837, 838, 841, 842, 869, 887, 903, 906, 981, 982, 983,
)  # fmt: skip
"""ImageNet's classes of what people wear: clothes, hats, glasses, wigs, masks; and of three kinds of people."""
SURELY, AGREE = 0.2, 0.4
"""From which probability of `WORN`, and which intersection over union of both guesses, people surely are there."""


class Estimator(ABC):
    """A network that guesses where the subject is."""

    what: str
    """What it finds, for errors."""
    fine: bool = False
    """Whether its guess is a matte with edges of its own, which need not be found anew."""
    quick: bool = False
    """Whether the edges are found anew in fewer pixels."""
    room: int = 0
    """Bytes of memory that a guess takes at most, if they are many."""
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


class Anything(Estimator):
    """A network of `pinxit train matte`: the one that ships, or the person's own."""

    what, quick, room = "subject", True, ROOM

    def __init__(self, model: Path | None = None) -> None:
        place, self.weights = chosen(MATTE, model)
        self.network = cast(Matting, load(place, "matte").objective)

    def guess(self, colours: np.ndarray) -> np.ndarray:
        """Return the shares of the subject, at a half of the sides at which the network reads the picture."""
        ratio = READ / max(colours.shape[:2])
        high, wide = (max(1, round(side * ratio / MULTIPLE)) * MULTIPLE for side in colours.shape[:2])
        small = torch.from_numpy(unit(resize(colours, (high, wide)))).movedim(2, 0)
        found: np.ndarray = self.network.matte(small.expand(1, 3, -1, -1))[0, 0].numpy()
        return found


class Either(Estimator):
    """People where a picture surely shows some, else what `Anything` finds.

    They surely are there if a network of ImageNet's classes sees what people wear, and if both find much the same: so a
    subject before people stays one.
    """

    what, quick, room = "subject", True, ROOM

    def __init__(self) -> None:
        self.people, self.anything = People(), Anything()
        self.weights = {**self.people.weights, **self.anything.weights}

    def guess(self, colours: np.ndarray) -> np.ndarray:
        """Return the shares of the people or of the subject, at the size of that network's guess."""
        found = self.anything.guess(colours)
        if worn(colours) < SURELY:
            return found
        people, same = self.people.guess(colours), resize(found[..., None], (SIDE, SIDE))[..., 0]
        return people if np.minimum(people, same).sum() > AGREE * np.maximum(people, same).sum() else found


def worn(colours: np.ndarray) -> float:
    """Return how likely colours (H, W, C) show one of the things of `WORN`, to a network of ImageNet's classes."""
    side = EfficientNetLite0.side
    image = torch.from_numpy(unit(resize(colours, (side, side)))).movedim(2, 0).expand(1, 3, -1, -1)
    return lite0_network(image.device)(image).logits.softmax(1)[0, list(WORN)].sum().item()


ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    "auto": Either,
    # Our own network (`nets.matting`).
    "subject": Anything,
    # MediaPipe Selfie Segmentation (Google, 2021).
    "person": People,
}
"""What can guess where the subject is, by the names of `matte.Matted.find`."""


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
