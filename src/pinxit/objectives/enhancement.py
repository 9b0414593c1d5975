"""Low-light enhancement: one player, a network that tells from a whole picture how it was darkened.

It learns by what its curve makes of darkened pictures, which is to come near the clean ones; both are looked at as
means of many pixels, so that noise, which no curve takes away, does not count.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.losses.reconstruction import RECONSTRUCTION
from pinxit.metrics.paired import clipped_psnr
from pinxit.nets.curve import CurveNet, averaged, lightened
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.objective import Judgement, Loss, Objective, Player
from pinxit.objectives.restoration import degraded, to_show, triples
from pinxit.objectives.settings import EnhancementSettings, alternatives


class Enhancement(Objective):
    """A network from dark pictures to the curves that lighten them."""

    model = ("curve",)

    def __init__(self, settings: EnhancementSettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape
        self.chains = alternatives(settings.degrade)
        if any(chain.masks or chain.shrinks > 1 for chain in self.chains):
            raise UsageError(f"--degrade {settings.degrade!r}: a curve fills no holes and enlarges nothing")
        self.networks = nn.ModuleDict({"curve": CurveNet(settings.width, settings.depth)})
        self.judgement = Judgement("psnr", "highest", self.judge)

    @property
    def curve(self) -> CurveNet:
        """The network."""
        return cast(CurveNet, self.networks["curve"])

    def players(self) -> tuple[Player, ...]:
        """Return the network."""
        return (Player("curve", self.networks["curve"], self.loss, self.settings.player_optimiser()),)

    def draw(self, batch: Batch) -> Tensor:
        """Return the batch's pictures darkened and lightened again, as `averaged` sees them, (N, C, h, w)."""
        dark = self.dark(batch)
        return lightened(averaged(dark), self.curve(dark))

    def dark(self, batch: Batch) -> Tensor:
        """Return the batch's pictures (N, C, H, W) darkened, each by its own draws."""
        rows = degraded(self.chains, batch.image, batch, "degrade")
        return torch.stack([row.image for row in rows]).to(batch.image.device)

    def loss(self, batch: Batch, drawn: Tensor) -> Loss:
        """Return the mean loss of the means of pixels."""
        return Loss({"reconstruction": RECONSTRUCTION[self.settings.loss](drawn, averaged(batch.image)).mean()})

    def judge(self, batch: Batch) -> float:
        """Return the mean PSNR in decibels of means of pixels, clipped to [0, 1]."""
        return float(clipped_psnr(self.draw(batch), averaged(batch.image)).mean())

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its dark and its lightened form, as many as make a square of triples."""
        shown = to_show(batch)
        dark = self.dark(shown)
        return triples(shown.image, dark, lightened(dark, self.curve(dark)))
