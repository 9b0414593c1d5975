"""How well a classifier recognises a labelled set: a certificate, and a picture of what it takes for what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinxit.errors import DataError, counted, printable, shorten
from pinxit.evaluation.certificate import Document, made_by
from pinxit.evaluation.pictures import Pictures, identity
from pinxit.files import whole_file
from pinxit.metrics.recognition import RECOGNITION, confusion, estimate
from pinxit.plots import Figure
from pinxit.progress import track
from pinxit.recognition.classes import ClassReader

NAMED = 50
"""The most classes that a picture of confusions names."""

LONGEST = 24
"""The most characters of a name on an axis."""

BLIND = "every picture gets the classes' own shares as probabilities"
"""The anchor row: what needs no look at the pictures."""


def score_classes(known: ClassReader, reference: Pictures, n: int | None = None, seed: int = 0) -> Document:
    """Return the certificate of a classifier on the first `n` pictures of a labelled set, by default on all.

    Classes are matched by name. Pictures of classes that it does not know are left out, and `remarks` says how many. A
    set without labels, or without a class that it knows, is a `DataError`. `confusion` counts, for each class (rows),
    how many were taken for each (columns).
    """
    numbers, label = _matched(known, reference)
    numbers, label = numbers[:n], label[:n]
    pictures = (reference[number] for number in track(numbers.tolist(), f"reading {reference.name}", len(numbers)))
    probabilities = known.probabilities(known.logits(pictures))
    protocol = {
        "n": len(numbers),
        "seed": seed,
        "generated": {"name": known.name, "model_sha256": known.sha256, "classes": list(known.classes)},
        "reference": identity(reference),
    }
    several = len(label.unique()) > 1
    measured = [name for name, row in RECOGNITION.items() if several or not row.compares]
    scores = {name: _score(name, probabilities, label, seed) | protocol for name in measured}
    left = len(reference) - len(_matched(known, reference)[0])
    remarks = [f"{counted(left, 'picture')} of classes that {known.name} does not know were left out"] if left else []
    unmeasured = ", ".join(RECOGNITION.keys() - scores.keys())
    remarks += [f"all pictures are of one class, which says nothing of: {unmeasured}"] if unmeasured else []
    table = confusion(probabilities, label).tolist()
    return {"scores": scores, "confusion": table, "remarks": remarks, "made_by": made_by()}


def draw_confusion(table: Sequence[Sequence[int]], classes: Sequence[str], path: Path, inside: Path) -> None:
    """Write a picture (PNG) of a table of counts: true classes down, what they were taken for across."""
    counts = np.array(table)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(24.0, 2.5 + 0.45 * len(classes))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot(xlabel="taken for", ylabel="true class")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= NAMED:
        names = [_tick(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90)
        axes.set_yticks(range(len(classes)), names)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
    with whole_file(path, inside) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format="png", dpi=100, metadata={"Software": None})


def _tick(name: str) -> str:
    """Return a class's name for an axis: one short line, in which a dollar begins no formula."""
    return shorten(printable(name), LONGEST).replace("$", r"\$")


def _score(name: str, probabilities: Tensor, label: Tensor, seed: int) -> dict[str, Any]:
    """Return a score, beside that of always giving each class its share of the pictures as probability."""
    row, found = RECOGNITION[name], estimate(name, probabilities, label, seed)
    shares = label.bincount(minlength=probabilities.shape[1]).float() / len(label)
    blind = row.measure(shares.expand_as(probabilities), label)
    values = {"classifier": ("the classes as they are recognised", found.value), "blind": (BLIND, blind)}
    rows = [
        {"name": name, "about": about, "n": len(label), "value": value, "ratio": None}
        for name, (about, value) in values.items()
    ]
    about = {"better": row.better, "headline": row.headline, "metric": row.definition, "rows": rows}
    return found.document() | about


def _matched(known: ClassReader, reference: Pictures) -> tuple[np.ndarray, Tensor]:
    """Return the numbers of the pictures whose class is known, and their classes as the classifier counts them."""
    if reference.labels is None:
        raise DataError(
            f"{reference.name} has no labels: it needs a folder for each of several classes, or a table labels.csv"
        )
    places = np.array([known.classes.index(name) if name in known.classes else -1 for name in reference.classes])
    label = places[reference.labels]
    numbers = np.flatnonzero(label >= 0)
    if not len(numbers):
        have, knows = (", ".join(names[:5]) for names in (reference.classes, known.classes))
        raise DataError(f"{reference.name} has none of the classes of {known.name} ({have}; it knows {knows})")
    return numbers, torch.from_numpy(label[numbers])
