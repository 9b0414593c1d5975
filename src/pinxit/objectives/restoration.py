"""Restoration: a network learns to undo a degradation that is applied to clean pictures in every step.

The settings choose the degradation, so denoising, inpainting, enlarging, deblurring and JPEG repair are one class. The
target is a row of `TARGETS`, usually the clean picture. Three targets need no clean pictures: another draw of the noise
(Noise2Noise, Lehtinen et al., 2018), pixels hidden from the network (Noise2Void, Krull et al., 2019), or neighbouring
pixels (Neighbor2Neighbor, Huang et al., 2021). The mean of all three is the clean picture if the noise has mean zero
and is independent from pixel to pixel.

The network estimates the noise itself (blind, as DnCNN-B) unless a plane beside the picture gives its level (as in
FFDNet). Training can give it for a share of the pictures; a level of 0 means unknown. Another plane gives the holes: it
is 1 where the picture is unknown. The network changes the picture only there. It gets a picture whose holes are bridged
smoothly (`nets.bridge`) and adds what the bridge lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.colour import BT601, luma
from pinxit.data import Batch
from pinxit.degradations import Chain, Degraded, Noise
from pinxit.errors import UsageError
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.losses.perceptual import perceptual_distance
from pinxit.losses.reconstruction import RECONSTRUCTION
from pinxit.metrics.paired import clipped_psnr
from pinxit.nets import residual, spectral
from pinxit.nets.bridge import CELL, REACH, bridged
from pinxit.nets.per_pixel import PixelDiscriminator
from pinxit.nets.restoration import UNet
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.adversarial import Contest
from pinxit.objectives.objective import Judgement, Loss
from pinxit.objectives.settings import RestorationSettings, alternatives

JUDGED_AT_ONCE = 16
HIDDEN, WINDOW = 1 / 6, 5
REPEAT = 4


@dataclass(frozen=True)
class Inputs:
    """Degraded pictures (N, C, h, w), planes (N, P, h, w) or None beside them, and masks (N, 1, h, w) or None."""

    image: Tensor
    planes: Tensor | None
    mask: Tensor | None


@dataclass(frozen=True)
class Restored:
    """One step: targets and restored pictures, compared with the weights `counts` (N, 1 or C, H, W) if given.

    `expected` (N, C, H, W), if given, is the expected difference restored - target.
    """

    target: Tensor
    image: Tensor
    counts: Tensor | None = None
    expected: Tensor | None = None


class Restoration(Contest):
    """A network from degraded to restored pictures, and optionally a discriminator between these and clean ones."""

    settings: RestorationSettings
    player = "restorer"
    model = ("restorer",)

    def __init__(self, settings: RestorationSettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape
        self.chains = alternatives(settings.degrade)
        self.holes = any(chain.masks for chain in self.chains)
        self.scale = self.chains[0].shrinks if self.chains else 1
        self._check()
        planes = self.holes + (settings.told > 0)
        restorer = UNet(
            shape.channels, planes, settings.channels, settings.levels, settings.blocks, settings.network, self.scale
        )
        self.networks = nn.ModuleDict({"restorer": restorer})
        if settings.adversarial:
            self.networks["discriminator"] = DISCRIMINATORS[settings.discriminator](shape, settings.channels)
        self.adversarial = ADVERSARIAL[settings.adversarial_loss]
        self.target = TARGETS[settings.target]
        if self.chains:
            self.judgement = Judgement("psnr", "highest", self.judge)

    @property
    def restorer(self) -> UNet:
        """The network."""
        return cast(UNet, self.networks["restorer"])

    @property
    def radius(self) -> int:
        """The receptive field of a restored pixel, in pixels of the input to each side."""
        return self.restorer.radius + (REACH if self.holes else 0)

    @property
    def stride(self) -> int:
        """Origins of tiles must be multiples of this, in pixels of the input."""
        return math.lcm(self.restorer.stride, CELL if self.holes else 1)

    def draw(self, batch: Batch) -> Restored:
        """Return the batch restored, with the targets the settings ask for."""
        return self.target(self, batch)

    def clean(self, batch: Batch) -> Tensor:
        """Return the batch's pictures; a share `grey` of them is made grey."""
        grey = batch.uniform(stream="grey") < self.settings.grey
        return luma(batch.image, BT601).where(grey[:, None, None, None], batch.image)

    def inputs(self, batch: Batch, stream: str = "degrade") -> Inputs:
        """Return the batch's pictures degraded, each by its own draws of `stream`; grey ones stay grey."""
        clean = self.clean(batch)
        if not self.chains:
            return Inputs(clean, None, None)
        rows = degraded(self.chains, clean, batch, stream)
        image = torch.stack([row.image for row in rows]).to(clean.device)
        mask = torch.stack([row.mask for row in rows if row.mask is not None]).to(clean.device) if self.holes else None
        level = clean.new_tensor([row.level or 0.0 for row in rows])
        known = batch.uniform(stream="told") < self.settings.told
        return Inputs(image, self.planes(image, mask, level * known), mask)

    def planes(self, image: Tensor, mask: Tensor | None, level: Tensor) -> Tensor | None:
        """Return the planes beside pictures (N, C, H, W): their holes, and the noise's level (N,)."""
        planes = [mask] if mask is not None else []
        if self.settings.told:
            planes.append(level[:, None, None, None].expand(-1, 1, *image.shape[-2:]))
        return torch.cat(planes, dim=1) if planes else None

    def restore(self, image: Tensor, mask: Tensor | None = None, level: float = 0.0) -> Tensor:
        """Return degraded pictures (N, C, h, w) restored, (N, C, scale h, scale w); not clipped.

        `mask` (N, 1, h, w), for a network that fills holes, is 1 where the picture is unknown; pixels there have no
        influence. `level` is the noise's standard deviation in units of the image range, 0 if unknown.
        """
        if (mask is not None) != self.holes:
            raise UsageError(f"this network {'fills holes and needs a' if self.holes else 'takes no'} mask")
        return self.apply(Inputs(image, self.planes(image, mask, image.new_full((len(image),), level)), mask))

    def apply(self, inputs: Inputs) -> Tensor:
        """Return degraded pictures restored; with masks, the holes are bridged and only they change."""
        if inputs.mask is None:
            return self.restorer(inputs.image, inputs.planes)
        bridge = bridged(inputs.image, inputs.mask)
        return bridge + inputs.mask * (self.restorer(bridge, inputs.planes) - bridge)

    def loss(self, batch: Batch, restored: Restored) -> Loss:
        """Return the reconstruction loss and the weighted perceptual and adversarial terms."""
        of_values = RECONSTRUCTION[self.settings.loss]
        terms = {"reconstruction": weighted_mean(of_values(restored.image, restored.target), restored.counts)}
        if restored.expected is not None:
            terms["consistency"] = of_values(restored.image - restored.expected, restored.target).mean()
        if weight := self.settings.grid:
            terms["grid"] = weight * (repeated(restored.image) - repeated(restored.target)).abs().mean()
        image, target = self._seen(batch, restored)
        if weight := self.settings.perceptual:
            terms["perceptual"] = weight * perceptual_distance(image, target).mean()
        if weight := self.settings.adversarial:
            terms["adversarial"] = weight * self.generator_term(lambda: self.score(target), self.score(image))
        return Loss(terms)

    def discriminator_loss(self, batch: Batch, restored: Restored) -> Loss:
        """Return the discriminator's loss, with restored pictures as the fakes."""
        image, target = self._seen(batch, restored)
        return self.scored(self.score(target), self.score(image.detach()))

    def _seen(self, batch: Batch, restored: Restored) -> tuple[Tensor, Tensor]:
        """Return restored pictures and targets, each pair shifted by up to `jitter` pixels and cut to one size."""
        most = self.settings.jitter
        if not most:
            return restored.image, restored.target
        starts = (batch.uniform(2, stream="jitter") * (most + 1)).long().tolist()
        high, wide = (side - most for side in restored.image.shape[-2:])
        one, other = (
            torch.stack([row[:, y : y + high, x : x + wide] for row, (y, x) in zip(rows, starts, strict=True)])
            for rows in (restored.image, restored.target)
        )
        return one, other

    def score(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the discriminator's scores in float32: one of each picture, or one of each pixel."""
        return super().score(image, label).flatten()

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Take a step of power iteration in the layers of the discriminator that are normalised."""
        if "discriminator" in self.networks:
            spectral.advance(self.networks["discriminator"])

    def judge(self, batch: Batch) -> float:
        """Return the mean PSNR in decibels of restored pictures, clipped to [0, 1], against the clean ones."""
        parts = [batch.rows(start, start + JUDGED_AT_ONCE) for start in range(0, len(batch), JUDGED_AT_ONCE)]
        found = [clipped_psnr(self.apply(self.inputs(part)), self.clean(part)) for part in parts]
        return float(torch.cat(found).mean())

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its degraded and its restored form, as many as fill a square sheet."""
        shown = sheet_rows(batch)
        inputs = self.inputs(shown)
        enlarged = F.interpolate(inputs.image, scale_factor=float(self.scale))
        return in_threes(self.clean(shown), enlarged, self.apply(inputs))

    def _check(self) -> None:
        """Raise `UsageError` if the degradations do not allow what the settings ask for."""
        settings = self.settings
        if any(chain.masks != self.holes or chain.shrinks != self.scale for chain in self.chains):
            raise UsageError(
                f"--degrade {settings.degrade!r}: either all chains or none must leave holes, and all must shrink by "
                "the same factor"
            )
        if any(side % self.scale for side in self.shape.sides) or (self.holes and self.scale > 1):
            raise UsageError(
                f"--degrade {settings.degrade!r}: the sides of --size must be multiples of {self.scale}, and a chain "
                "that shrinks cannot leave holes"
            )
        if settings.target != "clean" and (self.holes or self.scale > 1):
            raise UsageError(f"--target {settings.target} is for noise; holes and shrinking need --target clean")
        if settings.told and not all(isinstance(chain.steps[0], Noise) for chain in self.chains):
            raise UsageError(f"--told gives the level of noise, but {settings.degrade!r} does not begin with noise")


def clean_target(objective: Restoration, batch: Batch) -> Restored:
    """Return restored pictures with the clean ones as targets; if there are holes, only they count."""
    inputs = objective.inputs(batch)
    return Restored(objective.clean(batch), objective.apply(inputs), inputs.mask)


def noisy_target(objective: Restoration, batch: Batch) -> Restored:
    """Return restored pictures with another draw of the noise as targets (Lehtinen et al., 2018, eq. 6)."""
    return Restored(objective.inputs(batch, "second").image, objective.apply(objective.inputs(batch)))


def blind_spot_target(objective: Restoration, batch: Batch) -> Restored:
    """Return pictures restored after some pixels were replaced, with the original values of these pixels as targets.

    Krull et al., 2019, section 3.4: each hidden pixel is replaced by a random other one of its 5 x 5. Differs from it:
    one in six is hidden, not one in 64, because a step learns only from these. Replacing pixels by the mean of their
    surroundings would fail: the network would learn to trust the pixel itself, which in use is noisy.
    """
    inputs = objective.inputs(batch)
    image = inputs.image
    high, wide = image.shape[-2:]
    hidden = (batch.uniform(1, high, wide, stream="hidden") < HIDDEN).float()
    place = (batch.uniform(high, wide, stream="neighbour") * (WINDOW**2 - 1)).long()
    place += (place >= WINDOW**2 // 2).long()  # skips the centre
    reach = WINDOW // 2
    down = torch.arange(high, device=image.device)[:, None] + place // WINDOW - reach
    across = torch.arange(wide, device=image.device) + place % WINDOW - reach
    source = reflected(down, high) * wide + reflected(across, wide)
    others = image.flatten(2).gather(2, source.flatten(1)[:, None].expand(-1, image.shape[1], -1)).view_as(image)
    return Restored(image, objective.apply(Inputs(image.lerp(others, hidden), inputs.planes, None)), hidden)


def neighbours_target(objective: Restoration, batch: Batch) -> Restored:
    """Return one pixel of each 2 x 2 restored, with the pixel beside it as target (Huang et al., 2021, eq. 9).

    `expected` is the difference of the two in the restored whole picture, without gradient; its weight gamma is 1.
    """
    inputs = objective.inputs(batch)
    choice = batch.uniform(inputs.image.shape[-2] // 2, inputs.image.shape[-1] // 2, stream="neighbour")
    one, other = subsampled(inputs.image, choice)
    with torch.no_grad():
        restored_one, restored_other = subsampled(objective.apply(inputs), choice)
    planes = None if inputs.planes is None else inputs.planes[..., : one.shape[-2], : one.shape[-1]]
    restored = objective.apply(Inputs(one, planes, None))
    return Restored(other, restored, expected=restored_one - restored_other)


TARGETS: dict[str, Callable[[Restoration, Batch], Restored]] = {
    "clean": clean_target,
    "noisy": noisy_target,
    "blind-spot": blind_spot_target,
    "neighbours": neighbours_target,
}

DISCRIMINATORS: dict[str, Callable[[PictureShape, int], nn.Module]] = {
    "picture": lambda shape, width: residual.Discriminator(shape._replace(classes=0), width),
    "pixels": lambda shape, width: PixelDiscriminator(shape.channels, max(width // 2, 8)),
}

# All ordered pairs of adjacent pixels of a 2 x 2 cell, numbered 0 1 / 2 3.
PAIRS = ((0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 3), (3, 1), (3, 2))


def subsampled(image: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
    """Return two pictures (N, C, H/2, W/2) of adjacent pixels; `choice` in [0, 1) picks a pair of `PAIRS` per cell.

    An odd last row or column is dropped.
    """
    high, wide = choice.shape[1:]
    cells = F.pixel_unshuffle(image[..., : 2 * high, : 2 * wide], 2).unflatten(1, (-1, 4))
    pairs = torch.tensor(PAIRS, device=image.device)[(choice * len(PAIRS)).long()]
    picked = pairs.permute(3, 0, 1, 2)[:, :, None, None].expand(-1, -1, cells.shape[1], -1, -1, -1)
    one, other = (cells.gather(2, places).squeeze(2) for places in picked)
    return one, other


def degraded(chains: Sequence[Chain], clean: Tensor, batch: Batch, stream: str) -> list[Degraded]:
    """Return pictures (N, C, H, W), each degraded by a random one of the chains, by its own draws of `stream`.

    They are on the CPU; grey pictures stay grey.
    """
    chosen = [chains[int(place * len(chains))] for place in batch.uniform(stream="chain").tolist()]
    each = zip(chosen, clean.cpu(), batch.generators(stream), strict=True)
    rows = [chain.degrade(as_grey(row), rng) for chain, row, rng in each]
    return [replace(row, image=row.image.expand(clean.shape[1], -1, -1)) for row in rows]


def repeated(image: Tensor) -> Tensor:
    """Return what repeats from cell to cell of pictures (N, C, H, W): the mean of each 4 x 4 cells, without its mean.

    A network that enlarges makes each cell from one pixel, so a pattern of its own repeats in this way.
    """
    cells = F.pixel_unshuffle(
        image[..., : image.shape[-2] // REPEAT * REPEAT, : image.shape[-1] // REPEAT * REPEAT], REPEAT
    )
    means = F.avg_pool2d(cells, min(REPEAT, *cells.shape[-2:])).unflatten(1, (-1, REPEAT**2))
    return means - means.mean(2, keepdim=True)


def weighted_mean(values: Tensor, counts: Tensor | None) -> Tensor:
    """Return the mean over pictures of each picture's mean value, weighted by `counts`."""
    if counts is None:
        return values.mean()
    counts = counts.expand_as(values)
    return ((values * counts).flatten(1).sum(1) / counts.flatten(1).sum(1).clamp(min=1)).mean()


def sheet_rows(batch: Batch) -> Batch:
    """Return as many rows of a batch as fill a square sheet with three pictures each."""
    return batch.rows(0, 3 * max(1, math.isqrt(len(batch) // 3)) ** 2)


def in_threes(clean: Tensor, given: Tensor, restored: Tensor) -> Tensor:
    """Return pictures (N, C, H, W), each followed by its input and its result, clipped to [0, 1]."""
    return torch.stack([clean, given, restored], dim=1).flatten(0, 1).clamp(0, 1)


def as_grey(image: Tensor) -> Tensor:
    """Return a picture (3, H, W) with equal channels as one channel, others unchanged."""
    grey = len(image) == 3 and torch.equal(image[0], image[1]) and torch.equal(image[1], image[2])
    return image[:1] if grey else image


def reflected(places: Tensor, side: int) -> Tensor:
    """Return positions on pixels 0 to side - 1, those beyond an end reflected at the first or last pixel."""
    inside = places.abs()
    return (side - 1 - (side - 1 - inside).abs()).clamp(min=0)
