"""Masks that number things, such as the cells of a picture, as three classes, and things from these classes.

A thing becomes its inside and its edge, so that things that touch are apart; from the inside each grows back over the
edge. The idea of a class for borders is that of the winners of the Data Science Bowl of 2018 (Caicedo et al., 2019).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy import ndimage

from pinxit.images import Picture, read_picture

THINGS = ("background", "edge", "inside")
"""The classes of things. A segmenter with just these finds things."""
EDGE_CLASS, INSIDE_CLASS = 1, 2
EDGE = 2.0
"""The width of an edge in pixels; of a small thing at least the middle is inside."""
LEAST = 4
"""Fewer pixels of inside are no thing."""


def read_things(source: Path | BinaryIO, name: str) -> Picture:
    """Decode a mask that numbers things, grey of 8 or 16 bits, or in colours: (H, W, 1) uint8, of the classes `THINGS`.

    0 or black is the background.
    """
    picture = read_picture(source, name)
    levels = picture.pixels[..., :3].astype(np.int64)
    numbers = levels @ (1 << np.arange(0, 16 * levels.shape[2], 16))
    return Picture(
        as_classes(numbers)[..., None], picture.format, picture.mode, picture.lost, picture.keeps, picture.turned
    )


def as_classes(numbers: np.ndarray) -> np.ndarray:
    """Return the classes (H, W) uint8 of the numbers (H, W) of things; 0 is the background."""
    found = np.unique(numbers, return_inverse=True)[1].reshape(numbers.shape) + int(numbers.min() > 0)
    classes = np.zeros(numbers.shape, np.uint8)
    for number, place in enumerate(ndimage.find_objects(found), 1):
        if place is None:
            continue
        own = found[place] == number
        deep = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
        inside = deep > min(EDGE, deep.max() - 0.5)
        classes[place][own] = np.where(inside, INSIDE_CLASS, EDGE_CLASS)[own]
    return classes


def grown(classes: np.ndarray) -> np.ndarray:
    """Return the numbers (H, W) int32, from 1 on, of the things in classes (H, W); 0 is the background.

    A thing is a connected inside, and the pixels of edge that are nearest to it and at most two widths of an edge away.
    """
    cores, count = ndimage.label(classes == INSIDE_CLASS)
    sizes = np.bincount(cores.ravel(), minlength=count + 1)
    cores[sizes[cores] < LEAST] = 0
    if not cores.any():
        return np.zeros(classes.shape, np.int32)
    distance, (rows, columns) = ndimage.distance_transform_edt(cores == 0, return_indices=True)
    own = cores > 0
    near = (classes == EDGE_CLASS) & (distance <= 2 * EDGE)
    numbers = np.where(own | near, cores[rows, columns], 0)
    return np.unique(numbers, return_inverse=True)[1].reshape(classes.shape).astype(np.int32)
