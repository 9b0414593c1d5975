"""What the doctor of a set looks for: a row of `FINDINGS` is a kind of trouble, how it is seen, and what to do."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from PIL import Image

from pinxit.data.settings import SMALLEST
from pinxit.errors import counted
from pinxit.images import Picture, eight_bit
from pinxit.images.picture import DARK, PLAIN_CMYK, to_pillow
from pinxit.settings import Size, sides

THUMB = 16
NEAR_CORRELATION, NEAR_BRIGHTNESS, NEAR_CONTRAST = 0.993, 20, 1.3
"""Of thumbnails of nearly equal pictures: least correlation, most difference of the means, ratio of the spreads."""
BLOCK, NEAR_COMPARED = 1000, 20_000
"""Pictures that are compared at once, and at all: the time grows with the square."""
LONG_SIDES = 3
FEW_PICTURES, FEW_IN_CLASS, UNEVEN_RATIO = 1000, 10, 3
FULL_BITS = 15
SCREEN_WORDS = ("screenshot", "screen shot", "screen_shot", "bildschirmfoto", "capture d", "thumb", "preview")
NAMES_KEPT = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a picture: `thumb` (16, 16) uint8 is its luma, `peak` the largest value of 16 bits.

    `lost` are the remarks of its reader.
    """

    name: str
    label: str
    held: bool
    width: int
    height: int
    channels: int
    mode: str
    peak: int
    flat: bool
    transparent: bool
    turned: bool
    profile: bool
    lost: tuple[str, ...]
    digest: bytes
    thumb: np.ndarray


def seen(picture: Picture, name: str, label: str, held: bool) -> Seen:
    """Return what is seen of a picture."""
    pixels = picture.pixels
    thumb = np.asarray(to_pillow(eight_bit(pixels)).resize((THUMB, THUMB), Image.Resampling.BOX).convert("L"))
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype.str}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return Seen(
        name=name,
        label=label,
        held=held,
        width=pixels.shape[1],
        height=pixels.shape[0],
        channels=pixels.shape[2],
        mode=picture.mode,
        peak=int(pixels.max()) if pixels.dtype == np.uint16 else 0,
        flat=bool(np.ptp(thumb) == 0 and (pixels == pixels[0, 0]).all()),
        transparent=pixels.shape[2] == 4 and int(pixels[..., 3].min()) < np.iinfo(pixels.dtype).max,
        turned=picture.turned,
        profile=picture.keeps.icc is not None and not _is_srgb(picture.keeps.icc),
        lost=picture.lost,
        digest=digest.digest(),
        thumb=thumb,
    )


def _is_srgb(profile: bytes) -> bool:
    return b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile


@dataclass(frozen=True)
class Facts:
    """All that was seen of a set, with the files that cannot be read and the size that is meant for training."""

    pictures: Sequence[Seen]
    bad: Sequence[str]
    size: Size

    def where(self, holds: Callable[[Seen], bool]) -> list[list[int]]:
        """Return the numbers of the pictures for which this holds, each alone."""
        return [[number] for number, one in enumerate(self.pictures) if holds(one)]

    @cached_property
    def copies(self) -> list[list[int]]:
        """The groups of pictures with equal pixels."""
        groups = defaultdict[bytes, list[int]](list)
        for number, one in enumerate(self.pictures):
            groups[one.digest].append(number)
        return [group for group in groups.values() if len(group) > 1]

    @cached_property
    def near(self) -> list[list[int]]:
        """The groups of pictures that are nearly equal, but not equal, by their thumbnails."""
        again = {number for group in self.copies for number in group[1:]}
        once = np.array([number for number in range(len(self.pictures)) if number not in again], int)
        thumbs = np.array([self.pictures[number].thumb for number in once], np.uint8).reshape(-1, THUMB, THUMB)
        varied = np.flatnonzero(np.ptp(thumbs, axis=(1, 2)))[:NEAR_COMPARED]
        pairs = near_pairs(thumbs[varied])
        return [[int(once[varied[place]]) for place in group] for group in grouped(pairs)]

    @cached_property
    def remarks(self) -> dict[str, list[int]]:
        """The pictures of each remark of a reader."""
        numbers = defaultdict[str, list[int]](list)
        for number, one in enumerate(self.pictures):
            for what in one.lost:
                numbers[what].append(number)
        return numbers

    @cached_property
    def classes(self) -> Counter[str]:
        """How many pictures each class has."""
        return Counter(one.label for one in self.pictures if one.label)

    def across(self, differ: Callable[[Seen], object], groups: list[list[int]]) -> list[list[int]]:
        """Return the groups whose pictures differ in something."""
        return [group for group in groups if len({differ(self.pictures[number]) for number in group}) > 1]

    def depth(self) -> list[list[int]]:
        """Return the pictures of 16 bits, if none of them uses the upper bits."""
        deep = self.where(lambda one: one.peak > 0)
        bits = max((self.pictures[number].peak.bit_length() for (number,) in deep), default=16)
        return deep if bits < FULL_BITS else []

    def odd_channels(self) -> list[list[int]]:
        """Return the grey pictures among coloured ones, or the other way round, whichever are fewer."""
        grey = self.where(lambda one: one.channels == 1)
        coloured = self.where(lambda one: one.channels > 1)
        return min(grey, coloured, key=len)

    def small(self) -> list[list[int]]:
        """Return the pictures that are enlarged at the size that is meant."""
        high, wide = sides(self.size)
        return self.where(lambda one: min(one.height / high, one.width / wide) < 1)


def near_pairs(thumbs: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of thumbnails (N, 16, 16) uint8, none of one value, that are nearly equal.

    They correlate, and differ little in brightness and contrast. All are compared with all, in blocks.
    """
    values = thumbs.reshape(len(thumbs), THUMB * THUMB).astype(np.float32)
    mean, spread = values.mean(1), np.maximum(values.std(1), 1e-3)
    values = (values - mean[:, None]) / (spread[:, None] * THUMB)
    found = []
    for start in range(0, len(values), BLOCK):
        alike = values[start : start + BLOCK] @ values[start:].T >= NEAR_CORRELATION
        left, right = np.nonzero(np.triu(alike, 1))
        left, right = left + start, right + start
        close = np.abs(mean[left] - mean[right]) <= NEAR_BRIGHTNESS
        close &= np.maximum(spread[left], spread[right]) <= NEAR_CONTRAST * np.minimum(spread[left], spread[right])
        found += list(zip(left[close].tolist(), right[close].tolist(), strict=True))
    return found


def grouped(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the groups that pairs connect, sorted."""
    group_of: dict[int, list[int]] = {}
    for left, right in pairs:
        one, other = group_of.setdefault(left, [left]), group_of.setdefault(right, [right])
        if one is not other:
            one += other
            group_of.update(dict.fromkeys(other, one))
    return sorted(sorted(group) for group in {id(group): group for group in group_of.values()}.values())


class Kind(NamedTuple):
    """A kind of finding: how it is found, as groups of picture numbers, what it is, and what to do.

    `link` joins the names of a group. {pictures} in the sentence is their number with its noun. `remark` is what
    readers say of such a picture, which is not said again.
    """

    find: Callable[[Facts], list[list[int]]]
    sentence: str
    advice: str
    link: str = " = "
    remark: str = ""


FINDINGS = {
    "leaks": Kind(
        lambda facts: facts.across(attrgetter("held"), [*facts.copies, *facts.near]),
        "{pictures} to train on, equal or nearly equal to pictures of the held-out part",
        "remove them from one part, or put what belongs together into train/ or val/: the score becomes too good",
        " ~ ",
    ),
    "contradictions": Kind(
        lambda facts: facts.across(attrgetter("label"), facts.copies),
        "{pictures} in one class, equal to pictures of another",
        "keep each picture in the class it belongs to",
    ),
    "copies": Kind(
        lambda facts: facts.copies,
        "{pictures} equal to others, pixel by pixel",
        "remove the copies: a copy in the held-out part makes the score too good",
    ),
    "near copies": Kind(
        lambda facts: facts.near,
        f"{{pictures}} nearly equal to others, such as resized ones (the first {NEAR_COMPARED:,} are compared)",
        "keep the best of each",
        " ~ ",
    ),
    "one colour": Kind(
        lambda facts: facts.where(lambda one: one.flat),
        "{pictures} of one colour only",
        "remove them, unless they are meant",
    ),
    "dark 16 bits": Kind(
        Facts.depth,
        "{pictures} of 16 bits with only the lower bits in use; training sees a fraction of the brightness",
        "scale their values to the full range, 0 to 65535",
        remark=DARK,
    ),
    "long sides": Kind(
        lambda facts: facts.where(lambda one: max(one.width, one.height) >= LONG_SIDES * min(one.width, one.height)),
        f"{{pictures}} {LONG_SIDES} or more times as long as wide, which any crop or stretch ruins",
        "cut them into parts, or use --fit pad or patch",
    ),
    "tiny": Kind(
        lambda facts: facts.where(lambda one: min(one.width, one.height) < SMALLEST),
        f"{{pictures}} with a side below {SMALLEST} pixels",
        "remove them: there is no detail to learn",
    ),
    "smaller than --size": Kind(
        Facts.small,
        "{pictures} smaller than the size to train at, and therefore enlarged",
        "use a smaller --size, or remove them",
    ),
    "screenshots and previews": Kind(
        lambda facts: facts.where(lambda one: any(word in one.name.lower() for word in SCREEN_WORDS)),
        "{pictures} named like screenshots or previews",
        "remove them, unless they are meant",
    ),
    "mixed channels": Kind(
        Facts.odd_channels,
        "{pictures} in grey among coloured ones, or the reverse; grey is trained on as colour",
        "make all pictures grey or all coloured",
    ),
    "transparent": Kind(
        lambda facts: facts.where(lambda one: one.transparent),
        "{pictures} with transparent parts, so the model learns a fourth channel",
        "lay them on a background if colour is meant",
    ),
    "CMYK": Kind(
        lambda facts: facts.where(lambda one: one.mode == "CMYK"),
        "{pictures} in CMYK, converted to RGB; without a colour profile, by a plain formula",
        "look at their colours on the sheet; convert them yourself if they are wrong",
        remark=PLAIN_CMYK,
    ),
    "profiles": Kind(
        lambda facts: facts.where(lambda one: one.profile),
        "{pictures} with another colour profile than sRGB, which training does not apply",
        "convert them to sRGB",
    ),
    "turned": Kind(
        lambda facts: facts.where(lambda one: one.turned),
        "{pictures} turned as Exif asks, so they are shown and trained on upright",
        "do nothing; other programs may show them on their side",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Something about a set that a person should know: its kind, how many, the first names, and what to do.

    `numbers` are the pictures it is about, where it is about some.
    """

    kind: str
    count: int
    names: tuple[str, ...]
    sentence: str
    advice: str
    numbers: tuple[int, ...] = ()


def findings(facts: Facts) -> list[Finding]:
    """Return what there is to say of a set, the gravest first."""
    found = _of_pictures(facts)
    return [*_of_files(facts), *found, *_of_remarks(facts, found), *_of_set(facts)]


def _of_files(facts: Facts) -> list[Finding]:
    count, names = len(facts.bad), tuple(facts.bad[:NAMES_KEPT])
    sentence = f"{counted(count, 'file')} that cannot be read, and left out"
    return [Finding("unreadable", count, names, sentence, "repair or remove what cannot be read")] if count else []


def _of_pictures(facts: Facts) -> list[Finding]:
    found = []
    for kind, row in FINDINGS.items():
        groups = row.find(facts)
        count = sum(len(group) - 1 or 1 for group in groups)
        names = tuple(row.link.join(facts.pictures[number].name for number in group) for group in groups[:NAMES_KEPT])
        sentence = row.sentence.format(pictures=counted(count, "picture"))
        numbers = tuple(number for group in groups for number in group)
        found += [Finding(kind, count, names, sentence, row.advice, numbers)] if groups else []
    return found


def _of_remarks(facts: Facts, found: Sequence[Finding]) -> list[Finding]:
    """Return what readers said about pictures and no finding says, a finding for each sentence of theirs."""
    said = {FINDINGS[one.kind].remark: frozenset(one.numbers) for one in found}
    remarks = []
    for what, numbers in facts.remarks.items():
        left = [number for number in numbers if number not in said.get(what, ())]
        names = tuple(facts.pictures[number].name for number in left[:NAMES_KEPT])
        remarks += [Finding("remark", len(left), names, what, "look at them on the sheet", tuple(left))] if left else []
    return remarks


def _of_set(facts: Facts) -> list[Finding]:
    count, classes = len(facts.pictures), facts.classes
    few = tuple(name for name, each in classes.items() if each < FEW_IN_CLASS)
    uneven = bool(classes) and max(classes.values()) > UNEVEN_RATIO * min(classes.values())
    rows = {
        "small classes": (len(few), few[:NAMES_KEPT],
                          f"{counted(len(few), 'class')} of fewer than {FEW_IN_CLASS} pictures",
                          "add pictures to them, or join classes"),
        "uneven classes": (int(uneven), (), f"the largest class is over {UNEVEN_RATIO} times the smallest",
                           "add to the smaller ones: rare classes are learned less well"),
        "few pictures": (count if count < FEW_PICTURES else 0, (), f"only {counted(count, 'picture')}",
                         "--shift 0.05, --rotate 5 or --flip may help"),
    }  # fmt: skip
    return [Finding(kind, *row) for kind, row in rows.items() if row[0]]
