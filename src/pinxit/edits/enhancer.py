"""A trained curve at work: the light of a dark picture brought back, and the noise that comes with it taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from pinxit import hardware, models
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.exported import Exported, placed, read
from pinxit.edits.mask import sixteen_bit, unit
from pinxit.edits.restorer import bound
from pinxit.images import Picture
from pinxit.models import chosen, is_exported
from pinxit.nets.curve import SIDE, CurveNet, lightened
from pinxit.objectives.enhancement import Enhancement

if TYPE_CHECKING:
    from pinxit.edits.restore import Enhance


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


class ExportedEnhancer(Bound):
    """The same by a curve in a file of `pinxit export`: it lightens whole pictures, and tiles are without noise."""

    def __init__(self, curve: Bound, denoiser: Bound | None, weights: Mapping[str, str], memory: int | None) -> None:
        self.curve, self.denoiser, self.weights, self.memory = curve, denoiser, weights, memory
        self.radius, self.stride = (denoiser.radius, denoiser.stride) if denoiser else (0, 1)
        self.bytes_per_pixel = denoiser.bytes_per_pixel if denoiser else 0

    def prepared(self, pixels: np.ndarray, area: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture lightened."""
        return edit_picture(Picture(sixteen_bit(pixels)), [self.curve], memory=self.memory).pixels, area

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return a part of the lightened picture without its noise, in [0, 1]."""
        return image.clone() if self.denoiser is None else self.denoiser.run(image, mask)


def load(settings: Enhance, device: str, memory: int | None) -> Enhancer | ExportedEnhancer:
    """Return the edit with the shipped curve, or a model in its place, and the shipped denoiser if asked for."""
    runtime = settings.runtime
    place, weights = chosen("light-v1", settings.model)
    denoiser = bound("denoise-v2", None, device, runtime, scale=1, holes=False) if settings.denoise else None
    weights = {**weights, **(denoiser.weights if denoiser else {})}
    place = placed(place, runtime)
    if is_exported(place):
        return ExportedEnhancer(Exported(read(place, "enhance")), denoiser, weights, memory)
    objective = cast(Enhancement, models.load(place, "enhance").objective)
    network = objective.curve.to(hardware.choose(device).device)
    return Enhancer(network, denoiser, weights)


def bands(pixels: np.ndarray) -> Tensor:
    """Return the means of `SIDE` bands of rows of a picture (H, W, C) as float32 (1, C, SIDE, W).

    `averaged` of these is that of the picture, which so is never floats as a whole.
    """
    high = len(pixels)
    edges = [(band * high // SIDE, -(-(band + 1) * high // SIDE)) for band in range(SIDE)]
    means = np.stack([unit(pixels[top:bottom]).mean(axis=0) for top, bottom in edges])
    return torch.from_numpy(means).permute(2, 0, 1)[None]
