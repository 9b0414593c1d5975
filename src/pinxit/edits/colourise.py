"""A picture with new colours and its own lightness: what `colourise` binds.

A network proposes colours, hints say them where they are given, and both are brought to the picture's size by its
lightness. What hints say is spread over a picture of at most `PIXELS` pixels: the colours themselves, or, with a
network, their difference from the proposal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit import hardware, models
from pinxit.colour import from_lab, lab, lightness
from pinxit.data import Batch
from pinxit.edits.bound import Layered
from pinxit.edits.engine import filled, split
from pinxit.edits.mask import rounded, unit
from pinxit.edits.nearest import strips
from pinxit.edits.subjects import check_size
from pinxit.errors import UsageError
from pinxit.images import Picture, load_picture, resize, scaled
from pinxit.matting import guided
from pinxit.matting.spread import BYTES, spread
from pinxit.nets.colouriser import ColourDecoder, expected, look, palette
from pinxit.objectives.colourising import TEMPERATURE

NAME = "colour-v1"
PIXELS = 55_000
"""Colours are proposed and spread in a picture of at most this many pixels; the network was trained on such."""
LEAST_SIDE, MOST_SIDE = 32, 1024
"""Of the picture that the network sees."""
NETWORK = 200 << 20
"""Bytes that the network takes at most."""
RANGE = 256.0
"""A range of a* and b* that holds all colours, centred on grey."""
SOFT = 1e-3
"""How much the functions from lightness to a proposal's colours are held to be flat; see `guided.functions`."""
SAID, COLOURED = 0.5, 8.0
"""Where a hint says something: from this alpha on, or in an opaque picture from this distance from grey on."""
PULL = 1e-3
"""How much the difference of hints from a proposal is pulled to 0; larger reaches less far."""
WAVES, TINT = 4, 1.5
"""Of the tints that other seeds draw: how many a side, and their strength in standard deviations."""


class Hints:
    """A picture with dabs of colour, which says the colours of some pixels."""

    def __init__(self, path: Path) -> None:
        pixels = load_picture(path).pixels
        self.path, self.size = path, pixels.shape[:2]
        colours = _lab(pixels[..., :3])[..., 1:]
        given = pixels.shape[2] == 4 and pixels[..., 3].min() < pixels[..., 3].max()
        said = unit(pixels[..., 3]) >= SAID if given else np.hypot(*np.moveaxis(colours, 2, 0)) >= COLOURED
        if not said.any():
            raise UsageError(
                f"{path.name}: says no colour: paint dabs of colour on a transparent or grey picture of the same size"
            )
        self.places, self.colours = np.argwhere(said), colours[said]

    def reduced(self, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean colours (h, w, 2) of what falls into each pixel of a smaller picture, and where any does."""
        across = [places * side // whole for places, side, whole in zip(self.places.T, size, self.size, strict=True)]
        number, count = across[0] * size[1] + across[1], math.prod(size)
        fallen = np.bincount(number, minlength=count)
        sums = [np.bincount(number, channel, count) for channel in self.colours.T]
        means = np.stack([total / fallen.clip(1) for total in sums], axis=-1)
        return means.reshape(*size, 2), (fallen > 0).reshape(size)


@dataclass(frozen=True)
class Proposal:
    """A network, and the seed of what it proposes. Seed 0 proposes what it holds for likeliest."""

    painter: ColourDecoder
    seed: int = 0
    device: str = "cpu"

    def colours(self, shown: np.ndarray) -> np.ndarray:
        """Return the colours (h, w, 2) that the network proposes for a picture of any size, at a size of its own."""
        high, wide = shown.shape[:2]
        share = math.sqrt(PIXELS / (high * wide))
        size = tuple(min(max(round(share * side), LEAST_SIDE), MOST_SIDE) for side in (high, wide))
        light = lightness(_planes(resize(shown, (size[0], size[1]))))
        computing = hardware.choose(self.device)
        with torch.no_grad(), computing.autocast():
            logits = self.painter(look(light.to(computing.device)))
        return expected(self._tinted(logits.cpu()), TEMPERATURE)[0].numpy()

    def _tinted(self, logits: Tensor) -> Tensor:
        """Return logits of which a seed other than 0 favours colours in directions that change slowly over the picture.

        What the network is sure of hardly changes. Where several colours are likely, one of them is drawn; as the
        directions change slowly, neighbours draw alike.
        """
        if not self.seed:
            return logits
        drawn = Batch(image=torch.zeros(1), seed=self.seed, step=0).normal(2, WAVES, WAVES, stream="tints")
        field = F.interpolate(drawn, logits.shape[1:3], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
        points = palette()
        likely = (logits / TEMPERATURE).softmax(-1)
        mean = likely @ points
        deviation = (
            (likely @ points.square().sum(1, keepdim=True) - mean.square().sum(-1, keepdim=True)).clamp(1).sqrt()
        )
        return logits + TEMPERATURE * TINT * (field / deviation) @ points.T


class Colourised(Layered):
    """A picture in colours that a network proposes, that hints say, or both; its lightness stays."""

    def __init__(
        self, proposal: Proposal | None, hints: Hints | None, weights: Mapping[str, str] = Layered.weights
    ) -> None:
        self.proposal, self.hints, self.weights = proposal, hints, weights

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of the small picture with its equations, of the network, and of the result."""
        small = BYTES * min(math.prod(size), PIXELS) if self.hints else 0
        return small + (NETWORK if self.proposal else 0) + 16 * math.prod(size) + 200 * (1 << 19)

    @torch.no_grad()
    def compose(self, picture: Picture, share: np.ndarray) -> Picture:
        """Return the picture in new colours; `share` blends them with its own, at the same lightness."""
        colours, alpha = split(picture)
        if self.hints is not None:
            check_size(self.hints.path, np.empty(self.hints.size), picture)
        found = self._functions(colours if alpha is None else filled(colours, alpha))
        said = None if self.hints is None else self._said(colours.shape[:2])
        result = np.empty((*share.shape, 3 if alpha is None else 4), colours.dtype)
        for strip in strips(share.shape):
            before = _lab(colours[strip])
            new = _applied(found, before[..., 0], strip, share.shape)
            if self.hints is not None and said is not None:
                new = np.where(said[strip] >= 0, np.moveaxis(self.hints.colours[said[strip]], 2, 0), new)
            mixed = np.moveaxis(before[..., 1:], 2, 0) * (1 - share[strip]) + new * share[strip]
            made = from_lab(torch.from_numpy(np.concatenate([before[None, ..., 0], mixed])[None].astype(np.float32)))[0]
            values = rounded(made.movedim(0, 2).numpy(), colours.dtype)
            kept = share[strip] == 0 if alpha is None else (share[strip] == 0) | (alpha[strip] == 0)
            np.copyto(values, colours[strip], where=kept[..., None])
            result[strip, :, :3] = values
        if alpha is not None:
            result[..., 3] = alpha
        return replace(picture, pixels=result, mode="RGB" + "A" * (alpha is not None))

    def _said(self, size: tuple[int, ...]) -> np.ndarray:
        """Return the number of the hint that says the colour of each pixel, (H, W) int32, -1 where none does."""
        assert self.hints is not None
        said = np.full(size, -1, np.int32)
        said[tuple(self.hints.places.T)] = np.arange(len(self.hints.places))
        return said

    def _functions(self, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the functions from lightness to a* and b*, as of `guided.functions`, of a picture's colours."""
        small = scaled(shown, min(1.0, math.sqrt(PIXELS / math.prod(shown.shape[:2]))))
        light = _lab(small)[..., 0]
        colours = np.zeros((2, *light.shape))
        if self.proposal is not None:
            proposed = self.proposal.colours(small)
            coarse = _lab(resize(small, proposed.shape[:2]))[..., 0]
            smooth = tuple(_function(coarse, proposed[..., channel], SOFT) for channel in range(2))
            colours = _applied((smooth[0], smooth[1]), light, slice(0, len(light)), light.shape)
        if self.hints is not None:
            wanted, known = self.hints.reduced(light.shape)
            missing = wanted - np.moveaxis(colours, 0, 2)
            colours = colours + np.moveaxis(spread(light / 100, missing, known, PULL if self.proposal else 0.0), 2, 0)
        return _function(light, colours[0]), _function(light, colours[1])


def _function(light: np.ndarray, colour: np.ndarray, eps: float = guided.EPS) -> np.ndarray:
    return guided.functions(light[..., None] / 100, colour / RANGE + 0.5, eps=eps)


def _applied(found: tuple[np.ndarray, np.ndarray], light: np.ndarray, rows: slice, size: tuple[int, ...]) -> np.ndarray:
    """Return a* and b* (2, n, W) of rows of a picture of `size`, whose lightness (n, W) is given."""
    return np.stack([RANGE * (guided.applied(one, light[..., None] / 100, rows, size) - 0.5) for one in found])


def _planes(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(unit(pixels)).movedim(2, 0)[None]


def _lab(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, 1 or 3) of any depth as L*a*b* (H, W, 3) float32."""
    return lab(_planes(pixels))[0].movedim(0, 2).numpy()


def colouriser(model: Path | None, hint: Path | None, guess: bool, seed: int, device: str) -> Colourised:
    """Return the edit by hints, by the network that ships or a run in its place, or by both."""
    hints = None if hint is None else Hints(hint)
    if not guess:
        if hints is None or model is not None:
            raise UsageError("--no-guess leaves only hints to say colours: give --hint, and leave --model out")
        return Colourised(None, hints)
    place, weights = models.chosen(NAME, model)
    objective: Any = models.load(place, "colourise").objective
    return Colourised(Proposal(objective.painter.to(hardware.choose(device).device), seed, device), hints, weights)
