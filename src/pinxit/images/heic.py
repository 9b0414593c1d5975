"""HEIC and HEIF pictures, as phones make them, by pi-heif, which decodes only."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image

from pinxit.images import pillow
from pinxit.images.picture import SECOND_PICTURE, Picture
from pinxit.images.room import check_size
from pinxit.images.samples import ALPHA, PREMULTIPLIED, Stored, pixels_of
from pinxit.images.tags import colour_tags

SUFFIXES = frozenset((".heic", ".heif", ".hif"))
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def knows(file: BinaryIO) -> bool:
    """Return whether a file is of the HEIF family and no AVIF."""
    head = file.read(64)
    length = min(64, int.from_bytes(head[:4], "big"))
    return (
        head[4:8] == b"ftyp"
        and head[8:12] in _BRANDS
        and not {b"avif", b"avis"} & {head[place : place + 4] for place in range(8, length, 4)}
    )


def read(file: BinaryIO, name: str) -> Picture:
    """Decode the primary picture of a HEIC file, upright. Previews, depth maps and gain maps are not used."""
    import pi_heif

    file.seek(0)
    found = pi_heif.open_heif(file, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    picture = found[found.primary_index]
    check_size(picture.size, name, 8)
    samples = np.atleast_3d(np.array(picture))  # a copy: the codec's memory goes with the file
    extra = (PREMULTIPLIED if picture.premultiplied_alpha else ALPHA,) * picture.has_alpha
    grey = samples.shape[2] - len(extra) == 1
    stored = Stored("black is zero" if grey else "RGB", picture.info["bit_depth"], extra=extra)
    pixels, told = pixels_of(samples, stored, name)
    others = len(found) > 1 or any(picture.info.get(key) for key in ("depth_images", "aux"))
    carrier = Image.new(stored.mode, (1, 1))
    carrier.format = "HEIF"
    carrier.info |= {key: picture.info[key] for key in ("exif", "icc_profile", "xmp") if picture.info.get(key)}
    lost = (*[SECOND_PICTURE] * others, *told)
    return pillow.assemble(carrier, carrier.mode, pixels, 1, lost, colour_tags(file, carrier, {}))
