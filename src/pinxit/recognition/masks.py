"""From pictures of any size to the class of each pixel, by a trained network, in windows of its training's size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.data.render import converted, placement
from pinxit.data.things import THINGS
from pinxit.images import eight_bit, resize
from pinxit.objectives.objective import Segmenter
from pinxit.recognition.recogniser import Recogniser

HALO = 8
"""A window is read with a margin of a HALO-th of its side, which its neighbour knows better."""


class Span(NamedTuple):
    """A window along one axis: where it begins, and the part that is kept of it, in pixels of the picture."""

    start: int
    first: int
    stop: int

    @property
    def kept(self) -> slice:
        """The kept part within the window."""
        return slice(self.first - self.start, self.stop - self.start)


def spans(length: int, side: int) -> list[Span]:
    """Return windows of a side, evenly spaced, that cover a length and keep each pixel once: halves of each overlap."""
    halo = side // HALO
    count = max(1, math.ceil((length - 2 * halo) / (side - 2 * halo)))
    starts = [round(place) for place in np.linspace(0, max(0, length - side), count)]
    edges = [0, *((one + side + other) // 2 for one, other in pairwise(starts)), length]
    return [Span(start, *ends) for start, ends in zip(starts, pairwise(edges), strict=True)]


class MaskReader(Recogniser[Segmenter]):
    """A trained network that tells the class of each pixel."""

    @property
    def finds_things(self) -> bool:
        """Whether its classes are those of things, which grow from their insides."""
        return self.classes == THINGS

    def read(self, picture: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the class of each pixel (H, W) uint8, and their mean probability, of a picture as `load_image` reads.

        A picture is read at the scale at which those of training were, and at no other size than theirs.
        """
        high, wide = picture.shape[:2]
        shares = self.probabilities(picture)
        best = torch.zeros(high, wide)
        found = torch.zeros(high, wide, dtype=torch.uint8)
        for number, share in enumerate(shares):  # one by one, because at their own size all would fill the memory
            own = F.interpolate(share[None, None], (high, wide), mode="bilinear", align_corners=False)[0, 0]
            better = own > best
            best, found = torch.where(better, own, best), found.masked_fill(better, number)
        return found.numpy(), float(best.mean())

    def probabilities(self, picture: np.ndarray) -> Tensor:
        """Return the probabilities (K, h, w) of the classes at the size at which a picture is read."""
        shape = self.objective.shape
        across, down, *_ = placement(picture.shape, shape.sides, self.fit)
        own = eight_bit(picture)
        size = max(1, round(picture.shape[0] * down)), max(1, round(picture.shape[1] * across))
        image = converted(own if size == own.shape[:2] else resize(own, size, None), shape.channels)[0]
        return torch.cat([torch.cat(list(row), dim=2) for row in self._rows(image)], dim=1)

    def _rows(self, image: Tensor) -> Iterator[Iterator[Tensor]]:
        """Yield rows of the kept parts of windows, from top to bottom and from left to right."""
        high, wide = self.objective.shape.sides
        for down in spans(image.shape[1], high):
            yield (self._window(image, down, across) for across in spans(image.shape[2], wide))

    def _window(self, image: Tensor, down: Span, across: Span) -> Tensor:
        """Return the probabilities of the kept part of a window; a smaller picture is continued by reflection."""
        high, wide = self.objective.shape.sides
        rows, columns = (
            reflected(span.start, side, length)
            for span, side, length in zip((down, across), (high, wide), image.shape[1:], strict=True)
        )
        with torch.no_grad():
            found = self.objective.logits(image[:, rows][:, :, columns][None]).softmax(1)[0]
        return found[:, down.kept][:, :, across.kept]


def reflected(start: int, side: int, length: int) -> Tensor:
    """Return the places of a window along an axis; beyond the last comes the reflection, edge pixels included."""
    place = torch.arange(start, start + side) % (2 * length)
    return torch.minimum(place, 2 * length - 1 - place)
