"""Circular padding during sampling, so that pictures can be tiled without seams.

The networks were trained with zero padding. If every map is exactly twice as wide as the one before, rolling the input
rolls the output; for a map with an odd side, one row and one column of the wrap-around are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.enlarging import Doubled

Convolution = nn.Conv2d | nn.ConvTranspose2d | Doubled


def neighbour_layers(network: nn.Module) -> list[Convolution]:
    """Return the layers that mix neighbours and keep or enlarge a map: convolutions of stride 1, and enlarging ones.

    A network without any cannot be made seamless.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, Convolution) and max(layer.kernel_size) > 1]
    return [layer for layer in layers if isinstance(layer, nn.ConvTranspose2d) or max(layer.stride) == 1]


@contextmanager
def seamless(network: nn.Module) -> Iterator[None]:
    """Make `neighbour_layers` wrap around inside the context."""
    hooks = [layer.register_forward_pre_hook(_continued) for layer in neighbour_layers(network)]
    hooks += [layer.register_forward_hook(_cut) for layer in neighbour_layers(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _room(layer: nn.Module) -> int:
    """Return how far beyond an edge a layer reads, in pixels of its input."""
    return max(layer.kernel_size) // 2  # type: ignore[arg-type]


def _continued(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return F.pad(inputs[0], (_room(layer),) * 4, mode="circular"), *inputs[1:]


def _cut(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    room = _room(layer) * round(output.shape[-1] / inputs[0].shape[-1])
    return output[..., room:-room, room:-room]
