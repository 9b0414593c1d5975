"""From what a person names to a certificate: sets are opened, runs draw new pictures, and the right eyes are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pinxit.codes.sampling import load
from pinxit.data import DataSet, ImageSet, mnist
from pinxit.data.sets import parse_spec
from pinxit.data.settings import HOLDOUT
from pinxit.errors import DataError, UsageError
from pinxit.evaluation.audit import audit, sheet
from pinxit.evaluation.certificate import Document
from pinxit.evaluation.pictures import Drawn, Pictures, parts
from pinxit.evaluation.score import count, extractor_of, score
from pinxit.evaluation.utility import check_classes, utility
from pinxit.files import sha256, write_json
from pinxit.images import save_image
from pinxit.metrics.features import EXTRACTORS
from pinxit.training.plan import pictures_of
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
    sampler: str = "",
    audit_sheet: Path | None = None,
    with_utility: bool = False,
) -> Document:
    """Compare what a run, a folder, a file or a named set holds with a reference, and return what `score` does.

    A run draws `n` new pictures, from its usual `sampler` unless another is named; what comes out is kept in the run,
    with the weights' hash, for its report. The reference is any DATA argument: of a set with an official split its test
    part, unless told otherwise, and the rest is the floor. For a run on a folder "FOLDER:test" is the very part that
    was held out from it; a run without a reference is judged by that part. Without `extractors` the eyes are digits-v1
    for MNIST and lite0 for all else.

    With `audit_sheet`, a path, the document's `audit` tells whether training pictures were copied, and the nearest
    pairs are drawn there; `with_utility` adds how well a classifier learns from the generated pictures (`utility`).
    Both take a run's own training and held-out pictures; of other pictures the reference must be a part of a set, held
    out while the rest was trained on. What cannot be audited or used is refused before the long work.
    """
    run = Run.open(Path(generated)) if Path(generated, RECIPE).is_file() else None
    if sampler and run is None:
        raise UsageError(f"--sampler {sampler}: {generated} is not a run, and only a run has samplers")
    target, real = _reference(reference, run)
    judged = _drawn(run, count(target, target, n), seed, sampler) if run else parts(str(generated), HOLDOUT)[0]
    eyes = extractors or (DIGITS if target.fingerprint == mnist.FINGERPRINT else ANY_PICTURE,)
    beside: Document = {}
    if audit_sheet or with_utility:
        training, held_out = _own(run) if run else _divided(str(reference), target, real)
        if with_utility:
            check_classes(training, judged, held_out)
        if audit_sheet:
            beside["audit"] = _audit(judged, training, held_out, eyes[0], seed, audit_sheet)
        if with_utility:
            beside["utility"] = utility(training, judged, held_out, seed).document()
    document = score(judged, target, real=real, extractors=eyes, metrics=metrics, n=n, seed=seed) | beside
    document["remarks"] += _about_eyes(eyes, target) + _about_training(run, target)
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
    training, held_out = _own(run)
    return held_out, training


def _own(run: Run) -> tuple[ImageSet, ImageSet]:
    """Return what a run was trained on, and what was held out from it."""
    opened = _opened(run)
    if not opened.held_out:
        raise DataError(f"{run.folder} has trained on all of {opened.train.name}; name a reference of other pictures")
    return opened.train, opened.held_out


def _opened(run: Run) -> DataSet:
    data = run.recipe.data
    return pictures_of(run.recipe.changed(data=data.changed(source=data.source.removesuffix(":train"))))


def _divided(reference: str, target: ImageSet, real: ImageSet | None) -> tuple[ImageSet, ImageSet]:
    """Return the training and the held-out pictures that a reference such as mnist:test implies."""
    if real is None or parse_spec(reference)[1] == "train":
        raise DataError(
            f"{target.name} is not what was held out from a training; name the held-out part of a set, such as "
            "mnist:test or FOLDER:test, whose other part was trained on"
        )
    return real, target


def _audit(judged: Pictures, training: ImageSet, held_out: ImageSet, eyes: str, seed: int, drawn_to: Path) -> Document:
    """Return what the audit tells, after drawing its sheet."""
    found = audit(judged, training, held_out, extractor_of(eyes), seed)
    save_image(drawn_to, sheet(found, judged, training))
    return found.document() | {"sheet": drawn_to.name}


def _drawn(run: Run, n: int, seed: int, sampler: str) -> Drawn:
    """Return pictures of the run, other ones for every seed."""
    model = load(run.folder)
    model = model.using(sampler) if sampler else model
    images, labels = model.sample(n, seed << 32)
    weights = model.learned.get(model.sampler, "")
    return Drawn(run.folder.resolve().name, images, labels, model.classes, model.sampler, weights)


def _about_eyes(eyes: Sequence[str], target: ImageSet) -> list[str]:
    """Return a remark for every extractor that was not made for these pictures."""
    if target.fingerprint == mnist.FINGERPRINT:
        return []
    return [f"{name} knows {EXTRACTORS[name].knows}" for name in eyes if name.startswith("digits")]


def _about_training(run: Run | None, target: ImageSet) -> list[str]:
    """Return a remark if the reference holds pictures that the run was trained on."""
    if run is None or run.recipe.data.fingerprint != target.fingerprint:
        return []
    if target.selection == _opened(run).held_out.selection:
        return []
    return [f"{target.name} holds pictures that {run.folder.name} was trained on, so a copyist would score well"]
