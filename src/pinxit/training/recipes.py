"""Recipes: everything that decides a run, as one checked JSON document, and the ones we measured. No torch here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from pinxit import __version__
from pinxit.data.settings import LARGEST, SMALLEST, DataSettings
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.settings import GANSettings, ObjectiveSettings
from pinxit.settings import Settings, did_you_mean
from pinxit.training.settings import TrainingSettings


class DataRecipe(DataSettings):
    """Which pictures, by name and fingerprint, and how they are drawn."""

    size: int = Field(ge=SMALLEST, le=LARGEST, description="Side of the square pictures in pixels.")
    source: str = Field(description="The DATA argument.")
    name: str = Field(description="The set and its part.")
    fingerprint: str = Field(description="SHA-256 of the packed pixels, shapes and labels.")
    channels: Literal[1, 3, 4] = Field(description="Grey, RGB or RGBA.")
    classes: tuple[str, ...] = Field((), description="The names of the classes, in the order of their labels.")


class HardwareRecipe(Settings):
    """How the run computes; `resume` computes in the same way, which its exactness needs."""

    device: str = Field(description="cpu, cuda, cuda:N or mps.")
    precision: Literal["bf16", "float32"] = Field(description="Number format of convolutions.")
    threads: int = Field(ge=1, description="Processor threads.")
    reason: str = Field(description="Why these.")


class Recipe(Settings):
    """Everything that decides a run: with the same packed pictures it gives the same weights."""

    pinxit: str = Field(__version__, description="Version that made the recipe.")
    objective: str = Field(description="A name of `OBJECTIVES`.")
    settings: SerializeAsAny[ObjectiveSettings] = Field(description="The objective's settings.")
    data: DataRecipe = Field(description="The pictures.")
    others: DataRecipe | None = Field(None, description="The second set, from which each picture is given another.")
    training: TrainingSettings = Field(description="How long, how fast, how exactly.")
    start: str | None = Field(None, description="SHA-256 of the weights that training begins with.")
    hardware: HardwareRecipe = Field(description="Where.")
    autoencoder: str | None = Field(
        None, description="SHA-256 of the weights, in the folder above, of the autoencoder whose codes a prior learns."
    )

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in OBJECTIVES:
            raise ValueError(f"no objective {name!r}{did_you_mean(name, OBJECTIVES)}")
        return name

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_objective(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("settings"), dict):
            return values
        kind = OBJECTIVES.get(str(values.get("objective")))
        return values | {"settings": kind.parse(values["settings"])} if kind else values


GOLDEN: dict[str, tuple[ObjectiveSettings, TrainingSettings]] = {
    # MNIST; what it reaches in how many minutes stands in docs/results.md. The settings are every GAN's defaults.
    "digits": (GANSettings(), TrainingSettings(minutes=3)),
}
"""Settings that were measured to work, by the data they were measured on."""
