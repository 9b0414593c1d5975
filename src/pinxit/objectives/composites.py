"""Pictures to learn mattes from: subjects with a known matte, in their own picture or put before another background.

Every choice is a row's own draw. Layers are composed in linear light, as light mixes. A background is the picture of a
second set, or is drawn: smooth colours with some texture, such as a table or a screen.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.colour import BT601, encoded, linear, luma
from pinxit.data import Batch
from pinxit.data.render import VOID

ZOOM, SIZES = (1.0, 1.4), (0.4, 1.2)
"""How far pictures are enlarged, and to which share of a subject's size before another background."""
TURN, STRETCH, MIRRORED = 0.26, 0.25, 0.5
"""Largest turn in radians, largest logarithm of a change of proportions, and the share that is mirrored."""
LIGHT, TINT, CONTRAST, COLOUR, GREY = 0.5, 0.15, 0.25, 0.4, 0.08
"""Largest logarithms of light and of single colours, changes of contrast and saturation, and the share of greys."""
DRAWN, SOFT, SOFTENED = 0.2, 0.3, 8
"""The shares of backgrounds that are drawn and that are out of focus, and by how many pixels."""
FIELDS = ((2, 0.3), (8, 0.06), (64, 0.03))
"""Of drawn backgrounds: places along a side where random colours stand, and how far these reach."""


class Shown(NamedTuple):
    """Pictures (N, 3, H, W) in [0, 1] and the mattes of their subjects, (N, 1, H, W) in [0, 1]."""

    image: Tensor
    matte: Tensor


def composed(batch: Batch, replace: float) -> Shown:
    """Return the batch's subjects: cut-outs, and a share `replace` of opaque pictures, before other backgrounds."""
    rows = [_row(batch.rows(number, number + 1), replace) for number in range(len(batch))]
    return Shown(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


def _row(batch: Batch, replace: float) -> Shown:
    """Return the one subject of a batch."""
    given, opaque = subject(batch)
    if opaque and batch.uniform(stream="replace").item() >= replace:
        whole = moved(torch.cat(given, dim=1), batch, "zoom", ZOOM, "reflection").clamp(0, 1)
        return Shown(jittered(whole[:, :3], batch), whole[:, 3:])
    layer = torch.cat([linear(given.image) * given.matte, given.matte], dim=1)
    placed = moved(layer, batch, "place", SIZES, "zeros").clamp(0, 1)
    matte = placed[:, 3:]
    front = (placed[:, :3] * gains(batch)).minimum(matte)
    return Shown(jittered(encoded(front + (1 - matte) * linear(background(batch))).clamp(0, 1), batch), matte)


def subject(batch: Batch) -> tuple[Shown, bool]:
    """Return the one picture of a batch and its matte, and whether it is opaque: it shows a background of its own.

    The matte is the brightness of the pair, or 1 where the mask has a class above 0, or else the alpha; and at most
    the alpha.
    """
    colours = batch.image[:, :3].expand(-1, 3, -1, -1)
    alpha = batch.image[:, 3:] if batch.image.shape[1] == 4 else torch.ones_like(colours[:, :1])
    if batch.pair is not None:
        matte = luma(batch.pair[:, :3], BT601).minimum(alpha)
    elif batch.mask is not None:
        matte = ((batch.mask > 0) & (batch.mask != VOID)) * alpha
    else:
        return Shown(colours, alpha), False
    return Shown(colours, matte), bool((alpha == 1).all())


def moved(
    layers: Tensor, batch: Batch, stream: str, sizes: tuple[float, float], beyond: Literal["zeros", "reflection"]
) -> Tensor:
    """Return layers (N, C, H, W) mirrored, turned, stretched, resized and shifted, each by its own draws.

    A part that is smaller than the picture lies anywhere in it, or up to a third outside; of a larger one, any part is
    shown.
    """
    coin, turn, stretch, size, across, down = batch.uniform(6, stream=stream).T
    low, high = (math.log(edge) for edge in sizes)
    scale = (low + (high - low) * size).exp()
    proportion = ((2 * stretch - 1) * STRETCH / 2).exp()
    wide, tall = scale * proportion, scale / proportion
    mirror = torch.where(coin < MIRRORED, -1.0, 1.0)
    angle = (2 * turn - 1) * TURN * (1 if beyond == "zeros" else 0.3)
    cosine, sine = angle.cos(), angle.sin()
    reach = 0.33 if beyond == "zeros" else 0.0
    x, y = ((2 * place - 1) * ((1 - side).abs() + reach * side) for place, side in ((across, wide), (down, tall)))
    rows = [
        torch.stack([mirror * cosine / wide, mirror * sine / wide, -mirror * (cosine * x + sine * y) / wide], dim=1),
        torch.stack([-sine / tall, cosine / tall, (sine * x - cosine * y) / tall], dim=1),
    ]
    where = F.affine_grid(torch.stack(rows, dim=1), list(layers.shape), align_corners=False)
    return F.grid_sample(layers, where, mode="bilinear", padding_mode=beyond, align_corners=False)


def background(batch: Batch) -> Tensor:
    """Return a background (1, 3, H, W) in [0, 1]: the batch's other picture, perhaps out of focus, or a drawn one."""
    kind = batch.uniform(stream="kind").item()
    if batch.other is None or kind < DRAWN:
        return fields(batch)
    photo = moved(batch.other[:, :3].expand(-1, 3, -1, -1), batch, "background", ZOOM, "reflection").clamp(0, 1)
    if kind >= DRAWN + SOFT:
        return photo
    high, wide = photo.shape[-2:]
    small = F.adaptive_avg_pool2d(photo, (max(1, high // SOFTENED), max(1, wide // SOFTENED)))
    return F.interpolate(small, size=(high, wide), mode="bilinear", align_corners=False)


def fields(batch: Batch) -> Tensor:
    """Return smooth random colours with some texture, (N, 3, H, W) in [0, 1]."""
    size = batch.image.shape[-2:]
    total = batch.uniform(3, stream="field")[:, :, None, None].expand(-1, -1, *size)
    for places, reach in FIELDS:
        high, wide = (min(places, side) for side in size)
        colours = (2 * batch.uniform(3, high, wide, stream=f"field {places}") - 1) * reach
        amount = batch.uniform(stream=f"amount {places}")[:, None, None, None]
        total = total + amount * F.interpolate(colours, size=size, mode="bilinear", align_corners=False)
    return total.clamp(0, 1)


def gains(batch: Batch) -> Tensor:
    """Return factors of linear light, (N, 3, 1, 1)."""
    light, *tints = (2 * batch.uniform(4, stream="gains") - 1).T
    return (light[:, None] * LIGHT + torch.stack(tints, dim=1) * TINT).exp()[:, :, None, None]


def jittered(image: Tensor, batch: Batch) -> Tensor:
    """Return pictures (N, 3, H, W) in [0, 1] with other contrast, saturation and light; some are grey."""
    contrast, colour, light, grey = batch.uniform(4, stream="jitter").T[:, :, None, None, None]
    level = luma(image, BT601)
    saturation = torch.where(grey < GREY, 0.0, 1 + (2 * colour - 1) * COLOUR)
    coloured = level + saturation * (image - level)
    middle = level.mean((2, 3), keepdim=True)
    changed = middle + (1 + (2 * contrast - 1) * CONTRAST) * (coloured - middle) + (light - 0.5) * CONTRAST
    return changed.clamp(0, 1)
