"""`pinxit reconstruct`: pictures before and after a way through an autoencoder's codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

app = App(name="reconstruct", help="Show pictures before and after a way through a model's codes.")


@app.default
def reconstruct(
    folder: Annotated[Path, Parameter(name="RUN")],
    pictures: Annotated[str, Parameter(name="PICTURES")],
    /,
    *,
    n: Annotated[int, Parameter(name="-n", validator=Number(gte=1))] = 32,
    out: Annotated[Path | None, Parameter(name=["-o", "--out"])] = None,
) -> None:
    """Show pictures before and after a way through a model's codes, beside each other.

    Parameters
    ----------
    folder
        The folder of a run of `pinxit train vae` or `pinxit train vq`.
    pictures
        A name (mnist:test), a folder of pictures, a zip, an npz, or IDX files.
    n
        Number of pictures, the first ones.
    out
        The sheet (.png, .jpg, .webp); by default reconstruct.png in the run.
    """
    from pinxit.codes.coding import before_and_after, given
    from pinxit.codes.sampling import load, save_samples
    from pinxit.objectives.objective import Autoencoder
    from pinxit.progress import say

    model = load(folder)
    if isinstance(model.objective, Autoencoder) and model.objective.discrete:
        say(f"codes of {model.objective.bits_per_pixel:.3g} bits a pixel")
    out = out or folder / "reconstruct.png"
    save_samples(out, before_and_after(model, given(model, pictures, n)), columns=8)
    print(out)
