"""What a discriminator sees of the other pictures of its batch, so that pictures all alike look generated (`CROWD`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KERNELS, DIMENSIONS = 16, 8


class Alone(nn.Identity):
    """Nothing of the others."""

    added = 0
    """Channels that it appends."""

    def __init__(self, channels: int) -> None:
        super().__init__()


class Deviation(nn.Module):
    """Minibatch standard deviation (Karras et al., 2018, section 3): that of each value over the batch, their mean."""

    added = 1

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, C, ...) with one channel more, the same for all."""
        deviation = (x.float().var(0, correction=0) + 1e-8).sqrt().mean().to(x.dtype)
        return torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], 1)


class Discrimination(nn.Module):
    """Minibatch discrimination (Salimans et al., 2016, section 3.2): how near each picture is to the others.

    The features are the means of a map's channels, as in the authors' code for colour pictures.
    """

    added = KERNELS

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernels = nn.Linear(channels, KERNELS * DIMENSIONS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, C, ...) with `KERNELS` channels more: the sums over pictures of exp(-|distance|)."""
        features = x.flatten(2).mean(2) if x.ndim > 2 else x
        places = self.kernels(features).float().unflatten(1, (KERNELS, DIMENSIONS))
        distance = (places[:, None] - places).abs().sum(3)
        near = distance.neg().exp().sum(1).to(x.dtype)
        return torch.cat([x, near.reshape(*near.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])], 1)


CROWD: dict[str, type[Alone | Deviation | Discrimination]] = {
    "none": Alone,
    # Karras et al., 2018.
    "deviation": Deviation,
    # Salimans et al., 2016.
    "discrimination": Discrimination,
}
