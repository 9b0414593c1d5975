"""Recognition: a classifier lowers the cross entropy of the true classes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.errors import DataError
from pinxit.nets.classifier import Classifier
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.objective import Loss, Objective, Player
from pinxit.objectives.optimiser import Optimiser


class Recognition(Objective):
    """A classifier of labelled pictures."""

    model = ("classifier",)

    def __init__(self, shape: PictureShape, optimiser: Optimiser) -> None:
        self.optimiser = optimiser
        self.networks = nn.ModuleDict({"classifier": Classifier(shape)})

    def players(self) -> tuple[Player, ...]:
        """Return the classifier."""
        return (Player("classifier", self.networks["classifier"], self.loss, self.optimiser),)

    def draw(self, batch: Batch) -> None:
        """The one player shares nothing."""

    def loss(self, batch: Batch, shared: None) -> Loss:
        """Return the mean cross entropy in nats."""
        if batch.label is None:
            raise DataError("training a classifier needs labels, and this set has none")
        return Loss({"cross_entropy": F.cross_entropy(self.logits(batch.image), batch.label)})

    def logits(self, image: Tensor) -> Tensor:
        """Return the class logits (N, K) of pictures (N, C, H, W) in [0, 1], always in float32."""
        return self.networks["classifier"](image).float()

    def preview(self, batch: Batch) -> Tensor:
        """Return the batch's pictures, the least confidently classified first."""
        confidence = self.logits(batch.image).softmax(1).amax(1)
        return batch.image[confidence.argsort(stable=True)]
