"""Mattes against independent computations: Levin's Laplacian written out, the original of the network for people."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data, measure

from pinxit.colour import encoded, linear
from pinxit.edits.estimators import People
from pinxit.images import resize
from pinxit.matting import closed_form, guided
from pinxit.metrics import mattes

VALUES = {(30, 110): 1.0, (10, 10): 0.0, (178, 142): 0.68494, (183, 4): 0.19271, (235, 2): 0.64967, (33, 148): 0.93462}


def laplacian(colours: np.ndarray) -> np.ndarray:
    """Levin, Lischinski and Weiss, 2008, eq. 12, term by term, (n, n)."""
    high, wide, channels = colours.shape
    matrix = np.zeros((high * wide, high * wide))
    for top, left in product(range(high - 2), range(wide - 2)):
        places = [(top + y, left + x) for y, x in product(range(3), repeat=2)]
        window = np.array([colours[place] for place in places])
        mean = window.mean(axis=0)
        inverse = np.linalg.inv(np.cov(window.T, bias=True) + closed_form.EPS / 9 * np.eye(channels))
        for one, other in product(places, repeat=2):
            affine = (1 + (colours[one] - mean) @ inverse @ (colours[other] - mean)) / 9
            matrix[one[0] * wide + one[1], other[0] * wide + other[1]] += (one == other) - affine
    return matrix


@pytest.mark.parametrize("size", [(6, 7), (18, 30)])  # solved at once, and by cycles over coarser grids
def test_the_matte_minimises_levins_form(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "CLOSE", 1e-9)
    rng = np.random.default_rng(0)
    share = np.linspace(-0.5, 1.5, size[1]).clip(0, 1)[None, :, None]
    colours = share * [0.9, 0.5, 0.2] + (1 - share) * [0.1, 0.3, 0.8] + rng.normal(0, 0.02, (*size, 3))
    certain = np.broadcast_to((share[..., 0] == 0) | (share[..., 0] == 1), size)
    certain = certain & (rng.random(size) < 0.5)
    known = np.broadcast_to(share[..., 0], size)
    matrix, fixed = laplacian(colours), certain.ravel()
    wanted = known.ravel().copy()
    wanted[~fixed] = np.linalg.solve(matrix[~fixed][:, ~fixed], -matrix[~fixed][:, fixed] @ wanted[fixed])
    found = closed_form.matte(colours, known, certain)
    np.testing.assert_allclose(found.ravel(), wanted.clip(0, 1), atol=2e-4)
    np.testing.assert_array_equal(found[certain], known[certain].astype(np.float32))


def test_guided_functions_give_back_a_matte_that_is_affine_in_the_colours_at_any_size() -> None:
    rng = np.random.default_rng(0)
    small, large = (rng.random((*size, 3)) for size in ((20, 30), (50, 70)))
    weights = np.array([0.3, 0.2, 0.1])
    fit = guided.functions(small, small @ weights + 0.2, eps=1e-9)
    np.testing.assert_allclose(fit, np.broadcast_to([[[0.3]], [[0.2]], [[0.1]], [[0.2]]], fit.shape), atol=1e-4)
    rows = slice(7, 19)
    found = guided.applied(fit, large[rows].astype(np.float32), rows, (50, 70))
    np.testing.assert_allclose(found, large[rows] @ weights + 0.2, atol=1e-4)


def test_the_network_for_people_says_what_its_original_says() -> None:
    """Made by onnxruntime 1.32 with the model of `weights/person.py`, its input the picture / 255:

    run(None, {"input_1": resize(data.astronaut(), (256, 256))[None].astype(np.float32) / 255})[0][0, ..., 0]
    """
    found = People().guess(resize(data.astronaut(), (256, 256)))
    assert found.shape == (256, 256)
    for (row, column), wanted in VALUES.items():
        assert found[row, column] == pytest.approx(wanted, abs=1e-4)
    assert found.mean() == pytest.approx(0.54459, abs=1e-5)
    grey = People().guess(resize(data.astronaut(), (300, 200))[..., :1])
    assert torch.from_numpy(grey).isfinite().all()


def test_metrics_of_mattes_are_what_their_definitions_written_out_give() -> None:
    """Rhemann et al., 2009; the gradient by a kernel of two dimensions, the parts by scikit-image."""
    rng = np.random.default_rng(0)
    true = (ndimage.gaussian_filter(rng.random((20, 24)), 3) * 8 - 3.5).clip(0, 1)
    matte = (true + rng.normal(0, 0.2, true.shape)).clip(0, 1)
    where = rng.random(true.shape) < 0.5
    assert mattes.sad(matte, true) == pytest.approx(
        sum(abs(a - b) for a, b in zip(matte.flat, true.flat, strict=True)) / 1000
    )
    assert mattes.mse(matte, true, where) == pytest.approx(
        np.mean([(matte[p] - true[p]) ** 2 for p in zip(*np.nonzero(where), strict=True)])
    )

    half = int(np.ceil(1.4 * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * 1.4 * 0.01))))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    kernel = -x * np.exp(-(x**2 + y**2) / (2 * 1.4**2))
    kernel /= np.sqrt((kernel**2).sum())
    magnitudes = [
        np.sqrt(sum(ndimage.convolve(one, k, mode="nearest") ** 2 for k in (kernel, kernel.T))) for one in (matte, true)
    ]
    wanted = ((magnitudes[0] - magnitudes[1]) ** 2).sum() / 1000
    assert mattes.gradient_error(matte, true) == pytest.approx(wanted)

    levels = np.ones(true.shape)
    for place in np.ndindex(true.shape):
        for step in range(1, 11):
            parts = measure.label((matte >= step * 0.1) & (true >= step * 0.1), connectivity=1)
            sizes = np.bincount(parts.ravel())[1:]
            if not sizes.size or parts[place] != sizes.argmax() + 1:
                levels[place] = (step - 1) * 0.1
                break
    held = [1 - np.where(one - levels >= 0.15, one - levels, 0) for one in (matte, true)]
    assert mattes.connectivity_error(matte, true, where) == pytest.approx(np.abs(held[0] - held[1])[where].sum() / 1000)
    assert all(metric(true, true, None) == 0 for metric in mattes.MATTES.values())


def test_the_halo_is_seen_where_a_subject_keeps_colours_of_its_background() -> None:
    matte = np.array([[1.0, 0.5, 0.0]])
    red, blue = np.broadcast_to([[[0.8, 0.1, 0.1]]], (1, 3, 3)), np.array([0.1, 0.1, 0.8])
    assert mattes.halo_index(red, red, matte) == mattes.colour_error(red, red, matte) == 0
    mixed = encoded(0.5 * linear(red) + 0.5 * linear(blue))
    assert mattes.colour_error(mixed, red, matte) == pytest.approx(np.abs(mixed[0, 1] - red[0, 1]).mean())
    wanted = [
        np.abs(encoded(0.5 * linear(mixed[0, 1]) + 0.5 * new) - encoded(0.5 * linear(red[0, 1]) + 0.5 * new)).mean()
        for new in (np.zeros(3), np.ones(3), np.array([0.0, 1, 0]))
    ]
    assert mattes.halo_index(mixed, red, matte) == pytest.approx(np.mean(wanted))
