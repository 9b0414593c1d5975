"""`pinxit anomaly`: how unlike its training pictures a model finds others, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pinxit.commands import Json

app = App(name="anomaly", help="Tell how unlike a model's training pictures others are, and where.")


@app.default
def anomaly(
    folder: Annotated[Path, Parameter(name="RUN")],
    pictures: Annotated[str, Parameter(name="PICTURES")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["-o", "--out"])],
    as_json: Json = False,
) -> None:
    """Tell how unlike a model's training pictures others are, and where: the strangest first.

    Parameters
    ----------
    folder
        The folder of a run of `pinxit train vae`.
    pictures
        A name (mnist:test), a folder of pictures, a zip, an npz, or IDX files.
    out
        A folder for anomaly.json (a score, -ELBO in nats, and the reconstruction's mean squared error a picture) and,
        a sheet a picture, what was given, its reconstruction, and a heat map of the error.
    """
    from pinxit.codes.coding import anomalies, given, save_anomalies
    from pinxit.codes.sampling import load

    model = load(folder)
    seen = given(model, pictures)
    document = save_anomalies(out, seen, anomalies(model, seen))
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for entry in document["pictures"]:
        print(f"{entry['score']:12.1f}  {entry['name']}")
    print(out)
