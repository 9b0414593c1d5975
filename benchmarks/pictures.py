"""Pictures that several benchmarks use, and how far a result is from them."""

from __future__ import annotations

import math

import numpy as np
import skimage.data
from torch import Tensor

from pinxit.metrics.paired import psnr


def photograph(wide: int, high: int) -> np.ndarray:
    """Return scikit-image's astronaut, repeated to (high, wide, 3) uint8."""
    piece = skimage.data.astronaut()
    return np.tile(piece, (math.ceil(high / len(piece)), math.ceil(wide / len(piece)), 1))[:high, :wide]


def rounded(image: Tensor) -> Tensor:
    """Return a picture as an 8-bit file holds it: clipped to [0, 1] and rounded."""
    return (image.clamp(0, 1) * 255).round() / 255


def decibels(image: Tensor, clean: Tensor) -> float:
    """Return the PSNR of a picture (C, H, W) in dB."""
    return psnr(image[None], clean[None]).item()
