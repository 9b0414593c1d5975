"""Colourisation: a network learns which colours grey pictures may have (Zhang, Isola and Efros, 2016).

The loss is the cross-entropy between a place's true colour and the predicted ones, weighted so that rare colours count
as much as greys (eq. 2 to 4). The frequency of colours is not counted beforehand but averaged over the batches seen so
far, and is part of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.colour import from_lab, lab, lightness
from pinxit.data import Batch
from pinxit.nets.colouriser import STRIDE, ColourDecoder, expected, look, palette, shares
from pinxit.objectives.objective import Judgement, Loss, Objective
from pinxit.objectives.restoration import in_threes, sheet_rows
from pinxit.objectives.settings import ColourSettings

TEMPERATURE = 0.38
"""Of the annealed mean (Zhang et al., 2016, section 2.3)."""
NEW = 0.01
"""Weight of a batch in the running average of how frequent colours are."""


class Guessed(NamedTuple):
    """What a batch's places may be, (N, h, w, Q): the logits, and the true colours as shares."""

    logits: Tensor
    true: Tensor


class Colourisation(Objective):
    """A decoder from a frozen network's maps of grey pictures to colours."""

    settings: ColourSettings
    player = "painter"
    model = ("painter",)

    def __init__(self, settings: ColourSettings) -> None:
        self.settings = settings
        self.networks = nn.ModuleDict({"painter": ColourDecoder(settings.width), "seen": _Seen()})
        self.judgement = Judgement("cross_entropy", "lowest", self.judge)

    @property
    def painter(self) -> ColourDecoder:
        """The network."""
        return cast(ColourDecoder, self.networks["painter"])

    def start(self, batch: Batch) -> None:
        """Take the first batch's colours for how frequent they are."""
        self._frequency.copy_(frequency(batch))

    def draw(self, batch: Batch) -> Guessed:
        """Return what the network takes the batch's places for, and what they are."""
        return self._guessed(batch, self._hidden(batch, look(lightness(batch.image))))

    def loss(self, batch: Batch, guessed: Guessed) -> Loss:
        """Return the cross-entropy, weighted by how rare the true colours are."""
        return Loss({"cross_entropy": (self._weights(guessed.true) * entropy(guessed)).mean()})

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Move the frequency of colours towards that of the batch."""
        self._frequency.lerp_(frequency(batch), NEW)

    def judge(self, batch: Batch) -> float:
        """Return the mean cross-entropy, without weights."""
        return float(entropy(self._guessed(batch, look(lightness(batch.image)))).mean())

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its grey and its newly coloured form, as many as fill a square sheet."""
        shown = sheet_rows(batch)
        light = lightness(shown.image)
        colours = expected(self.painter(look(light)), TEMPERATURE)
        large = F.interpolate(colours.permute(0, 3, 1, 2), light.shape[-2:], mode="bilinear")
        grey, coloured = (from_lab(torch.cat([light, part], 1)) for part in (torch.zeros_like(large), large))
        return in_threes(shown.image, grey, coloured)

    def _guessed(self, batch: Batch, maps: list[Tensor]) -> Guessed:
        return Guessed(self.painter(maps), shares(places(batch.image)))

    def _hidden(self, batch: Batch, maps: list[Tensor]) -> list[Tensor]:
        """Return maps without some of their channels, other ones for each picture (dropout of channels)."""
        left = 1 - self.settings.drop
        if left == 1:
            return maps
        odds = [part.new_full(part.shape[:2], left, dtype=torch.float32) for part in maps]
        kept = [batch.coins(chance, f"kept {level}") / left for level, chance in enumerate(odds)]
        return [part * keep[:, :, None, None].to(part.dtype) for part, keep in zip(maps, kept, strict=True)]

    @property
    def _frequency(self) -> Tensor:
        return self.networks["seen"].get_buffer("frequency")

    def _weights(self, true: Tensor) -> Tensor:
        """Return the weight of each place by its likeliest colour, (N, h, w), with mean 1 over what was seen."""
        seen, share = self._frequency, self.settings.rebalance
        weights = 1 / (share * seen + (1 - share) / len(seen))
        return (weights / (weights * seen).sum())[true.argmax(-1)]


class _Seen(nn.Module):
    """How frequent each colour of the palette has been."""

    def __init__(self) -> None:
        super().__init__()
        count = len(palette())
        self.register_buffer("frequency", torch.full((count,), 1 / count))


def places(images: Tensor) -> Tensor:
    """Return the colours of the places of pictures (N, 3, H, W), reduced to a fourth: a* and b*, (N, h, w, 2)."""
    size = -(-images.shape[2] // STRIDE), -(-images.shape[3] // STRIDE)
    return lab(F.adaptive_avg_pool2d(images, size))[:, 1:].permute(0, 2, 3, 1)


def entropy(guessed: Guessed) -> Tensor:
    """Return the cross-entropy of each place in nats, (N, h, w)."""
    return -(guessed.true * guessed.logits.log_softmax(-1)).sum(-1)


@torch.no_grad()
def frequency(batch: Batch) -> Tensor:
    """Return how frequent each colour of the palette is in a batch's pictures, (Q,), summing to 1.

    As in the paper, a nearest colour is counted, and the counts are smoothed by a Gaussian.
    """
    points = palette().to(batch.image.device)
    colours = places(batch.image).flatten(0, 2)
    nearest = (colours @ points.T - points.square().sum(1) / 2).argmax(1)
    return torch.bincount(nearest, minlength=len(points)) / len(nearest) @ shares(points)
