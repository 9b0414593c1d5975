"""The networks that see: each turns pictures into the features and class posteriors that set metrics compare.

An extractor is known by its name, its weights' sha256 and its input rule. Change one of them and it is another
extractor, with a name of its own, for its numbers are on another scale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.errors import DataError
from pinxit.nets.lenet import LeNet

# Rows seen at once; features do not depend on it.
ROWS = 100


@dataclass(frozen=True)
class Extractor:
    """A frozen network with the rule by which pictures come to it. The weights are read at the first use and checked.

    It works in float64 on the CPU: in float32 the batch size, the number of threads and the processor would change
    features in their sixth digit.
    """

    name: str
    sha256: str
    network: Callable[[], nn.Module]
    side: int
    dimensions: int

    def protocol(self) -> dict[str, Any]:
        """Return what must be equal for two scores to be comparable."""
        return {
            "extractor": self.name,
            "sha256": self.sha256,
            "dimensions": self.dimensions,
            "input": "values in [0, 1]; alpha over black; grey by BT.601 (0.299 R + 0.587 G + 0.114 B); "
            f"bilinear resize with antialias to {self.side}x{self.side}, aspect not kept; float64",
        }

    @torch.no_grad()
    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, D) and class posteriors (N, K), float32, of pictures (N, C, H, W) in [0, 1].

        C is 1, 3 or 4; N is at least 1. Other pictures are a `DataError`.
        """
        readings = [self._network(_fit(rows, self.side)) for rows in torch.split(images, ROWS)]
        features = torch.cat([reading.features for reading in readings])
        posteriors = torch.cat([reading.logits for reading in readings]).softmax(1)
        return features.float(), posteriors.float()

    @cached_property
    def _network(self) -> nn.Module:
        weights = (files("pinxit") / "weights" / f"{self.name}.safetensors").read_bytes()
        found = hashlib.sha256(weights).hexdigest()
        if found != self.sha256:
            raise DataError(f"the weights of {self.name} have sha256 {found}, not {self.sha256}; install pinxit again")
        network = self.network()
        network.load_state_dict(load(weights))
        return network.double().eval().requires_grad_(False)


EXTRACTORS: dict[str, Extractor] = {
    extractor.name: extractor
    for extractor in (
        Extractor(
            name="digits-v1",
            sha256="c6663dbcb2b36739ccb574d3ce879a0f695b25a2f781b75f475b9642720fa210",
            network=LeNet,
            side=LeNet.side,
            dimensions=LeNet.dimensions,
        ),
        Extractor(
            name="digits-v2",
            sha256="999404578e0c52668c20686670bc8ca828994e34c10fac0e9326251bfa6b988b",
            network=LeNet,
            side=LeNet.side,
            dimensions=LeNet.dimensions,
        ),
    )
}


def _fit(images: Tensor, side: int) -> Tensor:
    """Return pictures as grey (N, 1, side, side) float64 by the rule that `Extractor.protocol` states."""
    if not (images.is_floating_point() and images.amin() >= 0 and images.amax() <= 1):
        raise DataError("a judge takes floating-point pictures with all values in [0, 1]; divide 8-bit pictures by 255")
    grey = _grey(images.double())
    if grey.shape[-2:] == (side, side):
        return grey
    return F.interpolate(grey, (side, side), mode="bilinear", antialias=True, align_corners=False)


def _grey(images: Tensor) -> Tensor:
    channels = images.shape[1]
    if channels == 1:
        return images
    if channels not in (3, 4):
        raise DataError(f"a judge takes pictures of 1, 3 or 4 channels, not {channels}")
    luma = (images[:, :3] * images.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return luma if channels == 3 else luma * images[:, 3:]
