"""Light and colour by formulas of single pixels. No torch here: the formulas use operators of arrays and tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from pinxit.colour import BT709, encoded, linear, mix
from pinxit.edits.bound import Bound
from pinxit.edits.mask import TOP, unit
from pinxit.edits.nearest import strips
from pinxit.edits.settings import Edit

if TYPE_CHECKING:
    from torch import Tensor


class Adjust(Edit):
    """Change light and colour by formulas: white balance, exposure, levels, contrast, gamma, saturation.

    The settings apply in this order, to the values of the file. Where a formula needs linear light, values are taken as
    sRGB.
    """

    balance: Literal["none", "grey-world"] = Field(
        "none", description="White balance; grey-world equalises mean red, green and blue light (Buchsbaum, 1980)."
    )
    temperature: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="Colour temperature t: red light times 2^t, blue light times 2^-t. Above 0 is warmer, below 0 "
        "cooler.",
    )
    exposure: float = Field(0.0, ge=-8, le=8, description="Exposure in stops; each stop doubles the light.")
    levels: float | None = Field(
        None,
        ge=0,
        lt=50,
        description="Stretch the values to black and white, and clip this percentage of them at either end.",
    )
    contrast: float = Field(
        1.0, ge=0, le=8, description="Factor on the distance from middle grey; larger is more contrast."
    )
    gamma: float = Field(
        1.0, ge=0.1, le=10, description="Values are raised to the power 1 / gamma; above 1 is lighter."
    )
    saturation: float = Field(
        1.0, ge=0, le=8, description="Factor on the distance of colours from their BT.709 luma; 0 is grey."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        return Adjustment(self)


@dataclass(frozen=True)
class Adjustment(Bound):
    """`Adjust` for one picture: gains of the linear light, and the values that become black and white."""

    settings: Adjust
    gains: tuple[float, ...] = (1.0, 1.0, 1.0)
    black: float = 0.0
    white: float = 1.0
    radius = 0

    def for_picture(self, pixels: np.ndarray) -> Adjustment:
        """Return the edit with the gains and levels of this picture."""
        gains = np.full(pixels.shape[2], 2.0**self.settings.exposure)
        if len(gains) == 3:
            gains *= 2.0 ** np.array([self.settings.temperature, 0, -self.settings.temperature])
        counts = _histograms(pixels)
        values = np.linspace(0, 1, counts.shape[1])
        if self.settings.balance == "grey-world":
            light = counts @ linear(values) / counts.sum(axis=1)
            gains *= np.divide(light.mean(), light, out=np.ones_like(light), where=light > 0)
        if self.settings.levels is None:
            return replace(self, gains=tuple(gains))
        shares, cut = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True), self.settings.levels / 100
        ends = values[[(shares > cut).argmax(axis=1), (shares >= 1 - cut).argmax(axis=1)]]
        low, high = encoded(linear(ends) * gains)
        black, white = float(low.min()), float(high.max())
        flat = black >= white
        return replace(self, gains=tuple(gains), black=0.0 if flat else black, white=1.0 if flat else white)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture, adjusted."""
        asked, channels = self.settings, len(image)
        gains = image.new_tensor(self.gains[:channels])[:, None, None]
        values = (encoded(linear(image) * gains) - self.black) / (self.white - self.black)
        values = ((values - 0.5) * asked.contrast + 0.5).clamp(0, 1) ** (1 / asked.gamma)
        if channels == 3:
            grey = mix(values, BT709)
            values = grey + asked.saturation * (values - grey)
        return values.clamp(0, 1)


def _histograms(pixels: np.ndarray) -> np.ndarray:
    """Return how often each value occurs in each channel, (C, 256) or (C, 65536)."""
    return np.sum([_counted(pixels[strip]) for strip in strips(pixels.shape)], axis=0)


def _counted(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind == "f":
        pixels = np.rint(unit(pixels) * 65535).astype(np.uint16)
    planes, top = np.moveaxis(pixels, 2, 0), TOP[pixels.dtype]
    return np.stack([np.bincount(plane.ravel(), minlength=top + 1) for plane in planes])
