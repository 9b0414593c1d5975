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
_LINEAR = np.linalg.inv(np.array(_XYZ))

KEPT = 1e-5
"""How far linear light may leave [0, 1] before a colour counts as one that sRGB lacks: rounding goes less far."""
HALVINGS = 16


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


def lightness(images: Tensor) -> Tensor:
    """Return the CIE lightness L* of sRGB pictures (..., 1 or 3, H, W) in [0, 1] as (..., 1, H, W), in [0, 100]."""
    import torch

    light: Tensor = mix(linear(images.expand(*images.shape[:-3], 3, -1, -1)), _XYZ[1])
    return 116 * torch.where(light > (6 / 29) ** 3, light ** (1 / 3), light * (29 / 6) ** 2 / 3 + 4 / 29) - 16


def from_lab(values: Tensor) -> Tensor:
    """Return CIE L*a*b* (N, 3, H, W), white D65, as sRGB pictures (N, 3, H, W) in [0, 1].

    A colour that sRGB lacks loses chroma until it has it, and keeps its lightness and its hue.
    """
    import torch

    light = _light(values)
    lost = ((light < -KEPT) | (light > 1 + KEPT)).any(1)
    if lost.any():
        wide = values.movedim(1, -1)[lost].T[None, :, None]
        light.movedim(1, -1)[lost] = _light(torch.cat([wide[:, :1], _most(wide) * wide[:, 1:]], 1))[0, :, 0].T
    found: Tensor = encoded(light.clamp(0, 1))
    return found


def _light(values: Tensor) -> Tensor:
    """Return L*a*b* (N, 3, H, W) as linear light of red, green and blue, which may leave [0, 1]."""
    import torch

    y = (values[:, 0] + 16) / 116
    ratios = torch.stack([y + values[:, 1] / 500, y, y - values[:, 2] / 200], 1)
    xyz = torch.where(ratios > 6 / 29, ratios**3, 3 * (6 / 29) ** 2 * (ratios - 4 / 29))
    rows = _LINEAR * np.array(_WHITE)
    return torch.cat([mix(xyz, tuple(row)) for row in rows.tolist()], 1)


def _most(values: Tensor) -> Tensor:
    """Return the largest share of the chroma of each colour (N, 3, H, W) that sRGB has, (N, 1, H, W) in [0, 1]."""
    import torch

    low = torch.zeros_like(values[:, :1])
    for step in range(1, HALVINGS + 1):
        tried = low + 0.5**step
        light = _light(torch.cat([values[:, :1], tried * values[:, 1:]], 1))
        low = torch.where(((light >= -KEPT) & (light <= 1 + KEPT)).all(1, keepdim=True), tried, low)
    return low
