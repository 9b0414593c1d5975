"""From the folder of a run to the recogniser that it trained: `READERS` has the kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinxit import models
from pinxit.errors import DataError, UsageError
from pinxit.objectives.objective import Detector, Predictor, Segmenter
from pinxit.page import command
from pinxit.progress import say
from pinxit.recognition.boxes import BoxReader
from pinxit.recognition.classes import ClassReader
from pinxit.recognition.masks import MaskReader
from pinxit.recognition.recogniser import Recogniser
from pinxit.training.run import Run, is_run

READERS: dict[type[Any], type[Recogniser[Any]]] = {
    # By the interface of the objective.
    Predictor: ClassReader,
    Segmenter: MaskReader,
    Detector: BoxReader,
}


def load(folder: Path) -> Recogniser[Any]:
    """Return the recogniser of a run; `DataError` if it is none, `UsageError` for anything but a run."""
    if not is_run(folder):
        raise UsageError(
            f"{folder} is not a run; give the folder of a run of `pinxit train classify`, `segment` or `detect`"
        )
    run, model = Run.open(folder), models.load(folder)
    data = run.recipe.data
    for kind, reader in READERS.items():
        if isinstance(model.objective, kind):
            if not run.facts().get("finished"):
                say(f"{folder} is not finished, so nothing is calibrated; `{command('resume', folder)}` continues it")
            return reader(folder.resolve().name, model.objective, data.classes, data.fit, model.sha256)
    raise DataError(f"{folder}: models of `pinxit train {model.kind}` do not recognise anything")


def load_classes(folder: Path) -> ClassReader:
    """Return the classifier of a run; `DataError` for anything else that recognises."""
    known = load(folder)
    if not isinstance(known, ClassReader):
        raise DataError(f"{folder}: not a run of `pinxit train classify`, whose models tell the class of a picture")
    return known
