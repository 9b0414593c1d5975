"""The settings that every job accepts, whatever the edit. No torch here."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pinxit.settings import Device, First, Settings

# What `--format` accepts, with the suffix of its results; `auto` keeps the picture's own format where we can write it.
SAVED = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tiff", "avif": ".avif"}
AUTO = "auto"

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def _bytes(value: Any) -> Any:
    """Return '500MB', '2 GB' or '1.5G' in bytes; pydantic judges anything else."""
    text = value if isinstance(value, str) else ""
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d*)?)\s*([KMG]?)B?\s*", text, re.IGNORECASE)
    return int(Decimal(found[1]) * _UNITS[found[2].upper()]) if found else value


class EditSettings(Settings):
    """What every edit accepts beside its own settings."""

    strength: Annotated[float, First()] = Field(
        1.0, ge=0, le=1, description="Strength of the edit, 0 to 1; 0 leaves the picture as it is."
    )
    max_memory: Annotated[int | None, BeforeValidator(_bytes)] = Field(
        None,
        ge=64 * 10**6,
        le=2**63 - 1,
        description="Memory that edits may use, such as 500MB or 2GB; with less, pictures are edited in smaller tiles.",
    )
    device: Device = Field("auto", description="Where to compute: auto, cpu, cuda, cuda:N or mps.")
    format: Literal[AUTO, *SAVED] = Field(  # type: ignore[valid-type]
        "png",
        description="Format of results in a folder or on stdout; auto keeps each picture's own. If omitted, pictures "
        "become png and animations keep their format.",
    )
    quality: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Quality of JPEG, WebP and AVIF, 1 to 100; larger is better and takes more room. If omitted, 95, "
        "or a JPEG's own quality if that is higher.",
    )
    frames: bool = Field(False, description="The pictures are the frames of a film, ordered by numbers in their names.")
    steady: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Flicker reduction for animations and films, 0 to below 1; larger is steadier. It is the weight "
        "of earlier results where a frame has not changed. If omitted, the edit's default, 0 for most edits.",
    )
    sidecar: bool = Field(False, description="Also write the recipe of each result OUT to OUT.json.")
    map: bool = Field(
        False,
        description="Also write OUT.map.png, which shows where a result OUT disagrees with its picture, or of "
        "translate, where it may be invented.",
    )
    skip_existing: bool = Field(False, description="Resume: keep the results that are complete and make the others.")
