"""GAN losses at equal numbers of pictures: MNIST, the default recipe with the changes that each row names.

    python benchmarks/quality/gan_losses.py [--steps 2500] [--seeds 0] --out benchmarks/results/gan_losses.json

Every row sees the same real pictures in the same order, with the same networks and seed; its time is printed beside it.
Penalties and clipping need a discriminator without batch normalisation; those rows use half the step size. Wasserstein
critics take five steps for each step of the generator. Nothing else was tuned, so the table compares losses in this
recipe and does not say which loss is best. The scores are those of `pinxit evaluate` at N = 10,000.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pinxit
from pinxit.errors import DivergedError

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

ROWS = {
    "non-saturating (default)": {},
    "saturating": {"loss": "saturating"},
    "least-squares": {"loss": "least-squares"},
    "hinge": {"loss": "hinge"},
    "relativistic": {"loss": "relativistic"},
    "relativistic, R1 + R2": {
        "loss": "relativistic", "discriminator_norm": "none", "r1": 1.0, "r2": 1.0, "learning_rate": 1e-3
    },
    "non-saturating, R1": {"discriminator_norm": "none", "r1": 1.0, "learning_rate": 1e-3},
    "wasserstein, clipping": {
        "loss": "wasserstein", "discriminator_norm": "none", "weight_clip": 0.01, "discriminator_steps": 5,
        "learning_rate": 1e-3,
    },
    "wasserstein, gradient penalty": {
        "loss": "wasserstein", "discriminator_norm": "none", "gradient_penalty": 10.0, "discriminator_steps": 5,
        "learning_rate": 1e-3,
    },
}  # fmt: skip


def measure(change: dict[str, object], steps: int, seed: int) -> dict[str, object]:
    """Train one row and return its scores."""
    with tempfile.TemporaryDirectory() as folder:
        training = pinxit.TrainingSettings(steps=steps, seed=seed)
        try:
            settings = pinxit.GANSettings(**change)
            run = pinxit.train(settings, "mnist", Path(folder) / "run", training=training, recipe="plain")
        except DivergedError as error:
            return {"diverged": str(error)}
        found = pinxit.evaluate(run.folder, "mnist:test", extractors=("digits-v1", "digits-v2"), seed=1)
        return {
            "images": run.facts()["images"],
            "seconds": run.facts()["seconds"],
            "scores": {name: score["value"] for name, score in found["scores"].items()},
            "ratio to blur": {
                name: score["rows"][0]["ratio"] for name, score in found["scores"].items() if name.startswith("fd")
            },
        }


def main() -> None:
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args()
    document = record(__doc__, {"steps": asked.steps, "seeds": asked.seeds}, rows=[])
    for name, change in ROWS.items():
        for seed in asked.seeds:
            row = {"name": name, "seed": seed, "settings": change} | measure(change, asked.steps, seed)
            document["rows"].append(row)
            write(asked.out, document)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
