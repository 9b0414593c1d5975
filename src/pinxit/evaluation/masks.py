"""How well a segmenter finds the classes of pixels in a set with masks: a certificate."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinxit.data import ImageSet
from pinxit.data.render import VOID
from pinxit.data.things import grown
from pinxit.errors import DataError, counted
from pinxit.evaluation.certificate import Document, made_by
from pinxit.evaluation.pictures import identity
from pinxit.metrics.masks import MASKS, class_dice, class_iou, counted_pixels, estimate
from pinxit.metrics.things import DEFINITION, estimate_ap50, matched
from pinxit.progress import track
from pinxit.recognition.masks import MaskReader

BLIND = "every pixel gets the most common class"
"""The anchor row: what needs no look at the pictures."""


def score_masks(known: MaskReader, reference: ImageSet, n: int | None = None, seed: int = 0) -> Document:
    """Return the certificate of a segmenter on the first `n` pictures of a set with masks, by default on all.

    Classes are matched by name, or by number where the set has no names. Pixels of classes that it does not know are
    void, and `remarks` says which those are. `classes` has a row for each class, None where no picture has it.
    `confusion` counts pixels: true classes (rows) by what they were taken for (columns).
    """
    masks, table = reference.companions.mask, _matched(known, reference)
    if masks is None:
        raise DataError(f"{reference.name} has no masks; put them beside the folder images, in a folder masks")
    count = min(len(reference), n or len(reference))
    rows, things = [], []
    for number in track(range(count), f"reading {reference.name}", count):
        found, _ = known.read(reference[number])
        true = torch.from_numpy(table[masks[number][..., 0]])
        rows.append(counted_pixels(torch.from_numpy(found), true, len(known.classes), VOID))
        if known.finds_things:
            things.append(matched(grown(found), grown(true.numpy())))
    counts = torch.stack(rows)
    if not counts.sum():
        have, knows = (", ".join(names[:5]) for names in (reference.classes, known.classes))
        raise DataError(f"{reference.name} has none of the classes of {known.name} ({have}; it knows {knows})")
    protocol = {
        "n": count,
        "seed": seed,
        "generated": {"name": known.name, "model_sha256": known.sha256, "classes": list(known.classes)},
        "reference": identity(reference),
    }
    scores = {name: _score(name, counts, seed) | protocol for name in MASKS}
    if things:
        scores = {"ap50": _score_of_things(torch.stack(things), seed) | protocol} | scores
    return {
        "scores": scores,
        "classes": _by_class(known, counts),
        "confusion": counts.sum(0).tolist(),
        "remarks": list(_remarks(known, reference, counts)),
        "made_by": made_by(),
    }


def _score(name: str, counts: Tensor, seed: int) -> dict[str, Any]:
    """Return a score, beside that of always giving each pixel the most common class."""
    row, found = MASKS[name], estimate(name, counts, seed)
    own = counts.sum(2)
    blind = torch.zeros_like(counts)
    blind[:, :, own.sum(0).argmax()] = own
    values = {"segmenter": ("the classes as they are found", found.value), "blind": (BLIND, row.measure(blind))}
    rows = [
        {"name": name, "about": about, "n": len(counts), "value": value, "ratio": None}
        for name, (about, value) in values.items()
    ]
    about = {"better": "larger", "headline": row.headline, "metric": row.definition, "rows": rows}
    return found.document() | about


def _score_of_things(counts: Tensor, seed: int) -> dict[str, Any]:
    """Return the score of things, which the true masks' own classes give as the found ones do; nothing found is 0."""
    found = estimate_ap50(counts, seed)
    about = "the things as they are found"
    rows = [{"name": "ap50", "about": about, "n": len(counts), "value": found.value, "ratio": None}]
    return found.document() | {"better": "larger", "headline": True, "metric": DEFINITION, "rows": rows}


def _by_class(known: MaskReader, counts: Tensor) -> list[dict[str, Any]]:
    values = zip(known.classes, counts.sum((0, 2)).tolist(), class_iou(counts), class_dice(counts), strict=True)
    return [
        {"name": name, "pixels": pixels, "iou": float(iou) if pixels else None, "dice": float(dice) if pixels else None}
        for name, pixels, iou, dice in values
    ]


def _matched(known: MaskReader, reference: ImageSet) -> np.ndarray:
    """Return a table (256,) uint8 from the classes of a set to those of a segmenter; others are void."""
    table = np.full(256, VOID, np.uint8)
    for number, name in enumerate(reference.classes):
        if _is_numbered(reference) and number < len(known.classes):
            table[number] = number
        elif name in known.classes:
            table[number] = known.classes.index(name)
    return table


def _is_numbered(reference: ImageSet) -> bool:
    """Say whether a set's classes have no names but their numbers."""
    return reference.classes == tuple(map(str, range(len(reference.classes))))


def _remarks(known: MaskReader, reference: ImageSet, counts: Tensor) -> list[str]:
    absent = [name for name, pixels in zip(known.classes, counts.sum((0, 2)).tolist(), strict=True) if not pixels]
    strange = [] if _is_numbered(reference) else sorted(set(reference.classes).difference(known.classes))
    said = {
        "no picture has them, so they are left out of means over classes": absent,
        f"{known.name} does not know them, so their pixels are void": strange,
    }
    return [f"{counted(len(names), 'class')}: {', '.join(names)}; {why}" for why, names in said.items() if names]
