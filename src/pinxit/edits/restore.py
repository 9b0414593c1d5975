"""Edits by a trained network: one that comes with pinxit, or a run of `pinxit train restore`. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pinxit.edits.bound import Bound, Networked
from pinxit.errors import UsageError

if TYPE_CHECKING:
    from pinxit.edits.exported import Exported
    from pinxit.edits.restorer import Restorer

MODEL = (
    "A run of `pinxit train restore`, its weights, or what `pinxit export` made of it (.onnx), instead of the network "
    "that comes with pinxit."
)


class Restore(Networked):
    """Undo what a network of your own has learned to undo, by `pinxit train restore`."""

    model: Path = Field(description="A run of `pinxit train restore`, its weights, or what `pinxit export` made of it.")
    sigma: float | None = Field(
        None, ge=0, le=1, description="Standard deviation of the noise, in units of the image range; seen if not given."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network; `DataError` if the model is none, `UsageError` if it cannot be told the noise."""
        from pinxit.edits.restorer import opened

        return opened(self.model, device, self.runtime, self.sigma)


class Repair(Networked):
    """What edits by a network that keeps the size have in common: the name of the one that comes with pinxit."""

    network: ClassVar[str]
    model: Path | None = Field(None, description=MODEL)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.restorer import bound

        return bound(self.network, self.model, device, self.runtime, scale=1, holes=False)


class Denoise(Repair):
    """Take noise away by a network that has seen photographs; it sees itself how strong the noise is."""

    network = "denoise-v2"
    free: bool = Field(
        False,
        description="By the network that has learned from pictures alone which anyone may use for anything; a little "
        "weaker.",
    )
    sigma: float | None = Field(
        None, ge=0, le=1, description="Standard deviation of the noise, in units of the image range; seen if not given."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.restorer import bound

        network = "denoise-free-v1" if self.free else self.network
        return bound(network, self.model, device, self.runtime, scale=1, holes=False, sigma=self.sigma)


class Deblur(Repair):
    """Sharpen what is out of focus, by up to some three pixels, by a network that has seen photographs."""

    network = "deblur-v1"


class Dejpeg(Repair):
    """Take away what JPEG files show, blocks, rings and blotches, by a network that has seen photographs."""

    network = "jpeg-v2"


class Upscale(Networked):
    """Enlarge by a network that has seen photographs."""

    networks: ClassVar[Mapping[int, str]] = {2: "upscale-x2-v1", 4: "upscale-x4-v2"}
    scale: int = Field(2, ge=2, le=8, description="How many times wider and higher; without a model 2 or 4.")
    fidelity: float = Field(
        0.0, ge=0, le=1, description="How far the result is brought to what, made small again, is its picture."
    )
    model: Path | None = Field(None, description=MODEL)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.fidelity import Faithful
        from pinxit.edits.restorer import bound

        network = self.networks.get(self.scale, f"upscale-x{self.scale}")
        enlarging = bound(network, self.model, device, self.runtime, scale=self.scale, holes=False)
        return Faithful(enlarging, self.fidelity) if self.fidelity else enlarging


class Inpaint(Networked):
    """Fill what the mask covers by a network that has seen photographs; what it makes of wide holes is smooth."""

    model: Path | None = Field(None, description=MODEL)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.fill import Fill

        return Fill(self._restorer(device), device, memory)

    def _restorer(self, device: str) -> Restorer | Exported:
        from pinxit.edits.restorer import bound

        return bound("inpaint-v2", self.model, device, self.runtime, scale=1, holes=True)


class Erase(Inpaint):
    """Remove what the mask covers: it is filled from around it, a little beyond the mask and with a soft edge."""

    margin: float = Field(3.0, ge=0, le=1000, description="Pixels by which what is filled is wider than the mask.")
    fade: float = Field(2.0, ge=0, le=1000, description="Pixels over which it then fades out; beyond, nothing changes.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.edits.fill import Fill

        return Fill(self._restorer(device), device, memory, margin=self.margin, fade=self.fade)


class Outpaint(Inpaint):
    """Continue the picture beyond its edges; what is there stays as it is."""

    pixels: int = Field(0, ge=0, le=10_000, description="Pixels to add on every side.")
    left: int | None = Field(None, ge=0, le=10_000, description="Pixels to add on the left instead.")
    right: int | None = Field(None, ge=0, le=10_000, description="Pixels to add on the right instead.")
    top: int | None = Field(None, ge=0, le=10_000, description="Pixels to add at the top instead.")
    bottom: int | None = Field(None, ge=0, le=10_000, description="Pixels to add at the bottom instead.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network; `UsageError` if nothing is to be added."""
        from pinxit.edits.fill import Fill

        top, bottom, left, right = (
            self.pixels if side is None else side for side in (self.top, self.bottom, self.left, self.right)
        )
        if not (top or bottom or left or right):
            raise UsageError("by how much? --pixels is for all sides; --left, --right, --top and --bottom for one")
        return Fill(self._restorer(device), device, memory, room=((top, bottom), (left, right)))


class Enhance(Networked):
    """Give a picture that is too dark its light back, by one curve for all of it; others stay nearly as they are."""

    denoise: bool = Field(True, description="Take away the noise that comes to light, as `denoise` does.")
    model: Path | None = Field(
        None,
        description="A run of `pinxit train enhance`, its weights, or what `pinxit export` made of it (.onnx), instead "
        "of the network that comes with pinxit.",
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the networks."""
        from pinxit.edits.enhancer import load

        return load(self, device, memory)
