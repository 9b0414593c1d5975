"""Extractors: frozen networks that give the features and class posteriors which set metrics compare.

Name, sha256 of the weights and input rule identify an extractor. Changing one of them makes another extractor with a
scale of its own, so it needs another name. That includes half precision: bf16 changes features by some percent.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.colour import BT601, luma
from pinxit.errors import DataError
from pinxit.files import sha256, whole_file
from pinxit.hardware import in_parallel
from pinxit.metrics.features import Extracted, gathered
from pinxit.nets.inception import Inception2015
from pinxit.nets.lenet import LeNet
from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.meta import without_memory
from pinxit.nets.pretrained import LITE0, converted, read_weights, weights_file
from pinxit.nets.shapes import over_black
from pinxit.nets.vgg import VGG16
from pinxit.tensors import open_tensors

# The `channels` of an extractor, as its protocol states them.
CHANNELS = {1: "grey by BT.601 (0.299 R + 0.587 G + 0.114 B)", 3: "grey repeated to three channels"}


@dataclass(frozen=True)
class Extractor:
    """A frozen network and the rule that prepares its input. The weights are read and checked at the first use.

    `weights` finds the safetensors file, or raises a `DataError` that says how to get it. `known_sha256` is the hash
    that file must have, or None if the user provides the file.

    It runs on the CPU, always on `rows` pictures at once (the last batch is padded), each batch on one thread. So
    features depend neither on the number of pictures nor on that of threads. In float64, they agree across machines to
    six digits. In float32, used for large networks, another processor may change the fifth digit.
    """

    name: str
    trained_on: str
    network: Callable[[], nn.Module]
    side: int
    dimensions: int
    weights: Callable[[], Path]
    known_sha256: str | None = None
    channels: int = 3
    dtype: torch.dtype = torch.float32
    rows: int = 8

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the weights file."""
        return self.known_sha256 or sha256(self.weights())

    def protocol(self) -> dict[str, Any]:
        """Return the fields that must be equal for two scores to be comparable."""
        return {
            "extractor": self.name,
            "sha256": self.sha256,
            "dimensions": self.dimensions,
            "input": f"values in [0, 1]; alpha over black; {CHANNELS[self.channels]}; bilinear resize with antialias "
            f"to {self.side}x{self.side}, aspect not kept; {str(self.dtype).removeprefix('torch.')}",
        }

    def extract(self, images: Tensor) -> Extracted:
        """Return features (N, D) and class posteriors (N, K), float32, of pictures (N, C, H, W) in [0, 1].

        C is 1, 3 or 4, and N at least 1. Other pictures are a `DataError`.
        """
        return gathered(self.extract_each(images.split(self.rows)), len(images))

    def extract_each(self, batches: Iterable[Tensor]) -> Iterator[Extracted]:
        """Yield what `extract` returns for each batch of at most `rows` pictures, in order.

        The next batches are made while these are computed.
        """
        return in_parallel(partial(self._forward, self._network), batches)

    def prepare(self, images: Tensor) -> Tensor:
        """Return pictures (N, C, H, W) as input (N, channels, side, side), by the rule that `protocol` states.

        It is idempotent, so pictures of many sizes can be prepared one by one and then extracted together, which is
        faster. Raises as `extract`.
        """
        _check(images)
        pictures = over_black(images.to(self.dtype))
        pictures = luma(pictures, BT601) if self.channels == 1 else pictures.expand(-1, 3, -1, -1)
        if pictures.shape[-2:] == (self.side, self.side):
            return pictures
        resized = F.interpolate(pictures, (self.side, self.side), mode="bilinear", antialias=True, align_corners=False)
        return resized.clamp(0, 1)  # rounding may exceed 1

    @torch.no_grad()
    def _forward(self, network: nn.Module, images: Tensor) -> Extracted:
        prepared = self.prepare(images)
        full = F.pad(prepared, (0, 0, 0, 0, 0, 0, 0, self.rows - len(prepared)))
        features, logits = network(full.contiguous(memory_format=torch.channels_last))
        return Extracted(features[: len(prepared)].float(), logits[: len(prepared)].softmax(1).float())

    def _empty(self) -> nn.Module:
        """Return the network without allocated or initialised tensors."""
        with without_memory():
            return self.network()

    @cached_property
    def _network(self) -> nn.Module:
        path = self.weights()
        tensors = read_weights(path, self.sha256)
        network = self._empty()
        if misfit := _misfit(network, {name: tuple(tensor.shape) for name, tensor in tensors.items()}):
            raise DataError(f"{path}: not the weights of {self.name} ({misfit})")
        network.load_state_dict(tensors, strict=False, assign=True)
        network.to(self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network.eval().requires_grad_(False)


def import_weights(path: Path) -> str:
    """Copy a safetensors file of weights that pinxit cannot ship into the cache; return the extractor's name.

    The names and shapes of the tensors identify the extractor; `DataError` if none matches.
    """
    shapes = _shapes(path)
    misfits = {}
    for extractor in EXTRACTORS.values():
        if extractor.known_sha256 is None:
            misfits[extractor.name] = _misfit(extractor._empty(), shapes)
    name = next((name for name, misfit in misfits.items() if misfit is None), None)
    if name is None:
        reasons = "; ".join(f"not {name}, {misfit}" for name, misfit in misfits.items())
        raise DataError(f"{path}: not the weights of an extractor that can be imported ({reasons})")
    with whole_file(weights_file(name)) as temporary:
        shutil.copyfile(path, temporary)
    return name


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a safetensors file, from its header alone."""
    try:
        with open_tensors(path) as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except DataError as error:
        raise DataError(
            f"{error}; in a Python of your own, `safetensors.torch.save_file(torch.load(OLD, weights_only=True), NEW)` "
            "makes one of a .pth file"
        ) from error


def _misfit(network: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Return the first difference between tensors and a network's, or None; counts of batches are ignored."""
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted({*wanted, *shapes}):
        if name.endswith(".num_batches_tracked"):
            continue
        if name not in shapes:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is unknown"
        if shapes[name] != wanted[name]:
            return f"{name} is {shapes[name]} and should be {wanted[name]}"
    return None


def _check(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3, 4) or not images.numel():
        raise DataError(f"an extractor takes pictures (N, 1 or 3 or 4, H, W), not {tuple(images.shape)}")
    if not (images.is_floating_point() and images.amin() >= 0 and images.amax() <= 1):
        raise DataError("an extractor takes floating-point pictures in [0, 1]; divide 8-bit pictures by 255")


def _shipped(name: str) -> Path:
    return Path(__file__).parents[1] / "weights" / f"{name}.safetensors"


def _imported(name: str, origin: str) -> Path:
    path = weights_file(name)
    if not path.is_file():
        raise DataError(
            f"the weights of {name} are not in the cache; in a Python of your own, `safetensors.torch.save_file(torch."
            f"load({origin!r}, weights_only=True), '{name}.safetensors')`, then `pinxit data import {name}.safetensors`"
        )
    return path


def _digits(name: str, sha256: str) -> Extractor:
    return Extractor(
        name=name,
        trained_on="handwritten digits only (MNIST, 28x28)",
        network=LeNet,
        side=LeNet.side,
        dimensions=LeNet.dimensions,
        weights=partial(_shipped, name),
        known_sha256=sha256,
        channels=1,
        dtype=torch.float64,
        rows=100,
    )


EXTRACTORS: dict[str, Extractor] = {
    extractor.name: extractor
    for extractor in (
        _digits("digits-v1", "c6663dbcb2b36739ccb574d3ce879a0f695b25a2f781b75f475b9642720fa210"),
        _digits("digits-v2", "999404578e0c52668c20686670bc8ca828994e34c10fac0e9326251bfa6b988b"),
        Extractor(
            name="lite0",
            trained_on="photographs of ImageNet's 1000 classes of things and animals",
            network=EfficientNetLite0,
            side=EfficientNetLite0.side,
            dimensions=EfficientNetLite0.dimensions,
            weights=partial(converted, LITE0),
            known_sha256=LITE0.converted_sha256,
        ),
        Extractor(
            name="lite0-96",
            trained_on="photographs of ImageNet's 1000 classes of things and animals, at 224x224",
            network=EfficientNetLite0,
            side=96,
            dimensions=EfficientNetLite0.dimensions,
            weights=partial(converted, LITE0),
            known_sha256=LITE0.converted_sha256,
            rows=16,
        ),
        # Not yet run on the real weights; nor is the next.
        Extractor(
            name="inception-2015",
            trained_on="photographs of ImageNet's things and animals (the network of the published FIDs)",
            network=Inception2015,
            side=Inception2015.side,
            dimensions=Inception2015.dimensions,
            weights=partial(_imported, "inception-2015", "pt_inception-2015-12-05-6726825d.pth"),
        ),
        Extractor(
            name="vgg16",
            trained_on="photographs of ImageNet's 1000 classes of things and animals",
            network=VGG16,
            side=VGG16.side,
            dimensions=VGG16.dimensions,
            weights=partial(_imported, "vgg16", "vgg16-397923af.pth"),
        ),
    )
}
