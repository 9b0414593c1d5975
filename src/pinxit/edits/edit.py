"""`pinxit.edit`: a picture edited, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from pinxit.edits import EDITS
from pinxit.edits.bound import Edit
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import Mask
from pinxit.errors import UsageError
from pinxit.hardware import choose
from pinxit.images import Picture, load_picture
from pinxit.settings import parse_chain

Chain = str | Edit | Sequence[Edit]
Drawn = Path | str | Picture | np.ndarray


@overload
def edit(
    source: Path | str | Picture,
    chain: Chain,
    *,
    mask: Drawn | None = None,
    area: Mask = ...,
    strength: float = 1.0,
    memory: int | None = None,
    device: str = "auto",
) -> Picture: ...


@overload
def edit(
    source: np.ndarray,
    chain: Chain,
    *,
    mask: Drawn | None = None,
    area: Mask = ...,
    strength: float = 1.0,
    memory: int | None = None,
    device: str = "auto",
) -> np.ndarray: ...


def edit(
    source: Path | str | Picture | np.ndarray,
    chain: Chain,
    *,
    mask: Drawn | None = None,
    area: Mask = Mask(),
    strength: float = 1.0,
    memory: int | None = None,
    device: str = "auto",
) -> Picture | np.ndarray:
    """Return a picture edited as `chain` says: "denoise | upscale(scale=2)", an `Edit`, or several.

    `source` is a file, a `Picture`, or an array (H, W) or (H, W, C) uint8, uint16 or float32 in [0, 1], C in {1, 3, 4},
    for which an array of the same kind comes back. `mask` is white where it is to change, a file, a picture or an array
    (H, W) in [0, 1]; `area` chooses by other means, and grows and feathers. The rest is as for `engine.edit_picture`.
    Nothing is saved: `images.save_picture` does that.
    """
    picture = _picture(source)
    steps = parse_chain(chain, EDITS, "edit") if isinstance(chain, str) else chain
    weights = area.weights(picture, mask if mask is None or isinstance(mask, np.ndarray) else _picture(mask))
    edited = edit_picture(
        picture,
        (steps,) if isinstance(steps, Edit) else steps,
        weights,
        strength=strength,
        memory=memory,
        device=str(choose(device).device),
    )
    return edited.pixels.reshape(*edited.pixels.shape[: source.ndim]) if isinstance(source, np.ndarray) else edited


def _picture(source: Path | str | Picture | np.ndarray) -> Picture:
    if isinstance(source, np.ndarray):
        pixels = source[..., None] if source.ndim == 2 else source
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or not pixels.size:
            raise UsageError(f"an array of pixels is (H, W) or (H, W, C), C in {{1, 3, 4}}, not {source.shape}")
        return Picture(pixels)
    return source if isinstance(source, Picture) else load_picture(Path(source))
