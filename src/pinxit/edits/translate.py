"""Pictures of one kind as such of another: what `translate` binds.

A runner takes and gives pictures of as many channels as either kind needs; label maps are pictures in the colours of
their classes. The result may have other channels or alpha than the picture, so it is composed here, from tiles.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, maximum_filter
from torch import Tensor

from pinxit import hardware
from pinxit.edits.bound import Layered
from pinxit.edits.engine import filled, split
from pinxit.edits.mask import rounded, unit
from pinxit.edits.nearest import strips
from pinxit.edits.runners import Inputs, OnnxRunner, Runner, runner_of
from pinxit.edits.tiles import MARGIN, SIDE, TRIAL, Box, cut
from pinxit.errors import DataError, UsageError
from pinxit.files import parse_json
from pinxit.images import Picture
from pinxit.nets.peak import Peak
from pinxit.nets.shapes import Planes
from pinxit.objectives.translation import OPPOSITE, Translation
from pinxit.runtime import Model

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
HOTTEST = 0.25
"""The difference from the picture, in units of the image range, at which a map of what is invented is white."""
BLUR, NEAR = 1.0, 5
"""Pixels of the Gaussian before edges are compared, and of the square in which an edge counts as the same."""
KEPT = 40
"""Bytes for each pixel of a whole picture, beside a tile: floats of the picture and of the result, and the map."""


class TorchTranslator(Runner):
    """One way of a trained translator in torch, in bf16 on devices where that is faster."""

    def __init__(self, objective: Translation, to: str, seed: int, device: str) -> None:
        self.objective, self.to, self.seed, self.hardware = objective, to, seed, hardware.choose(device)
        network = objective.generator(to)
        network.to(self.hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.channels, self.radius, self.stride = objective.channels, network.radius, network.stride

    def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
        """Return pictures (N, channels, H, W) translated, on the device."""
        images = images.to(self.hardware.device).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), self.hardware.autocast():
            return self.objective.pictured(images, self.to, self.seed).float()


class Translated(Layered):
    """A picture as a runner translates it, tile by tile, with the alpha that it has or, where both have one, gets."""

    back: Translated | None = None
    """The other way, if the run learned it."""

    def __init__(self, runner: Runner, source: Planes, target: Planes) -> None:
        self.runner, self.source, self.target, self.deep = runner, source, target, target.deep
        self.halo = -(-(runner.radius or 0) // runner.stride) * runner.stride

    def bytes_for(self, size: tuple[int, int]) -> int:
        """Return the memory of the network on a tile with its halo, and of the picture and its result as floats."""
        whole = math.prod(size)
        window = whole if self.runner.radius is None else min(whole, (self._side + 2 * self.halo) ** 2)
        return int(MARGIN * self._pixel * window) + KEPT * whole

    def compose(self, picture: Picture, share: np.ndarray) -> Picture:
        """Return the translated picture; `share` blends it into the picture."""
        colours, alpha = split(picture)
        made = self.made(self.read(picture))
        channels = 4 if self.target.shown == 4 or alpha is not None else self.target.shown
        if (share < 1).any():
            channels = max(channels, colours.shape[2])
        depth = np.uint16 if self.deep and colours.dtype == np.uint8 else colours.dtype
        result = np.empty((*share.shape, channels), depth)
        for strip in strips(share.shape):
            own = _with_channels(unit(colours[strip]), None if alpha is None else unit(alpha[strip]), channels)
            new = _with_channels(made[strip][..., :3], self._alpha(made[strip], alpha, strip), channels)
            result[strip] = rounded(own + share[strip][..., None] * (new - own), result.dtype)
        return replace(picture, pixels=result, mode=MODES[channels])

    def given(self, colours: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        """Return what the runner reads, (H, W, channels) float32 in [0, 1], of a picture of any channels.

        A grey picture of class numbers becomes one in the colours of the classes.
        """
        if self.source.colours and colours.shape[2] == 1 and int(colours.max()) < len(self.source.colours):
            return cast(np.ndarray, self.source.palette.numpy()[colours[..., 0].astype(int)])
        return _with_channels(unit(colours), None if alpha is None else unit(alpha), self.runner.channels or 3)

    def made(self, given: np.ndarray) -> np.ndarray:
        """Return the runner's result (H, W, target's channels) float32 in [0, 1] of the whole picture."""
        whole = Box(0, 0, *given.shape[:2])
        result = np.empty((*given.shape[:2], self.target.shown), np.float32)
        side = max(whole.size) + self.runner.stride if self.runner.radius is None else self._side
        for tile in cut(whole, side, self.runner.stride):
            window = tile.with_halo(self.halo, whole)
            image = torch.from_numpy(np.array(window.of(given))).movedim(2, 0)[None]
            rows = self.runner.rows(image, {})[0].float().clamp(0, 1).cpu().movedim(0, 2).numpy()
            tile.of(result)[:] = tile.inside(window).of(rows)[..., : self.target.shown]
        return result

    def doubts(self, before: Picture, after: Picture) -> np.ndarray:
        """Return where the result may be invented, (H, W) in [0, 1]: where it does not turn back, or has own edges."""
        return self.invented(self.read(before), unit(split(after)[0])) * visible(before)

    def read(self, picture: Picture) -> np.ndarray:
        """Return what the runner reads of a picture, as `given`."""
        colours, alpha = split(picture)
        return self.given(colours if alpha is None else filled(colours, alpha), alpha)

    def invented(self, given: np.ndarray, made: np.ndarray) -> np.ndarray:
        """Return how much of a result (H, W, C) in [0, 1] is not in what was given, (H, W) in [0, 1]."""
        if self.back is None:
            wrong = new_edges(given, made)
        else:
            again = self.back.made(_with_channels(made, None, self.runner.channels or 3))
            channels = min(again.shape[2], given.shape[2])
            wrong = np.abs(again[..., :channels] - given[..., :channels]).mean(2)
        return (wrong / HOTTEST).clip(0, 1).astype(np.float32)

    @property
    def _side(self) -> int:
        """The side of tiles: at least as large as their halos, because these are computed in vain."""
        stride = self.runner.stride
        return -(-max(SIDE, 2 * self.halo) // stride) * stride

    @cached_property
    def _pixel(self) -> int:
        """The memory of the network for each pixel, in bytes: as a file states it, or measured."""
        if self.runner.bytes_per_pixel:
            return self.runner.bytes_per_pixel
        image = torch.full((1, self.runner.channels or 3, TRIAL, TRIAL), 0.5)
        with Peak() as peak:
            self.runner.rows(image, {})
        return int(peak.most / TRIAL**2)

    def _alpha(self, made: np.ndarray, alpha: np.ndarray | None, strip: slice) -> np.ndarray | None:
        if self.target.shown == 4:
            return made[..., 3]
        return None if alpha is None else unit(alpha[strip])


class Invented(Translated):
    """A grey map of where a translation may be invented, in place of the translation; of the picture's depth."""

    def __init__(self, runner: Runner, source: Planes, target: Planes) -> None:
        super().__init__(runner, source, target)
        self.deep = False

    def compose(self, picture: Picture, share: np.ndarray) -> Picture:
        """Return the map."""
        if (share < 1).any():
            raise UsageError("--only invented maps the whole picture: leave out masks, and --strength")
        given = self.read(picture)
        made = rounded(self.made(given), np.dtype(np.uint8))  # as it would be kept: what hides below 8 bits is lost
        marked = self.invented(given, unit(made)) * visible(picture)
        return replace(picture, pixels=rounded(marked, picture.pixels.dtype)[..., None], mode="L")


def visible(picture: Picture) -> np.ndarray | float:
    """Return 0 where a picture is fully transparent and 1 elsewhere, (H, W)."""
    _, alpha = split(picture)
    return 1.0 if alpha is None else (alpha > 0).astype(np.float32)


def new_edges(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return how much steeper a result (H, W, C) in [0, 1] is at each pixel than the picture is anywhere near it.

    Contrasts are compared with the picture's own: both slopes are multiplied so that their means are alike, if the
    result's is the smaller one.
    """
    one, other = (_slope(pixels) for pixels in (before, after))
    scale = max(1.0, float(other.mean()) / max(float(one.mean()), 1e-6))
    return (other - scale * maximum_filter(one, NEAR)).clip(0)


def _slope(pixels: np.ndarray) -> np.ndarray:
    smooth = gaussian_filter(pixels[..., :3].mean(2), BLUR)
    down, across = np.gradient(smooth) if min(smooth.shape) > 1 else (np.zeros_like(smooth),) * 2
    return np.hypot(down, across) * 4


def _with_channels(pixels: np.ndarray, alpha: np.ndarray | None, channels: int) -> np.ndarray:
    """Return pixels (H, W, C) in [0, 1] with so many channels: grey repeated; alpha as given, or opaque."""
    colours = pixels[..., :3]
    if channels == 1:
        return colours if colours.shape[2] == 1 else colours.mean(2, keepdims=True)
    colours = np.broadcast_to(colours, (*colours.shape[:2], 3))
    if channels == 3:
        return np.ascontiguousarray(colours)
    opaque = np.ones(colours.shape[:2], np.float32) if alpha is None else alpha
    return np.concatenate([colours, opaque[..., None]], axis=2)


def translator(model: Path, to: str, seed: int, invented: bool, device: str, runtime: str) -> Translated:
    """Return the edit by a run, its weights or an exported file; `UsageError` if it does not make what is asked for."""

    def in_torch(objective: Translation) -> Translated:
        if to not in objective.made:
            raise UsageError(
                f"--to {to}: {model} makes only {' and '.join(objective.made)}; train it the other way round"
            )
        if seed and not objective.settings.dropout:
            raise UsageError(f"--seed {seed}: {model} has one result for a picture; training with --dropout gives more")
        kind = Invented if invented else Translated
        way, *back = (
            _way(kind, objective, side, seed, device) for side in (to, OPPOSITE[to]) if side in objective.made
        )
        way.back = next(iter(back), None)
        return way

    def in_onnx(exported: Model) -> Translated:
        if to != "b" or seed:
            raise UsageError(
                f"{exported.path.name}: an exported network makes b, in one way; give the run for --to and --seed"
            )
        return (Invented if invented else Translated)(OnnxRunner(exported), *_sides(exported))

    return runner_of(model, "translate", runtime, in_torch, in_onnx)


def _sides(exported: Model) -> tuple[Planes, Planes]:
    """Return what an exported network reads and makes, as `pinxit export` states it."""
    try:
        known = parse_json(exported.metadata["sides"], "sides")
        a, b = (
            Planes(int(one["channels"]), tuple(map(str, one["colours"])), bool(one.get("deep", False)))
            for one in (known["a"], known["b"])
        )
        _ = a.palette, b.palette
    except (ValueError, LookupError, TypeError, DataError) as error:
        raise DataError(
            f"{exported.path}: does not say what pictures it takes, as `pinxit export` writes it"
        ) from error
    return a, b


def _way(kind: type[Translated], objective: Translation, to: str, seed: int, device: str) -> Translated:
    runner = TorchTranslator(objective, to, seed, device)
    return kind(runner, objective.sides[OPPOSITE[to]], objective.sides[to])
