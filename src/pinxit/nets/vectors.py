"""Networks from vectors to vectors, shared by priors over codes: fully connected layers, and standardisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.shapes import keep_variance

LEAST_DEVIATION = 1e-3


class Layers(nn.Module):
    """Hidden layers of `width` units, the first shifted by the class; the last layer reads the input again.

    These are the networks of Dai and Wipf, 2019, appendix D.
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.embedding = nn.Embedding(classes, width) if classes else None
        self.last = nn.Linear(inputs + width, outputs)
        self.apply(keep_variance)

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        """Return (N, outputs) from (N, inputs) and labels (N,), in float32 whatever the precision inside."""
        state = self.first(x)
        if self.embedding is not None:
            state = state + self.embedding(label)
        for hidden in self.hidden:
            state = hidden(F.relu(state))
        return self.last(torch.cat([x, F.relu(state)], dim=1)).float()


class Standard(nn.Module):
    """Codes (N, D) standardised to mean 0 and deviation 1; its buffers are moved only by `follow`."""

    mean: Tensor
    square: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("square", torch.ones(dimensions))

    @property
    def deviation(self) -> Tensor:
        """The standard deviation of every number of the codes, (D,)."""
        return (self.square - self.mean.square()).clamp(min=LEAST_DEVIATION**2).sqrt()

    @property
    def log_volume(self) -> Tensor:
        """The logarithm of the ratio of a volume of codes to that of standardised codes."""
        return self.deviation.log().sum()

    def forward(self, code: Tensor) -> Tensor:
        """Return codes (N, D) standardised."""
        return (code - self.mean) / self.deviation

    def inverse(self, units: Tensor) -> Tensor:
        """Return the codes (N, D) of standardised ones."""
        return self.mean + self.deviation * units

    def follow(self, code: Tensor, share: float) -> None:
        """Move the moments by a share of the way towards those of codes (N, D)."""
        self.mean.lerp_(code.mean(0), share)
        self.square.lerp_(code.square().mean(0), share)
