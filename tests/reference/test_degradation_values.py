"""Degradations against values that others gave: scipy, Pillow, MATLAB's imresize written out, and the formulas."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, special
from skimage import data

from pinxit.degradations import Chain, Degraded, _oblong, _sinc, resize_bicubic


def photograph(name: str) -> torch.Tensor:
    pixels = getattr(data, name)()
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1).contiguous() / 255


def spoilt(text: str, image: torch.Tensor, seed: int = 0) -> Degraded:
    return Chain.parse(text).degrade(image, torch.Generator().manual_seed(seed))


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return -10 * math.log10((one - other).double().square().mean().item())


@pytest.mark.parametrize("name", ["camera", "astronaut"])
def test_noise_of_25_of_255_unclipped_is_the_literatures_20_17_decibels(name: str) -> None:
    clean = photograph(name)
    result = spoilt(f"noise(sigma={25 / 255})", clean)
    assert psnr(result.image, clean) == pytest.approx(20.17, abs=0.02)
    noise = result.image - clean
    assert noise.mean().item() == pytest.approx(0, abs=1e-3)
    assert result.image.min() < 0
    assert result.image.max() > 1
    assert psnr(spoilt("clip", result.image).image, clean) > 20.3


def test_poisson_noise_has_the_mean_of_the_picture_and_its_share_of_the_peak_as_variance() -> None:
    clean = torch.tensor([0.0, 0.1, 0.5, 1.0]).view(1, 4, 1).expand(1, 4, 100_000)
    noisy = spoilt("poisson(peak=40)", clean).image[0]
    assert noisy.mean(dim=1) == pytest.approx([0, 0.1, 0.5, 1], abs=2e-3)
    assert noisy.var(dim=1) == pytest.approx([0, 0.1 / 40, 0.5 / 40, 1 / 40], rel=0.02)
    assert torch.allclose(noisy * 40, (noisy * 40).round(), atol=1e-4)


def test_clip_is_a_file_of_eight_bits() -> None:
    image = torch.linspace(-0.5, 1.5, 1001).view(1, 1, -1)
    kept = np.rint(image.numpy().clip(0, 1) * 255).astype(np.uint8)
    assert torch.equal(spoilt("clip", image).image, torch.from_numpy(kept) / 255)


@pytest.mark.parametrize("name", ["camera", "astronaut"])
@pytest.mark.parametrize("quality", [1, 10, 95])
def test_jpeg_is_pillows_file_decoded(name: str, quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(getattr(data, name)()[:99, :101]).save(file, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(file)).reshape(99, 101, -1)
    result = spoilt(f"jpeg(quality={quality})", photograph(name)[:, :99, :101])
    assert np.array_equal(np.rint(result.image.permute(1, 2, 0).numpy() * 255), decoded)


@pytest.mark.parametrize("sigma", [0.3, 1.3, 6])
def test_blur_is_scipys_gaussian_filter(sigma: float) -> None:
    clean = photograph("coffee")[:, :21, :17]
    expected = [ndimage.gaussian_filter(plane, sigma, mode="reflect", truncate=4) for plane in clean.double().numpy()]
    assert np.allclose(spoilt(f"blur(sigma={sigma})", clean).image, np.stack(expected), atol=1e-6)


@pytest.mark.parametrize(("angle", "axis"), [(0, 1), (90, 0), (180, 1)])
def test_motion_along_an_axis_is_a_moving_average(angle: int, axis: int) -> None:
    clean = photograph("camera")[:, 100:130, 100:140]
    expected = ndimage.uniform_filter1d(clean[0].double().numpy(), 9, axis=axis, mode="reflect")
    assert np.allclose(spoilt(f"motion(length=9, angle={angle})", clean).image[0], expected, atol=1e-6)


def test_motion_goes_along_its_angle() -> None:
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    for angle in (0, 30, 45, 100, 150):
        weight = spoilt(f"motion(length=21, angle={angle})", point).image[0].double()
        assert weight.sum().item() == pytest.approx(1)
        down, across = (grid - 20 for grid in torch.meshgrid(torch.arange(41), torch.arange(41), indexing="ij"))
        along = across * math.cos(math.radians(angle)) - down * math.sin(math.radians(angle))
        beside = across * math.sin(math.radians(angle)) + down * math.cos(math.radians(angle))
        # 21 points one pixel apart have the variance (21^2 - 1) / 12; reading them bilinearly adds 1/4 at most.
        assert (weight * along**2).sum().item() == pytest.approx(440 / 12, abs=0.5)
        assert (weight * beside**2).sum().item() <= 0.26


def test_motion_over_one_pixel_reads_two_points() -> None:
    point = torch.eye(5)[2].view(1, 1, 5)
    assert spoilt("motion(length=2, angle=0)", point).image[0, 0].tolist() == pytest.approx([0, 0.25, 0.5, 0.25, 0])


def imresize_matrix(length: int, out: int, scale: float) -> np.ndarray:
    """MATLAB's imresize along one axis as a dense matrix, after its documentation: every weight by itself."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    squeeze = min(scale, 1.0)
    matrix = np.zeros((out, length))
    for row in range(1, out + 1):
        centre = row / scale + 0.5 * (1 - 1 / scale)  # in coordinates that begin at 1
        for place in range(math.floor(centre - 2 / squeeze) - 1, math.ceil(centre + 2 / squeeze) + 2):
            mirrored = (place - 1) % (2 * length)
            column = mirrored if mirrored < length else 2 * length - 1 - mirrored
            matrix[row - 1, column] += squeeze * cubic(squeeze * (centre - place))
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [((24, 36), (12, 18)), ((30, 21), (10, 7)), ((9, 13), (36, 52)), ((7, 5), (3, 11)), ((1, 2), (5, 1))],
)
def test_bicubic_resizing_is_matlabs(before: tuple[int, int], after: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(before)
    down, across = (imresize_matrix(one, two, two / one) for one, two in zip(before, after, strict=True))
    found = resize_bicubic(torch.from_numpy(image), after)
    assert np.allclose(found, down @ image @ across.T, atol=1e-12)
    many = resize_bicubic(torch.from_numpy(image).float().expand(2, 3, *before), after)
    assert many.shape == (2, 3, *after)
    assert torch.allclose(many, found.float().expand_as(many), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downscale_takes_any_side_as_matlab_does(scale: int) -> None:
    image = torch.rand(1, 23, 17, generator=torch.Generator().manual_seed(0))
    down, across = (imresize_matrix(side, math.ceil(side / scale), 1 / scale) for side in (23, 17))
    expected = down @ image[0].double().numpy() @ across.T
    assert np.allclose(spoilt(f"downscale(scale={scale})", image).image[0], expected, atol=1e-6)


def test_half_size_has_the_weights_known_of_matlab() -> None:
    line = torch.zeros(16, 1)
    line[7] = 256
    # Its kernel for 0.5 is [-3 -9 29 111 111 29 -9 -3] / 256; an even pixel is seen by every other one of these.
    assert resize_bicubic(line, (8, 1))[:, 0].tolist() == pytest.approx([0, 0, -9, 111, 29, -3, 0, 0], abs=1e-4)


@pytest.mark.parametrize("after", [(40, 60), (30, 45), (240, 360)])
def test_inside_the_picture_pillow_resizes_alike(after: tuple[int, int]) -> None:
    image = photograph("camera")[0, :120, :180]
    theirs = np.asarray(Image.fromarray(image.numpy()).resize(after[::-1], Image.Resampling.BICUBIC))
    ours = resize_bicubic(image, after).numpy()
    edge = 2 * max(1, after[0] // 120) + 2  # Pillow leaves away what is outside, and does not mirror
    assert np.allclose(ours[edge:-edge, edge:-edge], theirs[edge:-edge, edge:-edge], atol=1e-5)


def test_darkness_is_its_formula() -> None:
    clean = photograph("coffee")[:, :20, :20]
    dark = spoilt("dark(gain=0.25, gamma=2, read_noise=0)", clean)
    assert torch.allclose(dark.image, 0.25 * clean**2, atol=1e-7)
    even = spoilt("dark(gain=0.5, read_noise=0.01)", torch.full((1, 300, 300), 0.6)).image
    assert even.mean().item() == pytest.approx(0.3, abs=2e-4)
    assert even.std().item() == pytest.approx(0.01, rel=0.01)


def test_haze_is_its_formula() -> None:
    black, white = (spoilt("haze(beta=1.5, air=0.8)", torch.full((3, 50, 70), value)).image for value in (0.0, 1.0))
    transmission = white - black
    assert torch.allclose(black, 0.8 * (1 - transmission), atol=1e-6)
    assert transmission.max() - transmission.min() > 0.2
    assert torch.equal(transmission[0], transmission[2])
    assert transmission.diff(dim=-1).abs().max() < 0.1  # a cubic over 70 / 4 pixels
    for seed in range(20):
        veil = spoilt("haze(beta=1.5, air=1)", torch.zeros(1, 50, 70), seed).image
        assert 0 <= veil.min() <= veil.max() <= 1 - math.exp(-1.5) + 1e-6


def test_kernels_of_real_pictures_are_scipys_gaussian_and_the_papers_sinc() -> None:
    """An oblong Gaussian has its variances along its angle; a sinc is eq. 6 of Real-ESRGAN, by scipy's function."""
    round_one = ndimage.gaussian_filter(np.eye(1, 81, 40).reshape(9, 9), 1.2, mode="constant", truncate=3.3)
    assert np.allclose(_oblong(1.2, 1.2, 0.7), round_one / round_one.sum(), atol=1e-9)
    kernel, (down, across) = _oblong(2.0, 1.0, 0.5).numpy(), np.mgrid[-6:7, -6:7]
    along, beside = across * math.cos(0.5) + down * math.sin(0.5), down * math.cos(0.5) - across * math.sin(0.5)
    assert [(kernel * x**2).sum() for x in (along, beside)] == pytest.approx([4, 1], rel=0.05)
    far = np.hypot(down, across)
    with np.errstate(invalid="ignore", divide="ignore"):
        sinc = np.where(far > 0, 2 * special.j1(2 * far) / (2 * math.pi * far), 2 * 2 / (4 * math.pi))
    assert np.allclose(_sinc(2.0), sinc / sinc.sum(), atol=1e-6)


def test_a_real_picture_stays_at_its_place_and_may_be_nearly_intact() -> None:
    """Over many draws, its mean is the reduced picture: no step moves it, darkens it, or always blurs it."""
    clean = photograph("astronaut")[:, 40:136, 180:276]
    rng = torch.Generator().manual_seed(0)
    chain = Chain.parse("real(scale=2)")
    found = [chain.degrade(clean, rng).image for _ in range(40)]
    small = resize_bicubic(clean, (48, 48))
    mean = torch.stack(found).mean(0)
    apart = {(y, x): psnr(mean.roll((y, x), (1, 2))[:, 2:-2, 2:-2], small[:, 2:-2, 2:-2])
             for y in (-1, 0, 1) for x in (-1, 0, 1)}  # fmt: skip
    assert max(apart, key=apart.get) == (0, 0)
    assert (mean - small).mean((1, 2)).abs().max() < 0.01
    quality = sorted(psnr(one, small) for one in found)
    assert quality[0] < 24
    assert quality[-1] > 29


def test_one_box_is_a_rectangle_of_the_asked_sides_inside_the_picture() -> None:
    for seed in range(20):
        mask = spoilt("boxes(side=16, share=0.001)", torch.ones(1, 40, 60), seed).mask[0]
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        assert mask.sum() == 256
        assert len(rows) == len(columns) == 16
    seen = [spoilt("boxes(side=16, share=0.001)", torch.ones(1, 17, 17), seed).mask[0] for seed in range(40)]
    assert len({tuple(mask[::16, ::16].flatten().tolist()) for mask in seen}) == 4  # each of its four places is taken


@pytest.mark.parametrize(("name", "width"), [("strokes", 12), ("scratches", 2)])
def test_lines_have_their_width(name: str, width: int) -> None:
    mask = spoilt(f"{name}(width={width}, share=0.005)", torch.ones(1, 200, 200)).mask[0].numpy()
    inside = ndimage.distance_transform_edt(np.pad(mask, 1, constant_values=0))
    assert width / 2 - 1 <= inside.max() <= width / 2 + 1.5


def test_a_stroke_is_painted_all_along() -> None:
    masks = [spoilt("strokes(width=12, share=1e-5)", torch.ones(1, 200, 200), seed).mask for seed in range(20)]
    length = 6 * 200 * math.sqrt(2) / 12
    painted = sum(mask.sum().item() for mask in masks) / len(masks) / (12 * length)
    assert 0.4 < painted < 1  # the rest lies beyond the picture's edges, or is painted twice


def test_scratches_are_long_and_nearly_straight() -> None:
    for seed in range(5):
        mask = spoilt("scratches(width=1, share=1e-5)", torch.ones(1, 400, 400), seed).mask[0]
        places = mask.nonzero().double()
        spread = torch.linalg.eigvalsh(places.T.cov())
        assert spread[1] > 20 * spread[0]


def test_words_have_the_asked_size() -> None:
    for size in (16, 48):
        mask = spoilt(f"text(size={size}, share=0.0001)", torch.ones(1, 400, 900)).mask[0]
        assert 0.4 * size < len(mask.any(dim=1).nonzero()) < 1.3 * size
        assert 0.8 * size < len(mask.any(dim=0).nonzero()) < 9 * size


def test_lost_pixels_are_independent() -> None:
    mask = spoilt("pixels(share=0.5)", torch.ones(1, 400, 400)).mask[0]
    assert mask.mean().item() == pytest.approx(0.5, abs=0.005)
    assert (mask[:, 1:] * mask[:, :-1]).mean().item() == pytest.approx(0.25, abs=0.005)
