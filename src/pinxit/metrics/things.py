"""How well things are found: a found thing is right if it and a true one have more than half of both in common."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pinxit.metrics.intervals import Estimate, resampled

DEFINITION = (
    "right things over right ones, wrong ones and missed ones, of all pictures together; right is an intersection over "
    "union above .5 (average precision at .5 of the Data Science Bowl of 2018; Caicedo et al., 2019)"
)


def matched(found: np.ndarray, true: np.ndarray) -> Tensor:
    """Return how many things (H, W) of a picture are right, found, and true: (3,) int64. 0 is no thing.

    More than half in common can be with one thing only.
    """
    numbers = [np.unique(one, return_inverse=True)[1].reshape(one.shape) + int(one.min() > 0) for one in (found, true)]
    counts = [int(one.max()) + 1 for one in numbers]
    both = np.bincount((numbers[0] * counts[1] + numbers[1]).ravel(), minlength=counts[0] * counts[1]).reshape(counts)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    right = (both / np.maximum(union, 1) > 0.5)[1:, 1:].sum()
    return torch.tensor([int(right), counts[0] - 1, counts[1] - 1])


def ap50(counts: Tensor) -> float:
    """Return the average precision at .5 of the counts (N, 3) of pictures; 1 if there is nothing to find or found."""
    right, found, true = counts.sum(0).tolist()
    return right / (found + true - right) if found + true else 1.0


def estimate_ap50(counts: Tensor, seed: int = 0) -> Estimate:
    """Return `ap50` with its 95 % interval over the choice of pictures."""
    return resampled(lambda rows: ap50(counts[rows]), len(counts), seed)
