"""Picture files to arrays and back. Nothing is clipped, turned or dropped silently.

No other module of pinxit opens or writes a picture file. Import the names below from here; animations have their own
module, `pinxit.images.animations`.
"""

from __future__ import annotations

from pinxit.images.picture import (
    FIRST_FRAME,
    NO_EXIF,
    NO_PROFILE,
    PLAIN_CMYK,
    Metadata,
    Picture,
    at_most,
    eight_bit,
    grid,
    resize,
    resize_nearest,
    scaled,
)
from pinxit.images.pillow import FORMATS
from pinxit.images.read import READERS, SUFFIXES, load_image, load_picture, read_mask, read_picture, read_recipe
from pinxit.images.write import (
    AUTO,
    QUALITY,
    format_of,
    kind_of,
    save_image,
    save_picture,
    save_sheet,
    unheld,
    write_picture,
)

__all__ = [
    "AUTO",
    "FIRST_FRAME",
    "FORMATS",
    "NO_EXIF",
    "NO_PROFILE",
    "PLAIN_CMYK",
    "QUALITY",
    "READERS",
    "SUFFIXES",
    "Metadata",
    "Picture",
    "at_most",
    "eight_bit",
    "format_of",
    "grid",
    "kind_of",
    "load_image",
    "load_picture",
    "read_mask",
    "read_picture",
    "read_recipe",
    "resize",
    "resize_nearest",
    "save_image",
    "save_picture",
    "save_sheet",
    "scaled",
    "unheld",
    "write_picture",
]
