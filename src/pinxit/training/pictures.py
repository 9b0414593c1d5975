"""From a recipe to its pictures: by their fingerprint in the cache, or from where they were or are now."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np

from pinxit.data import (
    DataSet,
    is_packed,
    mnist,
    open_boxes,
    open_data,
    open_kinds,
    open_masked,
    open_matted,
    open_packed,
)
from pinxit.data.places import remembered
from pinxit.data.sets import parse_spec, spec_of
from pinxit.data.settings import DataSettings
from pinxit.errors import DataError, UsageError
from pinxit.progress import say
from pinxit.training.recipes import DataRecipe

NAMED = 3  # pictures in an error

OPENERS: dict[str, Callable[[str, DataSettings], DataSet]] = {
    # By what pictures need beside them (`ObjectiveSettings.opens`). A set is found again by trying each, in order.
    "mattes": lambda source, data: open_matted(source, data.holdout),
    "masks": lambda source, data: open_masked(source, data.holdout, data.ignored(), data.numbered()),
    "boxes": lambda source, data: open_boxes(source, data.holdout),
    "kinds": lambda source, data: open_kinds(source, data.holdout, data.kinds()),
    "pictures": lambda source, data: open_data(source, data.holdout),
}


def opened(source: str, data: DataSettings, opens: str = "pictures") -> DataSet:
    """Return a set of pictures by a row of `OPENERS`, and report its remarks."""
    pictures = OPENERS[opens](source, data)
    for remark in pictures.notes:
        say(remark)
    return pictures


def pictures_of(data: DataRecipe) -> DataSet:
    """Return a recipe's pictures by their fingerprint: from the cache, else from where this machine read them before.

    A recipe may be somebody else's, so the path in it is never read. Raises `DataError` if the pictures are not found.
    """
    part = parse_spec(data.source)[1]
    if is_packed(data.fingerprint):
        return _packed(data)
    if data.fingerprint == mnist.FINGERPRINT:
        return open_data(spec_of(mnist.NAME, part), data.holdout)
    places = remembered(data.fingerprint)
    for place in places:
        with suppress(DataError):  # what lies there now may be no pictures
            pictures = _found(spec_of(place, part), data)
            if pictures.train.fingerprint == data.fingerprint:
                return pictures
    if places:
        raise DataError(
            f"{places[0]} no longer holds the pictures that the run was trained on; start a new run with `pinxit train`"
        )
    raise DataError(
        f"the run's pictures, {data.name} of {data.source}, were never read on this machine; `pinxit data pack DATA` "
        "or `pinxit resume RUN --data DATA` reads them"
    )


def _found(spec: str, data: DataRecipe) -> DataSet:
    """Return the set at a place: with whatever belongs to its pictures, if it is a recipe's so; else alone."""
    for opener in OPENERS.values():
        with suppress(DataError, UsageError):  # a set of another kind, or one without the void classes
            pictures = opener(spec, data)
            if pictures.train.fingerprint == data.fingerprint:
                return pictures
            if pictures.other is not None and pictures.other.fingerprint == data.fingerprint:
                return replace(pictures, train=pictures.other)
    return open_data(spec, data.holdout)


def _packed(data: DataRecipe) -> DataSet:
    """Return a recipe's pictures from the cache, divided as they were, under the name in the recipe."""
    part = parse_spec(data.source)[1]
    return open_packed(data.fingerprint, spec_of(parse_spec(data.name)[0], part), data.holdout)


def moved(data: DataRecipe, source: str) -> DataSet:
    """Return a recipe's pictures from the place where they are now.

    Raises `DataError` with the differences if there are others, `UsageError` if another part of them is asked for.
    """
    (base, asked), part = parse_spec(source), parse_spec(data.source)[1]
    if asked not in ("", part):
        raise UsageError(f"--data {source}: the run was trained on {data.source}, another part; leave out ':{asked}'")
    pictures = _found(spec_of(base, part), data)
    if pictures.train.fingerprint != data.fingerprint:
        raise DataError(
            f"{source} does not hold the pictures that the run was trained on: {_differences(data, pictures)}"
        )
    return pictures


def _differences(data: DataRecipe, found: DataSet) -> str:
    """Return what a set has more or fewer than the recipe's, which is known only if this machine packed it."""
    new = _named(found)
    if not is_packed(data.fingerprint):
        return (
            f"it holds {len(new):,} pictures; this machine has not seen the run's own, so it cannot tell which differ"
        )
    old = _named(_packed(data))
    other = [name for name in old.keys() & new.keys() if not np.array_equal(old[name](), new[name]())]
    counts = {"fewer": old.keys() - new.keys(), "more": new.keys() - old.keys(), "changed": other}
    words = [f"{len(names):,} {what} ({_first(names)})" for what, names in counts.items() if names]
    return f"of {len(old):,} pictures " + (
        ", ".join(words) or "all are there, but their order, labels or companions differ"
    )


def _named(pictures: DataSet) -> dict[str, Callable[[], np.ndarray]]:
    """Return how to read each picture of a set, by its name."""
    parts = (pictures.train, pictures.held_out)
    return {name: partial(part.__getitem__, number) for part in parts for number, name in enumerate(part.each_name())}


def _first(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:NAMED]) + (" ..." if len(names) > NAMED else "")
