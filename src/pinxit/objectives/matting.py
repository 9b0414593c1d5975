"""Matting: a network learns how much of each pixel belongs to the subject, from subjects whose matte is known.

An opaque picture with a mask or a soft matte beside it is shown as it is, or its subject is put before another
background. A picture with transparent parts is a cut-out, and is always put before another background (`composites`).

The loss has the parts of three papers. Both the matte and a coarse one are judged by their cross entropy, and the
errors of the differences of neighbouring pixels count, as in PP-Matting (Chen et al., 2022). At the edge the absolute
error counts too, as in MODNet (Ke et al., 2022, eq. 2). One minus the intersection over the union of both mattes gives
small subjects the weight of large ones (BASNet: Qin et al., 2019, eq. 6). Differs from all: the network that reads the
picture is frozen (`nets.matting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.nets.matting import STAGES, Logits, MatteDecoder
from pinxit.nets.pretrained import lite0_network
from pinxit.objectives.composites import Shown, composed
from pinxit.objectives.objective import Judgement, Loss, Objective
from pinxit.objectives.restoration import degraded, in_threes, sheet_rows
from pinxit.objectives.settings import MattingSettings, alternatives

JUDGED = 16
"""Held-out pictures by which a checkpoint is judged."""
CELL = 4
"""The edge is a cell of as many pixels in which the matte changes, and the cells around it."""
CHANGE = 0.1


@dataclass(frozen=True)
class Found:
    """Pictures with their true mattes, the logits of those that the network finds, and both as they are compared.

    These, `true` and `matte`, are at a half of the sides.
    """

    shown: Shown
    logits: Logits

    @property
    def true(self) -> Tensor:
        """The true mattes (N, 1, h, w)."""
        return reduced(self.shown.matte, self.logits.matte)

    @property
    def matte(self) -> Tensor:
        """The mattes (N, 1, h, w) that the network finds."""
        return self.logits.matte.sigmoid()


class Matting(Objective):
    """A decoder from the maps of a frozen network to mattes."""

    settings: MattingSettings
    player = "decoder"
    model = ("decoder",)

    def __init__(self, settings: MattingSettings) -> None:
        self.settings = settings
        self.chains = alternatives(settings.degrade)
        self.networks = nn.ModuleDict({"decoder": MatteDecoder(settings.channels)})
        self.judgement = Judgement("error", "lowest", self.judge)

    @property
    def decoder(self) -> MatteDecoder:
        """The network."""
        return cast(MatteDecoder, self.networks["decoder"])

    def matte(self, image: Tensor) -> Tensor:
        """Return the mattes (N, 1, h, w) in [0, 1], at a half of the sides, of pictures (N, 3, H, W) in [0, 1]."""
        return self.logits(image).matte.sigmoid()

    def logits(self, image: Tensor) -> Logits:
        """Return the logits of the mattes of pictures (N, 3, H, W) in [0, 1]."""
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            maps = lite0_network(image.device).stages(image)
        return self.decoder(image, [maps[stage] for stage in STAGES])

    def draw(self, batch: Batch) -> Found:
        """Return the batch's subjects before backgrounds, and what the network finds."""
        image, matte = composed(batch, self.settings.replace)
        if self.chains:
            rows = degraded(self.chains, image, batch, "degrade")
            image = torch.stack([row.image for row in rows]).clamp(0, 1).to(image.device)
        return Found(Shown(image, matte), self.logits(image))

    def loss(self, batch: Batch, made: Found) -> Loss:
        """Return the errors of the matte, at its edge, in its differences and its shape, and that of the coarse one."""
        found, true, coarse = made.matte, made.true, made.logits.coarse
        apart, edge = (found - true).abs(), edges(true)
        both, either = torch.minimum(found, true).sum((1, 2, 3)), torch.maximum(found, true).sum((1, 2, 3))
        small = reduced(true, coarse)
        return Loss(
            {
                "matte": F.binary_cross_entropy_with_logits(made.logits.matte, true),
                "edge": self.settings.edge * ((apart * edge).sum() / edge.sum().clamp(min=1)),
                "gradient": self.settings.gradient * steepness(found - true),
                "shape": self.settings.shape * (1 - (both + 1) / (either + 1)).mean(),
                "coarse": self.settings.coarse * F.binary_cross_entropy_with_logits(coarse, small),
            }
        )

    def judge(self, batch: Batch) -> float:
        """Return the mean absolute error of the mattes of some pictures."""
        made = self.draw(batch.rows(0, JUDGED))
        return float((made.matte - made.true).abs().mean())

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by the true and by the found matte, as many as fill a square sheet."""
        made = self.draw(sheet_rows(batch))
        image, true = made.shown
        found = F.interpolate(made.matte, size=image.shape[-2:], mode="bilinear", align_corners=False)
        return in_threes(image, true.expand_as(image), found.expand_as(image))


def reduced(matte: Tensor, like: Tensor) -> Tensor:
    """Return mattes (N, 1, H, W) at the smaller sides of others, by means."""
    high, wide = like.shape[-2:]
    return F.adaptive_avg_pool2d(matte, (high, wide))


def edges(matte: Tensor) -> Tensor:
    """Return 1 near pixels at which mattes (N, 1, H, W) change, else 0."""
    cells = [F.max_pool2d(sign * matte, CELL, ceil_mode=True) for sign in (1, -1)]
    highest, lowest = (F.max_pool2d(cell, 3, 1, 1) for cell in cells)
    near = (highest + lowest > CHANGE).float()
    return F.interpolate(near, scale_factor=float(CELL))[..., : matte.shape[-2], : matte.shape[-1]]


def steepness(apart: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels of (N, 1, H, W), in both directions."""
    return apart.diff(dim=3).abs().mean() + apart.diff(dim=2).abs().mean()
