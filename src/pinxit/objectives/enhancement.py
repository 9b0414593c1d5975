"""Low-light enhancement: a network predicts from the whole picture the curve that undoes its darkening.

Darkened pictures are lightened by the predicted curve and compared with the clean ones. Both are reduced to means of
many pixels first, because noise, which no curve removes, must not count.
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
from pinxit.objectives.objective import Judgement, Loss, Objective
from pinxit.objectives.restoration import degraded, in_threes, sheet_rows
from pinxit.objectives.settings import EnhancementSettings, alternatives


class Enhancement(Objective):
    """A network from dark pictures to curves that lighten them."""

    settings: EnhancementSettings
    player = "curve"
    model = ("curve",)

    def __init__(self, settings: EnhancementSettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape
        self.chains = alternatives(settings.degrade)
        if any(chain.masks or chain.shrinks > 1 for chain in self.chains):
            raise UsageError(f"--degrade {settings.degrade!r}: a curve can neither fill holes nor enlarge")
        self.networks = nn.ModuleDict({"curve": CurveNet(settings.width, settings.depth)})
        self.judgement = Judgement("psnr", "highest", self.judge)

    @property
    def curve(self) -> CurveNet:
        """The network."""
        return cast(CurveNet, self.networks["curve"])

    def draw(self, batch: Batch) -> Tensor:
        """Return the batch's pictures darkened and lightened again, reduced by `averaged`, (N, C, h, w)."""
        dark = self.dark(batch)
        return lightened(averaged(dark), self.curve(dark))

    def dark(self, batch: Batch) -> Tensor:
        """Return the batch's pictures (N, C, H, W) darkened, each by its own draws."""
        rows = degraded(self.chains, batch.image, batch, "degrade")
        return torch.stack([row.image for row in rows]).to(batch.image.device)

    def loss(self, batch: Batch, restored: Tensor) -> Loss:
        """Return the mean loss between the reduced pictures."""
        return Loss({"reconstruction": RECONSTRUCTION[self.settings.loss](restored, averaged(batch.image)).mean()})

    def judge(self, batch: Batch) -> float:
        """Return the mean PSNR in decibels of the reduced pictures, clipped to [0, 1]."""
        return float(clipped_psnr(self.draw(batch), averaged(batch.image)).mean())

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its dark and its lightened form, as many as fill a square sheet."""
        shown = sheet_rows(batch)
        dark = self.dark(shown)
        return in_threes(shown.image, dark, lightened(dark, self.curve(dark)))
