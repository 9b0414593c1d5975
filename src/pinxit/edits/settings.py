"""The settings of all edits but `adjust`: fields are flags, docstrings are help. No torch here.

`bind` loads what an edit needs. It imports the module that does the work and hands it plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from pinxit.edits.bound import Bound, Padding
from pinxit.errors import UsageError
from pinxit.images import load_image
from pinxit.runtime import STROKES
from pinxit.settings import Settings, Topic


class Edit(Settings):
    """An edit's settings: its fields are the flags, its docstring is the help."""

    proof: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    """The setting, with its values, that a sheet of proofs varies beside the strength."""
    steady: ClassVar[float] = 0.0
    """The default of `--steady`: the weight in [0, 1) of earlier results where a film does not move."""
    earlier: ClassVar[Mapping[str, Any]] = {}
    """What a recipe means that lacks these settings, because it is from before there were any."""
    each: ClassVar[tuple[str, ...]] = ()
    """The settings that may name a folder, which has a file for each picture: of its place in its folder, and stem."""
    exact: ClassVar[bool] = False
    """Whether its settings may be about single pixels of a picture, so that no proof can be made of a reduced one."""

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load what the edit needs, once. `memory` is its limit in bytes; None for no limit."""
        raise NotImplementedError


class Networked(Edit):
    """Base of edits by a trained network: what runs it."""

    runtime: Annotated[Literal["torch", "onnx"], Topic.HARDWARE] = Field(
        "torch",
        description="What runs the network: torch, or onnx for onnxruntime on the CPU in float32. The network is "
        "exported once, into pinxit's cache folder.",
    )


# Networks that restore, enlarge or fill holes.

OWN = "A run of `pinxit train {}`, its weights, or its export (.onnx)"
MODEL = f"{OWN.format('restore')}, instead of the network that ships."


def _of_the_range(value: Any) -> Any:
    """Refuse a noise level in grey levels, which `Field` would refuse without naming the unit."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    if number > 1:
        raise ValueError(
            f"should be in units of the image range, 0 to 1, where {number:g} of 255 grey levels are {number / 255:.3g}"
        )
    return value


Sigma = Annotated[float | None, BeforeValidator(_of_the_range)]
SIGMA = "Standard deviation of the noise, in units of the image range; estimated if omitted."


class Restore(Networked):
    """Repair with your own network: it undoes what `pinxit train restore` trained it to undo."""

    model: Path = Field(description=f"{OWN.format('restore')}.")
    sigma: Sigma = Field(None, ge=0, le=1, description=SIGMA)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network; `DataError` if the file holds none, `UsageError` if it takes no noise level."""
        from pinxit.edits.restore import restorer

        return restorer(self.model, device, self.runtime, sigma=self.sigma)


class Repair(Networked):
    """Base of edits by a network that keeps the size: the name of the shipped one."""

    network: ClassVar[str]
    model: Path | None = Field(None, description=MODEL)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.restore import chosen_restorer

        return chosen_restorer(self.network, self.model, device, self.runtime)


class Denoise(Repair):
    """Remove noise with a network trained on photographs. It estimates how strong the noise is."""

    network = "denoise-v2"
    free: bool = Field(False, description="Use the network trained only on pictures free for any use; slightly weaker.")
    sigma: Sigma = Field(None, ge=0, le=1, description=SIGMA)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.restore import chosen_restorer

        network = "denoise-free-v1" if self.free else self.network
        return chosen_restorer(network, self.model, device, self.runtime, sigma=self.sigma)


class Deblur(Repair):
    """Sharpen a picture that is out of focus by up to about three pixels, with a network trained on photographs."""

    network = "deblur-v1"


class Dejpeg(Repair):
    """Remove the blocks, ringing and blotches of JPEG compression, with a network trained on photographs."""

    network = "jpeg-v2"


def _plain(value: float) -> float:
    """Return a whole number without a fraction, as recipes always had it."""
    return int(value) if value == int(value) else value


class Upscale(Networked):
    """Enlarge with networks trained on photographs, by any factor or to a size.

    --clean repairs damage on the way. --crisp also invents detail: do not read faces or text from it.
    """

    networks: ClassVar[Mapping[str, Mapping[int, str]]] = {
        "faithful": {2: "upscale-x2-v1", 4: "upscale-x4-v2"},
        "clean": {2: "upscale-x2-clean-v1", 4: "upscale-x4-clean-v1"},
        "crisp": {2: "upscale-x2-crisp-v1", 4: "upscale-x4-crisp-v1"},
    }
    scale: Annotated[float, PlainSerializer(_plain, return_type=int | float)] = Field(
        2,
        gt=1,
        le=8,
        description="How many times wider and higher, such as 2, 2.5 or 6. The networks enlarge 2, 4 or 8 times; "
        "for other factors, the next larger result is reduced.",
    )
    to: int | None = Field(
        None,
        ge=2,
        exclude_if=lambda value: value is None,  # as in recipes from before there was a size
        description="Longer side of the result in pixels, instead of --scale; at most 8 times that of the picture.",
    )
    fidelity: float = Field(
        0.0, ge=0, le=1, description="How well the result, reduced again, matches the input, 0 to 1; at 1 it matches."
    )
    clean: bool = Field(
        False,
        exclude_if=lambda value: not value,
        description="Repair JPEG blocks, noise and blur on the way, and invent nothing.",
    )
    crisp: float | None = Field(
        None,
        ge=0,
        le=1,
        exclude_if=lambda value: value is None,
        description="Repair, and invent crisp detail, from 0 (faithful) to 1 (crispest); 0.5 without a value. Small "
        "faces melt, and small letters may become others.",
    )
    only: Literal["invented"] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="With --crisp: write where detail is invented instead of the picture. Black is nothing.",
    )
    model: Path | None = Field(None, description=MODEL)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the networks; `UsageError` if the settings contradict each other."""
        from pinxit.edits.enlarge import Networks, enlarger

        self._check()
        networks = Networks(self.networks, device, self.runtime)
        factor = self.scale if self.to is None else None
        if self.model is not None:
            found = networks.own(self.model)
        elif self.crisp is None:
            found = networks.shipped("clean" if self.clean else "faithful", factor)
        else:
            found = networks.crisp(self.crisp, factor, invented=self.only is not None)
        return enlarger(found, self.scale, self.to, self.fidelity)

    def _check(self) -> None:
        chosen = [flag for flag, given in (("--clean", self.clean), ("--crisp", self.crisp is not None)) if given]
        if self.model is not None and chosen:
            raise UsageError(f"{chosen[0]} chooses a network that ships, and --model names yours: give one of them")
        if len(chosen) > 1:
            raise UsageError("--clean and --crisp choose different networks, and --crisp repairs too: give one of them")
        if self.clean and self.fidelity:
            raise UsageError("--fidelity would bring back the damage that --clean repairs: leave out one of them")
        if self.only and (self.crisp is None or self.fidelity):
            raise UsageError("--only invented shows what --crisp adds: give --crisp with it, and no --fidelity")


class Inpaint(Networked):
    """Fill what the mask covers: narrow holes with a network, wide ones with pieces of the picture itself."""

    earlier: ClassVar[Mapping[str, Any]] = {"wide": "smooth"}
    model: Path | None = Field(None, description=MODEL)
    wide: Literal["pieces", "smooth"] = Field(
        "pieces",
        description="How a hole wider than some 10 pixels is filled: with pieces copied from the picture, or smoothly.",
    )
    source: Path | None = Field(
        None,
        description="Where pieces may be taken from: a picture of the same size, white there. Everywhere if omitted.",
    )
    keep_lines: bool = Field(False, description="Continue straight edges through wide holes.")
    seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the order in which pieces are tried; another may give another fill."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        return self._fill(device)

    def _fill(self, device: str, margin: float = 0.0, fade: float = 0.0, padding: Padding = Bound.padding) -> Bound:
        from pinxit.edits.restore import Fill, chosen_restorer
        from pinxit.edits.wide import Completed, read_source

        restorer = chosen_restorer("inpaint-v2", self.model, device, self.runtime, holes=True)
        if self.wide == "smooth":
            if self.source is not None or self.keep_lines:
                raise UsageError("--source and --keep-lines are about pieces; they do not work with --wide smooth")
            return Fill(restorer, device, margin=margin, fade=fade, padding=padding)
        source = read_source(self.source)
        return Completed(
            restorer,
            device,
            source=source,
            keep_lines=self.keep_lines,
            seed=self.seed,
            margin=margin,
            fade=fade,
            padding=padding,
        )


class Erase(Inpaint):
    """Remove what the mask covers: fill it from its surroundings, slightly beyond the mask, with a soft edge."""

    margin: float = Field(3.0, ge=0, le=1000, description="Pixels that are filled beyond the mask.")
    fade: float = Field(2.0, ge=0, le=1000, description="Pixels over which the fill then fades out to no change.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        return self._fill(device, self.margin, self.fade)


class Outpaint(Inpaint):
    """Extend the picture beyond its edges. The original pixels stay as they are."""

    pixels: int = Field(0, ge=0, le=10_000, description="Pixels to add on every side.")
    left: int | None = Field(None, ge=0, le=10_000, description="Pixels to add on the left; --pixels if omitted.")
    right: int | None = Field(None, ge=0, le=10_000, description="Pixels to add on the right; --pixels if omitted.")
    top: int | None = Field(None, ge=0, le=10_000, description="Pixels to add at the top; --pixels if omitted.")
    bottom: int | None = Field(None, ge=0, le=10_000, description="Pixels to add at the bottom; --pixels if omitted.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network; `UsageError` if no pixels are to be added."""
        sides = self.top, self.bottom, self.left, self.right
        top, bottom, left, right = (self.pixels if side is None else side for side in sides)
        if not (top or bottom or left or right):
            raise UsageError("no pixels to add: give --pixels for every side, or --left, --right, --top or --bottom")
        return self._fill(device, padding=((top, bottom), (left, right)))


class Enhance(Networked):
    """Brighten a picture that is too dark, by one tone curve for all its pixels. Well-lit pictures hardly change."""

    denoise: bool = Field(True, description="Then remove the noise that brightening reveals, as `denoise` does.")
    model: Path | None = Field(None, description=MODEL.replace("restore", "enhance"))

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the networks."""
        from pinxit.edits.restore import enhancer

        return enhancer(self.model, self.denoise, device, self.runtime)


class Colourise(Edit):
    """Give a grey picture colours, or a coloured one others; the lightness of every pixel stays."""

    hint: Path | None = Field(
        None,
        description="A picture of the same size with dabs of colour, transparent or grey where nothing is said. They "
        "are obeyed and spread to pixels of like lightness.",
    )
    guess: bool = Field(True, description="Guess colours with a network; with --no-guess only --hint says them.")
    seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the guess: 0 for the likeliest colours; others draw among likely ones."
    )
    model: Path | None = Field(
        None, description="A run of `pinxit train colourise`, or its weights, instead of the network that ships."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network and the hints; `UsageError` if neither says any colours."""
        from pinxit.edits.colourise import colouriser

        return colouriser(self.model, self.hint, self.guess, self.seed, device)


class Translate(Networked):
    """Turn a picture of one kind into one of another, with your own network of `pinxit train translate`.

    The network may insert and remove things: --only invented shows where to look.
    """

    model: Path = Field(description=f"{OWN.format('translate')}.")
    to: Literal["a", "b"] = Field(
        "b",
        description="The kind that is made: b of pictures of kind A, or a of those of B, if the run learned both ways.",
    )
    seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the result, if the run was trained with --dropout; 0 for the mean one."
    )
    only: Literal["invented"] | None = Field(
        None,
        description="Write a map instead of the picture, bright where the result may be invented. If the run learned "
        "both ways: where the result, turned back, is not the picture. Else: where the result has edges of its own.",
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network; `UsageError` if it does not make what is asked for."""
        from pinxit.edits.translate import translator

        return translator(self.model, self.to, self.seed, self.only is not None, device, self.runtime)


# Styles and textures.


def _listed(value: Any) -> Any:
    """Return a word with commas, or a single value, as a list."""
    if isinstance(value, str):
        return value.split(",")
    return [value] if isinstance(value, Path | int | float) else value


Pictures = Annotated[tuple[Path, ...], BeforeValidator(_listed)]
Shares = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed)]


class Optimised(Edit):
    """Base of edits that optimise the pixels themselves against the features of a frozen network."""

    steps: int = Field(
        60,
        ge=1,
        le=10_000,
        description="Most optimisation steps at each size; it stops early when the loss has settled.",
    )
    network: Literal["lite0", "vgg16", "vgg19"] = Field(
        "lite0", description="Extractor, the network that gives the features; vgg16 and vgg19 need --weights."
    )
    weights: Path | None = Field(None, description="Torchvision's weights of vgg16 or vgg19, as safetensors.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of all random numbers.")


class Stylize(Optimised, Networked):
    """Paint a picture in the style of others, by optimisation or in one pass. --strength sets how much."""

    proof: ClassVar[Mapping[str, tuple[float, ...]]] = {"scale": (0.75, 1.5, 3.0)}
    steady: ClassVar[float] = 0.8
    style: Pictures = Field((), description="Picture whose style to paint in, or several separated by commas.")
    blend: Shares = Field((), description="The share of each style, such as 2,1; equal if omitted.")
    scale: float | None = Field(
        None,
        ge=0.1,
        le=10,
        description="Size of the strokes; at 1, their size in the style picture when that is resized to the picture. "
        "Default 1.5; in one pass 0.75, because its networks cannot paint large strokes.",
    )
    keep_colours: bool = Field(False, description="Change only the brightness (luma) and keep the colours.")
    quick: bool = Field(False, description="Paint in one pass with the network that ships: colours and fine strokes.")
    model: Path | None = Field(None, description=f"{OWN.format('style')}, to paint in one pass instead of optimising.")

    @property
    def strokes(self) -> float:
        """The longer side of a style, as the network gets it, divided by that of the picture."""
        return self.scale or (STROKES if self.quick or self.model else 1.5)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network and the styles; `DataError` if one cannot be read, `UsageError` if a share is missing."""
        if self.blend and len(self.blend) != len(self.style):
            raise UsageError(f"--blend has {len(self.blend)} shares for {len(self.style)} styles: give one each")
        shares = self.blend or (1.0,) * len(self.style)
        if self.quick or self.model:
            from pinxit.edits.one_pass import Style, one_pass

            pictures = [load_image(path)[..., :3] for path in self.style]
            style = Style(pictures, shares, self.strokes, keep_colours=self.keep_colours)
            return one_pass(self.model, style, device, self.runtime)
        if self.runtime != "torch":
            raise UsageError("--runtime onnx runs networks that paint in one pass: add --quick or --model")
        if not self.style:
            raise UsageError("no style is given: --style names a picture, or several separated by commas")
        from pinxit.edits.stylize import Stylized, read_style
        from pinxit.losses.style import loss_network

        return Stylized(
            loss_network(self.network, self.weights, device),
            self.steps,
            self.seed,
            device,
            styles=tuple(read_style(path).to(device) for path in self.style),
            shares=shares,
            strokes=self.strokes,
            keep_colours=self.keep_colours,
        )


class Texture(Optimised):
    """Make a new texture that looks like the sample but does not copy it."""

    scale: int = Field(1, ge=1, le=8, description="How many times wider and higher than the sample.")
    seamless: bool = Field(True, description="Make opposite edges meet, so that repeated tiles show no seam.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.stylize import Textured
        from pinxit.losses.style import loss_network

        network = loss_network(self.network, self.weights, device)
        return Textured(network, self.steps, self.seed, device, scale=self.scale, seamless=self.seamless)


# One picture alone, without trained weights.


class DenoiseDCT(Edit):
    """Remove noise by thresholding sliding 8 x 8 cosine transforms: fast, and without any network."""

    sigma: Sigma = Field(None, ge=0, le=1, description=SIGMA)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        from pinxit.edits.dct import SlidingDCT

        return SlidingDCT(self.sigma)


class DenoiseZeroShot(Edit):
    """Remove noise of unknown kind with a tiny network that learns from the picture itself, within a minute.

    The noise must be independent from pixel to pixel; in an enlarged picture or a JPEG file it is not.
    """

    steps: int = Field(1000, ge=1, le=100_000, description="Training steps of the network.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of all random numbers.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        from pinxit.edits.single import ZeroShotNoise2Noise

        return ZeroShotNoise2Noise(self.steps, self.seed, device)


class DeepPrior(Edit):
    """Base of edits by a deep image prior."""

    holes: ClassVar[bool] = False
    max_steps: int = Field(3000, ge=1, le=100_000, description="Most training steps; it stops early once it settles.")
    channels: int = Field(32, ge=1, le=1024, description="Width of the network.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of all random numbers.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        from pinxit.edits.single import FittedPrior

        return FittedPrior(self.max_steps, self.channels, self.seed, device, getattr(self, "scale", 1), self.holes)


class DenoisePrior(DeepPrior):
    """Remove noise with a network that is fitted to the picture and stopped before it learns the noise (slow)."""


class InpaintPrior(DeepPrior):
    """Fill what the mask covers with a network that is fitted to the rest of the picture (slow)."""

    holes = True


class UpscalePrior(DeepPrior):
    """Enlarge with a network that is fitted until its output, reduced again, matches the picture (slow)."""

    scale: Literal[2, 3, 4, 8] = Field(2, description="How many times wider and higher.")
