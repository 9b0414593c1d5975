"""Optimisers: how a player's parameters follow its gradient. Torch is imported only when one is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


@dataclass(frozen=True)
class Optimiser:
    """A row of `OPTIMISERS` with its highest learning rate, its decays (beta1, beta2) and its weight decay."""

    name: str = "adam"
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0

    def build(self, parameters: Iterable[nn.Parameter], fused: bool = False) -> Optimizer:
        """Return the optimiser of these parameters; `fused` asks for one kernel a step where the method has one."""
        import torch.optim

        method = OPTIMISERS[self.name](torch.optim, self, fused)
        return method(parameters, lr=self.rate, weight_decay=self.weight_decay)


OPTIMISERS: dict[str, Callable[[Any, Optimiser, bool], Callable[..., Optimizer]]] = {
    # Kingma and Ba, 2015; its weight decay adds weight_decay * weight to the gradient.
    "adam": lambda optim, asked, fused: partial(optim.Adam, betas=asked.betas, fused=fused),
    # Loshchilov and Hutter, 2019; its weight decay shrinks the weights themselves.
    "adamw": lambda optim, asked, fused: partial(optim.AdamW, betas=asked.betas, fused=fused),
    # Tieleman and Hinton, 2012, with beta2 as the decay of the squared gradient; no momentum, as in WGAN.
    "rmsprop": lambda optim, asked, fused: partial(optim.RMSprop, alpha=asked.betas[1]),
    # Gradient descent with beta1 as the momentum.
    "sgd": lambda optim, asked, fused: partial(optim.SGD, momentum=asked.betas[0], fused=fused),
}
