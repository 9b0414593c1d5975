"""What the doctor of a set looks for in its boxes: a row of `BOX_FINDINGS` is a kind of trouble."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pinxit.data.boxes.box import Box
from pinxit.data.boxes.opening import QUARTERS, Found, annotated_or_none, cleaned, oriented, turn_of
from pinxit.data.findings import NAMES_KEPT, Finding, Seen
from pinxit.data.render import placement
from pinxit.data.sets import held_out
from pinxit.data.settings import HOLDOUT, BoxedSettings
from pinxit.errors import DataError, counted
from pinxit.settings import Size, sides

SMALL = 8
"""Pixels of a side below which a box is small: the finest map has a place in so many."""
FEW_FILES = 2
MANY = 0.02
"""The share of boxes that reach out of their picture from which on they may be corners in place of middles."""


@dataclass(frozen=True)
class BoxFacts:
    """What the annotations of a set say, the pictures that were seen, and the size that is meant for training."""

    found: Found
    pictures: Mapping[str, Seen]
    base: Path
    size: Size

    @cached_property
    def held(self) -> frozenset[str]:
        """The pictures that are held out from training."""
        source = self.found.source
        if source.parts:
            return frozenset(name for name, part in zip(source.names, source.parts, strict=True) if part != "train")
        return frozenset(name for name, held in zip(source.names, held_out(source.names, HOLDOUT), strict=True) if held)

    @cached_property
    def boxes(self) -> dict[str, Sequence[Box]]:
        """The boxes by picture, in pixels of the upright picture; those of pictures of another size are left out."""
        found = {}
        for name, seen in self.pictures.items():
            boxes = oriented(self.found.annotations.pictures[name], (seen.width, seen.height), self.base / name)
            if boxes is not None:
                found[name] = boxes
        return found

    @cached_property
    def inside(self) -> dict[str, list[Box]]:
        """The boxes that are left to train on."""
        return {name: cleaned(boxes, self._size(name), name)[0] for name, boxes in self.boxes.items()}

    def _size(self, name: str) -> tuple[int, int]:
        seen = self.pictures[name]
        return seen.width, seen.height

    def where(self, holds: Callable[[Box, int, int], bool]) -> list[str]:
        """Return the pictures of the boxes for which this holds, of a picture's width and height; one for each box."""
        return [name for name, boxes in self.boxes.items() for box in boxes if holds(box, *self._size(name))]

    def small(self) -> list[str]:
        """Return the pictures of boxes with a side below `SMALL` pixels at the size to train at."""
        found = []
        for name, boxes in self.inside.items():
            seen = self.pictures[name]
            across, down, *_ = placement((seen.height, seen.width), sides(self.size), BoxedSettings().fit)
            found += [
                name for box in boxes if min((box.right - box.left) * across, (box.bottom - box.top) * down) < SMALL
            ]
        return found

    def rare(self) -> list[str]:
        """Return the classes of which `FEW_FILES` pictures at most have a box."""
        files = defaultdict[str, set[str]](set)
        for name, boxes in self.inside.items():
            for box in boxes:
                files[box.name].add(name)
        return sorted(kind for kind in self.found.annotations.classes if len(files[kind]) <= FEW_FILES)

    def unjudged(self) -> list[str]:
        """Return the name of the held-out part if it has pictures, but no box."""
        held = [name for name in self.inside if name in self.held]
        return ["the held-out part"] if held and not any(self.inside[name] for name in held) else []

    def shifted(self) -> list[str]:
        """Return the pictures of VOC's boxes that begin at 0, which is one pixel too early."""
        return self.where(lambda box, wide, high: -1 in (box.left, box.top)) if self.found.form == "voc" else []

    def corners(self) -> list[str]:
        """Return the pictures of YOLO's boxes that reach out of them, if all are inside when read as corners."""
        if self.found.form != "yolo":
            return []
        out = self.where(lambda box, wide, high: _out(box, wide, high))
        every = sum(map(len, self.boxes.values()))
        return out if len(out) > MANY * every and not self.where(lambda *of: _out(_as_corner(of[0]), *of[1:])) else []

    def unturned(self) -> list[str]:
        """Return the turned pictures with boxes of which no stated size tells whether they were turned too."""
        turned = [name for name, seen in self.pictures.items() if seen.turned]
        return [name for name in turned if self.inside.get(name) and not self._told(name)]

    def _told(self, name: str) -> bool:
        """Return whether the size that an annotation states tells its picture from the one before the turn."""
        wide, high = self.found.annotations.pictures[name].stated or (0, 0)
        return wide != high and turn_of(self.base / name) in QUARTERS


def _out(box: Box, wide: int, high: int) -> bool:
    """Return whether a box reaches out of its picture by more than a pixel."""
    return min(box.left, box.top) < -1 or box.right > wide + 1 or box.bottom > high + 1


def _as_corner(box: Box) -> Box:
    """Return a box whose stated middle was its left top corner."""
    wide, high = box.right - box.left, box.bottom - box.top
    left, top = box.left + wide / 2, box.top + high / 2
    return box._replace(left=left, top=top, right=left + wide, bottom=top + high)


class BoxKind(NamedTuple):
    """A kind of finding: how its names are found, one for each thing counted, what it is, and what to do.

    {count} in the sentence is the number of `noun`, and {share} its share of all boxes.
    """

    find: Callable[[BoxFacts], Sequence[str]]
    noun: str
    sentence: str
    advice: str


BOX_FINDINGS = {
    "boxes without area": BoxKind(
        lambda facts: facts.where(lambda box, wide, high: box.right <= box.left or box.bottom <= box.top),
        "box", "{count} without area, left out", "draw them again, or remove them",
    ),
    "boxes read as middles": BoxKind(
        BoxFacts.corners,
        "box", "{count} that reach out of their pictures, and would not if YOLO's x and y were the left top corner",
        "write the middle of each box, as YOLO does, not its corner",
    ),
    "boxes outside": BoxKind(
        lambda facts: facts.where(_out),
        "box", "{count} that reach out of their picture by more than a pixel, clipped or left out",
        "look whether they are of another picture or another size",
    ),
    "boxes from 0": BoxKind(
        BoxFacts.shifted,
        "box", "{count} of Pascal VOC that begin at 0, though VOC counts from 1, so boxes are one pixel too far left",
        "add 1 to all xmin and ymin if the program that wrote them counts from 0",
    ),
    "boxes of another size": BoxKind(
        lambda facts: [name for name in facts.pictures if name not in facts.boxes],
        "picture", "{count} of another size than the annotation states, left out",
        "scale the boxes with the pictures",
    ),
    "boxes of turned pictures": BoxKind(
        BoxFacts.unturned,
        "picture", "{count} turned by Exif, whose boxes may be of the picture before the turn",
        "look at the boxes; turn the pixels themselves and remove the tag to be safe",
    ),
    "nothing to judge by": BoxKind(
        BoxFacts.unjudged,
        "part", "{count} without a single box, so every score of it is 0",
        "hold out other pictures, or raise --holdout",
    ),
    "rare classes": BoxKind(
        BoxFacts.rare,
        "class", f"{{count}} with boxes in {FEW_FILES} pictures or fewer", "add pictures, or leave the class out",
    ),
    "small boxes": BoxKind(
        BoxFacts.small,
        "box", f"{{count}} ({{share}}) with a side below {SMALL} pixels at the size to train at", "use a larger --size",
    ),
    "pictures without boxes": BoxKind(
        lambda facts: [name for name in facts.pictures if not facts.found.annotations.pictures[name].boxes],
        "picture", "{count} without a box, so all in them counts as background",
        "make sure that nothing is left to draw",
    ),
}  # fmt: skip


def box_findings(path: Path, seen: Sequence[Seen], size: Size | None) -> list[Finding]:
    """Return what there is to say of the boxes of a set, the gravest first; nothing if it has none."""
    try:
        found = annotated_or_none(path)
    except DataError as error:
        return [Finding("annotations", 1, (), str(error), "repair or remove it: no detector is trained before")]
    if found is None:
        return []
    named = {one.name: one for one in seen}
    pictures = {name: named[name] for name in found.source.names if name in named}
    usual = BoxedSettings().size
    facts = BoxFacts(found, pictures, path, size or usual or 0)
    said = [Finding("annotations", 1, (), note, "make sure that this is meant") for note in found.notes]
    return said + [one for kind, row in BOX_FINDINGS.items() for one in _found(kind, row, facts)]


def _found(kind: str, row: BoxKind, facts: BoxFacts) -> list[Finding]:
    names = row.find(facts)
    if not names:
        return []
    share = len(names) / max(1, sum(map(len, facts.inside.values())))
    sentence = row.sentence.format(count=counted(len(names), row.noun), share=f"{share:.0%}")
    return [Finding(kind, len(names), tuple(dict.fromkeys(names))[:NAMES_KEPT], sentence, row.advice)]
