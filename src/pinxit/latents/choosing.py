"""Choosing each picture's latent among candidates of its own, by a row of `STRATEGIES`.

Candidate k of a picture is drawn from the picture's own seed, so which one is kept depends on no other picture. What is
a good value is read once from `POOL` candidates of the model itself, drawn from fixed seeds. After `TRIES` candidates
the best of them is kept. Azadi et al. (2019) instead raise their highest score while they sample, try without end, and
train their discriminator on until it is the best against the fixed generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pinxit.data import draws
from pinxit.latents.strategies import Strategy

TRIES = 50
"""Candidates of a picture; the best is kept if none was accepted. One in a thousand pictures comes to it at a share of
a half."""
POOL = 512
"""Candidates, of each class, from which it is read what is a good value."""

Propose = Callable[[Sequence[int], int, Tensor | None], Tensor]
"""Latents (N, latent) from N seeds, the number of the candidate, and labels (N,) or None."""
Value = Callable[[Tensor, Tensor | None], Tensor]
"""What candidates are worth, (N,), from latents (N, latent) and labels (N,) or None; larger is better."""


@dataclass(frozen=True)
class Choice:
    """A strategy at work: `value` judges candidates, and `keep` is the share of them that it is to keep."""

    strategy: Strategy
    keep: float
    value: Value

    def latents(self, propose: Propose, seeds: Sequence[int], labels: Tensor | None) -> Tensor:
        """Return a latent for each seed and label: its first accepted candidate, or the best of `TRIES`."""
        cut, top = self._limits(propose, len(seeds), labels)
        chosen, best = propose(seeds, 0, labels), torch.full((len(seeds),), -torch.inf)
        left = torch.arange(len(seeds))
        for attempt in range(TRIES):
            own_seeds, own_labels = [seeds[i] for i in left], None if labels is None else labels[left]
            candidates = propose(own_seeds, attempt, own_labels) if attempt else chosen
            values = self.value(candidates, own_labels)
            odds = self.strategy.odds(values, cut[left], top[left])
            accepted = torch.from_numpy(draws.uniform(keys(own_seeds, attempt, "acceptance"), 1)[:, 0]) < odds
            taken = accepted | (values > best[left])
            chosen[left[taken]], best[left[taken]] = candidates[taken], values[taken]
            left = left[~accepted]
            if not len(left):
                break
        return chosen

    def _limits(self, propose: Propose, n: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the value that the wanted share of candidates exceeds, and the highest, for each label; (n,) each."""
        kinds = torch.zeros(1, dtype=torch.long) if labels is None else labels.unique()
        own = None if labels is None else kinds.repeat_interleave(POOL)
        values = self.value(propose(list(range(POOL)) * len(kinds), TRIES, own), own).unflatten(0, (-1, POOL))
        limits = values.quantile(torch.tensor([1 - self.keep, 1.0]), dim=1)
        cut, top = limits.expand(2, n) if labels is None else limits[:, torch.searchsorted(kinds, labels)]
        return cut, top


def keys(seeds: Sequence[int], attempt: int, stream: str) -> np.ndarray:
    """Return a key of random numbers for each seed: those of candidate `attempt`."""
    return np.concatenate([draws.row_keys(seed, attempt, np.arange(1), stream) for seed in seeds])
