"""Laws of the classification accuracy score, on a set of bars that a classifier learns within seconds."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

import pinxit
from pinxit.data import DataSet
from pinxit.errors import DataError
from pinxit.evaluation.pictures import Generated
from pinxit.evaluation.utility import check_classes, utility

SHORT = pinxit.TrainingSettings(steps=60, batch_size=32, schedule="cosine", average=0.9, threads=1)
NAMES = ("across", "down", "plain")


def bars(count: int, seed: int, names: tuple[str, ...] = NAMES, channels: int = 1, side: int = 16) -> Generated:
    """Pictures of a bar across, a bar down, or none, on noise; labels are places in `names`."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, side, side, channels), dtype=np.uint8)
    labels = np.arange(count) % len(names)
    for image, label in zip(images, labels, strict=True):
        where = rng.integers(2, side - 4)
        if names[label] == "across":
            image[where : where + 3] = 200
        elif names[label] == "down":
            image[:, where : where + 3] = 200
    return Generated(f"bars {seed}", images, labels, names)


def noise(count: int) -> Generated:
    rng = np.random.default_rng(9)
    images = rng.integers(0, 256, (count, 16, 16, 1), dtype=np.uint8)
    return Generated("noise", images, rng.integers(0, 3, count), NAMES)


def test_real_pictures_teach_as_much_as_other_real_pictures() -> None:
    found = utility(bars(300, 1), bars(300, 2), bars(300, 3), training=SHORT)
    assert found.real.value > 0.95
    assert found.synthetic.value == pytest.approx(found.real.value, abs=0.05)
    assert found.both.value > 0.95
    for estimate in (found.real, found.synthetic, found.both):
        assert estimate.low <= estimate.value <= estimate.high
    assert found.protocol["n"] == {"real": 300, "synthetic": 300, "both": 600, "test": 300}
    told = json.loads(json.dumps(found.document()))
    assert told["synthetic"] == {"value": found.synthetic.value, "interval": found.synthetic.interval()}
    assert told["verdict"] == found.verdict


def test_an_accuracy_has_wilsons_interval() -> None:
    """scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")."""
    found = utility(bars(300, 1), noise(300), bars(120, 3), training=SHORT)
    assert found.real.value == 1
    for estimate in (found.real, found.synthetic):
        expected = binomtest(round(estimate.value * 120), 120).proportion_ci(method="wilson")
        assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.real.low < 0.98


def test_noise_with_random_labels_teaches_nothing_but_spoils_little() -> None:
    found = utility(bars(300, 1), noise(300), bars(300, 3), training=SHORT)
    assert found.synthetic.value < 0.55
    assert found.both.value > 0.8


def test_both_helps_where_the_real_pictures_are_bad() -> None:
    found = utility(noise(300), bars(300, 2), bars(300, 3), training=SHORT)
    assert found.real.value < 0.55
    assert found.both.value > 0.8


def test_of_a_larger_set_pictures_are_drawn_at_random() -> None:
    """The first half of these are all of one class."""
    ordered = bars(300, 1)
    order = np.argsort(ordered.labels, kind="stable")
    ordered = Generated("ordered", ordered.images[order], ordered.labels[order], NAMES)
    assert utility(ordered, bars(100, 2), bars(300, 3), training=SHORT).real.value > 0.85


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    hard = SHORT.changed(steps=8)
    once, again, other = (utility(bars(90, 1), bars(90, 2), bars(200, 3), seed, hard) for seed in (0, 0, 1))
    assert once == again
    assert (once.real, once.synthetic, once.both) != (other.real, other.synthetic, other.both)


def test_classes_are_matched_by_name_and_those_not_in_common_are_left_out() -> None:
    turned = bars(300, 2, names=("plain", "down", "across", "other"))
    found = utility(bars(300, 1), turned, bars(300, 3, names=("down", "across")), training=SHORT)
    assert found.protocol["classes"] == ["across", "down"]
    assert found.protocol["n"] == {"real": 150, "synthetic": 150, "both": 300, "test": 300}
    assert found.synthetic.value > 0.95


def test_grey_and_colour_of_other_sizes_and_depths_meet() -> None:
    colour = bars(120, 2, channels=3, side=40)
    deep = Generated("deep", bars(120, 3).images.astype(np.uint16) << 8, bars(120, 3).labels, NAMES)
    found = utility(bars(120, 1), colour, deep, training=SHORT)
    assert found.real.value > 0.9
    assert "16 pixels, 3 channels" in found.protocol["input"]


@pytest.mark.parametrize("ask", [utility, check_classes])
def test_sets_without_labels_or_common_classes_are_refused(ask: Callable[..., object]) -> None:
    with pytest.raises(DataError, match="bare has no labels"):
        ask(bars(30, 1), Generated("bare", bars(30, 2).images), bars(30, 3))
    with pytest.raises(DataError, match="fewer than two classes in common"):
        ask(bars(30, 1), bars(30, 2, names=("plain", "x")), bars(30, 3))


@pytest.mark.slow
def test_digits_teach_digits(mnist: DataSet) -> None:
    chosen = np.random.default_rng(0).permutation(len(mnist.train))[:20_000]
    one, other = (
        Generated("digits", mnist.train.rows(part, (28, 28)), mnist.train.labels[part], mnist.train.classes)
        for part in np.split(chosen, 2)
    )
    found = utility(one, other, mnist.held_out)
    assert found.real.value > 0.97
    assert abs(found.real.value - found.synthetic.value) < 0.01
    assert found.both.value > found.real.value - 0.005
