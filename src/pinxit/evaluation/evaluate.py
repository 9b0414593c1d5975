"""From what a person names to a certificate: sets are opened, runs draw new pictures, and the right eyes are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pinxit.data import ImageSet, mnist, open_packed
from pinxit.data.settings import HOLDOUT
from pinxit.errors import DataError, UsageError
from pinxit.evaluation.audit import audit, sheet
from pinxit.evaluation.certificate import Document
from pinxit.evaluation.pictures import Drawn, Pictures, parts
from pinxit.evaluation.score import count, score
from pinxit.evaluation.utility import utility
from pinxit.files import sha256, write_json
from pinxit.images import save_image
from pinxit.metrics.features import EXTRACTORS
from pinxit.sampling import load
from pinxit.training.report import write_report
from pinxit.training.run import EVALUATION, RECIPE, Run

DIGITS, ANY_PICTURE = "digits-v1", "lite0"


def evaluate(
    generated: str | Path,
    reference: str | None = None,
    *,
    extractors: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    audit_sheet: Path | None = None,
    with_utility: bool = False,
) -> Document:
    """Compare what a run, a folder, a file or a named set holds with a reference, and return what `score` does.

    A run draws `n` new pictures; what comes out is kept in the run, with the weights' hash, for its report. The
    reference is any DATA argument: of a set with an official split its test part, unless told otherwise, and the rest
    is the floor. For a run on a folder "FOLDER:test" is the very part that was held out from it; a run without a
    reference is judged by that part. Without `extractors` the eyes are digits-v1 for MNIST and lite0 for all else.

    With `audit_sheet`, a path, the document's `audit` tells whether training pictures were copied, and the nearest
    pairs are drawn there; `with_utility` adds how well a classifier learns from the generated pictures (`utility`).
    Both take the reference as held out and the other part of its set as the training pictures.
    """
    run = Run.open(Path(generated)) if Path(generated, RECIPE).is_file() else None
    target, real = _reference(reference, run)
    eyes = extractors or (DIGITS if target.fingerprint == mnist.FINGERPRINT else ANY_PICTURE,)
    judged = _drawn(run, count(target, target, n), seed) if run else parts(str(generated), HOLDOUT)[0]
    document = score(judged, target, real=real, extractors=eyes, metrics=metrics, n=n, seed=seed)
    for name in eyes:
        if name.startswith("digits") and target.fingerprint != mnist.FINGERPRINT:
            document["remarks"].append(f"{name} knows {EXTRACTORS[name].knows}")
    if audit_sheet:
        found = audit(judged, _training(real, target), target, EXTRACTORS[eyes[0]], seed)
        save_image(audit_sheet, sheet(found, judged, _training(real, target)))
        document["audit"] = found.document() | {"sheet": audit_sheet.name}
    if with_utility:
        document["utility"] = utility(_training(real, target), judged, target, seed).document()
    if run:
        write_json(run.folder / EVALUATION, {"weights": sha256(run.weights)} | document)
        write_report(run.folder)
    return document


def _reference(reference: str | None, run: Run | None) -> tuple[ImageSet, ImageSet | None]:
    """Return the pictures to judge by, and other real ones."""
    if reference is not None:
        return parts(reference, run.recipe.data.holdout if run else HOLDOUT)
    if run is None:
        raise UsageError("name a reference, such as mnist:test or a folder of real pictures; only a run has its own")
    data = run.recipe.data
    opened = open_packed(data.fingerprint, data.source.removesuffix(":train"), data.holdout)
    if not opened.held_out:
        raise DataError(f"{run.folder} has trained on all of {data.name}; name a reference of other real pictures")
    return opened.held_out, opened.train


def _drawn(run: Run, n: int, seed: int) -> Drawn:
    model = load(run.folder)
    images, labels = model.sample(n, seed)
    return Drawn(run.folder.resolve().name, images, labels, model.classes)


def _training(real: Pictures | None, target: Pictures) -> Pictures:
    if real is None:
        raise DataError(
            f"{target.name} has no second part to take as the training pictures; name a part of a set, such as "
            "mnist:test or FOLDER:test, whose other part was trained on"
        )
    return real
