"""Dark pictures brightened by the tone curve that a network chooses, and the noise that this reveals removed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pinxit import hardware
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import sixteen_bit, unit
from pinxit.edits.restore import Restored, chosen_restorer
from pinxit.edits.runners import Inputs, OnnxRunner, Runner, runner_of
from pinxit.images import Picture
from pinxit.models import chosen
from pinxit.nets.curve import SIDE, CurveNet, lightened
from pinxit.objectives.enhancement import Enhancement


class TorchCurve(Runner):
    """A trained curve in torch. With the curve of the whole picture known, each pixel is edited by itself."""

    radius = 0

    def __init__(self, network: CurveNet, curve: Tensor | None = None) -> None:
        self.network, self.curve = network, curve

    def for_picture(self, pixels: np.ndarray) -> TorchCurve:
        """Return the runner with the curve of this picture."""
        device = next(self.network.parameters()).device
        return TorchCurve(self.network, self.network(bands(pixels).to(device)))

    def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
        """Return pictures brightened, not clipped."""
        return lightened(images, self.network(images) if self.curve is None else self.curve)


class Enhanced(Bound):
    """A picture brightened by one curve for the whole of it, and then, if there is a denoiser, denoised.

    A runner that needs the whole picture brightens it beforehand (`prepared`); tiles are then denoised only.
    """

    def __init__(self, curve: Runner, denoiser: Bound | None, weights: Mapping[str, str], memory: int | None) -> None:
        self.curve, self.denoiser, self.weights, self.memory = curve, denoiser, weights, memory
        self.radius, self.stride = (denoiser.radius, denoiser.stride) if denoiser else (0, 1)
        self.bytes_per_pixel = denoiser.bytes_per_pixel if denoiser else 0

    def for_picture(self, pixels: np.ndarray) -> Enhanced:
        """Return the edit with the curve of this picture."""
        return Enhanced(self.curve.for_picture(pixels), self.denoiser, self.weights, self.memory)

    def prepared(self, pixels: np.ndarray, area: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture, brightened if that is only possible as a whole."""
        if self.curve.radius is not None:
            return pixels, area
        return edit_picture(Picture(sixteen_bit(pixels)), [Restored(self.curve)], memory=self.memory).pixels, area

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture brightened and denoised; it is clipped in between, as the denoiser expects it."""
        light = image.clone() if self.curve.radius is None else self.curve.run(image, {})
        return light if self.denoiser is None else self.denoiser.run(light, mask)


def enhancer(model: Path | None, denoise: bool, device: str, memory: int | None, runtime: str) -> Enhanced:
    """Return the edit by the shipped curve, or by a model in its place, and the shipped denoiser if asked for."""
    place, weights = chosen("light-v1", model)
    denoiser = chosen_restorer("denoise-v2", None, device, runtime) if denoise else None

    def in_torch(objective: Enhancement) -> Runner:
        return TorchCurve(objective.curve.to(hardware.choose(device).device))

    curve = runner_of(place, "enhance", runtime, in_torch, OnnxRunner)
    return Enhanced(curve, denoiser, {**weights, **(denoiser.weights if denoiser else {})}, memory)


def bands(pixels: np.ndarray) -> Tensor:
    """Return the means of `SIDE` bands of rows of a picture (H, W, C) as float32 (1, C, SIDE, W).

    `averaged` of these equals that of the picture, which so is never held as floats as a whole.
    """
    high = len(pixels)
    edges = [(band * high // SIDE, -(-(band + 1) * high // SIDE)) for band in range(SIDE)]
    means = np.stack([unit(pixels[top:bottom]).mean(axis=0) for top, bottom in edges])
    return torch.from_numpy(means).permute(2, 0, 1)[None]
