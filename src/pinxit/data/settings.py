"""Settings of the pictures that a model is trained on. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from pinxit.settings import First, Flag, Place, Settings, Size, Topic, Word, sides, size_within

Fit = Literal["crop", "pad", "stretch", "patch"]
Layout = Literal["auto", "ab", "ba"]
Labels = Literal["auto", "none", "a", "b", "both"]

SMALLEST, LARGEST = 16, 1024
USUAL_SIZE = 64
HOLDOUT = 0.1
LARGEST_OWN_SIZE = 128
LARGEST_MASKED = 384
SIZES = size_within(SMALLEST, LARGEST)
EITHER = ": the side of a square, or width x height such as 96x64."


class Augment(Settings):
    """Random changes, sampled for every row from (seed, step, row); all off by default."""

    flip: Annotated[bool, Topic.AUGMENTATION] = Field(False, description="Mirror left and right with probability 0.5.")
    shift: Annotated[float, Topic.AUGMENTATION] = Field(
        0.0, ge=0, le=0.5, description="Largest shift in each direction, as a fraction of the side."
    )
    rotate: Annotated[float, Topic.AUGMENTATION] = Field(
        0.0, ge=0, le=180, description="Largest rotation either way, in degrees."
    )
    scale: Annotated[float, Topic.AUGMENTATION] = Field(
        0.0, ge=0, le=0.5, description="Largest zoom in or out, as a fraction: 0.1 is 0.9 to 1.1 times."
    )
    turn: Annotated[bool, Topic.AUGMENTATION] = Field(
        False,
        description="Turn by 0, 90, 180 or 270 degrees, with equal probability; oblong pictures by 0 or 180 degrees.",
    )

    @property
    def changes(self) -> bool:
        """Say whether anything is asked for."""
        return bool(self.flip or self.shift or self.rotate or self.scale or self.turn)


class DataSettings(Augment):
    """How pictures are fitted, held out and augmented."""

    usual_size: ClassVar[int] = USUAL_SIZE
    """The side of pictures that have no common size of their own, or too large a one."""

    size: Annotated[Size | None, SIZES, First()] = Field(
        None,
        description="Size of the pictures in pixels: the side of a square, or width x height such as 96x64. By default "
        f"the side of the set's own pictures if all are squares of one size of at most {LARGEST_OWN_SIZE}, else "
        f"{USUAL_SIZE}.",
    )
    fit: Fit = Field(
        "crop",
        description="How a picture gets this shape: crop its centre, pad it with black, stretch it, or cut a patch, "
        "not resized, from a random place in every step.",
    )
    holdout: float = Field(
        HOLDOUT,
        ge=0,
        lt=1,
        description="Share of the files held out for evaluation, chosen by file name; named sets keep their own split.",
    )

    def ignored(self) -> tuple[str, ...]:
        """Return the classes of masks, by name or number, whose pixels belong to no class."""
        return ()

    def numbered(self) -> bool:
        """Return whether masks number things instead of classes."""
        return False

    def kinds(self) -> Kinds:
        """Return how pictures of two kinds are found and read, where there are two."""
        return Kinds()

    def size_for(self, own: Size | None) -> tuple[Size, str]:
        """Return the size that pictures are fitted to, and why; `own` is as in `sets.own_size`."""
        if self.size:
            return (
                self.size,
                "as asked" if "size" in self.model_fields_set else "the usual size; --size chooses another",
            )
        if own is None or max(sides(own)) > LARGEST_OWN_SIZE:
            return self.usual_size, "the usual size; --size chooses another"
        if isinstance(own, str):
            return self.usual_size, f"the usual size; --size {own} is the pictures' own"
        return own, "their own size"


class PatchSettings(DataSettings):
    """Pictures for models of details: patches, mirrored and turned."""

    flip: bool = Field(True, description=DataSettings.model_fields["flip"].description)
    turn: bool = Field(True, description=DataSettings.model_fields["turn"].description)
    fit: Fit = Field("patch", description=DataSettings.model_fields["fit"].description)


class WholeSettings(DataSettings):
    """Pictures for models of the brightness of whole pictures: stretched, so that nothing is cut off."""

    size: Annotated[Size | None, SIZES] = Field(128, description=f"Size of the pictures in pixels{EITHER}")
    fit: Fit = Field("stretch", description=DataSettings.model_fields["fit"].description)


class PaintedSettings(DataSettings):
    """Pictures to be painted in a style: patches, mirrored."""

    size: Annotated[Size | None, SIZES] = Field(128, description=f"Size of the patches in pixels{EITHER}")
    flip: bool = Field(True, description=DataSettings.model_fields["flip"].description)
    fit: Fit = Field("patch", description=DataSettings.model_fields["fit"].description)


class MattedSettings(WholeSettings):
    """Pictures whose subject is to be found: whole ones, stretched."""

    size: Annotated[Size | None, SIZES] = Field(224, description=WholeSettings.model_fields["size"].description)


class ColouredSettings(PaintedSettings):
    """Pictures whose colours are to be guessed: patches, mirrored, large enough to tell what they show."""

    size: Annotated[Size | None, SIZES] = Field(160, description=PaintedSettings.model_fields["size"].description)


class Kinds(NamedTuple):
    """How two kinds of pictures are found and read; see `TranslatedSettings`."""

    second: Path | None = None
    paired: bool | None = None
    layout: Layout = "auto"
    labels: Labels = "auto"


class TranslatedSettings(DataSettings):
    """Pictures that become others: mirrored, large enough to show more than one thing."""

    usual_size: ClassVar[int] = 128

    second: Annotated[Place | None, Word("B"), First()] = Field(
        None, description="Pictures of the other kind: a folder, a zip or an npz. Omit it if DATA holds both kinds."
    )
    paired: Annotated[bool | None, Flag("--paired", negative="--unpaired")] = Field(
        None, description="Learn from pairs, or from two sets. If omitted, from pairs where stems are equal."
    )
    layout: Layout = Field(
        "auto",
        description="Where the two kinds are in pictures side by side: A is left (ab), or right (ba). If auto, a set "
        "whose pictures are all twice as wide as high is taken for ab.",
    )
    labels: Labels = Field(
        "auto",
        description="Which kinds are label maps, whose grey values or palette indices are class numbers. If auto, "
        "those whose numbers are all below 64, in one palette or in grey.",
    )

    size: Annotated[Size | None, SIZES, First()] = Field(
        None,
        description="Size of the pictures in pixels: the side of a square, or width x height such as 96x64. By default "
        f"the side of the set's own pictures if all are squares of one size of at most {LARGEST_OWN_SIZE}, else 128.",
    )
    flip: bool = Field(True, description=DataSettings.model_fields["flip"].description)

    def kinds(self) -> Kinds:
        """Return how the two kinds are found and read."""
        return Kinds(self.second, self.paired, self.layout, self.labels)


class RecognisedSettings(DataSettings):
    """Pictures to be recognised: larger ones, as a network that knows photographs needs them."""

    usual_size: ClassVar[int] = 224

    size: Annotated[Size | None, SIZES, First()] = Field(
        None,
        description="Size of the pictures in pixels: the side of a square, or width x height such as 96x64. By default "
        f"the side of the set's own pictures if all are squares of one size of at most {LARGEST_OWN_SIZE}, else 224.",
    )


class SegmentedSettings(DataSettings):
    """Pictures whose pixels are to be recognised: large ones, of any shape."""

    usual_size: ClassVar[int] = 256

    size: Annotated[Size | None, SIZES, First()] = Field(
        None,
        description="Size of the pictures in pixels: the side of a square, or width x height such as 96x64. By default "
        f"the pictures' own size if all have one of at most {LARGEST_MASKED} pixels, else 256.",
    )
    void: tuple[str, ...] = Field(
        (),
        description="Class of the masks that is ignored, by name or number; 255 always is. May be given several times.",
    )
    instances: bool = Field(
        False,
        description="Masks number things such as cells, in up to 16 bits, and 0 is the background: learn to tell the "
        "things apart.",
    )

    def size_for(self, own: Size | None) -> tuple[Size, str]:
        """Return the size that pictures are fitted to, and why."""
        if self.size is None and own is not None and max(sides(own)) <= LARGEST_MASKED:
            return own, "their own size"
        return super().size_for(own)

    def ignored(self) -> tuple[str, ...]:
        """Return the void classes."""
        return self.void

    def numbered(self) -> bool:
        """Return whether masks number things."""
        return self.instances


class BoxedSettings(DataSettings):
    """Pictures in which things are framed: whole ones, mirrored, shifted and zoomed."""

    size: Annotated[Size | None, SIZES] = Field(320, description=f"Size of the pictures in pixels{EITHER}")
    fit: Fit = Field("pad", description=DataSettings.model_fields["fit"].description)
    flip: bool = Field(True, description=DataSettings.model_fields["flip"].description)
    shift: float = Field(0.1, description=DataSettings.model_fields["shift"].description)
    scale: float = Field(0.25, description=DataSettings.model_fields["scale"].description)
