"""Augmentation: each row is mirrored, turned, scaled, rotated and shifted at random, together with its companions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.data.settings import Augment

if TYPE_CHECKING:
    from pinxit.data.batch import Batch

NO_CLASS = -1.0  # the class of padding rows
IGNORED = -2.0  # the class of an ignored thing of class 0, which is neither right nor wrong; -3 is one of class 1 ...
Edges = Literal["reflection", "border"]
LEAST_SIDE = 1.0  # pixels; a box that is narrower or lower after clipping is dropped


def augmented(batch: Batch, augment: Augment) -> Batch:
    """Return the batch with its images moved, each row at random; edges are continued by reflection.

    Where there are boxes, the edge's own pixels are continued, because a reflected thing would have no box.

    The pair moves as the image does, and so does the mask, by the nearest pixel. Boxes become the upright boxes around
    their moved corners, clipped to the image.
    """
    motion = _motion(batch, augment)
    if motion is None:
        return batch
    edges: Edges = "reflection" if batch.boxes is None else "border"  # reflected things would have no boxes
    moved: dict[str, Any] = {"image": motion.move(batch.image, "bilinear", edges)}
    if batch.pair is not None:
        moved["pair"] = motion.move(batch.pair, "bilinear", edges)
    if batch.mask is not None:
        moved["mask"] = motion.move(batch.mask.float(), "nearest", edges).to(batch.mask.dtype)
    if batch.boxes is not None:
        moved["boxes"] = motion.move_boxes(batch.boxes, (batch.image.shape[2], batch.image.shape[3]))
    return replace(batch, **moved)


@dataclass(frozen=True)
class Motion:
    """The motion of each row, in this order: whether it is mirrored (N,), its quarter turns (N,), its affine map.

    The map (N, 2, 3) gives the place in [-1, 1] that a pixel comes from. None leaves that kind of motion out.
    """

    mirrored: Tensor | None
    turns: tuple[int, ...] | None
    back: Tensor | None

    def move(self, image: Tensor, mode: Literal["bilinear", "nearest"], edges: Edges = "reflection") -> Tensor:
        """Return pictures (N, C, H, W), moved."""
        if self.mirrored is not None:
            image = torch.where(self.mirrored[:, None, None, None], image.flip(-1), image)
        if self.turns is not None:
            image = torch.stack([row.rot90(turn, (1, 2)) for row, turn in zip(image, self.turns, strict=True)])
        if self.back is None:
            return image
        where = F.affine_grid(self.back, list(image.shape), align_corners=False)
        return F.grid_sample(image, where, mode=mode, padding_mode=edges, align_corners=False)

    def move_boxes(self, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the upright boxes around the moved corners of (N, K, 5), clipped to `size` = (height, width)."""
        sides = boxes.new_tensor([size[1], size[0]])
        corners = boxes[..., [0, 1, 2, 1, 2, 3, 0, 3]].unflatten(-1, (4, 2))
        x, y = (2 * corners / sides - 1).unbind(-1)  # (N, K, 4) each
        if self.mirrored is not None:
            x = torch.where(self.mirrored[:, None, None], -x, x)
        if self.turns is not None:
            quarter = x.new_tensor(self.turns)[:, None, None]
            for turn in (1, 2, 3):
                x, y = torch.where(quarter >= turn, y, x), torch.where(quarter >= turn, -x, y)
        if self.back is not None:
            linear, shift = self.back[:, None, :, :2], self.back[:, None, :, 2:]
            x, y = torch.linalg.solve(linear, torch.stack([x, y], dim=2) - shift).unbind(2)
        points = (torch.stack([x, y], dim=-1) + 1) / 2 * sides
        return clipped(torch.cat([points.amin(2), points.amax(2), boxes[..., 4:]], dim=2), size)


def clipped(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes (N, K, 5) clipped to `size` = (height, width); those too small are replaced by padding rows."""
    limits = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    inside = boxes[..., :4].clamp(min=0).minimum(limits)
    kept = (inside[..., 2:] - inside[..., :2] >= LEAST_SIDE).all(-1, keepdim=True) & (boxes[..., 4:] != NO_CLASS)
    return torch.cat([torch.where(kept, inside, 0.0), torch.where(kept, boxes[..., 4:], NO_CLASS)], dim=-1)


def _motion(batch: Batch, augment: Augment) -> Motion | None:
    """Sample the motion of each row from its own randomness; None if the settings ask for none."""
    moves = bool(augment.shift or augment.rotate or augment.scale)
    if not (augment.flip or augment.turn or moves):
        return None
    coin, *signed, quarter = batch.uniform(6, stream="augment").T
    mirrored = coin < 0.5 if augment.flip else None
    high, wide = batch.image.shape[2:]
    least = 1 if high == wide else 2  # quarter turns that keep the shape
    turns = tuple((least * (4 / least * quarter).int()).tolist()) if augment.turn else None
    if not moves:
        return Motion(mirrored, turns, None)
    across, down, turn, zoom = (2 * number - 1 for number in signed)
    angle, factor = torch.deg2rad(turn * augment.rotate), 1 + zoom * augment.scale
    cosine, sine = angle.cos() / factor, angle.sin() / factor
    shift = torch.stack([across, down], dim=1)[:, :, None] * (2 * augment.shift)
    linear = torch.stack([cosine, sine * (high / wide), -sine * (wide / high), cosine], dim=1).view(-1, 2, 2)
    return Motion(mirrored, turns, torch.cat([linear, -linear @ shift], dim=2))
