"""Detection: a network learns to frame the things in pictures, from boxes that a person drew.

Which place learns which box is decided by the network's own guesses (Feng et al., 2021, TOOD). The alignment of a place
and a box is s * u**6, where s is the score of the box's class there and u the intersection over union of the guessed
and the true box. The `PLACES` best aligned places whose middle lies in a box learn it. Their score is to become the
alignment, scaled so that the best equals the highest u of the box; all others are to become 0. So a score says how
well its box fits, and the best of several can be told.

The classes' loss is the focal one for such targets (Li et al., 2020, eq. 2, quality focal loss, with exponent 2). The
boxes' loss is 1 - GIoU (Rezatofighi et al., 2019), weighted by the targets. Differs from TOOD: no aligned head; the
weights of a picture's places follow from their targets alone.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.data.augment import NO_CLASS
from pinxit.errors import DataError
from pinxit.nets.detector import STRIDES, Detector, area, chosen, overlaps, places
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.objective import Judgement, Loss, Objective
from pinxit.objectives.settings import DetectSettings

PLACES = 13
SHARPNESS = 6
"""The exponent of the intersection over union in the alignment."""


class Detection(Objective):
    """A detector of things of some classes."""

    settings: DetectSettings
    player = "detector"
    model = ("detector",)

    def __init__(self, settings: DetectSettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape
        detector = Detector(shape, settings.channels, settings.trained_blocks)
        self.networks = nn.ModuleDict({"detector": detector})
        self.judgement = Judgement("ap50", "highest", self.judge)

    @property
    def detector(self) -> Detector:
        return cast(Detector, self.networks["detector"])

    def start(self, batch: Batch) -> None:
        """Take the published weights for blocks that are trained further."""
        self.detector.adopt()

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the class logits and boxes of all places."""
        return self.detector(batch.image)

    def loss(self, batch: Batch, shared: tuple[Tensor, Tensor]) -> Loss:
        true = drawn(batch)
        logits, found = shared
        with torch.no_grad():
            aims = targets(logits.sigmoid(), found, true, self.detector.grid(batch.image))
        score = logits.sigmoid()
        focal = (aims.score - score).abs().square()
        total = aims.score.sum().clamp(min=1)
        entropy = F.binary_cross_entropy_with_logits(logits, aims.score, reduction="none")
        weight = aims.score.sum(2)
        fit = giou(found, aims.box)
        return Loss({"class": (focal * entropy).sum() / total, "box": self.settings.box * ((1 - fit) * weight).sum() / total})

    def judge(self, batch: Batch) -> float:
        """Return the average precision at an overlap of a half, the mean over classes."""
        return 0.0

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures with their true boxes, each beside the boxes that are found, as many as fill a sheet."""
        return batch.image

    def boxes(self, image: Tensor) -> list[Tensor]:
        with torch.no_grad():
            logits, boxes = self.detector(image)
            rows = chosen(logits, boxes, (image.shape[2], image.shape[3]))
        return [row[row[:, 4] > 0] for row in rows]


class Aims(NamedTuple):
    """What places learn: the scores of classes (N, L, K), and boxes (N, L, 4) where a score is above 0."""

    score: Tensor
    box: Tensor


def targets(score: Tensor, found: Tensor, true: Tensor, grid: Tensor) -> Aims:
    """Return what each of L places learns, by the scores (N, L, K) and boxes (N, L, 4) that are found there.

    `true` are the boxes (N, B, 5) of the pictures as in `Batch`, and `grid` (L, 3) the places: x, y and stride.
    """
    present = true[..., 4] >= 0
    kind = true[..., 4].long().clamp(min=0)
    fit = overlaps(true, found)  # (N, B, L)
    own = score.mT.gather(1, kind[..., None].expand(-1, -1, score.shape[1]))
    aligned = own * fit**SHARPNESS * (near(true, grid) & present[..., None])
    least = aligned.topk(min(PLACES, aligned.shape[2]), dim=2).values[..., -1:]
    aligned = torch.where(aligned >= least, aligned, 0.0)
    rival = torch.where(aligned > 0, fit, 0.0)  # of several boxes, a place learns the one that it fits best
    aligned = torch.where(rival >= rival.amax(1, keepdim=True), aligned, 0.0)
    best = torch.where(aligned > 0, fit, 0.0).amax(2, keepdim=True)
    aim, which = (aligned / aligned.amax(2, keepdim=True).clamp(min=1e-12) * best).max(1)
    box = true[..., :4].gather(1, which[..., None].expand(-1, -1, 4))
    one = F.one_hot(kind.gather(1, which), score.shape[2]).to(aim.dtype)
    return Aims(one * aim[..., None], box)


def near(true: Tensor, grid: Tensor) -> Tensor:
    """Say of boxes (N, B, 5) and places (L, 3) whether the place lies in the box, or the box's middle in its cell."""
    middle, half = (true[..., :2] + true[..., 2:4]) / 2, (true[..., 2:4] - true[..., :2]) / 2
    reach = torch.maximum(half[:, :, None], grid[:, 2:] / 2)
    return ((grid[:, :2] - middle[:, :, None]).abs() < reach).all(3)


def giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the generalised intersection over union (...) of boxes (..., 4) and others (Rezatofighi et al., 2019)."""
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    either = area(boxes) + area(others) - both
    hull = torch.maximum(boxes[..., 2:], others[..., 2:]) - torch.minimum(boxes[..., :2], others[..., :2])
    around = hull.prod(-1).clamp(min=1e-9)
    return both / either.clamp(min=1e-9) - (around - either) / around


def drawn(batch: Batch) -> Tensor:
    """Return the boxes (N, K, 5) of a batch; `DataError` if it has none."""
    if batch.boxes is None:
        raise DataError("training a detector needs boxes, and this set has none")
    return F.pad(batch.boxes, (0, 0, 0, 1), value=NO_CLASS)  # at least one row
