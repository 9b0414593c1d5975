"""Do our PSNR and SSIM give what the literature prints for doing nothing? Noise left alone, and bicubic enlargement.

    python benchmarks/quality/baselines.py FOLDER [--name SET] [--seed 0] [--out results.json]

FOLDER holds the pictures of one set, whose published rows are the peer: Set5 with bicubic enlargement by 2, 3 and 4 has
33.67 / 30.40 / 28.43 dB, B100 29.56 / 27.21 / 25.96; noise of sigma 25 has 20 log10(255 / 25) = 20.17 dB on any set.

Noise: white, Gaussian, sigma 15, 25 and 50 of 255, one draw a picture and level, in RGB (in grey if the picture is),
added to 8-bit pictures. Not clipped and in floating point, as the literature has it; beside it clipped and rounded to
8 bits, which flatters whoever does so.

Enlargement: the picture is cut to a multiple of the scale, made smaller and larger again by the same bicubic filter,
both times rounded to 8 bits; PSNR and SSIM on Y of BT.601 (of a grey picture on its own values), `scale` pixels of
border left out. `pillow` and `torch` do what MATLAB's imresize does; `torch, no antialias`, PyTorch's default, is
another filter, here to show how far off it is. Every row is the mean over pictures.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pinxit.images import SUFFIXES, load_image
from pinxit.metrics.paired import as_channels, crop, psnr, ssim

SIGMAS = (15, 25, 50)
SCALES = (2, 3, 4)


def eight_bits(images: Tensor) -> Tensor:
    return (255 * images).round().clamp(0, 255) / 255


def pillow(images: Tensor, side: tuple[int, int]) -> Tensor:
    pixels = (255 * images[0]).round().byte().movedim(0, -1).squeeze(-1).numpy()
    resized = np.array(Image.fromarray(pixels).resize(side[::-1], Image.Resampling.BICUBIC))
    return torch.from_numpy(np.atleast_3d(resized)).movedim(-1, 0)[None].double() / 255


def torch_bicubic(images: Tensor, side: tuple[int, int], antialias: bool = True) -> Tensor:
    return eight_bits(F.interpolate(images, side, mode="bicubic", align_corners=False, antialias=antialias))


RESIZES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "pillow": pillow,
    "torch": torch_bicubic,
    "torch, no antialias": lambda images, side: torch_bicubic(images, side, antialias=False),
}


def noise_rows(clean: Tensor, rng: torch.Generator) -> dict[str, float]:
    """Return the PSNR of one picture under each noise."""
    rows = {}
    for sigma in SIGMAS:
        noisy = clean + sigma / 255 * torch.randn(clean.shape, generator=rng, dtype=clean.dtype)
        rows[f"sigma {sigma}"] = float(psnr(noisy, clean))
        rows[f"sigma {sigma}, clipped to 8 bits"] = float(psnr(eight_bits(noisy), clean))
    return rows


def bicubic_rows(clean: Tensor) -> dict[str, dict[str, float]]:
    """Return PSNR and SSIM of one picture made smaller and larger again, each scale and filter."""
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


def measure(clean: list[Tensor], seed: int) -> dict[str, object]:
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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", help="what the record calls the set (default: the folder's last name)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    clean = pictures(asked.folder)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    result = {
        "protocol": "noise: RGB, unclipped float or clipped to 8 bits; bicubic: both ways through 8 bits, "
        "Y of BT.601 unrounded, border of the scale left out; mean over pictures",
        "set": asked.name or asked.folder.resolve().name,
        "n": len(clean),
        "seed": asked.seed,
        **measure(clean, asked.seed),
        "commit": commit.strip(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "pillow": PIL.__version__,
        "python": platform.python_version(),
    }
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['set']}, {len(clean)} pictures")
    for row, value in result["noise"].items():
        print(f"{row:32} {value:6.2f} dB")
    for row, values in result["bicubic"].items():
        print(f"{row:32} {values['psnr']:6.2f} dB  {values['ssim']:.4f}")


if __name__ == "__main__":
    main()
