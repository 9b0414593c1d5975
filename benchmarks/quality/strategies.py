"""Whether choosing among samples helps: a trained GAN's samples by every row of `STRATEGIES`, scored.

    python benchmarks/quality/strategies.py RUN mnist:test --out benchmarks/results/strategies.json

RUN is a run of `pinxit train gan` with a checkpoint, on any set; the second argument is its reference. Each row samples
as many pictures from the same seed. `seconds` are of sampling alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import pinxit
from pinxit.latents import sampling
from pinxit.latents.strategies import STRATEGIES

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write


def main() -> None:
    """Score every strategy at every strictness, and write the record after each."""
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("run", type=Path)
    parser.add_argument("reference")
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--keep", type=float, nargs="+", default=[0.5, 0.2])
    parser.add_argument("--extractors", nargs="+", default=["digits-v1", "digits-v2"])
    asked = parser.parse_args()
    plain = sampling.load(asked.run)
    recipe = plain.recipe.model_dump(mode="json", include={"settings", "training"}, exclude_unset=True)
    document = record(__doc__, {"n": asked.n, "reference": asked.reference, "recipe": recipe}, rows=[])
    for name, keep in [(None, 1.0), *((name, keep) for name in STRATEGIES for keep in asked.keep)]:
        model = plain if name is None else plain.choosing(name, keep, asked.run)
        started = time.perf_counter()
        images, _ = model.sample(asked.n, seed=1)
        row = {"strategy": name, "keep": keep, "seconds": round(time.perf_counter() - started, 1)}
        with tempfile.TemporaryDirectory() as folder:
            sampling.save_samples(Path(folder) / "samples.npz", images)
            found = pinxit.evaluate(Path(folder) / "samples.npz", asked.reference, extractors=tuple(asked.extractors))
        row["scores"] = {score: own["value"] for score, own in found["scores"].items()}
        document["rows"].append(row)
        write(asked.out, document)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
