"""A normalising flow over codes (RealNVP, Dinh et al., 2017): an exact density, and sampling in one pass.

Differs from the paper: codes are vectors, not pictures, so that the couplings' networks are fully connected; a fixed
random permutation between pairs of couplings replaces masks and scales; there is no batch normalisation; and log-scales
stay within `MOST_LOG_SCALE`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pinxit.nets.vectors import Layers

MOST_LOG_SCALE = 2.0
COUPLING_DEPTH = 2


class Coupling(nn.Module):
    """Scales and shifts the last numbers of a vector by a function of the first, eqs. 7 and 8; starts as identity."""

    def __init__(self, dimensions: int, width: int, classes: int) -> None:
        super().__init__()
        self.kept = dimensions // 2
        self.layers = Layers(self.kept, 2 * (dimensions - self.kept), width, COUPLING_DEPTH, classes)
        nn.init.zeros_(self.layers.last.weight)

    def forward(self, x: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return vectors (N, D) and the log-determinant (N,) of the Jacobian."""
        kept, changed = x.tensor_split([self.kept], dim=1)
        log_scale, shift = self._scale_and_shift(kept, label)
        return torch.cat([kept, changed * log_scale.exp() + shift], dim=1), log_scale.sum(1)

    def inverse(self, y: Tensor, label: Tensor | None) -> Tensor:
        """Return the vectors (N, D) that `forward` maps to `y`."""
        kept, changed = y.tensor_split([self.kept], dim=1)
        log_scale, shift = self._scale_and_shift(kept, label)
        return torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=1)

    def _scale_and_shift(self, kept: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.layers(kept, label).chunk(2, dim=1)
        return MOST_LOG_SCALE * (log_scale / MOST_LOG_SCALE).tanh(), shift


class Flow(nn.Module):
    """Codes (N, D) to standard normal numbers and back: `blocks` pairs of couplings, each changing all."""

    orders: Tensor

    def __init__(self, dimensions: int, width: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("orders", torch.stack([torch.randperm(dimensions) for _ in range(blocks)]))
        self.couplings = nn.ModuleList(Coupling(dimensions, width, classes) for _ in range(2 * blocks))

    def forward(self, code: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return normal numbers (N, D) of codes (N, D), and the log-determinant (N,) of the Jacobian."""
        x, log_volume = code, code.new_zeros(len(code))
        for order, pair in zip(self.orders, self._pairs(), strict=True):
            x, first = pair[0](x[:, order], label)
            x, second = pair[1](x.flip(1), label)
            log_volume = log_volume + first + second
        return x, log_volume

    def inverse(self, normal: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the codes (N, D) that `forward` maps to these numbers (N, D)."""
        x = normal
        for order, pair in zip(self.orders.flip(0), reversed(self._pairs()), strict=True):
            x = pair[1].inverse(x, label).flip(1)
            x = pair[0].inverse(x, label)[:, order.argsort()]
        return x

    def log_density(self, code: Tensor, label: Tensor | None = None) -> Tensor:
        """Return log p (N,) of codes (N, D) in nats, eqs. 2 and 3."""
        normal, log_volume = self(code, label)
        return log_volume - (normal.square() + math.log(2 * math.pi)).sum(1) / 2

    def _pairs(self) -> list[tuple[Coupling, Coupling]]:
        couplings: list[Coupling] = list(self.couplings)  # type: ignore[arg-type]
        return list(zip(couplings[::2], couplings[1::2], strict=True))
