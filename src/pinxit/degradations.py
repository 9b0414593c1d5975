"""Degradations of a picture: noise, holes, blur, downscaling, JPEG, darkness, haze. Each is a settings class and a row.

A picture is (C, H, W) float32 in [0, 1], C 1 or 3. The result is clipped only by `clip` and `jpeg`. All random numbers
come from the `rng` argument: an equal generator state gives an equal result. A setting that is a range is sampled
uniformly for each picture. Chains run from left to right. torch, numpy and Pillow are imported only when a picture is
degraded, so that help can list the table without them.
"""

from __future__ import annotations

import io
import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field

from pinxit.errors import UsageError
from pinxit.settings import Range, Settings, parse_chain, within

if TYPE_CHECKING:
    import torch
    from PIL import ImageDraw, ImageFont
    from torch import Tensor

Fraction = Annotated[Range, within(0, 1)]

LEFT_OUT, RINGING = 0.2, 0.15
"""Probabilities in `Real`: of a step that is left out, and of a blur that rings."""
MANY = 1e6
"""Photons in a white pixel, at most."""


@dataclass(frozen=True)
class Degraded:
    """A degraded picture (C, h, w), its mask (1, h, w), 1 where the picture is to change, and its level.

    `level` is the sampled strength in the unit of its setting (noise: sigma), which a network may be given; None if the
    degradation has none.
    """

    image: Tensor
    mask: Tensor | None = None
    level: float | None = None


class Degradation(Settings):
    """Base of the rows of `DEGRADATIONS`. `masks` says whether the result has a mask."""

    masks: ClassVar[bool] = False

    @property
    def shrinks(self) -> int:
        """The factor by which each side of the result is smaller."""
        return 1

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the picture (C, H, W) degraded with random numbers from `rng`; the argument is not changed."""
        raise NotImplementedError


class Noise(Degradation):
    """Gaussian noise of standard deviation `sigma`, equal in every pixel and channel: y = x + sigma n."""

    sigma: Fraction = Field((0, 0.2), description="Standard deviation in units of the image range; larger is noisier.")

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the noisy picture, unclipped; the level is sigma."""
        sigma = sampled(self.sigma, rng)
        return Degraded(image + sigma * normal(image, rng), level=sigma)


class Poisson(Degradation):
    """Shot noise: y = Poisson(peak x) / peak, of variance x / peak. Values below 0 count as 0."""

    peak: Annotated[Range, within(0.1, 1e6)] = Field(
        (10, 1000), description="Photons in a white pixel; larger is less noisy."
    )

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the noisy picture, unclipped above; the level is the peak."""
        import torch

        peak = sampled(self.peak, rng)
        photons = torch.poisson((peak * image.clamp(min=0)).to(rng.device), generator=rng)
        return Degraded(photons.to(image) / peak, level=peak)


class Clip(Degradation):
    """Storage in 8 bits: clipped to [0, 1] and rounded to a multiple of 1/255."""

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the picture as read back from an 8-bit file."""
        return Degraded(_of_255(image) / 255)


class Holes(Degradation):
    """Base of degradations with holes: masked pixels become 0, as in x (1 - mask), in all channels.

    Shapes are added until the share of the picture is covered; the last one may exceed it.
    """

    masks: ClassVar[bool] = True
    share: Annotated[Range, within(0, 0.9)] = Field((0.05, 0.25), description="Share of the pixels that is lost.")

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the picture with holes, and their mask."""
        mask = self.mask(image, sampled(self.share, rng), rng)
        return Degraded(image * (1 - mask), mask)

    def mask(self, image: Tensor, share: float, rng: torch.Generator) -> Tensor:
        """Return (1, H, W) of the image's type: 1 in at least `share` of the picture, else 0."""
        import numpy as np
        from PIL import Image, ImageDraw

        height, width = image.shape[1:]
        canvas = Image.new("1", (width, height))
        while canvas.histogram()[0] > (1 - share) * height * width:
            self.draw(ImageDraw.Draw(canvas), image, rng)
        return image.new_tensor(np.asarray(canvas))[None]

    def draw(self, canvas: ImageDraw.ImageDraw, image: Tensor, rng: torch.Generator) -> None:
        """Add one shape to the canvas, which has the size of the image."""
        raise NotImplementedError


class Boxes(Holes):
    """Holes in the shape of upright rectangles, inside the picture where they fit."""

    side: Annotated[Range, within(1, 4096)] = Field(
        (8, 32), description="Width, and height, of a box in pixels; each is sampled."
    )

    def draw(self, canvas: ImageDraw.ImageDraw, image: Tensor, rng: torch.Generator) -> None:
        """Add a box to the mask."""
        sides = [round(sampled(self.side, rng)) for _ in range(2)]
        across, down = uniform(2, rng)
        left, top = round(across * max(0, image.shape[2] - sides[0])), round(down * max(0, image.shape[1] - sides[1]))
        canvas.rectangle((left, top, left + sides[0] - 1, top + sides[1] - 1), fill=1)


class Strokes(Holes):
    """Holes like brush strokes: bent lines of one width with round ends (after Yu et al., 2019, algorithm 1)."""

    width: Annotated[Range, within(1, 512)] = Field((5, 20), description="Width of a stroke in pixels.")

    _segments: ClassVar[int] = 6
    _reach: ClassVar[float] = 1 / 12  # length of a segment, in diagonals of the picture
    _bend: ClassVar[float] = 2 * math.pi / 5  # largest turn between two segments, either way

    def draw(self, canvas: ImageDraw.ImageDraw, image: Tensor, rng: torch.Generator) -> None:
        """Add a stroke that starts anywhere in the picture, in any direction."""
        height, width = image.shape[1:]
        brush = round(sampled(self.width, rng))
        across, down, heading, *bends = uniform(3 + self._segments, rng)
        points, angle = [(across * width, down * height)], 2 * math.pi * heading
        reach = self._reach * math.hypot(height, width)
        for bend in bends:
            angle += self._bend * (2 * bend - 1)
            points.append((points[-1][0] + reach * math.cos(angle), points[-1][1] + reach * math.sin(angle)))
        canvas.line(points, fill=1, width=brush)
        for x, y in points:
            canvas.circle((x, y), (brush - 1) / 2, fill=1)


class Scratches(Strokes):
    """Holes like scratches: long, thin and nearly straight."""

    share: Annotated[Range, within(0, 0.5)] = Field((0.02, 0.1), description="Share of the pixels that is lost.")
    width: Annotated[Range, within(1, 16)] = Field((1, 3), description="Width of a scratch in pixels.")

    _reach: ClassVar[float] = 1 / 8
    _bend: ClassVar[float] = math.pi / 16


class Text(Holes):
    """Holes in the shape of upright words of random letters, in the font that comes with Pillow."""

    share: Annotated[Range, within(0, 0.5)] = Field((0.05, 0.2), description="Share of the pixels that is lost.")
    size: Annotated[Range, within(4, 512)] = Field((12, 32), description="Size of the letters in pixels.")

    def draw(self, canvas: ImageDraw.ImageDraw, image: Tensor, rng: torch.Generator) -> None:
        """Add a word of three to nine letters, centred inside the picture."""
        font = _font(round(sampled(self.size, rng)))
        across, down, length, *letters = uniform(12, rng)
        letters = letters[: 3 + int(7 * length)]
        word = "".join(string.ascii_letters[int(len(string.ascii_letters) * letter)] for letter in letters)
        canvas.text((across * image.shape[2], down * image.shape[1]), word, fill=1, font=font, anchor="mm")


class Pixels(Holes):
    """Holes of one pixel: each is lost with probability `share`, independently of the others."""

    def mask(self, image: Tensor, share: float, rng: torch.Generator) -> Tensor:
        """Return (1, H, W): 1 with probability `share`, else 0."""
        import torch

        return (torch.rand(1, *image.shape[1:], generator=rng, device=rng.device) < share).to(image)


class Blur(Degradation):
    """A Gaussian blur, truncated at four sigma; the picture is mirrored beyond its edges."""

    sigma: Annotated[Range, within(0, 50)] = Field(
        (0.5, 3), description="Standard deviation in pixels; larger is blurrier."
    )

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the blurred picture; the level is sigma."""
        sigma = sampled(self.sigma, rng)
        reach = round(4 * sigma)
        bell = {x: math.exp(-((x / sigma) ** 2) / 2) if x else 1.0 for x in range(-reach, reach + 1)}
        total = sum(bell.values())
        across = _filtered(image, {(0, x): weight / total for x, weight in bell.items()})
        return Degraded(_filtered(across, {(x, 0): weight / total for x, weight in bell.items()}), level=sigma)


class Motion(Degradation):
    """A straight motion of the camera: the mean of the picture along a line, mirrored beyond its edges.

    The line has ceil(length) points, evenly spaced over length - 1 pixels and read bilinearly; length 1 is no motion.
    """

    length: Annotated[Range, within(1, 200)] = Field((5, 25), description="Length of the motion in pixels.")
    angle: Annotated[Range, within(0, 180)] = Field(
        (0, 180), description="Direction of the motion in degrees; 0 is across, 90 is up and down."
    )

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the blurred picture; the level is the length."""
        length, angle = sampled(self.length, rng), math.radians(sampled(self.angle, rng))
        count = math.ceil(length)
        taps: dict[tuple[int, int], float] = {}
        for number in range(count):
            along = (length - 1) * (number / (count - 1) - 0.5) if count > 1 else 0.0
            y, x = -along * math.sin(angle), along * math.cos(angle)
            for row in (math.floor(y), math.floor(y) + 1):
                for column in (math.floor(x), math.floor(x) + 1):
                    weight = (1 - abs(y - row)) * (1 - abs(x - column)) / count
                    taps[row, column] = taps.get((row, column), 0.0) + weight
        return Degraded(_filtered(image, taps), level=length)


class Downscale(Degradation):
    """Downscaling as by MATLAB's imresize(x, 1/scale): antialiased bicubic; a side becomes ceil(side / scale)."""

    scale: int = Field(2, ge=1, le=16, description="Factor by which each side becomes smaller.")

    @property
    def shrinks(self) -> int:
        """The factor by which each side of the result is smaller."""
        return self.scale

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the smaller picture."""
        size = [math.ceil(side / self.scale) for side in image.shape[1:]]
        return Degraded(_resized(image, size, [1 / self.scale] * 2))


class JPEG(Degradation):
    """JPEG compression by Pillow: clipped to 8 bits, colour at half the resolution (4:2:0)."""

    quality: Annotated[Range, within(1, 95)] = Field(
        (10, 90), description="Pillow's quality, rounded to a whole number; larger is better."
    )

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the decoded picture; the level is the quality."""
        import numpy as np
        from PIL import Image

        quality = round(sampled(self.quality, rng))
        pixels = _of_255(image).permute(1, 2, 0).byte().cpu().numpy()
        file = io.BytesIO()
        Image.fromarray(pixels if len(image) == 3 else pixels[..., 0]).save(file, "JPEG", quality=quality)
        decoded = np.asarray(Image.open(file)).reshape(pixels.shape)
        return Degraded(image.new_tensor(decoded).permute(2, 0, 1).contiguous() / 255, level=float(quality))


class Dark(Degradation):
    """Too little light: y = gain x^gamma + read_noise n; values below 0 keep their sign.

    To add the noise of few photons: dark() | poisson(peak=...).
    """

    gain: Annotated[Range, within(0, 1)] = Field(
        (0.1, 0.3), description="Share of the light that is left; smaller is darker."
    )
    gamma: Annotated[Range, within(0.1, 10)] = Field((1, 1), description="Exponent; larger than 1 darkens the shadows.")
    read_noise: Fraction = Field(
        (0, 0.02), description="Standard deviation of the sensor's noise, in units of the image range."
    )

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the dark picture, unclipped; the level is the gain."""
        gain, gamma, sigma = (sampled(ends, rng) for ends in (self.gain, self.gamma, self.read_noise))
        dark = gain * image.sign() * image.abs() ** gamma
        return Degraded(dark + sigma * normal(image, rng), level=gain)


class Haze(Degradation):
    """Scattered light: I = J t + A (1 - t) with t = exp(-beta d) (Koschmieder, 1924; He et al., 2009, eqs. 1 and 2).

    The depth d is a smooth random field in [0, 1]: 4 x 4 uniform numbers, enlarged. A is grey.
    """

    beta: Annotated[Range, within(0, 10)] = Field(
        (0.6, 1.8), description="Scattering over the greatest depth; larger is hazier."
    )
    air: Fraction = Field((0.7, 1), description="Brightness A of the haze, from 0 (black) to 1.")

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the hazy picture; the level is beta."""
        import torch

        beta, air = sampled(self.beta, rng), sampled(self.air, rng)
        coarse = torch.rand(1, 4, 4, generator=rng, device=rng.device).to(image)
        depth = resize_bicubic(coarse, (image.shape[1], image.shape[2])).clamp(0, 1)
        transmission = (-beta * depth).exp()
        return Degraded(image * transmission + air * (1 - transmission), level=beta)


class Real(Degradation):
    """What most pictures went through, twice: blur, resizing, noise, JPEG (Real-ESRGAN, Wang et al., 2021, eqs. 1, 2).

    The second time, the picture gets its last size before or after it is saved, so blocks may lie anywhere. Differs
    from the paper: each blur, resizing and noise is left out with probability 0.2, so that some pictures are nearly
    intact; both rounds use the same ranges; kernels are Gaussian, or at times a sinc, which rings.
    """

    scale: int = Field(4, ge=1, le=8, description="Factor by which each side becomes smaller in all.")
    blur: Annotated[Range, within(0.1, 10)] = Field(
        (0.2, 2), description="Standard deviation of a blur in pixels, along each of its two axes."
    )
    resize: Annotated[Range, within(0.1, 2)] = Field(
        (0.5, 1.2), description="Size in between, as a share: first of the picture's, then of the result's."
    )
    noise: Fraction = Field((0, 0.06), description="Standard deviation of noise; that of few photons, in white.")
    quality: Annotated[Range, within(1, 95)] = Field((35, 95), description="Pillow's quality of the JPEG files.")

    @property
    def shrinks(self) -> int:
        """The factor by which each side of the result is smaller."""
        return self.scale

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the smaller picture, as read back from an 8-bit file."""
        size = [math.ceil(side / self.scale) for side in image.shape[1:]]
        jpeg = JPEG(quality=self.quality)
        once = jpeg.degrade(self._round(image, image.shape[1:], rng), rng).image
        twice = self._round(once, size, rng)
        if uniform(1, rng)[0] < 1 / 2:
            return Degraded(jpeg.degrade(_brought(twice, size, rng), rng).image)
        return Degraded(_of_255(_brought(jpeg.degrade(twice, rng).image, size, rng)) / 255)

    def _round(self, image: Tensor, size: Sequence[int], rng: torch.Generator) -> Tensor:
        """Return the picture blurred, resized relative to a size, and noisy; each may be left out."""

        def resized(picture: Tensor, rng: torch.Generator) -> Tensor:
            share = sampled(self.resize, rng)
            return _brought(picture, [max(1, round(share * side)) for side in size], rng)

        for step in (self._blurred, resized, self._noisy):
            if uniform(1, rng)[0] >= LEFT_OUT:
                image = step(image, rng)
        return image

    def _blurred(self, image: Tensor, rng: torch.Generator) -> Tensor:
        rings, turn, cutoff = uniform(3, rng)
        wide, narrow = (sampled(self.blur, rng) for _ in range(2))
        if rings < RINGING:
            return _convolved(image, _sinc(math.pi * (1 + 2 * cutoff) / 3))
        return _convolved(image, _oblong(wide, narrow, math.pi * turn))

    def _noisy(self, image: Tensor, rng: torch.Generator) -> Tensor:
        sigma, kind = sampled(self.noise, rng), uniform(1, rng)[0]
        if kind < 1 / 2:  # of each colour, or of the brightness
            return image + sigma * normal(image if kind < 1 / 4 else image[:1], rng)
        return Poisson(peak=min(sigma**-2, MANY)).degrade(image, rng).image if sigma else image


DEGRADATIONS: dict[str, type[Degradation]] = {
    "noise": Noise,
    "poisson": Poisson,
    "clip": Clip,
    "boxes": Boxes,
    "strokes": Strokes,
    "scratches": Scratches,
    "text": Text,
    "pixels": Pixels,
    "blur": Blur,
    "motion": Motion,
    "downscale": Downscale,
    "jpeg": JPEG,
    "dark": Dark,
    "haze": Haze,
    "real": Real,
}


@dataclass(frozen=True)
class Chain:
    """Degradations one after the other. Their masks are united; the level is that of the first step that has one.

    `UsageError` if a picture is downscaled after it got holes: their mask would no longer fit.
    """

    steps: tuple[Degradation, ...]

    def __post_init__(self) -> None:
        holes = False
        for step in self.steps:
            if holes and step.shrinks > 1:
                raise UsageError("downscale must come before holes, so that their mask has the size of the picture")
            holes = holes or step.masks

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the chain that a text describes, such as "blur(sigma=1) | noise(sigma=0..0.2)"."""
        return cls(parse_chain(text, DEGRADATIONS, "degradation"))

    @property
    def masks(self) -> bool:
        """Whether the result has a mask."""
        return any(step.masks for step in self.steps)

    @property
    def shrinks(self) -> int:
        """The factor by which each side of the result is smaller."""
        return math.prod(step.shrinks for step in self.steps)

    def degrade(self, image: Tensor, rng: torch.Generator) -> Degraded:
        """Return the result of all steps on a picture (C, H, W)."""
        import torch

        masks: list[Tensor] = []
        level = None
        for step in self.steps:
            done = step.degrade(image, rng)
            image = done.image
            masks += [done.mask] if done.mask is not None else []
            level = done.level if level is None else level
        return Degraded(image, reduce(torch.maximum, masks) if masks else None, level)


def resize_bicubic(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (..., H, W) at `size` = (height, width) as MATLAB's imresize(image, size), but not rounded or clipped.

    Bicubic with a = -0.5 (Keys, 1981), antialiased when shrinking, mirrored beyond the edges. Differentiable.
    """
    scales = [length / side for length, side in zip(size, image.shape[-2:], strict=True)]
    return _resized(image, size, scales)


def _resized(image: Tensor, size: Sequence[int], scales: Sequence[float]) -> Tensor:
    import torch

    down, across = map(_bicubic_matrix, image.shape[-2:], size, scales)
    with torch.autocast(image.device.type, enabled=False):  # autocast would round the products to bfloat16
        return down.to(image) @ image @ across.to(image).mT


def _bicubic_matrix(side: int, length: int, scale: float) -> Tensor:
    """Return the weights (length, side) that resample `side` pixels to `length`, each 1 / scale of a pixel wide."""
    taps, weights = _bicubic_taps(side, length, scale)
    return weights.new_zeros(length, side).scatter_add(1, taps, weights)


@lru_cache(maxsize=16)
def _bicubic_taps(side: int, length: int, scale: float) -> tuple[Tensor, Tensor]:
    """Return the input pixels of each of `length` output pixels and their float64 weights, both (length, taps)."""
    import torch

    stretch = max(1.0, 1 / scale)
    centre = (torch.arange(length, dtype=torch.float64) + 0.5) / scale - 0.5
    taps = (centre - 2 * stretch).floor()[:, None] + torch.arange(math.ceil(4 * stretch) + 2)
    weights = _cubic((centre[:, None] - taps) / stretch)
    return _mirrored(taps.long(), side), weights / weights.sum(dim=1, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Return Keys' kernel with a = -0.5 (1981, eq. 15)."""
    x = x.abs()
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


def _filtered(image: Tensor, taps: Mapping[tuple[int, int], float]) -> Tensor:
    """Return the weighted sum of shifted images: `taps` maps (down, across) to a weight. Edges are mirrored."""
    import torch

    height, width = image.shape[-2:]
    reach = max(abs(offset) for tap in taps for offset in tap)
    rows, columns = (_mirrored(torch.arange(-reach, side + reach), side).to(image.device) for side in (height, width))
    wide = image[..., rows[:, None], columns]
    parts = (
        weight * wide[..., reach + down : reach + down + height, reach + across : reach + across + width]
        for (down, across), weight in taps.items()
    )
    return reduce(torch.add, parts)


def _convolved(image: Tensor, kernel: Tensor) -> Tensor:
    """Return a picture (C, H, W) filtered with a kernel (2 r + 1, 2 r + 1) of sum 1. Edges are mirrored."""
    import torch
    from torch.nn import functional as F

    reach = len(kernel) // 2
    rows, columns = (_mirrored(torch.arange(-reach, side + reach), side).to(image.device) for side in image.shape[1:])
    with torch.autocast(image.device.type, enabled=False):
        return F.conv2d(image[:, rows[:, None], columns][:, None], kernel.to(image)[None, None])[:, 0]


def _oblong(wide: float, narrow: float, angle: float) -> Tensor:
    """Return a Gaussian kernel of two standard deviations, the first along `angle`, cut at three of the larger."""
    down, across = _offsets(math.ceil(3 * max(wide, narrow)))
    along, beside = (
        across * math.cos(angle) + down * math.sin(angle),
        down * math.cos(angle) - across * math.sin(angle),
    )
    kernel = (-((along / wide) ** 2 + (beside / narrow) ** 2) / 2).exp()
    return kernel / kernel.sum()


def _sinc(cutoff: float) -> Tensor:
    """Return a circular low-pass filter, 13 pixels wide, of a cut-off in radians a pixel (Wang et al., 2021, eq. 6)."""
    import torch

    down, across = _offsets(6)
    distance = (down**2 + across**2).sqrt().clamp(min=1e-6)
    kernel = cutoff * torch.special.bessel_j1(cutoff * distance) / (2 * math.pi * distance)
    return kernel / kernel.sum()


def _offsets(reach: int) -> tuple[Tensor, Tensor]:
    """Return the offsets down and across of the pixels of a kernel, both (2 reach + 1, 2 reach + 1), float64."""
    import torch

    line = torch.arange(-reach, reach + 1, dtype=torch.float64)
    down, across = torch.meshgrid(line, line, indexing="ij")
    return down, across


def _brought(image: Tensor, size: Sequence[int], rng: torch.Generator) -> Tensor:
    """Return a picture (C, H, W) at a size, resampled in a random way: bicubic, bilinear, or areas where it shrinks."""
    from torch.nn import functional as F

    way, (high, wide) = uniform(1, rng)[0], size
    if way < 1 / 3 and high <= image.shape[1] and wide <= image.shape[2]:
        return F.interpolate(image[None], (high, wide), mode="area")[0]
    if way < 2 / 3:
        return F.interpolate(image[None], (high, wide), mode="bilinear", antialias=True)[0]
    return resize_bicubic(image, (high, wide))


def _mirrored(index: Tensor, length: int) -> Tensor:
    """Return the pixel at `index` of a row of `length` that continues, mirrored, beyond its edges (edge repeated)."""
    index = index % (2 * length)
    return index.minimum(2 * length - 1 - index)


def _of_255(image: Tensor) -> Tensor:
    """Return the picture clipped, in whole numbers from 0 to 255, in its own dtype."""
    return (image.clamp(0, 1) * 255).round()


def sampled(ends: tuple[float, float], rng: torch.Generator) -> float:
    """Return a number sampled uniformly between the ends of a range."""
    return ends[0] + (ends[1] - ends[0]) * uniform(1, rng)[0]


def uniform(count: int, rng: torch.Generator) -> list[float]:
    """Return numbers sampled uniformly in [0, 1)."""
    import torch

    numbers: list[float] = torch.rand(count, generator=rng, device=rng.device).tolist()
    return numbers


def normal(image: Tensor, rng: torch.Generator) -> Tensor:
    """Return standard normal noise for every value of the image."""
    import torch

    return torch.randn(image.shape, generator=rng, device=rng.device).to(image)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
