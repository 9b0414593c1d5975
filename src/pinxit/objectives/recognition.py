"""Recognition: a classifier lowers the cross entropy of the true classes.

After training, two numbers are fitted to held-out pictures. A temperature makes confidences as high as they are right
(Guo et al., 2017). A picture whose logits have a smaller log-sum-exp than the second number is unlike all that was
learned (the energy of Liu et al., 2020, with the sign turned).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from scipy.optimize import minimize_scalar
from scipy.special import betaincinv
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.errors import DataError
from pinxit.nets.classifier import NEVER, Calibration, Pretrained
from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.networks import CLASSIFIERS
from pinxit.objectives.objective import Judgement, Loss, Predictor
from pinxit.objectives.seen import Seen
from pinxit.objectives.settings import ClassifySettings

COOLEST, HOTTEST = -4.0, 4.0
"""Natural logarithms of the least and the highest temperature."""

UNKNOWN = 0.05
"""The chance that a picture like the held-out ones is called unknown."""


class Recognition(Predictor):
    """A classifier of labelled pictures."""

    settings: ClassifySettings
    player = "classifier"
    model = ("classifier", "calibration")

    def __init__(self, settings: ClassifySettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape
        classifier = CLASSIFIERS[settings.network](settings, shape)
        self.networks = nn.ModuleDict({"classifier": classifier, "calibration": Calibration()})
        if settings.balanced:
            self.networks["seen"] = Seen(shape.classes)
        self.judgement = Judgement("accuracy", "highest", self.judge)

    def start(self, batch: Batch) -> None:
        """Take the published weights for blocks that are trained further."""
        classifier = self.networks["classifier"]
        if isinstance(classifier, Pretrained):
            classifier.adopt()

    @property
    def frozen(self) -> bool:
        """Say whether only a head is trained, on the `features` of a frozen network."""
        settings = self.settings
        return settings.network == "lite0" and not settings.trained_blocks and not settings.mixup

    @property
    def dimensions(self) -> int:
        """Return the length of a picture's features."""
        return EfficientNetLite0.dimensions

    def features(self, image: Tensor) -> Tensor:
        """Return what the frozen network makes of pictures (N, C, H, W) in [0, 1]: (N, D) float32, on the processor."""
        classifier = cast(Pretrained, self.networks["classifier"])
        with torch.no_grad():
            return classifier.features(image.to(classifier.head.weight.device)).float().cpu()

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the pictures, mixed if asked for, and each one's own share (N,); None if nothing is mixed."""
        if not self.settings.mixup:
            return batch.image, None
        drawn = batch.uniform(stream="mixup").cpu().double().numpy()
        share = torch.from_numpy(betaincinv(self.settings.mixup, self.settings.mixup, drawn)).float()
        share = share.to(batch.image.device)
        return batch.image.roll(1, 0).lerp(batch.image, share[:, None, None, None]), share

    def loss(self, batch: Batch, shared: tuple[Tensor, Tensor | None]) -> Loss:
        """Return the mean cross entropy in nats, and the accuracy where nothing is mixed."""
        label = labels(batch)
        image, share = shared
        logits = self.logits(image) if batch.features is None else self.of_features(batch.features)
        entropy = self._entropy(logits, label)
        if share is not None:
            return Loss({"cross_entropy": self._entropy(logits, label.roll(1, 0)).lerp(entropy, share).mean()})
        right = logits.argmax(1) == label
        return Loss({"cross_entropy": entropy.mean()}, {"accuracy": right.float().mean()})

    def _entropy(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the cross entropy (N,), weighted by class if asked for."""
        smoothing = self.settings.label_smoothing
        entropy = F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)
        return entropy * self.seen.weights()[label] if self.settings.balanced else entropy

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Count the classes of the batch if they are to be balanced."""
        if self.settings.balanced:
            self.seen.add(labels(batch))

    def logits(self, image: Tensor) -> Tensor:
        """Return the class logits (N, K) of pictures (N, C, H, W) in [0, 1], always in float32."""
        return self.networks["classifier"](image).float()

    @property
    def seen(self) -> Seen:
        """How often each class was met."""
        return cast(Seen, self.networks["seen"])

    @property
    def calibration(self) -> Calibration:
        """What is fitted to held-out pictures."""
        return cast(Calibration, self.networks["calibration"])

    def of_features(self, features: Tensor) -> Tensor:
        """Return the class logits (N, K) of `features`."""
        return cast(Pretrained, self.networks["classifier"]).of_features(features).float()

    def maps(self, image: Tensor) -> Tensor:
        """Return the last maps (N, C, h, w) of pictures, of which `of_maps` makes logits."""
        return cast(Tensor, self.networks["classifier"].maps(image))  # type: ignore[operator]

    def of_maps(self, maps: Tensor) -> Tensor:
        """Return the class logits (N, K) of last maps."""
        return cast(Tensor, self.networks["classifier"].classify(maps)).float()  # type: ignore[operator]

    @property
    def temperature(self) -> float:
        """Return what logits are divided by before they become probabilities."""
        return float(self.calibration.temperature)

    @property
    def least(self) -> float:
        """Return the log-sum-exp of logits below which a picture is unlike all that was learned."""
        return float(self.calibration.least)

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Fit the temperature and the least log-sum-exp to held-out pictures."""
        found = [(self.logits(batch.image).cpu(), labels(batch).cpu()) for batch in batches]
        logits, label = (torch.cat(part) for part in zip(*found, strict=True))
        self.calibration.temperature.fill_(fitted_temperature(logits, label))
        self.calibration.least.fill_(least_known(logits))

    def judge(self, batch: Batch) -> float:
        """Return the share of pictures whose class is recognised."""
        return float((self.logits(batch.image).argmax(1) == labels(batch)).float().mean())

    def preview(self, batch: Batch) -> Tensor:
        """Return the batch's pictures, the least confidently classified first."""
        confidence = self.logits(batch.image).softmax(1).amax(1)
        return batch.image[confidence.argsort(stable=True)]


def labels(batch: Batch) -> Tensor:
    """Return the classes (N,) of a batch; `DataError` if it has none."""
    if batch.label is None:
        raise DataError("training a classifier needs labels, and this set has none")
    return batch.label


def fitted_temperature(logits: Tensor, label: Tensor) -> float:
    """Return the temperature that makes the labels (N,) most likely by logits (N, K) divided by it.

    A label counts as right with the probability (N + 1) / (N + 2) only, as Platt (1999, 2.2) proposes. Otherwise few
    pictures that are all recognised would make every confidence 1.
    """
    logits, (count, classes) = logits.double(), logits.shape
    doubt = classes / ((classes - 1) * (count + 2))  # torch gives the true class a share of it, too

    def likely(logarithm: float) -> float:
        scaled = logits * torch.tensor(-logarithm).exp().double()
        return float(F.cross_entropy(scaled, label, label_smoothing=doubt))

    found = minimize_scalar(likely, bounds=(COOLEST, HOTTEST), method="bounded")
    return float(torch.tensor(found.x).exp())


def least_known(logits: Tensor) -> float:
    """Return the log-sum-exp below which the logits of a picture like these (N, K) are with the chance `UNKNOWN`.

    It is an order statistic, so the chance is at most that for any N (Vovk et al., 2005, conformal prediction). Too few
    pictures say nothing: then no picture is below.
    """
    place = int(UNKNOWN * (len(logits) + 1))
    return float(logits.logsumexp(1).kthvalue(place).values) if place else NEVER
