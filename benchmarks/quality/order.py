"""Whether scores rank pictures as a person would: four distortions of MNIST, each at four strengths.

    python benchmarks/quality/order.py [--n 1000] [--extractors digits-v1 lite0] [--out results.json]

n distorted training pictures are compared with n test pictures. Noise: Gaussian of 8 to 64 grey levels, clipped. Blur:
Gaussian of 0.5 to 2 pixels. Dropped classes: n different training pictures without 2 to 8 of the ten digits. Collapse:
n copies of 400 to 4 different pictures. fd and kd must rank each distortion strictly, starting from the clean pictures.
Uniform noise and black pictures must not be better, by any headline metric, than the second strength of noise, of blur
and of collapse. Otherwise the exit code is 1.

The last line of stdout is `monotone X of Y, nothing called good: True`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import ndimage

from pinxit.data import ImageSet, open_data
from pinxit.evaluation.extraction import extract
from pinxit.evaluation.pictures import Generated
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.intervals import values
from pinxit.metrics.sets import SETS

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

NOISE, BLUR, DROPPED, DISTINCT = (8, 16, 32, 64), (0.5, 1.0, 1.5, 2.0), (2, 4, 6, 8), (400, 100, 20, 4)
NAMES = [name for name, metric in SETS.items() if metric.headline]


def distorted(clean: np.ndarray, everything: ImageSet) -> Iterator[tuple[str, list[tuple[str, np.ndarray]]]]:
    """Yield each distortion with its strengths and pictures (n, H, W, 1), the weakest first."""
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
    parser = arguments(__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--extractors", nargs="+", default=["digits-v1", "lite0"])
    asked = parser.parse_args()
    data, rng = open_data("mnist"), np.random.default_rng(1)
    rows, targets = rng.permutation(len(data.train))[: asked.n], rng.permutation(len(data.held_out))[: asked.n]
    clean = np.stack([data.train[i] for i in rows])
    reference = Generated("reference", np.stack([data.held_out[i] for i in targets]))
    ways = dict(distorted(clean, data.train))
    nothing = {
        "uniform noise": np.random.default_rng(2).integers(0, 256, clean.shape, np.uint8),
        "black": np.zeros_like(clean),
    }
    scores, right, of, good = {}, 0, 0, []
    for name in asked.extractors:
        extractor, everyone = EXTRACTORS[name], range(asked.n)
        target = extract(extractor, reference, everyone)

        def measured(what: str, images: np.ndarray, extractor=extractor, target=target, name=name) -> dict[str, float]:
            found = values(extract(extractor, Generated(what, images), range(len(images))), target, NAMES)
            print(
                f"{name}  {what:28}  " + "  ".join(f"{key} {value:10.4g}" for key, value in found.items()), flush=True
            )
            return found

        floor = measured("clean", clean)
        rows_of = {"clean": floor}
        for way, strengths in ways.items():
            found = [measured(f"{way}, {strength}", images) for strength, images in strengths]
            for metric in ("fd", "kd"):
                line = [floor[metric], *(row[metric] for row in found)]
                monotone = all(one < other for one, other in pairwise(line))
                right, of = right + monotone, of + 1
                if not monotone:
                    print(f"NOT monotone: {metric}[{name}] over {way}: {line}")
            rows_of |= {f"{way}, {strength}": row for (strength, _), row in zip(strengths, found, strict=True)}
        empty = {what: measured(what, images) for what, images in nothing.items()}
        bars = [rows_of[f"{way}, {ways[way][1][0]}"] for way in ("noise", "blur", "collapse")]
        good += [
            f"{key}[{name}] of {what}" for what, row in empty.items() for key in NAMES if not no_better(key, row, bars)
        ]
        scores[name] = rows_of | empty
    protocol = {"n": asked.n, "data": "mnist", "seeds": [0, 1, 2]}
    write(asked.out, record(__doc__, protocol, scores=scores, monotone=[right, of], called_good=good))
    print(f"monotone {right} of {of}, nothing called good: {not good}{' but ' * bool(good)}{', '.join(good)}")
    sys.exit(right < of or bool(good))


def no_better(metric: str, row: dict[str, float], bars: list[dict[str, float]]) -> bool:
    """Return whether a row is not better than any bar, by one metric."""
    sign = 1 if SETS[metric].better == "smaller" else -1
    return all(sign * row[metric] >= sign * bar[metric] for bar in bars)


def _eight_bit(images: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(images, 0, 255)).astype(np.uint8)


if __name__ == "__main__":
    main()
