"""Actions of trained recognisers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pinxit.actions.action import OUT, RUN, Action, Flag, Outcome, Overwrite, Reads, Word
from pinxit.explanation.methods import METHODS
from pinxit.files import refuse_to_replace

Classifier = Annotated[Path, RUN, Field(description="Folder of a run of `pinxit train classify`.")]
Pictures = Annotated[
    tuple[str, ...],
    Word("IN"),
    Reads(),
    Field(min_length=1, description="Pictures: files, folders, or patterns in quotes such as 'photos/*.jpg'."),
]
Folder = Annotated[Path, OUT, Field(description="Folder for the results.")]
Recursive = Annotated[bool, Flag("-r", "--recursive"), Field(description="Include the pictures in sub-folders.")]


class Predict(Action):
    """Tell what pictures show, by a trained recogniser.

    Writes predictions.csv and sheet.jpg, the least certain pictures first. A classifier gives a line for each file:
    file, class, confidence, unknown. Unknown is what is less like the classes than 95 % of the pictures held out from
    training. A segmenter gives masks/STEM.png, whose palette's index is the class, and the share of each class. A
    detector gives a line for each box, and predictions.json.
    """

    run: Annotated[Path, RUN, Field(description="Folder of a run of `pinxit train classify`, `segment` or `detect`.")]
    pictures: Pictures
    out: Folder
    form: Annotated[Literal["coco", "voc", "yolo"] | None, Flag("--format")] = Field(
        None,
        description="Form in which boxes are written beside predictions.csv: coco (predictions.json, always), voc "
        "(annotations/STEM.xml too) or yolo (labels/STEM.txt too). Of detectors only.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Least score of a box; by default that of each class which found the pictures held out from "
        "training best (F1). Of detectors only.",
    )
    recursive: Recursive = False
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Predict; the value is the predictions in the order of the files."""
        from pinxit.jobs.predicting import SHEET, TABLE
        from pinxit.jobs.predictions import predict_files
        from pinxit.recognition.reading import load

        refuse_to_replace(self.out / TABLE, self.out / SHEET, overwrite=self.overwrite)
        known = load(self.run).asked(self.form, self.threshold)
        done = predict_files(known, self.pictures, self.out, self.recursive, self.overwrite)
        document = {"predictions": [row.document() for row in done.rows], "files": [str(path) for path in done.files]}
        return Outcome(done.rows, document, done.files, check=done.check)


class Explain(Action):
    """Show why a trained classifier sees a class in pictures, and whether the explanation holds.

    Writes explanations.html: maps of what speaks for the class, with a test of each, and the training pictures that are
    most alike. explanations.json has the numbers.
    """

    run: Classifier
    pictures: Pictures
    out: Folder
    methods: Annotated[tuple[Literal[*METHODS], ...], Flag("--method")] = Field(  # type: ignore[valid-type]
        (),
        description="Ways to explain; by default all: "
        + "; ".join(f"{name} ({row.about})" for name, row in METHODS.items())
        + ". May be given several times.",
    )
    target: str | None = Field(None, description="The class to explain; by default the likeliest of each picture.")
    recursive: Recursive = False
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Explain; the value is the explanations in the order of the files."""
        from pinxit.jobs.explanations import NUMBERS, PAGE, explain_files
        from pinxit.recognition.reading import load_classes
        from pinxit.training.run import Run

        refuse_to_replace(self.out / PAGE, self.out / NUMBERS, overwrite=self.overwrite)
        methods = self.methods or tuple(METHODS)
        done = explain_files(
            load_classes(self.run), Run.open(self.run), self.pictures, self.out, methods, self.target, self.recursive
        )
        document = {"explanations": [asdict(row) for row in done.rows], "files": [str(path) for path in done.files]}
        return Outcome(done.rows, document, done.files, check=done.check)
