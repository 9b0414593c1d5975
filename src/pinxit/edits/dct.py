"""Denoising by thresholding sliding 8 x 8 cosine transforms, and an estimate of the noise's standard deviation.

Every 8 x 8 patch of the picture is transformed. Coefficients no larger than the threshold are set to zero. The patches
are averaged where they overlap (Yu and Sapiro, 2011, "DCT image denoising: a simple and effective image denoising
algorithm"). Differs from it: the threshold is 2.7 sigma, not 3, and a patch's mean is always kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.edits.bound import Bound
from pinxit.edits.mask import unit

SIDE = 8
RADIUS = SIDE - 1
THRESHOLD = 2.7
STRIP = 2**13
"""Patches transformed at once: their 64 coefficients take 2 MB, which stays in a processor's cache."""
COEFFICIENTS = 2**20
BLOCK = tuple(product((0, 1), repeat=2))


@dataclass(frozen=True)
class SlidingDCT(Bound):
    """`denoise_dct` for noise of standard deviation `sigma`; estimated from the picture if None."""

    sigma: float | None
    radius = RADIUS

    def for_picture(self, pixels: np.ndarray) -> SlidingDCT:
        """Return the edit with the sigma of this picture."""
        return replace(self, sigma=estimated_sigma(pixels)) if self.sigma is None else self

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture without noise, clipped to [0, 1]."""
        sigma = estimated_sigma(image.permute(1, 2, 0).cpu().numpy()) if self.sigma is None else self.sigma
        return denoise_dct(image, sigma).clamp(0, 1)


def denoise_dct(image: Tensor, sigma: float) -> Tensor:
    """Return (C, H, W), C 1 or 3, without Gaussian noise of standard deviation `sigma`; not clipped.

    A pixel depends on those at most `RADIUS` away. Colours are transformed to three orthogonal opponents, in which the
    noise is as strong as in red, green and blue. A side shorter than 8 is extended by repeating its last row or column.
    """
    _, height, width = image.shape
    planes = F.pad(image[None], (0, max(0, SIDE - width), 0, max(0, SIDE - height)), mode="replicate")[0]
    opponents = cosines(len(image)).to(image)
    planes = thresholded(torch.einsum("oc,chw->ohw", opponents, planes), THRESHOLD * sigma)
    return torch.einsum("oc,ohw->chw", opponents, planes)[:, :height, :width]


def thresholded(planes: Tensor, threshold: float) -> Tensor:
    """Return (C, H, W), sides at least 8, as the mean of its overlapping patches without their small coefficients."""
    _, height, width = planes.shape
    total, count = torch.zeros_like(planes), planes.new_zeros(height, width)
    transform = torch.kron(cosines(SIDE), cosines(SIDE)).to(planes)
    rows = max(1, STRIP // (width - RADIUS))
    for top in range(0, height - RADIUS, rows):
        strip = slice(top, top + rows + RADIUS)
        size = total[0, strip].shape
        coefficients = transform @ F.unfold(planes[:, None, strip], SIDE)
        kept = coefficients.abs() > threshold
        kept[:, 0] = True
        patches = transform.mT @ coefficients.mul_(kept)
        total[:, strip] += F.fold(patches, size, SIDE)[:, 0]
        count[strip] += F.fold(torch.ones_like(patches[:1]), size, SIDE)[0, 0]
    return total / count


def cosines(size: int) -> Tensor:
    """Return the orthonormal cosine transform (size, size), float64: row k is the wave of k half periods (DCT-II).

    Applied to three colours it gives the opponents: their sum, red against blue, and green against both.
    """
    place = torch.arange(size, dtype=torch.float64) + 0.5
    waves = (torch.arange(size)[:, None] * place * (math.pi / size)).cos() * math.sqrt(2 / size)
    waves[0] /= math.sqrt(2)
    return waves


def estimated_sigma(pixels: np.ndarray) -> float:
    """Return the standard deviation of the Gaussian noise in (H, W, C), in units of the image range; 0 if H or W is 1.

    It is the median of |d| / 0.6745, where d are the diagonal coefficients of the Haar wavelet at the finest scale
    (Donoho and Johnstone, 1994, section 4.2): few of them lie on an edge. Large pictures are sampled at a million
    places. Clipped noise, and coarser noise such as JPEG leaves, is underestimated. A fine regular texture is taken for
    noise.
    """
    height, width, _ = pixels.shape
    step = 2 * math.ceil(math.sqrt(height * width / 4 / COEFFICIENTS))
    corners = (pixels[row : height - 1 + row : step, column : width - 1 + column : step] for row, column in BLOCK)
    a, b, c, d = (unit(corner) for corner in corners)
    detail = np.abs(a - b - c + d) / 2
    return float(np.median(detail)) / NormalDist().inv_cdf(0.75) if detail.size else 0.0
