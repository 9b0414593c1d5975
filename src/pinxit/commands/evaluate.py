"""`pinxit evaluate A B`: how far pictures lie from a reference, with three anchors beside every score."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pinxit.commands import Json
from pinxit.metrics import DEFAULT_EXTRACTORS

app = App(name="evaluate", help="Compare two sets of pictures, with the protocol beside every score.")


@app.default
def command(
    generated: Annotated[str, Parameter(name="GENERATED")],
    reference: Annotated[str, Parameter(name="REFERENCE")],
    /,
    *,
    extractor: Annotated[tuple[str, ...], Parameter(negative=())] = DEFAULT_EXTRACTORS,
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
    from pinxit.evaluation import evaluate

    document = evaluate(generated, reference, extractors=extractor, n=n, seed=seed)
    print(json.dumps(document, indent=2, ensure_ascii=False) if as_json else table(document["scores"]))


def judge(run: Path, reference: str, n: int) -> str:
    """Evaluate a run as the command does and return the table."""
    from pinxit.evaluation import evaluate

    return table(evaluate(run, reference, n=n)["scores"])


def table(scores: dict[str, Any]) -> str:
    """Return scores as aligned text, with their anchors."""
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
