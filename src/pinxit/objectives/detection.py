"""Detection: a network learns to frame the things in pictures, from boxes that a person drew.

Which place learns which box follows from the network's own guesses (Feng et al., 2021, TOOD, 3.2). The alignment of a
place and a box is s * u^6, where s is the score of the box's class there, and u the intersection over union of the
guessed and the true box. The `PLACES` best aligned places inside a box learn it. Their scores are to become their
alignments, scaled so that the best of a box equals its highest u; all other scores are to become 0. So a score also
says how well its box fits.

The loss of classes is the focal loss for such scores (Li et al., 2020, eq. 2, with exponent 2). That of boxes is
1 - GIoU (Rezatofighi et al., 2019), weighted by the scores that places are to reach. Differs from TOOD: no aligned
head, and a box that is smaller than a cell is learned in the cells where its middle lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.data.augment import IGNORED, NO_CLASS
from pinxit.errors import DataError
from pinxit.images.convert import to_float, to_uint8
from pinxit.images.frames import framed
from pinxit.metrics.detection import USUAL_LIMIT, Things, ap50, taken
from pinxit.nets.detector import Pyramid, area, chosen, overlaps
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.objective import Detector, Judgement, Loss
from pinxit.objectives.settings import DetectSettings

PLACES = 13
SHARPNESS = 6
"""The exponent of the intersection over union in the alignment."""
JUDGED, TOGETHER = 24, 8
"""Held-out pictures by which a checkpoint is judged, and how many pass the network at once."""


class Detection(Detector):
    """A detector of things of some classes."""

    settings: DetectSettings
    player = "detector"
    model = ("detector", "limits")

    def __init__(self, settings: DetectSettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape
        detector = Pyramid(shape, settings.channels, settings.trained_blocks)
        self.networks = nn.ModuleDict({"detector": detector, "limits": Limits(shape.classes)})
        self.judgement = Judgement("ap50", "highest", self.judge)

    @property
    def detector(self) -> Pyramid:
        """The network."""
        return cast(Pyramid, self.networks["detector"])

    def start(self, batch: Batch) -> None:
        """Take the published weights for blocks that are trained further."""
        self.detector.adopt()

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the class logits (N, L, K) and boxes (N, L, 4) of all places."""
        return cast(tuple[Tensor, Tensor], self.detector(batch.image))

    def loss(self, batch: Batch, shared: tuple[Tensor, Tensor]) -> Loss:
        """Return the focal loss of the classes and the misfit of the boxes, each for one box that is learned."""
        logits, found = shared
        score = logits.sigmoid()
        true, grid = drawn(batch), self.detector.grid(batch.image)
        with torch.no_grad():
            aims = targets(score, found, true, grid)
            judged = ~(near(true, grid) & (true[..., 4:] < NO_CLASS)).any(1) | (aims.score.sum(2) > 0)
        apart = (aims.score - score).square() * judged[..., None]
        entropy = F.binary_cross_entropy_with_logits(logits, aims.score, reduction="none")
        weight = aims.score.sum(2)
        learned = weight.sum().clamp(min=1)
        misfit = 1 - giou(found, aims.box)
        return Loss(
            {
                "class": (apart * entropy).sum() / learned,
                "box": self.settings.box * (misfit * weight).sum() / learned,
            }
        )

    def boxes(self, image: Tensor) -> list[Tensor]:
        """Return the boxes of each picture, the surest first: (k, 6), left, top, right, bottom, score and class."""
        return [rows[rows[:, 4] > 0] for rows in self.rows(image)]

    def rows(self, image: Tensor) -> Tensor:
        """Return the boxes of pictures as (N, 100, 6); rows that are left have score 0."""
        logits, boxes = self.detector(image)
        return chosen(logits, boxes, (image.shape[2], image.shape[3]))

    @property
    def least(self) -> Tensor:
        """Return the score (K,) from which on boxes of each class were found best in held-out pictures."""
        return cast(Limits, self.networks["limits"]).least

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Set the least scores to those of the best F1 at an overlap of a half on held-out pictures."""
        found, true = [], list[Things]()
        for batch in batches:
            found += self._found(batch)
            true += [things(boxes) for boxes in drawn(batch)]
        took = taken(found, true, self.shape.classes)
        self.least.copy_(torch.tensor([one.limit() for one in took]))

    def judge(self, batch: Batch) -> float:
        """Return the average precision at an overlap of a half on some pictures, the mean over classes."""
        some = batch.rows(0, JUDGED)
        took = taken(self._found(some), [things(boxes) for boxes in drawn(some)], self.shape.classes)
        return ap50(took, np.ones(len(some)))

    def _found(self, batch: Batch) -> list[np.ndarray]:
        """Return the boxes of each picture, of some pictures at once."""
        parts = (self.boxes(batch.image[start : start + TOGETHER]) for start in range(0, len(batch), TOGETHER))
        return [boxes.float().cpu().numpy() for part in parts for boxes in part]

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures with their true boxes, each beside the boxes that are found, as many as fill a sheet."""
        some = batch.rows(0, max(1, len(batch) // 2))
        pixels = to_uint8(some.image)
        found = [boxes[boxes[:, 4] >= self.least[boxes[:, 5].long()]].cpu().numpy() for boxes in self.boxes(some.image)]
        true = [boxes[boxes[:, 4] >= 0].cpu().numpy() for boxes in drawn(some)]
        pairs = zip(pixels, true, found, strict=True)
        shown = [framed(picture, boxes) for picture, *both in pairs for boxes in both]
        return torch.cat([to_float(picture[None]) for picture in shown])


class Limits(nn.Module):
    """The score from which on a box of each class counts as found, as a buffer."""

    least: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("least", torch.full((classes,), USUAL_LIMIT))


class Aims(NamedTuple):
    """What places learn: the scores of classes (N, L, K), and boxes (N, L, 4) that count where a score is above 0."""

    score: Tensor
    box: Tensor


def targets(score: Tensor, found: Tensor, true: Tensor, grid: Tensor) -> Aims:
    """Return what each of L places learns, by the scores (N, L, K) and boxes (N, L, 4) that are found there.

    `true` are the boxes (N, B, 5) of the pictures as in `Batch`, and `grid` (L, 3) the places: x, y and stride.
    """
    kind = true[..., 4].long().clamp(min=0)
    fit = overlaps(true, found)  # (N, B, L)
    own = score.mT.gather(1, kind[..., None].expand(-1, -1, score.shape[1]))
    allowed = near(true, grid) & (true[..., 4:] > NO_CLASS)
    aligned = own * fit**SHARPNESS * allowed
    least = aligned.topk(min(PLACES, aligned.shape[2]), dim=2).values[..., -1:]
    aligned = torch.where(aligned >= least, aligned, 0.0)
    rival = torch.where(aligned > 0, fit, 0.0)  # of several boxes, a place learns the one that its guess fits best
    aligned = torch.where(rival >= rival.amax(1, keepdim=True), aligned, 0.0)
    best = torch.where(aligned > 0, fit, 0.0).amax(2, keepdim=True)
    aim, which = (aligned / aligned.amax(2, keepdim=True).clamp(min=1e-30) * best).max(1)
    box = true[..., :4].gather(1, which[..., None].expand(-1, -1, 4))
    one = F.one_hot(kind.gather(1, which), score.shape[2]).to(aim.dtype)
    return Aims(one * aim[..., None], box)


def near(true: Tensor, grid: Tensor) -> Tensor:
    """Say of boxes (N, B, 5) and places (L, 3) whether the place lies in the box, or the box's middle in its cell."""
    middle, half = (true[..., :2] + true[..., 2:4]) / 2, (true[..., 2:4] - true[..., :2]) / 2
    reach = torch.maximum(half[:, :, None], grid[:, 2:] / 2)
    return ((grid[:, :2] - middle[:, :, None]).abs() <= reach).all(3)


def giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the generalised intersection over union (...) of boxes (..., 4) and others (Rezatofighi et al., 2019)."""
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    either = area(boxes) + area(others) - both
    hull = torch.maximum(boxes[..., 2:], others[..., 2:]) - torch.minimum(boxes[..., :2], others[..., :2])
    around = hull.prod(-1).clamp(min=1e-9)
    return both / either.clamp(min=1e-9) - (around - either) / around


def drawn(batch: Batch) -> Tensor:
    """Return the boxes (N, K, 5), K at least 1, of a batch; `DataError` if it has none."""
    if batch.boxes is None:
        raise DataError("training a detector needs boxes, and this set has none")
    return F.pad(batch.boxes, (0, 0, 0, 1), value=NO_CLASS)


def things(boxes: Tensor) -> Things:
    """Return the boxes (K, 5) of a picture in the form of `Batch` as they are judged."""
    there = boxes[boxes[:, 4] != NO_CLASS].cpu().numpy()
    ignored = there[:, 4] < NO_CLASS
    kind = np.where(ignored, IGNORED - there[:, 4], there[:, 4]).astype(int)
    return Things(there[:, :4], kind, ignored)
