"""Settings of training itself. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pinxit.settings import Device, First, Settings, Topic

MOST_THREADS, MOST_STEPS = 1024, 10**12
AUTO = "auto"
"""A choice that is left to pinxit."""


class TrainingSettings(Settings):
    """Length, batches, schedule and precision of training, for every objective."""

    steps: int = Field(20_000, ge=0, le=MOST_STEPS, description="Optimiser steps to train for.")
    minutes: Annotated[float | None, First()] = Field(
        None,
        gt=0,
        description="Minutes to train for, instead of steps. The number of steps follows the machine's speed.",
    )
    batch_size: int = Field(64, ge=1, le=65536, description="Pictures per step.")
    accumulate: int = Field(
        1, ge=1, le=1024, description="Parts that each batch is split into; more parts need less memory."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of every random number of the run.")
    schedule: Literal["constant", "linear", "cosine", "late"] = Field(
        "constant",
        description="How the learning rate decays to zero over the run; constant does not decay, and late decays over "
        "the last third, linearly.",
    )
    warmup: int = Field(0, ge=0, le=MOST_STEPS, description="Steps over which the learning rate rises from zero.")
    clip: float = Field(
        0.0,
        ge=0,
        description="Largest norm of the gradient; of a GAN, for generator and discriminator separately. 0 sets no "
        "limit.",
    )
    average: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay per step of the running average of the weights; larger averages over more steps.",
    )
    auto_fix: bool = Field(
        False,
        exclude_if=lambda value: not value,  # as in recipes from before there was one
        description="When training goes wrong, return to a healthy checkpoint, change one setting and go on; give up "
        "after four changes. The recipe keeps the history; time before a return counts for --minutes.",
    )
    device: Annotated[Device, Topic.HARDWARE] = Field(
        "auto", description="Where to compute: auto, cpu, cuda, cuda:N or mps."
    )
    precision: Annotated[Literal["auto", "bf16", "float32"], Topic.HARDWARE] = Field(
        "auto", description="Number format of convolutions; auto uses bf16 if the device computes in it."
    )
    threads: Annotated[int | None, Topic.HARDWARE] = Field(
        None,
        ge=1,
        le=MOST_THREADS,
        description="Processor threads; by default one for each core that this process may use.",
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.minutes is not None and "steps" in self.model_fields_set:
            raise ValueError("give steps or minutes, not both")
        return self

    def plans(self) -> Iterator[tuple[int, int]]:
        """Yield each plan in order: the step from which it counts, and its last step."""
        yield 0, self.steps
