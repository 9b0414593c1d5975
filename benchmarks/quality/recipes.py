"""Settings of GANs that might suit a kind of pictures, at equal processor time: what chose the rows of GAN_RECIPES.

    python benchmarks/quality/recipes.py SET [--minutes 4] [--rows NAME ...] [--precision float32] --out results.json

A row is trained for the same processor time, on one thread and with a seed of its own choice of nothing: the seconds of
a step are timed first, so that schedules know the last step. At each quarter of the time 1,000 pictures (digits: 2,000)
are sampled from the averaged weights and compared with pictures that were held out from training. Sampling and scoring
do not count. The floor is the same distance of the training pictures. A sheet of every row lies beside the JSON file.

Sets are the pictures of `SETS`; --folder says where they are. `digits500` is 500 training digits of MNIST, drawn at
random; `emoji64` is an npz. Rows with equal names across sets have equal settings.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pinxit
from pinxit.data import ImageSet, open_data
from pinxit.data.settings import DataSettings
from pinxit.errors import DivergedError
from pinxit.evaluation.extraction import extract, extract_cached
from pinxit.evaluation.pictures import Generated
from pinxit.images import grid, save_sheet
from pinxit.images.convert import to_uint8
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.sets import SETS as METRICS
from pinxit.training.plan import build_trainer, plan
from pinxit.training.recipes import PLAIN, Recipe
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

WARMING, TIMED, POINTS = 5, 20, 4


@dataclass(frozen=True)
class Pictures:
    """A set, its size, the pictures it is judged by, and with what."""

    source: str
    reference: str
    extractors: tuple[str, ...]
    sampled: int = 1000
    size: int | None = 64
    holdout: float = 0.25


SMALL, DIGITS = ("lite0-96",), ("digits-v1", "digits-v2")
SETS = {
    "paintings": Pictures("photos-paintings-cc0", "photos-paintings-cc0:test", SMALL),
    "bsds": Pictures("photos-bsds/train", "photos-bsds/test", SMALL),
    "emoji": Pictures("emoji64.npz", "emoji64.npz:test", SMALL),
    "digits500": Pictures("digits500.npz", "mnist:test", DIGITS, 2000, None, 0),
    "mnist": Pictures("mnist", "mnist:test", DIGITS, 2000, None),
}
METRIC_NAMES = ("kd", "fd", "coverage")

ROWS: dict[str, dict[str, Any]] = {
    "default": {},
}


def planned(
    row: Mapping[str, Any], asked: argparse.Namespace, pictures: Pictures, seed: int
) -> tuple[Recipe, ImageSet]:
    """Return the recipe of a row, with the steps that fit into the processor time, and its pictures."""
    found = open_data(source(pictures.source, asked.folder), pictures.holdout)
    training, augment = row.get("training", {}), row.get("data", {})
    settings = pinxit.GANSettings(**row.get("settings", {}))
    data = DataSettings(size=pictures.size, holdout=pictures.holdout, **augment)
    asking = TrainingSettings.parse(
        {"steps": 10**6, "seed": seed, "threads": asked.threads, "precision": asked.precision, **training}
    )
    recipe = plan(settings, pictures.source, found, data, asking, PLAIN)
    trial = build_trainer(recipe, found.train)
    took(trial, WARMING)
    seconds = took(trial, TIMED) / TIMED
    steps = max(POINTS, round(asked.minutes * 60 / seconds))
    return recipe.changed(training=recipe.training.changed(steps=steps).model_dump(exclude_unset=True)), found.train


def source(name: str, folder: Path) -> str:
    """Return a DATA argument: a name that pinxit knows, or a place in the folder of sets."""
    return name if name.startswith("mnist") else str(folder / name)


def took(trainer: Trainer, steps: int) -> float:
    """Return the seconds of processor time that steps take."""
    begun = time.process_time()
    for _ in range(steps):
        trainer.advance()
    return time.process_time() - begun


def samples(trainer: Trainer, n: int) -> np.ndarray:
    """Return n pictures (n, H, W, C) uint8 of the averaged weights, in float32."""
    rng = torch.Generator().manual_seed(1)
    latents = torch.randn(n, trainer.objective.latent, generator=rng)
    with torch.no_grad():
        return np.concatenate([to_uint8(trainer.average["generator"](part)) for part in latents.split(100)])


def scores(images: np.ndarray | ImageSet, pictures: Pictures, folder: Path) -> dict[str, float]:
    """Return distances of pictures to the held-out ones; of training pictures for the floor."""
    base, _, part = pictures.reference.partition(":")
    opened = open_data(source(base, folder), pictures.holdout)
    reference = opened.held_out if part else opened.train
    generated = images if isinstance(images, ImageSet) else Generated("samples", images)
    number = min(len(generated), 2000)
    found = {}
    for name in pictures.extractors:
        known = EXTRACTORS[name]
        real = extract_cached(known, reference, range(min(len(reference), 10_000)))
        fake = extract(known, generated, range(number))
        found |= {f"{metric}[{name}]": round(METRICS[metric].measure(fake, real), 5) for metric in METRIC_NAMES}
    return found


def measure(name: str, row: Mapping[str, Any], asked: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train a row and return its curve of scores."""
    pictures = SETS[asked.set]
    recipe, images = planned(row, asked, pictures, seed)
    trainer, batch = build_trainer(recipe, images), recipe.training.batch_size
    last, spent, curve, values = recipe.training.steps, 0.0, [], {}
    for point in range(1, POINTS + 1):
        begun = time.process_time()
        try:
            while trainer.step < last * point // POINTS:
                values = trainer.advance().values
        except DivergedError as error:
            return {"steps": trainer.step, "curve": curve, "diverged": str(error)}
        spent += time.process_time() - begun
        made = samples(trainer, pictures.sampled)
        reading = {key: round(value, 4) for key, value in values.items() if "gradient" not in key}
        curve.append({"step": trainer.step, "seconds": round(spent, 1), "scores": scores(made, pictures, asked.folder)})
        print(name, json.dumps(curve[-1] | {"losses": reading}), file=sys.stderr, flush=True)
    sheet = asked.out.with_name(f"{asked.out.stem}-{asked.set}-{name.replace(' ', '-').replace(',', '')}-{seed}.png")
    save_sheet(sheet, grid(made[:64]))
    return {"steps": last, "images": last * batch, "seconds": round(spent, 1), "curve": curve}


def main() -> None:
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the sets are")
    parser.add_argument("--minutes", type=float, default=4, help="of processor time for each row")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    pictures = SETS[asked.set]
    floor = scores(open_data(source(pictures.source, asked.folder), pictures.holdout).train, pictures, asked.folder)
    protocol = {name: getattr(asked, name) for name in ("set", "minutes", "threads", "precision")}
    document = record(__doc__, protocol, floor=floor, rows=[])
    print("floor", json.dumps(floor), file=sys.stderr)
    for name in asked.rows:
        for seed in asked.seeds:
            row = {"name": name, "seed": seed, **ROWS[name]} | measure(name, ROWS[name], asked, seed)
            document["rows"].append(row)
            write(asked.out, document)
            print(json.dumps({key: value for key, value in row.items() if key != "curve"}), flush=True)


if __name__ == "__main__":
    main()
