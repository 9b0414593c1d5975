"""`pinxit compare A.json B.json`: two certificates beside each other, if their protocols are equal."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from cyclopts import App

from pinxit.commands import Json
from pinxit.commands.evaluate import aligned, number

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
    head = ["", "", one.stem, "+-", other.stem, "+-"]
    cells = ([row.name, row.verdict, *map(number, (row.one, row.one_half, row.other, row.other_half))] for row in rows)
    print("\n".join(aligned([head, *cells])))
