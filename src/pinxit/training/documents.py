"""What the JSON documents of a run hold, besides its recipe. They may come from elsewhere, so they are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from pinxit.errors import DataError, UsageError
from pinxit.files import read_json
from pinxit.settings import Settings

MOST = 2**63 - 1
Count = Annotated[int, Field(ge=0, le=MOST)]
Amount = Annotated[float, Field(ge=0, le=MOST)]


class Document(Settings):
    """A document of a run: what is known of it has these types, and there may be more."""

    model_config = ConfigDict(strict=True, extra="allow")

    @classmethod
    def read(cls, path: Path, inside: Path) -> dict[str, Any]:
        """Return the document in a file of the run `inside`; `DataError` names the file and the field if one is wrong.

        It is returned as it stands in the file.
        """
        values: dict[str, Any] = read_json(path, inside)
        try:
            cls.parse(values)
        except UsageError as error:
            raise DataError(f"{path}: {error}") from error
        return values


class Progress(Document):
    """`report.json`: how far training is."""

    steps: Count = Field(description="Steps so far.")
    images: Count = Field(description="Pictures so far, repeats counted.")
    seconds: Amount = Field(description="Seconds of training.")
    images_per_second: Amount = Field(description="Speed.")
    finished: bool = Field(description="Whether the last step is done.")
    machine: dict[str, str | int | float | None] = Field(description="The machine, without its name.")


class Judgement(Document):
    """A value by which the best checkpoint is known."""

    name: str = Field(description="What was measured.")
    best: Literal["lowest", "highest"] = Field(description="Which value is the best.")
    value: float = Field(description="The value.")


class CheckpointFacts(Document):
    """`facts.json`: what is saved with a checkpoint's tensors."""

    log_bytes: Count = Field(0, description="Length of the log at this step in bytes.")
    seconds: Amount = Field(0.0, description="Seconds of training.")
    repairs: Count = Field(0, description="How many settings auto-fix had changed, of these networks.")
    judgement: Judgement | None = Field(None, description="How good the model is, if it is judged.")


class Interval(Document):
    """The interval of a score."""

    low: float = Field(description="Its lower end.")
    high: float = Field(description="Its upper end.")


class Row(Document):
    """A row of a score: the generated set, or an anchor row."""

    name: str = Field(description="The row.")
    about: str = Field(description="What it is.")
    n: Count = Field(description="Pictures.")
    value: float = Field(description="Its value.")
    ratio: float | None = Field(description="Ratio to the blur row.")


class Reference(Document):
    """The set that a score compares with."""

    name: str = Field(description="Its name.")


class Score(Document):
    """A score in a certificate, as far as the report shows it."""

    value: float = Field(description="The value.")
    interval: Interval = Field(description="Its 95 % interval.")
    better: str = Field(description="Which way is better.")
    headline: bool = Field(description="Whether the report shows it.")
    metric: str = Field(description="Its definition.")
    n: Count = Field(description="Pictures of each set.")
    reference: Reference = Field(description="The reference set.")
    rows: list[Row] = Field(min_length=1, description="The generated set and the anchor rows.")


class Verdict(Document):
    """A part of a certificate that ends in a sentence."""

    verdict: str = Field(description="The sentence.")


class Evaluation(Document):
    """`evaluation.json`: the last certificate, with the hash of the weights it judged."""

    weights: str = Field(description="SHA-256 of the weights.")
    made_by: Any = Field(description="The version that made it.")
    scores: dict[str, Score] = Field(description="The scores by name.")
    remarks: list[str] = Field(description="What limits the numbers.")
    audit: Verdict | None = Field(None, description="The audit of copies.")
    utility: Verdict | None = Field(None, description="How well a classifier learns from the pictures.")

    @model_validator(mode="after")
    def _equal_rows(self) -> Self:
        if len({len(score.rows) for score in self.scores.values() if score.headline}) > 1:
            raise ValueError("scores: one has more rows than another")
        return self
