"""Why a classifier sees what it sees in many files: a page with maps, checks and the nearest training pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit import __version__
from pinxit.data import ImageSet
from pinxit.errors import DataError, UsageError, UserError, counted
from pinxit.explanation.checks import Check, check, random_removal, randomised
from pinxit.explanation.methods import METHODS
from pinxit.files import write_json, write_whole
from pinxit.images import Picture, eight_bit, write_picture
from pinxit.images.convert import to_uint8
from pinxit.jobs.listing import find, told_apart
from pinxit.jobs.predictions import read_picture, refuse_failures
from pinxit.nets.shapes import over_black
from pinxit.objectives.objective import Predictor
from pinxit.page import data_uri, page
from pinxit.plots import colormaps
from pinxit.progress import say, track
from pinxit.recognition.classes import ClassReader
from pinxit.settings import did_you_mean
from pinxit.training.pictures import pictures_of
from pinxit.training.run import Run

PAGE, NUMBERS = "explanations.html", "explanations.json"
NEAREST, COMPARED = 4, 1000
"""The nearest training pictures that are shown, and the most that are compared with."""

SIDE = 192
"""The side in pixels at which maps are shown, at least."""

STRONG = 0.99
"""The share of a map's values that are weaker than the strongest colour."""

MUTED = 0.35
"""The share of a picture's own colours under a map."""

CSS = """
.reasons { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
.reasons img { width: 100%; border: 1px solid var(--rule); }
"""


@dataclass(frozen=True)
class Reason:
    """A map by one method, and how it did in the checks; `evidence` is its largest value."""

    method: str
    evidence: float
    check: Check

    def caption(self) -> str:
        """Return the numbers in a sentence."""
        if self.evidence <= 0:
            return "no positive evidence: nothing in the picture speaks for the class"
        tested = self.check
        return (
            f"deletion {tested.deletion:.2f} (random order {tested.random_deletion:.2f}), insertion "
            f"{tested.insertion:.2f} ({tested.random_insertion:.2f}), likeness to random weights {tested.likeness:.2f}"
        )


@dataclass(frozen=True)
class Explanation:
    """What was seen in a file, which class is explained, and the reasons."""

    file: str
    found: str
    confidence: float
    target: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Explanations:
    """The explanations in the order of the files, the failures, and the files that were written."""

    rows: tuple[Explanation, ...]
    failures: tuple[UserError, ...]
    files: tuple[Path, ...]

    def check(self) -> None:
        """Raise an error if files failed."""
        refuse_failures(len(self.rows), self.failures)


class Neighbours:
    """Training pictures of a run, and their features, to find those like another picture."""

    def __init__(self, known: ClassReader, images: ImageSet) -> None:
        self.known, self.images = known, images
        count = min(COMPARED, len(images))
        rows = (images[number] for number in track(range(count), "reading training pictures", count))
        self.features = F.normalize(known.features(rows), dim=1)

    def of(self, features: Tensor) -> list[tuple[np.ndarray, str, float]]:
        """Return the nearest to features (D,): the pictures, their classes, and the cosines."""
        likeness = self.features @ F.normalize(features, dim=0)
        near = likeness.topk(min(NEAREST, len(likeness)))
        return [
            (eight_bit(self.images[number]), self._class(number), cosine)
            for number, cosine in zip(near.indices.tolist(), near.values.tolist(), strict=True)
        ]

    def _class(self, number: int) -> str:
        labels = self.images.labels
        return "" if labels is None else self.images.classes[labels[number]]


def explain_files(
    known: ClassReader, run: Run, words: Sequence[str], out: Path, methods: Sequence[str], target: str | None,
    recursive: bool = False,
) -> Explanations:  # fmt: skip
    """Write why a classifier sees a class in files, folders and patterns: `PAGE` and `NUMBERS` in the folder `out`.

    The class is `target`, or the likeliest of each picture. Nearest training pictures are shown if the run's pictures
    are still at hand. A file that cannot be read is named and left out.
    """
    if target is not None and target not in known.classes:
        raise UsageError(f"--target {target}: no class of {known.name}{did_you_mean(target, known.classes)}")
    listing = find(words, recursive, out)
    for remark in listing.remarks:
        say(remark)
    found = told_apart(listing.found)
    if not found:
        raise DataError(f"no pictures in {', '.join(words)}")
    neighbours, chance = _neighbours(known, run), randomised(known.objective)
    rows: list[Explanation] = []
    failures: list[UserError] = []
    sections: list[str] = []
    for one in track(found, "explaining", len(found)):
        try:
            pixels = read_picture(one)
        except UserError as error:
            failures.append(error)
            if len(found) > 1:
                say(str(error))
            continue
        row, shown = _explained(known, chance, str(one.place), pixels, methods, target)
        rows.append(row)
        sections.append(_section(row, shown, neighbours, known, pixels))
    if rows:
        write_json(out / NUMBERS, [asdict(row) for row in rows])
        write_whole(out / PAGE, _page(known, rows, sections))
    return Explanations(tuple(rows), tuple(failures), (out / PAGE, out / NUMBERS) if rows else ())


def _neighbours(known: ClassReader, run: Run) -> Neighbours | None:
    try:
        return Neighbours(known, pictures_of(run.recipe.data).train)
    except UserError as error:
        say(f"no nearest training pictures: {error}")
        return None


def _explained(
    known: ClassReader, chance: Predictor, file: str, pixels: np.ndarray, methods: Sequence[str], target: str | None
) -> tuple[Explanation, list[np.ndarray]]:
    """Return the explanation of a picture, and the picture under each map."""
    image = known.fitted(pixels)[None]
    probabilities = known.probabilities(known.logits([pixels]))[0]
    number = int(probabilities.argmax()) if target is None else known.classes.index(target)
    by_chance = random_removal(known, image, number)
    reasons, shown = [], []
    for name in methods:
        method = METHODS[name]
        found = method.attribute(known.objective, image, number)
        tested = check(known, image, number, found, method.attribute(chance, image, number), by_chance)
        reasons.append(Reason(name, float(found.max()), tested))
        shown.append(_overlaid(image, found, method.signed))
    seen = int(probabilities.argmax())
    row = Explanation(file, known.classes[seen], float(probabilities[seen]), known.classes[number], tuple(reasons))
    return row, shown


def _overlaid(image: Tensor, found: Tensor, signed: bool) -> np.ndarray:
    """Return a picture (1, C, H, W) under a map (H, W), as (H', W', 3) uint8: dark to bright, or blue to red if signed.

    One value in a hundred has the strongest colour, whatever it is; the captions have the numbers.
    """
    most = float(found.abs().quantile(STRONG)) or 1.0
    place = ((found / most + 1) / 2 if signed else found / most).clamp(0, 1)
    colours = torch.from_numpy(colormaps["RdBu_r" if signed else "inferno"](place.numpy())[..., :3]).float()
    grey = over_black(image).mean(1, keepdim=True).expand(1, 3, -1, -1)
    mixed = colours.movedim(2, 0)[None].lerp(grey, MUTED)
    scale = max(1, -(-SIDE // min(mixed.shape[-2:])))
    return to_uint8(F.interpolate(mixed, scale_factor=scale, mode="nearest"))[0]


def _section(
    row: Explanation, shown: Sequence[np.ndarray], neighbours: Neighbours | None, known: ClassReader, pixels: np.ndarray
) -> str:
    parts = [_figure(pixels, "the picture")]
    for image, reason in zip(shown, row.reasons, strict=True):
        parts.append(_figure(image, f"{reason.method}: {reason.caption()}"))
    if neighbours:
        near = neighbours.of(known.features([pixels])[0])
        parts += [_figure(image, f"training picture, {name}, cosine {cosine:.2f}") for image, name, cosine in near]
    why = f"why {row.target}" if row.target != row.found else "why"
    title = f"{row.file}: {row.found} {row.confidence:.0%}, and {why}"
    return f'<section><h2>{escape(title)}</h2>\n<div class="reasons">{"".join(parts)}</div></section>\n'


def _figure(pixels: np.ndarray, caption: str) -> str:
    file = io.BytesIO()
    write_picture(file, "WEBP", Picture(pixels))
    image = f'<img src="{data_uri(file.getvalue(), "webp")}" alt="{escape(caption)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _page(known: ClassReader, rows: Sequence[Explanation], sections: Sequence[str]) -> str:
    title = f"Why {known.name} sees what it sees in {counted(len(rows), 'picture')}"
    methods = "".join(f"<li><b>{name}</b>: {escape(METHODS[name].about)}</li>" for name in _used(rows))
    body = (
        f'<header><p class="sign">pinxit {__version__}</p><h1>{escape(title)}</h1><ul>{methods}</ul>'
        "<p>Deletion hides the most important places first: the probability should fall sooner than in a random order. "
        "Insertion shows them first: it should rise sooner. A map that is like that of random weights explains "
        f"nothing.</p></header>\n{''.join(sections)}"
    )
    return page(f"{title} · pinxit", body, CSS)


def _used(rows: Sequence[Explanation]) -> Iterator[str]:
    yield from dict.fromkeys(reason.method for row in rows for reason in row.reasons)
