"""Whether explanations point at the right place: mosaics of garments, one of which is of the asked class.

    python benchmarks/quality/pointing.py RUN DATA [--mosaics 300] [--out FILE]

RUN is a run of `pinxit train classify DATA/fashion-mnist`. A mosaic has 3 x 3 pictures of held-out garments, each of
another class: nine of the ten, in a random order. For each of three random classes of them, a method points in two
ways: by `peak` at the largest value of its map, by `cell` at the cell whose values have the largest sum. It is right if
that is the cell of the class; chance is 1/9. The same is done with random weights, where a method should fall
to chance. `deletion` is the mean probability of the class while cells are hidden in
the order of the map, beside that of random orders.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pinxit.data import open_data
from pinxit.explanation.checks import check, random_removal, randomised
from pinxit.explanation.methods import METHODS
from pinxit.metrics.intervals import share_estimate
from pinxit.progress import track
from pinxit.recognition.reading import load

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

SIDE, ASKED, CHECKED = 28, 3, 60


def mosaic(pictures: Tensor, labels: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, list[int]]:
    """Return a mosaic (1, 1, 84, 84) and the classes of its cells, row by row."""
    classes = rng.permutation(10)[:9].tolist()
    cells = [pictures[rng.choice(np.flatnonzero(labels == number))] for number in classes]
    rows = [torch.cat(cells[start : start + 3], dim=2) for start in (0, 3, 6)]
    return torch.cat(rows, dim=1)[None], classes


def peak(found: Tensor) -> int:
    """Return the cell in which the largest value of a map (84, 84) lies; -1 for a map that is the same everywhere."""
    if found.max() == found.min():
        return -1
    place = int(found.argmax())
    return place // found.shape[1] // SIDE * 3 + place % found.shape[1] // SIDE


def cell(found: Tensor) -> int:
    """Return the cell whose values have the largest sum; -1 for a map that is the same everywhere."""
    sums = found.unflatten(1, (3, SIDE)).unflatten(0, (3, SIDE)).sum((1, 3))
    return int(sums.argmax()) if sums.max() > sums.min() else -1


WAYS = {"peak": peak, "cell": cell}


def measure(asked: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Return the figures of every method."""
    known, held_out = load(asked.run), open_data(str(asked.data / "fashion-mnist")).held_out
    assert held_out.labels is not None
    pictures, chance, rng = held_out.tensor(SIDE), randomised(known.objective), np.random.default_rng(0)
    hits: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    checks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in track(range(asked.mosaics), "mosaics", asked.mosaics):
        image, classes = mosaic(pictures, held_out.labels, rng)
        for target in rng.choice(classes, ASKED, replace=False).tolist():
            by_chance = random_removal(known, image, target) if number * ASKED < CHECKED else None
            for name, method in METHODS.items():
                found = method.attribute(known.objective, image, target)
                blind = method.attribute(chance, image, target)
                for way, points_at in WAYS.items():
                    hits[name, way, "trained"].append(points_at(found) == classes.index(target))
                    hits[name, way, "random weights"].append(points_at(blind) == classes.index(target))
                if by_chance:
                    tested = check(known, image, target, found, blind, by_chance)
                    checks[name].append((tested.deletion, tested.random_deletion))
    figures: dict[str, dict[str, object]] = {}
    for name in METHODS:
        ways = {
            way: {
                of: share_estimate(torch.tensor(hits[name, way, of])).document() for of in ("trained", "random weights")
            }
            for way in WAYS
        }
        deletion, by_chance = np.mean(checks[name], axis=0).tolist()
        figures[name] = ways | {"deletion": deletion, "random deletion": by_chance}
    return figures


def main() -> None:
    """Measure every method."""
    parser = arguments(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--mosaics", type=int, default=300)
    asked = parser.parse_args()
    figures = measure(asked)
    for name, row in figures.items():
        print(name, row)
    if asked.out:
        write(asked.out, record(__doc__, {"mosaics": asked.mosaics, "asked": ASKED}, methods=figures))


if __name__ == "__main__":
    main()
