"""Mattes of subjects that nothing points at, on pictures that no training saw.

    python benchmarks/quality/subjects.py DATA OUT [--model RUN] [--count 60] [--out results.json]

OUT is the folder of `weights/matte.py prepare`; its held-out pictures are those of `weights/matte.py train`. DATA has
`photos-bsds/test`, whose photographs are the new backgrounds. Four kinds of pictures: held-out photographs of ECSSD
that show things and animals (`things`) or people (`people`, those of `PEOPLE`, told by eye), with their masks; held-out
subjects of ECSSD before other photographs (`moved`); and held-out cut-outs with an exact matte (`cut-outs`), before
other photographs too. All at a longer side of 256 pixels, layers mixed in linear light.

Rows: everything is subject; the border's commonest colour is background (threshold); a cut from a box 5 % inside the
picture, by colours and contours, with its edge found anew (classical: GrabCut and closed-form matting); the networks of
`--find`. For cut-outs also what a trimap grown by 8 pixels gives: closed-form matting here, and by pymatting if it is
installed. `--model` measures a run in place of all these, beside the first. Then the seconds of a whole cut-out of
512 x 512 pixels, the least of five. One thread.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import maximum_filter
from skimage import data as photographs

from pinxit.colour import encoded, linear
from pinxit.data import open_matted
from pinxit.edits import subjects
from pinxit.edits.engine import edit_picture
from pinxit.edits.estimators import ESTIMATORS, Anything
from pinxit.edits.matte import Cutout
from pinxit.errors import DataError
from pinxit.images import Picture, at_most, load_image, resize
from pinxit.matting import backdrop
from pinxit.metrics.mattes import MATTES
from pinxit.progress import track

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

SIDE, SEED, INSIDE, APART, GROWN, HOLDOUT, TIMES = 256, 0, 0.05, 0.25, 8, 0.15, 5
PEOPLE = frozenset(
    "0086 0188 0439 0473 0484 0488 0509 0568 0648 0677 0681 0736 0787 0788 0881 0884 0889 0945".split()  # noqa: SIM905
)


class Case(NamedTuple):
    """A picture (H, W, 3) of 8 bits and the true matte (H, W) of its subject."""

    kind: str
    pixels: np.ndarray
    matte: np.ndarray


def cases(prepared: Path, backgrounds: Path, count: int) -> Iterator[Case]:
    """Yield the held-out photographs, then as many subjects before other backgrounds, at most `count` of a kind."""
    held = open_matted(str(prepared), HOLDOUT).held_out
    mattes, rng = held.companions.pair, np.random.default_rng(SEED)
    files, seen = sorted(backgrounds.glob("*.jpg")), dict.fromkeys(("things", "people", "moved", "cut-outs"), 0)
    for number, name in enumerate(held.names):
        stem = Path(name).stem.rsplit("-", 1)[-1]
        photo, matte = "ecssd" in name, mattes[number] if mattes else held[number][..., 3:]
        kinds = ("people" if stem in PEOPLE else "things", "moved") if photo else ("cut-outs",)
        for kind in kinds:
            if seen[kind] < count:
                seen[kind] += 1
                background = load_image(files[rng.integers(len(files))])[..., :3]
                yield case(kind, held[number], matte, background, rng)


def case(kind: str, pixels: np.ndarray, matte: np.ndarray, background: np.ndarray, rng: np.random.Generator) -> Case:
    """Return a photograph as it is, or its subject at a random place of a background."""
    if kind in ("things", "people"):
        return Case(kind, at_most(pixels[..., :3], SIDE), at_most(matte, SIDE)[..., 0] / 255)
    cut = Image.fromarray(np.concatenate([pixels[..., :3], matte], axis=2)).convert("RGBa")
    ratio = 0.85 * SIDE / max(cut.size)
    small = cut.resize([round(side * ratio) for side in cut.size], Image.Resampling.BICUBIC).convert("RGBA")
    whole = Image.new("RGBA", (SIDE, SIDE))
    whole.paste(small, [int(rng.integers(SIDE - side + 1)) for side in small.size])
    layer, behind = np.asarray(whole) / 255, resize(background, (SIDE, SIDE)) / 255
    share = layer[..., 3:]
    mixed = encoded(share * linear(layer[..., :3]) + (1 - share) * linear(behind))
    return Case(kind, (mixed * 255).round().clip(0, 255).astype(np.uint8), share[..., 0])


def threshold(picture: Picture) -> np.ndarray:
    """Return 1 where a picture differs from the commonest colour of its border."""
    values = picture.pixels / np.float32(255)
    return (np.abs(values - backdrop.border_colour(values)).max(axis=2) > APART).astype(np.float32)


def classical(picture: Picture) -> np.ndarray:
    """Return the matte by a box a little inside the picture."""
    high, wide = picture.pixels.shape[:2]
    left, top = int(INSIDE * wide), int(INSIDE * high)
    return subjects.Picked([], (left, top, wide - 2 * left, high - 2 * top)).matte(picture)


def ways(model: Path | None) -> dict[str, Callable[[Picture], np.ndarray]]:
    """Return what finds mattes, by name."""
    every: dict[str, Callable[[Picture], np.ndarray]] = {
        "all foreground": lambda picture: np.ones(picture.pixels.shape[:2], np.float32)
    }
    if model is not None:
        return every | {model.name: subjects.Guessed(Anything(model)).matte}
    plain = {"threshold": threshold, "classical": classical}
    return every | plain | {f"find {name}": subjects.Guessed(kind()).matte for name, kind in ESTIMATORS.items()}


def told(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the mattes that a trimap gives."""
    unknown = maximum_filter((case.matte > 0.01) & (case.matte < 0.99), 2 * GROWN + 1)
    subject, background = (case.matte >= 0.99) & ~unknown, (case.matte <= 0.01) & ~unknown
    if not subject.any():
        return
    yield "trimap: half", np.where(unknown, 0.5, case.matte.round())
    yield "trimap: pinxit", subjects.between(case.pixels, subject, background)
    if importlib.util.find_spec("pymatting"):
        from pymatting import estimate_alpha_cf

        trimap = np.where(unknown, 0.5, subject.astype(float))
        yield "trimap: pymatting", estimate_alpha_cf(case.pixels / 255, trimap)


def scores(matte: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return the metrics of a matte; iou is that of both at 0.5."""
    one, other = matte > 0.5, true > 0.5
    iou = float((one & other).sum() / max(1, (one | other).sum()))
    return {"iou": iou} | {name: measure(matte, true, None) for name, measure in MATTES.items()}


def found(finder: Callable[[Picture], np.ndarray], picture: Picture) -> np.ndarray:
    """Return a matte, black if nothing is found."""
    try:
        return finder(picture)
    except DataError:
        return np.zeros(picture.pixels.shape[:2], np.float32)


def seconds(name: str) -> float:
    """Return the seconds of a whole cut-out of 512 x 512 pixels, the least of some tries."""
    bound, picture, times = Cutout(find=name).bind(), Picture(photographs.astronaut()), []
    for _ in range(TIMES):
        started = time.perf_counter()
        edit_picture(picture, [bound])
        times.append(time.perf_counter() - started)
    return round(min(times), 3)


def main() -> None:
    """Compare, print and write the record."""
    parser = arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=60)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, dict[str, list[dict[str, float]]]] = {}
    finders = ways(asked.model)
    folder = asked.prepared / "matte-v1-pictures"
    for one in track(cases(folder, asked.data / "photos-bsds" / "test", asked.count), "picture", 4 * asked.count):
        picture = Picture(one.pixels)
        mattes = {name: found(finder, picture) for name, finder in finders.items()}
        mattes |= dict(told(one)) if one.kind == "cut-outs" and asked.model is None else {}
        for name, matte in mattes.items():
            rows.setdefault(one.kind, {}).setdefault(name, []).append(scores(matte, one.matte))
    means = {
        kind: {
            name: {metric: round(float(np.mean([score[metric] for score in each])), 4) for metric in each[0]}
            for name, each in found.items()
        }
        for kind, found in rows.items()
    }
    document = record(
        __doc__,
        {"side": SIDE, "count": asked.count, "seed": SEED, "holdout": HOLDOUT},
        pictures={kind: len(found["all foreground"]) for kind, found in rows.items()},
        found=means,
        seconds={} if asked.model else {name: seconds(name) for name in ESTIMATORS},
    )
    print(json.dumps(document, indent=2))
    write(asked.out, document)


if __name__ == "__main__":
    main()
