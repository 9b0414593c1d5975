"""Pictures painted by optimisation: a canvas goes down the gradient of what a frozen network sees of it.

Gatys, Ecker and Bethge, 2016, for styles, and 2015 ("Texture synthesis using convolutional neural networks"). Differs
from them: Adam in the place of L-BFGS; from coarse to fine (Gatys et al., 2017, section 5), each size beginning with
the content's own detail; the canvas is shifted at every step, so that no grid of the network's strides shows; both
distances are in units of what they could be, so that a strength means the same for every pair; colours are a layer of
the style; and the gradient is gathered in tiles, so that the memory does not grow with the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.edits.canvas import moves
from pinxit.edits.looking import SHIFT, Edge, Gathered, Look, Summary
from pinxit.hardware import Hardware
from pinxit.losses.style import about_means, total_variation
from pinxit.objectives.objective import Loss, Objective, Player
from pinxit.objectives.optimiser import Optimiser
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

LEARNING_RATE, AVERAGE = 0.03, 0.9
COARSEST = 96  # pixels; the longer side of the smallest canvas is that or more, and less than twice as much
SHIFTS = tuple((down, (3 * down + 1) % SHIFT) for down in range(SHIFT))
WINDOW, GAIN = 10, 0.02
FULL_STEPS_SIDE = 256
SMOOTHNESS, EXCESS = 0.03, 0.3  # of the total variation, and of what is beyond that of content and style
FLOOR = 0.05  # of a style's own square, which keeps layers from counting more where content and style agree by chance


@dataclass(frozen=True)
class Aim:
    """What a canvas of one size is to become: Gram matrices, and the content of a picture (1, C, H, W).

    `units` are what each style distance is now, `content_unit` what the content distance is to another picture,
    `smooth_unit` the total variation there may be. A weaker `strength` takes smaller steps and smooths less, for Adam
    makes full steps of the smallest gradient. Pixels stay within [0, 1], and within `least` and `most`.
    """

    grams: tuple[Tensor, ...]
    units: tuple[Tensor, ...]
    smooth_unit: float
    content: Tensor | None = None
    content_unit: float = 1.0
    style_share: float = 1.0
    strength: float = 1.0
    least: Tensor | None = None
    most: Tensor | None = None

    def style(self, grams: Sequence[Tensor]) -> Tensor:
        """Return how far the style is away, in the mean over layers."""
        rows = zip(grams, self.grams, self.units, strict=True)
        return torch.stack([square(about_means(one - there, there)) / unit for one, there, unit in rows]).mean()


class Canvas(nn.Module):
    """The pixels (1, C, H, W) that are painted, in place."""

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()
        self.pixels = nn.Parameter(pixels)

    def forward(self) -> Tensor:
        """Return the pixels."""
        return self.pixels


class Painting(Objective):
    """Lower (1 - s) content + s style + a little total variation over a canvas' pixels, s being the style's share.

    The canvas is painted in place.
    A batch's mask (1, 1, H, W) is 0 where the canvas stays as it is.
    """

    model = ("canvas",)

    def __init__(self, canvas: Tensor, look: Look, aim: Aim) -> None:
        self.canvas = Canvas(canvas)
        self.networks = nn.ModuleDict({"canvas": self.canvas})
        self.look, self.aim = look, aim
        self.first = None if look.mask is None else canvas.clone()
        self.grams: list[tuple[Tensor, ...]] = []
        self.contents: dict[tuple[tuple[int, int], int], Tensor] = {}

    def players(self) -> tuple[Player, ...]:
        """Return the canvas."""
        return (Player("canvas", self.canvas, self._loss, Optimiser(rate=LEARNING_RATE * self.aim.strength)),)

    def draw(self, batch: Batch) -> tuple[int, int]:
        """Return by how many pixels the canvas is shifted in this step, down and right: anywhere if it has no edge."""
        if self.look.edge == "circular":
            down, right = batch.uniform(2, stream="shift")[0].tolist()
            return int(down * self.canvas.pixels.shape[2]), int(right * self.canvas.pixels.shape[3])
        return SHIFTS[int(len(SHIFTS) * batch.uniform(1, stream="shift").item())]

    def preview(self, batch: Batch) -> Tensor:
        """Return the canvas."""
        return self.canvas.pixels.detach()

    @torch.no_grad()
    def after_step(self, batch: Batch) -> None:
        """Keep the pixels in range, and where nothing is to change as they were."""
        pixels = self.canvas.pixels
        pixels.clamp_(0, 1)
        if self.aim.least is not None:
            pixels.clamp_(self.aim.least, self.aim.most)
        if batch.mask is not None and self.first is not None:
            pixels.copy_(torch.where(batch.mask > 0, pixels, self.first))

    def _loss(self, batch: Batch, shift: tuple[int, int]) -> Loss:
        frame = self.look.framed(self.canvas.pixels, shift)
        if not self.grams:
            self.grams = self._looked(frame)
        return Loss({"seen": Gathered.apply(frame, self.look, partial(self._lower, shift))})

    @torch.no_grad()
    def _looked(self, frame: Tensor) -> list[tuple[Tensor, ...]]:
        """Return the Gram matrices of all tiles, as far as one needs those of others."""
        if len(self.look.tiles) == 1:
            return [()]
        return [self.look.see(window, number).grams for number, window in enumerate(self.look.windows(frame))]

    def _lower(self, shift: tuple[int, int], window: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return a tile's loss, in which other tiles are as they were last seen, and its share of the whole loss."""
        seen, aim = self.look.see(window, number), self.aim
        grams = seen.grams
        if len(self.look.tiles) > 1:
            self.grams[number] = tuple(one.detach() for one in grams)
            own = self.look.shares[number]
            grams = tuple(one + own * (now - now.detach()) for one, now in zip(self._whole(), seen.grams, strict=True))
        style = aim.style_share * aim.style(grams)
        content = torch.zeros_like(style)
        if aim.content is not None:
            apart = (seen.content.float() - self._content(shift, number)).square().mean(1, keepdim=True)
            mean = apart.mean() if seen.counts is None else (apart * seen.counts).sum() / seen.counts.sum()
            content = (1 - aim.style_share) * self.look.shares[number] * mean / aim.content_unit
        rough = total_variation(self.look.own(window, number)).mean() / aim.smooth_unit
        smooth = SMOOTHNESS * rough + EXCESS * (rough - 1).relu()
        local = content + aim.strength * self.look.shares[number] * smooth
        return style + local, style / len(self.look.tiles) + local

    def _whole(self) -> tuple[Tensor, ...]:
        """Return the Gram matrices of the whole canvas, as its tiles were last seen."""
        layers = zip(*self.grams, strict=True)
        return tuple(
            torch.stack([share * one for share, one in zip(self.look.shares, layer, strict=True)]).sum(0)
            for layer in layers
        )

    @torch.no_grad()
    def _content(self, shift: tuple[int, int], number: int) -> Tensor:
        """Return the content's map of a tile, kept from step to step."""
        key = (shift, number)
        if key not in self.contents and self.aim.content is not None:
            window = self.look.windows(self.look.framed(self.aim.content, shift))[number]
            self.contents[key] = self.look.see(window, number).content
        return self.contents[key]


def aim_at(style: Summary, now: Summary, smooth_unit: float, **content: object) -> Aim:
    """Return the aim of a canvas that is to go from one summary to a style's."""
    units = tuple(
        square(about_means(there - one, there)) + FLOOR * square(about_means(there, there))
        for one, there in zip(now.grams, style.grams, strict=True)
    )
    strange = style.variance + now.variance + (style.mean - now.mean).square()
    aim = Aim(style.grams, units, smooth_unit, content_unit=strange.mean().item() + 1e-8)
    return replace(aim, **content)  # type: ignore[arg-type]


def paint(painting: Painting, batch: Batch, steps: int, hardware: Hardware) -> Tensor:
    """Return the canvas (1, C, H, W), the mean of the last ones, after `steps` or when the loss no longer falls."""
    trainer = Trainer(
        painting,
        lambda step: replace(batch, step=step),
        TrainingSettings(steps=steps, average=AVERAGE, schedule="cosine"),
        hardware,
    )
    high, wide = painting.canvas.pixels.shape[2:]
    losses: list[float] = []
    for record in moves(trainer, f"painting {wide} x {high}: step"):
        losses.append(record.values["canvas/seen"])
        if settled(losses):
            break
    return trainer.average["canvas"].pixels.detach()  # type: ignore[operator]


def settled(losses: Sequence[float]) -> bool:
    """Say whether the mean of the last `WINDOW` losses is no more than `GAIN` below that of those before."""
    if len(losses) < 2 * WINDOW or len(losses) % WINDOW:
        return False
    return fmean(losses[-WINDOW:]) > (1 - GAIN) * fmean(losses[-2 * WINDOW : -WINDOW])


def ladder(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the sizes (H, W) of a picture from the coarsest to its own, each twice the one before, rounded."""
    count = 0
    while max(size) / 2 ** (count + 1) >= COARSEST:
        count += 1
    return [(max(1, round(size[0] / 2**k)), max(1, round(size[1] / 2**k))) for k in range(count, -1, -1)]


def steps_at(size: tuple[int, int], steps: int) -> int:
    """Return how many of the steps are for a canvas of a size: above 256 pixels fewer, for then only detail is left."""
    return max(1, round(steps * min(1.0, FULL_STEPS_SIDE / max(size))))


def resized(image: Tensor, size: tuple[int, int], edge: Edge = "replicate") -> Tensor:
    """Return a picture (1, C, H, W) of another size, bicubic with antialias, not clipped; or one that goes round."""
    if tuple(image.shape[2:]) == size:
        return image
    if edge == "circular":
        round_about = torch.cat([torch.cat([image] * 3, dim=2)] * 3, dim=3)
        return resized(round_about, (3 * size[0], 3 * size[1]))[
            ..., size[0] : 2 * size[0], size[1] : 2 * size[1]
        ].contiguous()
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)


def square(one: Tensor) -> Tensor:
    """Return the sum of squares."""
    return one.square().sum()
