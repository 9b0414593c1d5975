"""`pinxit compare A.json B.json`: two certificates beside each other, if their protocols are equal."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from pinxit.commands import Json
from pinxit.commands.evaluate import aligned, with_interval

if TYPE_CHECKING:
    from pinxit.evaluation.certificate import Comparison

app = App(name="compare", help="Put two certificates beside each other, if their protocols are equal.")


@app.default
def command(one: Path, other: Path, /, *, as_json: Json = False) -> None:
    """Put two certificates beside each other, if their protocols are equal; otherwise say what differs (exit code 3).

    Parameters
    ----------
    one
        A JSON file that `pinxit evaluate` wrote.
    other
        Another.
    """
    from pinxit.evaluation.certificate import compare, read_certificate
    from pinxit.progress import say

    rows, remarks = compare(read_certificate(one), read_certificate(other))
    for remark in remarks:
        say(remark)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    names = [one.stem, other.stem] if one.stem != other.stem else [str(one), str(other)]
    if any(row.difference for row in rows):
        names.append("difference")
    head = ["", "", *(cell for name in names for cell in (name, "95 % interval"))]
    print("\n".join(aligned([head, *(_cells(row, len(names)) for row in rows)])))


def _cells(row: Comparison, columns: int) -> list[str]:
    told = (row.one, row.other, row.difference)[:columns]
    return [row.name, row.verdict, *(cell for each in told for cell in (with_interval(each) if each else ("", "")))]
