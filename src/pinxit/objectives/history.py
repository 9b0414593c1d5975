"""Historical averaging (Salimans et al., 2016, section 3.3): a player stays near the mean of its past parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class History(nn.Module):
    """The running mean of a network's parameters; only `follow` moves it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name, weight in network.named_parameters():
            self.register_buffer(name.replace(".", "-"), weight.detach().clone())

    def distance(self, network: nn.Module) -> Tensor:
        """Return ||theta - mean of theta||^2, the paper's term; it is a sum over all parameters."""
        pairs = zip(network.parameters(), self.buffers(), strict=True)
        return torch.stack([(weight - mean).square().sum() for weight, mean in pairs]).sum()

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Take the parameters after `step` earlier ones into the mean; at step 0 they replace it."""
        for weight, mean in zip(network.parameters(), self.buffers(), strict=True):
            mean.lerp_(weight, 1 / (step + 1))
