"""Certificates and comparisons as aligned text for a person. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pinxit.errors import counted
from pinxit.metrics import ONE_SAMPLE

if TYPE_CHECKING:
    from pinxit.evaluation.certificate import Comparison


def comparison_table(rows: Sequence[Comparison], one: str, other: str) -> list[str]:
    """Return the scores of two certificates beside each other, under their names, as lines."""
    names = [one, other, *(["difference"] if any(row.difference for row in rows) else [])]
    head = ["", "", *(cell for name in names for cell in (name, "95 % interval"))]
    return list(_aligned([head, *(_compared(row, len(names)) for row in rows)]))


def _compared(row: Comparison, columns: int) -> list[str]:
    sides = (row.one, row.other, row.difference)[:columns]
    return [row.name, row.verdict, *(cell for side in sides for cell in (_with_interval(side) if side else ("", "")))]


def table(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a certificate as aligned lines: what was compared, scores with interval and anchor rows, remarks."""
    scores = document["scores"]
    first = next(iter(scores.values()))
    n, generated, reference = first["n"], first["generated"]["name"], first["reference"]["name"]
    pictures = f"{counted(n, 'picture')} of"
    recognised = "classes" in first["generated"]
    both = (
        f"{reference}, recognised by the run {generated}" if recognised else f"{generated} against {n:,} of {reference}"
    )
    yield f"{pictures} {both}, seed {first['seed']}"
    for group, about in ((True, ""), (False, "secondary scores, not to be quoted alone:")):
        own = {name: score for name, score in scores.items() if score["headline"] is group}
        if own:
            yield ""
            yield from [about] if about else []
            yield from _aligned(_rows(own))
    if classes := document.get("classes"):
        yield ""
        yield from _aligned(_of_classes(classes))
    for part in ("audit", "utility"):
        if part in document:
            yield from ("", f"{part}: {document[part]['verdict']}")
    if document["remarks"]:
        yield ""
        yield from (f"- {remark}" for remark in document["remarks"])


def _rows(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the cells of a table, head first: a row for each score, with its interval and its anchor rows."""
    anchors = [row["name"] for row in next(iter(scores.values())).get("rows", ())[1:]]
    blurred = "blur" in anchors
    yield ["", "", "value", "95 % interval", *(["/ blur"] if blurred else []), *anchors]
    for name, score in scores.items():
        rows = score.get("rows", ())
        ratio = [_number(rows[0]["ratio"])] if blurred else []
        yield [
            name, f"{score['better']} is better" if score["better"] != "as real" else "best near the floor",
            *_with_interval(score), *ratio, *(_number(row["value"]) for row in rows[1:]),
        ]  # fmt: skip


def _of_classes(classes: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the cells of a table of classes, head first; a class without pixels has no values."""
    measures = [name for name in classes[0] if name not in ("name", "pixels")]
    yield ["class", "", "pixels", *measures]
    for row in classes:
        yield [row["name"], "", f"{row['pixels']:,}", *(_number(row[name]) or "none" for name in measures)]


def _aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield lines: the first two columns to the left, numbers to the right."""
    columns = list(zip(*rows, strict=True))
    padded = [
        [cell.ljust(width) if place < 2 else cell.rjust(width) for cell in column]
        for place, column in enumerate(columns)
        if (width := max(map(len, column)))
    ]
    yield from map("   ".join, zip(*padded, strict=True))


def _with_interval(score: Mapping[str, Any]) -> tuple[str, str]:
    """Return a value and its interval as two cells."""
    if score["interval"].get("method") == ONE_SAMPLE:
        return _number(score["value"]), "too few"
    return _number(score["value"]), f"{_number(score['interval']['low'])} to {_number(score['interval']['high'])}"


def _number(value: float | None) -> str:
    """Return a value with four digits, or nothing."""
    return "" if value is None else f"{value:.4g}"
