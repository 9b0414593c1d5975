"""`pinxit codes`: what each number of a model's codes does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pinxit.commands import Json

app = App(name="codes", help="Tell what each number of a model's codes does.")


@app.default
def codes(
    folder: Annotated[Path, Parameter(name="RUN")],
    pictures: Annotated[str, Parameter(name="PICTURES")],
    /,
    *,
    n: Annotated[int, Parameter(name="-n", validator=Number(gte=2))] = 1000,
    as_json: Json = False,
) -> None:
    """Tell what each number of a model's codes says of pictures, in nats, and how much it varies; the busiest first.

    Parameters
    ----------
    folder
        The folder of a run of `pinxit train vae`.
    pictures
        A name (mnist:test), a folder of pictures, a zip, an npz, or IDX files.
    n
        Number of pictures, the first ones.
    """
    from pinxit.codes.coding import given, read_codes
    from pinxit.codes.sampling import load

    model = load(folder)
    told = read_codes(model, given(model, pictures, n))
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    print("number    KL, nats      varies")
    for entry in told["numbers"]:
        kl = "" if entry["kl"] is None else f"{entry['kl']:.4f}"
        print(f"{entry['number']:6d}{kl:>12}{entry['varies']:12.4f}")
    rate = "" if told["rate"] is None else f"rate {told['rate']:.1f} nats, "
    print(f"{rate}distortion {told['distortion']:.1f} nats; {told['active']} of {len(told['numbers'])} numbers active")
    if not told["active"]:
        print("The codes have collapsed: they do not differ from picture to picture.")
