"""What a browser shows of pictures: upright, 8 bits, in sRGB, no larger than asked; and where an edit applies."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pinxit.actions.action import Action, Outcome
from pinxit.edits.mask import Mask


class View(Action):
    """Show a picture of any format as a PNG."""

    picture: Path = Field(description="The picture.")
    side: int = Field(1600, ge=1, le=4096, description="Longest side in pixels; larger pictures are reduced.")
    out: Path = Field(description="File to write.")

    def do(self) -> Outcome:
        """Write the view; the document has the size, depth and channels of the picture."""
        from pinxit.images import save_image
        from pinxit.images.picture import at_most, eight_bit
        from pinxit.images.read import read_picture

        pixels = read_picture(self.picture).pixels
        high, wide, channels = pixels.shape
        save_image(self.out, eight_bit(at_most(pixels, self.side)))
        return Outcome(None, {"width": wide, "height": high, "channels": channels}, (self.out,))


class Area(Action):
    """Show where an edit would change a picture: white in full, black not at all."""

    picture: Path = Field(description="The picture.")
    mask: Path | None = Field(None, description="Mask: a picture, white where the edit applies.")
    area: Mask = Field(Mask(), title="Where to change")
    out: Path = Field(description="File to write.")

    def do(self) -> Outcome:
        """Write the weights as a grey picture; the document has the share of the picture that would change."""
        import numpy as np

        from pinxit.edits import subjects
        from pinxit.edits.drawn import understood
        from pinxit.images import load_picture, save_image

        picture = load_picture(self.picture)
        mask = None if self.mask is None else understood(load_picture(self.mask))[0]
        finder = subjects.asked_for(self.area)
        weights = self.area.weights(picture, mask, None if finder is None else finder.matte(picture))
        if weights is None:
            weights = np.ones(picture.pixels.shape[:2], np.float32)
        save_image(self.out, np.rint(weights * 255).astype(np.uint8)[..., None])
        return Outcome(None, {"share": float(weights.mean())}, (self.out,))
