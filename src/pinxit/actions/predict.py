"""Actions of trained recognisers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pinxit.actions.action import OUT, RUN, Action, Flag, Outcome, Overwrite, Word
from pinxit.files import refuse_to_replace


class Predict(Action):
    """Tell which class pictures belong to, by a trained classifier.

    Writes predictions.csv (file, class, confidence, unknown) and sheet.jpg, the least certain pictures first. Unknown
    is what is less like the classes than 95 % of the pictures held out from training.
    """

    run: Annotated[Path, RUN] = Field(description="Folder of a run of `pinxit train classify`.")
    pictures: Annotated[tuple[str, ...], Word("IN")] = Field(
        min_length=1, description="Pictures: files, folders, or patterns in quotes such as 'photos/*.jpg'."
    )
    out: Annotated[Path, OUT] = Field(description="Folder for the results.")
    recursive: Annotated[bool, Flag("-r", "--recursive")] = Field(
        False, description="Include the pictures in sub-folders."
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Predict; the value is the predictions in the order of the files."""
        from dataclasses import asdict

        from pinxit.jobs.predictions import SHEET, TABLE, predict_files
        from pinxit.recognition.reading import load

        refuse_to_replace(self.out / TABLE, self.out / SHEET, overwrite=self.overwrite)
        done = predict_files(load(self.run), self.pictures, self.out, self.recursive)
        document = {"predictions": [asdict(row) for row in done.rows], "files": [str(path) for path in done.files]}
        return Outcome(done.rows, document, done.files, check=done.check)
