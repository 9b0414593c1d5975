"""What can be done to a picture: the table of editors, by the name that `pinxit edit` takes. No torch here."""

from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Edit
from pinxit.edits.restore import Deblur, Dejpeg, Denoise, Enhance, Erase, Inpaint, Outpaint, Restore, Upscale
from pinxit.edits.style import Stylize, Texture
from pinxit.edits.untrained import DenoiseDCT, DenoisePrior, DenoiseZeroShot, InpaintPrior, UpscalePrior

EDITS: dict[str, type[Edit]] = {
    # White balance, exposure, levels, contrast, gamma and saturation by their formulas.
    "adjust": Adjust,
    # Sliding 8 x 8 cosine transforms (Yu and Sapiro, 2011); Zero-shot Noise2Noise (Mansour and Heckel, 2023).
    "denoise-dct": DenoiseDCT,
    "denoise-zero-shot": DenoiseZeroShot,
    # The deep image prior (Ulyanov et al., 2018).
    "denoise-prior": DenoisePrior,
    "inpaint-prior": InpaintPrior,
    "upscale-prior": UpscalePrior,
    # Networks that come with pinxit or are your own: they keep the size, enlarge, or fill holes; `restore` does any.
    "denoise": Denoise,
    "deblur": Deblur,
    "dejpeg": Dejpeg,
    "upscale": Upscale,
    "inpaint": Inpaint,
    "erase": Erase,
    "outpaint": Outpaint,
    "restore": Restore,
    # A global curve that a network chooses, and the denoiser above.
    "enhance": Enhance,
    # Painted by optimisation (Gatys et al., 2016 and 2015).
    "stylize": Stylize,
    "texture": Texture,
}
