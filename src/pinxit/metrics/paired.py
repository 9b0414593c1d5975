"""Metrics of picture pairs: functions of two batches that give one number per picture.

Both batches are (N, C, H, W), floating point in [0, 1], C 1 or 3, the reference second; others are a `DataError`. The
result is (N,) float64, and no picture's value depends on the others.

The channels compared and the border left out are part of the protocol, as the formula is: call `as_channels` and `crop`
first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, radians
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.colour import BT601, BT601_STUDIO, lab, mix
from pinxit.errors import DataError, UsageError

Channels = Literal["rgb", "y", "grey"]

PSNR_CEILING = 100.0

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_MS_SSIM_SIDE = _WINDOW * 2 ** (len(_SCALE_WEIGHTS) - 1)


@dataclass(frozen=True)
class PairedMetric:
    """A function that gives one number per picture.

    `definition` is part of the protocol: only scores with equal definitions are comparable. A metric that is not a
    headline measures one aspect only and does not replace the others. Pictures with sides below `smallest_side` are
    refused. A metric `of_colour` needs colour pictures.
    """

    measure: Callable[[Tensor, Tensor], Tensor]
    definition: str
    better: Literal["smaller", "larger"]
    headline: bool = False
    smallest_side: int = 1
    of_colour: bool = False


def as_channels(images: Tensor, channels: Channels) -> Tensor:
    """Return the channels of pictures (N, C, H, W) in [0, 1] that are compared; C is 1 or 3.

    `rgb` leaves pictures unchanged. `y` is BT.601 luma in its range of 16 to 235 of 255, without rounding to 8 bits:
    MATLAB's rgb2ycbcr, customary in super-resolution. `grey` is 0.299 R + 0.587 G + 0.114 B. A picture of one channel
    is unchanged by all three: in the range of 16 to 235 it would gain 1.32 dB, as one grey picture of Set14 does in
    many published tables.
    """
    if channels not in get_args(Channels):
        raise UsageError(f"unknown channels {channels!r}; use {', '.join(get_args(Channels))}")
    if _finite(images).shape[1] == 1 or channels == "rgb":
        return images
    if channels == "y":
        return (mix(images, BT601_STUDIO) + 16) / 255
    return mix(images, BT601)


def crop(images: Tensor, border: int) -> Tensor:
    """Return pictures (N, C, H, W) without `border` pixels on each side; `UsageError` if nothing is left."""
    height, width = images.shape[-2:]
    if not 0 <= 2 * border < min(height, width):
        raise UsageError(
            f"a border of {border} pixels leaves nothing of {height}x{width}; use 0 to {(min(height, width) - 1) // 2}"
        )
    return images[..., border : height - border, border : width - border]


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio, -10 log10 of the mean squared error, in dB; inf for equal pictures.

    Only `images` may leave [0, 1], because the denoising literature does not clip its noise.
    """
    _same_shape(images, reference)
    return decibels(_finite(images).double() - _within_range(reference).double())


def reported_psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Return `psnr` of pictures in [0, 1], at most 100 dB, so that a set with equal pictures has a mean.

    Leaving equal pictures out instead would penalise perfect restorations.
    """
    return psnr(*checked_pair(images, reference)).clamp(max=PSNR_CEILING)


def clipped_psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Return the PSNR of pictures clipped to [0, 1], at most 100 dB, in their own precision."""
    return decibels((images.clamp(0, 1) - reference).contiguous()).clamp(max=PSNR_CEILING)


def decibels(error: Tensor) -> Tensor:
    """Return -10 log10 of the mean square of each picture's error (N, C, H, W): (N,)."""
    return -10 * error.square().mean((1, 2, 3)).log10()


def ssim(images: Tensor, reference: Tensor) -> Tensor:
    """Return the structural similarity in [-1, 1], 1 for equal pictures (Wang et al., 2004, eq. 13).

    Gaussian window of 11 pixels and sigma 1.5, only where it is inside the picture; population covariances;
    K1 = 0.01, K2 = 0.03; mean over pixels and channels. Unlike Wang's program, large pictures are not downscaled first.
    Sides below 11 are refused.
    """
    images, reference = at_least(_WINDOW, "SSIM", *checked_pair(images, reference))
    luminance, contrast = _similarities(images.double(), reference.double())
    return (luminance * contrast).mean((1, 2, 3))


def ms_ssim(images: Tensor, reference: Tensor) -> Tensor:
    """Return the multi-scale structural similarity in [0, 1], 1 for equal pictures (Wang et al., 2003, eq. 7).

    Contrast and structure of `ssim` at five scales, each halved by 2x2 means, and luminance at the last. Each scale's
    mean is over pixels and channels together; a negative mean counts as 0. Sides below 176 are refused, because the
    last scale would be smaller than the window. torchmetrics 1.9 differs from the paper: at the last scale its window
    extends over the border.
    """
    one, other = at_least(_MS_SSIM_SIDE, "MS-SSIM", *checked_pair(images, reference))
    one, other = one.double(), other.double()
    result = one.new_ones(len(one))
    for weight in _SCALE_WEIGHTS[:-1]:
        _, contrast = _similarities(one, other)
        result = result * contrast.mean((1, 2, 3)).clamp(min=0) ** weight
        one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
    luminance, contrast = _similarities(one, other)
    return result * (luminance * contrast).mean((1, 2, 3)).clamp(min=0) ** _SCALE_WEIGHTS[-1]


def edge_error(images: Tensor, reference: Tensor) -> Tensor:
    """Return the mean absolute difference of the Sobel gradients' magnitudes, 0 to 1.

    The magnitude is sqrt((gx^2 + gy^2) / 2) of every channel. gx and gy are differences between the pixels on either
    side, smoothed along the edge by (1, 2, 1) / 4. Border pixels are repeated outside the picture.
    """
    images, reference = checked_pair(images, reference)
    return (_edges(images.double()) - _edges(reference.double())).abs().mean((1, 2, 3))


def colour_error(images: Tensor, reference: Tensor) -> Tensor:
    """Return the mean colour difference CIEDE2000 over pixels; a difference of about 1 is just visible.

    Pictures are sRGB under D65; a single channel is neutral grey.
    """
    images, reference = checked_pair(images, reference)
    return ciede2000(lab(images.double()), lab(reference.double())).mean((1, 2))


def ciede2000(one: Tensor, other: Tensor) -> Tensor:
    """Return the colour difference of L*a*b* maps (N, 3, H, W) as (N, H, W) (Sharma et al., 2005, eq. 2-22).

    Weights kL = kC = kH = 1. Hues are in radians. The hue of a colour without chroma, which the paper sets by rule, is
    left as it is, because its difference then has no effect.
    """
    (l1, a1, b1), (l2, a2, b2) = one.unbind(1), other.unbind(1)
    g = 0.5 * (1 - _saturation((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1) % (2 * pi), torch.atan2(b2, a2) % (2 * pi)

    turn = (h2 - h1) - 2 * pi * ((h2 - h1) / (2 * pi)).round()
    hue_difference = 2 * (c1 * c2).sqrt() * torch.sin(turn / 2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = h1 + turn / 2

    t = (
        1
        - 0.17 * torch.cos(hue - radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + radians(6))
        - 0.20 * torch.cos(4 * hue - radians(63))
    )
    lightness_scale = 1 + 0.015 * (lightness - 50) ** 2 / (20 + (lightness - 50) ** 2).sqrt()
    chroma_scale = 1 + 0.045 * chroma
    hue_scale = 1 + 0.015 * chroma * t
    from_blue = (hue % (2 * pi) - radians(275)) / radians(25)
    rotation = -2 * _saturation(chroma) * torch.sin(radians(60) * torch.exp(-(from_blue**2)))

    dl, dc, dh = (l2 - l1) / lightness_scale, (c2 - c1) / chroma_scale, hue_difference / hue_scale
    return (dl**2 + dc**2 + dh**2 + rotation * dc * dh).clamp(min=0).sqrt()


# A definition is the docstring, shortened to be written beside every score.
PAIRED: dict[str, PairedMetric] = {
    "psnr": PairedMetric(
        measure=reported_psnr,
        definition="-10 log10 of the mean squared error, peak 1, in dB, at most 100 (equal pictures)",
        better="larger",
        headline=True,
    ),
    "ssim": PairedMetric(
        measure=ssim,
        definition="Wang 2004: Gaussian window 11, sigma 1.5, inside the picture; K 0.01, 0.03; mean over channels",
        better="larger",
        headline=True,
        smallest_side=_WINDOW,
    ),
    "ms-ssim": PairedMetric(
        measure=ms_ssim,
        definition="Wang 2003: ssim at five scales, 2x2 means, exponents .0448 .2856 .3001 .2363 .1333, at least 0; "
        "mean over channels at each scale",
        better="larger",
        headline=True,
        smallest_side=_MS_SSIM_SIDE,
    ),
    "edge error": PairedMetric(
        measure=edge_error,
        definition="mean |difference| of Sobel magnitudes sqrt((gx^2 + gy^2) / 2), last pixels repeated",
        better="smaller",
    ),
    "colour error": PairedMetric(
        measure=colour_error,
        definition="mean CIEDE2000 over pixels, sRGB, D65, kL = kC = kH = 1",
        better="smaller",
        of_colour=True,
    ),
}


def checked_pair(images: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both batches, or raise `DataError` if they cannot be compared."""
    _same_shape(images, reference)
    return _within_range(images), _within_range(reference)


def at_least(side: int, name: str, images: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both batches, or raise `DataError` if their sides are too small for the metric `name`."""
    height, width = images.shape[-2:]
    if min(height, width) < side:
        raise DataError(
            f"{name} needs sides of at least {side} pixels, not {height}x{width}; use larger pictures, or psnr"
        )
    return images, reference


def _same_shape(images: Tensor, reference: Tensor) -> None:
    if images.shape != reference.shape:
        raise DataError(f"pictures {_words(images)} cannot be compared with {_words(reference)}; give equal shapes")


def _within_range(images: Tensor) -> Tensor:
    if not (_finite(images).amin() >= 0 and images.amax() <= 1):
        raise DataError("a paired metric takes pictures with all values in [0, 1]; divide 8-bit pictures by 255")
    return images


def _finite(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.numel():
        raise DataError(
            f"pictures {_words(images)} cannot be compared; give (N, C, H, W), C 1 or 3, with alpha laid over a colour"
        )
    if not (images.is_floating_point() and images.isfinite().all()):
        raise DataError("a paired metric takes floating-point pictures without NaN or infinity")
    return images


def _words(images: Tensor) -> str:
    return "x".join(str(side) for side in images.shape) or "a single number"


def _similarities(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps of luminance, and of contrast and structure together (Wang et al., 2004, eq. 6 and 13)."""
    mean1, mean2 = _windowed(one), _windowed(other)
    variances = _windowed(one * one) + _windowed(other * other) - mean1**2 - mean2**2
    covariance = _windowed(one * other) - mean1 * mean2
    luminance = (2 * mean1 * mean2 + _C1) / (mean1**2 + mean2**2 + _C1)
    return luminance, (2 * covariance + _C2) / (variances + _C2)


def _windowed(images: Tensor) -> Tensor:
    """Return the mean under the Gaussian window wherever it is inside the picture."""
    offsets = torch.arange(_WINDOW, dtype=images.dtype, device=images.device) - _WINDOW // 2
    return _filtered(images, *(torch.softmax(-(offsets**2) / (2 * _SIGMA**2), 0),) * 2)


def _edges(images: Tensor) -> Tensor:
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    difference, smooth = images.new_tensor([-1, 0, 1]), images.new_tensor([1, 2, 1]) / 4
    across, down = _filtered(padded, smooth, difference), _filtered(padded, difference, smooth)
    return ((across**2 + down**2) / 2).sqrt()


def _filtered(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return the valid part of every channel, correlated with `down` along columns and `across` along rows."""
    planes = images.flatten(0, 1)[:, None]
    planes = F.conv2d(F.conv2d(planes, down[None, None, :, None]), across[None, None, None, :])
    return planes.unflatten(0, images.shape[:2])[:, :, 0]


def _saturation(chroma: Tensor) -> Tensor:
    return (chroma**7 / (chroma**7 + 25**7)).sqrt()
