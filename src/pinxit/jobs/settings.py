"""How pictures are edited and results written, whatever the edit. No torch here."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pinxit.jobs.listing import AUTO, SAVED
from pinxit.settings import Device, Settings

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def _bytes(value: Any) -> Any:
    """Return '500MB', '2 GB' or '1.5G' as bytes; what is no such text is left to be judged."""
    found = re.fullmatch(r"\s*(\d+\.?\d*)\s*([KMG]?)B?\s*", value, re.IGNORECASE) if isinstance(value, str) else None
    return int(float(found[1]) * _UNITS[found[2].upper()]) if found else value


class EditSettings(Settings):
    """What every edit has beside its own settings."""

    strength: float = Field(1.0, ge=0, le=1, description="How much of the edit is mixed in; 0 changes nothing.")
    max_memory: Annotated[int | None, BeforeValidator(_bytes)] = Field(
        None, ge=64 * 10**6, description="Memory to work in, such as 500MB or 2GB; the less, the smaller the tiles."
    )
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    format: Literal[AUTO, *SAVED] = Field(  # type: ignore[valid-type]
        "png",
        description="What results in a folder and on stdout are written as; auto keeps each picture's own. Animations "
        "keep theirs if this is not given.",
    )
    frames: bool = Field(
        False, description="The pictures are the frames of one film, in the order of the numbers in their names."
    )
    steady: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Against flicker: the share of what was made of the frames before, where an animation or a film "
        "stays as it was; the edit's own if not given, which is 0 for most.",
    )
    sidecar: bool = Field(False, description="Write beside each result OUT how it was made, as OUT.json.")
    map: bool = Field(
        False, description="Draw a map of where each result OUT departs from its picture, beside it as OUT.map.png."
    )
    skip_existing: bool = Field(False, description="Go on: leave the results that are whole, make the others.")
