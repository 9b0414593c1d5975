"""`pinxit traverse`: what each number of a model's latents does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

app = App(name="traverse", help="Show what each number of a model's latents does.")


@app.default
def traverse(
    folder: Annotated[Path, Parameter(name="RUN")],
    /,
    *,
    n: Annotated[int, Parameter(name="-n", validator=Number(gte=1))] = 8,
    columns: Annotated[int, Parameter(validator=Number(gte=2))] = 9,
    out: Annotated[Path | None, Parameter(name=["-o", "--out"])] = None,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    label: str | None = None,
) -> None:
    """Show what each number of a model's latents does: one picture, and along each row one number moved.

    Parameters
    ----------
    folder
        The run's folder.
    n
        Number of rows: the numbers that vary most come first.
    columns
        Pictures a row, from 2.5 standard deviations below a number's mean to 2.5 above.
    out
        The sheet (.png, .jpg, .webp); by default traverse.png in the run.
    seed
        Seed of the picture.
    label
        Draw this class, from a conditional run.
    """
    from pinxit.codes.coding import traverse as ways_of
    from pinxit.codes.sampling import load, save_samples

    model = load(folder)
    out = out or folder / "traverse.png"
    ways = ways_of(model, n, columns, seed, label)
    save_samples(out, ways.reshape(-1, *ways.shape[2:]), columns=columns)
    print(out)
