"""Scores of picture pairs, matched by name: each restored picture against its original."""

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
"""Metrics that need a package pinxit does not install; computed only if named."""

NAMED_AT_MOST = 3
PIXELS_AT_ONCE = 2**20


def evaluate_pairs(
    generated: str,
    reference: str,
    *,
    metrics: Sequence[str] = (),
    channels: Channels = "rgb",
    border: int = 0,
    seed: int = 0,
) -> Document:
    """Compare each picture with the one of the same name and return a certificate, as `evaluate` does.

    Names are paths in the set without their suffix, or numbers in arrays. A set of one picture is compared with one,
    whatever their names. Each score is the mean over pairs, with a bootstrap interval if there are two. `each` has the
    values of the pairs in the order of `names`; `pairs` is the SHA-256 of the names.
    `border` pixels are cut off at each side, and alpha is laid over black. If either picture of a pair has colour, both
    are compared as colour pictures.

    `remarks` lists pictures without a counterpart or with one of another size. No pair is a `DataError`.
    Without `metrics`, all metrics that the pictures' size and channels allow are computed. Named metrics that are not
    possible, and a border that leaves nothing of a picture, are refused before the work.
    """
    chosen = _chosen(metrics, channels)
    restored, originals = parts(generated, HOLDOUT, "judged")[0], parts(reference, HOLDOUT, "reference")[0]
    pairs, remarks = _matched(restored, originals)
    names = originals.names
    names = [names[place] for _, place in pairs]
    too_small = _too_small(chosen, originals.shapes[[place for _, place in pairs]], names, border)
    if metrics and too_small:
        raise DataError("; ".join(too_small.values()))
    remarks += [f"left out, {why}" for why in too_small.values()]
    values: dict[str, list[Tensor]] = {name: [] for name in chosen if name not in too_small}
    for images, targets in _batches(restored, originals, pairs, channels, border):
        for name, found in values.items():
            found.append(chosen[name].measure(images, targets))
    protocol = {
        "n": len(pairs),
        "seed": seed,
        "channels": channels,
        "border": border,
        "alpha": "over black",
        "pairs": hashlib.sha256(json.dumps(names).encode()).hexdigest(),
        "generated": identity(restored),
        "reference": identity(originals),
    }
    scores = {name: _score(chosen[name], torch.cat(found), seed) | protocol for name, found in values.items()}
    return {"scores": scores, "names": names, "remarks": remarks, "made_by": made_by()}


def _score(metric: PairedMetric, each: Tensor, seed: int) -> dict[str, Any]:
    return {
        **mean_estimate(each, seed).document(),
        "better": metric.better,
        "headline": metric.headline,
        "metric": metric.definition,
        "each": each.tolist(),
    }


def _matched(restored: ImageSet, originals: ImageSet) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the numbers of matching pictures of equal size, in the reference's order, and remarks on the others."""
    stems, places = _by_stem(restored), _by_stem(originals)
    if len(stems) == len(places) == 1:
        stems = dict.fromkeys(places, 0)
    pairs: list[tuple[int, int]] = []
    unequal: list[tuple[int, int]] = []
    for stem, place in places.items():
        if stem in stems:
            same = (restored.shapes[stems[stem]] == originals.shapes[place]).all()
            (pairs if same else unequal).append((stems[stem], place))
    names, original_names = restored.names, originals.names
    remarks = [
        *_about("has no counterpart", [names[place] for stem, place in stems.items() if stem not in places]),
        *_about("only in the reference", [original_names[j] for stem, j in places.items() if stem not in stems]),
        *_about("has another size than its counterpart", [names[i] for i, _ in unequal]),
    ]
    if not pairs:
        raise DataError(
            f"{restored.name} and {originals.name} have no pair of pictures with the same name and size"
            + "".join(f"; {remark}" for remark in remarks)
        )
    if len(pairs) == 1:
        remarks.append("one pair: the values have no interval, and say nothing about other pictures")
    return pairs, remarks


def _by_stem(images: ImageSet) -> dict[str, int]:
    stems: dict[str, int] = {}
    names = images.names
    for place, name in enumerate(names):
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem in stems:
            raise DataError(
                f"{images.name}: {names[stems[stem]]} and {name} have the same stem; pairs need different stems"
            )
        stems[stem] = place
    return stems


def _about(what: str, names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - NAMED_AT_MOST:,} more" if len(names) > NAMED_AT_MOST else ""
    return [f"left out, {what}: {', '.join(names[:NAMED_AT_MOST])}{more}"] if names else []


def _chosen(metrics: Sequence[str], channels: Channels) -> dict[str, PairedMetric]:
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"unknown paired metric {name!r}{did_you_mean(name, METRICS)}")
        if METRICS[name].of_colour and channels != "rgb":
            raise UsageError(f"{name} compares colours, and {channels} has none; use channels rgb")
    if metrics:
        return {name: METRICS[name] for name in metrics}
    return {
        name: metric
        for name, metric in METRICS.items()
        if name not in ON_REQUEST and (channels == "rgb" or not metric.of_colour)
    }


def _too_small(
    chosen: dict[str, PairedMetric], shapes: np.ndarray[Any, Any], names: Sequence[str], border: int
) -> dict[str, str]:
    """Return the metrics that need larger pictures than the smallest, and why; `UsageError` if it is all border."""
    place = int(shapes.min(1).argmin())
    high, wide = shapes[place].tolist()
    side = min(high, wide) - 2 * border
    picture = f"{names[place]} has {wide} x {high}" + (f", less a border of {border}" if border else "")
    if border < 0 or side < 1:
        raise UsageError(f"{picture}: nothing is left to compare; use a border of 0 to {(min(high, wide) - 1) // 2}")
    return {
        name: f"{name} needs sides of {metric.smallest_side} pixels: {picture}"
        for name, metric in chosen.items()
        if side < metric.smallest_side
    }


def _batches(
    restored: ImageSet, originals: ImageSet, pairs: Sequence[tuple[int, int]], channels: Channels, border: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield both sides of the pairs as float64 batches (N, 1 or 3, H, W), each of one size."""
    sizes = restored.shapes.tolist()
    for (high, wide), run in groupby(track(pairs, "comparing pairs", len(pairs)), key=lambda pair: sizes[pair[0]]):
        while batch := list(islice(run, max(1, PIXELS_AT_ONCE // (high * wide)))):
            sides = zip(*(_pair(restored[i], originals[j], channels=channels) for i, j in batch), strict=True)
            images, targets = (crop(torch.cat(side), border) for side in sides)
            yield images, targets


def _pair(*pictures: np.ndarray[Any, Any], channels: Channels) -> Iterator[Tensor]:
    """Yield both pictures (H, W, C) of a pair as float64 (1, 1 or 3, H, W), in colour if either has colour."""
    colour = channels == "rgb" or any(pixels.shape[2] > 1 for pixels in pictures)
    for pixels in pictures:
        image = over_black(torch.from_numpy(pixels / np.iinfo(pixels.dtype).max).permute(2, 0, 1)[None])
        yield as_channels(image.expand(-1, 3, -1, -1) if colour else image, channels)
