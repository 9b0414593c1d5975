"""EfficientNet-Lite0 with weights of its own in the last blocks; the others are shared, frozen and not saved.

Batch norms are folded into the convolutions already, so training moves none of their statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.pretrained import lite0_network

BLOCKS = 16
"""Blocks of EfficientNet-Lite0."""


class Finetuned(nn.Module):
    """Reads pictures (N, 3, H, W) in [0, 1] into maps; `trained` of the last blocks can be trained.

    `adopt` sets these to the weights of the published network. `top` says whether its last layer, which makes features
    of the last map, is trained with them.
    """

    def __init__(self, trained: int, top: bool) -> None:
        super().__init__()
        own = EfficientNetLite0() if trained else None
        self.stem = own.stem if own and trained == BLOCKS else None
        self.blocks = nn.ModuleList(own.blocks[BLOCKS - trained :] if own else ())
        self.top = own.top if own and top else None

    def adopt(self) -> None:
        """Set what is trained to the published weights."""
        network = lite0_network(torch.device("cpu"))
        own = [self.stem, *self.blocks, self.top]
        published = [network.stem, *list(network.blocks)[BLOCKS - len(self.blocks) :], network.top]
        for module, known in zip(own, published, strict=True):
            if module is not None:
                module.load_state_dict(known.state_dict())

    def stages(self, image: Tensor) -> list[Tensor]:
        """Return the map after the stem and after each block, from fine to coarse.

        What is frozen is followed by gradients only where they are asked for: of the picture, or of a trained stem.
        """
        network = lite0_network(image.device)
        followed = torch.is_grad_enabled() and (self.stem is not None or image.requires_grad)
        with torch.set_grad_enabled(followed):
            maps = [F.relu6((self.stem or network.stem)((255 * image - 127) / 128))]
            for block in list(network.blocks)[: BLOCKS - len(self.blocks)]:
                maps.append(block(maps[-1]))
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps
