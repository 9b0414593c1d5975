"""Virtual batch normalisation of a generator (Salimans et al., 2016, section 3.4).

Each picture is normalised by statistics of a fixed reference batch and of itself alone, so it does not depend on what
is drawn with it. The reference batch passes through the network with every batch, which takes twice the time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

REFERENCE = 64
"""Pictures of the reference batch."""


class VirtualNorm(nn.Module):
    """Normalises maps of which the first `REFERENCE` are the reference; scale and shift are those of a batch norm."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) normalised; a picture counts as one more of the reference."""
        rows = x.float()
        mean, square = rows.mean((2, 3)), rows.square().mean((2, 3))
        share = torch.full_like(mean, 1 / (REFERENCE + 1))
        share[:REFERENCE] = 0
        mean, square = (torch.lerp(own[:REFERENCE].mean(0).expand_as(own), own, share) for own in (mean, square))
        scale = self.weight * (square - mean.square() + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, :, None, None], rows, scale[:, :, None, None]).to(x.dtype)


class Virtual(nn.Module):
    """A generator with batch norms, whose statistics now come from a reference batch."""

    latent: Tensor
    label: Tensor

    def __init__(self, network: nn.Module, latent: int, classes: int) -> None:
        super().__init__()
        for parent in [*network.modules()]:
            for name, norm in parent.named_children():
                if isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, name, VirtualNorm(norm))
        self.network = network
        self.register_buffer("latent", torch.empty(REFERENCE, latent).normal_())
        self.register_buffer("label", torch.tensor([row % max(1, classes) for row in range(REFERENCE)]))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] of latents (N, latent), and labels (N,) if conditional."""
        labels = None if label is None else torch.cat([self.label, label])
        pictures: Tensor = self.network(torch.cat([self.latent, latent]), labels)
        return pictures[REFERENCE:]
