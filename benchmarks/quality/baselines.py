"""PSNR and SSIM of doing nothing, against the published figures: noise left in, and bicubic enlargement.

    python benchmarks/quality/baselines.py FOLDER [--name SET] [--seed 0] [--out results.json]

FOLDER holds the pictures of one set, whose published rows are the peer. Set5 with bicubic enlargement by 2, 3 and 4 has
33.67 / 30.40 / 28.43 dB, B100 29.56 / 27.21 / 25.96. Noise of sigma 25 has 20 log10(255 / 25) = 20.17 dB on any set.

Noise is white and Gaussian, of sigma 15, 25 and 50 of 255, one draw a picture and level, in RGB (in grey if the picture
is grey), added to 8-bit pictures. It is measured unclipped in floating point, as in the literature, and clipped and
rounded to 8 bits, which gives higher figures.

Enlargement: the picture is cut to a multiple of the scale, then reduced and enlarged by the same bicubic filter, both
times rounded to 8 bits. PSNR and SSIM are of Y of BT.601 (of the grey values of a grey picture), without a border of
`scale` pixels. `pillow` and `torch` use the filter of MATLAB's imresize. `torch, no antialias`, PyTorch's default, is
another filter and shows the size of the difference. Every row is the mean over pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pinxit.images import SUFFIXES, load_image
from pinxit.metrics.paired import as_channels, crop, psnr, ssim

sys.path.append(str(Path(__file__).parents[1]))
from pictures import rounded
from record import arguments, record, write

SIGMAS = (15, 25, 50)
SCALES = (2, 3, 4)


def pillow(images: Tensor, side: tuple[int, int]) -> Tensor:
    pixels = (255 * images[0]).round().byte().movedim(0, -1).squeeze(-1).numpy()
    resized = np.array(Image.fromarray(pixels).resize(side[::-1], Image.Resampling.BICUBIC))
    return torch.from_numpy(np.atleast_3d(resized)).movedim(-1, 0)[None].double() / 255


def torch_bicubic(images: Tensor, side: tuple[int, int], antialias: bool = True) -> Tensor:
    return rounded(F.interpolate(images, side, mode="bicubic", align_corners=False, antialias=antialias))


RESIZES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "pillow": pillow,
    "torch": torch_bicubic,
    "torch, no antialias": lambda images, side: torch_bicubic(images, side, antialias=False),
}


def noise_rows(clean: Tensor, rng: torch.Generator) -> dict[str, float]:
    """Return the PSNR of one picture with each noise."""
    rows = {}
    for sigma in SIGMAS:
        noisy = clean + sigma / 255 * torch.randn(clean.shape, generator=rng, dtype=clean.dtype)
        rows[f"sigma {sigma}"] = float(psnr(noisy, clean))
        rows[f"sigma {sigma}, clipped to 8 bits"] = float(psnr(rounded(noisy), clean))
    return rows


def bicubic_rows(clean: Tensor) -> dict[str, dict[str, float]]:
    """Return PSNR and SSIM of one picture, reduced and enlarged, for each scale and filter."""
    rows = {}
    for scale in SCALES:
        height, width = (side // scale * scale for side in clean.shape[-2:])
        whole = clean[..., :height, :width]
        for name, resize in RESIZES.items():
            again = resize(resize(whole, (height // scale, width // scale)), (height, width))
            pair = [crop(as_channels(image, "y"), scale) for image in (again, whole)]
            rows[f"x{scale}, {name}"] = {"psnr": float(psnr(*pair)), "ssim": float(ssim(*pair))}
    return rows


def pictures(folder: Path) -> list[Tensor]:
    """Return the pictures in order of their names, (1, C, H, W) float64 in [0, 1]."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [torch.from_numpy(load_image(path).astype(np.float64)).movedim(-1, 0)[None] / 255 for path in paths]


def measure(clean: list[Tensor], seed: int) -> dict[str, dict[str, Any]]:
    rng = torch.Generator().manual_seed(seed)
    noise = [noise_rows(image, rng) for image in clean]
    bicubic = [bicubic_rows(image) for image in clean]
    return {
        "noise": {row: mean([rows[row] for rows in noise]) for row in noise[0]},
        "bicubic": {
            row: {metric: mean([rows[row][metric] for rows in bicubic]) for metric in bicubic[0][row]}
            for row in bicubic[0]
        },
    }


def mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 5)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", help="the set's name in the record (default: the folder's last name)")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    clean = pictures(asked.folder)
    name = asked.name or asked.folder.resolve().name
    found = measure(clean, asked.seed)
    protocol = {"seed": asked.seed, "pillow": PIL.__version__}
    write(asked.out, record(__doc__, protocol, set=name, n=len(clean), **found))
    print(f"{name}, {len(clean)} pictures")
    for row, value in found["noise"].items():
        print(f"{row:32} {value:6.2f} dB")
    for row, values in found["bicubic"].items():
        print(f"{row:32} {values['psnr']:6.2f} dB  {values['ssim']:.4f}")


if __name__ == "__main__":
    main()
