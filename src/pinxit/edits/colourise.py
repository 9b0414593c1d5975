"""A picture with new colours and its own lightness: what `colourise` binds.

A network proposes colours, hints say them where they are given, and both are brought to the picture's size by its
lightness. What hints say is spread over a picture of at most `PIXELS` pixels: the colours themselves, or, with a
network, their difference from the proposal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
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
from pinxit.edits.nearest import STRIP, strips
from pinxit.edits.subjects import check_size
from pinxit.errors import UsageError
from pinxit.images import Picture, load_picture, resize, scaled
from pinxit.matting import guided
from pinxit.matting.spread import BYTES, settled, spread
from pinxit.nets.colouriser import ColourDecoder, expected, look, palette
from pinxit.nets.stylizer import pixel_norm
from pinxit.objectives.colourising import TEMPERATURE

NAME = "colour-v1"
PIXELS = 55_000
"""Colours are proposed and spread in a picture of at most this many pixels; the network was trained on such."""
LEAST_SIDE, MOST_SIDE = 32, 1024
"""Of the picture that the network sees."""
NETWORK = 64 << 20
"""Bytes that the network takes at most."""
STRIP_BYTES = 200
"""Bytes for each pixel of the strip of rows that is coloured at once."""
RANGE = 256.0
"""A range of a* and b* that holds all colours, centred on grey."""
SOFT, HOLD = 1e-2, 3e-3
"""How flat the functions from lightness to a proposal's colours are kept (`guided.functions`). And how near its colours
stay to what they are while they are made even; larger leaves more blotches."""
SAID, COLOURED = 0.5, 8.0
"""Where a hint says something: from this alpha on, or in an opaque picture from this distance from grey on."""
PULL = 1e-5
"""How much the difference of hints from a proposal is pulled to 0; larger reaches less far."""
ALIKE = 2
"""The map of `look` that says which places look alike, at a sixteenth of the sides."""
TINT, PALE = 5.0, 15.0
"""How much a seed other than 0 favours a colour in its direction, in nats, and the distance from grey from which on a
colour has most of that. Larger varies more, and makes unlikely colours."""

Functions = tuple[np.ndarray, np.ndarray]
"""From lightness to a* and to b*, around each pixel of a smaller picture, as of `guided.functions`."""


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

    def over(self, colours: np.ndarray, rows: slice) -> np.ndarray:
        """Return colours (2, n, W) of some rows, with those that the dabs say where they lie."""
        number = self.numbers[rows]
        return np.where(number >= 0, np.moveaxis(self.colours[number], 2, 0), colours)

    @cached_property
    def numbers(self) -> np.ndarray:
        """The number of the place at each pixel, (H, W) int32, -1 where nothing is said."""
        found = np.full(self.size, -1, np.int32)
        found[tuple(self.places.T)] = np.arange(len(self.places))
        return found


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
            maps = look(light.to(computing.device))
            logits = self.painter(maps).cpu()
        return expected(self._tinted(logits, maps[ALIKE].float().cpu()), TEMPERATURE)[0].numpy()

    def _tinted(self, logits: Tensor, seen: Tensor) -> Tensor:
        """Return logits (1, h, w, Q) of which a seed other than 0 favours, at each place, a direction of colour.

        Directions are Gaussian, and as alike as the places are in a map `seen` of the frozen network: what looks alike
        draws alike. The more colours are likely at a place, the more its colour changes.
        """
        if not self.seed:
            return logits
        drawn = Batch(image=torch.zeros(1), seed=self.seed, step=0).normal(seen.shape[1], 2, stream="tints")[0]
        field = F.interpolate(pixel_norm(seen), logits.shape[1:3], mode="bilinear").permute(0, 2, 3, 1)
        points = palette()
        towards = points / (points.square().sum(1, keepdim=True) + PALE**2).sqrt()
        return logits + TEMPERATURE * TINT * (field @ drawn / seen.shape[1] ** 0.5) @ towards.T


class Colourised(Layered):
    """A picture in colours that a network proposes, that hints say, or both; its lightness stays."""

    def __init__(
        self, proposal: Proposal | None, hints: Hints | None, weights: Mapping[str, str] = Layered.weights
    ) -> None:
        self.proposal, self.hints, self.weights = proposal, hints, weights

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of the network, of the small picture's equations, of a strip, and of the result."""
        pixels = math.prod(size)
        network, equations = NETWORK if self.proposal else 0, BYTES * min(pixels, PIXELS)
        return network + equations + STRIP_BYTES * min(pixels, STRIP) + (12 if self.hints else 8) * pixels

    @torch.no_grad()
    def compose(self, picture: Picture, share: np.ndarray) -> Picture:
        """Return the picture in new colours; `share` blends them with its own, at the same lightness."""
        colours, alpha = split(picture)
        if self.hints is not None:
            check_size(self.hints.path, self.hints.numbers, picture)
        found = self._functions(colours if alpha is None else filled(colours, alpha))
        result = np.empty((*share.shape, 3 if alpha is None else 4), colours.dtype)
        for strip in strips(share.shape):
            values = rounded(self._recoloured(_lab(colours[strip]), found, strip, share), colours.dtype)
            kept = share[strip] == 0 if alpha is None else (share[strip] == 0) | (alpha[strip] == 0)
            np.copyto(values, colours[strip], where=kept[..., None])
            result[strip, :, :3] = values
        if alpha is not None:
            result[..., 3] = alpha
        return replace(picture, pixels=result, mode="RGB" + "A" * (alpha is not None))

    def _recoloured(self, before: np.ndarray, found: Functions, rows: slice, share: np.ndarray) -> np.ndarray:
        """Return some rows, in L*a*b* (n, W, 3) before, in new colours: sRGB (n, W, 3) in [0, 1]."""
        new = _applied(found, before[..., 0], rows, share.shape)
        if self.hints is not None:
            new = self.hints.over(new, rows)
        own = np.moveaxis(before[..., 1:], 2, 0)
        values = np.concatenate([before[None, ..., 0], own + share[rows] * (new - own)]).astype(np.float32)
        return from_lab(torch.from_numpy(values)[None])[0].movedim(0, 2).numpy()

    def _functions(self, shown: np.ndarray) -> Functions:
        """Return the functions that give a picture (H, W, C) its new colours."""
        small = scaled(shown, min(1.0, math.sqrt(PIXELS / math.prod(shown.shape[:2]))))
        light = _lab(small)[..., 0]
        colours = np.zeros((*light.shape, 2))
        if self.proposal is not None:
            proposed = self.proposal.colours(small)
            coarse = _lab(resize(small, proposed.shape[:2]))[..., 0]
            smooth = _function(coarse, proposed[..., 0], SOFT), _function(coarse, proposed[..., 1], SOFT)
            large = _applied(smooth, light, slice(0, len(light)), light.shape)
            colours = settled(light / 100, np.moveaxis(large, 0, 2), HOLD)
        if self.hints is not None:
            wanted, known = self.hints.reduced(light.shape)
            colours = colours + spread(light / 100, wanted - colours, known, PULL if self.proposal else 0.0)
        return _function(light, colours[..., 0]), _function(light, colours[..., 1])


def _function(light: np.ndarray, colour: np.ndarray, eps: float = guided.EPS) -> np.ndarray:
    return guided.functions(light[..., None] / 100, colour / RANGE + 0.5, eps=eps)


def _applied(found: Functions, light: np.ndarray, rows: slice, size: tuple[int, ...]) -> np.ndarray:
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
