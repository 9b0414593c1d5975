"""The settings of the edits that find a subject: `cutout` and `background`. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from PIL import ImageColor
from pydantic import AfterValidator, BeforeValidator, Field

from pinxit.edits.bound import Bound
from pinxit.edits.settings import Edit
from pinxit.errors import UsageError
from pinxit.images import load_picture
from pinxit.settings import Topic

if TYPE_CHECKING:
    from pinxit.edits.subjects import Finder

WAYS = ("matte", "trimap", "plate", "key", "network", "model")
TRANSPARENT, BLUR, AUTO = "transparent", "blur", "auto"


def _colour(text: str) -> tuple[int, int, int] | None:
    """Return a colour of 8 bits, None if the text names none."""
    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        return None
    return red, green, blue


def _key(text: str) -> str:
    if text != AUTO and _colour(text) is None:
        raise ValueError("should be a colour such as green or #00b140, or auto")
    return text


Key = Annotated[str, AfterValidator(_key)]


def _numbers(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _points(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(values) % 2 or any(value < 0 for value in values):
        raise ValueError("should be x,y of each point, at least 0")
    return values


def _box(values: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
    if values and (min(values) < 0 or not (values[2] and values[3])):
        raise ValueError("should be x, y, width, height, with sides of at least 1 pixel")
    return values


class Matted(Edit):
    """Base of edits that find the subject of a picture: what says where it is."""

    each = ("matte", "trimap")
    exact = True

    matte: Annotated[Path | None, Topic.SUBJECT] = Field(
        None,
        description="The matte: a grey picture of the same size, white where the subject is; or a cut-out, whose "
        "transparency counts; or a folder of them, named like the pictures.",
    )
    trimap: Annotated[Path | None, Topic.SUBJECT] = Field(
        None,
        description="A trimap or scribbles of the same size: white is subject, black is background; greys and "
        "transparent parts are found by the colours around. Or a folder of them, named like the pictures.",
    )
    plate: Annotated[Path | None, Topic.SUBJECT] = Field(
        None, description="A picture of the same scene without the subject, from the same place and as light."
    )
    key: Annotated[Key | None, Topic.SUBJECT] = Field(
        None,
        description="The colour of the screen behind the subject: a name, #rrggbb, or auto for the commonest along the "
        "edges. Its tint is removed from mixed pixels.",
    )
    key_tolerance: Annotated[float, Topic.SUBJECT] = Field(
        0.2,
        gt=0,
        le=1,
        description="Largest difference of the screen from --key in a channel; larger takes darker folds.",
    )
    click: Annotated[tuple[int, ...], BeforeValidator(_numbers), AfterValidator(_points), Topic.SUBJECT] = Field(
        (), description="Points on the subject: x,y in pixels from the top left, or several as x,y,x,y."
    )
    box: Annotated[tuple[int, int, int, int] | None, BeforeValidator(_numbers), AfterValidator(_box), Topic.SUBJECT] = (
        Field(None, description="A box around the subject: x, y, width, height in pixels, from the top left.")
    )
    find: Annotated[Literal["auto", "subject", "person"], Topic.SUBJECT] = Field(
        "auto",
        description="What to look for if nothing says where the subject is, and the picture has no transparent parts: "
        "subject (anything that stands out), person, or auto (people where there surely are some, else the subject).",
    )
    model: Annotated[Path | None, Topic.SUBJECT] = Field(
        None, description="Your own network, a run of `pinxit train matte`, instead of --find."
    )
    network: Annotated[Path | None, Topic.SUBJECT] = Field(
        None, description="A matting network of others, an ONNX file from colour pictures to mattes, instead of --find."
    )
    network_range: Annotated[Literal["0..1", "-1..1", "imagenet"], Topic.SUBJECT] = Field(
        "0..1", description="The range of colours that --network takes; imagenet is its mean and standard deviation."
    )

    def finder(self, device: str) -> Finder:
        """Load what finds the subject."""
        from pinxit.edits import estimators, subjects

        given = [name for name in WAYS if getattr(self, name) is not None]
        picked = [name for name in ("click", "box") if getattr(self, name)]
        if len(given) + bool(picked) > 1:
            given += picked
            raise UsageError(f"--{' and --'.join(given)} each say where the subject is: give only one of them")
        if picked:
            return subjects.Picked(list(zip(self.click[::2], self.click[1::2], strict=True)), self.box)
        if not given:
            return subjects.Guessed(estimators.ESTIMATORS[self.find]())
        ways: dict[str, Callable[[Any], Finder]] = {
            "matte": lambda place: subjects.Each(place) if place.is_dir() else subjects.Given(place),
            "trimap": lambda place: subjects.Each(place) if place.is_dir() else subjects.Drawn(place),
            "plate": subjects.Plate,
            "key": lambda key: subjects.Screen(_colour(key), self.key_tolerance),
            "network": lambda place: subjects.Guessed(estimators.Network(place, self.network_range)),
            "model": lambda place: subjects.Guessed(estimators.Anything(place)),
        }
        return ways[given[0]](getattr(self, given[0]))


class Cutout(Matted):
    """Cut the subject out: a PNG with a transparent background, and edges free of the old background's colours."""

    only: Literal["matte"] | None = Field(
        None, description="Write the matte instead, as a grey picture: white where the subject is."
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load what finds the subject."""
        from pinxit.edits.layers import MatteOnly, Replaced, nothing

        finder = self.finder(device)
        return MatteOnly(finder) if self.only else Replaced(finder, nothing)


def _background(value: Any) -> Any:
    """Return the word of a background or a colour as text, and anything else as the path of a picture."""
    if isinstance(value, Path) or not isinstance(value, str):
        return value
    return value if value in (TRANSPARENT, BLUR) or _colour(value) else Path(value)


class Background(Matted):
    """Put another background behind the subject: a picture, a colour, the old one blurred, or none."""

    to: Annotated[Path | str, BeforeValidator(_background)] = Field(
        description="The new background: a picture, a colour (a name, or #rrggbb), blur or transparent. A picture is "
        "enlarged or reduced to cover the whole and cut evenly."
    )
    blur: float = Field(
        12.0, gt=0, le=1000, description="With --to blur: standard deviation of the blur in pixels; larger is softer."
    )
    light: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How far the subject is brought into the light of the new background, 0 to 1; at 0 its pixels stay "
        "as they are.",
    )
    shadow: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much of the shadows on the old background falls on the new one, 0 to 1; for backgrounds that "
        "are even, such as a wall or a table.",
    )

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        """Load what finds the subject, and the background; `DataError` if a picture cannot be read."""
        from pinxit.edits.layers import Behind, Replaced, blurred, nothing, plain, scene

        words: dict[str, Behind] = {TRANSPARENT: nothing, BLUR: blurred(self.blur)}
        if isinstance(self.to, Path):
            behind = scene(load_picture(self.to))
        else:
            behind = words.get(self.to) or plain(_colour(self.to) or (0, 0, 0))
        if self.to == TRANSPARENT and (self.light or self.shadow):
            raise UsageError("--light and --shadow need a background: --to names a picture, a colour or blur")
        return Replaced(self.finder(device), behind, self.light, self.shadow)
