"""Recipes: everything that determines a run, in one validated JSON document. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from pinxit import __version__
from pinxit.data.places import beside, remembered
from pinxit.data.settings import SIZES, DataSettings, Kinds, Labels, Layout
from pinxit.errors import UsageError
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.settings import GANSettings, ObjectiveSettings
from pinxit.settings import Device, Settings, Size, did_you_mean, flagged, sides
from pinxit.training.settings import AUTO, MOST_STEPS, MOST_THREADS, TrainingSettings

SHA256 = "^[0-9a-f]{64}$"
LABELLED: dict[tuple[bool, bool], Labels] = {
    (False, False): "none", (True, False): "a", (False, True): "b", (True, True): "both"
}  # fmt: skip
"""Which of two kinds of pictures are label maps, by whether each is."""


class TargetRecipe(Settings):
    """What the pictures are to become."""

    channels: Literal[1, 3, 4] = Field(description="Grey, RGB or RGBA.")
    colours: tuple[str, ...] = Field((), description="If they are label maps: the colours of their classes.")
    paired: bool = Field(description="Whether each picture has a pair.")
    deep: bool = Field(False, exclude_if=lambda value: not value, description="Whether they have 16 bits.")
    layout: Layout = Field(
        "auto", exclude_if=lambda value: value == "auto", description="Where both kinds are in pictures side by side."
    )


class DataRecipe(DataSettings):
    """A set of pictures, by name and fingerprint, and how batches are drawn from it."""

    size: Annotated[Size, SIZES] = Field(description="Side of square pictures in pixels, or width x height as text.")
    source: str = Field(description="The DATA argument, as it was given.")
    name: str = Field(description="The set and its part.")
    fingerprint: str = Field(pattern=SHA256, description="SHA-256 of the packed pixels, shapes and labels.")
    channels: Literal[1, 3, 4] = Field(description="Grey, RGB or RGBA.")
    classes: tuple[str, ...] = Field((), description="The names of the classes, in the order of their labels.")
    void: tuple[str, ...] = Field(
        (), exclude_if=lambda value: not value, description="The classes of masks whose pixels belong to no class."
    )

    colours: tuple[str, ...] = Field(
        (), exclude_if=lambda value: not value, description="If they are label maps: the colours of their classes."
    )
    target: TargetRecipe | None = Field(
        None, exclude_if=lambda value: value is None, description="What the pictures are to become."
    )
    instances: bool = Field(
        False, exclude_if=lambda value: not value, description="Whether masks number things instead of classes."
    )

    def ignored(self) -> tuple[str, ...]:
        """Return the void classes."""
        return self.void

    def numbered(self) -> bool:
        """Return whether masks number things."""
        return self.instances

    def kinds(self) -> Kinds:
        """Return how pictures of two kinds were read, with B where this machine read it before."""
        if self.target is None:
            return Kinds()
        labels: Labels = LABELLED[bool(self.colours), bool(self.target.colours)]
        return Kinds(
            next(iter(remembered(beside(self.fingerprint))), None), self.target.paired, self.target.layout, labels
        )


class HardwareRecipe(Settings):
    """How the run computes; `resume` reuses it, for the same bits."""

    device: Device = Field(description="cpu, cuda, cuda:N or mps.")
    precision: Literal["bf16", "float32"] = Field(description="Number format of convolutions.")
    threads: int = Field(ge=1, le=MOST_THREADS, description="Processor threads.")
    reason: str = Field(description="Why the device and precision were chosen.")


class Revision(Settings):
    """A change of a run's last step while it trained, or after it was finished."""

    at: int = Field(ge=0, le=MOST_STEPS, description="The step after which the last step was changed.")
    planned: int = Field(ge=0, le=MOST_STEPS, description="The last step until then.")

    def __str__(self) -> str:
        return f"step {self.at:,}: the plan of {self.planned:,} steps was changed"


class TrainingRecipe(TrainingSettings):
    """How the run trains. `minutes` are set only as long as `steps`, the last step, may still change to keep them."""

    revisions: tuple[Revision, ...] = Field(
        (), max_length=1000, exclude_if=lambda value: not value, description="How the last step was changed, in order."
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        steps = [revision.at for revision in self.revisions]
        if steps != sorted(set(steps)) or max(steps, default=0) > self.steps:
            raise ValueError("the steps of the revisions should rise, up to the last step")
        return self

    def revised(self, at: int, steps: int) -> TrainingRecipe:
        """Return the recipe with another last step from step `at` on; changes that were to come later are dropped."""
        came = [revision for revision in self.revisions if revision.at < at]
        dropped = self.revisions[len(came) :]
        planned = dropped[0].planned if dropped else self.steps
        kept = [revision.model_dump() for revision in came]
        return self.changed(steps=steps, revisions=(*kept, {"at": at, "planned": planned}))

    def plans(self) -> Iterator[tuple[int, int]]:
        """Yield each plan in order: the step from which it counts, and its last step."""
        starts = (0, *(revision.at for revision in self.revisions))
        yield from zip(starts, (*(revision.planned for revision in self.revisions), self.steps), strict=True)


class Repair(Settings):
    """A setting that auto-fix changed, from a step on."""

    at: int = Field(ge=0, le=MOST_STEPS, description="The step after which the value counts.")
    field: Literal[
        "learning_rate", "discriminator_rate", "beta1", "optimiser", "weight_decay", "weight_clip", "clip", "loss",
        "discriminator_steps", "discriminator_norm", "r1", "r2", "gradient_penalty", "packing",
        "augment_discriminator", "shift", "flip", "beta", "free_bits",
    ] = Field(description="The setting. None of these changes the networks of the model itself.")  # fmt: skip
    value: bool | int | float | str = Field(description="Its value from then on.")
    because: str = Field(max_length=200, description="The finding, and the step at which it was found.")

    def __str__(self) -> str:
        return f"{self.because}: {' '.join(flagged(self.field, self.value))} from step {self.at:,} on"


class Chosen(Settings):
    """A row of `FITTING` that filled in what was not asked for."""

    recipe: str = Field(description="The name of the row.")
    because: str = Field(description="Why it was chosen.")

    def __str__(self) -> str:
        return f"recipe {self.recipe}, {self.because}"


class Recipe(Settings):
    """Everything that determines a run: the same recipe and pictures give the same weights."""

    pinxit: str = Field(__version__, description="Version that made the recipe.")
    objective: str = Field(description="A name of `OBJECTIVES`.")
    settings: SerializeAsAny[ObjectiveSettings] = Field(description="The objective's settings.")
    chosen: Chosen | None = Field(
        None,
        exclude_if=lambda value: value is None,  # as in recipes from before there was one
        description="The settings for this kind of pictures that filled in what was not asked for.",
    )
    data: DataRecipe = Field(description="The pictures.")
    others: DataRecipe | None = Field(None, description="The second set, which gives each picture a companion.")
    training: TrainingRecipe = Field(description="Length, batches, schedule and precision of the training.")
    start: str | None = Field(None, pattern=SHA256, description="SHA-256 of the weights that training starts from.")
    example: str | None = Field(
        None,
        pattern=SHA256,
        exclude_if=lambda value: value is None,  # as in recipes from before there was one
        description="SHA-256 of the picture that the first step learns from.",
    )
    repairs: tuple[Repair, ...] = Field(
        (),
        max_length=100,
        exclude_if=lambda value: not value,
        description="The settings that auto-fix changed, in order.",
    )
    hardware: HardwareRecipe = Field(description="The hardware.")
    autoencoder: str | None = Field(
        None,
        pattern=SHA256,
        description="SHA-256 of the autoencoder's weights, in the folder above, over whose codes a prior is trained.",
    )

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in OBJECTIVES:
            raise ValueError(f"no objective {name[:80]!r}{did_you_mean(name, OBJECTIVES)}")
        return name

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_objective(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("settings"), dict):
            return values
        kind = OBJECTIVES.get(str(values.get("objective")))
        return values | {"settings": kind.parse(values["settings"])} if kind else values

    @model_validator(mode="after")
    def _repairable(self) -> Self:
        steps = [repair.at for repair in self.repairs]
        if steps != sorted(steps):
            raise ValueError("the steps of the repairs should rise")
        if self.repairs:
            self.repaired(len(self.repairs))
        return self

    def in_force(self, step: int) -> int:
        """Return how many of the repairs count after `step` steps."""
        return sum(repair.at <= step for repair in self.repairs)

    def repaired(self, count: int) -> Recipe:
        """Return the recipe with the first `count` repairs in place of its settings, and without a history."""
        recipe = self if not self.repairs else self.changed(repairs=())
        for repair in self.repairs[:count]:
            recipe = recipe.having(repair.field, repair.value)
        return recipe

    def having(self, field: str, value: Any) -> Recipe:
        """Return the recipe with another value of a setting of the model, the pictures or training.

        Raises `ValueError` if it has no such setting, `UsageError` if the value is out of its range.
        """
        for name in ("settings", "data", "training"):
            part: Settings = getattr(self, name)
            if field in type(part).model_fields:
                return self.changed(**{name: part.changed(**{field: value}).model_dump(exclude_unset=True)})
        raise ValueError(f"{self.objective} has no setting {field}")


class Known(NamedTuple):
    """What is known of a set of pictures before training; `transparent` is the share of pictures with an alpha."""

    pictures: int
    channels: int
    transparent: float
    size: Size


@dataclass(frozen=True)
class Fitting:
    """Settings that were measured to fit a kind of pictures: what these are, whether a set fits, and why in words.

    `settings` are those of the model, `data` those of its pictures, `training` those of training. Whatever a user gives
    takes their place.
    """

    about: str
    fits: Callable[[Known], bool]
    because: Callable[[Known], str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def flags(self, given: Collection[str]) -> str:
        """Return the settings whose names are not among those given, as flags."""
        own = {**self.settings, **self.data, **self.training}
        return " ".join(word for name, value in own.items() if name not in given for word in flagged(name, value))


PLAIN = "plain"
FEW = 5000
"""Pictures below which a discriminator soon knows them by heart."""
SMALL = 64
"""The longest side, in pixels, of small pictures."""

EVERYTHING = Fitting(
    "the defaults in this help", lambda known: True, lambda known: "because no other recipe fits the pictures"
)

ADAPTIVE = {
    "enlarge": "nearest", "augment_discriminator": "translation,cutout,colour", "augment_target": 0.6
}  # fmt: skip
"""The discriminator sees changed pictures as soon as it knows too many by heart, and no sooner."""

AIDED = ADAPTIVE | {"discriminator": "aided"}
"""The same, beside heads on a frozen network that knows photographs."""

FITTING: dict[str, dict[str, Fitting]] = {
    "gan": {
        # 1,054 emoji at 64 pixels, 150 s of one thread: kd[lite0-96] 2.1, `few` 3.8; closed shapes, and less of a grid.
        "sprites": Fitting(
            "pictures with transparent parts",
            lambda known: known.transparent >= 0.5,
            lambda known: f"because {known.transparent:.0%} of the pictures have transparent parts",
            AIDED,
            training={"batch_size": 32},
        ),
        # 164 paintings at 64 pixels, 300 s of one thread: kd[lite0-96] 1.27, `few` 1.88. Its network is the frozen one.
        # By AlexNet, which no training saw, 0.13 and 2.3. docs/results.md has the rows that were worse.
        "photos": Fitting(
            f"fewer than {FEW:,} photographs, paintings or other pictures in colour",
            lambda known: known.pictures < FEW and known.channels > 1,
            lambda known: f"because {known.pictures:,} pictures in colour are fewer than {FEW:,}",
            AIDED,
            training={"batch_size": 32},
        ),
        # 500 digits, one thread: kd[digits-v1] 80 at 21 s and 60 at 41 s, the defaults 170 and 69.
        "few": Fitting(
            f"fewer than {FEW:,} pictures",
            lambda known: known.pictures < FEW,
            lambda known: f"because {known.pictures:,} pictures are fewer than {FEW:,}",
            ADAPTIVE,
            training={"batch_size": 32},
        ),
        # MNIST, 7,500 steps on one thread: fd[digits-v1] 5.6 at a rate of 1e-3, the defaults 7.4, because without the
        # penalty the discriminator wins. docs/results.md has the curves.
        "digits": Fitting(
            f"grey pictures of at most {SMALL} pixels",
            lambda known: known.channels == 1 and max(sides(known.size)) <= SMALL,
            lambda known: f"because the pictures are grey and at most {SMALL} pixels wide and high",
            {"r1": 0.1, "penalty_every": 4, "discriminator_norm": "none"},
        ),
        PLAIN: EVERYTHING,
    },
    "classify": {
        "photos": Fitting(
            f"pictures in colour, or of more than {SMALL} pixels",
            lambda known: known.channels > 1 or max(sides(known.size)) > SMALL,
            lambda known: f"because the pictures are in colour or larger than {SMALL} pixels",
            {"network": "lite0", "label_smoothing": 0.05},
        ),
        "small": Fitting(
            f"grey pictures of at most {SMALL} pixels",
            lambda known: known.channels == 1 and max(sides(known.size)) <= SMALL,
            lambda known: f"because the pictures are grey and at most {SMALL} pixels wide and high",
            {"network": "residual"},
            data={"shift": 0.1},
        ),
        PLAIN: EVERYTHING,
    },
    "segment": {
        # CamVid at 320 x 240, 931 steps with --balance 0.5: class-mean IoU .641 on the val part.
        "photos": Fitting(
            "pictures in colour",
            lambda known: known.channels > 1,
            lambda known: "because the pictures are in colour",
            {"network": "lite0", "channels": 32, "trained_blocks": 6, "learning_rate": 1e-3},
            data={"flip": True, "shift": 0.1, "scale": 0.25},
        ),
        "grey": Fitting(
            "grey pictures, such as those of microscopes",
            lambda known: known.channels == 1,
            lambda known: "because the pictures are grey",
            {"network": "unet"},
            data={"fit": "patch", "flip": True, "turn": True},
        ),
        PLAIN: EVERYTHING,
    },
}
"""Recipes by objective and name, in the order in which they are tried; the last fits everything."""


def fitting(objective: str, asked: Chosen | None, known: Known) -> Chosen | None:
    """Return the recipe that was asked for or, if none was, the first that fits the pictures.

    None for an objective without recipes. Raises `UsageError` for an unknown name.
    """
    rows = FITTING.get(objective, {PLAIN: EVERYTHING})
    if asked and asked.recipe not in rows:
        wrong = did_you_mean(asked.recipe, (AUTO, *rows))
        raise UsageError(f"--recipe {asked.recipe}: no such recipe of {objective}{wrong}")
    if objective not in FITTING:
        return None
    if asked:
        return asked
    name, row = next((name, row) for name, row in rows.items() if row.fits(known))
    return Chosen(recipe=name, because=row.because(known))


def in_words(objective: str) -> str:
    """Return the help of the choice among an objective's recipes."""
    rows = "; ".join(f"{name}: {row.about}" for name, row in FITTING[objective].items())
    return f"Settings for all that no other flag gives. auto chooses the first that fits the pictures. {rows}."


S = TypeVar("S", bound=Settings)


def filled(given: S, defaults: Mapping[str, Any]) -> S:
    """Return settings with `defaults` in place of what was not given."""
    return type(given).parse({**defaults, **given.model_dump(exclude_unset=True)})


GOLDEN: dict[str, tuple[ObjectiveSettings, TrainingSettings]] = {
    # MNIST; docs/results.md has the scores by minutes. The settings are the defaults of every GAN.
    "digits": (GANSettings(), TrainingSettings(minutes=3)),
}
"""Settings that were measured to work, by the data set."""
