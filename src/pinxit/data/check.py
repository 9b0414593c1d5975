"""Checking a set before training: sizes, kinds, broken and duplicate files, class balance, and a contact sheet."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pinxit.data import mnist
from pinxit.data.pack import readable
from pinxit.data.render import fit_picture, with_channels
from pinxit.data.sets import open_data, parse_spec
from pinxit.data.settings import USUAL_SIZE
from pinxit.data.sources import Source, open_source
from pinxit.images import Picture, eight_bit, grid

SHEET_COUNT, SHEET_SIDE = 64, 64
FEW_PICTURES = 1000
UNEVEN_RATIO = 3


@dataclass
class Report:
    """The findings about a set; `sheet` is an RGB or RGBA contact sheet (H, W, C) uint8 of pictures across the set.

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
    sheet: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

    def suggestions(self) -> list[str]:
        """Return advice on the findings, one sentence each."""
        copies = sum(len(names) - 1 for names in self.duplicates)
        smallest = min(min(size) for size in self.sizes)
        counts = self.classes.values()
        small, few = smallest < USUAL_SIZE, len(self.sizes) < FEW_PICTURES
        uneven = counts and max(counts) > UNEVEN_RATIO * min(counts)
        advice = {
            f"repair or remove the {len(self.bad)} files that cannot be read": self.bad,
            f"remove the {copies} copies: a copy in the held-out part makes the score too good": copies,
            f"the smallest side is {smallest} pixels: a larger --size only enlarges such pictures": small,
            f"{len(self.sizes)} pictures are few: --shift 0.05, --rotate 5 or --flip may help": few,
            f"the largest class is over {UNEVEN_RATIO} times the smallest: rare classes are learned less well": uneven,
        }
        return [sentence for sentence, holds in advice.items() if holds]

    @property
    def width(self) -> dict[str, int]:
        """The least, median and greatest width in pixels: "min", "median", "max"."""
        return _spread([width for width, _ in self.sizes])

    @property
    def height(self) -> dict[str, int]:
        """The least, median and greatest height in pixels, as `width`."""
        return _spread([height for _, height in self.sizes])

    def document(self) -> dict[str, object]:
        """Return the findings as plain values for JSON."""
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
            "suggestions": self.suggestions(),
        }


def check(spec: str) -> Report:
    """Read every picture of a set, without the cache, and report; `DataError` if none can be read."""
    source = _source(spec)
    report = Report(source.name, source.notes)
    thumbnails, same = [], defaultdict[bytes, list[str]](list)
    for number, picture in readable(source, "checking", report.bad, report.lost):
        name, pixels = source.names[number], picture.pixels
        report.sizes.append((pixels.shape[1], pixels.shape[0]))
        report.kinds[f"{picture.format} {picture.mode}"] += 1
        report.depths[8 * pixels.itemsize] += 1
        report.classes.update([source.labels[number]] if source.labels else [])
        same[hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode() + pixels.tobytes()).digest()].append(name)
        if number % max(1, len(source.names) // SHEET_COUNT) == 0:
            thumbnails.append(eight_bit(fit_picture(pixels, (SHEET_SIDE, SHEET_SIDE), "crop")))
    report.duplicates = [names for names in same.values() if len(names) > 1]
    report.sheet = _sheet(thumbnails)
    return report


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
    )


def _sheet(thumbnails: list[np.ndarray]) -> np.ndarray:
    shown = thumbnails[:SHEET_COUNT]
    channels = max(3, *(thumbnail.shape[2] for thumbnail in shown))
    return grid(np.stack([with_channels(thumbnail, channels) for thumbnail in shown]))


def _spread(values: list[int]) -> dict[str, int]:
    return {"min": min(values), "median": int(np.median(values)), "max": max(values)}
