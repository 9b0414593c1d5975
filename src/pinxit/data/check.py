"""Checking a set before training: what was seen of it, the findings, and a contact sheet that frames their pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np

from pinxit.data import mnist
from pinxit.data.boxes.checking import box_findings
from pinxit.data.findings import Facts, Finding, Seen, findings, seen
from pinxit.data.mask_findings import mask_findings
from pinxit.data.masks import Masked, masked
from pinxit.data.pack import readable
from pinxit.data.pairs import divided
from pinxit.data.render import fit_picture, with_channels
from pinxit.data.sets import held_out, open_data, own_size, parse_spec
from pinxit.data.settings import HOLDOUT, DataSettings
from pinxit.data.sources import Source, open_source
from pinxit.errors import DataError
from pinxit.images import Picture, eight_bit, grid
from pinxit.settings import Size

SHEET_COUNT, SHEET_SIDE = 64, 64
MARKED_COUNT, MARK, MARK_WIDTH = 24, (220, 40, 30, 255), 3


@dataclass
class Report:
    """What was seen of a set; `sheet` is a contact sheet (H, W, 3 or 4) uint8 that frames the pictures of findings.

    `sizes` are (width, height) of the readable pictures. `kinds` counts "JPEG RGB" and the like. `duplicates` groups
    the names of pictures with equal pixels. `classes` counts by class. `lost` lists files by their unused part.
    """

    name: str
    notes: tuple[str, ...]
    sizes: list[tuple[int, int]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    depths: Counter[int] = field(default_factory=Counter)
    duplicates: list[list[str]] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    lost: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    findings: list[Finding] = field(default_factory=list)
    sheet: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

    @property
    def width(self) -> dict[str, int]:
        """The least, median and greatest width in pixels: "min", "median", "max"."""
        return _spread([width for width, _ in self.sizes])

    @property
    def height(self) -> dict[str, int]:
        """The least, median and greatest height in pixels, as `width`."""
        return _spread([height for _, height in self.sizes])

    def document(self) -> dict[str, object]:
        """Return the report as plain values for JSON."""
        return {
            "name": self.name,
            "pictures": len(self.sizes),
            "bad": self.bad,
            "width": self.width,
            "height": self.height,
            "kinds": dict(self.kinds.most_common()),
            "bits": {str(bits): count for bits, count in sorted(self.depths.items())},
            "classes": dict(self.classes.most_common()),
            "duplicates": self.duplicates,
            "lost": self.lost,
            "notes": list(self.notes),
            "findings": [
                {"kind": one.kind, "count": one.count, "names": list(one.names), "what": one.sentence, "do": one.advice}
                for one in self.findings
            ],
            "suggestions": [one.advice for one in self.findings],
        }


def check(spec: str, size: Size | None = None) -> Report:
    """Read every picture of a set, without the cache, and report; `DataError` if none can be read.

    `size` is what the set is meant to be trained at; by default what training would choose.
    """
    beside = _masked(spec)
    source = divided(beside.pictures) if beside else _source(spec)
    report = Report(source.name, source.notes)
    held = _held(source)
    pictures: list[Seen] = []
    places: list[int] = []
    shown: dict[int, np.ndarray] = {}
    for number, picture in readable(source, "checking", report.bad, report.lost):
        pixels, label = picture.pixels, source.labels[number] if source.labels else ""
        pictures.append(seen(picture, source.names[number], label, bool(held[number])))
        places.append(number)
        report.kinds[f"{picture.format} {picture.mode}"] += 1
        report.depths[8 * pixels.itemsize] += 1
        if number % max(1, len(source.names) // SHEET_COUNT) == 0:
            shown[len(places) - 1] = _thumbnail(pixels)
    report.sizes = [(one.width, one.height) for one in pictures]
    chosen, _ = DataSettings().size_for(own_size(np.array([(one.height, one.width) for one in pictures])))
    facts = Facts(pictures, report.bad, size or chosen)
    report.duplicates = [[pictures[number].name for number in group] for group in facts.copies]
    report.classes = facts.classes
    if beside:
        report.findings = [*mask_findings(beside.masks, beside.known, pictures), *findings(facts)]
    else:
        report.findings = [*findings(facts), *_of_boxes(spec, pictures, size)]
    marked = _marked(report.findings, len(pictures))
    for number in marked[:MARKED_COUNT]:
        if number not in shown:
            shown[number] = _thumbnail(source.read(places[number]).pixels)
    report.sheet = _sheet(shown, set(marked))
    return report


def _masked(spec: str) -> Masked | None:
    """Return the pictures and masks of a path; None if there are none, and for named sets and parts."""
    base, part = parse_spec(spec)
    if base != mnist.NAME and not part and Path(base).exists():
        with suppress(DataError):
            return masked(Path(base))
    return None


def _of_boxes(spec: str, pictures: list[Seen], size: Size | None) -> list[Finding]:
    """Return the findings on boxes beside the pictures of a folder."""
    return box_findings(Path(spec), pictures, size) if Path(spec).is_dir() else []


def _held(source: Source) -> np.ndarray:
    """Return which pictures are held out: by the set's own parts, else as training would choose them by name."""
    if source.parts:
        return np.array([part == "test" for part in source.parts])
    return held_out(source.names, HOLDOUT) if len(source.names) else np.zeros(0, bool)


def _marked(found: list[Finding], count: int) -> list[int]:
    """Return the pictures to frame, those of each finding in turn; what concerns half of the set frames nothing."""
    rows = [one.numbers for one in found if 2 * len(one.numbers) < max(count, 3)]
    return list(dict.fromkeys(number for turn in zip_longest(*rows) for number in turn if number is not None))


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    return eight_bit(fit_picture(pixels, (SHEET_SIDE, SHEET_SIDE), "crop"))


def _source(spec: str) -> Source:
    """Return the source of a path; for named sets and parts, which are packed, one that reads the pack."""
    base, part = parse_spec(spec)
    if base != mnist.NAME and not part:
        return open_source(Path(base))
    data = open_data(spec)
    places = [(images, number) for images in (data.train, data.held_out) for number in range(len(images))]

    def read(number: int) -> Picture:
        images, place = places[number]
        return Picture(images[place], "packed", str(images[place].dtype))

    return Source(
        name=spec,
        key="",
        names=[*data.train.names, *data.held_out.names],
        read=read,
        labels=[images.classes[images.labels[place]] for images, place in places if images.labels is not None] or None,
        parts=["train"] * len(data.train) + ["test"] * len(data.held_out),
    )


def _sheet(shown: dict[int, np.ndarray], marked: set[int]) -> np.ndarray:
    """Return the sheet: marked pictures in a frame, and so many of the others that `SHEET_COUNT` are shown."""
    kept = sorted(sorted(shown, key=lambda number: number not in marked)[:SHEET_COUNT])
    channels = max(3, *(shown[number].shape[2] for number in kept))
    images = np.stack([with_channels(shown[number], channels) for number in kept])
    framed = np.array([number in marked for number in kept])
    edge = np.ones(images.shape[1:3], bool)
    edge[MARK_WIDTH:-MARK_WIDTH, MARK_WIDTH:-MARK_WIDTH] = False
    images[framed[:, None, None] & edge] = MARK[:channels]
    return grid(images)


def _spread(values: list[int]) -> dict[str, int]:
    return {"min": min(values), "median": int(np.median(values)), "max": max(values)}
