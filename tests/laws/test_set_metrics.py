"""Laws over the table of set metrics, over their neighbours, and over every interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch

from pinxit.data import DataSet
from pinxit.errors import DataError
from pinxit.metrics import neighbours, sets
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.features import Extracted
from pinxit.metrics.intervals import LEVEL, _bounded, _parts, estimates, mean_estimate, share_estimate, values
from pinxit.metrics.neighbours import nearest
from pinxit.metrics.sets import SETS, kernel_distance, vendi_score

DISTANCES = ("fd", "kd")
SHARES = ("precision", "recall", "coverage")
TWO_SIDED = ("fd", "kd", "precision", "recall", "density", "coverage")

every_metric = pytest.mark.parametrize("name", SETS)
every_distance = pytest.mark.parametrize("name", DISTANCES)
every_search = pytest.mark.parametrize("k", [1, 4])


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks far smaller than the sets, and pairs processed a few at a time."""
    monkeypatch.setattr(neighbours, "ROWS", 23)
    monkeypatch.setattr(sets, "ROWS", 23)
    monkeypatch.setattr(neighbours, "PAIRS", 7)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(seed: int, n: int = 200, dimensions: int = 12) -> torch.Tensor:
    return torch.randn(n, dimensions, generator=rng(seed)) @ torch.randn(dimensions, dimensions, generator=rng(99))


def seen(seed: int, n: int = 200, dimensions: int = 12, shift: float = 0) -> Extracted:
    return Extracted(features(seed, n, dimensions) + shift, torch.randn(n, 6, generator=rng(seed)).softmax(1))


def rows(of: Extracted, which: torch.Tensor) -> Extracted:
    return Extracted(of.features[which], of.posteriors[which])


def measure(name: str, one: Extracted, other: Extracted) -> float:
    return SETS[name].measure(one, other)


# --- nearest ---


def distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one.double()[:, None] - other.double()).norm(dim=2)


@every_search
def test_the_nearest_are_those_of_the_whole_matrix(small_blocks: None, k: int) -> None:
    one, other = features(0, 70), features(1, 90)
    found, where = nearest(one, other, k)
    expected = distances(one, other).topk(k, largest=False)
    torch.testing.assert_close(found, expected.values, rtol=1e-12, atol=0)
    assert torch.equal(where, expected.indices)


def test_a_copy_is_found_at_exactly_nothing_far_from_the_origin() -> None:
    one = features(0, 50).double() * math.pi + 1e4
    found, where = nearest(one.flip(0), one)
    assert not found.any()
    assert torch.equal(where[:, 0], torch.arange(50).flip(0))


def test_one_query_is_enough_but_points_must_be_as_many_as_asked_for() -> None:
    assert nearest(features(0, 1), features(1, 3), 3)[0].shape == (1, 3)
    for k in (0, 4):
        with pytest.raises(DataError, match="k must be 1 to 3 here"):
            nearest(features(0), features(1, 3), k=k)
    with pytest.raises(DataError, match="at least 1"):
        nearest(features(0, 0), features(1))
    with pytest.raises(DataError, match="one extractor"):
        nearest(features(0), features(1)[:, :4])
    with pytest.raises(DataError, match="not finite"):
        nearest(features(0), features(1).index_fill(0, torch.tensor(3), math.inf))


# --- set metrics ---


def test_a_set_beside_itself() -> None:
    one = Extracted(features(0).double() * math.pi + 10, seen(0).posteriors)
    found = values(one, one, list(SETS))
    assert 0 <= found["fd"] <= 1e-9
    assert found["kd"] < 0
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["density"] == 6 / 5  # in every ball its centre and five others, the farthest on the surface


def test_a_set_of_equal_pictures_lies_in_its_own_balls() -> None:
    one = Extracted(features(0, 1).expand(30, -1).double() * math.pi, torch.full((30, 2), 0.5))
    found = values(one, one, list(SETS))
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["vendi"] == pytest.approx(1)
    assert found["class score"] == found["class entropy"] == 1


@every_distance
def test_distance_is_symmetric(name: str) -> None:
    one, other = seen(0), seen(1, 150, shift=1)
    assert measure(name, one, other) == pytest.approx(measure(name, other, one), rel=1e-12)


def test_precision_and_recall_are_each_other_with_sides_exchanged() -> None:
    one, other = seen(0), seen(1, 150, shift=1)
    assert measure("precision", one, other) == measure("recall", other, one)
    assert 0.1 < measure("precision", one, other) != measure("recall", one, other)


@every_metric
def test_no_metric_changes_with_rotation_order_or_blocks(name: str, request: pytest.FixtureRequest) -> None:
    one, other = seen(0), seen(1, 150, shift=0.5)
    expected = measure(name, one, other)
    rotation = torch.linalg.qr(torch.randn(12, 12, generator=rng(2), dtype=torch.float64)).Q
    turned = (Extracted(side.features.double() @ rotation, side.posteriors) for side in (one, other))
    assert measure(name, *turned) == pytest.approx(expected, rel=1e-9)
    shuffled = (rows(side, torch.randperm(len(side.features), generator=rng(3))) for side in (one, other))
    assert measure(name, *shuffled) == pytest.approx(expected, rel=1e-9)
    request.getfixturevalue("small_blocks")
    assert measure(name, one, other) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in TWO_SIDED if name != "density"])
def test_a_shift_makes_every_two_sided_metric_worse(name: str) -> None:
    found = [measure(name, seen(0), seen(1, shift=shift)) for shift in (0, 1, 2, 4)]
    assert found == sorted(found, reverse=SETS[name].better == "larger")
    assert len(set(found)) == 4


@every_metric
def test_fewer_pictures_than_a_metric_needs_are_refused(name: str) -> None:
    least = {"precision": 4, "recall": 4, "density": 6, "coverage": 6}.get(name, 2)
    sides = (seen(0, least), seen(1, least))
    assert math.isfinite(measure(name, *sides))
    with pytest.raises(DataError, match=f"at least {least}"):
        measure(name, *(rows(side, torch.arange(least - 1)) for side in sides))


@pytest.mark.parametrize("name", TWO_SIDED)
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (features(0)[:1], "at least"),
        (features(0).index_fill(0, torch.tensor(3), math.nan), "not finite"),
        (features(0)[:, :5], "one extractor"),
    ],
)
def test_what_cannot_be_compared_is_refused(name: str, bad: torch.Tensor, reason: str) -> None:
    good, bad_side = seen(1), Extracted(bad, torch.full((len(bad), 6), 1 / 6))
    for pair in ((bad_side, good), (good, bad_side)):
        for call in (SETS[name].measure, lambda *pair: values(*pair, [name]), lambda *pair: estimates(*pair, [name])):
            with pytest.raises(DataError, match=reason):
                call(*pair)


@pytest.mark.parametrize("name", ["vendi", "class score", "class entropy"])
def test_nan_is_refused_by_metrics_of_one_set(name: str) -> None:
    with pytest.raises(DataError, match="not finite"):
        measure(name, Extracted(*(column * math.nan for column in seen(0))), seen(1))


def test_kernel_distance_is_unbiased() -> None:
    draws = torch.tensor([kernel_distance(features(2 * i, 10, 4), features(2 * i + 1, 8, 4)) for i in range(600)])
    assert abs(draws.mean()) < 3 * draws.std() / math.sqrt(len(draws))
    assert draws.min() < 0 < draws.max()


def test_every_row_counts_in_the_kernel_distance(small_blocks: None) -> None:
    one, other = features(0, 97), features(1, 97)
    changed = {kernel_distance(one.index_fill(0, torch.tensor(row), 9.0), other) for row in range(97)}
    assert kernel_distance(one, other) not in changed
    assert len(changed) == 97


def test_memory_does_not_grow_with_the_product_of_the_sides(
    monkeypatch: pytest.MonkeyPatch, small_blocks: None
) -> None:
    largest = []

    def watched(plain: Callable[..., torch.Tensor], *blocks: torch.Tensor) -> torch.Tensor:
        largest.append(max(len(block) for block in blocks))
        return plain(*blocks)

    for module, function in ((sets, "_kernel"), (sets, "squared_distances"), (neighbours, "squared_distances")):
        monkeypatch.setattr(module, function, partial(watched, getattr(module, function)))
    estimates(seen(0), seen(1, 150), ["kd", "coverage", "recall"])
    nearest(features(0), features(1))
    assert max(largest) == 23
    assert len(largest) > 100


def test_coverage_of_equal_distributions_is_known() -> None:
    found = [sets.coverage(features(2 * i, 40, 8), features(2 * i + 1, 60, 8)) for i in range(150)]
    outside = math.prod((60 - i) / (100 - i) for i in range(1, 6))  # the five nearest are all of the reference
    mean = sum(found) / len(found)
    assert mean == pytest.approx(1 - outside, abs=0.008)


def test_a_stray_of_the_reference_gives_noise_precision_but_no_coverage() -> None:
    reference = torch.cat([features(0), torch.tensor([[1000.0], [-1000.0], [2000.0], [-2000.0]]).expand(-1, 12)])
    far = features(1) + 60
    assert sets.precision(far, reference) == 1
    assert sets.coverage(far, reference) < 0.05
    assert not SETS["precision"].headline


@pytest.mark.parametrize("decomposition", ["svdvals", "eigvalsh"])
def test_decompositions_have_one_thread_and_give_the_others_back(
    decomposition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, threads, before = getattr(torch.linalg, decomposition), [], torch.get_num_threads()
    watched = lambda matrix: threads.append(torch.get_num_threads()) or plain(matrix)  # noqa: E731
    monkeypatch.setattr(torch.linalg, decomposition, watched)
    torch.set_num_threads(2)
    try:
        values(seen(0), seen(1), ["fd", "vendi"])
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert threads == [1]
    assert after == 2


@pytest.mark.parametrize("dimensions", [5, 40])
def test_vendi_score_counts_kinds(dimensions: int) -> None:
    kinds = torch.eye(dimensions)[:4]
    assert vendi_score(kinds.repeat(5, 1) * 3) == pytest.approx(4, rel=1e-9)
    assert vendi_score(torch.cat([kinds, kinds[:1] * 0]).repeat(5, 1)) == pytest.approx(
        5, rel=1e-9
    )  # nothing is a kind
    assert vendi_score(torch.zeros(8, dimensions)) == pytest.approx(1)


# --- intervals ---


def wilson(value: float, n: int) -> tuple[float, float]:
    """scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")."""
    found = scipy.stats.binomtest(round(value * n), n).proportion_ci(method="wilson")
    return found.low, found.high


def jackknife(
    name: str, sides: tuple[Extracted, Extracted], parts: tuple[torch.Tensor, torch.Tensor]
) -> tuple[float, float]:
    """The value and the half width, by actually leaving groups out."""
    groups = int(parts[0].max()) + 1
    left_out = np.array(
        [
            measure(name, *(rows(side, part != j) for side, part in zip(sides, parts, strict=True)))
            for j in range(groups)
        ]
    )
    error = math.sqrt((groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum())
    return measure(name, *sides), scipy.stats.t.ppf(0.975, groups - 1) * error


@pytest.mark.parametrize(
    ("n", "m", "dimensions"), [(90, 130, 12), (60, 47, 55), (130, 60, 57), (47, 60, 130), (9, 8, 3)]
)
def test_leaving_out_by_subtraction_is_leaving_out(n: int, m: int, dimensions: int, small_blocks: None) -> None:
    sides = seen(0, n, dimensions), seen(1, m, dimensions, shift=0.3)
    groups, generator = min(20, n // 2, m // 2), rng(7)
    parts = _parts(sides[0], groups, generator), _parts(sides[1], groups, generator)
    found = estimates(*sides, list(SETS), seed=7)
    for name in SETS:
        if name != "kd":
            value, half = jackknife(name, sides, parts)
            least, most = SETS[name].bounds
            low, high = max(value - half, least), min(value + half, most)
            if name in SHARES:
                widest = wilson(value, {"precision": n}.get(name, m))
                low, high = min(low, widest[0]), max(high, widest[1])
            assert found[name].value == pytest.approx(value, rel=1e-9)
            assert found[name].low == pytest.approx(low, rel=1e-9, abs=1e-9)
            assert found[name].high == pytest.approx(high, rel=1e-9, abs=1e-9)
            assert found[name].method.endswith("united with Wilson's score interval") == (name in SHARES)
            assert f"{groups} groups" in found[name].method


@pytest.mark.parametrize("name", SHARES)
def test_a_share_of_nothing_or_all_is_not_certain(name: str) -> None:
    one = seen(0, 40)
    everything, nothing = (estimates(one, other, [name])[name] for other in (one, seen(1, 60, shift=100)))
    assert (everything.value, everything.high, nothing.value, nothing.low) == (1, 1, 0, 0)
    assert everything.low <= wilson(1, 40)[0] + 1e-12
    assert nothing.high == pytest.approx(wilson(0, 40 if name == "precision" else 60)[1])


@pytest.mark.parametrize(("hits", "of"), [(0, 50), (1, 50), (37, 120), (50, 50)])
def test_a_share_has_wilsons_interval(hits: int, of: int) -> None:
    found = share_estimate(torch.arange(of) < hits)
    assert (found.value, found.low, found.high) == pytest.approx((hits / of, *wilson(hits / of, of)), abs=1e-9)
    assert found.low <= found.value <= found.high
    assert found.document() == {
        "value": found.value,
        "interval": {"low": found.low, "high": found.high, "level": LEVEL, "method": "Wilson's score interval"},
    }


def test_singular_covariances_leave_out_as_well() -> None:
    def flat(seed: int) -> Extracted:
        return Extracted(
            torch.cat([features(seed, 90), torch.zeros(90, 5), features(seed, 90)], 1), seen(seed, 90).posteriors
        )

    sides, generator = (flat(0), flat(1)), rng(0)
    parts = _parts(sides[0], 20, generator), _parts(sides[1], 20, generator)
    found = estimates(*sides, ["fd"])["fd"]
    value, half = jackknife("fd", sides, parts)
    assert found.value == pytest.approx(value, rel=1e-9)
    assert found.high - found.value == pytest.approx(half, rel=1e-6)


def test_parts_are_equal_random_and_of_the_seed() -> None:
    part = _parts(seen(0, 43), 20, rng(0))
    assert sorted(part.bincount().tolist()) == [2] * 17 + [3] * 3
    assert not torch.equal(part, part.sort().values)
    assert torch.equal(part, _parts(seen(1, 43), 20, rng(0)))
    assert not torch.equal(part, _parts(seen(0, 43), 20, rng(1)))


@pytest.mark.parametrize("n", [8, 21, 60])
@pytest.mark.parametrize("shift", [0, 3])
def test_every_interval_contains_its_value(n: int, shift: float) -> None:
    one, other = seen(0, n), seen(1, n + 5, shift=shift)
    for pair in ((one, other), (other, one), (one, one)):
        found = estimates(*pair, list(SETS), seed=n)
        assert list(found) == list(SETS)
        for name, estimate in found.items():
            least, most = SETS[name].bounds
            assert least <= estimate.low <= estimate.value <= estimate.high <= most
            assert math.isfinite(estimate.low + estimate.high)
            assert estimate.value == values(*pair, [name])[name]
            assert estimate.value == pytest.approx(measure(name, *pair), rel=1e-9, abs=1e-9)


def test_a_value_that_rounding_left_beyond_its_bound_stays_in_its_interval() -> None:
    for name, value in (("vendi", 1 - 1e-12), ("coverage", 1 + 1e-12)):
        estimate = _bounded(name, value, 1e-14, "")
        assert estimate.low <= estimate.value <= estimate.high


@every_metric
def test_an_interval_holds_what_other_draws_give_and_no_more(name: str) -> None:
    found = [estimates(seen(2 * i, 60, 4), seen(2 * i + 1, 60, 4, shift=1), [name])[name] for i in range(80)]
    truth = sum(estimate.value for estimate in found) / len(found)
    held = sum(estimate.low <= truth <= estimate.high for estimate in found) / len(found)
    assert held >= 0.85
    spread = torch.tensor([estimate.value for estimate in found]).std()
    width = sum(estimate.high - estimate.low for estimate in found) / len(found)
    assert width < (16 if name == "kd" else 8) * spread  # blocks of six are worth less than the whole


def test_the_kernel_interval_is_of_disjoint_blocks() -> None:
    one, other = seen(0, 90), seen(1, 70, shift=1)
    generator = rng(3)
    parts = _parts(one, 10, generator), _parts(other, 10, generator)
    found = np.array([kernel_distance(one.features[parts[0] == b], other.features[parts[1] == b]) for b in range(10)])
    half = scipy.stats.t.ppf(0.975, 9) * found.std(ddof=1) / math.sqrt(10)
    estimate = estimates(one, other, ["kd"], seed=3)["kd"]
    assert estimate.value == kernel_distance(one.features, other.features)
    assert estimate.low == pytest.approx(estimate.value - half, rel=1e-9)
    assert estimate.high == pytest.approx(estimate.value + half, rel=1e-9)
    assert estimate.method.startswith("10 ")
    assert estimates(seen(0, 7), seen(1, 9), ["kd"])["kd"].method.startswith("3 ")


def test_the_interval_is_of_the_seed_and_the_value_is_not() -> None:
    found = [estimates(seen(0, 60), seen(1, 60, shift=1), list(SETS), seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    for name in SETS:
        assert found[0][name].value == found[2][name].value
        assert found[0][name] != found[2][name]


def test_too_few_pictures_for_an_interval_are_refused() -> None:
    assert set(estimates(seen(0, 4), seen(1, 4), ["fd", "kd", "vendi"])) == {"fd", "kd", "vendi"}
    with pytest.raises(DataError, match="at least 4"):
        estimates(seen(0), seen(1, 3), ["fd"])
    assert values(seen(0, 6), seen(1, 6), ["coverage"])
    with pytest.raises(DataError, match="at least 8"):
        estimates(seen(0, 7), seen(1, 7), ["coverage"])


def test_a_mean_stands_in_its_interval() -> None:
    samples = torch.randn(400, generator=rng(0)).exp()
    estimate = mean_estimate(samples)
    error = float(samples.std()) / 20
    assert estimate.value == pytest.approx(float(samples.double().mean()), rel=1e-12)
    assert estimate.high - estimate.value == pytest.approx(1.96 * error, rel=0.15)
    assert estimate.value - estimate.low == pytest.approx(1.96 * error, rel=0.15)
    assert mean_estimate(samples) == estimate != mean_estimate(samples, seed=1)
    for few in ([3.0, 3.0], [0.0, 1.0], [0.1] * 7, [0.0] * 999 + [1e9]):
        estimate = mean_estimate(torch.tensor(few))
        assert estimate.low <= estimate.value <= estimate.high
    assert mean_estimate(torch.tensor([2.5])).method == "none: one pair has no interval"
    for bad in ([], [1.0, math.inf], [1.0, math.nan]):
        with pytest.raises(DataError):
            mean_estimate(torch.tensor(bad))


# --- headlines ---


def blurred(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)


def test_no_headline_takes_noise_or_black_for_pictures(mnist: DataSet) -> None:
    see = EXTRACTORS["digits-v1"].extract
    real, test = (part.tensor(28, stop=1000) for part in (mnist.train, mnist.held_out))
    reference = see(real)
    headlines = [name for name, metric in SETS.items() if metric.headline]
    floor, blur = (values(see(images), reference, headlines) for images in (test, blurred(test)))
    for bad in (torch.rand(test.shape, generator=rng(0)), torch.zeros(test.shape)):
        found = values(see(bad), reference, headlines)
        for name in headlines:
            if SETS[name].better == "smaller":
                assert found[name] > blur[name] > 4 * abs(floor[name])
            else:
                assert found[name] < min(blur[name], 0.1 * floor[name])


def test_a_new_row_of_the_table_gets_its_interval_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(generated: Extracted, reference: Extracted) -> float:
        return sets.frechet_distance(generated.features, reference.features)

    monkeypatch.setitem(SETS, "again", replace(SETS["fd"], measure=measure))
    one, other = (torch.randn(90, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    told = estimates(Extracted(one, one.softmax(1)), Extracted(other, other.softmax(1)), ["fd", "again"])
    for part in ("value", "low", "high"):
        assert getattr(told["again"], part) == pytest.approx(getattr(told["fd"], part), rel=1e-9)
