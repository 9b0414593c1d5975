"""Straight edges that enter a hole on one side and leave it on another.

The direction of an edge is that of the structure tensor (Foerstner and Guelch, 1987) of known pixels beside the hole.
Two points belong to one line if both edges point at each other and separate like colours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, minimum_filter

SMOOTH = 1.5
"""Gaussian of the structure tensor in pixels."""
NEAREST, FURTHEST = 3.0, 6.0
"""Distances from the hole at which edges are looked for, in pixels."""
CONTRAST = 0.02
"""The least slope of an edge, in units of the image range per pixel."""
POINTS, MOST, APART = 60, 8, 3
"""Points that are looked at, lines that are kept, and the least distance between two points in pixels."""
STRAIGHT, BENT = 0.985, 0.92
"""The least cosines of the angles between a line and the edges at its better and at its worse end."""
LIKE = 0.12
"""The largest mean difference of the colours beside both ends."""
ACROSS = 2.0
"""Pixels to either side of an edge where its colours are taken."""


class Line(NamedTuple):
    """A straight edge through a hole, from `start` to `end`, (row, column) of known pixels."""

    start: np.ndarray
    end: np.ndarray

    @property
    def direction(self) -> np.ndarray:
        """The unit vector from start to end."""
        return np.asarray((self.end - self.start) / np.linalg.norm(self.end - self.start))

    def apart(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distances of points (n, 2) to the line without its ends."""
        (down, right), away = self.direction, points - self.start
        return np.asarray(away[..., 1] * down - away[..., 0] * right)

    def meets(self, other: Line) -> bool:
        """Return whether two lines cross, or are one."""
        mine, its = (one.apart(np.stack([two.start, two.end])) for one, two in ((self, other), (other, self)))
        return bool((np.prod(mine) < 0 and np.prod(its) < 0) or np.abs(mine).max() < APART - 1)

    def colours(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the colours (n, C) at points (n, 2) if those at both ends went on along the line."""
        way = self.end - self.start
        along = ((points - self.start) @ way / (way @ way)).clip(0, 1)[:, None]
        normal = np.array([-self.direction[1], self.direction[0]])
        beside = self.apart(points)[:, None] * normal
        first, last = (
            image[tuple(np.rint(end + beside).astype(int).clip(0, np.array(image.shape[:2]) - 1).T)]
            for end in (self.start, self.end)
        )
        return np.asarray((1 - along) * first + along * last)


def lines_through(image: np.ndarray, hole: np.ndarray) -> list[Line]:
    """Return the straight edges of a picture (H, W, C) that cross the hole (H, W) bool, the clearest first."""
    points, directions, colours = ends(image, hole)
    if len(points) < 2:
        return []
    one, other = np.triu_indices(len(points), 1)
    way = (points[other] - points[one]).astype(float)
    far = np.linalg.norm(way, axis=1)
    way /= np.maximum(far, 1e-9)[:, None]
    angles = [np.abs((way * directions[side]).sum(axis=1)) for side in (one, other)]
    turned = np.sign((directions[one] * directions[other]).sum(axis=1))[:, None, None]
    beside = np.where(turned >= 0, colours[other], colours[other][:, ::-1])
    unlike = np.abs(colours[one] - beside).mean(axis=(1, 2))
    fits = (far > 6) & (np.minimum(*angles) > BENT) & (np.maximum(*angles) > STRAIGHT) & (unlike < LIKE)
    cost = np.where(fits, unlike / LIKE + (2 - angles[0] - angles[1]) / (1 - BENT), np.inf)
    used = np.zeros(len(points), bool)
    found: list[Line] = []
    for pair in np.argsort(cost, kind="stable"):
        first, last = one[pair], other[pair]
        if not np.isfinite(cost[pair]) or len(found) == MOST:
            break
        if not (used[first] or used[last]) and crosses(hole, points[first], points[last]):
            line = Line(points[first].astype(float), points[last].astype(float))
            if not any(map(line.meets, found)):
                used[[first, last]] = True
                found.append(line)
    return found


def ends(image: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points on edges beside the hole, the edges' directions, both (n, 2), and the colours to both sides."""
    grey, known = image.mean(axis=2), minimum_filter(~hole, 3)
    slopes = [np.gradient(grey, axis=axis) * known for axis in (0, 1)]
    weight = np.maximum(gaussian_filter(known.astype(np.float32), SMOOTH), 1e-6)
    rows, columns, both = (
        gaussian_filter(one * two, SMOOTH) / weight
        for one, two in ((slopes[0], slopes[0]), (slopes[1], slopes[1]), (slopes[0], slopes[1]))
    )
    strength = np.sqrt(np.hypot(rows - columns, 2 * both))  # of the two eigenvalues, the root of the difference
    angle = 0.5 * np.arctan2(2 * both, rows - columns)  # of the gradient, from downwards
    away = distance_transform_edt(~hole)
    near = (away >= NEAREST) & (away <= FURTHEST) & (strength > CONTRAST) & known
    for sign in (1, -1):  # the middle of an edge
        places = np.indices(hole.shape) + sign * np.rint(1.4 * np.stack([np.cos(angle), np.sin(angle)])).astype(int)
        near &= strength >= strength[tuple(at.clip(0, side - 1) for at, side in zip(places, hole.shape, strict=True))]
    order = np.argsort(-np.where(near, strength, 0), axis=None, kind="stable")[: int(near.sum())]
    free, chosen = near.copy(), []
    for place in order:
        row, column = divmod(int(place), hole.shape[1])
        if free[row, column]:
            chosen.append((row, column))
            free[max(0, row - APART) : row + APART + 1, max(0, column - APART) : column + APART + 1] = False
        if len(chosen) == POINTS:
            break
    points = np.array(chosen, int).reshape(-1, 2)
    turned = angle[tuple(points.T)]
    normals = np.stack([np.cos(turned), np.sin(turned)], axis=1)
    sides = []
    for sign in (1, -1):
        at = np.rint(points + sign * ACROSS * normals).astype(int).clip(0, np.array(hole.shape) - 1)
        sides.append(image[tuple(at.T)])
    return points, np.stack([-normals[:, 1], normals[:, 0]], axis=1), np.stack(sides, axis=1)


def crosses(hole: np.ndarray, start: np.ndarray, end: np.ndarray) -> bool:
    """Return whether most of the way between two points lies in the hole."""
    steps = np.linspace(0, 1, 2 * int(np.abs(end - start).max()) + 1)[:, None]
    way = np.rint(start + steps * (end - start)).astype(int)
    return bool(hole[tuple(way.T)].mean() > 0.5)
