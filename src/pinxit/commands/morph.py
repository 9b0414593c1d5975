"""`pinxit morph`: pictures on the way from one class to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

app = App(name="morph", help="Move pictures from one class towards another, by the classes' mean codes.")


@app.default
def morph(
    folder: Annotated[Path, Parameter(name="RUN")],
    pictures: Annotated[str, Parameter(name="PICTURES")],
    /,
    *,
    start: str,
    end: str,
    n: Annotated[int, Parameter(name="-n", validator=Number(gte=1))] = 8,
    columns: Annotated[int, Parameter(validator=Number(gte=2))] = 8,
    out: Annotated[Path | None, Parameter(name=["-o", "--out"])] = None,
) -> None:
    """Move pictures from one class towards another: to their codes is added the difference of the classes' mean codes.

    Parameters
    ----------
    folder
        The folder of a finished run of `pinxit train vae`, not conditional, on pictures with classes.
    pictures
        A name (mnist:test), a folder of pictures, a zip, an npz, or IDX files. Where they have classes, those of the
        class `start` are taken, else all are thought to be of it.
    start
        The class that is taken away.
    end
        The class that is added.
    n
        Number of pictures, the first ones of their class.
    columns
        Steps of the way, of which the first is the reconstruction.
    out
        The sheet (.png, .jpg, .webp), a row a picture; by default morph.png in the run.
    """
    from pinxit.codes.coding import given
    from pinxit.codes.coding import morph as ways_of
    from pinxit.codes.sampling import load, save_samples

    model = load(folder)
    out = out or folder / "morph.png"
    ways = ways_of(model, given(model, pictures, n, only=start), start, end, columns)
    save_samples(out, ways.reshape(-1, *ways.shape[2:]), columns=columns)
    print(out)
