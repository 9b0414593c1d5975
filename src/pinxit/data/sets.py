"""Sets of pictures opened by one word: a name, a folder, a file of pictures, or a picture. A part is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pinxit.data import mnist
from pinxit.data.pack import PARTS, Pack, pack
from pinxit.data.places import remember
from pinxit.data.render import Renderer, patch, with_channels, with_depth
from pinxit.data.settings import HOLDOUT, LARGEST, SMALLEST, Fit
from pinxit.data.sources import open_source
from pinxit.errors import DataError, UsageError, counted
from pinxit.settings import Size, sides, size_of

if TYPE_CHECKING:
    from torch import Tensor


class Layer:
    """Some pictures of a packed set, in a fixed order, as rows of a batch. They stay on the disk until asked for.

    `channels` is 1 if all the pack's pictures are grey, 4 if the alpha of any is not opaque, else 3. `shapes` is
    (n, 2): height, width. Masks have a `table` (256,) uint8, from the numbers in their files to their classes. Label
    maps have `colours` too, in which their classes are shown: a batch has a plane for each class.
    """

    def __init__(
        self, pack: Pack, indices: np.ndarray, table: np.ndarray | None = None, colours: tuple[str, ...] = ()
    ) -> None:
        self.channels = int(pack.shapes[:, 2].max())
        self.shapes: np.ndarray = pack.shapes[indices, :2]
        self.table, self.colours = table, colours
        self._pack, self._indices = pack, indices
        self._renderers: dict[tuple[int, int, Fit], Renderer] = {}

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: int) -> np.ndarray:
        """Return picture `number` (H, W, C) as it was stored, uint8 or uint16, read-only; a mask's classes."""
        stored = self._pack[int(self._indices[number])]
        return stored if self.table is None else self.table[stored]

    @property
    def dtype(self) -> np.dtype:
        """The type of the rows: uint8, or uint16 if any picture of the pack is."""
        return np.dtype(f"u{self._pack.depths.max()}")

    def rows(
        self, numbers: np.ndarray, size: tuple[int, int], fit: Fit = "crop", places: np.ndarray | None = None
    ) -> np.ndarray:
        """Return pictures as (n, H, W, channels) at a size; uint16 if any picture of the set is, else uint8.

        With `places` (n, 2) in [0, 1), each row is the `patch` of its picture at that place.
        """
        if places is not None:
            cut = (patch(self[number], size, place) for number, place in zip(numbers, places, strict=True))
            return np.stack([with_channels(with_depth(one, self.dtype), self.channels) for one in cut])
        equal = self._pack.equal
        if equal is not None and equal.shape[1:] == (*size, self.channels) and self.table is None:
            rows: np.ndarray = equal[self._indices[numbers]]
            return rows
        if (*size, fit) not in self._renderers:
            masks = self.table is not None
            self._renderers[*size, fit] = Renderer(self, size, fit, self.channels, self.dtype, masks)
        return self._renderers[*size, fit].rows(numbers)

    def subset(self, positions: np.ndarray) -> Layer:
        """Return the layer of the pictures at these positions of this one."""
        return Layer(self._pack, self._indices[positions], self.table, self.colours)


@dataclass(frozen=True)
class Companions:
    """What belongs to the pictures of a set, in their order and of their shapes: masks, pairs and boxes.

    Masks have `pixel_classes` classes, and `VOID` where a pixel has none. Boxes are (k, 5) float32 a picture: left,
    top, right and bottom in its pixels, and the class, as in `Batch`. `classes` names those of masks or boxes, if they
    are to be recognised; no mask has a pixel of those that are `absent`.
    """

    mask: Layer | None = None
    pair: Layer | None = None
    boxes: Sequence[np.ndarray] | None = None
    pixel_classes: int = 0
    classes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def subset(self, positions: np.ndarray) -> Companions:
        """Return what belongs to the pictures at these positions."""
        return replace(
            self,
            mask=None if self.mask is None else self.mask.subset(positions),
            pair=None if self.pair is None else self.pair.subset(positions),
            boxes=None if self.boxes is None else [self.boxes[position] for position in positions],
        )


class ImageSet(Layer):
    """Some pictures of a packed set with their names, and their labels and companions where there are any.

    `name` is the set's and, where it is divided, the part's ("mnist:test"). `fingerprint` is the SHA-256 of the pack,
    or of all packs where there are companions. `labels` is (n,) int64 into `classes`, or None. `classes` are those of
    labels or, where companions name theirs, of these; then there are no labels.
    """

    def __init__(
        self,
        pack: Pack,
        indices: np.ndarray,
        name: str,
        companions: Companions = Companions(),
        fingerprint: str | None = None,
        table: np.ndarray | None = None,
        colours: tuple[str, ...] = (),
    ) -> None:
        super().__init__(pack, indices, table, colours)
        self.name = name
        self.companions = companions
        self.fingerprint = fingerprint or pack.fingerprint
        self.classes = companions.classes or pack.classes
        labelled = pack.labels is not None and not companions.classes
        self.labels: np.ndarray | None = pack.labels[indices] if labelled else None  # type: ignore[index]
        self.parts: np.ndarray = pack.parts[indices]

    @property
    def names(self) -> list[str]:
        """The pictures' names in their source: relative paths, or numbers in arrays."""
        return list(self.each_name())

    def each_name(self) -> Iterator[str]:
        """Yield the names one by one; `names` of millions would take gigabytes."""
        return map(self._pack.names.__getitem__, self._indices)

    @cached_property
    def selection(self) -> str:
        """The SHA-256 of the pictures' numbers in the pack."""
        return hashlib.sha256(self._indices.astype("<i8").tobytes()).hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures each class has, also those with none; nothing without labels."""
        if self.labels is None:
            return {}
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    @property
    def transparent(self) -> float:
        """The share of these pictures whose alpha is not opaque."""
        return float((self._pack.shapes[self._indices, 2] == 4).mean())

    @cached_property
    def own_size(self) -> Size | None:
        """The `own_size` of all pictures of the pack."""
        return own_size(self._pack.shapes)

    def tensor(self, size: Size, fit: Fit = "crop", start: int = 0, stop: int | None = None) -> Tensor:
        """Return pictures in order, float32 (N, C, H, W) in [0, 1], at a size such as 64 or "96x64"."""
        from pinxit.images.convert import to_float

        return to_float(self.rows(np.arange(len(self))[start:stop], sides(size), fit))

    def part(self, positions: np.ndarray, name: str) -> ImageSet:
        """Return the set of the pictures at these positions, with what belongs to them."""
        belongs = self.companions.subset(positions)
        return ImageSet(self._pack, self._indices[positions], name, belongs, self.fingerprint, self.table, self.colours)


@dataclass(frozen=True)
class DataSet:
    """The pictures to train on, those held out for judging, and remarks on both for the user.

    `apart` are pictures of a test part that is neither, because another part is held out for judging while training.
    `unreadable` names the files that were left out, because they cannot be read. `other` is a second set that belongs
    to it and is not paired with it.
    """

    train: ImageSet
    held_out: ImageSet
    notes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    apart: ImageSet | None = None
    other: ImageSet | None = None


def own_size(shapes: np.ndarray) -> Size | None:
    """Return the size in pixels of pictures (N, height and width, ...) if they have one that one can train at."""
    height, width = map(int, shapes[0, :2])
    equal = (shapes[:, :2] == (height, width)).all()
    possible = min(height, width) >= SMALLEST and max(height, width) <= LARGEST
    return size_of(height, width) if equal and possible else None


def open_data(spec: str, holdout: float = HOLDOUT) -> DataSet:
    """Open "mnist", a folder, a zip, an npz or IDX files; ":train" or ":test" after it picks that part alone.

    Named and MNIST-like sets keep their official split. In other sets a hash of the file name chooses the share
    `holdout`, so a picture stays on its side when pictures are added. `DataError` if nothing can be read.
    """
    base, part = parse_spec(spec)
    if base == mnist.NAME:
        return divide(whole_pack(mnist.open_pack()), base, part, holdout, ())
    source = open_source(Path(base))
    opened, notes = pack(source)
    remember(opened.fingerprint, Path(base))
    whole = len(opened) == len(source.names)
    unreadable = () if whole else tuple(sorted(set(source.names) - set(opened.names)))
    return replace(divide(whole_pack(opened), base, part, holdout, notes), unreadable=unreadable)


def parse_spec(spec: str) -> tuple[str, str]:
    """Return the set and the part that are asked for: ("mnist", "test") for "mnist:test", else (spec, "")."""
    if not spec:
        raise UsageError("an empty word names no set; the current folder is .")
    base, _, part = spec.rpartition(":")
    return (base, part) if base and part in PARTS[1:] else (spec, "")


def spec_of(base: object, part: str) -> str:
    """Return the text that `parse_spec` reads as this set and part."""
    return f"{base}:{part}" if part else str(base)


def whole_pack(opened: Pack) -> ImageSet:
    """Return all pictures of a pack."""
    return ImageSet(opened, np.arange(len(opened)), "")


def divide(whole: ImageSet, base: str, part: str, holdout: float, notes: Sequence[str]) -> DataSet:
    """Divide a set into training and held-out pictures, by its official parts or by name; `part` picks one.

    In a set with the parts val and test, val is held out, and test is left alone unless it is picked.
    """
    numbers = _official(whole) if whole.parts.any() else _by_name(whole, holdout)
    name = Path(base).resolve().name
    divided = sum(len(places) > 0 for places in numbers.values()) > 1
    parts = {key: whole.part(places, f"{name}:{key}" if divided else name) for key, places in numbers.items()}
    nothing = whole.part(np.arange(0), f"{name}:nothing")
    if part and not len(parts.get(part, nothing)):
        raise DataError(f"{base}: its {part} part is empty; raise --holdout, or leave out ':{part}'")
    if not part and not len(parts["train"]):
        part = next(key for key in parts if len(parts[key]))  # the set has only an official part to judge by
    held = "val" if "val" in parts else "test"
    train, rest = (parts[part], nothing) if part else (parts["train"], parts[held])
    apart = parts["test"] if held == "val" and not part and len(parts["test"]) else None
    said = [f"{counted(len(apart), 'picture')} left alone: {spec_of(base, 'test')} names them"] if apart else []
    return DataSet(train, rest, (_summary(whole, name, train, rest), *said, *notes), apart=apart)


def _official(whole: ImageSet) -> dict[str, np.ndarray]:
    """Return the numbers of the pictures of each official part; val only if there is one."""
    judged = {part: np.flatnonzero(whole.parts == PARTS.index(part)) for part in ("test", "val")}
    train = np.flatnonzero(~np.isin(whole.parts, [PARTS.index(part) for part in judged]))
    return {"train": train, "test": judged["test"]} | ({"val": judged["val"]} if len(judged["val"]) else {})


def _by_name(whole: ImageSet, holdout: float) -> dict[str, np.ndarray]:
    held = held_out(whole.each_name(), holdout, len(whole))
    return {"train": np.flatnonzero(~held), "test": np.flatnonzero(held)}


def held_out(names: Iterable[str], holdout: float, count: int = -1) -> np.ndarray:
    """Return which pictures are held out by a hash of their name; never all. `count` is how many names there are."""
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    places = np.fromiter((int.from_bytes(digest, "big") for digest in digests), np.float64, count) / 2**64
    held = places < holdout
    held[places.argmax()] = False  # even a tiny set keeps a picture to train on
    return held


def _summary(whole: ImageSet, name: str, train: ImageSet, rest: ImageSet) -> str:
    highs, wides = whole.shapes.T
    sizes = f"{wides[0]} x {highs[0]} pixels"
    if (whole.shapes != whole.shapes[0]).any():
        sizes = f"{wides.min()} to {wides.max()} pixels wide, {highs.min()} to {highs.max()} high"
    colours = {1: "grey (1 channel)", 3: "colour (3 channels)", 4: "colour with transparency (4 channels)"}
    kind = colours[train.channels] + (f", {counted(len(train.classes), 'class')}" if train.classes else "")
    others = f" and {len(rest):,} held out" if len(rest) else ""
    return f"{name}: {counted(len(train), 'picture')}{others}; {sizes}, {kind}"
