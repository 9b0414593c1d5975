"""What a user can choose about training itself. No torch here."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pinxit.settings import Device, Settings


class TrainingSettings(Settings):
    """How long, how fast, how exactly; the same for every objective."""

    steps: int = Field(20_000, ge=0, description="Optimiser steps to train for.")
    minutes: float | None = Field(
        None, gt=0, description="Instead of steps: thirty are timed, and this long is turned into a number of steps."
    )
    batch_size: int = Field(64, ge=1, le=65536, description="Pictures a step.")
    accumulate: int = Field(1, ge=1, le=1024, description="Parts a step's batch is split into, to save memory.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides every random draw of the run.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="How the step size goes down to zero over the run, or that it stays."
    )
    warmup: int = Field(0, ge=0, description="Steps over which the step size rises from zero.")
    clip: float = Field(0.0, ge=0, description="Largest norm of a player's gradient, 0 for no limit.")
    average: float = Field(0.999, ge=0, lt=1, description="Decay of the running average of the weights, a step.")
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    precision: Literal["auto", "bf16", "float32"] = Field(
        "auto", description="Number format of convolutions; auto takes bf16 where the processor computes in it."
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="Processor threads; the cores this process may use if not given."
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.minutes is not None and "steps" in self.model_fields_set:
            raise ValueError("give steps or minutes, not both")
        return self
