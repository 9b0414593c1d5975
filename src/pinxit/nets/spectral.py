"""Spectral normalisation (Miyato et al., 2018): every layer's weights are divided by their largest singular value.

Each layer then changes no difference of its inputs by more than it is, so the network's gradient is bounded. The
singular value is estimated by power iteration. Differs from the paper and from torch's layer: the iteration does not
move when the network runs, so that a preview changes no bit of a training; `advance` moves it once a step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

FIRST_ITERATIONS = 15


class Normalised(nn.Module):
    """Weights divided by their largest singular value, seen as a matrix with a row for each output.

    `left` and `right` are the estimates of its singular vectors.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows = weight.flatten(1)
        for name, length in zip(("left", "right"), rows.shape, strict=True):
            self.register_buffer(name, rows.new_empty(length).normal_())
        for _ in range(0 if weight.is_meta else FIRST_ITERATIONS):
            self.advance(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights divided; the gradient passes the singular value too (eq. 9).

        It is a sum instead of products of matrices, which would be rounded to bf16 in lower precision. A network that
        is built without memory is left alone: computing there would import torch's compiler.
        """
        if weight.is_meta:
            return weight
        return weight / (self.left[:, None] * weight.flatten(1) * self.right).sum()

    @torch.no_grad()
    def advance(self, weight: Tensor) -> None:
        """Take one step of power iteration (algorithm 1)."""
        rows = weight.flatten(1)
        self.right.copy_(F.normalize(self.left @ rows, dim=0))
        self.left.copy_(F.normalize(rows @ self.right, dim=0))


def normalise(network: nn.Module) -> None:
    """Normalise all layers of a network. Embeddings of classes that start at 0 start at random, as they cannot be."""
    for layer in network.modules():
        if isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight)
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            parametrize.register_parametrization(layer, "weight", Normalised(layer.weight.detach()))


def advance(network: nn.Module) -> None:
    """Take one step of power iteration in every normalised layer of a network; without any, do nothing."""
    for layer in network.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrisations = layer.parametrizations.weight  # type: ignore[union-attr]
            parametrisations[0].advance(parametrisations.original)  # type: ignore[index, union-attr]
