"""How well a detector finds the things in a set with boxes: a certificate."""

from __future__ import annotations

from typing import Any

import numpy as np

from pinxit.data import ImageSet
from pinxit.data.augment import IGNORED, NO_CLASS
from pinxit.errors import DataError, counted
from pinxit.evaluation.certificate import Document, made_by
from pinxit.evaluation.pictures import identity
from pinxit.metrics.detection import DETECTION, Taken, Things, estimate, taken
from pinxit.progress import track
from pinxit.recognition.boxes import BoxReader

BLIND = "every picture gets the boxes of another one"
"""The anchor row: what needs no look at the pictures."""


def score_boxes(known: BoxReader, reference: ImageSet, n: int | None = None, seed: int = 0) -> Document:
    """Return the certificate of a detector on the first `n` pictures of a set with boxes, by default on all.

    Classes are matched by name; things of classes that it does not know are left out, and `remarks` says how many.
    Boxes of all scores are judged, so no threshold is chosen. `classes` has the precision of each class.
    """
    if reference.companions.boxes is None:
        raise DataError(f"{reference.name} has no boxes; COCO (JSON), Pascal VOC (XML) or YOLO (text) is needed")
    count = min(len(reference), n or len(reference))
    true, strange = _matched(known, reference, count)
    if not any(len(things.boxes) for things in true):
        have, knows = (", ".join(names[:5]) for names in (reference.classes, known.classes))
        raise DataError(f"{reference.name} holds nothing that {known.name} knows ({have}; it knows {knows})")
    pictures = (reference[number] for number in track(range(count), f"reading {reference.name}", count))
    took = taken(list(known.read(pictures)), true, len(known.classes))
    blind = taken([_guessed(things) for things in [*true[1:], true[0]]], true, len(known.classes))
    protocol = {
        "n": count,
        "seed": seed,
        "generated": {"name": known.name, "model_sha256": known.sha256, "classes": list(known.classes)},
        "reference": identity(reference),
    }
    scores = {name: _score(name, took, blind, seed) | protocol for name in DETECTION}
    classes = {name: _of_class(name, took[place], blind[place], seed) for place, name in enumerate(known.classes)}
    scores |= {f"ap50[{name}]": score | protocol for name, score in classes.items() if score}
    absent = [name for name, score in classes.items() if not score]
    remarks = [f"{counted(strange, 'box')} of classes that {known.name} does not know were left out"] if strange else []
    remarks += [f"{', '.join(absent)}: nothing of it is in {reference.name}, so it has no score"] if absent else []
    return {"scores": scores, "remarks": remarks, "made_by": made_by()}


def _score(name: str, took: list[Taken], blind: list[Taken], seed: int) -> dict[str, Any]:
    """Return a score, beside that of the boxes of other pictures."""
    row, found, every = DETECTION[name], estimate(name, took, seed), np.ones(len(took[0].true))
    values = {"detector": ("things as they are found", found.value), "blind": (BLIND, row.measure(blind, every))}
    rows = [
        {"name": name, "about": about, "n": len(every), "value": value, "ratio": None}
        for name, (about, value) in values.items()
    ]
    about = {"better": "larger", "headline": True, "metric": row.definition, "rows": rows}
    return found.document() | about


def _of_class(name: str, took: Taken, blind: Taken, seed: int) -> dict[str, Any] | None:
    """Return the average precision of a class at an overlap of .5; None if nothing of it is there."""
    if not took.true.sum():
        return None
    score = _score("ap50", [took], [blind], seed)
    return score | {
        "headline": False,
        "metric": f"COCO's average precision of {name} at an overlap of .5",
        "true": int(took.true.sum()),
    }


def _guessed(things: Things) -> np.ndarray:
    """Return true boxes as if they were found."""
    kept = ~things.ignored
    return np.concatenate([things.boxes[kept], np.ones((kept.sum(), 1)), things.kind[kept][:, None]], axis=1)


def _matched(known: BoxReader, reference: ImageSet, count: int) -> tuple[list[Things], int]:
    """Return the things in pictures, by the classes of a detector, and how many there are of others."""
    places = np.array([known.classes.index(name) if name in known.classes else -1 for name in reference.classes])
    found, strange = [], 0
    for boxes in (reference.companions.boxes or ())[:count]:
        ignored = boxes[:, 4] < NO_CLASS
        kind = places[np.where(ignored, IGNORED - boxes[:, 4], boxes[:, 4]).astype(int)]
        strange += int((kind < 0).sum())
        own = kind >= 0
        found.append(Things(boxes[own, :4].astype(float), kind[own], ignored[own]))
    return found, strange
