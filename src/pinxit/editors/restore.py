"""Edits by a trained network: one that comes with pinxit, or a run of `pinxit train restore`. No torch here."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pinxit.editors.editor import Bound, Editor

MODEL = "A run of `pinxit train restore`, or its weights, instead of the network that comes with pinxit."


class Restore(Editor):
    """Undo what a network of your own has learned to undo, by `pinxit train restore`."""

    model: Path = Field(description="A run of `pinxit train restore`, or its weights.")
    sigma: float | None = Field(
        None, ge=0, le=1, description="Standard deviation of the noise, in units of the image range; seen if not given."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network; `DataError` if the model is none, `UsageError` if it cannot be told the noise."""
        from pinxit.editors.restorer import Restorer, load

        return Restorer(load(self.model), device, self.sigma)


class Denoise(Editor):
    """Take noise away by a network that has seen photographs; it sees itself how strong the noise is."""

    sigma: float | None = Field(
        None, ge=0, le=1, description="Standard deviation of the noise, in units of the image range; seen if not given."
    )
    model: Path | None = Field(None, description=MODEL)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.editors.restorer import bound

        return bound("denoise-v1", self.model, device, scale=1, holes=False, sigma=self.sigma)


class Upscale(Editor):
    """Enlarge by a network that has seen photographs."""

    scale: int = Field(2, ge=2, le=8, description="How many times wider and higher; without a model 2.")
    model: Path | None = Field(None, description=MODEL)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.editors.restorer import bound

        return bound(f"upscale-x{self.scale}-v1", self.model, device, scale=self.scale, holes=False)


class Inpaint(Editor):
    """Fill what the mask covers by a network that has seen photographs: holes no wider than some ten pixels."""

    model: Path | None = Field(None, description=MODEL)

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the network."""
        from pinxit.editors.restorer import bound

        return bound("inpaint-v1", self.model, device, scale=1, holes=True)


class Enhance(Editor):
    """Give a picture that is too dark its light back, by one curve for all of it; one that is not stays nearly as it is."""

    denoise: bool = Field(True, description="Take away the noise that comes to light, as `denoise` does.")
    model: Path | None = Field(
        None, description="A run of `pinxit train enhance`, or its weights, instead of the network that comes with pinxit."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load the networks."""
        from pinxit.editors.enhancer import load

        return load(self.model, self.denoise, device)
