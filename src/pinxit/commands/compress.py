"""`pinxit compress`: pictures as their codes, in a file of few bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pinxit.commands import Json

app = App(name="compress", help="Write pictures as a model's codes of them, in few bits.")


@app.default
def compress(
    folder: Annotated[Path, Parameter(name="RUN")],
    pictures: Annotated[str, Parameter(name="PICTURES")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["-o", "--out"])],
    n: Annotated[int | None, Parameter(name="-n", validator=Number(gte=1))] = None,
    step: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    as_json: Json = False,
) -> None:
    """Write pictures as a model's codes of them, and tell the bits for each pixel and what is lost.

    Parameters
    ----------
    folder
        The folder of a run of `pinxit train vae` or `pinxit train vq`.
    pictures
        A name (mnist:test), a folder of pictures, a zip, an npz, or IDX files.
    out
        The file (.pxc). `pinxit decompress` needs the run beside it.
    n
        Number of pictures, the first ones; by default all.
    step
        What the numbers of a code are rounded to, in standard deviations of the posterior, by default 1: coarser steps
        take fewer bits. The codes of `pinxit train vq` are not rounded.
    """
    from pinxit.codes.coding import given
    from pinxit.codes.compression import compress as codes_of
    from pinxit.codes.compression import save_compressed
    from pinxit.codes.sampling import load
    from pinxit.progress import say

    model = load(folder)
    seen = given(model, pictures, n)
    told = save_compressed(out, model, seen, codes_of(model, seen, step))
    if as_json:
        print(json.dumps(told, indent=2))
        return
    say(
        f"codes of {told['bits_per_pixel']:.3g} bits a pixel; the whole file {told['bytes']:,} bytes; "
        f"PSNR {told['psnr']:.1f} dB"
    )
    print(out)
