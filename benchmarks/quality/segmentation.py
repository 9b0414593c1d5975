"""What segmenters reach on pictures held out from their training: the certificates of finished runs, collected.

    pinxit train segment camvid --void unlabelled --minutes 22 --trained-blocks 6 --learning-rate 1e-3 --balance 0.5 --out camvid-lite0
    pinxit train segment camvid --void unlabelled --minutes 26 --network unet --flip --shift 0.1 --scale 0.25 --balance 0.5 --out camvid-unet
    pinxit train segment em --minutes 6.5 --out run-em
    pinxit train segment retina --network unet --fit patch --size 256 --flip --turn --loss cross-entropy,dice --minutes 7.5 --out run-retina
    pinxit train segment nuclei --instances --holdout 0.25 --network unet --fit patch --size 256 --flip --turn --minutes 3.4 --out nuclei2
    pinxit evaluate RUN                                    # each of them
    python benchmarks/quality/segmentation.py RUN... --out benchmarks/results/segmentation.json

`em` has the slices 0 to 14 of em-membranes in train/ and 15 to 19 in test/. `retina` has the children 1 to 10 of
retina-chase in train/ and 11 to 14 in test/, with the first observer's vessels as masks. `run-nuclei` is the run of 6 minutes whose last layer began at zero; it found
nothing. All rows but `nuclei2` began like that.
"""  # noqa: E501

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pinxit.files import read_json
from pinxit.training.run import EVALUATION, Run

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write


def of_run(folder: Path) -> dict[str, Any]:
    """Return how a run was trained, and its scores."""
    run, certificate = Run.open(folder), read_json(folder / EVALUATION)
    facts = run.facts()
    scores = {
        name: {key: score[key] for key in ("value", "interval", "metric", "n")} | {"rows": score["rows"]}
        for name, score in certificate["scores"].items()
    }
    settings = {
        part: getattr(run.recipe, part).model_dump(mode="json") for part in ("settings", "training", "hardware")
    }
    return settings | {
        "size": run.recipe.data.size, "fit": run.recipe.data.fit, "steps": facts["steps"], "seconds": facts["seconds"],
        "scores": scores, "classes": certificate.get("classes"), "remarks": certificate["remarks"],
    }  # fmt: skip


def main() -> None:
    """Collect, print, and write a record."""
    parser = arguments(__doc__ or "", needs_out=True)
    parser.add_argument("runs", type=Path, nargs="+")
    asked = parser.parse_args()
    found = {folder.name: of_run(folder) for folder in asked.runs}
    for name, one in found.items():
        print(name, one["steps"], round(one["seconds"]), {key: one["scores"][key]["value"] for key in one["scores"]})
    write(asked.out, record(__doc__ or "", {"runs": list(found)}, runs=found))


if __name__ == "__main__":
    main()
