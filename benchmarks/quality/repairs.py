"""Whether auto-fix makes a usable model of a sick training, against a random change and the healthy twin.

    python benchmarks/quality/repairs.py FOLDER --data PICTURES --out results.json [--seeds 0] [--cases NAME ...]

The cases are those of `pathologies.py` that a change of one or two settings can cure: neither their data nor the
networks of the model are the trouble. Each is trained four times for the same number of steps, counted in the course
that is kept:

untreated with the case's own settings
auto-fix  with `--auto-fix`
control   the same, but each change is drawn from the changes of all findings (`repair.at_random`), whatever was found
twin      the same training with healthy settings, by `CURABLE`

A model is usable if its Fréchet distance from held-out pictures is at most twice its twin's, with the features of
`digits-v1` for digits and of `lite0-96` for all else, from 2,000 samples. One that is given up is not. What auto-fix is
asked for: at least 60 % usable, and at least twice as many as the control. How many untreated ones are usable says
whether there are steps enough to tell: after 400 steps the twin itself is poor, and nearly everything counts as usable.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import pinxit
from pinxit.data import open_data
from pinxit.errors import DivergedError
from pinxit.evaluation.extraction import extract, extract_cached
from pinxit.evaluation.pictures import Generated
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.sets import SETS as METRICS
from pinxit.objectives import OBJECTIVES
from pinxit.training.repair import Remedies, at_random, by_table
from pinxit.training.run import Run

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
from pathologies import CASES, Case, source_of
from record import arguments, record, write

SAMPLES, LIMIT = 2000, 2.0

USUAL = {"learning_rate": 2e-3}
PENALISED = {"weight_clip": 0.0, "gradient_penalty": 10.0, "learning_rate": 1e-3, "optimiser": "adam"}

# What is healthy in place of what makes a case sick.
CURABLE: dict[str, dict[str, Any]] = {
    "rate .5": USUAL,
    "rate 1e-6": USUAL,
    "strong discriminator, saturating loss": {
        "loss": "non-saturating", "learning_rate": 1e-3, "discriminator_rate": 1e-3
    },
    "hinge, discriminator 100 times faster": {"learning_rate": 1e-3, "discriminator_rate": 1e-3, "r1": 0.1},
    "discriminator hardly moves": {"discriminator_rate": 2e-3},
    "r1 1e6": {"r1": 0.1},
    "30 discriminator steps": USUAL | {"discriminator_steps": 1},
    "gradient clip 1e-6, SGD": USUAL | {"optimiser": "adam", "clip": 0.0},
    "dense, rate .1": {"learning_rate": 5e-4},
    "wasserstein, clip 1": PENALISED,
    "wasserstein, clip 1e-4": PENALISED,
    "weight decay 1": {"weight_decay": 0.0},
    "beta1 .99": USUAL | {"beta1": 0.5},
    "beta 50": {"beta": 1.0},
}  # fmt: skip


def twin(name: str) -> Case:
    """Return the healthy twin of a case."""
    case, healthy = CASES[name], CURABLE[name]
    training = {key: value for key, value in healthy.items() if key in pinxit.TrainingSettings.model_fields}
    settings = {key: value for key, value in healthy.items() if key not in training}
    return replace(case, settings={**case.settings, **settings}, training={**case.training, **training})


def request(case: Case) -> list[dict[str, Any]]:
    """Return what a case asks for, with every default."""
    parts = OBJECTIVES[case.objective].parse(dict(case.settings)), pinxit.TrainingSettings(**case.training)
    return [{"data": case.data, **case.pictures}, *(part.model_dump() for part in parts)]


def file_name(name: str, seed: int) -> str:
    """Return the name of a case's files."""
    return f"{name.replace(' ', '-').replace(',', '')}.{seed}"


def trained(case: Case, place: Path, source: str, training: Mapping[str, Any], remedies: Remedies) -> dict[str, Any]:
    """Train a case, and return its score, its history and its time."""
    shutil.rmtree(place, ignore_errors=True)
    settings = OBJECTIVES[case.objective].parse(dict(case.settings))
    asked = pinxit.TrainingSettings(**{"batch_size": 32, "threads": 1, "average": 0.95} | case.training | training)
    begun, cpu = time.monotonic(), time.process_time()
    found: dict[str, Any] = {}
    try:
        pinxit.train(
            settings, source, place, pinxit.DataSettings(**case.pictures), asked, recipe="plain", remedies=remedies
        )
        found["fd"] = score(place, source)
    except DivergedError as error:
        found["gave_up"] = str(error).replace(str(place), "RUN")
    found["repairs"] = [str(repair) for repair in Run.open(place).recipe.repairs]
    shutil.rmtree(place / "checkpoints", ignore_errors=True)
    return found | {
        "seconds": round(time.monotonic() - begun, 1), "processor_seconds": round(time.process_time() - cpu, 1)
    }  # fmt: skip


def score(place: Path, source: str) -> float:
    """Return the Fréchet distance of samples from held-out pictures."""
    images, _ = pinxit.load(place).sample(SAMPLES)
    known = EXTRACTORS["digits-v1" if source == "mnist" else "lite0-96"]
    real = extract_cached(known, open_data(source).held_out, range(min(len(open_data(source).held_out), SAMPLES)))
    return round(METRICS["fd"].measure(extract(known, Generated("samples", images), range(SAMPLES)), real), 3)


def kept(path: Path, *asked: Any) -> dict[str, Any]:
    """Return what `trained` finds; it is kept in a file, so that a stopped benchmark goes on."""
    if not path.exists():
        path.write_text(json.dumps(trained(*asked)))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def measure(name: str, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Return the results of a case, and which of them are usable."""
    healthy, case = (
        replace(case, pictures={**case.pictures, "size": asked.size or case.pictures.get("size")})
        for case in (twin(name), CASES[name])
    )
    source, stem = source_of(case.data, asked.data, asked.folder), file_name(name, seed)
    plain = {"steps": asked.steps, "seed": seed}
    mended = plain | {"auto_fix": True}
    alike = "twin-" + file_name(next(other for other in CURABLE if request(twin(other)) == request(twin(name))), seed)
    requests: dict[str, tuple[str, tuple[Any, ...]]] = {
        "twin": (alike, (healthy, asked.folder / alike, source, plain, by_table)),
        "untreated": (f"untreated-{stem}", (case, asked.folder / f"untreated-{stem}", source, plain, by_table)),
        "auto-fix": (f"fix-{stem}", (case, asked.folder / f"fix-{stem}", source, mended, by_table)),
        "control": (f"control-{stem}", (case, asked.folder / f"control-{stem}", source, mended, at_random(seed))),
    }
    found = {way: kept(asked.folder / f"{file}.json", *wanted) for way, (file, wanted) in requests.items()}
    limit = LIMIT * found["twin"].get("fd", 0.0)
    usable = {way: found[way].get("fd", float("inf")) <= limit for way in ("untreated", "auto-fix", "control")}
    return {"case": name, "seed": seed, "usable": usable} | found


def main() -> None:
    """Measure the cases that were asked for."""
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("folder", type=Path, help="where runs and their results are kept")
    parser.add_argument("--data", type=Path, required=True, help="the folder of pictures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--size", type=int, help="side of the pictures, instead of the cases' own; smaller is faster")
    parser.add_argument("--cases", nargs="+", default=list(CURABLE), choices=CURABLE)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for seed in asked.seeds:
        for name in asked.cases:
            rows.append(measure(name, seed, asked))
            share = {
                way: sum(row["usable"][way] for row in rows) / len(rows) for way in ("untreated", "auto-fix", "control")
            }
            protocol = {
                "steps": asked.steps,
                "size": asked.size,
                "seeds": asked.seeds,
                "limit": LIMIT,
                "samples": SAMPLES,
            }
            write(asked.out, record(__doc__, protocol, usable=share, rows=rows))
            print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
