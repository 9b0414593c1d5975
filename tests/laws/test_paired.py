"""Laws over the tables of paired metrics, by formula and by network."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from pinxit.errors import DataError, UsageError
from pinxit.metrics.paired import PAIRED, PairedMetric, as_channels, crop, psnr
from pinxit.metrics.perceptual import PERCEPTUAL

METRICS = PAIRED | PERCEPTUAL
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())


@cache
def photos(height: int = 96) -> Tensor:
    """Three photographs (3, 3, height, height + 8)."""
    corners = ((data.astronaut(), 20, 140), (data.coffee(), 100, 200), (data.chelsea(), 40, 100))
    crops = [pixels[top : top + height, left : left + height + 8] for pixels, top, left in corners]
    return torch.from_numpy(np.stack(crops)).movedim(-1, 1).float() / 255


def fitting(metric: PairedMetric) -> Tensor:
    """Photographs as small as the metric allows and its laws can bear."""
    return photos(max(96, metric.smallest_side))


def gaussian(images: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


def noisy(images: Tensor, strength: float) -> Tensor:
    return (images + strength * gaussian(images)).clamp(0, 1)


def blurred(images: Tensor, strength: float) -> Tensor:
    side = 2 * int(strength) + 1
    padded = torch.nn.functional.pad(images, (side // 2,) * 4, mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, side, 1)


def compressed(images: Tensor, strength: float) -> Tensor:
    def through_jpeg(image: Tensor) -> Tensor:
        file = io.BytesIO()
        pixels = (255 * image).round().byte().movedim(0, -1).numpy()
        Image.fromarray(pixels).save(file, "JPEG", quality=int(100 - strength))
        return torch.from_numpy(np.asarray(Image.open(file)).copy()).movedim(-1, 0) / 255

    return torch.stack([through_jpeg(image) for image in images])


PERFECT = {"psnr": 100.0, "ssim": 1.0, "ms-ssim": 1.0}


@pytest.mark.parametrize("name", METRICS)
def test_a_picture_is_perfect_beside_itself(name: str) -> None:
    metric = METRICS[name]
    values = metric.measure(fitting(metric), fitting(metric))
    assert values.shape == (3,)
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx([PERFECT.get(name, 0.0)] * 3, abs=1e-12)


@every_metric
def test_either_picture_may_be_the_reference(metric: PairedMetric) -> None:
    one, other = fitting(metric), noisy(fitting(metric).flip(0), 0.1)
    torch.testing.assert_close(metric.measure(one, other), metric.measure(other, one), rtol=1e-12, atol=0)


@every_metric
def test_companions_and_their_number_change_nothing(metric: PairedMetric) -> None:
    one, other = noisy(fitting(metric), 0.1), fitting(metric)
    together = metric.measure(one, other)
    alone = torch.cat([metric.measure(one[i : i + 1], other[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-12)
    torch.testing.assert_close(metric.measure(one.flip(0), other.flip(0)).flip(0), together, rtol=0, atol=1e-12)
    assert len({round(value, 4) for value in together.tolist()}) == 3


@every_metric
@pytest.mark.parametrize(
    ("spoil", "strengths"),
    [(noisy, (0.02, 0.05, 0.1, 0.2)), (blurred, (1, 2, 4, 8)), (compressed, (20, 60, 80, 95))],
    ids=["noise", "blur", "jpeg"],
)
def test_more_degradation_is_worse(
    metric: PairedMetric, spoil: Callable[[Tensor, float], Tensor], strengths: tuple[float, ...]
) -> None:
    images = fitting(metric)
    values = torch.stack([metric.measure(spoil(images, strength), images) for strength in (0, *strengths)])
    steps = values.diff(dim=0) * (1 if metric.better == "smaller" else -1)
    assert (steps > 0).all()


@every_metric
def test_double_precision_and_memory_order_change_next_to_nothing(metric: PairedMetric) -> None:
    one, other = noisy(fitting(metric), 0.1), fitting(metric)
    expected = metric.measure(one, other)
    torch.testing.assert_close(metric.measure(one.double(), other.double()), expected, rtol=0, atol=1e-6)
    strided = one.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(metric.measure(strided, other), expected, rtol=0, atol=1e-6)


@every_metric
def test_pictures_are_left_as_they_were(metric: PairedMetric) -> None:
    one, other = noisy(fitting(metric), 0.1), fitting(metric)
    kept = one.clone(), other.clone()
    metric.measure(one, other)
    assert torch.equal(one, kept[0])
    assert torch.equal(other, kept[1])


@every_metric
def test_grey_is_compared_as_three_equal_channels(metric: PairedMetric) -> None:
    one, other = noisy(fitting(metric), 0.1)[:, :1], fitting(metric)[:, :1]
    expected = metric.measure(one.repeat(1, 3, 1, 1), other.repeat(1, 3, 1, 1))
    torch.testing.assert_close(metric.measure(one, other), expected, rtol=1e-12, atol=0)


@every_metric
def test_the_smallest_side_is_compared_and_a_smaller_one_refused(metric: PairedMetric) -> None:
    side = metric.smallest_side
    one, other = noisy(fitting(metric), 0.1)[..., :side, :side], fitting(metric)[..., :side, :side]
    assert metric.measure(one, other).isfinite().all()
    for smaller in ((..., slice(side - 1), slice(side)), (..., slice(side), slice(side - 1))):
        with pytest.raises(DataError, match=f"at least {side} pixels" if side > 1 else "cannot be compared"):
            metric.measure(one[smaller], other[smaller])


GOOD = photos(176)
HOSTILE = {
    "another number": (GOOD[:2], "equal shapes"),
    "another size": (GOOD[..., :175], "equal shapes"),
    "other channels": (GOOD[:, :1], "equal shapes"),
    "a picture without its batch": (GOOD[0], "equal shapes"),
    "NaN": (GOOD.masked_fill(GOOD > 0.9, math.nan), "NaN"),
    "infinity": (GOOD.masked_fill(GOOD > 0.9, math.inf), "infinity"),
    "8 bits as floats": (255 * GOOD, r"in \[0, 1\]"),
    "-1 to 1": (2 * GOOD - 1, r"in \[0, 1\]"),
    "8 bits": ((255 * GOOD).byte(), "floating-point"),
}


@every_metric
@pytest.mark.parametrize(("bad", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_picture_or_no_pair_is_refused(metric: PairedMetric, bad: Tensor, reason: str) -> None:
    for pair in ((bad, GOOD), (GOOD, bad)):
        with pytest.raises(DataError, match=reason) as caught:
            metric.measure(*pair)
        assert "\n" not in str(caught.value)


@every_metric
@pytest.mark.parametrize(
    "shape", [(3, 64, 64), (2, 4, 64, 64), (2, 2, 64, 64), (0, 3, 64, 64), (2, 3, 0, 64), ()], ids=str
)
def test_shapes_that_are_no_batch_of_pictures_are_refused(metric: PairedMetric, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="cannot be compared"):
        metric.measure(torch.zeros(shape), torch.zeros(shape))


def test_every_row_has_its_own_definition_in_one_line() -> None:
    definitions = [metric.definition for metric in METRICS.values()]
    assert len(set(definitions)) == len(METRICS)
    assert not any("\n" in definition for definition in definitions)


def test_equal_pictures_have_no_error_and_yet_a_mean() -> None:
    one = photos()
    other = torch.cat([one[:1], noisy(one[1:], 0.1)])
    assert psnr(one, other)[0] == math.inf
    values = PAIRED["psnr"].measure(one, other)
    assert values[0] == 100
    assert values[1:].tolist() == psnr(one, other)[1:].tolist()
    assert values.mean().isfinite()


def test_noise_that_is_not_clipped_has_a_psnr_but_no_row() -> None:
    grey = torch.full((1, 3, 400, 400), 0.99)
    unclipped = grey + 25 / 255 * gaussian(grey)
    assert float(psnr(unclipped, grey)) == pytest.approx(20 * math.log10(255 / 25), abs=0.03)
    for bad in ((unclipped, grey), (grey, unclipped)):
        with pytest.raises(DataError, match=r"in \[0, 1\]"):
            PAIRED["psnr"].measure(*bad)
    with pytest.raises(DataError, match=r"in \[0, 1\]"):
        psnr(grey, unclipped)
    with pytest.raises(DataError, match="equal shapes"):
        psnr(unclipped[..., :1], grey)


def test_a_grey_picture_keeps_its_values_and_would_gain_as_luma() -> None:
    clean = photos()[:, :1]
    spoiled = noisy(clean, 0.05)
    for channels in ("rgb", "y", "grey"):
        assert as_channels(clean, channels) is clean
    squeezed = psnr(*(as_channels(image.expand(-1, 3, -1, -1), "y") for image in (spoiled, clean)))
    gain = 20 * math.log10(255 / 219)
    assert gain == pytest.approx(1.322, abs=1e-3)
    assert (squeezed - psnr(spoiled, clean)).tolist() == pytest.approx([gain] * 3, abs=1e-4)


def test_unknown_channels_and_alpha_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown channels 'lab'; use rgb, y, grey"):
        as_channels(photos(), "lab")  # type: ignore[arg-type]
    for channels in ("rgb", "y", "grey"):
        with pytest.raises(DataError, match="alpha"):
            as_channels(torch.zeros(1, 4, 8, 8), channels)


def test_a_border_is_left_out_on_every_side() -> None:
    images = torch.arange(2 * 3 * 9 * 8).reshape(2, 3, 9, 8)
    assert crop(images, 0).equal(images)
    assert crop(images, 3).shape == (2, 3, 3, 2)
    assert crop(images, 3)[0, 0].tolist() == [[27, 28], [35, 36], [43, 44]]
    for border in (-1, 4, 100):
        with pytest.raises(UsageError, match="use 0 to 3"):
            crop(images, border)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_white_stays_within_range_in_every_channel(dtype: torch.dtype) -> None:
    white = torch.ones(2, 3, 33, 65, dtype=dtype)
    assert as_channels(white, "rgb") is white
    for channels, value in (("y", 235 / 255), ("grey", 1.0)):
        turned = as_channels(white, channels)
        assert turned.shape == (2, 1, 33, 65)
        assert float(turned.max()) == pytest.approx(value, abs=1e-6)
        assert float(turned.max()) <= 1
