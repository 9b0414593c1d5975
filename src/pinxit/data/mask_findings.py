"""What the doctor of a set looks for in masks: what training would read otherwise than is meant, or leave out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from pinxit.data.findings import NAMES_KEPT, Finding, Seen
from pinxit.data.masks import Names, stem_of
from pinxit.data.pack import readable
from pinxit.data.render import VOID
from pinxit.data.sources import Source
from pinxit.errors import DataError, counted

RARE = 2
"""A class in at most so many of `ENOUGH` masks or more is rare."""
ENOUGH = 10
SOFT = 64
"""A mask of more different numbers than this is taken for a soft one, if no file names so many classes."""


class Look(NamedTuple):
    """What is seen of a picture: its name, its part, its size, and whether Exif turned it."""

    name: str
    held: bool
    size: tuple[int, int]
    turned: bool


@dataclass(frozen=True)
class MaskFacts:
    """All that was seen of masks: for each its picture, if there is one, and the numbers in it."""

    masks: Mapping[str, Look]
    used: Mapping[str, np.ndarray]
    pictures: Mapping[str, Look]
    bad: Sequence[str]
    known: Names

    def name(self, number: int) -> str:
        """Return what a class is called."""
        return self.known.names[number] if number < len(self.known.names) else str(number)

    def binary(self) -> list[str]:
        """Return the masks of 0 and 255, if there are no others."""
        found = [one for one in self.used.values() if one[1:VOID].any()]
        return [] if found else [self.masks[stem].name for stem, one in self.used.items() if one[VOID]]

    def soft(self) -> list[str]:
        """Return the masks of so many numbers that these can be no classes."""
        most = max(SOFT, len(self.known.names))
        return [self.masks[stem].name for stem, one in self.used.items() if one.sum() > most]

    def files_of(self) -> dict[int, list[str]]:
        """Return the masks in which each class is."""
        found = defaultdict[int, list[str]](list)
        for name, one in self.used.items():
            for number in np.flatnonzero(one[:VOID]):
                found[int(number)].append(name)
        return found

    def rare(self) -> list[str]:
        """Return the classes that few masks have."""
        if len(self.used) < ENOUGH or self.soft():
            return []
        rows = sorted(self.files_of().items())
        return [f"{self.name(number)} in {len(files)}" for number, files in rows if len(files) <= RARE]

    def empty(self) -> list[str]:
        """Return the classes that are named, and that no mask has."""
        found = set(self.files_of()) | ({1} if self.binary() else set())
        return [name for number, name in enumerate(self.known.names) if number not in found]

    def unjudged(self) -> list[str]:
        """Return the classes that are learned and not judged, because no held-out mask has them."""
        parts = {part: set[int]() for part in (True, False)}
        for name, one in self.used.items():
            if picture := self.pictures.get(name):
                parts[picture.held] |= set(np.flatnonzero(one[:VOID]).tolist())
        held = any(picture.held for picture in self.pictures.values())
        return [self.name(number) for number in sorted(parts[False] - parts[True])] if held and not self.soft() else []

    def lonely(self) -> list[str]:
        """Return the masks without a picture of their stem, and the pictures without a mask."""
        pairs = ((self.masks, self.pictures), (self.pictures, self.masks))
        return [one.name for these, others in pairs for stem, one in these.items() if stem not in others]

    def unequal(self) -> list[str]:
        """Return the masks of another size than their picture's, unless Exif turned only one of them."""
        return [one.name for one, picture in self._pairs() if one.size != picture.size and one.turned == picture.turned]

    def unturned(self) -> list[str]:
        """Return the masks of pictures that Exif turns, and that are not turned with them."""
        return [one.name for one, picture in self._pairs() if one.turned != picture.turned]

    def _pairs(self) -> list[tuple[Look, Look]]:
        return [(one, self.pictures[stem]) for stem, one in self.masks.items() if stem in self.pictures]


class Kind(NamedTuple):
    """A kind of finding: which names it is about, what it is, and what to do; {count} is their number."""

    find: Callable[[MaskFacts], Sequence[str]]
    sentence: str
    advice: str
    noun: str = "mask"


MASK_FINDINGS = {
    "unreadable masks": Kind(
        lambda facts: facts.bad,
        "{count} that cannot be read as class numbers, left out with the picture of each",
        "write masks as grey or palette PNG; for masks in colours, name the colours in classes.json",
    ),
    "misnamed masks": Kind(
        MaskFacts.lonely,
        "{count} without a mask or a picture of the same name, left out",
        "give both files the same name up to the suffix",
        "file",
    ),
    "unturned masks": Kind(
        MaskFacts.unturned,
        "{count} that Exif does not turn as it turns the picture of each",
        "turn the masks, or remove Exif's orientation from the pictures",
    ),
    "mask sizes": Kind(
        MaskFacts.unequal,
        "{count} of another size than the picture of each, left out",
        "save masks at the size of their pictures, by the nearest pixel",
    ),
    "soft masks": Kind(
        MaskFacts.soft,
        f"{{count}} of over {SOFT} different numbers: each would be a class",
        "threshold soft masks (`pinxit train matte` learns from soft ones); if they number things, use --instances",
    ),
    "masks of 0 and 255": Kind(
        MaskFacts.binary,
        "{count} of 0 and 255 only; they are read as the classes 0 and 1",
        "do nothing, unless 255 was to be void",
    ),
    "empty classes": Kind(
        MaskFacts.empty,
        "{count} that no mask has",
        "remove their names from the end of the list, or add pictures",
        "class",
    ),
    "rare classes": Kind(
        MaskFacts.rare,
        f"{{count}} in {RARE} masks or fewer",
        "add pictures of them, or ignore them by --void",
        "class",
    ),
    "classes not held out": Kind(
        MaskFacts.unjudged,
        "{count} that no held-out mask has, so nothing says how well they are found",
        "put pictures of them into the part test/, or use a larger --holdout",
        "class",
    ),
}  # fmt: skip
"""What is looked for, the gravest first."""


def mask_findings(masks: Source, known: Names, pictures: Sequence[Seen]) -> list[Finding]:
    """Return what there is to say of the masks of these pictures."""
    bad: list[str] = []
    looks: dict[str, Look] = {}
    used: dict[str, np.ndarray] = {}
    with suppress(DataError):  # if none can be read, `bad` says of each why
        for number, one in readable(masks, "checking masks", bad, defaultdict(list)):
            stem, shape = stem_of(PurePosixPath(masks.names[number])), one.pixels.shape
            looks[stem] = Look(masks.names[number], False, (shape[0], shape[1]), one.turned)
            used[stem] = np.bincount(one.pixels.ravel(), minlength=VOID + 1) > 0
    unread = {stem_of(PurePosixPath(name)) for name in masks.names}.difference(looks)
    by_stem = {
        stem: Look(one.name, one.held, (one.height, one.width), one.turned)
        for one in pictures
        if (stem := stem_of(PurePosixPath(one.name))) not in unread
    }
    facts = MaskFacts(looks, used, by_stem, bad, known)
    found = []
    for kind, row in MASK_FINDINGS.items():
        if names := row.find(facts):
            sentence = row.sentence.format(count=counted(len(names), row.noun))
            found.append(Finding(kind, len(names), tuple(names[:NAMES_KEPT]), sentence, row.advice))
    return found
