"""Luma, the sRGB curve and CIE L*a*b*, for tensors and arrays. torch is imported only where it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Weights = tuple[float, float, float]

# Weights of red, green and blue in luma. BT.601: the field's grey, as Pillow's "L". BT.709: HDTV and sRGB displays.
BT601: Weights = (0.299, 0.587, 0.114)
BT709: Weights = (0.2126, 0.7152, 0.0722)
# BT.601 in the 8-bit studio range: for pictures in [0, 1], luma is 16 + the weighted sum, from 16 to 235.
BT601_STUDIO: Weights = (65.481, 128.553, 24.966)

# Linear sRGB to XYZ (ITU-R BT.709 primaries), and the white D65 of the 2 degree observer.
_XYZ: tuple[Weights, ...] = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)


def mix(images: Tensor, weights: Weights) -> Tensor:
    """Return the weighted sum of three channels: (..., 3, H, W) to (..., 1, H, W)."""
    return (images * images.new_tensor(weights)[:, None, None]).sum(-3, keepdim=True)


def luma(images: Tensor, weights: Weights) -> Tensor:
    """Return the luma of pictures (..., C, H, W), C 1 or 3, as (..., 1, H, W); a single channel is unchanged."""
    return images if images.shape[-3] == 1 else mix(images, weights)


def pixel_luma(pixels: np.ndarray) -> np.ndarray:
    """Return the BT.709 luma (H, W) of a float array (H, W, C), C 1 or 3; a single channel is unchanged."""
    light: np.ndarray = pixels[..., 0] if pixels.shape[2] == 1 else pixels @ np.array(BT709, np.float32)
    return light


def linear(encoded: Any) -> Any:
    """Return sRGB values in [0, 1] as linear light in [0, 1] (IEC 61966-2-1); takes tensors and arrays."""
    dark = encoded <= 0.04045
    return dark * (encoded / 12.92) + ~dark * ((encoded + 0.055) / 1.055) ** 2.4


def encoded(light: Any) -> Any:
    """Return linear light as sRGB values; light above 1 follows the same formula. Takes tensors and arrays."""
    dark = light <= 0.0031308
    return dark * (light * 12.92) + ~dark * (1.055 * light ** (1 / 2.4) - 0.055)


def lab(images: Tensor) -> Tensor:
    """Return sRGB pictures (N, 1 or 3, H, W) in [0, 1] as CIE L*a*b* (N, 3, H, W), white D65."""
    import torch

    light = linear(images.expand(-1, 3, -1, -1))
    ratios = torch.cat([mix(light, row) / white for row, white in zip(_XYZ, _WHITE, strict=True)], 1)
    x, y, z = torch.where(ratios > (6 / 29) ** 3, ratios ** (1 / 3), ratios * (29 / 6) ** 2 / 3 + 4 / 29).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
