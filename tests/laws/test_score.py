"""Laws over every score: its interval, its protocol, its anchor rows, and the remarks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pinxit.data import DataSet, ImageSet, open_data
from pinxit.errors import DataError, UsageError
from pinxit.evaluation import extraction
from pinxit.evaluation.evaluate import _usual_extractor
from pinxit.evaluation.extraction import choose, extract, extract_cached
from pinxit.evaluation.pictures import Generated, identity
from pinxit.evaluation.score import blur, noise, score
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.sets import SETS

DIGITS = EXTRACTORS["digits-v1"]
NAMES = ("digits-v1", "digits-v2")


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def told(document: dict[str, Any], name: str = "kd[digits-v1]") -> dict[str, Any]:
    return document["scores"][name]


def value(document: dict[str, Any], name: str = "kd[digits-v1]") -> float:
    return told(document, name)["value"]


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[..., ImageSet]:
    """Make a set of n random pictures of the given dtype, packed."""

    def make(name: str, n: int = 40, seed: int = 0, dtype: type = np.uint8, side: int = 28, c: int = 1) -> ImageSet:
        images = np.random.default_rng(seed).integers(0, 256, (n, side, side, c)) * (np.iinfo(dtype).max // 255)
        np.savez(tmp_path / f"{name}.npz", images=images.astype(dtype))
        return open_data(str(tmp_path / f"{name}.npz"), holdout=0).train

    return make


def test_pictures_in_memory_score_as_those_on_the_disk(sheet: Callable[..., ImageSet]) -> None:
    one, other = sheet("one"), sheet("other", seed=1)
    drawn = Generated("one", np.stack([one[i] for i in range(len(one))]))
    assert value(score(drawn, other, extractors=NAMES)) == value(score(one, other, extractors=NAMES))
    assert drawn.fingerprint == Generated("another", drawn.images.copy()).fingerprint
    assert drawn.fingerprint != Generated("one", 255 - drawn.images).fingerprint


def test_every_score_stands_beside_its_interval_protocol_and_anchors(sheet: Callable[..., ImageSet]) -> None:
    one, other = sheet("one"), sheet("other", n=50, seed=1)
    document = score(one, other, extractors=NAMES, metrics=tuple(SETS), n=30, seed=4)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document["scores"]) == {f"{metric}[{name}]" for metric in SETS for name in NAMES}
    for name, entry in document["scores"].items():
        metric, extractor = SETS[name.partition("[")[0]], EXTRACTORS[entry["extractor"]]
        assert name.endswith(f"[{extractor.name}]")
        assert extractor.protocol().items() <= entry.items()
        assert (entry["n"], entry["seed"]) == (30, 4)
        assert (entry["metric"], entry["better"]) == (metric.definition, metric.better)
        assert (entry["generated"], entry["reference"]) == (identity(one), identity(other))
        assert [row["name"] for row in entry["rows"]] == ["generated", "floor", "noise", "blur"]
        assert entry["rows"][0]["value"] == entry["value"]
        assert (entry["rows"][-1]["ratio"] is None) == (metric.better != "smaller" or entry["rows"][-1]["value"] <= 0)
        interval = entry["interval"]
        assert interval["low"] <= entry["value"] <= interval["high"]
        assert (interval["level"], bool(interval["method"])) == (0.95, True)
    assert {"pinxit", "torch"} <= document["made_by"].keys()


def test_the_seed_alone_decides(sheet: Callable[..., ImageSet]) -> None:
    one, other = sheet("one"), sheet("other", seed=1)
    first, again = (score(one, other, extractors=NAMES, n=20, seed=1) for _ in range(2))
    assert first == again
    assert value(score(one, other, extractors=NAMES, n=20, seed=2)) != value(first)


def test_16_bit_pictures_score_as_their_8_bit_equals(sheet: Callable[..., ImageSet]) -> None:
    eight, sixteen = sheet("eight"), sheet("sixteen", dtype=np.uint16)
    document = score(sixteen, eight, extractors=NAMES, metrics=["fd"])
    assert value(document, "fd[digits-v1]") == pytest.approx(0, abs=1e-6)


def test_pictures_of_many_sizes_and_colours_have_the_features_of_each_alone(tmp_path: Path) -> None:
    kinds = [("RGB", (31, 40)), ("L", (28, 28)), ("RGBA", (90, 64)), ("L", (28, 28))] * 4
    for number, (mode, size) in enumerate(kinds):
        colour = 15 * number if mode == "L" else (200, 90, 15 * number, 255)[: len(mode)]
        Image.new(mode, size, colour).save(tmp_path / f"{number:02d}.png")
    mixed = open_data(str(tmp_path), holdout=0).train
    together = extract(DIGITS, mixed, range(16)).features
    alone = torch.cat([extract(DIGITS, mixed, [number]).features for number in range(16)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_the_floor_comes_from_other_real_pictures_or_from_halves(sheet: Callable[..., ImageSet]) -> None:
    one, other, real = sheet("one"), sheet("other", seed=1), sheet("real", n=25, seed=2)
    document = score(one, other, real=real, extractors=NAMES)
    floor = told(document)["rows"][1]
    assert (floor["about"], floor["n"]) == (real.name, 25)
    some = Generated("some", np.stack([other[i] for i in torch.randperm(40, generator=rng(0))[:25].tolist()]))
    assert floor["value"] == pytest.approx(value(score(real, some, extractors=NAMES)))
    assert any("the floor compares 25 real pictures" in remark for remark in document["remarks"])
    for too_few in (None, sheet("few", n=11)):
        assert told(score(one, other, real=too_few, extractors=NAMES))["rows"][1]["n"] == 20


def test_the_halves_of_a_sorted_reference_are_mixed(sheet: Callable[..., ImageSet]) -> None:
    dark, light = (np.full((30, 28, 28, 1), level, np.uint8) for level in (20, 220))
    grain = np.random.default_rng(0).integers(0, 20, (60, 28, 28, 1), np.uint8)
    ordered = Generated("ordered", np.concatenate([dark, light]) + grain)
    rows = told(score(sheet("one", 60), ordered, extractors=NAMES, metrics=["fd"]), "fd[digits-v1]")["rows"]
    halves = Generated("dark", ordered.images[:30]), Generated("light", ordered.images[30:])
    apart = value(score(*halves, extractors=NAMES, metrics=["fd"]), "fd[digits-v1]")
    assert rows[1]["value"] < apart / 10


@pytest.mark.parametrize("name", [name for name, metric in SETS.items() if metric.better == "as real"])
def test_without_a_better_side_the_floor_is_the_reference_itself(name: str, sheet: Callable[..., ImageSet]) -> None:
    one, other = sheet("one"), sheet("other", seed=1)
    floor = told(score(one, other, extractors=NAMES), f"{name}[digits-v1]")["rows"][1]
    assert (floor["about"], floor["n"]) == ("the reference itself", 40)
    assert floor["value"] == pytest.approx(value(score(other, one, extractors=NAMES), f"{name}[digits-v1]"))


def test_the_two_sides_draw_their_pictures_independently(sheet: Callable[..., ImageSet]) -> None:
    one = sheet("one")
    whole, halves = (score(one, one, extractors=NAMES, n=n, metrics=["fd"]) for n in (40, 20))
    assert value(whole, "fd[digits-v1]") == pytest.approx(0, abs=1e-6)
    assert value(halves, "fd[digits-v1]") > 1


def test_anchors_are_of_what_alpha_shows(sheet: Callable[..., ImageSet]) -> None:
    colour = sheet("colour", c=3)
    opaque = np.concatenate([np.stack([colour[i] for i in range(40)]), np.full((40, 28, 28, 1), 255, np.uint8)], 3)
    plain, clear = (score(images, images, extractors=NAMES) for images in (colour, Generated("opaque", opaque)))
    assert [row["value"] for row in told(plain)["rows"]] == [row["value"] for row in told(clear)["rows"]]


def test_what_cannot_be_scored_is_refused(sheet: Callable[..., ImageSet]) -> None:
    one, few = sheet("one"), sheet("few", n=11)
    for pair in ((one, few), (few, one)):
        with pytest.raises(DataError, match=r"few.* has 11 pictures"):
            score(*pair, extractors=NAMES)
    for n in (-1, 0, 11, 41):
        with pytest.raises(UsageError, match="n must be 12 to 40"):
            score(one, sheet("other", n=50), n=n, extractors=NAMES)
    with pytest.raises(UsageError, match="did you mean 'digits-v1'"):
        score(one, one, extractors=["digit-v1"])
    with pytest.raises(UsageError, match="did you mean 'coverage'"):
        score(one, one, extractors=NAMES, metrics=["coverages"])


def test_few_pictures_get_a_kernel_distance_and_the_reason(sheet: Callable[..., ImageSet]) -> None:
    one, other = sheet("one"), sheet("other", seed=1)
    document = score(one, other, extractors=NAMES)
    assert "kd[digits-v1]" in document["scores"]
    assert "fd[digits-v1]" not in document["scores"]
    assert any("kernel distance replaces the Frechet distance" in remark for remark in document["remarks"])
    bold = score(one, other, extractors=NAMES, metrics=["fd"])
    assert set(bold["scores"]) == {"fd[digits-v1]", "fd[digits-v2]"}
    assert any("cannot fill 128 dimensions" in remark for remark in bold["remarks"])


def test_what_differs_between_the_sets_is_remarked(sheet: Callable[..., ImageSet], tmp_path: Path) -> None:
    def remarks(one: ImageSet, other: ImageSet) -> str:
        remarked = score(one, other, extractors=NAMES[:1], metrics=["kd"])["remarks"]
        return "\n".join(remark for remark in remarked if "floor compares" not in remark)

    one = sheet("one")
    assert remarks(one, sheet("same", seed=1)) == ""
    assert "the same pictures" in remarks(one, one)
    assert "one.npz has 40 pictures and more.npz 50: 40 of each" in remarks(one, sheet("more", 50, 1))
    assert "28 x 28 pixels and large.npz of 32 x 32" in remarks(one, sheet("large", side=32))
    assert "one.npz has 1 and colour.npz has 3" in remarks(one, sheet("colour", c=3))
    (tmp_path / "jpeg").mkdir()
    for number in range(40):
        Image.fromarray(one[number][..., 0]).save(tmp_path / "jpeg" / f"{number}.jpg")
    assert "jpeg is jpg" in remarks(one, open_data(str(tmp_path / "jpeg"), holdout=0).train)


def test_noise_is_25_grey_levels_and_blur_the_mean_of_nine() -> None:
    grey = torch.full((4, 1, 64, 64), 128 / 255)
    noisy = 255 * noise(grey, rng(0))
    assert float(noisy.std()) == pytest.approx(25, rel=0.03)
    torch.testing.assert_close(noisy, noisy.round(), rtol=0, atol=1e-4)
    assert noise(torch.ones(1, 1, 8, 8), rng(0)).max() <= 1
    images = (torch.rand(2, 3, 9, 9, generator=rng(5)) * 255).round() / 255
    padded = np.pad(255 * images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    mean = sum(padded[:, :, y : y + 9, x : x + 9] for y in range(3) for x in range(3)) / 9
    np.testing.assert_allclose(255 * blur(images, rng(0)).numpy(), np.rint(mean), atol=1e-3)


@pytest.mark.parametrize("extractor", NAMES)
def test_anchors_of_real_digits_are_in_order(extractor: str, mnist: DataSet) -> None:
    document = score(mnist.held_out, mnist.held_out, real=mnist.train, extractors=[extractor], n=2100)
    for metric in ("fd", "kd"):
        generated, floor, spoiled, blurred = (row["value"] for row in told(document, f"{metric}[{extractor}]")["rows"])
        assert max(generated, floor) < spoiled / 2 < spoiled < blurred / 4
    assert value(document, f"class entropy[{extractor}]") > 3.30


# --- the cache of features ---


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    monkeypatch.setattr(extraction, "extract", lambda *arguments: calls.append(1) or extract(*arguments))
    return calls


def test_features_of_a_reference_are_extracted_once(
    sheet: Callable[..., ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, images = counted(monkeypatch), sheet("cached", seed=77)
    first, again = (extract_cached(DIGITS, images, choose(images, 20, 0)) for _ in range(2))
    assert len(calls) == 1
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


def test_whatever_changes_the_features_is_extracted_again(
    sheet: Callable[..., ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, images = counted(monkeypatch), sheet("cached again", seed=78)
    chosen = choose(images, 20, 0)
    calls_of = [
        (DIGITS, images, chosen),
        (EXTRACTORS["digits-v2"], images, chosen),
        (DIGITS, sheet("another", seed=79), chosen),
        (DIGITS, images, choose(images, 20, 1)),
        (DIGITS, images, chosen, noise, 0),
        (DIGITS, images, chosen, noise, 1),
        (DIGITS, images, chosen, blur, 0),
    ]
    for each in calls_of:
        extract_cached(*each)
    assert len(calls) == len(calls_of)


def test_a_damaged_cache_is_replaced(
    sheet: Callable[..., ImageSet], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = sheet("damaged", seed=80)
    chosen = choose(images, 20, 0)
    before = set((cache / "features").glob("*"))
    good = extract_cached(DIGITS, images, chosen)
    (path,) = set((cache / "features").glob("*")) - before
    for content in (b"", b"{}", path.read_bytes()[:-9]):
        path.write_bytes(content)
        assert torch.equal(extract_cached(DIGITS, images, chosen).features, good.features)


def test_a_cache_that_cannot_be_written_costs_time_only(
    sheet: Callable[..., ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = sheet("unkept", seed=81)
    (tmp_path / "file").write_text("where the folder should be")
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "file"))
    assert len(extract_cached(DIGITS, images, choose(images, 20, 0)).features) == 20
    assert "features were not cached" in capsys.readouterr().err


def test_the_cache_removes_the_least_recently_used(
    sheet: Callable[..., ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "small"))
    sets = [sheet(f"set{number}", seed=90 + number) for number in range(4)]
    (tmp_path / "small" / "features" / "x.safetensors").parent.mkdir(parents=True)
    (tmp_path / "small" / "features" / "gone.safetensors").symlink_to(tmp_path / "nowhere")  # as if pruned elsewhere
    chosen = choose(sets[0], 20, 0)
    extract_cached(DIGITS, sets[0], chosen)
    (first,) = (path for path in (tmp_path / "small" / "features").glob("*") if path.is_file())
    monkeypatch.setattr(extraction, "CACHE_CEILING", 3 * first.stat().st_size)
    calls = counted(monkeypatch)
    for number in (1, 2, 0, 3, 0, 1):  # 3 drives out 1, the least recently used
        extract_cached(DIGITS, sets[number], chosen)
    assert len(calls) == 4


def test_batches_stay_small_when_small_pictures_are_resized() -> None:
    pictures = [np.zeros((8, 8, 1), np.uint8)] * 200
    sizes = [len(batch) for batch in extraction.batches(pictures, side=224)]
    assert sum(sizes) == 200
    assert max(sizes) * 224**2 <= extraction.PIXELS_AT_ONCE < (max(sizes) + 1) * 224**2


def test_the_extractor_suits_the_size_of_the_reference(sheet: Callable[..., ImageSet]) -> None:
    assert [_usual_extractor(sheet(f"{side}", side=side)) for side in (28, 64, 65)] == ["lite0-96", "lite0-96", "lite0"]
    assert EXTRACTORS["lite0-96"].protocol()["input"] != EXTRACTORS["lite0"].protocol()["input"]
