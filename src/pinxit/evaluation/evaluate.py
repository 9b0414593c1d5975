"""From the names of a generated and a reference set to a certificate: open the sets, sample from a run, score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pinxit.data import DataSet, ImageSet, mnist
from pinxit.data.sets import parse_spec
from pinxit.data.settings import HOLDOUT
from pinxit.errors import DataError, UsageError
from pinxit.evaluation.audit import audit, sheet
from pinxit.evaluation.boxes import score_boxes
from pinxit.evaluation.certificate import Document
from pinxit.evaluation.masks import score_masks
from pinxit.evaluation.pictures import Generated, Pictures, parts
from pinxit.evaluation.recognition import draw_confusion, score_classes
from pinxit.evaluation.score import count, extractor_of, score
from pinxit.evaluation.utility import check_classes, utility
from pinxit.files import sha256, write_json
from pinxit.images import save_sheet
from pinxit.latents.sampling import load
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.recognition import reading
from pinxit.recognition.boxes import BoxReader
from pinxit.recognition.classes import ClassReader
from pinxit.recognition.masks import MaskReader
from pinxit.recognition.recogniser import Recogniser
from pinxit.training.pictures import OPENERS, pictures_of
from pinxit.training.report import write_report
from pinxit.training.run import EVALUATION, Run, is_run

CONFUSION = "confusion.png"
"""The picture of what a recogniser takes for what, in its run."""

SCORING: dict[type[Recogniser[Any]], Callable[[Any, ImageSet, int | None, int], Document]] = {
    # From a recogniser, a labelled set, the number of pictures and a seed to a certificate.
    ClassReader: score_classes,
    MaskReader: score_masks,
    BoxReader: score_boxes,
}

SMALL = 64
"""The longest side, in pixels, of pictures that lite0-96 suits. It takes a fifth of the time of lite0."""


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
    """Compare generated pictures with a reference and return the certificate that `score` makes.

    `generated` is a run, a folder, a file or a named set. A run samples `n` new pictures with its usual `sampler`
    unless another is named; the certificate is kept in the run, with the hash of its weights, for its report.

    `reference` is any DATA argument. If its set has an official split, the test part is used unless the argument names
    another; the other part is the floor. For a run trained on a folder, "FOLDER:test" is the part that was held out
    from training, and the default. Without `extractors`, MNIST is compared by digits-v1, a reference whose sides are at
    most 64 pixels by lite0-96, all else by lite0.

    `audit_sheet` is a path: the certificate then has an `audit` of copied training pictures, and the nearest pairs are
    drawn there. `with_utility` adds how well a classifier learns from the generated pictures. Both need training and
    held-out pictures: those of the run or, for other pictures, both parts of the reference's set. Sets that cannot be
    audited or used are refused before the long work.
    """
    run = Run.open(Path(generated)) if is_run(Path(generated)) else None
    if run and run.recipe.settings.recognises:
        asked = {"--extractor": extractors, "--metrics": metrics, "--sampler": sampler, "--audit": audit_sheet}
        if named := [flag for flag, value in (asked | {"--utility": with_utility}).items() if value]:
            raise UsageError(f"{' and '.join(named)}: {run.folder} makes no pictures; it recognises what they show")
        return _recognised(run, reference, n, seed)
    if sampler and run is None:
        raise UsageError(f"--sampler {sampler}: {generated} is not a run, and only a run has samplers")
    target, real = _reference(reference, run)
    pictures = (
        sampled(run, count(target, target, n), seed, sampler) if run else parts(str(generated), HOLDOUT, "judged")[0]
    )
    names = extractors or (_usual_extractor(target),)
    beside: Document = {}
    if audit_sheet or with_utility:
        training, held_out = _own(run) if run else _both_parts(str(reference), target, real)
        if with_utility:
            check_classes(training, pictures, held_out)
        if audit_sheet:
            beside["audit"] = _audit(pictures, training, held_out, names[0], seed, audit_sheet)
        if with_utility:
            beside["utility"] = utility(training, pictures, held_out, seed).document()
    document = score(pictures, target, real=real, extractors=names, metrics=metrics, n=n, seed=seed) | beside
    document["remarks"] += _about_extractors(names, target) + _about_training(run, target, "copies would score well")
    return _kept(run, document) if run else document


def _recognised(run: Run, reference: str | None, n: int | None, seed: int) -> Document:
    """Return the certificate of a run that recognises, by its row of `SCORING`, and keep it in the run.

    The reference is by default the pictures held out from its training. What is taken for what is drawn in the run.
    """
    target, _ = _reference(reference, run)
    known = reading.load(run.folder)
    document = SCORING[type(known)](known, target, n, seed)
    document["remarks"] += _about_training(run, target, "the scores are too good")
    if "confusion" in document:
        draw_confusion(document["confusion"], known.classes, run.folder / CONFUSION, run.folder)
    return _kept(run, document)


def _kept(run: Run, document: Document) -> Document:
    """Keep a certificate in its run, with the hash of the weights, and write the report anew."""
    write_json(run.folder / EVALUATION, {"weights": sha256(run.weights, run.folder)} | document, run.folder)
    write_report(run.folder)
    return document


def sampled(run: Run, n: int, seed: int, sampler: str = "") -> Generated:
    """Return n pictures sampled from a run, different ones for each seed."""
    model = load(run.folder)
    model = model.using(sampler) if sampler else model
    images, labels = model.sample(n, seed << 32)
    weights = model.learned.get(model.sampler, "")
    return Generated(run.folder.resolve().name, images, labels, model.classes, model.sampler, weights)


def _usual_extractor(reference: ImageSet) -> str:
    if reference.fingerprint == mnist.FINGERPRINT:
        return "digits-v1"
    return "lite0-96" if reference.shapes.max() <= SMALL else "lite0"


def _reference(reference: str | None, run: Run | None) -> tuple[ImageSet, ImageSet | None]:
    """Return the reference, and other real pictures for the floor if there are any."""
    if reference is not None and run:
        return _labelled(reference, run)
    if reference is not None:
        return parts(reference, HOLDOUT, "reference")
    if run is None:
        raise UsageError("name a reference, such as mnist:test or a folder of real pictures; only a run has its own")
    training, held_out = _own(run)
    return held_out, training


def _labelled(reference: str, run: Run) -> tuple[ImageSet, ImageSet | None]:
    """Return a reference for a run: if it recognises, with all that its own pictures need beside them."""
    data, settings = run.recipe.data, run.recipe.settings
    opener = OPENERS[settings.opens if settings.recognises else "pictures"]

    def opened(spec: str, share: float) -> DataSet:
        known = data.changed(holdout=share)
        try:
            return opener(spec, known)
        except UsageError:  # the set has no classes of the names that are void
            return opener(spec, known.changed(void=()))

    return parts(reference, data.holdout, "reference", opened)


def _own(run: Run) -> tuple[ImageSet, ImageSet]:
    """Return the pictures a run was trained on, and those held out from it."""
    opened = _opened(run)
    if not opened.held_out:
        raise DataError(f"{run.folder} was trained on all of {opened.train.name}; name a reference of other pictures")
    return opened.train, opened.held_out


def _opened(run: Run) -> DataSet:
    data = run.recipe.data
    return pictures_of(data.changed(source=data.source.removesuffix(":train")))


def _both_parts(reference: str, target: ImageSet, real: ImageSet | None) -> tuple[ImageSet, ImageSet]:
    """Return the training and the held-out part of the set of a reference such as mnist:test."""
    if real is None or parse_spec(reference)[1] == "train":
        raise DataError(
            f"{target.name} is not the held-out part of a set; name one, such as mnist:test or FOLDER:test, whose "
            "other part the model was trained on"
        )
    return real, target


def _audit(pictures: Pictures, training: ImageSet, held_out: ImageSet, name: str, seed: int, path: Path) -> Document:
    """Return the audit's document, after saving its sheet."""
    found = audit(pictures, training, held_out, extractor_of(name), seed)
    save_sheet(path, sheet(found, pictures, training))
    return found.document() | {"sheet": path.name}


def _about_extractors(names: Sequence[str], target: ImageSet) -> list[str]:
    """Return a remark for every digit extractor on pictures that are not MNIST."""
    if target.fingerprint == mnist.FINGERPRINT:
        return []
    return [f"{name} was trained on {EXTRACTORS[name].trained_on}" for name in names if name.startswith("digits")]


def _about_training(run: Run | None, target: ImageSet, so: str) -> list[str]:
    """Return a remark if the reference holds pictures that the run was trained on, and what follows from that."""
    if run is None or run.recipe.data.fingerprint != target.fingerprint:
        return []
    own = _opened(run)
    if target.selection in (own.held_out.selection, own.apart and own.apart.selection):
        return []
    return [f"{target.name} holds pictures that {run.folder.name} was trained on, so {so}"]
