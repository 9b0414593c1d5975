"""Restoration: a network learns to undo a degradation, from clean pictures that are spoiled anew in every step.

Which one is the settings' word, so denoising, inpainting, enlarging, deblurring and JPEG repair are this one class.
What the network comes near is a row of `TARGETS`: the clean picture; or, where no picture is clean, another draw of the
noise (Noise2Noise, Lehtinen et al., 2018), pixels that were hidden from it (Noise2Void, Krull et al., 2019), or
neighbouring pixels (Neighbor2Neighbor, Huang et al., 2021): all three have the clean picture as their mean, if the
noise's mean is zero and pixels' noises are independent.

Noise is seen by the network itself (blind, as DnCNN-B) unless it is told its level in a plane beside the picture (as
FFDNet), which a share of the pictures in training can be; a level of 0 says that it is not known. Holes are told in a
plane too, 1 where the picture is unknown, and there alone does the network change it: it is given a picture whose holes
are bridged already (`nets.bridge`), and adds what a smooth bridge lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
from pinxit.nets import residual
from pinxit.nets.bridge import CELL, REACH, bridged
from pinxit.nets.restoration import UNet
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.objective import Judgement, Loss, Objective, Player
from pinxit.objectives.settings import RestorationSettings, alternatives

JUDGED_AT_ONCE = 16
HIDDEN, WINDOW = 1 / 6, 5


@dataclass(frozen=True)
class Spoiled:
    """Degraded pictures (N, C, h, w), and what the network is told of them, planes (N, P, h, w) or None."""

    image: Tensor
    planes: Tensor | None
    mask: Tensor | None


@dataclass(frozen=True)
class Drawn:
    """One step: what pictures are to come near, as far as `counts` (N, 1 or C, H, W) says, and what they are.

    `expected` is None or what the difference restored - wanted has as its mean, (N, C, H, W).
    """

    wanted: Tensor
    restored: Tensor
    counts: Tensor | None = None
    expected: Tensor | None = None


class Restoration(Objective):
    """A network from degraded pictures to restored ones, and perhaps a discriminator between these and clean ones."""

    model = ("restorer",)

    def __init__(self, settings: RestorationSettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape
        self.chains = alternatives(settings.degrade)
        self.holes = any(chain.masks for chain in self.chains)
        self.scale = self.chains[0].shrinks if self.chains else 1
        self._check()
        restorer = UNet(
            shape.channels,
            planes=self.holes + (settings.told > 0),
            width=settings.channels,
            levels=settings.levels,
            blocks=settings.blocks,
            block=settings.network,
            scale=self.scale,
        )
        self.networks = nn.ModuleDict({"restorer": restorer})
        if settings.adversarial:
            self.networks["discriminator"] = residual.Discriminator(shape._replace(classes=0), settings.channels)
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
        """How far, in pixels of what it is given, a restored pixel looks."""
        return self.restorer.radius + (REACH if self.holes else 0)

    @property
    def stride(self) -> int:
        """What the origins of tiles must be multiples of."""
        return math.lcm(self.restorer.stride, CELL if self.holes else 1)

    def players(self) -> tuple[Player, ...]:
        """Return the network, and before it the discriminator, if there is one."""
        restorer = Player("restorer", self.networks["restorer"], self.loss, self.settings.player_optimiser())
        if "discriminator" not in self.networks:
            return (restorer,)
        judging = self.settings.player_optimiser(self.settings.discriminator_rate)
        return Player("discriminator", self.networks["discriminator"], self.discriminator_loss, judging), restorer

    def draw(self, batch: Batch) -> Drawn:
        """Return what the settings' target makes of the batch."""
        return self.target(self, batch)

    def clean(self, batch: Batch) -> Tensor:
        """Return the batch's pictures, the asked share of them grey."""
        grey = batch.uniform(stream="grey") < self.settings.grey
        return luma(batch.image, BT601).where(grey[:, None, None, None], batch.image)

    def spoiled(self, batch: Batch, stream: str = "degrade") -> Spoiled:
        """Return the batch's pictures degraded, each by its own draws of `stream`; grey ones alike in all channels."""
        clean = self.clean(batch)
        if not self.chains:
            return Spoiled(clean, None, None)
        rows = degraded(self.chains, clean, batch, stream)
        image = torch.stack([row.image for row in rows]).to(clean.device)
        mask = torch.stack([row.mask for row in rows if row.mask is not None]).to(clean.device) if self.holes else None
        level = clean.new_tensor([row.level or 0.0 for row in rows])
        told = batch.uniform(stream="told") < self.settings.told
        return Spoiled(image, self.planes(image, mask, level * told), mask)

    def planes(self, image: Tensor, mask: Tensor | None, level: Tensor) -> Tensor | None:
        """Return what the network is told of pictures (N, C, H, W): their holes, and the noise's level (N,)."""
        planes = [mask] if mask is not None else []
        if self.settings.told:
            planes.append(level[:, None, None, None].expand(-1, 1, *image.shape[-2:]))
        return torch.cat(planes, dim=1) if planes else None

    def restore(self, image: Tensor, mask: Tensor | None = None, level: float = 0.0) -> Tensor:
        """Return degraded pictures (N, C, h, w) restored, (N, C, scale h, scale w); not clipped.

        `mask` (N, 1, h, w) is 1 where the picture is not known, for a network that fills holes; what lies there is not
        looked at. `level` is the noise's standard deviation in units of the image range, 0 if it is not known.
        """
        if (mask is not None) != self.holes:
            raise UsageError(
                "this network fills holes and needs a mask" if self.holes else "this network takes no mask"
            )
        return self.apply(Spoiled(image, self.planes(image, mask, image.new_full((len(image),), level)), mask))

    def apply(self, spoiled: Spoiled) -> Tensor:
        """Return what the network makes of degraded pictures; of those with holes, bridged, it changes these alone."""
        if spoiled.mask is None:
            restored: Tensor = self.restorer(spoiled.image, spoiled.planes)
            return restored
        bridge = bridged(spoiled.image, spoiled.mask)
        return bridge + spoiled.mask * (self.restorer(bridge, spoiled.planes) - bridge)

    def loss(self, batch: Batch, drawn: Drawn) -> Loss:
        """Return the reconstruction's loss, and what a frozen network and the discriminator say, weighted."""
        of_values = RECONSTRUCTION[self.settings.loss]
        terms = {"reconstruction": counted(of_values(drawn.restored, drawn.wanted), drawn.counts)}
        if drawn.expected is not None:
            terms["consistency"] = of_values(drawn.restored - drawn.expected, drawn.wanted).mean()
        if weight := self.settings.perceptual:
            terms["perceptual"] = weight * perceptual_distance(drawn.restored, drawn.wanted).mean()
        if weight := self.settings.adversarial:
            fake_scores = self.score(drawn.restored)
            real_scores = fake_scores.detach()
            if self.adversarial.paired:
                with torch.no_grad():
                    real_scores = self.score(drawn.wanted)
            terms["adversarial"] = weight * self.adversarial.generator(real_scores, fake_scores)
        return Loss(terms)

    def discriminator_loss(self, batch: Batch, drawn: Drawn) -> Loss:
        """Return the adversarial loss of the discriminator, to which restored pictures are the fakes."""
        real_scores, fake_scores = self.score(drawn.wanted), self.score(drawn.restored.detach())
        readings = {"real_score": real_scores.detach().mean(), "fake_score": fake_scores.detach().mean()}
        return Loss({"adversarial": self.adversarial.discriminator(real_scores, fake_scores)}, readings)

    def score(self, image: Tensor) -> Tensor:
        """Return the discriminator's scores (N,)."""
        scores: Tensor = self.networks["discriminator"](image)
        return scores.float()

    def judge(self, batch: Batch) -> float:
        """Return the mean PSNR in decibels of restored pictures, clipped to [0, 1], by the clean ones."""
        parts = [batch.rows(start, start + JUDGED_AT_ONCE) for start in range(0, len(batch), JUDGED_AT_ONCE)]
        return float(
            torch.cat([clipped_psnr(self.apply(self.spoiled(part)), self.clean(part)) for part in parts]).mean()
        )

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its degraded and its restored form, as many as make a square of triples."""
        shown = to_show(batch)
        spoiled = self.spoiled(shown)
        given = F.interpolate(spoiled.image, scale_factor=float(self.scale))
        return triples(self.clean(shown), given, self.apply(spoiled))

    def _check(self) -> None:
        """Raise if the settings ask for what the degradations do not allow."""
        settings = self.settings
        if any(chain.masks != self.holes or chain.shrinks != self.scale for chain in self.chains):
            raise UsageError(f"--degrade {settings.degrade!r}: all or none must leave holes, and all shrink alike")
        if self.shape.size % self.scale or (self.holes and self.scale > 1):
            raise UsageError(
                f"--degrade {settings.degrade!r}: --size must be a multiple of {self.scale}, and there must be no holes"
            )
        if settings.target != "clean" and (self.holes or self.scale > 1):
            raise UsageError(f"--target {settings.target} is for noise; holes and lost pixels need --target clean")
        if settings.told and not all(isinstance(chain.steps[0], Noise) for chain in self.chains):
            raise UsageError(f"--told: {settings.degrade!r} does not begin with noise, whose level is what can be told")


def clean_target(objective: Restoration, batch: Batch) -> Drawn:
    """Return restored pictures and the clean ones; where there are holes, the holes count."""
    spoiled = objective.spoiled(batch)
    return Drawn(objective.clean(batch), objective.apply(spoiled), spoiled.mask)


def noisy_target(objective: Restoration, batch: Batch) -> Drawn:
    """Return restored pictures and another draw of the noise on the same ones (Lehtinen et al., 2018, eq. 6)."""
    return Drawn(objective.spoiled(batch, "second").image, objective.apply(objective.spoiled(batch)))


def blind_spot_target(objective: Restoration, batch: Batch) -> Drawn:
    """Return what the network makes of pictures in which some pixels are replaced, and these pixels as they were.

    Krull et al., 2019, section 3.4: hidden pixels are replaced by one drawn from the 5 x 5 around, itself left out.
    Differs from it: one in six is hidden, not one in 64, for only of these is anything learned in a step. The mean of
    what is around them must not take their place: a network then trusts what it finds there, and in use that is noise.
    """
    spoiled = objective.spoiled(batch)
    image = spoiled.image
    high, wide = image.shape[-2:]
    hidden = (batch.uniform(1, high, wide, stream="hidden") < HIDDEN).float()
    place = (batch.uniform(high, wide, stream="neighbour") * (WINDOW**2 - 1)).long()
    place += (place >= WINDOW**2 // 2).long()  # the middle is left out
    reach = WINDOW // 2
    down = torch.arange(high, device=image.device)[:, None] + place // WINDOW - reach
    across = torch.arange(wide, device=image.device) + place % WINDOW - reach
    there = reflected(down, high) * wide + reflected(across, wide)
    drawn = image.flatten(2).gather(2, there.flatten(1)[:, None].expand(-1, image.shape[1], -1)).view_as(image)
    given = Spoiled(image.lerp(drawn, hidden), spoiled.planes, None)
    return Drawn(image, objective.apply(given), hidden)


def neighbours_target(objective: Restoration, batch: Batch) -> Drawn:
    """Return what the network makes of one pixel of each 2 x 2, and the pixel beside it (Huang et al., 2021, eq. 9).

    `expected` is what the two differ by in the restored whole, which takes no gradient; its weight gamma is 1.
    """
    spoiled = objective.spoiled(batch)
    choice = batch.uniform(spoiled.image.shape[-2] // 2, spoiled.image.shape[-1] // 2, stream="neighbour")
    one, other = subsampled(spoiled.image, choice)
    with torch.no_grad():
        restored_one, restored_other = subsampled(objective.apply(spoiled), choice)
    planes = None if spoiled.planes is None else spoiled.planes[..., : one.shape[-2], : one.shape[-1]]
    given = Spoiled(one, planes, None)
    return Drawn(other, objective.apply(given), expected=restored_one - restored_other)


TARGETS: dict[str, Callable[[Restoration, Batch], Drawn]] = {
    "clean": clean_target,
    "noisy": noisy_target,
    "blind-spot": blind_spot_target,
    "neighbours": neighbours_target,
}

# Of the pixels 0 1 / 2 3 of a cell, two that lie beside each other, in either order.
PAIRS = ((0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 3), (3, 1), (3, 2))


def subsampled(image: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
    """Return two pictures (N, C, H/2, W/2) of pixels beside each other, a pair of `PAIRS` drawn by `choice` in [0, 1).

    An odd last row or column is left out.
    """
    high, wide = choice.shape[1:]
    cells = F.pixel_unshuffle(image[..., : 2 * high, : 2 * wide], 2).unflatten(1, (-1, 4))
    pairs = torch.tensor(PAIRS, device=image.device)[(choice * len(PAIRS)).long()]
    picked = pairs.permute(3, 0, 1, 2)[:, :, None, None].expand(-1, -1, cells.shape[1], -1, -1, -1)
    one, other = (cells.gather(2, places).squeeze(2) for places in picked)
    return one, other


def degraded(chains: Sequence[Chain], clean: Tensor, batch: Batch, stream: str) -> list[Degraded]:
    """Return a batch's pictures (N, C, H, W), each degraded by one of the chains, by its own draws of `stream`.

    They lie on the processor; grey ones are alike in all channels.
    """
    chosen = [chains[int(place * len(chains))] for place in batch.uniform(stream="chain").tolist()]
    each = zip(chosen, clean.cpu(), batch.generators(stream), strict=True)
    rows = [chain.degrade(as_grey(row), rng) for chain, row, rng in each]
    return [replace(row, image=row.image.expand(clean.shape[1], -1, -1)) for row in rows]


def counted(values: Tensor, counts: Tensor | None) -> Tensor:
    """Return the mean over pictures of each one's mean value, of the pixels that count."""
    if counts is None:
        return values.mean()
    counts = counts.expand_as(values)
    return ((values * counts).flatten(1).sum(1) / counts.flatten(1).sum(1).clamp(min=1)).mean()


def to_show(batch: Batch) -> Batch:
    """Return the rows of a batch whose triples make a square."""
    return batch.rows(0, 3 * max(1, math.isqrt(len(batch) // 3)) ** 2)


def triples(clean: Tensor, given: Tensor, restored: Tensor) -> Tensor:
    """Return pictures (N, C, H, W), each followed by what was given of it and what was made of that, in [0, 1]."""
    return torch.stack([clean, given, restored], dim=1).flatten(0, 1).clamp(0, 1)


def as_grey(image: Tensor) -> Tensor:
    """Return a picture (3, H, W) whose channels are equal as one channel, others as they are."""
    grey = len(image) == 3 and torch.equal(image[0], image[1]) and torch.equal(image[1], image[2])
    return image[:1] if grey else image


def reflected(places: Tensor, side: int) -> Tensor:
    """Return places on a line of pixels 0 to side - 1, those beyond its ends reflected at the first and last pixel."""
    inside = places.abs()
    return (side - 1 - (side - 1 - inside).abs()).clamp(min=0)
