"""Do the scores rank what a person would rank? Pictures spoiled in four ways, each at four strengths.

    python benchmarks/quality/order.py [--n 1000] [--extractors digits-v1 lite0] [--out results.json]

n pictures of MNIST's training part, spoiled, against n of its test part. Noise: Gaussian of 8 to 64 grey levels,
clipped. Blur: Gaussian of 0.5 to 2 pixels. Dropped classes: n different training pictures without 2 to 8 of the ten
digits. Collapse: all n are copies of 400 to 4 different pictures. Each way must be ranked strictly by fd and kd, from
the clean pictures on. Last, what no headline may call good: uniform noise and black pictures must be worse, by every
headline, than the second strength of noise, of blur and of collapse; otherwise it ends with exit code 1.

The last line of stdout is `monotone X of Y, nothing called good: True`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import ndimage

from pinxit.data import ImageSet, open_data
from pinxit.evaluation.pictures import Drawn
from pinxit.evaluation.seeing import see
from pinxit.metrics.features import EXTRACTORS
from pinxit.metrics.intervals import values
from pinxit.metrics.sets import SETS
from pinxit.training.run import machine

NOISE, BLUR, DROPPED, DISTINCT = (8, 16, 32, 64), (0.5, 1.0, 1.5, 2.0), (2, 4, 6, 8), (400, 100, 20, 4)
NAMES = [name for name, metric in SETS.items() if metric.headline]


def spoiled(clean: np.ndarray, everything: ImageSet) -> Iterator[tuple[str, list[tuple[str, np.ndarray]]]]:
    """Yield each way with its strengths and pictures (n, H, W, 1), the weakest first."""
    rng = np.random.default_rng(0)
    n = len(clean)
    grain = rng.standard_normal(clean.shape)
    yield "noise", [(f"sigma {s}", _eight_bit(clean + s * grain)) for s in NOISE]
    yield "blur", [(f"sigma {s}", _eight_bit(ndimage.gaussian_filter(clean * 1.0, (0, s, s, 0)))) for s in BLUR]
    kept = [rng.choice(np.flatnonzero(everything.labels >= k), n, replace=False) for k in DROPPED]
    dropped = [np.stack([everything[i] for i in rows]) for rows in kept]
    yield "dropped classes", [(f"{k} of 10", images) for k, images in zip(DROPPED, dropped, strict=True)]
    yield "collapse", [(f"{k} different", clean[rng.permutation(n)[:k]][np.arange(n) % k]) for k in DISTINCT]


def main() -> None:
    """Run the whole comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--extractors", nargs="+", default=["digits-v1", "lite0"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    data, rng = open_data("mnist"), np.random.default_rng(1)
    rows, targets = rng.permutation(len(data.train))[: asked.n], rng.permutation(len(data.held_out))[: asked.n]
    clean = np.stack([data.train[i] for i in rows])
    reference = Drawn("reference", np.stack([data.held_out[i] for i in targets]))
    ways = dict(spoiled(clean, data.train))
    nothing = {
        "uniform noise": np.random.default_rng(2).integers(0, 256, clean.shape, np.uint8),
        "black": np.zeros_like(clean),
    }
    told, right, of, good = {}, 0, 0, []
    for name in asked.extractors:
        extractor, everyone = EXTRACTORS[name], range(asked.n)
        target = see(extractor, reference, everyone)

        def judge(what: str, images: np.ndarray, extractor=extractor, target=target, name=name) -> dict[str, float]:
            found = values(see(extractor, Drawn(what, images), range(len(images))), target, NAMES)
            print(
                f"{name}  {what:28}  " + "  ".join(f"{key} {value:10.4g}" for key, value in found.items()), flush=True
            )
            return found

        floor = judge("clean", clean)
        rows_of = {"clean": floor}
        for way, strengths in ways.items():
            found = [judge(f"{way}, {strength}", images) for strength, images in strengths]
            for metric in ("fd", "kd"):
                line = [floor[metric], *(row[metric] for row in found)]
                monotone = all(one < other for one, other in pairwise(line))
                right, of = right + monotone, of + 1
                if not monotone:
                    print(f"NOT monotone: {metric}[{name}] over {way}: {line}")
            rows_of |= {f"{way}, {strength}": row for (strength, _), row in zip(strengths, found, strict=True)}
        empty = {what: judge(what, images) for what, images in nothing.items()}
        bars = [rows_of[f"{way}, {ways[way][1][0]}"] for way in ("noise", "blur", "collapse")]
        good += [
            f"{key}[{name}] of {what}" for what, row in empty.items() for key in NAMES if not worse(key, row, bars)
        ]
        told[name] = rows_of | empty
    if asked.out:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        protocol = {"n": asked.n, "data": "mnist", "seeds": [0, 1, 2], "about": __doc__}
        document = {"commit": commit, "machine": machine(), "protocol": protocol, "scores": told}
        found = {"monotone": [right, of], "called_good": good}
        asked.out.write_text(json.dumps(document | found, indent=2) + "\n")
    print(f"monotone {right} of {of}, nothing called good: {not good}{' but ' * bool(good)}{', '.join(good)}")
    sys.exit(right < of or bool(good))


def worse(metric: str, row: dict[str, float], bars: list[dict[str, float]]) -> bool:
    """Return whether a row is worse by a metric than every bar."""
    sign = 1 if SETS[metric].better == "smaller" else -1
    return all(sign * row[metric] > sign * bar[metric] for bar in bars)


def _eight_bit(images: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(images, 0, 255)).astype(np.uint8)


if __name__ == "__main__":
    main()
