"""Painting by optimisation: the pixels of a canvas approach a style and a content in the features of a frozen network.

After Gatys, Ecker and Bethge, 2016, for styles, and 2015 ("Texture synthesis using convolutional neural networks") for
textures. This differs from the papers:

- The optimiser is Adam instead of L-BFGS.
- The canvas grows from coarse to fine (Gatys et al., 2017, section 5). Each size starts with detail of the content.
- The canvas is shifted at every step, so that the grid of the network's strides leaves no mark.
- Both distances are divided by the largest value to expect, so that a strength means the same for every pair.
- Colours are a layer of the style.
- Features and their gradient are computed tile by tile, so that memory does not grow with the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.edits.single import training_records
from pinxit.edits.tiles import Box, cut
from pinxit.hardware import Hardware
from pinxit.losses.style import LossNetwork, augmented_gram, mean_and_deviation, recentred, total_variation
from pinxit.objectives.objective import Loss, Objective, Player
from pinxit.objectives.optimiser import Optimiser
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

TILE, HALO, STRIDE = 640, 64, 16
SHIFT = 8
SHIFTS = tuple((down, (3 * down + 1) % SHIFT) for down in range(SHIFT))
LEARNING_RATE, AVERAGE = 0.03, 0.9
WINDOW, GAIN = 10, 0.02
SMOOTHNESS, EXCESS = 0.03, 0.3  # weights of the total variation, and of its excess over that of content and style
FLOOR = 0.05
"""Share of a style's own square in its unit. Without it, a layer where content and style agree would count too much."""

Edge = Literal["replicate", "circular"]


class TileFeatures(NamedTuple):
    """Features of one tile: Gram matrices, fine to coarse, the content map, and the weights of its values."""

    grams: tuple[Tensor, ...]
    content: Tensor
    weights: Tensor | None


class Summary(NamedTuple):
    """Features of a whole picture: Gram matrices, fine to coarse, and mean and variance (1, C) of the content map."""

    grams: tuple[Tensor, ...]
    mean: Tensor
    variance: Tensor


class TiledExtractor:
    """A frozen network that extracts the features of pictures of one `size`, tile by tile.

    Gram matrices are augmented by a channel of ones, and the first one is that of the colours. `mask` (1, 1, H, W) in
    [0, 1] weights the pixels; by default all count equally. A tile has a halo of `HALO` pixels. The network's receptive
    field is larger, but pixels further away hardly contribute.
    """

    def __init__(
        self, network: LossNetwork, size: tuple[int, int], mask: Tensor | None = None, edge: Edge = "replicate"
    ) -> None:
        self.network, self.edge = network, edge
        self.mask = None if mask is None else self.framed(mask)
        frame = Box(0, 0, *(side + SHIFT for side in size))
        tiles = [(tile, tile.with_halo(HALO, frame)) for tile in cut(frame, TILE, STRIDE)]
        weights = [self._weight(tile) for tile, _ in tiles]
        self.tiles = [tile for tile, weight in zip(tiles, weights, strict=True) if weight]
        self.shares = [weight / sum(weights) for weight in weights if weight]

    def framed(self, image: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """Return a picture (1, C, H, W) with `SHIFT` more rows and columns: `shift` of them above and on the left."""
        down, right = shift
        if self.edge == "replicate":
            return F.pad(image, (right, SHIFT - right, down, SHIFT - down), mode="replicate")
        rows, columns = (
            (torch.arange(side + SHIFT, device=image.device) - before) % side
            for side, before in zip(image.shape[2:], shift, strict=True)
        )
        return image[:, :, rows][..., columns]

    def windows(self, frame: Tensor) -> list[Tensor]:
        """Return the tiles of a frame (1, C, H, W) with their halos, as parts of it."""
        return [part(frame, window) for _, window in self.tiles]

    def features(self, window: Tensor, number: int) -> TileFeatures:
        """Return the features of tile `number` in its window (1, C, h, w)."""
        extracted = self.network(window.contiguous(memory_format=torch.channels_last))
        layers = (window.expand(-1, 3, -1, -1), *extracted.style, extracted.content)
        cores = [self._core(maps, number) for maps in layers]
        weights = [self._weights(maps, number) for maps in layers]
        grams = tuple(augmented_gram(core, weight) for core, weight in zip(cores[:-1], weights[:-1], strict=True))
        return TileFeatures(grams, cores[-1], weights[-1])

    def own(self, window: Tensor, number: int) -> Tensor:
        """Return a tile without its halo, but with one more row and column, for total variation."""
        tile, around = self.tiles[number]
        inside = tile.inside(around)
        return part(window, replace(inside, bottom=inside.bottom + 1, right=inside.right + 1))

    @torch.no_grad()
    def summary(self, image: Tensor) -> Summary:
        """Return the features of a whole picture (1, C, H, W)."""
        rows: list[list[Tensor]] = []
        for number, (share, window) in enumerate(zip(self.shares, self.windows(self.framed(image)), strict=True)):
            found = self.features(window, number)
            mean, deviation = mean_and_deviation(found.content)
            rows.append([share * value for value in (*found.grams, mean, deviation**2 + mean**2)])
        *grams, mean, square = [torch.stack(tiles).sum(0) for tiles in zip(*rows, strict=True)]
        return Summary(tuple(grams), mean, square - mean**2)

    def _weight(self, tile: Box) -> float:
        return math.prod(tile.size) if self.mask is None else part(self.mask, tile).sum().item()

    def _weights(self, maps: Tensor, number: int) -> Tensor | None:
        if self.mask is None:
            return None
        window = part(self.mask, self.tiles[number][1])
        return self._core(F.adaptive_avg_pool2d(window, (maps.shape[2], maps.shape[3])), number)

    def _core(self, maps: Tensor, number: int) -> Tensor:
        """Return the part of a window's maps that belongs to the tile itself."""
        if len(self.tiles) == 1:
            return maps
        tile, window = self.tiles[number]
        stride = 2 ** round(math.log2(window.size[0] / maps.shape[2]))
        top, left = (tile.top - window.top) // stride, (tile.left - window.left) // stride
        high, wide = (-(-side // stride) for side in tile.size)
        return maps[..., top : top + high, left : left + wide]


class TileSum(torch.autograd.Function):
    """A sum over the windows of a frame. Its gradient is computed window by window: only one is in memory at a time."""

    @staticmethod
    def forward(
        ctx: Any, frame: Tensor, extractor: TiledExtractor, tile_loss: Callable[[Tensor, int], tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Return the loss of a frame.

        `tile_loss(window, number)` returns two values. The first gives the gradient; the second is summed.
        """
        gradient, total = torch.zeros_like(frame), frame.new_zeros(())
        for number, (_, box) in enumerate(extractor.tiles):
            with torch.enable_grad():
                window = part(frame, box).detach().requires_grad_()
                loss, reported = tile_loss(window, number)
            part(gradient, box).add_(torch.autograd.grad(loss, window)[0])
            total += reported.detach()
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the frame."""
        return ctx.gradient.mul_(upstream), None, None


@dataclass(frozen=True)
class Target:
    """The target of a canvas of one size: Gram matrices, and the content of a picture (1, C, H, W).

    `units` are the style distances at the start. `content_unit` is the content distance to an unrelated picture, and
    `smooth_unit` the total variation that is allowed. A lower `strength` takes smaller steps and smooths less, because
    Adam takes full steps even where the gradient is tiny. Pixels stay in [0, 1], and between `least` and `most`.
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
        """Return the distance of Gram matrices from those of the style, averaged over layers."""
        rows = zip(grams, self.grams, self.units, strict=True)
        return torch.stack([square(recentred(gram - target, target)) / unit for gram, target, unit in rows]).mean()


class Canvas(nn.Module):
    """The pixels (1, C, H, W) that are painted, in place."""

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()
        self.pixels = nn.Parameter(pixels)

    def forward(self) -> Tensor:
        """Return the pixels."""
        return self.pixels


class Painting(Objective):
    """The pixels of a canvas lower (1 - s) content + s style + a little total variation; s is the style's share.

    The canvas is painted in place. It does not change where a batch's mask (1, 1, H, W) is 0.
    """

    model = ("canvas",)

    def __init__(self, canvas: Tensor, extractor: TiledExtractor, target: Target) -> None:
        self.canvas = Canvas(canvas)
        self.networks = nn.ModuleDict({"canvas": self.canvas})
        self.extractor, self.target = extractor, target
        self.first = None if extractor.mask is None else canvas.clone()
        self.grams: list[tuple[Tensor, ...]] = []
        self.contents: dict[tuple[tuple[int, int], int], Tensor] = {}

    def players(self) -> tuple[Player, ...]:
        """Return the canvas."""
        optimiser = Optimiser(rate=LEARNING_RATE * self.target.strength)
        return (Player("canvas", self.canvas, self._loss, optimiser),)

    def draw(self, batch: Batch) -> tuple[int, int]:
        """Return this step's shift of the canvas, in pixels down and right; a circular canvas can take any shift."""
        if self.extractor.edge == "circular":
            down, right = batch.uniform(2, stream="shift")[0].tolist()
            return int(down * self.canvas.pixels.shape[2]), int(right * self.canvas.pixels.shape[3])
        return SHIFTS[int(len(SHIFTS) * batch.uniform(1, stream="shift").item())]

    def preview(self, batch: Batch) -> Tensor:
        """Return the canvas."""
        return self.canvas.pixels.detach()

    @torch.no_grad()
    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Keep the pixels in range, and unchanged outside the mask."""
        pixels = self.canvas.pixels
        pixels.clamp_(0, 1)
        if self.target.least is not None:
            pixels.clamp_(self.target.least, self.target.most)
        if batch.mask is not None and self.first is not None:
            pixels.copy_(torch.where(batch.mask > 0, pixels, self.first))

    def _loss(self, batch: Batch, shift: tuple[int, int]) -> Loss:
        frame = self.extractor.framed(self.canvas.pixels, shift)
        if not self.grams:
            self.grams = self._first_grams(frame)
        return Loss({"painting": TileSum.apply(frame, self.extractor, partial(self._tile_loss, shift))})

    @torch.no_grad()
    def _first_grams(self, frame: Tensor) -> list[tuple[Tensor, ...]]:
        """Return the Gram matrices of all tiles; a single tile needs none, because it has no other tiles."""
        if len(self.extractor.tiles) == 1:
            return [()]
        windows = self.extractor.windows(frame)
        return [self.extractor.features(window, number).grams for number, window in enumerate(windows)]

    def _tile_loss(self, shift: tuple[int, int], window: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return a tile's loss, given the last features of the other tiles, and its share of the whole loss."""
        found, target, share = self.extractor.features(window, number), self.target, self.extractor.shares[number]
        grams = found.grams
        if len(self.extractor.tiles) > 1:
            self.grams[number] = tuple(gram.detach() for gram in grams)
            grams = tuple(
                whole + share * (gram - gram.detach()) for whole, gram in zip(self._whole(), found.grams, strict=True)
            )
        style = target.style_share * target.style(grams)
        content = torch.zeros_like(style)
        if target.content is not None:
            error = (found.content.float() - self._content(shift, number)).square().mean(1, keepdim=True)
            mean = error.mean() if found.weights is None else (error * found.weights).sum() / found.weights.sum()
            content = (1 - target.style_share) * share * mean / target.content_unit
        rough = total_variation(self.extractor.own(window, number)).mean() / target.smooth_unit
        smooth = SMOOTHNESS * rough + EXCESS * (rough - 1).relu()
        local = content + target.strength * share * smooth
        return style + local, style / len(self.extractor.tiles) + local

    def _whole(self) -> tuple[Tensor, ...]:
        """Return the Gram matrices of the whole canvas, from the last features of its tiles."""
        layers = zip(*self.grams, strict=True)
        return tuple(
            torch.stack([share * gram for share, gram in zip(self.extractor.shares, layer, strict=True)]).sum(0)
            for layer in layers
        )

    @torch.no_grad()
    def _content(self, shift: tuple[int, int], number: int) -> Tensor:
        """Return the content map of a tile, computed once."""
        key = (shift, number)
        if key not in self.contents and self.target.content is not None:
            window = self.extractor.windows(self.extractor.framed(self.target.content, shift))[number]
            self.contents[key] = self.extractor.features(window, number).content
        return self.contents[key]


def target_of(style: Summary, now: Summary, smooth_unit: float) -> Target:
    """Return the target of a canvas that starts with the features `now` and should get those of a style; no content."""
    units = tuple(
        square(recentred(target - start, target)) + FLOOR * square(recentred(target, target))
        for start, target in zip(now.grams, style.grams, strict=True)
    )
    unrelated = style.variance + now.variance + (style.mean - now.mean).square()
    return Target(style.grams, units, smooth_unit, content_unit=unrelated.mean().item() + 1e-8)


def paint(painting: Painting, batch: Batch, steps: int, hardware: Hardware) -> Tensor:
    """Return the canvas (1, C, H, W), averaged over the last steps, after `steps` or once the loss stops falling."""
    training = TrainingSettings(steps=steps, average=AVERAGE, schedule="cosine")
    trainer = Trainer(painting, lambda step: replace(batch, step=step), training, hardware)
    high, wide = painting.canvas.pixels.shape[2:]
    losses: list[float] = []
    for record in training_records(trainer, f"painting {wide} x {high}: step"):
        losses.append(record.values["canvas/painting"])
        if settled(losses):
            break
    return trainer.average["canvas"].pixels.detach()  # type: ignore[operator]


def settled(losses: Sequence[float]) -> bool:
    """Return whether the mean of the last `WINDOW` losses is at most a share `GAIN` below that of the window before."""
    if len(losses) < 2 * WINDOW or len(losses) % WINDOW:
        return False
    return fmean(losses[-WINDOW:]) > (1 - GAIN) * fmean(losses[-2 * WINDOW : -WINDOW])


def part(image: Tensor, box: Box) -> Tensor:
    """Return this part of a picture (1, C, H, W)."""
    return image[..., box.top : box.bottom, box.left : box.right]


def square(values: Tensor) -> Tensor:
    """Return the sum of squares."""
    return values.square().sum()
