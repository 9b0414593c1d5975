"""Pictures with a mask or a pair each: from folders with files of equal stems, or side by side in one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from pinxit.data.boxes import opening
from pinxit.data.layout import part_of
from pinxit.data.pack import NAMED_AT_MOST, Pack, checked, pack, pack_folder, pack_path
from pinxit.data.places import remember
from pinxit.data.render import VOID
from pinxit.data.sets import Companions, DataSet, ImageSet, Layer, divide, open_data, parse_spec, whole_pack
from pinxit.data.settings import HOLDOUT
from pinxit.data.sources import Decode, Source, key_of, open_source
from pinxit.errors import DataError, counted
from pinxit.files import read_json, write_json
from pinxit.images import Picture, read_mask

Kind = Literal["image", "mask", "pair"]

FOLDERS: dict[Kind, tuple[str, ...]] = {
    "image": ("images", "image", "photos", "photo", "inputs", "input", "A", "JPEGImages"),
    "mask": ("masks", "mask", "labels", "label", "SegmentationClass"),
    "pair": ("pairs", "pair", "targets", "target", "B", "mattes", "matte"),
}
ENDINGS = ("_mask", "_gt", "_label")  # what may follow an image's stem in the stem of its mask or pair


class PixelClasses(NamedTuple):
    """What is known of the classes of masks that are to be recognised: their names, and the numbers that are void.

    Without names a class is called by its number.
    """

    names: tuple[str, ...] = ()
    void: tuple[int, ...] = ()


def open_pairs(
    spec: str, holdout: float = HOLDOUT, *, mask: str | Path | None = None, pair: str | Path | None = None
) -> DataSet:
    """Open pictures that each have a mask of class numbers, a pair (another picture of the same scene), or both.

    `mask` and `pair` name folders or zips; files go together by their stem, in equal sub-folders. Without them there
    are two ways. The set may be a folder or zip with the folders `images` and `masks` or `pairs`; `FOLDERS` lists other
    names. Or it holds pictures twice as wide as high: the left half is the image, the right half its pair. Folders
    `train`, `val` and `test`, above or below these, are official parts; what is not `train` is held out.

    A mask is grey or has a palette. If all masks hold only 0 and 255, these become the classes 0 and 1. Otherwise 255
    is `VOID`. Soft masks are pairs. Pictures that lack a partner, or whose partner has another size, are named and left
    out. In all else this works like `open_data`.
    """
    return joined(sources_of(Path(parse_spec(spec)[0]), mask, pair), spec, holdout)


def joined(
    sources: Mapping[Kind, Source],
    spec: str,
    holdout: float,
    known: PixelClasses | None = None,
    colours: Mapping[Kind, Sequence[str]] = MappingProxyType({}),
) -> DataSet:
    """Return the set of pictures that lie in several sources, together by their stems; `known` are named classes.

    `colours` has those of the classes of images or pairs that are label maps.
    """
    base, part = parse_spec(spec)
    packs: dict[Kind, Pack] = {}
    notes: list[str] = []
    for kind, source in sources.items():
        packs[kind], remarks = pack(divided(source))
        notes += list(remarks)
    numbers, left_out = _together(packs)
    if not len(numbers["image"]):
        partners = " and a ".join(kind for kind in packs if kind != "image")
        raise DataError(f"{base}: no picture has a {partners} of the same stem and size")
    record: dict[str, Any] = {
        kind: {"pack": packs[kind].fingerprint, "numbers": numbers[kind].tolist()} for kind in packs
    }
    if known is not None:
        record["classes"] = known._asdict()
    if shown := {kind: list(found) for kind, found in colours.items() if found}:
        record["colours"] = shown
    fingerprint = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    whole = _joined(packs, numbers, fingerprint, known, shown)
    write_json(record_path(fingerprint), record)
    return divide(whole, base, part, holdout, [*notes, *left_out, *_about_masks(whole.companions)])


def open_matted(spec: str, holdout: float = HOLDOUT) -> DataSet:
    """Open pictures whose subject is known: with masks or pairs where there are folders of them, else cut-outs.

    Raises `DataError` if they are neither.
    """
    base = Path(parse_spec(spec)[0])
    if base.exists() and _folders(open_source(base))[1]:
        pairs = open_pairs(spec, holdout)
        remember(pairs.train.fingerprint, base)
        return pairs
    found = open_data(spec, holdout)
    if found.train.channels != 4:
        raise DataError(
            f"{base}: nothing says what the subject of these pictures is: they have no transparent parts, and no "
            "folders such as images and masks, or images and mattes, with files of equal stems"
        )
    return found


def open_packed(fingerprint: str, spec: str, holdout: float = HOLDOUT) -> DataSet:
    """Open a set that was packed before, even if its source is gone; `spec` is the word it was opened by."""
    return divide(_whole(fingerprint), *parse_spec(spec), holdout, ())


def _whole(fingerprint: str) -> ImageSet:
    """Return a set with what belongs to its pictures, by the record of that, or the pictures alone."""
    if record_path(fingerprint).exists():
        return _recorded(fingerprint)
    if opening.record_path(fingerprint).exists():
        return opening.recorded(fingerprint)
    return whole_pack(Pack(pack_path(fingerprint)))


def is_packed(fingerprint: str) -> bool:
    """Return whether the set of a fingerprint is in the cache."""
    return any(path(fingerprint).exists() for path in (pack_path, record_path, opening.record_path))


def record_path(fingerprint: str) -> Path:
    """Return the path of the record of a set with companions: which packs it has, and which pictures go together."""
    return pack_folder() / f"{checked(fingerprint)}.pairs.json"


def _recorded(fingerprint: str) -> ImageSet:
    record = read_json(record_path(fingerprint))
    try:
        packs: dict[Kind, Pack] = {kind: Pack(pack_path(record[kind]["pack"])) for kind in FOLDERS if kind in record}
        numbers = {kind: np.array(record[kind]["numbers"], np.int64) for kind in packs}
        if any(((places < 0) | (places >= len(packs[kind]))).any() for kind, places in numbers.items()):
            raise ValueError("a number beyond the pack")
        named = record.get("classes")
        known = named and PixelClasses(tuple(map(str, named["names"])), tuple(map(int, named["void"])))
        colours = {kind: tuple(map(str, record.get("colours", {}).get(kind, ()))) for kind in packs}
        return _joined(packs, numbers, fingerprint, known, colours)
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise DataError(f"{record_path(fingerprint)}: the record of a packed set is missing or damaged") from error


def _joined(
    packs: Mapping[Kind, Pack],
    numbers: Mapping[Kind, np.ndarray],
    fingerprint: str,
    known: PixelClasses | None,
    colours: Mapping[Kind, Sequence[str]],
) -> ImageSet:
    def label_maps(kind: Kind) -> tuple[np.ndarray | None, tuple[str, ...]]:
        shown = tuple(colours.get(kind, ()))
        return (_classes(packs[kind], numbers[kind], None).table, shown) if shown else (None, ())

    pair = Layer(packs["pair"], numbers["pair"], *label_maps("pair")) if "pair" in packs else None
    companions = Companions(pair=pair)
    if "mask" in packs:
        found = _classes(packs["mask"], numbers["mask"], known)
        mask = Layer(packs["mask"], numbers["mask"], found.table)
        companions = Companions(mask, pair, None, found.classes, found.names, found.absent)
    return ImageSet(packs["image"], numbers["image"], "", companions, fingerprint, *label_maps("image"))


def sources_of(
    path: Path, mask: str | Path | None = None, pair: str | Path | None = None, decode: Decode = read_mask
) -> dict[Kind, Source]:
    """Return the pictures of a set, and what belongs to them, by kind; `decode` decodes a mask."""
    if mask or pair:
        places: dict[Kind, str | Path | None] = {"image": path, "mask": mask, "pair": pair}
        return {kind: _open(kind, Path(place), decode) for kind, place in places.items() if place}
    source = open_source(path)
    depth, folders = _folders(source)
    if folders:
        found = {kind: _open(kind, path, decode).within(depth, folder) for kind, folder in folders.items()}
        return {kind: replace(source, notes=()) for kind, source in found.items()}
    return {"image": half(source, 0), "pair": replace(half(source, 1), notes=())}


def _open(kind: Kind, path: Path, decode: Decode) -> Source:
    """List the pictures of a kind. Masks are decoded as class numbers, so they are packed apart from pictures."""
    if kind != "mask":
        return open_source(path)
    source = open_source(path, decode)
    return replace(source, key=key_of("mask", source.key), labels=None)


def _folders(source: Source) -> tuple[int, dict[Kind, str]]:
    """Return the depth at which a set has folders of images and of masks or pairs, and the folder of each kind."""
    paths = [PurePosixPath(name).parts[:-1] for name in source.names]
    for depth in range(max(map(len, paths), default=0)):
        folders = {path[depth] for path in paths if len(path) > depth}
        found: dict[Kind, str] = {
            kind: next(name for name in names if name in folders)
            for kind, names in FOLDERS.items()
            if folders.intersection(names)
        }
        if "image" in found and len(found) > 1:
            return depth, found
    return 0, {}


def divided(source: Source) -> Source:
    """Return a source with its official parts, if each of its pictures lies in a folder of one."""
    paths = [PurePosixPath(name).parts[:-1] for name in source.names]
    parts = [next(filter(None, map(part_of, path)), "") for path in paths]
    if not all(parts):
        return source
    return replace(source, key=key_of("divided", source.key), parts=parts, labels=None)


def half(source: Source, side: int) -> Source:
    """Return the left (0) or right (1) halves of a source's pictures."""

    def read(number: int) -> Picture:
        picture = source.read(number)
        high, wide = picture.pixels.shape[:2]
        if wide != 2 * high:
            raise DataError(
                f"{source.names[number]}: {wide} x {high} pixels; a pair side by side is twice as wide as high. "
                "Pairs and masks in files of their own need folders such as images and pairs"
            )
        return replace(picture, pixels=np.ascontiguousarray(picture.pixels[:, side * high : (side + 1) * high]))

    return replace(source, key=key_of("half", side, source.key), read=read)


def _together(packs: Mapping[Kind, Pack]) -> tuple[dict[Kind, np.ndarray], list[str]]:
    """Return which pictures go together, as numbers in their packs, and remarks on the other pictures."""
    images = _stems("image", packs["image"].names, frozenset())
    places = {kind: images if kind == "image" else _stems(kind, packs[kind].names, frozenset(images)) for kind in packs}
    whole = [stem for stem in images if all(stem in found for found in places.values())]
    lonely = sorted(set().union(*places.values()).difference(whole))
    shapes = {stem: {tuple(packs[kind].shapes[places[kind][stem], :2]) for kind in packs} for stem in whole}
    kept = [stem for stem in whole if len(shapes[stem]) == 1]
    unequal = [stem for stem in whole if len(shapes[stem]) > 1]
    remarks = [*_about("without a partner", lonely), *_about("with a partner of another size", unequal)]
    return {kind: np.array([places[kind][stem] for stem in kept], np.int64) for kind in packs}, remarks


def _stems(kind: Kind, names: Sequence[str], images: frozenset[str]) -> dict[str, int]:
    """Return the number of each file by its stem; one of `ENDINGS` is dropped if the rest is the stem of an image."""
    found: dict[str, int] = {}
    for number, name in enumerate(names):
        stem = str(PurePosixPath(name).with_suffix(""))
        if kind != "image" and stem not in images:
            stem = next((stem.removesuffix(end) for end in ENDINGS if stem.removesuffix(end) in images), stem)
        if stem in found:
            raise DataError(f"{name}: there are two {kind} files of this stem; rename or remove one")
        found[stem] = number
    return found


def _about(what: str, stems: list[str]) -> list[str]:
    more = ", ..." if len(stems) > NAMED_AT_MOST else ""
    shown = ", ".join(stems[:NAMED_AT_MOST]) + more
    return [f"{what}, left out: {counted(len(stems), 'picture')}, {shown}"] if stems else []


class _Classes(NamedTuple):
    """A table (256,) uint8 from numbers in files to classes, how many these are, their names, and the absent ones."""

    table: np.ndarray
    classes: int
    names: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def _classes(masks: Pack, numbers: np.ndarray, known: PixelClasses | None) -> _Classes:
    """Return what the numbers in mask files mean.

    Void classes keep their number, so that those of others are the numbers in the files; at the end they are cut off.
    """
    used = np.array([np.bincount(masks[int(number)].ravel(), minlength=256) > 0 for number in numbers])
    table = np.arange(256, dtype=np.uint8)
    if not used[:, 1:VOID].any():
        table[VOID] = 1
        count = 2
    else:
        count = int(np.flatnonzero(used[:, :VOID].any(0))[-1]) + 1
    if known is None:
        return _Classes(table, count)
    if known.names and count > len(known.names):
        where = masks.names[int(numbers[int(np.argmax(used[:, count - 1]))])]
        raise DataError(f"{where}: holds class {count - 1}, but only {len(known.names)} classes are named, from 0 on")
    names = known.names or tuple(map(str, range(count)))
    table[list(known.void)] = VOID
    while names and len(names) - 1 in known.void:
        names = names[:-1]
    seen = set(table[used.any(0)].tolist())
    absent = tuple(name for number, name in enumerate(names) if number not in seen)
    return _Classes(table, len(names), names, absent)


def _about_masks(found: Companions) -> list[str]:
    if found.mask is None or found.mask.table is None:
        return []
    binary = found.mask.table[VOID] == 1
    meaning = "0 and 1; 255 in the files is 1" if binary else f"0 to {found.pixel_classes - 1}; 255 is void"
    absent = f"{counted(len(found.absent), 'class')} without a pixel: {', '.join(found.absent)}"
    return [f"masks of {found.pixel_classes} classes, {meaning}", *[absent] * bool(found.absent)]
