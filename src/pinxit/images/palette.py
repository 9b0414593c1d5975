"""Colours of classes."""

from __future__ import annotations

import colorsys

import numpy as np

TURN = 0.381966
"""Of the circle of colours from one class to the next: the golden angle."""


def class_colours(count: int) -> np.ndarray:
    """Return a colour (count, 3) uint8 for each class: bright ones, neighbours far from each other on the circle."""
    found = [colorsys.hsv_to_rgb(number * TURN % 1, 0.85 if number % 2 else 0.6, 1.0) for number in range(count)]
    return (255 * np.array(found).reshape(-1, 3)).round().astype(np.uint8)
