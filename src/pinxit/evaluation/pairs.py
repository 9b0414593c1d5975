"""Pictures judged by the pictures they should be, matched by name: a restored one by its original."""

from __future__ import annotations

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
from pinxit.progress import track
from pinxit.settings import did_you_mean

METRICS = PAIRED | PERCEPTUAL
ON_REQUEST = ("st-lpips[alex]",)
"""Needs a package that pinxit does not bring."""

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
    bootstrap interval; `each` has the pairs' own values in the order of `names`. `border` pixels are cut off at each
    side and alpha is laid over black. What has no counterpart, or one of another size, is told in `remarks`; if no pair
    is left that is a `DataError`. Without `metrics` all are told that the pictures' size and channels allow.
    """
    one, other = parts(judged, HOLDOUT)[0], parts(reference, HOLDOUT)[0]
    pairs, remarks = _matched(one, other)
    asked = _asked(metrics, channels, _smallest_side(other, pairs) - 2 * border)
    values: dict[str, list[Tensor]] = {name: [] for name in asked}
    for images, originals in _batches(one, other, pairs, channels, border):
        for name, metric in asked.items():
            values[name].append(metric.measure(images, originals))
    protocol = {
        "n": len(pairs),
        "seed": seed,
        "channels": channels,
        "border": border,
        "alpha": "over black",
        "generated": identity(one),
        "reference": identity(other),
    }
    scores = {name: _score(asked[name], torch.cat(parts), seed) | protocol for name, parts in values.items()}
    names = [other.names[place] for _, place in pairs]
    return {"scores": scores, "names": names, "remarks": remarks, "made_by": made_by()}


def _score(metric: PairedMetric, each: Tensor, seed: int) -> dict[str, Any]:
    estimate = mean_estimate(each, seed)
    return {
        "value": estimate.value,
        "interval": {"low": estimate.low, "high": estimate.high, "level": 0.95, "method": estimate.method},
        "better": metric.better,
        "headline": metric.headline,
        "metric": metric.definition,
        "each": each.tolist(),
    }


def _matched(one: ImageSet, other: ImageSet) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the places of pictures of the same name and size in both sets, and remarks on what has no counterpart."""
    places = _by_stem(other)
    stems = _by_stem(one)
    shared = [(place, places[stem]) for stem, place in stems.items() if stem in places]
    pairs = [pair for pair in shared if (one.shapes[pair[0]] == other.shapes[pair[1]]).all()]
    unequal = [one.names[pair[0]] for pair in shared if pair not in pairs]
    remarks = [
        *_about("has no counterpart", [one.names[place] for stem, place in stems.items() if stem not in places]),
        *_about("of the reference was not judged", [other.names[p] for stem, p in places.items() if stem not in stems]),
        *_about("has another size than its counterpart", unequal),
    ]
    if not pairs:
        raise DataError(
            f"{one.name} and {other.name} have no pair of pictures of one name and size ({'; '.join(remarks)})"
        )
    return pairs, remarks


def _by_stem(images: ImageSet) -> dict[str, int]:
    stems: dict[str, int] = {}
    for place, name in enumerate(images.names):
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem in stems:
            raise DataError(f"{images.name}: {images.names[stems[stem]]} and {name} have one stem; pairs need one each")
        stems[stem] = place
    return stems


def _about(what: str, names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - NAMED_AT_MOST:,} more" if len(names) > NAMED_AT_MOST else ""
    return [f"left out, {what}: {', '.join(names[:NAMED_AT_MOST])}{more}"] if names else []


def _smallest_side(images: ImageSet, pairs: Sequence[tuple[int, int]]) -> int:
    return int(images.shapes[[place for _, place in pairs]].min())


def _asked(metrics: Sequence[str], channels: Channels, side: int) -> dict[str, PairedMetric]:
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"unknown paired metric {name!r}{did_you_mean(name, METRICS)}")
    if metrics:
        return {name: METRICS[name] for name in metrics}
    return {
        name: metric
        for name, metric in METRICS.items()
        if name not in ON_REQUEST and side >= metric.smallest_side and (name != "colour error" or channels == "rgb")
    }


def _batches(
    one: ImageSet, other: ImageSet, pairs: Sequence[tuple[int, int]], channels: Channels, border: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the pairs as they are compared, float64 (N, 1 or 3, H, W), runs of equal shape together."""
    for _, run in groupby(track(pairs, "comparing pairs", len(pairs)), key=lambda pair: one[pair[0]].shape):
        while batch := list(islice(run, PIXELS_AT_ONCE // max(1, one.shapes[0].prod()) + 1)):
            sides = zip(*((_picture(one[i], channels), _picture(other[j], channels)) for i, j in batch), strict=True)
            images, originals = (crop(torch.stack(side), border) for side in sides)
            yield images, originals


def _picture(pixels: np.ndarray, channels: Channels) -> Tensor:
    """Return a picture (H, W, C) as what is compared of it, float64 (1 or 3, H, W)."""
    image = torch.from_numpy(pixels / np.iinfo(pixels.dtype).max).permute(2, 0, 1)
    if len(image) == 4:
        image = image[:3] * image[3:]
    seen = as_channels(image[None], channels)[0]
    return seen.expand(3, -1, -1) if channels == "rgb" else seen
