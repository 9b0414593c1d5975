"""Laws of the copy measures and the audit: what is a copy, how near is near, and that nothing is told from nothing."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, mannwhitneyu

from pinxit.errors import DataError
from pinxit.evaluation.audit import SHOWN, audit, share, sheet
from pinxit.evaluation.pictures import Drawn
from pinxit.metrics.copying import authenticity, closeness, copying_z, threshold
from pinxit.metrics.features import EXTRACTORS


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


def test_measures_refuse_what_they_cannot_tell() -> None:
    with pytest.raises(DataError, match="at least 6"):
        closeness(OTHER, TRAINING[:5])
    with pytest.raises(DataError, match="10 generated"):
        copying_z(OTHER[:10], TRAINING, HELD_OUT)
    with pytest.raises(DataError, match="not finite"):
        authenticity(OTHER / 0, TRAINING)


@pytest.mark.parametrize(("hits", "of"), [(0, 50), (1, 50), (37, 120), (50, 50)])
def test_a_share_has_wilsons_interval(hits: int, of: int) -> None:
    """scipy.stats.binomtest(hits, of).proportion_ci(method="wilson")."""
    found = share(torch.arange(of) < hits)
    expected = binomtest(hits, of).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((hits / of, expected.low, expected.high), abs=1e-6)
    assert found.low <= found.value <= found.high


def cards(count: int, seed: int, channels: int = 1, dtype: type = np.uint8) -> Drawn:
    """Smooth random pictures, all different."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, np.iinfo(dtype).max + 1, (count, 7, 7, channels))
    return Drawn(f"cards {seed}", np.kron(coarse, np.ones((1, 4, 4, 1))).astype(dtype))


EYES = EXTRACTORS["digits-v1"]


def test_an_audit_finds_copies_and_names_their_originals() -> None:
    training = cards(500, 0)
    copies = Drawn("copies", training.images[100:160] // 2 + 20)
    found = audit(copies, training, cards(300, 1), EYES)
    assert found.verdict.startswith("copies: ")
    assert found.flagged is not None
    assert found.flagged.value > 0.95
    assert len(found.nearest) == SHOWN
    assert all(pair.training == pair.generated + 100 for pair in found.nearest)
    assert [pair.name for pair in found.nearest] == [f"{pair.training:05d}" for pair in found.nearest]
    ratios = [pair.ratio for pair in found.nearest]
    assert ratios == sorted(ratios)
    json.dumps(found.document())


def test_an_audit_finds_nothing_in_other_real_pictures_and_repeats_itself() -> None:
    sets = cards(200, 2), cards(500, 0), cards(400, 1)
    found = audit(*sets, EYES)
    assert found.verdict.startswith("no sign of copying: ")
    assert found.flagged is not None
    assert found.false_flags is not None
    assert found.flagged.value <= 0.02
    assert found.false_flags.value <= 0.03
    assert found.authenticity == pytest.approx(found.authenticity_of_real, abs=0.15)
    assert found == audit(*sets, EYES)


def test_false_flags_are_counted_where_the_threshold_was_not_made() -> None:
    """On the half that made it, the share at or below it would be 2 of 200 by construction."""
    sets = cards(20, 2), cards(300, 0), cards(400, 1)
    assert len({audit(*sets, EYES, seed).false_flags for seed in range(4)}) > 1


def test_an_audit_says_so_when_only_a_few_are_copies() -> None:
    training = cards(500, 0)
    some = Drawn("some", np.concatenate([cards(160, 3).images, training.images[:40]]))
    found = audit(some, training, cards(400, 1), EYES)
    assert found.verdict.startswith("some copies: 20.0 %")
    assert {pair.generated for pair in found.nearest} <= set(range(160, 200))


def test_an_audit_says_so_when_few_are_surely_copies_but_all_are_too_near() -> None:
    training = cards(500, 0)
    blends = Drawn("blends", training.images[:200] // 20 * 12 + cards(200, 3).images // 20 * 8)
    found = audit(blends, training, cards(400, 1), EYES)
    assert found.verdict.startswith("too near as a whole: ")
    assert f"C_T = {found.copying_z:.1f}" in found.verdict


def test_an_audit_gives_no_verdict_from_too_few_held_out_pictures() -> None:
    training = cards(50, 0)
    found = audit(training, training, cards(199, 1), EYES)
    assert found.verdict.startswith("no verdict: cards 1 has 199 pictures, and 200 are needed")
    assert (found.flagged, found.false_flags, found.threshold, found.copying_z) == (None, None, None, None)
    assert len(found.nearest) == SHOWN
    json.dumps(found.document())


@pytest.mark.parametrize("empty", range(3))
def test_an_audit_of_nothing_or_against_nothing_is_refused(empty: int) -> None:
    sets = [cards(20, 2), cards(20, 0), cards(20, 1)]
    sets[empty] = Drawn("nothing", np.zeros((0, 28, 28, 1), np.uint8))
    with pytest.raises(DataError, match="nothing holds no pictures"):
        audit(*sets, EYES)


def test_the_sheet_shows_pairs_of_any_kind_side_by_side() -> None:
    training = cards(30, 0, channels=3, dtype=np.uint16)
    generated = Drawn("grey", cards(30, 0).images)
    found = audit(generated, training, cards(20, 1), EYES)
    drawn = sheet(found, generated, training)
    assert drawn.shape == (5 * 32 + 4, 4 * (56 + 4) + 4, 3)
    assert drawn.dtype == np.uint8
    first = found.nearest[0]
    assert (drawn[4:32, 4:32] == generated[first.generated]).all()
    assert (drawn[4:32, 32:60] == training[first.training] // 257).all()
