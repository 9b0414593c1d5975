"""Settings of GANs that might suit a kind of pictures, at equal processor time: what chose the rows of FITTING.

    python benchmarks/quality/recipes.py SET --folder SETS [--minutes 4] [--rows NAME ...] --out results.json

"default" is `--recipe plain`, "chosen" is what `pinxit train gan` chooses by itself, and the others are candidates.
Each row is trained for the same processor time on one thread. The seconds of a step are timed first, so that schedules
know the last step. At each quarter of the time 1,000 pictures (digits: 2,000) are sampled from the averaged weights and
compared with all pictures that were held out from training: a quarter of the set, or its official test part. Sampling
and scoring do not count. The floor is the same distance of the training pictures. `fd` says little where fewer pictures
than features are held out; read `kd`. A sheet of every row lies beside the JSON file.

The folder holds `photos-paintings-cc0`, `photos-bsds` and `emoji64/emoji64.npz` with the pictures as `x`. `digits500`
is 500 training digits of MNIST, drawn at random with seed 0.
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
from pinxit.files import cache_folder
from pinxit.images import grid, save_sheet
from pinxit.images.convert import to_uint8
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.sets import SETS as METRICS
from pinxit.training.plan import build_trainer, plan
from pinxit.training.recipes import PLAIN, Chosen, Recipe
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
    "bsds": Pictures("photos-bsds/train", "photos-bsds/test", SMALL, holdout=0),
    "emoji": Pictures("emoji64", "emoji64:test", SMALL),
    "digits500": Pictures("digits500", "mnist:test", DIGITS, 2000, None, 0),
    "mnist": Pictures("mnist", "mnist:test", DIGITS, 2000, None),
}
METRIC_NAMES = ("kd", "fd", "coverage")

LOW, NONE, NEAREST = {"learning_rate": 1e-3}, {"discriminator_norm": "none"}, {"enlarge": "nearest"}
AUGMENTED = {"augment_discriminator": "translation,cutout,colour"}
HALF = {"batch_size": 32}
ROWS: dict[str, dict[str, Any]] = {
    "default": {},
    "chosen": {"chosen": True},
    "hinge, R1, flips and shifts": {
        "settings": {"loss": "hinge", "r1": 0.1, "learning_rate": 5e-4} | NONE, "training": HALF,
        "data": {"flip": True, "shift": 0.05},
    },
    "hinge, R1, nearest": {"settings": {"loss": "hinge", "r1": 0.1} | LOW | NONE | NEAREST, "training": HALF},
    "hinge, R1, nearest, augmented": {
        "settings": {"loss": "hinge", "r1": 0.1} | LOW | NONE | NEAREST | AUGMENTED, "training": HALF
    },
    "hinge, spectral, nearest, augmented": {
        "settings": {"loss": "hinge", "discriminator_norm": "spectral"} | LOW | NEAREST | AUGMENTED, "training": HALF
    },
    "relativistic, R1 and R2, nearest, augmented": {
        "settings": {"loss": "relativistic", "r1": 0.3, "r2": 0.3} | LOW | NONE | NEAREST | AUGMENTED,
        "training": HALF,
    },
    "nearest, augmented": {"settings": LOW | NEAREST | AUGMENTED, "training": HALF},
    "nearest, augmented, adaptive": {
        "settings": LOW | NEAREST | AUGMENTED | {"augment_target": 0.6}, "training": HALF
    },
    "cosine": {"training": {"schedule": "cosine"}},
    "late": {"training": {"schedule": "late"}},
    "cosine, nearest": {"settings": NEAREST, "training": {"schedule": "cosine"}},
    "smaller batches": {"training": HALF},
    "smaller batches, late": {"training": HALF | {"schedule": "late"}},
    "smaller batches, long average": {"training": HALF | {"average": 0.9995}},
    "late, slower discriminator": {"settings": {"discriminator_rate": 1e-3}, "training": {"schedule": "late"}},
}  # fmt: skip


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
    asked_for = None if row.get("chosen") else Chosen(recipe=PLAIN, because="as asked")
    recipe = plan(settings, pictures.source, found, data, asking, asked_for)
    trial = build_trainer(recipe, found.train)
    took(trial, WARMING)
    seconds = took(trial, TIMED) / TIMED
    steps = max(POINTS, round(asked.minutes * 60 / seconds))
    return recipe.changed(training=recipe.training.changed(steps=steps).model_dump(exclude_unset=True)), found.train


def source(name: str, folder: Path) -> str:
    """Return a DATA argument: a name that pinxit knows, a set made of others here, or a place in the folder of sets."""
    if name in MADE:
        place = cache_folder() / "recipes" / f"{name}.npz"
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, images=MADE[name](folder))
        return str(place)
    return name if name == "mnist" else str(folder / name)


def some_digits(folder: Path) -> np.ndarray:
    """Return 500 training digits of MNIST."""
    digits = open_data("mnist").train
    chosen = np.random.default_rng(0).permutation(len(digits))[:500]
    return np.stack([digits[int(number)] for number in chosen])


MADE = {"emoji64": lambda folder: np.load(folder / "emoji64/emoji64.npz")["x"], "digits500": some_digits}


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
    opened = open_data(source(pictures.reference.removesuffix(":test"), folder), pictures.holdout)
    reference = opened.held_out if pictures.reference.endswith(":test") else opened.train
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
