"""Laws of the copy measures and the audit: what a copy is, how near is near, and when there is no verdict."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from pinxit.errors import DataError
from pinxit.evaluation.audit import SHOWN, audit, sheet
from pinxit.evaluation.pictures import Generated
from pinxit.metrics.copying import closeness, copying_z, threshold
from pinxit.metrics.extractors import EXTRACTORS


def points(count: int, seed: int, dimensions: int = 6) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


TRAINING, HELD_OUT, OTHER = points(2000, 0), points(1000, 1), points(600, 2)
COPIES = TRAINING[:600] + 0.01 * points(600, 3)


def test_closeness_counts_in_spacings_of_the_training_picture() -> None:
    line = torch.tensor([[0.0], [1], [2], [4], [7], [11], [100]])
    found = closeness(torch.tensor([[0.4], [10.0], [200.0]]), line)
    assert found.row.tolist() == [0, 5, 6]
    assert found.distance.tolist() == pytest.approx([0.4, 1, 100])
    assert found.spacing[0].tolist() == [1, 2, 4, 7, 11]
    assert found.ratio.tolist() == pytest.approx([0.4 / 5, 1 / 8.2, 100 / 95])
    assert found.authentic.tolist() == [False, False, True]


def test_a_copy_is_at_zero_even_where_all_training_pictures_are_equal() -> None:
    same = torch.ones(8, 3)
    assert closeness(same[:1], same).ratio.tolist() == [0]
    assert closeness(same[:1] + 1, same).ratio.item() > 1e6


def test_ratios_do_not_depend_on_scale_or_rotation() -> None:
    turn, _ = torch.linalg.qr(points(6, 5).double())
    plain = closeness(OTHER.double(), TRAINING.double()).ratio
    turned = closeness(7 * OTHER.double() @ turn, 7 * TRAINING.double() @ turn).ratio
    assert torch.allclose(plain, turned)


def test_the_threshold_lets_at_most_one_real_picture_in_a_hundred_through() -> None:
    ratios = torch.arange(1, 100).double()
    assert threshold(ratios[torch.randperm(99)]) == 1
    assert threshold(torch.arange(1, 400).double()) == 4
    rates = []
    for seed in range(200):
        drawn = torch.rand(1199, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        rates.append(float((drawn[199:] <= threshold(drawn[:199])).double().mean()))
    assert np.mean(rates) == pytest.approx(0.01, abs=0.002)
    with pytest.raises(DataError, match="98 held-out"):
        threshold(ratios[1:])


def authenticity(pictures: torch.Tensor, training: torch.Tensor) -> float:
    return float(closeness(pictures, training).authentic.double().mean())


def test_copies_are_not_authentic_and_real_pictures_are_about_half() -> None:
    assert authenticity(COPIES, TRAINING) < 0.02
    assert 0.35 < authenticity(OTHER, TRAINING) < 0.75
    assert authenticity(OTHER + 20, TRAINING) == 1


def test_copying_z_is_far_below_zero_for_copies_near_it_for_real_and_above_it_far_away() -> None:
    assert copying_z(COPIES, TRAINING, HELD_OUT) < -8
    assert abs(copying_z(OTHER, TRAINING, HELD_OUT)) < 2
    assert copying_z(1.5 * OTHER, TRAINING, HELD_OUT) > 3
    assert copying_z(OTHER, TRAINING, HELD_OUT, seed=1) == copying_z(OTHER, TRAINING, HELD_OUT, seed=1)
    assert copying_z(OTHER, TRAINING, HELD_OUT, seed=1) != copying_z(OTHER, TRAINING, HELD_OUT, seed=0)


def test_copying_z_in_one_cell_is_scipys_mann_whitney() -> None:
    """U of scipy.stats.mannwhitneyu, as z; rounded coordinates give ties."""
    generated, training, held_out = (features.round() for features in (OTHER[:150], TRAINING, HELD_OUT[:180]))
    one, other = (torch.cdist(x.double(), training.double()).amin(1) for x in (generated, held_out))
    u = mannwhitneyu(one, other).statistic
    z = (u - 150 * 180 / 2) / np.sqrt(150 * 180 * (150 + 180 + 1) / 12)
    assert copying_z(generated, training, held_out) == pytest.approx(z, abs=1e-9)


def test_copying_z_weighs_cells_by_their_held_out_pictures() -> None:
    """Two far groups, 300 held out in one and 100 in the other; only the small one is copied."""
    far = torch.tensor([500.0] + [0] * 5)
    training = torch.cat([points(1000, 0), points(1000, 1) + far])
    held_out = torch.cat([points(300, 2), points(100, 3) + far])
    copied = training[1000:1100] + 1e-3 * points(100, 4)
    fresh = points(200, 5)
    both = copying_z(torch.cat([fresh, copied]), training, held_out)
    alone = [copying_z(fresh, training, held_out[:300]), copying_z(copied, training, held_out[300:])]
    assert abs(both - (0.75 * alone[0] + 0.25 * alone[1])) < 0.6  # the lone groups are cut into cells of their own
    assert -5 < both < -1.5


def test_measures_refuse_too_few_or_invalid_features() -> None:
    with pytest.raises(DataError, match="at least 6"):
        closeness(OTHER, TRAINING[:5])
    with pytest.raises(DataError, match="10 generated"):
        copying_z(OTHER[:10], TRAINING, HELD_OUT)
    with pytest.raises(DataError, match="not finite"):
        authenticity(OTHER / 0, TRAINING)


def cards(count: int, seed: int, channels: int = 1, dtype: type = np.uint8) -> Generated:
    """Smooth random pictures, all different."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, np.iinfo(dtype).max + 1, (count, 7, 7, channels))
    return Generated(f"cards {seed}", np.kron(coarse, np.ones((1, 4, 4, 1))).astype(dtype))


EXTRACTOR = EXTRACTORS["digits-v1"]


def test_an_audit_finds_copies_and_names_their_originals() -> None:
    training = cards(500, 0)
    copies = Generated("copies", training.images[100:160] // 2 + 20)
    found = audit(copies, training, cards(300, 1), EXTRACTOR)
    assert found.verdict.startswith("copies: ")
    assert found.flagged is not None
    assert found.flagged.value > 0.95
    assert len(found.nearest) == SHOWN
    assert all(pair.training == pair.generated + 100 for pair in found.nearest)
    assert [pair.name for pair in found.nearest] == [f"{pair.training:05d}" for pair in found.nearest]
    ratios = [pair.ratio for pair in found.nearest]
    assert ratios == sorted(ratios)
    told = json.loads(json.dumps(found.document()))
    assert told["verdict"] == found.verdict
    assert told["flagged"] == {"value": found.flagged.value, "interval": found.flagged.interval()}
    assert told["false_flags"]["interval"]["level"] == 0.95


def test_an_audit_finds_nothing_in_other_real_pictures_and_repeats_itself() -> None:
    sets = cards(200, 2), cards(500, 0), cards(400, 1)
    found = audit(*sets, EXTRACTOR)
    assert found.verdict.startswith("no sign of copying: ")
    assert found.flagged is not None
    assert found.false_flags is not None
    assert found.flagged.value <= 0.02
    assert found.false_flags.value <= 0.03
    assert found.authenticity == pytest.approx(found.authenticity_of_real, abs=0.15)
    assert found == audit(*sets, EXTRACTOR)


def test_false_flags_are_counted_where_the_threshold_was_not_made() -> None:
    """On the half that made it, the share at or below it would be 2 of 200 by construction."""
    sets = cards(20, 2), cards(300, 0), cards(400, 1)
    assert len({audit(*sets, EXTRACTOR, seed).false_flags for seed in range(4)}) > 1


def test_a_verdict_states_flagged_and_false_flags() -> None:
    found = audit(cards(200, 2), cards(500, 0), cards(400, 1), EXTRACTOR)
    (flagged, first), (false_flags, second) = (
        (f"{100 * share.value:.1f} % (95 % interval {100 * share.low:.1f} % to {100 * share.high:.1f} %)", share.value)
        for share in (found.flagged, found.false_flags)
    )
    assert first != second
    assert found.verdict.startswith(f"no sign of copying: {flagged} of 200 pictures are as near")
    assert found.verdict.endswith(f"so are {false_flags} of the other held-out real pictures")


def test_held_out_pictures_that_are_training_pictures_do_not_disarm_the_audit() -> None:
    training, fresh = cards(500, 0), cards(290, 1).images
    mixed = Generated("mixed", np.concatenate([training.images[490:], fresh]))
    replay = Generated(
        "replay",
        (training.images[:300] + np.random.default_rng(0).normal(0, 5, (300, 28, 28, 1))).clip(0, 255).astype(np.uint8),
    )
    found, clean = (audit(replay, training, held_out, EXTRACTOR) for held_out in (mixed, Generated("fresh", fresh)))
    assert found.flagged.value >= 0.95
    assert found.verdict.startswith("copies: ")
    assert found.verdict.endswith("; 10 held-out pictures are training pictures too and were left out")
    assert (found.duplicates, clean.duplicates) == (10, 0)
    for name in ("threshold", "flagged", "false_flags", "copying_z", "authenticity_of_real"):
        assert getattr(found, name) == getattr(clean, name)


def test_held_out_pictures_a_grey_level_away_are_not_left_out() -> None:
    training = cards(50, 0)
    almost = training.images.copy()
    almost[:, 14, 14] ^= 1
    assert audit(training, training, Generated("almost", almost), EXTRACTOR).duplicates == 0


def test_an_audit_against_the_training_pictures_alone_is_refused() -> None:
    with pytest.raises(DataError, match="every picture of cards 0 is a training picture too"):
        audit(cards(20, 2), cards(300, 0), cards(300, 0), EXTRACTOR)


def test_one_new_picture_many_times_is_not_too_near_as_a_whole() -> None:
    fresh, sets = cards(1, 2).images, (cards(500, 0), cards(400, 1))
    found = audit(Generated("again", fresh.repeat(300, 0)), *sets, EXTRACTOR)
    assert (found.distinct, found.copying_z) == (1, None)
    assert found.verdict.startswith("no sign of copying: ")
    assert found.verdict.endswith("; 1 of the generated pictures are distinct")


def test_repeats_do_not_strengthen_the_copying_test() -> None:
    some, sets = cards(100, 2), (cards(500, 0), cards(400, 1))
    once, often = (audit(Generated("some", some.images.repeat(times, 0)), *sets, EXTRACTOR) for times in (1, 5))
    assert once.distinct == often.distinct == 100
    assert often.copying_z == pytest.approx(once.copying_z, abs=1e-9)
    assert "distinct" not in once.verdict


def test_an_audit_says_so_when_only_a_few_are_copies() -> None:
    training = cards(500, 0)
    some = Generated("some", np.concatenate([cards(160, 3).images, training.images[:40]]))
    found = audit(some, training, cards(400, 1), EXTRACTOR)
    assert found.verdict.startswith("some copies: 20.0 %")
    assert {pair.generated for pair in found.nearest} <= set(range(160, 200))


def test_an_audit_says_so_when_few_are_surely_copies_but_all_are_too_near() -> None:
    training = cards(500, 0)
    blends = Generated("blends", training.images[:200] // 20 * 12 + cards(200, 3).images // 20 * 8)
    found = audit(blends, training, cards(400, 1), EXTRACTOR)
    assert found.verdict.startswith("too near as a whole: ")
    assert f"(C_T = {found.copying_z:.1f}), by copying or by little variety" in found.verdict


def test_an_audit_gives_no_verdict_from_too_few_held_out_pictures() -> None:
    training = cards(50, 0)
    found = audit(training, training, cards(199, 1), EXTRACTOR)
    assert found.verdict.startswith("no verdict: cards 1 has 199 pictures that are not training pictures, and 200 are")
    assert (found.flagged, found.false_flags, found.threshold, found.copying_z) == (None, None, None, None)
    assert len(found.nearest) == SHOWN
    json.dumps(found.document())


@pytest.mark.parametrize("empty", range(3))
def test_an_audit_of_nothing_or_against_nothing_is_refused(empty: int) -> None:
    sets = [cards(20, 2), cards(20, 0), cards(20, 1)]
    sets[empty] = Generated("nothing", np.zeros((0, 28, 28, 1), np.uint8))
    with pytest.raises(DataError, match="nothing holds no pictures"):
        audit(*sets, EXTRACTOR)


def test_the_sheet_shows_pairs_of_any_kind_side_by_side() -> None:
    training = cards(30, 0, channels=3, dtype=np.uint16)
    generated = Generated("grey", cards(30, 0).images)
    found = audit(generated, training, cards(20, 1), EXTRACTOR)
    drawn = sheet(found, generated, training)
    assert drawn.shape == (5 * 32 + 4, 4 * (56 + 4) + 4, 3)
    assert drawn.dtype == np.uint8
    first = found.nearest[0]
    assert (drawn[4:32, 4:32] == generated[first.generated]).all()
    assert (drawn[4:32, 32:60] == training[first.training] // 257).all()


def test_too_few_held_out_pictures_are_counted_without_duplicates() -> None:
    training = cards(50, 0)
    mixed = Generated("mixed", np.concatenate([training.images[:10], cards(195, 1).images]))
    assert "mixed has 195 pictures" in audit(training, training, mixed, EXTRACTOR).verdict


def test_an_empty_cell_of_the_training_set_is_no_trouble() -> None:
    training = torch.cat([torch.zeros(380, 4), torch.eye(4).repeat(5, 1)])
    rng = torch.Generator().manual_seed(0)
    generated, held_out = (torch.rand(400, 4, generator=rng) for _ in range(2))
    assert math.isfinite(copying_z(generated, training, held_out))
