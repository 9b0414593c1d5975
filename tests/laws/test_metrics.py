"""Laws over the tables of set metrics and extractors, and over every score that `score` tells."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pinxit.data import DataSet, ImageSet, open_data
from pinxit.errors import DataError, UsageError
from pinxit.evaluation import Drawn, blur, noise, score
from pinxit.metrics import sets
from pinxit.metrics.features import EXTRACTORS, Extractor
from pinxit.metrics.sets import SETS, kernel_distance

every_metric = pytest.mark.parametrize("metric", SETS.values(), ids=SETS.keys())
every_extractor = pytest.mark.parametrize("extractor", EXTRACTORS.values(), ids=EXTRACTORS.keys())


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(seed: int, n: int = 400, dimensions: int = 12) -> torch.Tensor:
    return torch.randn(n, dimensions, generator=rng(seed)) @ torch.randn(dimensions, dimensions, generator=rng(99))


# --- set metrics ---


@every_metric
def test_a_set_is_no_further_from_itself_than_nothing(metric: Callable[..., float]) -> None:
    assert metric(features(0), features(0)) <= 1e-9


@every_metric
def test_distance_is_symmetric(metric: Callable[..., float]) -> None:
    one, other = features(0), features(1) * 1.5 + 1
    assert metric(one, other) == pytest.approx(metric(other, one), rel=1e-9)


@every_metric
def test_distance_does_not_change_with_rotation_or_order(metric: Callable[..., float]) -> None:
    one, other = features(0).double(), features(1).double() * 1.5 + 1
    rotation = torch.linalg.qr(torch.randn(12, 12, generator=rng(2), dtype=torch.float64)).Q
    expected = metric(one, other)
    assert metric(one @ rotation, other @ rotation) == pytest.approx(expected, rel=1e-9)
    assert metric(one.flip(0), other) == pytest.approx(expected, rel=1e-9)


@every_metric
def test_distance_grows_with_the_shift(metric: Callable[..., float]) -> None:
    distances = [metric(features(0), features(1) + shift) for shift in (0, 1, 2, 4)]
    assert distances == sorted(distances)


@every_metric
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (features(0)[:1], "at least 2"),
        (features(0).index_fill(0, torch.tensor(3), math.nan), "not finite"),
        (features(0)[:, :5], "one extractor"),
    ],
)
def test_what_cannot_be_compared_is_refused(metric: Callable[..., float], bad: torch.Tensor, reason: str) -> None:
    for pair in ((bad, features(1)), (features(1), bad)):
        with pytest.raises(DataError, match=reason):
            metric(*pair)


def test_kernel_distance_is_unbiased() -> None:
    draws = [
        kernel_distance(features(2 * i, n=10, dimensions=4), features(2 * i + 1, n=10, dimensions=4))
        for i in range(600)
    ]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / math.sqrt(len(draws))
    assert min(draws) < 0 < max(draws)


def test_rows_in_class_order_do_not_mislead_the_kernel_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = features(0, 200), features(1, 200) + 5
    apart = kernel_distance(*classes)
    monkeypatch.setattr(sets, "KERNEL_BLOCK", 40)
    assert abs(kernel_distance(torch.cat(classes), torch.cat(classes[::-1]))) < 0.05 * apart


def test_the_kernel_distance_needs_no_more_memory_for_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "KERNEL_BLOCK", 40)
    plain, rows = sets._kernel, []
    monkeypatch.setattr(sets, "_kernel", lambda x, y: rows.extend((len(x), len(y))) or plain(x, y))
    for n in (30, 79, 400, 555):
        kernel_distance(features(0, n), features(1, 600))
    assert max(rows) < 80


def test_every_row_counts_in_the_kernel_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "KERNEL_BLOCK", 40)
    one, other = features(0, 97), features(1, 97)
    values = {kernel_distance(one.index_fill(0, torch.tensor(row), 9.0), other) for row in range(97)}
    assert kernel_distance(one, other) not in values
    assert len(values) == 97


# --- extractors ---


def pictures(n: int = 7, channels: int = 1, side: int = 28) -> torch.Tensor:
    return torch.rand(n, channels, side, side, generator=rng(5))


@every_extractor
def test_features_do_not_depend_on_the_batch_size(extractor: Extractor) -> None:
    images = pictures(205)
    whole = extractor.features(images)
    for size in (1, 64, 101):
        parts = zip(*(extractor.features(images[start : start + size]) for start in range(0, 205, size)), strict=True)
        for together, apart in zip(whole, parts, strict=True):
            torch.testing.assert_close(torch.cat(apart), together, rtol=0, atol=1e-6)


@every_extractor
def test_features_and_posteriors_have_their_stated_form(extractor: Extractor) -> None:
    seen, posteriors = extractor.features(pictures())
    assert seen.shape == (7, extractor.dimensions)
    assert posteriors.shape == (7, 10)
    assert seen.dtype == posteriors.dtype == torch.float32
    assert posteriors.min() >= 0
    torch.testing.assert_close(posteriors.sum(1), torch.ones(7))


@every_extractor
def test_colour_alpha_and_size_come_in_by_the_stated_rule(extractor: Extractor) -> None:
    grey, colour, opaque = pictures(), pictures(channels=3), torch.ones(7, 1, 28, 28)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    same = [
        (grey.expand(-1, 3, -1, -1), grey),
        (colour, (colour * weights).sum(1, keepdim=True)),
        (torch.cat([colour, opaque], 1), colour),
        (torch.cat([colour, 0 * opaque], 1), 0 * grey),
        (
            pictures(side=28).mean((2, 3), keepdim=True).expand(-1, -1, 61, 40),
            grey.mean((2, 3), keepdim=True) + 0 * grey,
        ),
    ]
    for given, equal in same:
        torch.testing.assert_close(extractor.features(given)[0], extractor.features(equal)[0], rtol=1e-5, atol=1e-5)


@every_extractor
def test_a_fine_pattern_is_averaged_not_sampled(extractor: Extractor) -> None:
    stripes = ((torch.arange(280) + 2) % 10 < 5).float().expand(1, 1, 280, 280)  # black where one sample falls
    seen, grey, black = (
        extractor.features(images)[0] for images in (stripes, torch.full_like(stripes, 0.5), torch.zeros_like(stripes))
    )
    assert (seen - grey).norm() < 0.2 * (black - grey).norm()


@every_extractor
@pytest.mark.parametrize(
    "bad",
    [pictures() * 255, pictures() - 1, pictures().byte(), pictures() * math.nan, pictures(channels=2)],
    ids=["0 to 255", "-1 to 0", "uint8", "nan", "two channels"],
)
def test_pictures_out_of_range_are_refused(extractor: Extractor, bad: torch.Tensor) -> None:
    with pytest.raises(DataError):
        extractor.features(bad)


@every_extractor
def test_weights_are_those_of_the_stated_hash(extractor: Extractor) -> None:
    assert extractor.protocol()["sha256"] == extractor.sha256
    with pytest.raises(DataError, match="sha256"):
        replace(extractor, sha256="0" * 64).features(pictures())


# --- score ---


def _value(document: dict[str, Any], score: str = "fd[digits-v1]") -> float:
    return document["scores"][score]["value"]


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[..., ImageSet]:
    """Make a set of n random pictures of the given dtype, packed."""

    def make(name: str, n: int = 40, seed: int = 0, dtype: type = np.uint8) -> ImageSet:
        images = np.random.default_rng(seed).integers(0, 256, (n, 28, 28, 1)) * (np.iinfo(dtype).max // 255)
        np.savez(tmp_path / f"{name}.npz", images=images.astype(dtype))
        return open_data(str(tmp_path / f"{name}.npz"), holdout=0).train

    return make


def test_pictures_in_memory_score_as_those_on_the_disk(sheet: Callable[..., ImageSet]) -> None:
    one, other = sheet("one"), sheet("other", seed=1)
    drawn = Drawn("one", np.stack([one[i] for i in range(len(one))]))
    assert _value(score(drawn, other)) == _value(score(one, other))
    assert drawn.fingerprint == Drawn("another", drawn.images.copy()).fingerprint
    assert drawn.fingerprint != Drawn("one", 255 - drawn.images).fingerprint


def test_every_score_stands_beside_its_protocol_and_anchors(sheet: Callable[..., ImageSet]) -> None:
    one, other = sheet("one"), sheet("other", n=50, seed=1)
    document = score(one, other, extractors=tuple(EXTRACTORS), n=30, seed=4)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document["scores"]) == {
        f"{metric}[{name}]" for metric in (*SETS, "class entropy") for name in EXTRACTORS
    }
    for name, told in document["scores"].items():
        extractor = EXTRACTORS[told["extractor"]]
        assert name.endswith(f"[{extractor.name}]")
        assert extractor.protocol().items() <= told.items()
        assert (told["n"], told["seed"]) == (30, 4)
        assert told["generated"] == {"name": one.name, "fingerprint": one.fingerprint, "pictures": 40}
        assert told["reference"] == {"name": other.name, "fingerprint": other.fingerprint, "pictures": 50}
        assert [row["name"] for row in told["rows"]] == ["generated", "floor", "noise", "blur"]
        assert told["rows"][0]["value"] == told["value"]
        assert told["rows"][-1]["ratio"] == (1.0 if name.partition("[")[0] in SETS else None)


def test_the_seed_alone_decides(sheet: Callable[..., ImageSet]) -> None:
    one, other = sheet("one"), sheet("other", seed=1)
    assert score(one, other, n=20, seed=1) == score(one, other, n=20, seed=1)
    assert len({_value(score(one, other, n=20, seed=seed)) for seed in (1, 2)}) == 2


def test_16_bit_pictures_score_as_their_8_bit_equals(sheet: Callable[..., ImageSet]) -> None:
    eight, sixteen = sheet("eight"), sheet("sixteen", dtype=np.uint16)
    assert _value(score(sixteen, eight)) == pytest.approx(0, abs=1e-6)


def test_pictures_of_many_sizes_and_colours_are_judged_one_by_one(
    tmp_path: Path, sheet: Callable[..., ImageSet]
) -> None:
    for number, (mode, size) in enumerate([("RGB", (31, 40)), ("L", (28, 28)), ("RGBA", (90, 64)), ("L", (28, 28))]):
        Image.new(mode, size, 40 * number if mode == "L" else (200, 90, 40 * number, 255)[: len(mode)]).save(
            tmp_path / f"{number}.png"
        )
    mixed = open_data(str(tmp_path), holdout=0).train
    scores = score(mixed, sheet("plain"))["scores"]
    assert scores["fd[digits-v1]"]["n"] == 4
    assert scores["fd[digits-v1]"]["value"] > 0


def test_the_floor_comes_from_other_real_pictures_or_from_halves(sheet: Callable[..., ImageSet]) -> None:
    one, other, real = sheet("one"), sheet("other", seed=1), sheet("real", n=25, seed=2)
    floor = score(one, other, real=real)["scores"]["fd[digits-v1]"]["rows"][1]
    assert (floor["about"], floor["n"]) == (real.name, 25)
    assert floor["value"] == _value(score(real, other, n=25))
    assert score(one, other)["scores"]["fd[digits-v1]"]["rows"][1]["n"] == 20


def test_too_few_pictures_are_refused(sheet: Callable[..., ImageSet]) -> None:
    one, three = sheet("one"), sheet("three", n=3)
    for pair in ((one, three), (three, one)):
        with pytest.raises(DataError, match=r"three.* has 3 pictures"):
            score(*pair)
    for n in (-1, 0, 3, 41):
        with pytest.raises(UsageError, match="n must be 4 to 40"):
            score(one, sheet("other", n=50), n=n)
    with pytest.raises(UsageError, match="did you mean 'digits-v1'"):
        score(one, one, extractors=["digit-v1"])


def test_noise_is_25_grey_levels_and_blur_the_mean_of_nine() -> None:
    grey = torch.full((4, 1, 64, 64), 128 / 255)
    noisy = 255 * noise(grey, rng(0))
    assert float(noisy.std()) == pytest.approx(25, rel=0.03)
    torch.testing.assert_close(noisy, noisy.round(), rtol=0, atol=1e-4)
    assert noise(torch.ones(1, 1, 8, 8), rng(0)).max() <= 1
    images = (pictures(2, 3, 9) * 255).round() / 255
    padded = np.pad(255 * images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    mean = sum(padded[:, :, y : y + 9, x : x + 9] for y in range(3) for x in range(3)) / 9
    np.testing.assert_allclose(255 * blur(images, rng(0)).numpy(), np.rint(mean), atol=1e-3)


@every_extractor
def test_floor_noise_and_blur_of_real_digits_are_in_order(extractor: Extractor, mnist: DataSet) -> None:
    scores = score(mnist.held_out, mnist.held_out, real=mnist.train, extractors=[extractor.name], n=2000)["scores"]
    for metric in SETS:
        generated, floor, spoiled, blurred = (row["value"] for row in scores[f"{metric}[{extractor.name}]"]["rows"])
        assert generated <= 1e-6
        assert generated < floor < spoiled / 2 < spoiled < blurred / 4
    assert scores[f"class entropy[{extractor.name}]"]["value"] > 3.30
