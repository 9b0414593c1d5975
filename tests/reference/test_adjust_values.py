"""The formulas of `adjust` against values from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import color, data, exposure

import pinxit
from pinxit.colour import encoded, linear

PHOTO = data.coffee()[150:250, 200:320].astype(np.float32) / 255
LUMA = np.array([0.2126, 0.7152, 0.0722])


def adjusted(pixels: np.ndarray = PHOTO, **settings: object) -> np.ndarray:
    from pinxit.edits.adjust import Adjust

    return pinxit.edit(pixels, Adjust.parse(settings), device="cpu")


def test_light_is_that_of_scikit_image() -> None:
    """Its rgb2xyz of grey is light times the white point's Y, 1."""
    numbers = np.linspace(0, 1, 1001)
    light = color.rgb2xyz(np.repeat(numbers[:, None], 3, axis=1))[:, 1]
    np.testing.assert_allclose(linear(numbers), light, atol=1e-6)
    np.testing.assert_allclose(encoded(linear(numbers)), numbers, atol=1e-6)
    np.testing.assert_allclose(encoded(np.array([1.0, 2.0])), [1, 1.055 * 2 ** (1 / 2.4) - 0.055])


def test_nothing_asked_changes_nothing() -> None:
    np.testing.assert_allclose(adjusted(), PHOTO, atol=1e-6)
    for depth in (np.uint8, np.uint16):
        levels = np.arange(np.iinfo(depth).max + 1, dtype=depth).reshape(1, -1, 1)
        np.testing.assert_array_equal(adjusted(levels), levels)


def test_a_stop_doubles_the_light() -> None:
    dark = PHOTO * 0.5
    np.testing.assert_allclose(linear(adjusted(dark, exposure=1)), np.minimum(2 * linear(dark), 1), atol=1e-5)
    np.testing.assert_allclose(linear(adjusted(dark, exposure=-1)), linear(dark) / 2, atol=1e-5)


def test_temperature_moves_red_and_blue_apart() -> None:
    dark = PHOTO * 0.5
    ratio = linear(adjusted(dark, temperature=0.5)) / np.maximum(linear(dark), 1e-9)
    np.testing.assert_allclose(ratio[dark.min(axis=2) > 0.1].mean(axis=0), [2**0.5, 1, 2**-0.5], rtol=1e-3)
    np.testing.assert_allclose(adjusted(PHOTO[..., :1], temperature=0.5), PHOTO[..., :1], atol=1e-6)


def test_grey_world_makes_the_means_of_light_one() -> None:
    dark = (PHOTO * [0.6, 0.5, 0.4]).astype(np.float32)
    light = linear(adjusted(dark, balance="grey-world")).mean(axis=(0, 1))
    assert light == pytest.approx([linear(dark).mean()] * 3, rel=2e-3)
    black = np.zeros((4, 4, 3), np.float32)
    np.testing.assert_array_equal(adjusted(black, balance="grey-world", levels=1), black)


def test_gamma_is_that_of_scikit_image() -> None:
    np.testing.assert_allclose(adjusted(gamma=2.2), exposure.adjust_gamma(PHOTO, 1 / 2.2), atol=1e-5)


def test_contrast_turns_about_middle_grey() -> None:
    np.testing.assert_allclose(adjusted(contrast=1.7), np.clip((PHOTO - 0.5) * 1.7 + 0.5, 0, 1), atol=1e-5)


def test_levels_are_those_of_scikit_image() -> None:
    """Its rescale_intensity between percentiles, of all channels together as the outermost of each."""
    narrow = np.rint(PHOTO * 100 + 60).astype(np.uint8)
    low, high = np.percentile(narrow, 10, axis=(0, 1)).min(), np.percentile(narrow, 90, axis=(0, 1)).max()
    expected = exposure.rescale_intensity(narrow.astype(float), (low, high), (0, 255))
    assert np.abs(adjusted(narrow, levels=10) - expected).max() <= 3
    full = adjusted(narrow, levels=0)
    assert (full.min(), full.max()) == (0, 255)
    flat = np.full((5, 5, 3), 77, np.uint8)
    np.testing.assert_array_equal(adjusted(flat, levels=1), flat)


def test_saturation_is_the_distance_from_grey() -> None:
    grey = (PHOTO @ LUMA)[..., None]
    np.testing.assert_allclose(adjusted(saturation=0), np.repeat(grey, 3, axis=2), atol=1e-5)
    np.testing.assert_allclose(adjusted(saturation=0.5), (PHOTO + grey) / 2, atol=1e-5)
    np.testing.assert_allclose(adjusted(saturation=2), np.clip(2 * PHOTO - grey, 0, 1), atol=1e-5)
