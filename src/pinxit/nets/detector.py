"""A network from pictures to boxes: each place of three maps says what is there, and how far its four sides are.

There are no anchors (Tian et al., 2019, FCOS). The maps of EfficientNet-Lite0 at strides 8, 16 and 32 are joined from
coarse to fine (Lin et al., 2017), and one head reads all three. Differs from FCOS: no centerness, because the class
scores learn how well the box fits (`objectives.detection`); maps are normalised in groups (Wu and He, 2018).

Boxes are chosen inside the network, so that an exported file holds that too: the best `CANDIDATES` pairs of place and
class, and of those the ones that no better one of their class overlaps (non-maximum suppression).
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.pretrained import lite0_network
from pinxit.nets.shapes import PictureShape, keep_variance, over_black

STAGES, WIDTHS, STRIDES = (5, 11, 16), (40, 112, 320), (8, 16, 32)
"""Which maps of `EfficientNetLite0.stages` are read, their widths, and their pixels between two places."""

BLOCKS = 16
"""Blocks of EfficientNet-Lite0."""

GROUPS = 8
RARE = 0.01
"""The score of every class at every place before training (Lin et al., 2017, focal loss, 4.1)."""

REACH = 2.5
"""The distance of each side of a box before training, in strides."""

CANDIDATES, KEPT = 300, 100
"""Boxes that are compared in a picture, and the most that are kept."""

OVERLAP = 0.6
"""Intersection over union with a better box of the same class, above which a box is left out."""

ROUNDS = 32
"""Rounds of the suppression; exact where no chain of boxes that leave each other out is longer."""


class Pyramid(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to class logits (N, L, K) and boxes (N, L, 4) in pixels, at L places.

    `trained` of the last blocks of EfficientNet-Lite0 have weights of their own, which `adopt` sets to the published
    ones; the others are shared, frozen and no part of its weights.
    """

    def __init__(self, shape: PictureShape, channels: int, trained: int) -> None:
        super().__init__()
        own = EfficientNetLite0() if trained else None
        self.stem = own.stem if own and trained == BLOCKS else None
        self.blocks = nn.ModuleList(own.blocks[BLOCKS - trained :] if own else ())
        self.reads = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in WIDTHS)
        self.joins = nn.ModuleList(_Layer(channels) for _ in WIDTHS)
        self.classes, self.sides = (nn.Sequential(_Layer(channels), _Layer(channels)) for _ in range(2))
        self.scales = nn.Parameter(torch.ones(len(STRIDES)))
        self.score = nn.Conv2d(channels, shape.classes, 3, padding=1)
        self.distance = nn.Conv2d(channels, 4, 3, padding=1)
        for module in (self.reads, self.joins, self.classes, self.sides):
            module.apply(keep_variance)
        for last in (self.score, self.distance):
            nn.init.normal_(last.weight, 0.0, 0.01)
        nn.init.constant_(cast(Tensor, self.score.bias), -math.log(1 / RARE - 1))
        nn.init.constant_(cast(Tensor, self.distance.bias), math.log(math.expm1(REACH)))

    def adopt(self) -> None:
        """Set the blocks that are trained to the published weights."""
        network = lite0_network(self.scales.device)
        published = [network.stem, *list(network.blocks)[BLOCKS - len(self.blocks) :]]
        for module, known in zip([self.stem, *self.blocks], published, strict=True):
            if module is not None:
                module.load_state_dict(known.state_dict())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (N, L, K) and boxes (N, L, 4): left, top, right, bottom in pixels, float32."""
        logits, boxes = [], []
        for scale, stride, x in zip(self.scales, STRIDES, self._pyramid(self._maps(image)), strict=True):
            logits.append(self.score(self.classes(x)).flatten(2).mT.float())
            reach = stride * F.softplus((scale * self.distance(self.sides(x))).flatten(2).mT.float())
            place = places(x.shape[-2], x.shape[-1], stride).to(image.device)
            boxes.append(torch.cat([place - reach[..., :2], place + reach[..., 2:]], dim=2))
        return torch.cat(logits, dim=1), torch.cat(boxes, dim=1)

    def grid(self, image: Tensor) -> Tensor:
        """Return the places (L, 3) in pictures (N, C, H, W): x and y in pixels, and the stride of their map."""
        high, wide = image.shape[-2:]
        maps = ((stride, places(-(-high // stride), -(-wide // stride), stride)) for stride in STRIDES)
        return torch.cat([F.pad(place, (0, 1), value=stride) for stride, place in maps]).to(image.device)

    def _maps(self, image: Tensor) -> list[Tensor]:
        """Return the maps of `STAGES`, from fine to coarse."""
        network = lite0_network(image.device)
        seen = over_black(image).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        frozen = BLOCKS - len(self.blocks)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.stem is not None):
            maps = [F.relu6((self.stem or network.stem)((255 * seen - 127) / 128))]
            for block in list(network.blocks)[:frozen]:
                maps.append(block(maps[-1]))
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return [maps[stage] for stage in STAGES]

    def _pyramid(self, maps: list[Tensor]) -> list[Tensor]:
        """Return maps of equal width, each joined with all coarser ones, from fine to coarse."""
        read = [own(F.group_norm(given, GROUPS)) for own, given in zip(self.reads, maps, strict=True)]
        for finer in range(len(read) - 2, -1, -1):
            larger = F.interpolate(read[finer + 1], size=read[finer].shape[-2:], mode="nearest")
            read[finer] = read[finer] + larger
        return [join(x) for join, x in zip(self.joins, read, strict=True)]


class _Layer(nn.Module):
    """A 3 x 3 convolution, normalised in groups, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolution(x)))


def places(high: int, wide: int, stride: int) -> Tensor:
    """Return the middles (high * wide, 2) of the cells of a map, x and y in pixels, row by row."""
    y, x = ((torch.arange(side, dtype=torch.float32) + 0.5) * stride for side in (high, wide))
    return torch.stack([x.expand(high, wide), y[:, None].expand(high, wide)], dim=2).flatten(0, 1)


def chosen(logits: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the boxes (N, `KEPT`, 6) of pictures of `size` = (height, width), the best first.

    Each is left, top, right, bottom, score and class, clipped to the picture; rows that are left have score 0.
    """
    high, wide = size
    number = logits.shape[2]
    limits = boxes.new_tensor([wide, high, wide, high])
    flat = logits.sigmoid().flatten(1)
    score, pair = flat.topk(min(CANDIDATES, flat.shape[1]), dim=1)
    place = pair.div(number, rounding_mode="floor")
    kind = (pair - place * number).float()
    best = boxes.gather(1, place[..., None].expand(-1, -1, 4)).clamp(min=0).minimum(limits)
    score = score * survivors(best, kind)
    score, order = score.topk(min(KEPT, score.shape[1]), dim=1)
    found = torch.cat([best, kind[..., None]], dim=2).gather(1, order[..., None].expand(-1, -1, 5))
    return torch.cat([found[..., :4], score[..., None], found[..., 4:]], dim=2)


def survivors(boxes: Tensor, kind: Tensor) -> Tensor:
    """Return 1 for each of boxes (N, M, 4), best first, that no better one of its class that is kept overlaps, else 0.

    This is greedy suppression as a fixed point: a box is kept if none is kept that leaves it out. Each round settles
    one more link of every chain.
    """
    rivals = (overlaps(boxes, boxes) > OVERLAP) & (kind[:, :, None] == kind[:, None, :])
    order = torch.arange(boxes.shape[1], device=boxes.device)
    beaten = (rivals & (order[:, None] > order[None, :])).to(boxes.dtype)  # row i by column j
    kept = boxes.new_ones(boxes.shape[:2])
    for _ in range(ROUNDS):
        kept = ((beaten @ kept[..., None])[..., 0] == 0).to(boxes.dtype)
    return kept


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union (N, A, B) of boxes (N, A, 4) with others (N, B, 4)."""
    low = torch.maximum(boxes[:, :, None, :2], others[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:4], others[:, None, :, 2:4])
    both = (high - low).clamp(min=0).prod(3)
    return both / (area(boxes)[:, :, None] + area(others)[:, None, :] - both).clamp(min=1e-9)


def area(boxes: Tensor) -> Tensor:
    """Return the areas (...) of boxes (..., 4)."""
    sides = (boxes[..., 2:4] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]
