"""`pinxit map`: pictures placed where their codes are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

app = App(name="map", help="Place pictures where their codes are, on a sheet.")


@app.default
def show(
    folder: Annotated[Path, Parameter(name="RUN")],
    pictures: Annotated[str, Parameter(name="PICTURES")],
    /,
    *,
    n: Annotated[int, Parameter(name="-n", validator=Number(gte=2))] = 2000,
    columns: Annotated[int, Parameter(validator=Number(gte=2, lte=100))] = 24,
    out: Annotated[Path | None, Parameter(name=["-o", "--out"])] = None,
) -> None:
    """Place pictures where their codes are, along the two directions in which these vary most.

    Parameters
    ----------
    folder
        The folder of a run of `pinxit train vae`.
    pictures
        A name (mnist:test), a folder of pictures, a zip, an npz, or IDX files.
    n
        Number of pictures, the first ones.
    columns
        Places a side; in each stands the picture nearest to its middle.
    out
        The sheet (.png, .jpg, .webp); by default map.png in the run.
    """
    from pinxit.codes.coding import given, latent_map
    from pinxit.codes.sampling import load, save_samples
    from pinxit.progress import say

    model = load(folder)
    out = out or folder / "map.png"
    sheet, share = latent_map(model, given(model, pictures, n), columns)
    save_samples(out, sheet, columns=columns)
    say(f"the two directions hold {share:.0%} of the codes' variance")
    print(out)
