"""The action that writes a model as an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pinxit.actions.action import OUT, Action, Outcome, Overwrite, Reads, Word
from pinxit.errors import UsageError, counted
from pinxit.files import refuse_to_replace
from pinxit.progress import say


class Export(Action):
    """Write a model as an ONNX file, for use without torch.

    The file is compared with PyTorch before it is kept. If it edits pictures, it takes any size. To run it:
    `pinxit-runtime FILE IN -o OUT` without torch, or `pinxit edit restore --model FILE`. A recogniser takes pictures of
    its own size; docs/export.md has the inputs and outputs of each kind.
    """

    model: Annotated[str, Word("MODEL"), Reads()] = Field(
        description="Folder of a run, a file of weights, or the name of a network that comes with pinxit, such as "
        "upscale-x2-v1."
    )
    out: Annotated[Path, OUT] = Field(description="File to write (.onnx).")
    precision: Literal["float32", "fp16", "int8"] = Field(
        "float32",
        description="Number format. fp16 halves the file: weights are stored in 16 bits and computed in float32. int8 "
        "quarters it: convolutions compute with 8-bit integers.",
    )
    check: tuple[Path, ...] = Field(
        (),
        description="Pictures for the comparison and for calibrating int8, in addition to synthetic ones. The middle "
        "512 x 512 pixels of each are used.",
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Export; value and document are the comparison."""
        if self.out.suffix.lower() != ".onnx" or self.out.is_dir():
            raise UsageError(f"-o {self.out}: name a file that ends in .onnx")
        refuse_to_replace(self.out, overwrite=self.overwrite)
        from pinxit.exporting import export

        compared = export(self.model, self.out, precision=self.precision, pictures=self.check)
        return Outcome(compared, compared, (self.out,), self._lines(compared))

    def _lines(self, compared: Mapping[str, Any]) -> Iterator[Path]:
        difference, inputs = f"{compared['largest_difference']:.2g}", len(compared["inputs"])
        say(
            f"largest difference to PyTorch {difference} over {counted(inputs, 'input')}, "
            f"PSNR {compared['psnr']:.1f} dB; the file {compared['bytes']:,} bytes"
        )
        yield self.out
