"""`pinxit evaluate A B`: how far pictures lie from a reference, with three anchors beside every score."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pinxit.commands import Json
from pinxit.progress import say

if TYPE_CHECKING:
    from pinxit.data import ImageSet

app = App(name="evaluate", help="Compare two sets of pictures, with the protocol beside every score.")

EXTRACTORS = ("digits-v1",)
PARTS = ("train", "test")


@app.default
def evaluate(
    generated: Annotated[str, Parameter(name="GENERATED")],
    reference: Annotated[str, Parameter(name="REFERENCE")],
    /,
    *,
    extractor: Annotated[tuple[str, ...], Parameter(negative=())] = EXTRACTORS,
    n: Annotated[int | None, Parameter(name=["-n", "--n"], validator=Number(gte=4))] = None,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    as_json: Json = False,
) -> None:
    """Compare two sets of pictures, with the protocol beside every score.

    Beside each score stand three anchors: the floor (real pictures against real ones), the reference with noise of 25
    grey levels, and the reference through a 3x3 box blur. Scores of another extractor or another N are not comparable.

    Parameters
    ----------
    generated
        The pictures to judge: a run, a folder, a zip, an npz, IDX files or a named set. A run draws new pictures, and
        the scores go into its report.
    reference
        The real pictures, such as mnist:test. Where their set has another part, the floor comes from it.
    extractor
        The network in whose eyes to compare, digits-v1 or digits-v2; may be given more than once.
    n
        Pictures of each side; by default as many as the smaller side has.
    seed
        Decides every random draw: of pictures and of noise.
    """
    document = _document(generated, reference, extractor, n, seed)
    print(json.dumps(document, indent=2, ensure_ascii=False) if as_json else _table(document["scores"]))


def judge(run: Path, reference: str, n: int) -> str:
    """Evaluate a run as the command does and return the table."""
    return _table(_document(str(run), reference, EXTRACTORS, n, seed=0)["scores"])


def _document(generated: str, reference: str, extractors: tuple[str, ...], n: int | None, seed: int) -> dict[str, Any]:
    """Return what `pinxit.evaluation.evaluate` says; of a run it is noted in the run's report too."""
    from pinxit.evaluation import Drawn, evaluate
    from pinxit.sampling import load
    from pinxit.training.report import write_report
    from pinxit.training.run import RECIPE, Run

    target, real = _parts(reference)
    if not Path(generated, RECIPE).is_file():
        judged, _ = _parts(generated)
        return evaluate(judged, target, real=real, extractors=extractors, n=n, seed=seed)
    folder = Path(generated)
    images, _ = load(folder).sample(min(n or len(target), len(target)), seed)
    document = evaluate(Drawn(folder.resolve().name, images), target, real=real, extractors=extractors, n=n, seed=seed)
    Run.open(folder).note(evaluation=document)
    write_report(folder)
    return document


def _parts(spec: str) -> tuple[ImageSet, ImageSet | None]:
    """Return the pictures a person means, and the other part of their set where it has one.

    A set with an official split means its test part unless told otherwise; other sets mean all of their pictures.
    """
    from pinxit.data import open_data

    base, _, part = spec.rpartition(":")
    opened = open_data(base) if base and part in PARTS else open_data(spec, holdout=0)
    for note in opened.notes:
        say(note)
    if part == "train" or not opened.held_out:
        return opened.train, opened.held_out or None
    return opened.held_out, opened.train


def _table(scores: dict[str, Any]) -> str:
    return "\n".join(_lines(scores))


def _lines(scores: dict[str, Any]) -> Iterator[str]:
    """Yield one table an extractor: a row for the generated pictures and each anchor, a column for each score."""
    first = next(iter(scores.values()))
    n, one, other = f"{first['n']:,}", first["generated"]["name"], first["reference"]["name"]
    yield f"{n} pictures of {one} against {n} of {other}, seed {first['seed']}; for fd and kd smaller is nearer"
    for extractor in dict.fromkeys(score["extractor"] for score in scores.values()):
        yield ""
        yield from map("   ".join, zip(*_columns(extractor, scores), strict=True))


def _columns(extractor: str, scores: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the columns of an extractor's table, head first: what each row is, each score, its ratio to the blur."""
    own = {name.partition("[")[0]: score["rows"] for name, score in scores.items() if score["extractor"] == extractor}
    yield _padded([extractor, *(f"{row['name']}: {row['about']}" for row in next(iter(own.values())))], str.ljust)
    for name, rows in own.items():
        yield _padded([name, *(f"{row['value']:.4g}" for row in rows)], str.rjust)
        if rows[-1]["ratio"]:
            yield _padded(["/ blur", *(f"{row['ratio']:.4f}" for row in rows)], str.rjust)


def _padded(cells: list[str], pad: Callable[[str, int], str]) -> list[str]:
    width = max(map(len, cells))
    return [pad(cell, width) for cell in cells]
