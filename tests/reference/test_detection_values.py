"""Detection against other computations: COCO's own code, loops, and formulas by hand.

tests/fixtures/detection.json holds random boxes, crowds among them, and the precision of each class at each overlap as
pycocotools 2.0.11 gave it (faster-coco-eval 1.8.0 agreed):

    coco = COCO("true.json")  # from "true": picture, class, left, top, right, bottom, crowd
    judge = COCOeval(coco, coco.loadRes("found.json"), "bbox")  # from "found": picture, class, four sides, score
    judge.evaluate()
    judge.accumulate()
    judge.eval["precision"][:, :, :, 0, 2].mean(1).T
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pinxit.metrics.detection import USUAL_LIMIT, Taken, Things, ap, ap50, estimate, taken
from pinxit.nets.detector import OVERLAP, chosen, overlaps, places, survivors
from pinxit.objectives.detection import PLACES, giou, targets

KNOWN = json.loads((Path(__file__).parents[1] / "fixtures" / "detection.json").read_text())


def known() -> list[Taken]:
    found, true = [], []
    for picture in range(KNOWN["pictures"]):
        rows = [[*row[2:7], row[1]] for row in KNOWN["found"] if row[0] == picture]
        found.append(np.array(rows, float).reshape(-1, 6))
        own = [row for row in KNOWN["true"] if row[0] == picture]
        boxes = np.array([row[2:6] for row in own], float).reshape(-1, 4)
        true.append(Things(boxes, np.array([row[1] for row in own], int), np.array([row[6] for row in own], bool)))
    return taken(found, true, KNOWN["classes"])


def test_average_precision_is_that_of_coco() -> None:
    took, once = known(), np.ones(KNOWN["pictures"])
    expected = np.array(KNOWN["precision"])
    np.testing.assert_allclose([one.precision(once) for one in took], expected, atol=1e-8)
    assert ap50(took, once) == pytest.approx(expected[:, 0].mean(), abs=1e-8)
    assert ap(took, once) == pytest.approx(expected.mean(), abs=1e-8)


def test_a_picture_that_counts_twice_is_that_picture_twice() -> None:
    """What intervals rest on: resampled pictures are weights."""
    took, rng = known(), np.random.default_rng(0)
    times = rng.integers(0, 4, KNOWN["pictures"])
    order = np.repeat(np.arange(KNOWN["pictures"]), times)
    for one in took:
        rows = [np.flatnonzero(one.picture == picture) for picture in order]
        place = np.concatenate(rows)
        where = np.repeat(np.arange(len(order)), [len(row) for row in rows])
        sort = np.argsort(place, kind="stable")  # by score, and equal scores in their order
        place, where = place[sort], where[sort]
        many = Taken(one.score[place], where, one.right[:, place], one.counts[:, place], one.true[order])
        np.testing.assert_allclose(many.precision(np.ones(len(order))), one.precision(times.astype(float)), atol=1e-9)
    interval = estimate("ap50", took)
    assert interval.low < interval.value < interval.high


def test_what_is_found_exactly_is_perfect_and_nothing_is_worth_nothing() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 5, 9, 30]], float)
    true = [Things(boxes, np.array([0, 1]), np.zeros(2, bool)), Things(boxes[:0], np.zeros(0, int), np.zeros(0, bool))]
    exact = [np.concatenate([boxes, [[0.9, 0], [0.4, 1]]], axis=1), np.empty((0, 6))]
    took, once = taken(exact, true, 3), np.ones(2)
    assert ap50(took, once) == ap(took, once) == 1  # the third class has no box and drops
    assert ap50(taken([row[:0] for row in exact], true, 3), once) == 0
    assert [one.limit() for one in took] == [0.9, 0.4, USUAL_LIMIT]
    exact[1] = np.array([[0, 0, 9, 9, 0.6, 0], [0, 0, 9, 9, 0.5, 1]])
    assert [one.limit() for one in taken(exact, true, 2)] == [0.75, 0.4]


def test_an_ignored_thing_is_taken_only_where_no_other_is() -> None:
    true = Things(np.array([[0, 0, 10, 10], [0, 0, 30, 30]], float), np.zeros(2, int), np.array([False, True]))
    found = np.array([[0, 0, 10, 12, 0.9, 0], [0, 0, 10, 12, 0.8, 0], [40, 0, 50, 9, 0.7, 0]], float)
    [took] = taken([found], [true], 1)
    assert took.right[0].tolist() == [True, False, False]
    assert took.counts[0].tolist() == [True, False, True]  # the second lies in the crowd


def greedy(boxes: torch.Tensor, kind: torch.Tensor) -> list[bool]:
    kept: list[int] = []
    for number in range(len(boxes)):
        rivals = [other for other in kept if kind[other] == kind[number]]
        fits = [float(overlaps(boxes[None, [number]], boxes[None, [other]])) for other in rivals]
        if not any(fit > OVERLAP for fit in fits):
            kept.append(number)
    return [number in kept for number in range(len(boxes))]


def test_suppression_is_the_greedy_one(rng: np.random.Generator) -> None:
    corner, side = rng.uniform(0, 30, (4, 80, 2)), rng.uniform(10, 20, (4, 80, 2))
    boxes = torch.from_numpy(np.concatenate([corner, corner + side], axis=2))
    kind = torch.from_numpy(rng.integers(0, 2, (4, 80))).float()
    kept = survivors(boxes, kind)
    for row in range(4):
        assert kept[row].bool().tolist() == greedy(boxes[row], kind[row])
    assert 0 < kept.sum() < kept.numel()


def test_the_boxes_that_are_chosen_are_the_best_inside_the_picture() -> None:
    boxes = torch.tensor([[[-3.0, 2, 9, 8], [0, 2, 9, 8], [5, 5, 30, 9], [1, 1, 2, 2]]])
    score = torch.tensor([[[0.9, 0.1], [0.8, 0.3], [0.2, 0.7], [0.05, 0.02]]])
    rows = chosen(score.logit(), boxes, (20, 16))[0]
    kept = rows[rows[:, 4] > 0.15]
    torch.testing.assert_close(kept[:, 4], torch.tensor([0.9, 0.7, 0.3, 0.2]))
    assert kept[:, 5].tolist() == [0, 1, 1, 0]
    assert kept[0, :4].tolist() == [0, 2, 9, 8]
    assert kept[1, :4].tolist() == [5, 5, 16, 9]


def test_the_generalised_overlap_by_hand() -> None:
    """Rezatofighi et al., 2019: the overlap, less the share of the hull that neither box covers."""
    box = torch.tensor([0.0, 0, 2, 2])
    for other, value in (
        ((0, 0, 2, 2), 1),
        ((0, 0, 1, 2), 1 / 2),
        ((1, 1, 3, 3), 1 / 7 - 2 / 9),
        ((4, 0, 6, 2), -2 / 6),
    ):
        assert float(giou(box, torch.tensor(other).float())) == pytest.approx(value, abs=1e-6)


def test_places_learn_the_box_that_their_guess_fits_best() -> None:
    grid = torch.cat([torch.nn.functional.pad(places(4, 4, 8), (0, 1), value=8)])
    true = torch.tensor([[[0.0, 0, 16, 16, 1], [17, 17, 19, 19, 0], [0, 16, 32, 32, -3], [0, 0, 0, 0, -1]]])
    found = torch.cat([grid[None, :, :2] - 6, grid[None, :, :2] + 6], dim=2)
    aims = targets(torch.full((1, 16, 2), 0.1), found, true, grid)
    learned = aims.score[0] > 0
    assert learned.any(1).nonzero().flatten().tolist() == [0, 1, 4, 5, 10]  # in the box; and the cell of a small one
    assert learned[:, 1].nonzero().flatten().tolist() == [0, 1, 4, 5]
    fit = overlaps(true[..., :4], found)[0]
    torch.testing.assert_close(aims.score[0, :, 1].max(), fit[0].max())
    torch.testing.assert_close(aims.score[0, 10, 0], fit[1, 10])
    assert aims.box[0, 10].tolist() == [17, 17, 19, 19]
    many = targets(torch.full((1, 16, 2), 0.1), found, torch.tensor([[[0.0, 0, 32, 32, 0]]]), grid)
    assert (many.score > 0).sum() >= PLACES
