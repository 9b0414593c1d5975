"""`pinxit export`: a model as an ONNX file, for use without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pinxit.commands import Json
from pinxit.errors import UsageError

app = App(name="export", help="Write a model as an ONNX file, for use without torch.")


@app.default
def export(
    model: Annotated[str, Parameter(name="MODEL")],
    /,
    *,
    out: Annotated[Path, Parameter(name=["-o", "--out"])],
    precision: Literal["float32", "fp16", "int8"] = "float32",
    check: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative=())] = None,
    overwrite: Annotated[bool, Parameter(name=["-y", "--overwrite"], negative=())] = False,
    as_json: Json = False,
) -> None:
    """Write a model as an ONNX file, compared with PyTorch before it is there.

    All from pixels to pixels is in the file, for pictures of any size: `python -m pinxit.runtime FILE IN -o OUT` runs
    it without torch, and `pinxit edit restore --model FILE` with all that an edit does.

    Parameters
    ----------
    model
        The folder of a run, its weights, or the name of a network that comes with pinxit, such as upscale-x2-v1.
    out
        The file (.onnx).
    precision
        What is computed: float32; fp16, half the file, which holds its weights so and computes in float32; or int8, a
        quarter of the file, whose convolutions compute with 8-bit numbers.
    check
        Pictures to compare on, and to fit int8 to, beside made-up ones; of each the middle 512 x 512 pixels.
    overwrite
        Replace what is there already.
    """
    if out.suffix.lower() != ".onnx" or out.is_dir():
        raise UsageError(f"-o {out}: give a file called .onnx")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} is there already; -y makes it anew")
    from pinxit.export import export as exported
    from pinxit.progress import say

    told = exported(model, out, precision=precision, pictures=check or ())
    if as_json:
        print(json.dumps(told, indent=2))
        return
    say(
        f"largest difference to PyTorch {told['largest_difference']:.2g} over {len(told['inputs'])} inputs, "
        f"PSNR {told['psnr']:.1f} dB; the file {told['bytes']:,} bytes"
    )
    print(out)
