"""`pinxit decompress`: the pictures that codes in a file stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="decompress", help="Make pictures again of the codes that `pinxit compress` wrote.")


@app.default
def decompress(
    folder: Annotated[Path, Parameter(name="RUN")],
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["-o", "--out"])],
) -> None:
    """Make pictures again of the codes that `pinxit compress` wrote.

    Parameters
    ----------
    folder
        The folder of the run that wrote the codes.
    file
        What `pinxit compress` wrote (.pxc).
    out
        An .npz (key `images`, uint8, N H W C), a sheet (.png, .jpg, .webp), or a folder for single files, in order.
    """
    from pinxit.codes.compression import decompress as pictures_of
    from pinxit.codes.compression import load_compressed
    from pinxit.codes.sampling import load, save_samples

    model = load(folder)
    coded = load_compressed(file, model)
    names = [f"{number:06d}-{Path(name).stem}" for number, name in enumerate(coded.names)]
    save_samples(out, pictures_of(model, coded), names=names)
    print(out)
