"""Boxes drawn on pictures, each in the colour of its class, with a word if there is room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

from pinxit.images.picture import to_pillow

COLOURS = (
    (230, 60, 50), (40, 130, 240), (30, 170, 80), (245, 160, 20),
    (160, 80, 220), (0, 175, 190), (235, 90, 170), (150, 110, 60),
)  # fmt: skip
"""Colours of classes, in turn."""
LEAST = 24
"""The least width in pixels of a box that gets a word."""


def framed(pixels: np.ndarray, boxes: np.ndarray, words: Sequence[str] = ()) -> np.ndarray:
    """Return a picture (H, W, C) uint8 as (H, W, 3) with boxes (k, 5 or more) drawn on it.

    Each box is left, top, right and bottom in pixels, with its class as the last number.
    """
    image = to_pillow(pixels).convert("RGB")
    draw = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) / 320))
    for number, box in enumerate(boxes):
        left, top, right, bottom = (float(side) for side in box[:4])
        colour = COLOURS[int(box[-1]) % len(COLOURS)]
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=width)
        if number < len(words) and right - left >= LEAST:
            where = (left + width + 1, top + width)
            draw.rectangle(draw.textbbox(where, words[number]), fill=colour)
            draw.text(where, words[number], fill="white")
    return np.asarray(image)
