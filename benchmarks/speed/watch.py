"""What the watch and the diagnosis cost: steps of a run with both, and of the same run without, in turn in one process.

    python benchmarks/speed/watch.py [--rounds 20] [--data PICTURES ...] [--out results.json]

Each round takes `EVERY` steps of each run, so it holds one look of the watch and one diagnosis. Both runs draw batches,
train, and write their log; neither writes checkpoints or sheets. PICTURES are trained on at 64 pixels, MNIST at 28, all
by the plain defaults with one thread. The seconds at the start of a session, in which the watch reads what it compares
with, are told by themselves.

The last line of stdout is `most X %`: the largest median over rounds of how much longer the steps with the watch took.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from pinxit.data.settings import DataSettings
from pinxit.objectives.settings import GANSettings
from pinxit.training.curves import EVERY
from pinxit.training.pictures import opened
from pinxit.training.plan import build_watch, plan
from pinxit.training.run import Run, rounded
from pinxit.training.session import Session
from pinxit.training.settings import TrainingSettings

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

LIMIT = 0.05


def session(source: str, size: int, folder: Path) -> Session:
    """Return a new run's session."""
    data = DataSettings(size=size)
    pictures = opened(source, data)
    recipe = plan(GANSettings(), source, pictures, data, TrainingSettings(steps=10**9, threads=1))
    return Session(Run.create(folder, recipe), pictures)


def watched(run: Session) -> float:
    """Return the seconds of a round with the watch."""
    started = time.perf_counter()
    for _ in islice(run.records(), EVERY):
        pass
    return time.perf_counter() - started


def plain(run: Session) -> float:
    """Return the seconds of a round without the watch."""
    started = time.perf_counter()
    for taken in islice(run.trainer, EVERY):
        run.journal.log.write(taken.step, rounded(taken.values))
    return time.perf_counter() - started


def measure(source: str, size: int, rounds: int) -> dict[str, Any]:
    """Return how much longer steps with the watch take, and what its start takes."""
    with tempfile.TemporaryDirectory() as place:
        one, other = (session(source, size, Path(place) / name) for name in ("one", "other"))
        other.trainer.watch = None
        watched(one), plain(other)
        times = [(watched(one), plain(other)) for _ in range(rounds)]
        started = time.perf_counter()
        build_watch(one.run.recipe, one.pictures, one.trainer)
        begun = time.perf_counter() - started
    more = [mine / theirs - 1 for mine, theirs in times]
    return {
        "more": statistics.median(more),
        "quartiles": statistics.quantiles(more, n=4)[::2],
        "seconds_a_step": statistics.median(theirs for _, theirs in times) / EVERY,
        "seconds_to_begin": begun,
        "computing": one.trainer.hardware.describe(),
        "rounds": [[round(mine, 4), round(theirs, 4)] for mine, theirs in times],
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--data", nargs="*", default=[])
    asked = parser.parse_args()
    results: dict[str, Any] = {}
    for source, size in [("mnist", 28), *((source, 64) for source in asked.data)]:
        name = f"{'/'.join(Path(source).parts[-2:])} at {size} pixels"
        results[name] = found = measure(source, size, asked.rounds)
        write(asked.out, record(__doc__, {"rounds": asked.rounds, "steps_a_round": EVERY}, results=results))
        print(
            f"{name}: {100 * found['more']:+.1f} % of {1000 * found['seconds_a_step']:.0f} ms a step, "
            f"{found['seconds_to_begin']:.1f} s to begin"
        )
    print(f"most {100 * max(found['more'] for found in results.values()):.1f} %")


if __name__ == "__main__":
    main()
