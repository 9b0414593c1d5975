"""Light and colour by plain formulas of single pixels. No torch here: the formulas are written with the arrays' own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from pinxit.colour import BT709, encoded, linear, mix
from pinxit.edits.bound import Bound, Edit
from pinxit.edits.mask import TOP, unit

if TYPE_CHECKING:
    from torch import Tensor


class Adjust(Edit):
    """Change light and colour by plain formulas: white balance, exposure, levels, contrast, gamma, saturation.

    They are done in this order. The numbers are the file's own; where light is meant they are taken as sRGB.
    """

    balance: Literal["none", "grey-world"] = Field(
        "none", description="White balance: bring the mean light of red, green and blue to one (Buchsbaum, 1980)."
    )
    temperature: float = Field(
        0.0, ge=-1, le=1, description="Warmer above 0: red light times 2^t and blue light times 2^-t; cooler below."
    )
    exposure: float = Field(0.0, ge=-8, le=8, description="Light, in stops: each one doubles it.")
    levels: float | None = Field(
        None, ge=0, lt=50, description="Stretch to black and white, so many percent of the values cut at either end."
    )
    contrast: float = Field(1.0, ge=0, le=8, description="Distance from middle grey, times this.")
    gamma: float = Field(1.0, ge=0.1, le=10, description="Numbers to the power 1 / gamma: lighter above 1.")
    saturation: float = Field(1.0, ge=0, le=8, description="Distance of colours from their grey (BT.709), times this.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        return Adjustment(self)


@dataclass(frozen=True)
class Adjustment(Bound):
    """`Adjust` for one picture: the gains of its colours' light, and what becomes black and white."""

    settings: Adjust
    gains: tuple[float, ...] = (1.0, 1.0, 1.0)
    black: float = 0.0
    white: float = 1.0
    radius = 0

    def fitted(self, pixels: np.ndarray) -> Adjustment:
        """Return the edit with the gains and levels that this picture needs."""
        gains = np.full(pixels.shape[2], 2.0**self.settings.exposure)
        if len(gains) == 3:
            gains *= 2.0 ** np.array([self.settings.temperature, 0, -self.settings.temperature])
        counts = _histograms(pixels)
        numbers = np.linspace(0, 1, counts.shape[1])
        if self.settings.balance == "grey-world":
            light = counts @ linear(numbers) / counts.sum(axis=1)
            gains *= np.divide(light.mean(), light, out=np.ones_like(light), where=light > 0)
        if self.settings.levels is None:
            return replace(self, gains=tuple(gains))
        shares, cut = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True), self.settings.levels / 100
        ends = numbers[[(shares > cut).argmax(axis=1), (shares >= 1 - cut).argmax(axis=1)]]
        low, high = encoded(linear(ends) * gains)
        black, white = float(low.min()), float(high.max())
        flat = black >= white
        return replace(self, gains=tuple(gains), black=0.0 if flat else black, white=1.0 if flat else white)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture, adjusted."""
        asked, channels = self.settings, len(image)
        gains = image.new_tensor(self.gains[:channels])[:, None, None]
        numbers = (encoded(linear(image) * gains) - self.black) / (self.white - self.black)
        numbers = ((numbers - 0.5) * asked.contrast + 0.5).clamp(0, 1) ** (1 / asked.gamma)
        if channels == 3:
            grey = mix(numbers, BT709)
            numbers = grey + asked.saturation * (numbers - grey)
        return numbers.clamp(0, 1)


def _histograms(pixels: np.ndarray) -> np.ndarray:
    """Return how often each number occurs in each channel, (C, 256) or (C, 65536)."""
    if pixels.dtype.kind == "f":
        pixels = np.rint(unit(pixels) * 65535).astype(np.uint16)
    planes, top = np.moveaxis(pixels, 2, 0), TOP[pixels.dtype]
    return np.stack([np.bincount(plane.ravel(), minlength=top + 1) for plane in planes])
