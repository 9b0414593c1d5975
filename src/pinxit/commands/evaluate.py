"""`pinxit evaluate A B`: how far pictures lie from a reference, each score with an interval and three anchors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pinxit.commands import Json
from pinxit.errors import DataError, UsageError

app = App(name="evaluate", help="Judge pictures by others: scores with interval, protocol and anchors.")

Names = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=True)]


@app.default
def command(
    generated: Annotated[str, Parameter(name="GENERATED")],
    reference: Annotated[str | None, Parameter(name="REFERENCE")] = None,
    /,
    *,
    extractor: Names = (),
    metrics: Names = (),
    n: Annotated[int | None, Parameter(name=["-n", "--n"], validator=Number(gte=12))] = None,
    seed: Annotated[int, Parameter(validator=Number(gte=0, lt=2**31))] = 0,
    sampler: str = "",
    audit: Annotated[bool, Parameter(negative=())] = False,
    utility: Annotated[bool, Parameter(negative=())] = False,
    paired: Annotated[bool, Parameter(negative=())] = False,
    channels: Literal["rgb", "y", "grey"] | None = None,
    border: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    out: Annotated[Path | None, Parameter(name=["-o", "--out"])] = None,
    as_json: Json = False,
) -> None:
    """Judge pictures by others: scores with interval, protocol and anchors.

    Ends with a table and a certificate, a JSON file that `pinxit compare` reads. Beside each score stand three anchors:
    the floor (real pictures against real ones), the reference with noise of 25 grey levels, and the reference through a
    3x3 box blur. Scores of another extractor, another N or another reference are not comparable.

    Parameters
    ----------
    generated
        The pictures to judge: a run, a folder, a zip, an npz, IDX files or a named set. A run draws new pictures, and
        the scores go into its report.
    reference
        The real pictures, such as mnist:test. Where their set has another part, the floor comes from it. A run may go
        without: then the pictures held out from its training are the reference.
    extractor
        The network in whose eyes to compare: digits-v1 or digits-v2 for MNIST, lite0 for any picture, inception-2015 or
        vgg16 from a file of yours. May be given more than once; by default digits-v1 for MNIST and lite0 for the rest.
    metrics
        fd, kd, precision, recall, density, coverage, vendi, "class score", "class entropy"; with --paired psnr, ssim
        and others. By default those that make sense at this N.
    n
        Pictures of each side; by default as many as the smaller side has.
    seed
        Decides every random draw: of pictures, of noise and of intervals.
    sampler
        What an autoencoder's run draws its codes from; by default its usual one. It stands in the certificate.
    audit
        Say also whether training pictures were copied, and draw the twenty nearest pairs. The reference must be held
        out from the training, and the other part of its set be what was trained on.
    utility
        Say also how well a classifier learns from the generated pictures, tested on real ones (both need classes).
    paired
        Compare picture with picture of the same name instead: a restored one with its original.
    channels
        With --paired: compare in colour (by default), in the brightness Y of BT.601 as papers on super-resolution do,
        or in grey.
    border
        With --paired: pixels cut off at each side first, by default none; super-resolution papers cut as many as the
        scale.
    out
        The certificate, which may replace another; by default a new GENERATED-REFERENCE.json here, and evaluation.json
        in a run.
    """
    from pinxit.evaluation.certificate import refuse_other_files, write_certificate
    from pinxit.training.run import EVALUATION, RECIPE

    if paired:
        sets_only = {"--extractor": bool(extractor), "-n": n is not None, "--sampler": bool(sampler)}
        sets_only |= {"--audit": audit, "--utility": utility}
        _refuse(sets_only, "--paired compares picture with picture: leave out {}")
    else:
        _refuse({"--channels": channels is not None, "--border": border is not None}, "{} can only go with --paired")
    is_run = Path(generated, RECIPE).is_file()
    usual = Path(f"{_word(generated)}-{_word(reference)}.json")
    path = out or (Path(generated, EVALUATION) if is_run else _free(usual))
    sheet = (path.with_name("audit.png") if is_run and not out else _sheet(path)) if audit else None
    if out:
        refuse_other_files(out, sheet)
    if paired:
        from pinxit.evaluation.pairs import evaluate_pairs

        if reference is None:
            raise UsageError("--paired needs a REFERENCE: the pictures that those of the same names should be")
        document = evaluate_pairs(
            generated, reference, metrics=metrics, channels=channels or "rgb", border=border or 0, seed=seed
        )
    else:
        from pinxit.evaluation.evaluate import evaluate

        document = evaluate(
            generated, reference, extractors=extractor, metrics=metrics or None, n=n, seed=seed,
            sampler=sampler, audit_sheet=sheet, with_utility=utility,
        )  # fmt: skip
    if out or not (as_json or is_run):
        path = path if out or audit else _free(usual, document)
        write_certificate(path, document)
    print(
        json.dumps(document, indent=2, ensure_ascii=False) if as_json else f"{table(document)}\n\ncertificate: {path}"
    )


def judge(run: Path, reference: str, n: int) -> str:
    """Evaluate a run as the command does and return the table."""
    from pinxit.evaluation.evaluate import evaluate

    return table(evaluate(run, reference, n=n))


def table(document: Mapping[str, Any]) -> str:
    """Return a certificate as aligned text: what was compared, scores with interval and anchors, remarks."""
    return "\n".join(_lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    scores = document["scores"]
    first = next(iter(scores.values()))
    n, one, other = f"{first['n']:,}", first["generated"]["name"], first["reference"]["name"]
    yield f"{n} pictures of {one} against {n} of {other}, seed {first['seed']}"
    for group, about in ((True, ""), (False, "beside them, none to be told alone:")):
        own = {name: score for name, score in scores.items() if score["headline"] is group}
        if own:
            yield ""
            yield from [about] if about else []
            yield from aligned(_rows(own))
    if "audit" in document:
        yield f"\naudit: {document['audit']['verdict']}"
    if "utility" in document:
        yield f"\nutility: {document['utility']['verdict']}"
    if document["remarks"]:
        yield ""
        yield from (f"- {remark}" for remark in document["remarks"])


def _rows(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the cells of a table, head first: a row a score, with its interval and its anchors."""
    anchors = [row["name"] for row in next(iter(scores.values())).get("rows", ())[1:]]
    yield ["", "", "value", "95 % interval", *(["/ blur"] if anchors else []), *anchors]
    for name, score in scores.items():
        rows = score.get("rows", ())
        ratio = [number(rows[0]["ratio"])] if rows else []
        yield [
            name, f"{score['better']} is better" if score["better"] != "as real" else "best near the floor",
            *with_interval(score), *ratio, *(number(row["value"]) for row in rows[1:]),
        ]  # fmt: skip


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield lines: the first two columns to the left, numbers to the right."""
    columns = list(zip(*rows, strict=True))
    padded = [
        [cell.ljust(width) if place < 2 else cell.rjust(width) for cell in column]
        for place, column in enumerate(columns)
        if (width := max(map(len, column)))
    ]
    yield from map("   ".join, zip(*padded, strict=True))


def with_interval(told: Mapping[str, Any]) -> tuple[str, str]:
    """Return a value and its interval as two cells."""
    return number(told["value"]), f"{number(told['interval']['low'])} to {number(told['interval']['high'])}"


def number(value: float | None) -> str:
    """Return a value at four digits, or nothing."""
    return "" if value is None else f"{value:.4g}"


def _refuse(given: Mapping[str, bool], why: str) -> None:
    if names := [name for name, is_given in given.items() if is_given]:
        raise UsageError(why.format(" and ".join(names)))


def _free(usual: Path, document: Mapping[str, Any] | None = None) -> Path:
    """Return the first of X.json, X-2.json, X-3.json ... that is free, with its sheet, or holds this very document."""
    names = chain([usual], (usual.with_stem(f"{usual.stem}-{number}") for number in count(2)))
    return next(path for path in names if not (path.exists() or _sheet(path).exists()) or _holds(path, document))


def _holds(path: Path, document: Mapping[str, Any] | None) -> bool:
    from pinxit.evaluation.certificate import read_certificate

    with suppress(DataError):
        return read_certificate(path) == document
    return False


def _sheet(certificate: Path) -> Path:
    return certificate.with_suffix(".audit.png")


def _word(spec: str | None) -> str:
    """Return a DATA argument as a part of a file name."""
    return Path(spec or "").name.replace(":", "-") or "set"
