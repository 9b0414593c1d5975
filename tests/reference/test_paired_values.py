"""Paired metrics against torchmetrics, scikit-image, published tables and the authors' own program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color, data, filters
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as torchmetrics_psnr,
)

from pinxit.colour import lab
from pinxit.metrics.paired import as_channels, ciede2000, colour_error, edge_error, ms_ssim, psnr, ssim
from pinxit.metrics.perceptual import lpips_like, st_lpips
from pinxit.nets.alexnet import ShiftTolerantAlexNet, halved
from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.pretrained import lite0_weights


def picture(pixels: np.ndarray) -> Tensor:
    """(1, C, H, W) float64 of 8-bit pixels."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(pixels.copy()).movedim(-1, 0)[None].double() / 255


def array(image: Tensor) -> np.ndarray:
    return image[0].movedim(0, -1).numpy()


def spoiled(image: Tensor, seed: int = 0) -> Tensor:
    noise = np.random.default_rng(seed).standard_normal(image.shape)
    return (image + 0.1 * torch.from_numpy(noise)).clamp(0, 1)


def pairs() -> list[tuple[Tensor, Tensor]]:
    astronaut, coffee = picture(data.astronaut()[:301, :275]), picture(data.coffee()[:190, 50:350])
    camera, page = picture(data.camera()[:200, :231]), picture(data.page()[:, :180])
    return [
        (spoiled(astronaut), astronaut),
        (coffee**1.5, coffee),
        (coffee.flip(-1), coffee),
        (spoiled(camera, 1), camera),
        ((page + 0.2).clamp(0, 1), page),
    ]


every_pair = pytest.mark.parametrize("pair", pairs(), ids=["noise", "gamma", "mirrored", "grey noise", "brighter page"])
Pair = tuple[Tensor, Tensor]


@every_pair
def test_psnr_is_that_of_scikit_image_and_torchmetrics(pair: Pair) -> None:
    assert float(psnr(*pair)) == pytest.approx(
        peak_signal_noise_ratio(array(pair[1]), array(pair[0]), data_range=1), abs=1e-9
    )
    assert float(psnr(*pair)) == pytest.approx(float(torchmetrics_psnr(*pair, data_range=1.0)), abs=1e-4)


def torchmetrics_ssim(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Its mean SSIM, for which it mirrors pixels beyond the border, and the mean where the window lies inside."""
    over_border, where = structural_similarity_index_measure(one, other, data_range=1.0, return_full_image=True)
    return float(over_border), float(where[..., 5:-5, 5:-5].mean())


@every_pair
def test_ssim_is_that_of_scikit_image_and_torchmetrics(pair: Pair) -> None:
    theirs = structural_similarity(
        *map(array, pair), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=-1
    )
    assert float(ssim(*pair)) == pytest.approx(theirs, abs=1e-9)
    assert float(ssim(*pair)) == pytest.approx(torchmetrics_ssim(*pair)[1], abs=1e-9)


@every_pair
def test_ms_ssim_is_that_of_torchmetrics_but_for_the_border_of_its_last_scale(pair: Pair) -> None:
    theirs = float(multiscale_structural_similarity_index_measure(*pair, data_range=1.0))
    one, other = pair
    for _ in range(4):
        one, other = torch.nn.functional.avg_pool2d(one, 2), torch.nn.functional.avg_pool2d(other, 2)
    over_border, inside = torchmetrics_ssim(one, other)
    assert float(ms_ssim(*pair)) == pytest.approx(theirs * (inside / over_border) ** 0.1333, abs=1e-6)


def test_structure_turned_to_its_opposite_counts_as_none() -> None:
    gravel = picture(data.gravel()[:200, :200])
    assert float(ssim(1 - gravel, gravel)) < -0.5
    assert float(ms_ssim(1 - gravel, gravel)) == 0
    checks = torch.ones(200, 200).double() - 2 * (torch.arange(200)[:, None] + torch.arange(200)).remainder(2)
    assert float(ms_ssim(0.5 * gravel + 0.25 + 0.2 * checks, 0.5 * gravel + 0.25 - 0.2 * checks)) == 0


@every_pair
def test_edges_are_those_of_scikit_image(pair: Pair) -> None:
    theirs = [
        np.abs(filters.sobel(one) - filters.sobel(other)).mean()
        for one, other in zip(*(image[0].numpy() for image in pair), strict=True)
    ]
    assert float(edge_error(*pair)) == pytest.approx(np.mean(theirs), abs=1e-12)


@every_pair
def test_colours_are_those_of_scikit_image(pair: Pair) -> None:
    one, other = (color.rgb2lab(array(image.expand(-1, 3, -1, -1))) for image in pair)
    for image, theirs in zip(pair, (one, other), strict=True):
        np.testing.assert_allclose(array(lab(image)), theirs, atol=5e-4)  # it rounds CIE's 216/24389 and 841/108
    assert float(colour_error(*pair)) == pytest.approx(color.deltaE_ciede2000(one, other).mean(), abs=1e-4)


# Sharma et al., 2005, table 1: L* a* b* of two colours and their difference.
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425 | 50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.02 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1 | 50 -1.1848 -84.8006 50 0 -82.7485 1 | 50 -0.9009 -85.5211 50 0 -82.7485 1
50 0 0 50 -1 2 2.3669 | 50 -1 2 50 0 0 2.3669
50 2.49 -0.001 50 -2.49 0.0009 7.1792 | 50 2.49 -0.001 50 -2.49 0.001 7.1792
50 2.49 -0.001 50 -2.49 0.0011 7.2195 | 50 2.49 -0.001 50 -2.49 0.0012 7.2195
50 -0.001 2.49 50 0.0009 -2.49 4.8045 | 50 -0.001 2.49 50 0.001 -2.49 4.8045 | 50 -0.001 2.49 50 0.0011 -2.49 4.7461
50 2.5 0 50 0 -2.5 4.3065 | 50 2.5 0 73 25 -18 27.1492 | 50 2.5 0 61 -5 29 22.8977 | 50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535 | 50 2.5 0 50 3.1736 0.5854 1 | 50 2.5 0 50 3.2972 0 1 | 50 2.5 0 50 1.8634 0.5757 1
50 2.5 0 50 3.2592 0.335 1 | 60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630 | 61.2901 3.7196 -5.3901 61.4292 2.248 -4.962 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645 | 22.7233 20.0904 -46.694 23.0331 14.973 -42.5619 2.0373
36.4612 47.858 18.3852 36.2715 50.5065 21.2231 1.4146 | 90.8027 -2.0831 1.441 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381 | 6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.135 0.9033 -0.0636 -0.5514 0.9082
"""


def test_ciede2000_is_that_of_the_published_table() -> None:
    rows = np.array([[float(x) for x in row.split()] for row in SHARMA.replace("\n", "|").split("|") if row.strip()])
    assert rows.shape == (34, 7)
    one, other, expected = (torch.from_numpy(part) for part in (rows[:, :3], rows[:, 3:6], rows[:, 6]))
    one, other = (colours.T[None, :, :, None] for colours in (one, other))
    for pair in ((one, other), (other, one)):
        torch.testing.assert_close(ciede2000(*pair)[0, :, 0], expected, rtol=0, atol=6e-5)


def test_luma_is_matlabs_and_grey_is_pillows() -> None:
    coffee = data.coffee()
    luma = color.rgb2ycbcr(coffee)[..., 0] / 255
    np.testing.assert_allclose(as_channels(picture(coffee), "y")[0, 0], luma, atol=1e-12)
    grey = np.asarray(Image.fromarray(coffee).convert("L")) / 255
    np.testing.assert_allclose(as_channels(picture(coffee), "grey")[0, 0], grey, atol=0.51 / 255)


def st_lpips_pairs() -> dict[str, tuple[Tensor, Tensor, float]]:
    """Pairs and what the authors' own program gives, stlpips-pytorch 0.0.2, without the packages it imports in vain.

    for name in ("torchvision", "torchvision.models", "torchsummary", "IPython"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision"].models = sys.modules["torchvision.models"]
    sys.modules["torchsummary"].summary = sys.modules["IPython"].embed = None
    from stlpips_pytorch import stlpips
    metric = stlpips.LPIPS(net="alex", variant="shift_tolerant")
    metric(one.float(), other.float(), normalize=True)
    """
    astronaut, coffee, cat = (picture(pixels) for pixels in (data.astronaut(), data.coffee(), data.chelsea()))
    face, cup = astronaut[..., 30:250, 150:350], coffee[..., 60:161, 50:173]
    return {
        "noise": (face, spoiled(face), 0.493148714),
        "shifted by a pixel and two": (face, astronaut[..., 31:251, 152:352], 0.013161758),
        "other": (coffee[..., 60:280, 50:250], cat[..., 60:280, 50:250], 0.641941786),
        "odd sides, mirrored": (cup, cup.flip(-1), 0.478685886),
        "the smallest": (coffee[..., 60:81, 50:71], cat[..., 60:81, 50:71], 0.439532280),
    }


@pytest.mark.parametrize(("one", "other", "theirs"), st_lpips_pairs().values(), ids=st_lpips_pairs().keys())
def test_st_lpips_is_that_of_its_authors(one: Tensor, other: Tensor, theirs: float) -> None:
    assert float(st_lpips(one, other)) == pytest.approx(theirs, abs=1e-5)


def test_lpips_like_is_its_formula_by_hand() -> None:
    pair = picture(data.coffee()[100:170, 200:280]), picture(data.chelsea()[100:170, 200:280])
    network = EfficientNetLite0()
    network.load_state_dict(lite0_weights())
    with torch.no_grad():
        maps, others = (network.eval().stages(image.float()) for image in pair)
    expected = 0.0
    for stage, channels in {1: 16, 3: 24, 5: 40, 11: 112, 16: 320}.items():
        one, other = maps[stage][0].flatten(1).T, others[stage][0].flatten(1).T
        assert one.shape[1] == channels
        cosine = torch.nn.functional.cosine_similarity(one, other)
        expected += float((2 - 2 * cosine).mean())
    assert float(lpips_like(*pair)) == pytest.approx(expected, rel=1e-5)


def test_halving_is_a_binomial_blur_with_two_mirrored_pixels() -> None:
    maps = torch.randn(1, 2, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    padded = np.pad(maps.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    expected = [
        [(padded[0, :, y : y + 3, x : x + 3] * kernel).sum((1, 2)) for x in range(0, 8, 2)] for y in range(0, 9, 2)
    ]
    np.testing.assert_allclose(halved(maps)[0], np.moveaxis(expected, -1, 0), atol=1e-12)


def test_the_five_maps_are_shown_for_other_uses() -> None:
    with torch.no_grad():
        maps = ShiftTolerantAlexNet()(torch.rand(2, 3, 64, 80))
    assert [m.shape[1] for m in maps] == list(ShiftTolerantAlexNet.channels)
    assert [m.shape[2:] for m in maps] == [(30, 38), (15, 19), (8, 10), (8, 10), (8, 10)]
    assert all(float(m.min()) >= 0 for m in maps)
