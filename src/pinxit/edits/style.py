"""Edits that paint with what a frozen network sees: a picture in another's style, and textures. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from pinxit.edits.bound import Bound, Edit, Networked
from pinxit.errors import UsageError
from pinxit.runtime import STROKES


def _listed(value: Any) -> Any:
    """Return what is given as one word with commas, or as one thing, as a list."""
    if isinstance(value, str):
        return value.split(",")
    return [value] if isinstance(value, Path | int | float) else value


OPTIMISED = 1.5
"""The scale of strokes if none is asked for; in one pass it is `STROKES`."""

Pictures = Annotated[tuple[Path, ...], BeforeValidator(_listed)]
Shares = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed)]


class Painter(Edit):
    """What edits have in common that paint by optimisation."""

    steps: int = Field(60, ge=1, le=10_000, description="Steps at each size, of which it takes fewer if these do.")
    network: Literal["lite0", "vgg16", "vgg19"] = Field(
        "lite0", description="The network that looks; vgg16 and vgg19 need their --weights."
    )
    weights: Path | None = Field(None, description="Torchvision's weights of vgg16 or vgg19, as safetensors.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides every random draw.")


class Stylize(Painter, Networked):
    """Paint a picture in the style of others; it is optimised, or painted in one pass. --strength says how far."""

    proof: ClassVar[Mapping[str, tuple[float, ...]]] = {"scale": (0.75, 1.5, 3.0)}
    steady: ClassVar[float] = 0.8
    style: Pictures = Field((), description="The picture whose style it is, or several with commas between.")
    blend: Shares = Field((), description="The share of each style, such as 2,1; equal ones if not given.")
    scale: float | None = Field(
        None,
        ge=0.1,
        le=10,
        description="Size of the strokes; 1 is as in the style when made as large as the picture. 1.5 if not given, "
        "and 0.75 in one pass, whose networks see no large strokes.",
    )
    keep_colours: bool = Field(False, description="Change how light things are and not their colours.")
    quick: bool = Field(
        False,
        description="Paint in one pass by the network that comes with pinxit: colours and fine strokes.",
    )
    model: Path | None = Field(
        None,
        description="Paint in one pass by a run of `pinxit train style`, its weights, or what `pinxit export` made of "
        "it (.onnx), instead of optimising.",
    )

    @property
    def strokes(self) -> float:
        """The longer side of the style as it is looked at, over the picture's."""
        return self.scale or (STROKES if self.quick or self.model else OPTIMISED)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network and the styles; `DataError` if one cannot be read, `UsageError` if a share is missing."""
        if self.blend and len(self.blend) != len(self.style):
            raise UsageError(f"--blend has {len(self.blend)} shares for {len(self.style)} styles: one each")
        if self.quick or self.model:
            from pinxit.edits.stylizer import load

            return load(self, device)
        if self.runtime != "torch":
            raise UsageError("--runtime onnx runs networks that paint in one pass: --quick, or --model")
        if not self.style:
            raise UsageError("in which style? --style names a picture, or several with commas between")
        from pinxit.edits.painter import Stylized

        return Stylized.of(self, device)


class Texture(Painter):
    """Make a texture of a picture that is a sample of it: alike everywhere, and nowhere a copy."""

    scale: int = Field(1, ge=1, le=8, description="How many times wider and higher than the sample it is.")
    seamless: bool = Field(True, description="Let it go on at the opposite edge, so that tiles of it show no seam.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.painter import Textured

        return Textured.of(self, device)
