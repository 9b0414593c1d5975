"""What a drawn mask means: white on black, drawn in its alpha, drawn in colours, or with values of 0 and 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pinxit.edits.mask import light_of
from pinxit.edits.nearest import strips
from pinxit.images import Picture

WHITES = {np.dtype(np.uint8): (1,), np.dtype(np.uint16): (1, 255, 1023, 4095)}
"""Largest values of a mask that stand for white: those of 1 bit, and of 8, 10 and 12 bits in a file of 16."""
LABELS = 64
"""The most colours of a map of labels; a photograph or a soft brush has more."""
FAINT = 0.25
FAINTLY = "faint: most pixels that it chooses count for less than 25 %; --mask-threshold 0 counts them in full"
NO_PIXEL = "the mask selects no pixel, so the edit applies nowhere"


def understood(mask: Picture) -> tuple[Picture, tuple[str, ...]]:
    """Return a drawn mask as one that is white where to change, and remarks on how it was read.

    If all visible pixels have one colour, the alpha is the mask. A map of labels in colours counts everywhere but where
    it is black. A largest value of `WHITES` is white. Any other mask is unchanged.
    """
    remarks = []
    if mask.pixels.shape[2] == 4 and _of_one_colour(mask.pixels):
        mask = _grey(mask, mask.pixels[..., 3:])
        remarks.append("drawn in its alpha: opaque pixels count")
    elif _is_map_of_labels(mask):
        mask = _with_colours(mask, np.any(mask.pixels[..., :3], axis=2, keepdims=True), 1)
        remarks.append("drawn in colours: all that is not black counts")
    top = int(mask.pixels[..., :3].max())
    if top in WHITES.get(mask.pixels.dtype, ()):
        mask = _with_colours(mask, mask.pixels[..., :3], top)
        remarks.append(f"read with {top}, its largest value, as white")
    return mask, tuple(remarks)


def is_faint(mask: Picture) -> bool:
    """Return whether most pixels that a mask chooses count for less than `FAINT`."""
    faint = chosen = 0
    for strip in strips(mask.pixels.shape):
        light = light_of(mask.pixels[strip])
        chosen += int(np.count_nonzero(light))
        faint += int(np.count_nonzero((light > 0) & (light < FAINT)))
    return 2 * faint > chosen


def _grey(mask: Picture, pixels: np.ndarray) -> Picture:
    return replace(mask, pixels=np.ascontiguousarray(pixels), mode="L")


def _with_colours(mask: Picture, colours: np.ndarray, top: int) -> Picture:
    """Return a mask with other colours, of which `top` becomes white; its alpha counts on."""
    white, kind = np.iinfo(mask.pixels.dtype).max, mask.pixels.dtype
    bright = colours * kind.type(white) if top == 1 else (colours * np.uint32(white) + top // 2) // np.uint32(top)
    if mask.pixels.shape[2] < 4:
        return _grey(mask, bright.astype(kind))
    wide = np.broadcast_to(bright.astype(kind), (*colours.shape[:2], 3))
    return replace(mask, pixels=np.concatenate([wide, mask.pixels[..., 3:]], axis=2))


def _of_one_colour(pixels: np.ndarray) -> bool:
    """Return whether some pixels (H, W, 4) are transparent, and all that are seen have one colour, which is not white.

    With white, colour times alpha is the alpha already.
    """
    white = np.iinfo(pixels.dtype).max
    first = None
    for strip in strips(pixels.shape):
        colours = pixels[strip][pixels[strip][..., 3] > 0][:, :3]
        first = colours[0] if first is None and len(colours) else first
        if first is not None and (colours != first).any():
            return False
    return first is not None and not (first == white).all() and not (pixels[..., 3] == white).all()


def _is_map_of_labels(mask: Picture) -> bool:
    """Return whether a picture has few colours, exactly drawn, and not only greys."""
    pixels = mask.pixels
    if mask.format == "JPEG" or pixels.shape[2] < 3:
        return False
    if not any((pixels[strip][..., :1] != pixels[strip][..., 1:3]).any() for strip in strips(pixels.shape)):
        return False
    seen: set[int] = set()
    for strip in strips(pixels.shape):
        codes = pixels[strip][..., :3].astype(np.int64) @ np.array([1 << 32, 1 << 16, 1])
        seen.update(np.unique(codes)[: LABELS + 1].tolist())
        if len(seen) > LABELS:
            return False
    return True
