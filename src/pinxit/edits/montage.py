"""Holes completed with pieces of the picture itself: a map of offsets, found from coarse to fine, and blended.

A pixel p of the hole becomes a copy of the pixel p + s. The offsets s come from few candidates: the most frequent
offsets between similar patches of the picture (He and Sun, 2012), those between the patches around the hole and their
best matches, and those of a coarse grid that fit the border. Which candidate a pixel takes is chosen by graph cuts
(Boykov, Veksler and Zabih, 2001), so that pieces meet where they agree (Kwatra et al., 2003; Pritch et al., 2009). At
every finer size the pieces are shifted by at most a pixel and their seams are cut anew. Then the pieces get the colours
of what is around them (Perez et al., 2003). This differs from the papers:

- Patches are compared in one batch of matrix products, on the coarsest size.
- The hole's border is compared in a band of pixels, not one pixel wide.
- A rough fill of the hole (`Guide`) holds back pieces of an unlike colour or texture, and things that the picture
  shows only once, such as a face.
- On request, straight edges are continued (`lines`): offsets along them are candidates, and their colours are wanted.
- Where pieces disagree strongly, they keep their edge instead of bleeding into each other.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import binary_dilation, gaussian_filter, maximum_filter, minimum_filter
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import cg

from pinxit.edits.cuts import cheapest
from pinxit.edits.lines import Line, lines_through
from pinxit.edits.nearest import nearest

NODES, PIXELS, LEAST = 3_000, 40_000, 48
"""The coarsest size has at most so many pixels of holes, and in all, unless a side is below the double of `LEAST`."""
REACH = 3
"""Pixels from the centre of a patch to its edge."""
FREQUENT, AROUND, QUERIES = 60, 40, 4_000
"""Candidates by frequency and by the patches around the hole, and how many patches vote for the former."""
FITTING, GRID = 30, 600
"""Candidates of a grid that fit the border, and the offsets of that grid."""
ALONG, OFF_A_LINE = 12, 2.0
"""Candidates along each way of a line, and the cost of a pixel beside a line for each unit of another colour."""
ODD = 0.08
"""Cost of copying a pixel whose patch resembles no other, for each time that it does so less than usual."""
SLOPES = 2.0
"""Weight of a step in brightness beside one of colour."""
BORDER, RING = 3.0, 2
"""Weight of the agreement at the hole's border, and the pixels beyond it that are compared."""
IMPOSSIBLE = 100.0
"""Cost of copying a pixel that is not there, or that must not be copied."""
SEAM = 2
"""Pixels to each side of a seam in which it is cut anew."""
SWEEPS = 3
DISAGREE = 0.2
"""Difference of colour at which a seam is half as stiff."""
LIKENESS, UNLIKE, BLUR = 0.8, 0.25, 2.0
"""Weight of the guide, the largest difference from it that counts, and its Gaussian blur in pixels."""
AROUND_A_PIXEL = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])


class Level:
    """A picture (H, W, C) at one size: what is a hole, and what is good to be copied; both (H, W) bool.

    Pixels are counted row by row. Values are the colours and the slopes of the brightness.
    """

    def __init__(self, image: np.ndarray, hole: np.ndarray, good: np.ndarray) -> None:
        self.hole, self.good = hole, good & ~hole
        self.high, self.wide = hole.shape
        self.image = np.where(hole[..., None], np.float32(0), image)
        self.colours = (self.image * np.float32(np.sqrt(3 / image.shape[2]))).reshape(-1, image.shape[2])
        self.values = np.concatenate([self.colours, SLOPES * slopes(self.image, hole).reshape(-1, 2)], axis=1)
        known = ~hole
        self.ring = (known & binary_dilation(hole, np.ones((2 * RING + 1,) * 2))).reshape(-1)
        self.border = (hole & binary_dilation(known)).reshape(-1)
        self.pixels = np.flatnonzero(hole)
        self.rows, self.columns = (plane.astype(np.int32) for plane in np.divmod(np.arange(hole.size), self.wide))

    def moved(self, pixels: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels at these offsets (n, 2) or (2,), and whether each is there; if not, one at the edge."""
        rows, columns = self.rows[pixels] + offsets[..., 0], self.columns[pixels] + offsets[..., 1]
        high, wide = (np.minimum(np.maximum(at, 0), side - 1) for at, side in ((rows, self.high), (columns, self.wide)))
        return high * self.wide + wide, (high == rows) & (wide == columns)

    def copied(self, pixels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return the values (n, F) that pixels take at these offsets."""
        return self.values[self.moved(pixels, offsets)[0]]

    def usable(self, pixels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return whether pixels may take the values at these offsets."""
        there, inside = self.moved(pixels, offsets)
        return inside & self.good.reshape(-1)[there]

    def halved(self) -> Level:
        """Return the picture at half the size, rounded up: means of known pixels, a hole unless three of four are."""
        odd = ((0, self.high % 2), (0, self.wide % 2))

        def sums(plane: np.ndarray) -> np.ndarray:
            plane = np.pad(plane, (*odd, (0, 0)), mode="edge")
            return plane.reshape(len(plane) // 2, 2, -1, 2, plane.shape[2]).sum(axis=(1, 3))

        known = ~self.hole[..., None]
        count, good = sums(known.astype(np.float32)), sums(self.good[..., None].astype(np.float32))
        means = sums(np.where(known, self.image, 0)) / np.maximum(count, 1)
        return Level(means, count[..., 0] < 3, good[..., 0] == 4)


def slopes(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return the steps of the mean colour to the right and down, (H, W, 2); 0 where either pixel is not known."""
    grey, found = image.mean(axis=2), np.zeros((*hole.shape, 2), np.float32)
    found[:, :-1, 0] = np.diff(grey, axis=1) * ~(hole[:, 1:] | hole[:, :-1])
    found[:-1, :, 1] = np.diff(grey, axis=0) * ~(hole[1:] | hole[:-1])
    return found


def completed(
    image: np.ndarray, hole: np.ndarray, good: np.ndarray, rng: np.random.Generator, *, keep_lines: bool = False
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a picture (H, W, C) float32 in [0, 1] with its hole filled, and the pixels that nothing could fill.

    `hole` and `good`, what may be copied, are (H, W) bool. None if there is nothing to copy. `keep_lines` continues
    straight edges through the hole.
    """
    levels = [Level(image, hole, good)]
    while (len(levels[-1].pixels) > NODES or levels[-1].hole.size > PIXELS) and min(levels[-1].hole.shape) >= 2 * LEAST:
        levels.append(levels[-1].halved())
    coarse = levels.pop()
    candidates, oddness = candidates_of(coarse)
    while not len(candidates) and levels and len(levels[-1].pixels) <= 16 * NODES:
        coarse = levels.pop()  # too small for a whole patch
        candidates, oddness = candidates_of(coarse)
    if not len(candidates):
        return None
    lines = lines_through(coarse.image, coarse.hole) if keep_lines else []
    offsets = labelled(coarse, candidates, oddness, lines, rng)
    change = correction(coarse, offsets, np.zeros((len(coarse.pixels), image.shape[2]), np.float32))
    for fine in reversed(levels):
        offsets, change = finer(coarse, fine, offsets, change, rng)
        change = correction(fine, offsets, change)
        coarse = fine
    there = coarse.moved(coarse.pixels, offsets[coarse.pixels])[0]
    result = coarse.image.reshape(-1, image.shape[2]).copy()
    result[coarse.pixels] = (result[there] + change).clip(0, 1)
    left = np.zeros(hole.size, bool)
    left[coarse.pixels] = ~coarse.usable(coarse.pixels, offsets[coarse.pixels])
    return result.reshape(image.shape), left.reshape(hole.shape)


# Candidates.


def candidates_of(level: Level) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets (K, 2) that pieces may have, in a fixed order, and what it costs to copy a pixel (H W,).

    The latter is how much less the picture resembles itself there than it usually does: things it shows only once.
    """
    size = 2 * REACH + 1
    whole = minimum_filter(level.good, size, mode="constant", cval=0).reshape(-1)
    sources = np.flatnonzero(whole)
    if not len(sources):
        return np.zeros((0, 2), np.int64), np.zeros(level.hole.size, np.float32)
    longest = max(int(np.ptp(at[level.pixels])) for at in (level.rows, level.columns))
    away = max(3, longest // 15)
    queries = sources[:: max(1, len(sources) // QUERIES)]
    offsets, distances = best_offsets(level, sources, queries, away)
    some = np.isfinite(distances)  # the others are the only patches far and wide
    queries, offsets, distances = queries[some], offsets[some], distances[some]
    frequent = peaks(offsets, FREQUENT)
    near = np.flatnonzero(~level.hole & binary_dilation(level.hole, np.ones((3, 3))))
    around = peaks(best_offsets(level, sources, near, 1)[0], AROUND)
    found = np.unique(np.concatenate([frequent, around, fitting(level)]), axis=0)
    serves = [level.usable(level.pixels, offset).mean() > 0.02 for offset in found]
    return found[np.array(serves, bool)], oddness_of(level, queries, distances)


def fitting(level: Level) -> np.ndarray:
    """Return the offsets (K, 2) of a coarse grid that agree best with the hole's border, each with another part."""
    step = max(2, math.ceil(math.sqrt(4 * level.hole.size / GRID)))
    grid = np.stack(
        np.meshgrid(*(np.arange(-(side // step), side // step + 1) * step for side in level.hole.shape), indexing="ij"),
        axis=-1,
    ).reshape(-1, 2)
    some = level.pixels[:: max(1, len(level.pixels) // 200)]
    grid = grid[[level.usable(some, offset).mean() > 0.1 for offset in grid]]
    border = np.flatnonzero(level.border)[:: max(1, int(level.border.sum()) // 150)]
    if not len(grid) or not len(border):
        return np.zeros((0, 2), np.int64)
    costs = np.stack([border_costs(level, border, offset) for offset in grid])
    chosen, best = [], np.full(len(border), np.inf)
    for _ in range(FITTING):
        gain = np.minimum(costs, best).sum(axis=1)
        chosen.append(int(gain.argmin()))
        best = np.minimum(best, costs[chosen[-1]])
        costs[chosen[-1]] = np.inf
    return grid[sorted(set(chosen))]


def oddness_of(level: Level, queries: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return the cost of copying each pixel (H W,), from the distances (n,) of patches to their best matches."""
    total, count = np.zeros((2, level.hole.size), np.float32)
    total[queries], count[queries] = distances, 1
    total, count = (gaussian_filter(one.reshape(level.hole.shape), REACH, mode="constant") for one in (total, count))
    mean = total / np.maximum(count, 1e-6)
    usual = max(float(np.median(distances)), 0.02) if len(distances) else 1.0
    return np.asarray(ODD * (mean / usual - 1).clip(0, 2).reshape(-1), np.float32)


def best_offsets(level: Level, sources: np.ndarray, queries: np.ndarray, away: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets (n, 2) from patches to their best matches, at least `away` pixels away, and the distances.

    Distances are root mean squares over a patch. A patch is compared where it is known. `sources` are the centres of
    patches that are known as a whole.
    """
    size = 2 * REACH + 1
    channels = level.image.shape[2]
    patches, known = (
        sliding_window_view(np.pad(plane, ((REACH, REACH), (REACH, REACH), (0, 0))), (size, size), axis=(0, 1))
        for plane in (level.colours.reshape(level.image.shape), ~level.hole[..., None])
    )

    def rows_of(planes: np.ndarray, pixels: np.ndarray) -> torch.Tensor:
        taken = planes[level.rows[pixels], level.columns[pixels]].astype(np.float32)
        return torch.from_numpy(taken.reshape(len(pixels), -1))

    number = np.full((level.high, level.wide), -1)
    number.reshape(-1)[sources] = np.arange(len(sources))
    number = np.pad(number, away, constant_values=-1)
    source = rows_of(patches, sources)
    squares = source.square()
    best, least = np.empty(len(queries), np.int64), np.empty(len(queries), np.float32)
    for start in range(0, len(queries), 256):
        some = queries[start : start + 256]
        share = rows_of(known, some).repeat(1, channels)
        distance = share @ squares.T
        wanted = rows_of(patches, some) * share
        distance.addmm_(wanted, source.T, alpha=-2)
        ys, xs = level.rows[some], level.columns[some]
        near = [number[ys + down, xs + right] for down in range(1, 2 * away) for right in range(1, 2 * away)]
        row, column = np.nonzero(np.stack(near, axis=1) >= 0)
        distance[row, np.stack(near, axis=1)[row, column]] = torch.inf
        lowest, place = distance.min(1)
        best[start : start + 256] = sources[place.numpy()]
        squares_of = (lowest + wanted.square().sum(1)) / share.sum(1)
        least[start : start + 256] = squares_of.clamp(min=0).sqrt().numpy()
    return np.stack([at[best].astype(np.int64) - at[queries] for at in (level.rows, level.columns)], axis=1), least


def peaks(offsets: np.ndarray, most: int) -> np.ndarray:
    """Return the peaks (K, 2) of the smoothed histogram of offsets (n, 2), the highest first."""
    if not len(offsets):
        return offsets
    least = offsets.min(axis=0) - 4
    counts = np.zeros(offsets.max(axis=0) - least + 5, np.float32)
    np.add.at(counts, tuple((offsets - least).T), 1)
    counts = gaussian_filter(counts, 1.0, mode="constant")
    found = np.argwhere((counts > 0.01) & (maximum_filter(counts, 5) == counts))
    order = np.argsort(-counts[tuple(found.T)], kind="stable")
    return found[order[:most]] + least


def offsets_along(level: Level, line: Line) -> np.ndarray:
    """Return offsets (n, 2) along a line, in both directions, by up to its length and half as much."""
    most = 1.5 * np.linalg.norm(line.end - line.start)
    steps = np.linspace(-most, most, 2 * ALONG)[:, None]
    found = np.unique(np.rint(steps * line.direction).astype(np.int64), axis=0)
    serves = [level.usable(level.pixels, offset).mean() > 0.02 for offset in found]
    return found[np.array(serves, bool)]


# A map of offsets at one size: (H W, 2), 0 outside the hole.


class Guide:
    """A rough fill: blurred colours and texture of the picture, what they should be in the hole, and odd pixels."""

    def __init__(self, level: Level, oddness: np.ndarray) -> None:
        self.oddness = oddness
        texture = np.abs(level.values[:, -2:]).sum(axis=1, keepdims=True)
        planes = np.concatenate([level.colours, texture], axis=1).reshape(level.high, level.wide, -1)
        share = gaussian_filter(level.good.astype(np.float32), BLUR, mode="constant")[..., None]
        total = gaussian_filter(planes * level.good[..., None], (BLUR, BLUR, 0), mode="constant")
        self.seen = (total / np.maximum(share, 1e-6)).reshape(len(planes) * planes.shape[1], -1)
        self.wanted = membrane(self.seen, level)

    def cost(self, pixels: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Return how unlike the fill the surroundings of the copied pixels are."""
        away = length(self.seen[there] - self.wanted[pixels])
        return LIKENESS * np.minimum(away, UNLIKE) + self.oddness[there]


def membrane(values: np.ndarray, level: Level) -> np.ndarray:
    """Return values (H W, F) with those in the hole replaced by a smooth fill: the Laplacian is about zero."""
    filled = values.reshape(level.high, level.wide, -1).copy()
    for part in nearest(~level.hole):
        filled[part.strip] = filled[part.rows, part.columns]
    for _ in range(300):
        wider = np.pad(filled, ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = (wider[:-2, 1:-1] + wider[2:, 1:-1] + wider[1:-1, :-2] + wider[1:-1, 2:]) / 4
        np.copyto(filled, mean, where=level.hole[..., None])
    return filled.reshape(values.shape)


def single_costs(level: Level, pixels: np.ndarray, offsets: np.ndarray, guide: Guide | None) -> np.ndarray:
    """Return what pixels cost at these offsets by themselves: whether they can, at the border, and by the guide."""
    there, inside = level.moved(pixels, offsets)
    usable = inside & level.good.reshape(-1)[there]
    costs = np.where(usable, 0, np.float32(IMPOSSIBLE))
    if guide is not None:
        costs += guide.cost(pixels, there)
    border = np.flatnonzero(level.border[pixels])
    if len(border):
        own = offsets[border] if offsets.ndim == 2 else offsets
        costs[border] += BORDER * border_costs(level, pixels[border], own)
    return costs


def border_costs(level: Level, pixels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return how much the known pixels near these differ, on average, from their copies at the same offsets."""
    total, count = np.zeros(len(pixels), np.float32), np.zeros(len(pixels), np.float32)
    for down in range(-RING, RING + 1):
        for right in range(-RING, RING + 1):
            near, inside = level.moved(pixels, np.array([down, right]))
            here = np.flatnonzero(inside & level.ring[near])
            own = offsets[here] if offsets.ndim == 2 else offsets
            there, found = level.moved(near[here], own)
            found &= ~level.hole.reshape(-1)[there]
            away = length(level.values[there] - level.values[near[here]])
            total[here] += np.where(found, away, np.float32(0.3))
            count[here] += 1
    return total / np.maximum(count, 1)


def labelled(
    level: Level, candidates: np.ndarray, oddness: np.ndarray, lines: list[Line], rng: np.random.Generator
) -> np.ndarray:
    """Return the best map of offsets from candidates and along lines."""
    guide, pixels = Guide(level, oddness), level.pixels
    candidates = np.unique(np.concatenate([candidates, *(offsets_along(level, line) for line in lines)]), axis=0)
    costs = np.stack([single_costs(level, pixels, offset, guide) for offset in candidates])
    places = np.stack([level.rows[pixels], level.columns[pixels]], axis=1)
    for line in lines:
        on = np.flatnonzero(np.abs(line.apart(places)) <= REACH)
        wanted = line.colours(level.image, places[on])
        for cost, offset in zip(costs, candidates, strict=True):
            there = level.moved(pixels[on], offset)[0]
            away = length(level.image.reshape(-1, wanted.shape[1])[there] - wanted)
            cost[on] += OFF_A_LINE * np.minimum(away, UNLIKE)
    choice = costs.argmin(axis=0)
    offsets = np.zeros((level.hole.size, 2), np.int32)
    offsets[pixels] = candidates[choice]
    for _ in range(SWEEPS):
        before = choice.copy()
        for one in rng.permutation(len(candidates)):
            yes = costs[one] - costs[choice, np.arange(len(pixels))]
            choice[expanded(level, offsets, candidates[one], pixels, yes)] = one
        if (choice == before).all():
            break
    return offsets


def expanded(
    level: Level, offsets: np.ndarray, candidate: np.ndarray, pixels: np.ndarray, yes: np.ndarray
) -> np.ndarray:
    """Give the candidate to those of `pixels` where that lowers the energy, in place; return which, (n,) bool.

    The energy sums the costs of single pixels, which the candidate changes by `yes`, and, for each two neighbours with
    offsets s and t, how much both pixels differ between s and t.
    """
    now, yes = offsets[pixels], yes.astype(np.float32)
    number = np.full(level.hole.size, -1, np.int32)
    number[pixels] = np.arange(len(pixels))
    ones, others, costs = [], [], []
    for turn, step in enumerate(AROUND_A_PIXEL):
        beside, inside = level.moved(pixels, step)
        beside_number = np.where(inside, number[beside], -1)
        fixed = np.flatnonzero(inside & (beside_number < 0) & level.hole.reshape(-1)[beside])
        if len(fixed):
            here, there, its = pixels[fixed], beside[fixed], offsets[beside[fixed]]
            yes[fixed] += seam(level, here, there, candidate, its) - seam(level, here, there, now[fixed], its)
        if turn < 2:  # each pair once
            one = np.flatnonzero(beside_number >= 0)
            other = beside_number[one]
            here, there, mine, its = pixels[one], pixels[other], now[one], now[other]
            ones.append(one)
            others.append(other)
            second, first = seam(level, here, there, mine, candidate), seam(level, here, there, candidate, its)
            apart = (mine != its).any(axis=1)
            neither = np.zeros(len(one), np.float32)
            neither[apart] = seam(level, here[apart], there[apart], mine[apart], its[apart])
            costs.append(np.stack([neither, second, first, np.zeros_like(first)]))
    chosen = cheapest(yes, (np.concatenate(ones), np.concatenate(others)), np.concatenate(costs, axis=1))
    chosen &= (now != candidate).any(axis=1)
    offsets[pixels[chosen]] = candidate
    return chosen


def seam(level: Level, here: np.ndarray, there: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how much two neighbours differ between the offsets of the one and of the other."""
    return length(level.copied(here, one) - level.copied(here, other)) + length(
        level.copied(there, one) - level.copied(there, other)
    )


def length(vectors: np.ndarray) -> np.ndarray:
    """Return the lengths of vectors (n, F)."""
    return np.sqrt(np.einsum("nf,nf->n", vectors, vectors))


# From one size to the next.


def finer(
    coarse: Level, fine: Level, offsets: np.ndarray, change: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets and the change of colours at twice the size, with pieces and seams refined."""
    dense = offsets.reshape(coarse.high, coarse.wide, 2).copy()
    shades = np.zeros((*coarse.hole.shape, change.shape[1]), np.float32)
    shades.reshape(-1, change.shape[1])[coarse.pixels] = change
    for part in nearest(coarse.hole):
        dense[part.strip] = dense[part.rows, part.columns]
        shades[part.strip] = shades[part.rows, part.columns]
    rows, columns = fine.pixels // fine.wide // 2, fine.pixels % fine.wide // 2
    larger = np.zeros((fine.hole.size, 2), np.int32)
    larger[fine.pixels] = 2 * dense[rows, columns]
    shifted(fine, larger)
    recut(fine, larger, rng)
    return larger, shades[rows, columns]


def edges(level: Level, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels of the hole and their neighbours, where these have another offset or are known."""
    ones, others = [], []
    for step in AROUND_A_PIXEL:
        beside, inside = level.moved(level.pixels, step)
        known = ~level.hole.reshape(-1)[beside]
        seen = np.flatnonzero(inside & (known | (offsets[level.pixels] != offsets[beside]).any(axis=1)))
        ones.append(level.pixels[seen])
        others.append(beside[seen])
    return np.concatenate(ones), np.concatenate(others)


def shifted(level: Level, offsets: np.ndarray) -> None:
    """Move each piece by at most a pixel to where it agrees best with its neighbours, in place."""
    one, other = edges(level, offsets)
    pieces, mine = np.unique(offsets[level.pixels], axis=0, return_inverse=True)
    number = np.full(level.hole.size, -1)
    number[level.pixels] = mine.reshape(-1)
    members = np.argsort(mine.reshape(-1), kind="stable")
    bounds = np.searchsorted(mine.reshape(-1)[members], np.arange(len(pieces) + 1))
    order = np.argsort(number[one], kind="stable")
    ends = np.searchsorted(number[one][order], np.arange(len(pieces) + 1))
    moved = pieces.copy()
    moves = sorted(np.ndindex(3, 3), key=lambda move: abs(move[0] - 1) + abs(move[1] - 1))
    for piece in [*range(len(pieces))] * 2:
        seams = order[ends[piece] : ends[piece + 1]]
        inside = level.pixels[members[bounds[piece] : bounds[piece + 1]]]
        here, there = one[seams], other[seams]
        beside = number[there]
        its = np.where(beside[:, None] >= 0, moved[beside], 0)
        prices = []
        for move in moves:
            offset = pieces[piece] + np.array(move) - 1
            away = length(level.copied(there, offset) - level.copied(there, its))
            own = length(level.copied(here, offset) - level.copied(here, its))
            lost = (~level.usable(inside, offset)).sum()
            prices.append(away.sum() + np.where(beside >= 0, own, away).sum() + 0.5 * lost)
        moved[piece] = pieces[piece] + np.array(moves[int(np.argmin(prices))]) - 1
    offsets[level.pixels] = moved[mine.reshape(-1)]


def recut(level: Level, offsets: np.ndarray, rng: np.random.Generator) -> None:
    """Cut the seams anew, within `SEAM` pixels of where they are, in place."""
    loose = np.zeros(level.hole.shape, bool)
    loose.reshape(-1)[edges(level, offsets)[0]] = True
    loose.reshape(-1)[level.pixels] |= ~level.usable(level.pixels, offsets[level.pixels])
    loose = binary_dilation(loose, np.ones((3, 3)), iterations=SEAM) & level.hole
    pieces, mine = np.unique(offsets[level.pixels], axis=0, return_inverse=True)
    number = np.full(level.hole.shape, -1)
    number.reshape(-1)[level.pixels] = mine.reshape(-1)
    regions = [near(number, piece, loose, 2 * SEAM + 2) for piece in range(len(pieces))]
    for _ in range(2):
        for piece in rng.permutation(len(pieces)):
            some = regions[piece]
            if len(some):
                costs = (single_costs(level, some, offset, None) for offset in (pieces[piece], offsets[some]))
                expanded(level, offsets, pieces[piece], some, next(costs) - next(costs))


def near(number: np.ndarray, piece: int, loose: np.ndarray, reach: int) -> np.ndarray:
    """Return the loose pixels within `reach` of a piece."""
    rows, columns = np.nonzero(number == piece)
    top, left = (max(0, int(lines.min()) - reach) for lines in (rows, columns))
    part = np.s_[top : rows.max() + reach + 1, left : columns.max() + reach + 1]
    close = maximum_filter(number[part] == piece, 2 * reach + 1, mode="constant")
    ys, xs = np.nonzero(close & loose[part])
    return np.asarray((ys + top) * number.shape[1] + xs + left)


# Colours.


def correction(level: Level, offsets: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return what to add to the copied pixels (n, C), so that pieces meet without a step: Poisson image editing.

    Across a seam the slope is the mean of both pieces' slopes. Where the pieces differ by more than `DISAGREE`, the
    seam is loose. `start` is a first guess.
    """
    pixels, count = level.pixels, len(level.pixels)
    number = np.full(level.hole.size, -1)
    number[pixels] = np.arange(count)
    image = level.image.reshape(level.hole.size, -1)

    def at(where: np.ndarray, by: np.ndarray) -> np.ndarray:
        return image[level.moved(where, by)[0]]

    own = offsets[pixels]
    copy, usable = at(pixels, own), level.usable(pixels, own)
    steps, stiffness = np.zeros_like(copy), np.full(count, 1e-4, np.float32)
    rows, columns, links = [], [], []
    for step in AROUND_A_PIXEL:
        beside, inside = level.moved(pixels, step)
        known = ~level.hole.reshape(-1)[beside]
        seen = np.flatnonzero(inside & usable & (known | usable[number[beside]]))
        here, there, known = pixels[seen], beside[seen], known[seen]
        mine, its = own[seen], np.where(known[:, None], 0, offsets[there])
        far = at(there, mine) - at(there, its)
        close = np.where(known[:, None], far, at(here, mine) - at(here, its))
        differ = np.minimum(length(far), length(close))
        stiff = (1 / (1 + (differ / DISAGREE) ** 8) + 1e-6).astype(np.float32)
        stiffness[seen] += stiff
        steps[seen] -= stiff[:, None] * np.where(known[:, None], far, (far + close) / 2)
        rows.append(seen[~known])
        columns.append(number[there[~known]])
        links.append(-stiff[~known])
    every = np.arange(count)
    matrix = csr_matrix(
        (np.concatenate([*links, stiffness]), (np.concatenate([*rows, every]), np.concatenate([*columns, every]))),
        shape=(count, count),
    )
    scale = csr_matrix((1 / stiffness, (every, every)), shape=(count, count))
    solved = [
        cg(matrix, steps[:, one], x0=start[:, one], rtol=1e-3, maxiter=200, M=scale)[0] for one in range(copy.shape[1])
    ]
    return np.stack(solved, axis=1).astype(np.float32)
