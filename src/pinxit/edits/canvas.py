"""One picture learned by itself: networks of a seed, steps of a trainer, and when what it makes has settled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pinxit.progress import track
from pinxit.training.trainer import Record, Trainer


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw first weights by `seed`, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def moves(trainer: Trainer, what: str) -> Iterator[Record]:
    """Yield a record after each step, with progress on stderr; gradients are on within a step and nowhere else."""

    def advances() -> Iterator[Record]:
        while trainer.step < trainer.settings.steps:
            with torch.enable_grad():
                record = trainer.advance()
            yield record

    return track(advances(), what, trainer.settings.steps)


class Settling:
    """The running mean of a sequence of pictures, and what it was when they varied least.

    A network that learns one degraded picture comes near the clean one first and then goes on to the noise; the running
    variance of what it makes has its valley in between (Wang et al., 2023, "Early stopping for deep image prior",
    ES-EMV). Differs from it: the mean is what is returned, and it has the same memory of `window` pictures as the
    variance, so that it is the mean of just those that varied so little.
    """

    def __init__(self, window: int, patience: int) -> None:
        self.window, self.patience = window, patience
        self.seen, self.best_seen = 0, 0
        self.variance = self.least = 0.0
        self.mean = self.best = torch.empty(0)

    def update(self, picture: Tensor) -> None:
        """Take the next picture: m <- m + (x - m) / n, v <- (1 - 1 / n) (v + mean (x - m)^2 / n), n <= window."""
        self.seen += 1
        if self.seen == 1:
            self.mean = picture.clone()
        share = 1 / min(self.seen, self.window)
        self.variance = (1 - share) * (self.variance + share * (picture - self.mean).square().mean().item())
        self.mean.lerp_(picture, share)
        if self.seen <= self.window or self.variance < self.least:
            self.best, self.best_seen, self.least = self.mean.clone(), self.seen, self.variance

    @property
    def over(self) -> bool:
        """Whether the variance has found no lower value for `patience` pictures."""
        return self.seen - self.best_seen >= self.patience
