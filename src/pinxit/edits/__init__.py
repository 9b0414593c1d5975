"""What can be done to a picture: the table of edits, and `edit`, which runs them from Python. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from pinxit.edits import matte, settings
from pinxit.edits.adjust import Adjust
from pinxit.edits.mask import Mask
from pinxit.edits.settings import Edit
from pinxit.errors import UsageError
from pinxit.images import Picture, load_picture
from pinxit.progress import say
from pinxit.settings import parse_chain

EDITS: dict[str, type[Edit]] = {
    # White balance, exposure, levels, contrast, gamma and saturation by formulas.
    "adjust": Adjust,
    # Sliding 8 x 8 cosine transforms (Yu and Sapiro, 2011); Zero-shot Noise2Noise (Mansour and Heckel, 2023).
    "denoise-dct": settings.DenoiseDCT,
    "denoise-zero-shot": settings.DenoiseZeroShot,
    # The deep image prior (Ulyanov et al., 2018).
    "denoise-prior": settings.DenoisePrior,
    "inpaint-prior": settings.InpaintPrior,
    "upscale-prior": settings.UpscalePrior,
    # Trained networks, shipped or your own: they keep the size, enlarge, or fill holes; `restore` does any of these.
    "denoise": settings.Denoise,
    "deblur": settings.Deblur,
    "dejpeg": settings.Dejpeg,
    "upscale": settings.Upscale,
    "inpaint": settings.Inpaint,
    "erase": settings.Erase,
    "outpaint": settings.Outpaint,
    "restore": settings.Restore,
    # A global tone curve that a network chooses, and the denoiser above.
    "enhance": settings.Enhance,
    # Colours by a network (Zhang et al., 2016) and by dabs of them (Levin et al., 2004), at the picture's lightness.
    "colourise": settings.Colourise,
    # One kind of pictures into another, with a network of one's own (Isola et al., 2017; Zhu et al., 2017).
    "translate": settings.Translate,
    # Painted by optimisation (Gatys et al., 2016 and 2015); `stylize` also in one pass.
    "stylize": settings.Stylize,
    "texture": settings.Texture,
    # The subject by a matte, with its colours estimated anew where it is mixed (Germer et al., 2020).
    "cutout": matte.Cutout,
    "background": matte.Background,
}
"""The edits by the names that `pinxit edit` takes."""

Chain = str | Edit | Sequence[Edit]
MaskSource = Path | str | Picture | np.ndarray


@overload
def edit(
    source: Path | str | Picture,
    chain: Chain,
    *,
    mask: MaskSource | None = None,
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
    mask: MaskSource | None = None,
    area: Mask = ...,
    strength: float = 1.0,
    memory: int | None = None,
    device: str = "auto",
) -> np.ndarray: ...


def edit(
    source: Path | str | Picture | np.ndarray,
    chain: Chain,
    *,
    mask: MaskSource | None = None,
    area: Mask = Mask(),
    strength: float = 1.0,
    memory: int | None = None,
    device: str = "auto",
) -> Picture | np.ndarray:
    """Return a picture edited as `chain` says: "denoise | upscale(scale=2)", an `Edit`, or several.

    `source` is a file, a `Picture`, or an array (H, W) or (H, W, C) uint8, uint16 or float32 in [0, 1], C in {1, 3, 4}.
    An array gives an array of the same kind. `mask` is white where the picture is to change: a file, a picture or an
    array (H, W) in [0, 1]. `area` chooses pixels by other means, and grows and feathers the mask. The rest is as for
    `engine.edit_picture`. Nothing is saved: use `images.save_picture`.
    """
    from pinxit.edits import subjects
    from pinxit.edits.drawn import NO_PIXEL
    from pinxit.edits.engine import changes_nothing, edit_picture
    from pinxit.hardware import choose

    picture, where = _picture(source), str(choose(device).device)
    steps = parse_chain(chain, EDITS, "edit") if isinstance(chain, str) else chain
    given = (steps,) if isinstance(steps, Edit) else steps
    bounds = [step.bind(where, memory) if isinstance(step, Edit) else step for step in given]
    drawn = mask if mask is None or isinstance(mask, np.ndarray) else _drawn(mask)
    finder = subjects.asked_for(area)
    weights = area.weights(picture, drawn, None if finder is None else finder.matte(picture))
    edited = edit_picture(picture, bounds, weights, strength=strength, memory=memory, device=where)
    if changes_nothing(bounds, weights):
        say(NO_PIXEL)
    if not isinstance(source, np.ndarray):
        return edited
    plane = source.ndim == 2 and edited.pixels.shape[2] == 1
    return edited.pixels[..., 0] if plane else edited.pixels


def _drawn(source: Path | str | Picture) -> Picture:
    from pinxit.edits.drawn import understood

    mask, remarks = understood(_picture(source))
    for remark in remarks:
        say(f"the mask is {remark}")
    return mask


def _picture(source: Path | str | Picture | np.ndarray) -> Picture:
    if isinstance(source, np.ndarray):
        pixels = source[..., None] if source.ndim == 2 else source
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or not pixels.size:
            raise UsageError(f"an array of pixels is (H, W) or (H, W, C), C in {{1, 3, 4}}, not {source.shape}")
        return Picture(pixels)
    return source if isinstance(source, Picture) else load_picture(Path(source))
