"""A picture as a browser can show it: upright, 8 bits, in sRGB, no larger than asked."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pinxit.actions.action import Action, Outcome


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
