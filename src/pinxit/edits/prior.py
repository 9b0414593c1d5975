"""The deep image prior: a picture restored by the network that is fitted to it, and by no other picture.

Ulyanov, Vedaldi and Lempitsky, 2018: a convolutional network that makes a picture of noise learns what is natural in
the picture before it learns the noise. Differs from it: a narrower network, a code of 8 channels, and stopping by the
variance of what the network makes (`Settling`) instead of a number of steps chosen for each picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.degradations import resize_bicubic
from pinxit.edits.bound import Bound
from pinxit.edits.canvas import Settling, moves, seeded
from pinxit.errors import UsageError
from pinxit.hardware import choose
from pinxit.nets.hourglass import Hourglass
from pinxit.objectives.objective import Loss, Objective, Player
from pinxit.objectives.optimiser import Optimiser
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

if TYPE_CHECKING:
    from pinxit.edits.untrained import Prior

CODE, CODE_RANGE = 8, 0.1
JITTER = 1 / 30  # in every task; in the paper in some
LEARNING_RATE = 0.01
WINDOW, PATIENCE = 200, 500
STAGE = 50


@dataclass(frozen=True)
class FittedPrior(Bound):
    """What the network that is fitted to a picture makes, when it has settled (`Settling`) or `max_steps` are over."""

    settings: Prior
    device: str
    scale: int = 1
    holes: bool = False
    radius = None

    @property
    def bytes_per_pixel(self) -> int:  # type: ignore[override]
        """What a step holds for each pixel of the input, as measured in float32; bf16 takes two thirds of it."""
        return (700 + 50 * self.settings.channels) * self.scale**2

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the restored picture."""
        return deque(self.stages(image, mask), maxlen=1).pop()

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield the best so far every 50 steps, and last what it is at the end."""
        settling = Settling(WINDOW, PATIENCE)
        for restored in self.restorations(image, mask):
            settling.update(restored)
            if settling.over:
                break
            if settling.seen % STAGE == 0:
                yield settling.best[0]
        yield settling.best[0]

    def restorations(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield what the network makes at each step, (1, C, H, W), without stopping before `max_steps`."""
        if self.holes and mask is None:
            raise UsageError("this edit fills holes and must be told where: --mask, --box, --colour or --brightness")
        unknown = (mask[None] > 0).float() if self.holes and mask is not None else None
        if unknown is not None and unknown.all():
            raise UsageError("the mask covers the whole picture; the network needs a part of it to learn from")
        channels, height, width = image.shape
        batch = Batch(image=image[None], mask=unknown, seed=self.settings.seed, step=0)
        size = height * self.scale, width * self.scale
        with seeded(self.settings.seed):
            objective = DeepImagePrior(channels, size, self.settings.channels)
        trainer = Trainer(
            objective,
            lambda step: replace(batch, step=step),
            TrainingSettings(steps=self.settings.max_steps, average=0),
            choose(self.device),
        )
        for _ in moves(trainer, "deep image prior: step"):
            yield objective.restored


class DeepImagePrior(Objective):
    """Lower |known (seen(network(code)) - picture)|^2 over the network's weights (eq. 2, with section 3's data terms).

    A batch is the one degraded picture (1, C, h, w), its mask 1 where it is unknown. What the network makes is
    `size` = (H, W), larger than the picture where its resolution is to rise; it is seen at the picture's own. Noise of
    standard deviation `JITTER` is added to the code at every step.
    """

    model = ("hourglass",)
    unclipped = True

    def __init__(self, channels: int, size: tuple[int, int], width: int) -> None:
        self.hourglass = Hourglass(CODE, channels, width)
        self.networks = nn.ModuleDict({"hourglass": self.hourglass})
        self.size = size
        multiple = self.hourglass.multiple
        sides = (max(2, -(-side // multiple)) * multiple for side in size)
        self.code = CODE_RANGE * torch.rand(1, CODE, *sides)
        self.restored = torch.empty(0)

    def players(self) -> tuple[Player, ...]:
        """Return the network."""
        return (Player("hourglass", self.hourglass, self._loss, Optimiser(rate=LEARNING_RATE)),)

    def draw(self, batch: Batch) -> Tensor:
        """Return what the network makes of the code and this step's jitter, (1, C, H, W); `restored` keeps it too."""
        code = self.code.to(batch.image.device) + JITTER * batch.normal(*self.code.shape[1:], stream="jitter")
        high, wide = self.size
        drawn = self.hourglass(code)[:, :, :high, :wide]
        self.restored = drawn.detach()
        return drawn

    def preview(self, batch: Batch) -> Tensor:
        """Return what the network makes at this step, (1, C, H, W)."""
        return self.draw(batch)

    def _loss(self, batch: Batch, drawn: Tensor) -> Loss:
        high, wide = batch.image.shape[2:]
        seen = drawn if (high, wide) == self.size else resize_bicubic(drawn, (high, wide))
        known = torch.ones_like(seen) if batch.mask is None else (1 - batch.mask).expand_as(seen)
        return Loss({"reconstruction": (known * (seen - batch.image).square()).sum() / known.sum()})
