"""A trained curve at work: the light of a dark picture brought back, and the noise that comes with it taken away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pinxit.editors.editor import Bound
from pinxit.editors.mask import unit
from pinxit.editors.restorer import bound, chosen, trained
from pinxit.nets.curve import SIDE, CurveNet, lightened
from pinxit.objectives.enhancement import Enhancement
from pinxit.training import hardware


class Enhancer(Bound):
    """A picture by the curve that it needs as a whole, and then, if there is a denoiser, without its noise."""

    def __init__(
        self, network: CurveNet, denoiser: Bound | None, weights: Mapping[str, str], curve: Tensor | None = None
    ) -> None:
        self.network, self.denoiser, self.weights, self.curve = network, denoiser, weights, curve
        self.radius, self.stride = (denoiser.radius, denoiser.stride) if denoiser else (0, 1)

    def fitted(self, pixels: np.ndarray) -> Enhancer:
        """Return the edit with the curve of this picture."""
        device = next(self.network.parameters()).device
        return Enhancer(self.network, self.denoiser, self.weights, self.network(bands(pixels).to(device)))

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture lightened, in [0, 1]; it is clipped before the denoiser, which knows such pictures."""
        curve = self.network(image[None]) if self.curve is None else self.curve
        light = lightened(image[None], curve)[0].clamp(0, 1)
        return light if self.denoiser is None else self.denoiser.run(light, mask)


def load(model: Path | None, denoise: bool, device: str) -> Enhancer:
    """Return the edit with the shipped curve, or a model in its place, and the shipped denoiser if asked for."""
    place, weights = chosen("light-v1", model)
    network = cast(Enhancement, trained(place, "enhance")).curve.to(hardware.choose(device).device)
    denoiser = bound("denoise-v2", None, device, scale=1, holes=False) if denoise else None
    return Enhancer(network, denoiser, {**weights, **(denoiser.weights if denoiser else {})})


def bands(pixels: np.ndarray) -> Tensor:
    """Return the means of `SIDE` bands of rows of a picture (H, W, C) as float32 (1, C, SIDE, W).

    `averaged` of these is that of the picture, which so is never floats as a whole.
    """
    high = len(pixels)
    edges = [(band * high // SIDE, -(-(band + 1) * high // SIDE)) for band in range(SIDE)]
    means = np.stack([unit(pixels[top:bottom]).mean(axis=0) for top, bottom in edges])
    return torch.from_numpy(means).permute(2, 0, 1)[None]
