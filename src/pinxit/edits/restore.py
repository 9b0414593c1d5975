"""Networks that restore, enlarge, fill holes and brighten: what their edits bind.

`Restored` runs one network. `Fill` fills holes with it. The network bridges only narrow holes. The inside of a wide
hole is therefore filled first, in the picture at half the size and by the same method; then the network fills the rim.
`Faithful` brings an enlarged picture back to what it was enlarged from, and `disagreement` maps what still departs from
it. `Enhanced` brightens by a tone curve that a network chooses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import minimum_filter
from torch import Tensor

from pinxit import hardware
from pinxit.degradations import resize_bicubic
from pinxit.edits.bound import Bound, Padding, Room
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import rounded, sixteen_bit, spread, unit
from pinxit.edits.runners import Inputs, OnnxRunner, Runner, runner_of
from pinxit.edits.tiles import SIDE, Box, cut
from pinxit.errors import UsageError
from pinxit.images import Picture, resize
from pinxit.models import chosen, is_exported
from pinxit.nets.curve import SIDE as BANDS
from pinxit.nets.curve import CurveNet, lightened
from pinxit.objectives.restoration import Restoration
from pinxit.page import command

RIM = 8  # pixels from the edge of a hole; the best of 4 to 24 in our trials. Holes filled in one go turned grey
BAND = 64  # rows that are halved or doubled at once, an even number
FLOATS = 24  # bytes that takes, at most, for each value of these rows
NEAR = 4  # rows beyond a band that doubling it reads, and more
ROUNDS = 6
REACH = 3 * ROUNDS + 1  # pixels of the small picture: reducing and enlarging reach 2 each, one after the other 3
HOTTEST = 0.05


class TorchRestorer(Runner):
    """A trained restorer in torch, in bf16 on devices where that is faster."""

    def __init__(self, objective: Restoration, device: str) -> None:
        self.objective, self.hardware = objective, hardware.choose(device)
        objective.restorer.to(self.hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.channels, self.scale = objective.shape.channels, objective.scale
        self.radius, self.stride = objective.radius, objective.stride
        known = {"mask": objective.holes, "sigma": objective.settings.told > 0}
        self.inputs = [name for name, has in known.items() if has]

    def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
        """Return pictures restored, on the device."""
        mask = inputs["mask"].expand(len(images), -1, -1, -1) if "mask" in inputs else None
        with torch.no_grad(), self.hardware.autocast():
            images = images.contiguous(memory_format=torch.channels_last)
            return self.objective.restore(images, mask, inputs.get("sigma", 0.0))


class Restored(Bound):
    """A picture as a runner restores it, with the noise's standard deviation `sigma` if that is known."""

    def __init__(self, runner: Runner, weights: Mapping[str, str] = Bound.weights, sigma: float | None = None) -> None:
        if sigma is not None and "sigma" not in runner.inputs:
            raise UsageError(
                "--sigma: this network estimates the noise by itself; only one trained with --told accepts --sigma"
            )
        self.runner, self.weights, self.sigma = runner, weights, sigma
        self.radius, self.stride, self.scale = runner.radius, runner.stride, runner.scale
        self.bytes_per_pixel = runner.bytes_per_pixel
        self.enlarges_alpha = runner.scale > 1

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture restored, (C, H scale, W scale); holes are where the mask is above 0."""
        inputs: Inputs = {} if self.sigma is None else {"sigma": self.sigma}
        if "mask" in self.runner.inputs:
            if mask is None:
                raise UsageError("this network fills holes: say where with --mask, --box, --colour or --brightness")
            inputs["mask"] = (mask > 0).float()
        return self.runner.run(image, inputs)


def restorer(
    place: Path, device: str, runtime: str, *, weights: Mapping[str, str] = Bound.weights, sigma: float | None = None
) -> Restored:
    """Return the edit by a run of `pinxit train restore`, its weights or its export."""
    exported = runtime == "onnx" or is_exported(place)  # then any network from pictures to pictures will do
    runner: Runner = runner_of(
        place, None if exported else "restore", runtime, lambda found: TorchRestorer(found, device), OnnxRunner
    )
    runner.name = str(place)
    if "style" in runner.inputs:
        raise UsageError(f"{place}: a network that paints in styles; `pinxit edit stylize` runs it")
    return Restored(runner, weights, sigma)


def chosen_restorer(
    name: str,
    model: Path | None,
    device: str,
    runtime: str,
    *,
    scale: int = 1,
    holes: bool = False,
    sigma: float | None = None,
) -> Restored:
    """Return the edit by the shipped network `name`, or by `model`, which must serve the same use."""
    place, weights = chosen(name, model)
    edit = restorer(place, device, runtime, weights=weights, sigma=sigma)
    if (edit.scale, "mask" in edit.runner.inputs) != (scale, holes):
        raise misfit(place)
    return edit


def misfit(model: Path) -> UsageError:
    """Return the error about a restorer that was trained for another use."""
    return UsageError(
        f"{model}: trained for another degradation; `{command('edit', 'restore', '--model', model)}` runs it"
    )


class Fill(Bound):
    """Fills what the mask covers, `margin` pixels more, and a soft edge of `fade` pixels; with padding, only that."""

    def __init__(
        self,
        restorer: Bound,
        device: str,
        *,
        margin: float = 0.0,
        fade: float = 0.0,
        padding: Padding = Bound.padding,
    ) -> None:
        self.restorer, self.device = restorer, device
        self.margin, self.fade, self.padding = margin, fade, padding
        self.radius, self.stride, self.weights = restorer.radius, restorer.stride, restorer.weights
        self.bytes_per_pixel = restorer.bytes_per_pixel

    def area(self, mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
        """Return what is filled: the padding, or the mask made wider."""
        if self.padding != Bound.padding:
            (top, bottom), (left, right) = self.padding
            new = np.ones(size, bool)
            new[top : size[0] - bottom, left : size[1] - right] = False
            return new
        if mask is None or not (self.margin or self.fade):
            return mask
        return spread(mask.astype(np.float32), self.margin, self.fade)

    def room_to_prepare(self, pixels: np.ndarray, area: np.ndarray | None) -> Room:
        """Return the memory of the holes that are left and, if one is wide, of the pictures that fill it."""
        if area is None:
            return Room()
        if any(deep.any() for _, deep in deep_bands(area)):
            return room_to_fill(area.shape, pixels.shape[2], pixels.itemsize)
        return Room(area.size, area.size)

    def prepared(
        self, pixels: np.ndarray, area: np.ndarray | None, memory: int | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture with wide holes filled except for their rims, and the holes that are left."""
        if area is None:
            return pixels, None
        if area.all():
            raise UsageError(
                "the mask covers the whole picture; leave a part unmasked, from which the rest can be filled"
            )
        if not any(deep.any() for _, deep in deep_bands(area)):
            return pixels, area != 0
        rough = self._half_filled(pixels, area, memory)
        fine, rims = np.array(sixteen_bit(pixels)), area != 0
        for band, deep in deep_bands(area):
            first = max(band.start // 2 - NEAR, 0)
            near = rough[first : band.stop // 2 + NEAR]
            doubled = resize(near, (2 * len(near), 2 * near.shape[1]))[band.start - 2 * first :]
            high, wide = deep.shape
            np.copyto(fine[band], rounded(doubled[:high, :wide], fine.dtype), where=deep[..., None])
            rims[band] &= ~deep
        return fine, rims

    def _half_filled(self, pixels: np.ndarray, area: np.ndarray, memory: int | None) -> np.ndarray:
        """Return the picture at half the size with its holes filled, in floats."""
        size = tuple(-(-side // 2) for side in area.shape)
        half, holes = np.empty((*size, pixels.shape[2]), np.float32), np.empty(size, bool)
        for top in range(0, len(area), BAND):  # whole pictures of floats are large
            band, small = slice(top, top + BAND), slice(top // 2, (top + BAND) // 2)
            half[small], holes[small] = halved(unit(pixels[band]), area[band] != 0)
        again = Fill(self.restorer, self.device)
        return edit_picture(Picture(half), [again], holes, memory=memory, device=self.device).pixels

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture with its holes filled, in [0, 1]."""
        return self.restorer.run(image, mask)


def deep_bands(area: np.ndarray, rim: int = RIM) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield each band of rows, with where it is further than `rim` from all that is known: area (H, W) is 0 there."""
    for top in range(0, len(area), BAND):
        first = max(top - rim, 0)
        holes = area[first : top + BAND + rim] != 0
        deep = minimum_filter(holes, 2 * rim + 1, mode="constant", cval=1)
        yield slice(top, top + BAND), deep[top - first :][:BAND]


def room_to_fill(size: tuple[int, ...], channels: int, depth: int) -> Room:
    """Return the memory of filling wide holes in a picture of `size` = (H, W), with `depth` bytes a value."""
    pixels = math.prod(size)
    if max(size) <= RIM + 1:  # no pixel is deep in a hole
        return Room(pixels, pixels)
    half = tuple(-(-side // 2) for side in size)
    small, inner = math.prod(half), room_to_fill(half, channels, 4)
    rough, kept = 4 * channels * small, (channels * max(depth, 2) + 1) * pixels
    filling = rough + 2 * small + max(inner.most, inner.kept + rough)  # the half picture, its holes, what is touched
    band = FLOATS * channels * (min(BAND, size[0]) + 4 * NEAR) * size[1]
    return Room(max(filling, rough + kept) + band, kept)


def halved(pixels: np.ndarray, holes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (H, W, C) as float32 and its holes (H, W) as bool, at half the size, rounded up.

    A pixel is the mean of the known ones of its 2 x 2, and a hole if none is known.
    """
    odd = tuple((0, side % 2) for side in holes.shape)
    known = ~np.pad(holes, odd, mode="edge")[..., None]
    values = known * np.pad(pixels, (*odd, (0, 0)), mode="edge")
    total, count = (
        plane.reshape(len(plane) // 2, 2, -1, 2, plane.shape[2]).sum(axis=(1, 3)) for plane in (values, known)
    )
    return total / np.maximum(count, 1, dtype=np.float32), count[..., 0] == 0


class Faithful(Bound):
    """An edit that enlarges, followed by iterative back-projection (Irani and Peleg, 1991).

    x <- x + up(y - down(x)) moves x towards a picture whose `down` is y. `fidelity` in [0, 1] is how much of that is
    blended in. `down` is MATLAB's imresize, bicubic and antialiased. Differs from the paper: `up` is bicubic, there is
    one picture instead of several, and six rounds are enough.
    """

    def __init__(self, enlarging: Bound, fidelity: float) -> None:
        self.enlarging, self.fidelity = enlarging, fidelity
        self.radius = None if enlarging.radius is None else enlarging.radius + REACH
        self.stride, self.scale, self.weights = enlarging.stride, enlarging.scale, enlarging.weights
        self.bytes_per_pixel, self.enlarges_alpha = enlarging.bytes_per_pixel, enlarging.enlarges_alpha

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the enlarged picture, (C, H scale, W scale), in [0, 1]."""
        enlarged = faithful = self.enlarging.run(image, mask)
        small, large = ((high, wide) for _, high, wide in (image.shape, enlarged.shape))
        for _ in range(ROUNDS):
            faithful = faithful + resize_bicubic(image - resize_bicubic(faithful, small), large)
        return enlarged.lerp(faithful, self.fidelity).clamp(0, 1)


def disagreement(before: Picture, after: Picture) -> np.ndarray:
    """Return how far a result, reduced to its picture's size, is from it: (H, W) in [0, 1], the largest of the colours.

    This shows where an edit invented detail that contradicts the picture. Fully transparent pixels agree. Raises
    `UsageError` unless the result is a whole number of times as large.
    """
    size = before.pixels.shape[:2]
    scale = after.pixels.shape[0] // size[0]
    if after.pixels.shape[:2] != (size[0] * scale, size[1] * scale):
        raise UsageError("a map needs an edit that keeps the size or enlarges the whole picture")
    whole, found = Box(0, 0, *size), np.empty(size, np.float32)
    for tile in cut(whole, SIDE, stride=1):
        window = tile.with_halo(2, whole)  # the reach of the reduction
        large = torch.from_numpy(unit(window.of(after.pixels, scale)[..., :3])).permute(2, 0, 1)
        small = tile.inside(window).of(resize_bicubic(large, window.size).permute(1, 2, 0)).numpy()
        tile.of(found)[:] = np.abs(small - unit(tile.of(before.pixels)[..., :3])).max(axis=2)
    if before.pixels.shape[2] == 4:
        found[before.pixels[..., 3] == 0] = 0
    return found.clip(0, 1)


def heat(values: np.ndarray) -> np.ndarray:
    """Return (H, W) in [0, 1] as colours (H, W, 3) uint8: black for 0, through red, to bright yellow for 1."""
    from pinxit.plots import colormaps  # imported here: an edit without a map does not need it

    colours: np.ndarray = colormaps["inferno"](values, bytes=True)[..., :3]
    return colours


class TorchCurve(Runner):
    """A trained curve in torch. With the curve of the whole picture known, each pixel is edited by itself."""

    radius = 0

    def __init__(self, network: CurveNet, curve: Tensor | None = None) -> None:
        self.network, self.curve = network, curve

    def for_picture(self, pixels: np.ndarray) -> TorchCurve:
        """Return the runner with the curve of this picture."""
        device = next(self.network.parameters()).device
        known = TorchCurve(self.network, self.network(bands(pixels).to(device)))
        known.name = self.name
        return known

    def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
        """Return pictures brightened, not clipped."""
        return lightened(images, self.network(images) if self.curve is None else self.curve)


class Enhanced(Bound):
    """A picture brightened by one curve for the whole of it, and then, if there is a denoiser, denoised.

    A runner that needs the whole picture brightens it in `prepared`; tiles are then only denoised.
    """

    def __init__(self, curve: Runner, denoiser: Bound | None, weights: Mapping[str, str]) -> None:
        self.curve, self.denoiser, self.weights = curve, denoiser, weights
        self.radius, self.stride = (denoiser.radius, denoiser.stride) if denoiser else (0, 1)
        self.bytes_per_pixel = denoiser.bytes_per_pixel if denoiser else 0

    def for_picture(self, pixels: np.ndarray) -> Enhanced:
        """Return the edit with the curve of this picture."""
        return Enhanced(self.curve.for_picture(pixels), self.denoiser, self.weights)

    def room_to_prepare(self, pixels: np.ndarray, area: np.ndarray | None) -> Room:
        """Return the memory of brightening the whole picture, if the runner needs it."""
        if self.curve.radius is not None:
            return Room()
        size, kept = pixels.shape[:2], max(pixels.itemsize, 2) * pixels.size
        return Room(2 * kept + math.prod(size) + Restored(self.curve).bytes_for(size), kept)

    def prepared(
        self, pixels: np.ndarray, area: np.ndarray | None, memory: int | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture, brightened if the runner needs the whole picture."""
        if self.curve.radius is not None:
            return pixels, area
        return edit_picture(Picture(sixteen_bit(pixels)), [Restored(self.curve)], memory=memory).pixels, area

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture brightened and denoised; it is clipped in between, as the denoiser expects it."""
        light = image.clone() if self.curve.radius is None else self.curve.run(image, {})
        return light if self.denoiser is None else self.denoiser.run(light, mask)


def enhancer(model: Path | None, denoise: bool, device: str, runtime: str) -> Enhanced:
    """Return the edit by the shipped curve, or by a model in its place, and the shipped denoiser if asked for."""
    place, weights = chosen("light-v1", model)
    denoiser = chosen_restorer("denoise-v2", None, device, runtime) if denoise else None
    where = hardware.choose(device).device
    curve: Runner = runner_of(place, "enhance", runtime, lambda found: TorchCurve(found.curve.to(where)), OnnxRunner)
    curve.name = str(place)
    return Enhanced(curve, denoiser, {**weights, **(denoiser.weights if denoiser else {})})


def bands(pixels: np.ndarray) -> Tensor:
    """Return the means of `BANDS` bands of rows of a picture (H, W, C) as float32 (1, C, BANDS, W).

    `averaged` of these equals that of the picture, so the whole picture is never held as floats.
    """
    high = len(pixels)
    edges = [(band * high // BANDS, -(-(band + 1) * high // BANDS)) for band in range(BANDS)]
    means = np.stack([unit(pixels[top:bottom]).mean(axis=0) for top, bottom in edges])
    return torch.from_numpy(means).permute(2, 0, 1)[None]
