"""Sliding cosine transforms and the estimate of noise, against scipy, scikit-image and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dct, dctn, idct, idctn
from scipy.ndimage import convolve1d
from scipy.stats import norm
from skimage import data

from pinxit.edits import dct as ours
from pinxit.edits.dct import RADIUS, SlidingDCT, cosines, denoise_dct, estimated_sigma


def plainly(image: np.ndarray, sigma: float) -> np.ndarray:
    """The definition, a patch at a time: (C, H, W), sides at least 8."""
    planes = dct(image, axis=0, norm="ortho")
    total, count = np.zeros_like(planes), np.zeros_like(planes)
    for plane in range(len(planes)):
        for top in range(planes.shape[1] - 7):
            for left in range(planes.shape[2] - 7):
                here = plane, slice(top, top + 8), slice(left, left + 8)
                patch = dctn(planes[here], norm="ortho")
                small = np.abs(patch) <= 2.7 * sigma
                small[0, 0] = False
                patch[small] = 0
                total[here] += idctn(patch, norm="ortho")
                count[here] += 1
    return idct(total / count, axis=0, norm="ortho")


def noisy(channels: int, height: int, width: int, sigma: float = 0.1) -> np.ndarray:
    photo = data.astronaut()[100 : 100 + height, 200 : 200 + width, :channels] / 255
    return np.moveaxis(photo, 2, 0) + sigma * np.random.default_rng(0).standard_normal((channels, height, width))


@pytest.mark.parametrize("strip", [1, 40, 2**13])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (1, 19, 23), (3, 17, 12)])
def test_it_is_the_definition(
    channels: int, height: int, width: int, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "STRIP", strip)
    image = noisy(channels, height, width)
    denoised = denoise_dct(torch.from_numpy(image), 0.1)  # float64, so that no coefficient is on the other side
    np.testing.assert_allclose(denoised.numpy(), plainly(image, 0.1), atol=1e-12)


def test_a_small_side_is_continued_by_its_last_pixels() -> None:
    image = noisy(1, 3, 11)
    expected = plainly(np.pad(image, ((0, 0), (0, 5), (0, 0)), mode="edge"), 0.1)[:, :3]
    np.testing.assert_allclose(denoise_dct(torch.from_numpy(image), 0.1).numpy(), expected, atol=1e-12)


def test_without_noise_nothing_changes() -> None:
    image = torch.from_numpy(noisy(3, 20, 21)).float()
    torch.testing.assert_close(denoise_dct(image, 0.0), image, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_transform_is_orthonormal_and_scipys(size: int) -> None:
    waves = cosines(size).numpy()
    np.testing.assert_allclose(waves @ waves.T, np.eye(size), atol=1e-14)
    np.testing.assert_allclose(waves, dct(np.eye(size), axis=0, norm="ortho"), atol=1e-14)


def test_a_pixel_depends_on_those_at_most_its_radius_away() -> None:
    image = torch.from_numpy(noisy(1, 40, 40))
    changed = image.clone()
    changed[0, 20, 20] += 1
    rows, columns = (denoise_dct(image, 0.1) != denoise_dct(changed, 0.1))[0].nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20 - RADIUS, 20 + RADIUS) * 2


def test_denoising_camera_gains_5_db() -> None:
    clean = torch.from_numpy(data.camera() / 255).float()[None]
    spoilt = clean + 25 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    before, after = ((image - clean).square().mean() for image in (spoilt, denoise_dct(spoilt, 25 / 255)))
    assert 10 * (before / after).log10() > 8.5  # 9.03


def by_daubechies(image: np.ndarray) -> float:
    """The same estimate by Daubechies' wavelet of four taps, which scikit-image's `estimate_sigma` takes."""
    root = np.sqrt(3)
    taps = np.array([1 - root, root - 3, 3 + root, -1 - root]) / np.sqrt(32)
    detail = convolve1d(convolve1d(image, taps, axis=0), taps, axis=1)
    return float(np.median(np.abs(detail)) / norm.ppf(0.75))


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("picture", ["camera", "chelsea", "brick"])
def test_the_noise_is_estimated(picture: str, sigma: float) -> None:
    clean = np.atleast_3d(getattr(data, picture)() / 255)
    spoilt = clean + sigma * np.random.default_rng(0).standard_normal(clean.shape)
    estimate = estimated_sigma(spoilt.astype(np.float32))
    assert abs(estimate - sigma) < 0.15 * sigma
    assert abs(estimate - by_daubechies(spoilt)) < 0.1 * sigma


def test_the_noise_is_estimated_in_the_depth_of_the_file_and_from_a_part_of_large_pictures(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    grain = rng.normal(0.5, 0.05, (300, 501, 3)).clip(0, 1)
    exact = estimated_sigma(grain.astype(np.float32))
    assert exact == pytest.approx(0.05, rel=0.02)
    assert estimated_sigma(np.rint(grain * 65535).astype(np.uint16)) == pytest.approx(exact, rel=1e-3)
    assert estimated_sigma(np.rint(grain * 255).astype(np.uint8)) == pytest.approx(exact, rel=0.05)
    monkeypatch.setattr(ours, "COEFFICIENTS", 5000)
    part = estimated_sigma(grain.astype(np.float32))
    assert part != exact
    assert part == pytest.approx(0.05, rel=0.04)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 30, 3), (30, 1, 1)])
def test_a_picture_without_diagonals_has_no_noise(shape: tuple[int, int, int]) -> None:
    assert estimated_sigma(np.ones(shape, np.uint8)) == 0


def test_the_edit_sees_the_noise_of_the_whole_picture() -> None:
    image = torch.from_numpy(noisy(3, 60, 60)).float().clamp(0, 1)
    sigma = estimated_sigma(image.permute(1, 2, 0).numpy())
    known = SlidingDCT(None).for_picture(image.permute(1, 2, 0).numpy())
    assert known == SlidingDCT(sigma)
    corner = image[:, :20, :20]
    torch.testing.assert_close(known.run(corner, None), denoise_dct(corner, sigma).clamp(0, 1))
    torch.testing.assert_close(SlidingDCT(None).run(image, None), known.run(image, None))
    assert SlidingDCT(0.2).for_picture(image.permute(1, 2, 0).numpy()) == SlidingDCT(0.2)
