"""Masks beside others: those of a second observer, or found things beside the numbers that they are called by.

    python benchmarks/quality/masks.py FOUND TRUE [--instances] [--out FILE]

Both are folders of masks with equal stems. Masks of 0 and 255 are the classes 0 and 1. Without `--instances` the scores
are those of `pinxit evaluate`, with a row for each class. With it, both number things, and the score is the average
precision at .5 of the Data Science Bowl of 2018 against the numbers themselves.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pinxit.data.render import VOID
from pinxit.metrics.masks import MASKS, class_dice, class_iou, counted_pixels, estimate
from pinxit.metrics.things import estimate_ap50, matched

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write


def read(folder: Path) -> dict[str, np.ndarray]:
    """Return the numbers (H, W) int64 of the masks in a folder by their stems."""
    return {path.stem: np.asarray(Image.open(path)).astype(np.int64) for path in sorted(folder.glob("*.png"))}


def as_classes(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return masks of classes; if there are only 0 and 255, these are 0 and 1."""
    plain = all(np.isin(mask, (0, VOID)).all() for mask in masks.values())
    return {stem: mask // VOID if plain else mask for stem, mask in masks.items()}


def compared(found: dict[str, np.ndarray], true: dict[str, np.ndarray], instances: bool) -> dict[str, Any]:
    """Return the scores of masks against others."""
    if instances:
        things = torch.stack([matched(found[stem], true[stem]) for stem in found])
        right, seen, there = things.sum(0).tolist()
        return {"ap50": asdict(estimate_ap50(things)), "right": right, "found": seen, "true": there}
    found, true = as_classes(found), as_classes(true)
    classes = 1 + max(int(mask[mask != VOID].max()) for mask in (*found.values(), *true.values()))
    pairs = ((torch.from_numpy(found[stem]), torch.from_numpy(true[stem])) for stem in found)
    counts = torch.stack([counted_pixels(one, other, classes, VOID) for one, other in pairs])
    scores = {name: asdict(estimate(name, counts)) for name in MASKS}
    by_class = {"iou": class_iou(counts).tolist(), "dice": class_dice(counts).tolist()}
    return {**scores, "classes": by_class}


def main() -> None:
    """Compare, print, and write a record."""
    parser = arguments(__doc__ or "")
    parser.add_argument("found", type=Path)
    parser.add_argument("true", type=Path)
    parser.add_argument("--instances", action="store_true")
    asked = parser.parse_args()
    found, true = read(asked.found), read(asked.true)
    stems = sorted(found.keys() & true.keys())
    found, true = ({stem: masks[stem] for stem in stems} for masks in (found, true))
    results = compared(found, true, asked.instances)
    print(results)
    write(asked.out, record(__doc__ or "", {"masks": stems, "instances": asked.instances}, results=results))


if __name__ == "__main__":
    main()
