"""Edits that need no trained weights: by formula, or by a network that learns from the one picture. No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pinxit.edits.bound import Bound, Edit


class DenoiseDCT(Edit):
    """Take noise away by thresholding sliding 8 x 8 cosine transforms: fast and plain, without any network."""

    sigma: float | None = Field(
        None, ge=0, le=1, description="Standard deviation of the noise, in units of the image range; seen if not given."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        from pinxit.edits.dct import SlidingDCT

        return SlidingDCT(self.sigma)


class DenoiseZeroShot(Edit):
    """Take noise of unknown kind away by a tiny network that learns it from the picture itself, within a minute.

    The noise must be independent from pixel to pixel; that of an enlarged picture or a JPEG file is not.
    """

    steps: int = Field(1000, ge=1, le=100_000, description="Steps for which the network learns.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides every random draw.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        from pinxit.edits.zero_shot import ZeroShotNoise2Noise

        return ZeroShotNoise2Noise(self.steps, self.seed, device)


class Prior(Edit):
    """What the edits by a deep image prior have in common."""

    max_steps: int = Field(
        3000, ge=1, le=100_000, description="Steps after which it ends if it has not settled before."
    )
    channels: int = Field(32, ge=1, le=1024, description="Width of the network.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides every random draw.")


class DenoisePrior(Prior):
    """Take noise away by a network that is fitted to the picture and stopped before it learns the noise (slow)."""

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        from pinxit.edits.prior import FittedPrior

        return FittedPrior(self, device)


class InpaintPrior(Prior):
    """Fill what the mask covers by a network that is fitted to the rest of the picture (slow)."""

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        from pinxit.edits.prior import FittedPrior

        return FittedPrior(self, device, holes=True)


class UpscalePrior(Prior):
    """Enlarge by a network that is fitted to what, made small again, is the picture (slow)."""

    scale: Literal[2, 3, 4, 8] = Field(2, description="How many times wider and higher.")

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Return the edit; there is nothing to load."""
        from pinxit.edits.prior import FittedPrior

        return FittedPrior(self, device, scale=self.scale)
