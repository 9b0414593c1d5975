"""Pictures with masks whose classes are to be recognised: which classes there are, their names, and which are void.

A set has a mask for each picture, of class numbers or of colours, or a folder of masks for each class.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np

from pinxit.data.pairs import ENDINGS, PixelClasses, joined, sources_of
from pinxit.data.places import remember
from pinxit.data.render import VOID
from pinxit.data.sets import DataSet, parse_spec
from pinxit.data.settings import HOLDOUT
from pinxit.data.sources import Decode, Source, key_of
from pinxit.data.things import THINGS, read_things
from pinxit.errors import DataError, UsageError
from pinxit.files import open_plain, parse_json
from pinxit.images import Picture, read_mask, read_picture
from pinxit.settings import did_you_mean

MOST_CLASSES = 255
LARGEST_NAMES = 1 << 20
BACKGROUND = "background"
"""The class of pixels that no mask of a class covers, where each class has a folder."""
Colour = tuple[int, int, int]


class Names(NamedTuple):
    """The names of classes from class 0 on, and the colours of masks that are no numbers."""

    names: tuple[str, ...] = ()
    colours: tuple[Colour, ...] = ()


def open_masked(spec: str, holdout: float = HOLDOUT, void: Sequence[str] = (), instances: bool = False) -> DataSet:
    """Open pictures with masks as `open_pairs` does, with names of the masks' classes; `void` ones are ignored.

    A file of `FILES` beside the folders names the classes, else each is called by its number. In a set with a folder of
    masks for each class, a pixel belongs to the last class that covers it, or to `BACKGROUND`. Masks of `instances`
    number things; their classes are `THINGS`. Raises `DataError` if there are no masks.
    """
    base = Path(parse_spec(spec)[0])
    pictures, masks, known = masked(base, instances)
    classes = PixelClasses(known.names, tuple(_number(word, known.names) for word in void))
    opened = joined({"image": pictures, "mask": masks}, spec, holdout, classes)
    remember(opened.train.fingerprint, base)
    return opened


class Masked(NamedTuple):
    """The pictures of a set and their masks, and what is known of the classes."""

    pictures: Source
    masks: Source
    known: Names


def masked(base: Path, instances: bool = False) -> Masked:
    """Return the pictures and masks of a set; `DataError` if there are no masks."""
    known = Names(THINGS) if instances else names_of(base)
    sources = sources_of(base, decode=read_things if instances else _decoder(known))
    sources.pop("pair", None)
    if "mask" not in sources:
        raise DataError(f"{base}: no masks; pictures in a folder images need masks of equal stems in a folder masks")
    masks = replace(sources["mask"], key=key_of("classes", known, instances, sources["mask"].key))
    if instances:
        return Masked(sources["image"], masks, known)
    if folders := _class_folders(sources["image"], masks):
        known = known._replace(names=_names_of_folders(folders, known.names))
        masks = _merged(masks, folders, known.names)
    return Masked(sources["image"], masks, known)


def names_of(base: Path) -> Names:
    """Return the names and colours of classes that a file of `FILES` states; none without one."""
    for name, read in FILES.items():
        if content := _content(base, name):
            try:
                found = read(content)
                plain = all(0 <= level <= 255 for colour in found.colours for level in colour)
                if plain and len(set(found.names)) == len(found.names) and 1 < len(found.names) <= MOST_CLASSES:
                    return found
            except (ValueError, LookupError, TypeError, AttributeError, csv.Error, DataError):
                pass
            raise DataError(f"{base / name}: should name 2 to {MOST_CLASSES} classes, each once, {ABOUT[name]}")
    return Names()


def _content(base: Path, name: str) -> bytes:
    """Return a file in a folder, or that nearest to the top of a zip; b"" if there is none."""
    if base.is_file():
        with suppress(zipfile.BadZipFile, OSError, RuntimeError), zipfile.ZipFile(open_plain(base)) as archive:
            for found in sorted((one for one in archive.namelist() if one.rpartition("/")[2] == name), key=len)[:1]:
                with archive.open(found) as member:
                    return member.read(LARGEST_NAMES)
        return b""
    if not (base / name).is_file():
        return b""
    with open_plain(base / name) as file:
        return file.read(LARGEST_NAMES)


def _lines(content: bytes) -> Names:
    names = tuple(filter(None, map(str.strip, content.decode("utf-8-sig").splitlines())))
    if all(re.match(rf"{number}\s+\S", name) for number, name in enumerate(names)):
        names = tuple(name.split(maxsplit=1)[1] for name in names)
    return Names(names)


def _json(content: bytes) -> Names:
    value = parse_json(content, "classes.json")
    if isinstance(value, list):
        return Names(tuple(map(str, value)))
    return Names(tuple(value), tuple((int(red), int(green), int(blue)) for red, green, blue in value.values()))


def _table(content: bytes) -> Names:
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), skipinitialspace=True))
    colours = tuple((int(row["r"]), int(row["g"]), int(row["b"])) for row in rows)
    return Names(tuple(row["name"].strip() for row in rows), colours)


FILES = {"classes.txt": _lines, "classes.json": _json, "classes.csv": _table}
"""Files beside the folders of pictures and masks that name the classes, from class 0 on, in the order of preference."""
ABOUT = {
    "classes.txt": "one a line; its number may stand before the name",
    "classes.json": 'as a list of names, or with the colours of the masks: {"road": [128, 64, 128], ...}',
    "classes.csv": "with the colours of the masks, in columns name, r, g, b",
}


def _decoder(known: Names) -> Decode:
    """Return the decoder of masks: of colours where these are known, else of numbers."""
    return (
        partial(_numbered, colours={colour: place for place, colour in enumerate(known.colours)})
        if (known.colours)
        else read_mask
    )


def _numbered(source: Path | BinaryIO, name: str, colours: Mapping[Colour, int]) -> Picture:
    """Return the class numbers (H, W, 1) of a mask in colours; `DataError` for a colour that is no class's."""
    picture = read_picture(source, name)
    pixels = picture.pixels.repeat(3, axis=2) if picture.pixels.shape[2] == 1 else picture.pixels[..., :3]
    codes = pixels.astype(np.int64) @ (1 << 16, 1 << 8, 1)
    used, place = np.unique(codes, return_inverse=True)
    found = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in used]
    if strange := [colour for colour in found if colour not in colours]:
        raise DataError(f"{name}: holds the colour {strange[0]}, which is none of the {len(colours)} classes")
    numbers = np.array([colours[colour] for colour in found], np.uint8)[place.reshape(codes.shape)]
    return replace(picture, pixels=numbers[..., None])


def _class_folders(images: Source, masks: Source) -> list[str]:
    """Return the folders, one for each class, in which masks lie; none if each picture has one mask."""
    stems = {stem_of(PurePosixPath(name)) for name in images.names}
    paths = [PurePosixPath(name) for name in masks.names]
    if any(stem_of(path) in stems for path in paths):
        return []
    return sorted({path.parts[-2] for path in paths if len(path.parts) > 1 and stem_of(_without_class(path)) in stems})


def _without_class(path: PurePosixPath) -> PurePosixPath:
    return path.parent.parent / path.name


def stem_of(path: PurePosixPath) -> str:
    """Return the name by which a picture and its mask go together."""
    stem = str(path.with_suffix(""))
    return next((stem.removesuffix(end) for end in ENDINGS if stem.endswith(end)), stem)


def _names_of_folders(folders: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of folders in the order of `names`, or else of the folders after the background."""
    if strange := [folder for folder in folders if names and folder not in names]:
        raise DataError(f"the folder of masks {strange[0]} is none of the classes {', '.join(names)}")
    return tuple(names) or (BACKGROUND, *(folder for folder in folders if folder != BACKGROUND))


def _merged(masks: Source, folders: Sequence[str], names: Sequence[str]) -> Source:
    """Return one mask for each picture, of masks that each cover a class."""
    groups = defaultdict[str, dict[int, int]](dict)
    for number, path in enumerate(map(PurePosixPath, masks.names)):
        if len(path.parts) > 1 and path.parts[-2] in folders:
            whole = _without_class(path)
            groups[str(whole.with_name(f"{PurePosixPath(stem_of(whole)).name}{whole.suffix}"))][
                names.index(path.parts[-2])
            ] = number
    order = sorted(groups)
    beside = names.index(BACKGROUND) if BACKGROUND in names else VOID

    def read(number: int) -> Picture:
        covers = {place: masks.read(at) for place, at in sorted(groups[order[number]].items())}
        first = next(iter(covers.values()))
        pixels = np.full_like(first.pixels, beside)
        for place, cover in covers.items():
            if cover.pixels.shape != pixels.shape:
                raise DataError(f"{order[number]}: the mask of {names[place]} has another size than that of the others")
            pixels[cover.pixels > 0] = place
        return replace(first, pixels=pixels)

    return replace(masks, key=key_of("merged", folders, names, masks.key), names=order, read=read)


def _number(word: str, names: Sequence[str]) -> int:
    """Return the number of a class by its name or its number."""
    if word in names:
        return names.index(word)
    if word.isdecimal() and int(word) < (len(names) or MOST_CLASSES):
        return int(word)
    raise UsageError(f"--void {word}: no such class{did_you_mean(word, names)}")
