"""Pictures judged by the pictures they should be, matched by name: a restored one by its original."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinxit.data import ImageSet
from pinxit.data.settings import HOLDOUT
from pinxit.errors import DataError, UsageError
from pinxit.evaluation.certificate import Document, made_by
from pinxit.evaluation.pictures import identity, parts
from pinxit.metrics.intervals import mean_estimate
from pinxit.metrics.paired import PAIRED, Channels, PairedMetric, as_channels, crop
from pinxit.metrics.perceptual import PERCEPTUAL
from pinxit.nets.shapes import over_black
from pinxit.progress import track
from pinxit.settings import did_you_mean

METRICS = PAIRED | PERCEPTUAL
ON_REQUEST = ("st-lpips[alex]",)
"""Needs a package that pinxit does not bring."""

FEWEST_PAIRS = 2
NAMED_AT_MOST = 3
PIXELS_AT_ONCE = 2**20


def evaluate_pairs(
    judged: str,
    reference: str,
    *,
    metrics: Sequence[str] = (),
    channels: Channels = "rgb",
    border: int = 0,
    seed: int = 0,
) -> Document:
    """Compare each picture with the one of the same name and return a certificate, as `evaluate` does.

    Names are paths in the set without their suffix, and numbers in arrays. Each score is the mean over the pairs with a
    bootstrap interval; `each` has the pairs' own values in the order of `names`, and `pairs` is the SHA-256 of these.
    `border` pixels are cut off at each side and alpha is laid over black. A pair is compared in colour, or as the
    brightness of its colours, if either of its pictures has colour.

    What has no counterpart, or one of another size, is told in `remarks`; fewer than 2 pairs are a `DataError`.
    Without `metrics` all are told that the pictures' size and channels allow; named ones that these do not allow, and a
    border that leaves nothing of a picture, are refused before the work.
    """
    asked = _asked(metrics, channels)
    one, other = parts(judged, HOLDOUT)[0], parts(reference, HOLDOUT)[0]
    pairs, remarks = _matched(one, other)
    names = other.names
    names = [names[place] for _, place in pairs]
    too_large = _too_large(asked, other.shapes[[place for _, place in pairs]], names, border)
    if metrics and too_large:
        raise DataError("; ".join(too_large.values()))
    remarks += [f"left out, {why}" for why in too_large.values()]
    values: dict[str, list[Tensor]] = {name: [] for name in asked if name not in too_large}
    for images, originals in _batches(one, other, pairs, channels, border):
        for name, found in values.items():
            found.append(asked[name].measure(images, originals))
    protocol = {
        "n": len(pairs),
        "seed": seed,
        "channels": channels,
        "border": border,
        "alpha": "over black",
        "pairs": hashlib.sha256(json.dumps(names).encode()).hexdigest(),
        "generated": identity(one),
        "reference": identity(other),
    }
    scores = {name: _score(asked[name], torch.cat(found), seed) | protocol for name, found in values.items()}
    return {"scores": scores, "names": names, "remarks": remarks, "made_by": made_by()}


def _score(metric: PairedMetric, each: Tensor, seed: int) -> dict[str, Any]:
    estimate = mean_estimate(each, seed)
    return {
        "value": estimate.value,
        "interval": estimate.interval(),
        "better": metric.better,
        "headline": metric.headline,
        "metric": metric.definition,
        "each": each.tolist(),
    }


def _matched(one: ImageSet, other: ImageSet) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the places of pictures of one name and size in both sets, in the reference's order, and remarks."""
    stems, places = _by_stem(one), _by_stem(other)
    shared = [(stems[stem], place) for stem, place in places.items() if stem in stems]
    equal = [(one.shapes[i] == other.shapes[j]).all() for i, j in shared]
    names, originals = one.names, other.names
    remarks = [
        *_about("has no counterpart", [names[place] for stem, place in stems.items() if stem not in places]),
        *_about("of the reference was not judged", [originals[j] for stem, j in places.items() if stem not in stems]),
        *_about(
            "has another size than its counterpart",
            [names[i] for (i, _), same in zip(shared, equal, strict=True) if not same],
        ),
    ]
    pairs = [pair for pair, same in zip(shared, equal, strict=True) if same]
    if len(pairs) < FEWEST_PAIRS:
        raise DataError(
            f"{one.name} and {other.name} have {len(pairs) or 'no'} pair of pictures of one name and size, and an "
            f"interval needs {FEWEST_PAIRS}" + "".join(f"; {remark}" for remark in remarks)
        )
    return pairs, remarks


def _by_stem(images: ImageSet) -> dict[str, int]:
    stems: dict[str, int] = {}
    names = images.names
    for place, name in enumerate(names):
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem in stems:
            raise DataError(f"{images.name}: {names[stems[stem]]} and {name} have one stem; pairs need one each")
        stems[stem] = place
    return stems


def _about(what: str, names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - NAMED_AT_MOST:,} more" if len(names) > NAMED_AT_MOST else ""
    return [f"left out, {what}: {', '.join(names[:NAMED_AT_MOST])}{more}"] if names else []


def _asked(metrics: Sequence[str], channels: Channels) -> dict[str, PairedMetric]:
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"unknown paired metric {name!r}{did_you_mean(name, METRICS)}")
        if METRICS[name].of_colour and channels != "rgb":
            raise UsageError(f"{name} compares colours, and of {channels} there are none; use channels rgb")
    if metrics:
        return {name: METRICS[name] for name in metrics}
    return {
        name: metric
        for name, metric in METRICS.items()
        if name not in ON_REQUEST and (channels == "rgb" or not metric.of_colour)
    }


def _too_large(
    asked: dict[str, PairedMetric], shapes: np.ndarray[Any, Any], names: Sequence[str], border: int
) -> dict[str, str]:
    """Return which metrics need larger pictures than the smallest, and why; `UsageError` if nothing is left of it."""
    place = int(shapes.min(1).argmin())
    high, wide = shapes[place].tolist()
    side = min(high, wide) - 2 * border
    picture = f"{names[place]} has {wide} x {high}" + (f", less a border of {border}" if border else "")
    if border < 0 or side < 1:
        raise UsageError(f"{picture}: nothing is left to compare; use a border of 0 to {(min(high, wide) - 1) // 2}")
    return {
        name: f"{name} needs sides of {metric.smallest_side} pixels: {picture}"
        for name, metric in asked.items()
        if side < metric.smallest_side
    }


def _batches(
    one: ImageSet, other: ImageSet, pairs: Sequence[tuple[int, int]], channels: Channels, border: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the pairs as they are compared, float64 (N, 1 or 3, H, W), runs of equal size together."""
    sizes = one.shapes.tolist()
    for (high, wide), run in groupby(track(pairs, "comparing pairs", len(pairs)), key=lambda pair: sizes[pair[0]]):
        while batch := list(islice(run, max(1, PIXELS_AT_ONCE // (high * wide)))):
            sides = zip(*(_pair(one[i], other[j], channels=channels) for i, j in batch), strict=True)
            images, originals = (crop(torch.cat(side), border) for side in sides)
            yield images, originals


def _pair(*pictures: np.ndarray[Any, Any], channels: Channels) -> Iterator[Tensor]:
    """Yield pictures (H, W, C) as what is compared of them, float64 (1, 1 or 3, H, W): colour if either has colour."""
    colour = channels == "rgb" or any(pixels.shape[2] > 1 for pixels in pictures)
    for pixels in pictures:
        image = over_black(torch.from_numpy(pixels / np.iinfo(pixels.dtype).max).permute(2, 0, 1)[None])
        yield as_channels(image.expand(-1, 3, -1, -1) if colour else image, channels)
