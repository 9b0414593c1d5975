"""Segmentation: a network tells the class of each pixel, learned from masks; void pixels do not count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.data.render import VOID
from pinxit.errors import DataError
from pinxit.images.palette import class_colours
from pinxit.losses.segmentation import SEGMENTATION
from pinxit.metrics.masks import counted_pixels, mean_iou
from pinxit.nets.segmenter import Pretrained
from pinxit.nets.shapes import PictureShape, over_black
from pinxit.objectives.networks import SEGMENTERS
from pinxit.objectives.objective import Judgement, Loss, Segmenter
from pinxit.objectives.restoration import in_threes, sheet_rows
from pinxit.objectives.seen import Seen
from pinxit.objectives.settings import SegmentSettings, mask_losses

JUDGED, AT_ONCE = 32, 4
"""Held-out pictures by which a checkpoint is judged, and how many the network reads at once."""


class Segmentation(Segmenter):
    """A network that learns the classes of pixels from masks."""

    settings: SegmentSettings
    player = "segmenter"
    model = ("segmenter",)

    def __init__(self, settings: SegmentSettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape
        self.losses = mask_losses(settings.loss)
        self.networks = nn.ModuleDict({"segmenter": SEGMENTERS[settings.network](settings, shape)})
        if settings.balance:
            self.networks["seen"] = Seen(shape.classes)
        self.judgement = Judgement("iou", "highest", self.judge)

    def start(self, batch: Batch) -> None:
        """Take the published weights for blocks that are trained further."""
        network = self.networks["segmenter"]
        if isinstance(network, Pretrained):
            network.adopt()

    def logits(self, image: Tensor) -> Tensor:
        """Return the class logits (N, K, H, W) of pictures (N, C, H, W) in [0, 1], always in float32."""
        return cast(Tensor, self.networks["segmenter"](image)).float()

    def draw(self, batch: Batch) -> Tensor:
        """Return the logits of the batch's pictures."""
        return self.logits(batch.image)

    def loss(self, batch: Batch, logits: Tensor) -> Loss:
        """Return the losses that were asked for, and the share of pixels whose class is found.

        A batch whose pixels are all void has losses of zero.
        """
        mask = masks(batch)[:, 0]
        known = (mask != VOID).float()
        label = mask.where(mask != VOID, 0)
        log_probability = logits.contiguous().log_softmax(1)
        weight = self.seen.weights(self.settings.balance) if self.settings.balance else known.new_ones(logits.shape[1])
        terms = {
            name.replace("-", "_"): SEGMENTATION[name].term(log_probability, label, known, weight)
            for name in self.losses
        }
        right = known * (log_probability.detach().argmax(1) == label)
        return Loss(terms, {"accuracy": right.sum() / known.sum().clamp(min=1)})

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Count the classes of the batch's pixels if they are to be balanced."""
        if self.settings.balance:
            mask = masks(batch)
            self.seen.add(mask[mask != VOID])

    @property
    def seen(self) -> Seen:
        """How often each class was met."""
        return cast(Seen, self.networks["seen"])

    def judge(self, batch: Batch) -> float:
        """Return the mean intersection over union of the classes of some pictures."""
        rows = batch.rows(0, JUDGED)
        counts = [
            counted_pixels(self.logits(few.image).argmax(1), masks(few)[:, 0], self.shape.classes, VOID)
            for few in (rows.rows(start, start + AT_ONCE) for start in range(0, len(rows), AT_ONCE))
        ]
        return mean_iou(torch.stack(counts))

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its true and its found classes in colours, as many as fill a square."""
        rows = sheet_rows(batch)
        found = torch.cat([self.logits(rows.rows(one, one + 1).image).argmax(1) for one in range(len(rows))])
        image = over_black(rows.image).expand(-1, 3, -1, -1)
        return in_threes(image, coloured(masks(rows)[:, 0], self.shape.classes), coloured(found, self.shape.classes))


def masks(batch: Batch) -> Tensor:
    """Return the classes (N, 1, H, W) of a batch's pixels; `DataError` if it has none."""
    if batch.mask is None:
        raise DataError("training a segmenter needs masks, and this set has none")
    return batch.mask


def coloured(classes: Tensor, count: int) -> Tensor:
    """Return classes (N, H, W) as pictures (N, 3, H, W) in [0, 1]; void is black."""
    table = torch.zeros(VOID + 1, 3, device=classes.device)
    table[:count] = torch.from_numpy(class_colours(count)).to(classes.device) / 255
    return table[classes].movedim(3, 1)
