"""Enlargement of damaged and of intact photographs: how crisp, and how far from the truth, at each dial.

    python benchmarks/quality/crisp.py PICTURES [--scale 4] [--every 10] [--show FOLDER] [--out FILE]

PICTURES is a folder, of which every tenth picture is used. Each is reduced in two ways: damaged, by the degradation
`real`, which blurs, resizes, adds noise and saves as JPEG twice, seeded by the picture's number; and intact, by
MATLAB's imresize(x, 1 / scale), rounded to 8 bits. Rows: bicubic, `upscale`, `upscale --clean`, and `upscale --crisp`
at each dial, all rounded to 8 bits.

PSNR is of red, green and blue. st-lpips[alex] is of whole damaged pictures. kd[lite0] is over the quarters of all
pictures, enlarged against original, with half the width of its 95 % interval. Less is better but for PSNR. --show
writes each picture's rows and the original side by side.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pinxit.degradations import Chain, resize_bicubic
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Upscale
from pinxit.images import Picture, load_image
from pinxit.metrics.perceptual import st_lpips
from pinxit.progress import track

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parent))
from pictures import decibels, rounded
from record import arguments, record, write
from wide_holes import distance_of_sets, save

DIALS = (0.0, 0.5, 1.0)
CHAINS = {2: "real(scale=2, blur=0.2..1.5)", 4: "real(scale=4)"}


def rows_of(scale: int) -> dict[str, Bound]:
    """Return the enlargements by networks, by name."""
    crisp = {f"crisp {dial:g}": Upscale(scale=scale, crisp=dial) for dial in DIALS}
    asked = {"faithful": Upscale(scale=scale), "clean": Upscale(scale=scale, clean=True), **crisp}
    return {name: settings.bind() for name, settings in asked.items()}


def reduced(clean: Tensor, scale: int, number: int) -> Iterator[tuple[str, Tensor]]:
    """Yield a picture (3, H, W) made smaller: damaged and intact."""
    yield "damaged", Chain.parse(CHAINS[scale]).degrade(clean, torch.Generator().manual_seed(number)).image
    yield "intact", rounded(resize_bicubic(clean, (clean.shape[1] // scale, clean.shape[2] // scale)))


def pixels_of(image: Tensor) -> np.ndarray:
    """Return a picture (3, H, W) in [0, 1] as (H, W, 3) uint8."""
    return np.ascontiguousarray((rounded(image) * 255).byte().permute(1, 2, 0).numpy())


def tensor_of(pixels: np.ndarray) -> Tensor:
    """Return pixels (H, W, 3) uint8 as a picture (3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1).contiguous()


def quarters(pixels: np.ndarray) -> list[np.ndarray]:
    """Return the quarters of a picture."""
    high, wide = (side // 2 for side in pixels.shape[:2])
    return [pixels[top : top + high, left : left + wide] for top in (0, high) for left in (0, wide)]


def main() -> None:
    """Enlarge, judge, print and record."""
    parser = arguments(__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--scale", type=int, choices=CHAINS, default=4)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--show", type=Path)
    asked = parser.parse_args()
    paths = sorted(asked.pictures.glob("*.[jp][pn]g"))[:: asked.every]
    networks, scale = rows_of(asked.scale), asked.scale
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    parts: dict[str, dict[str, list[np.ndarray]]] = {}
    for number, path in enumerate(track(paths, "picture", len(paths))):
        whole = tensor_of(load_image(path)[..., :3])
        high, wide = (side // scale * scale for side in whole.shape[1:])
        clean = whole[:, :high, :wide].contiguous()
        for kind, small in reduced(clean, scale, number):
            given = Picture(pixels_of(small))
            results = {"bicubic": pixels_of(resize_bicubic(small, (high, wide)))}
            results |= {name: edit_picture(given, [network]).pixels for name, network in networks.items()}
            for name, pixels in results.items():
                image = tensor_of(pixels)
                values = {"psnr": decibels(image, clean)}
                if kind == "damaged":
                    values["st-lpips[alex]"] = st_lpips(image[None], clean[None]).item()
                found.setdefault(kind, {}).setdefault(name, []).append(values)
                parts.setdefault(kind, {}).setdefault(name, []).extend(quarters(pixels))
            parts[kind].setdefault("original", []).extend(quarters(pixels_of(clean)))
            if asked.show:
                save(asked.show, f"{number:02}-{kind}-{path.stem}.png", [*results.values(), pixels_of(clean)])
    means = {
        kind: {
            name: {key: float(np.mean([one[key] for one in rows])) for key in rows[0]}
            | distance_of_sets(parts[kind][name], parts[kind]["original"])
            for name, rows in by.items()
        }
        for kind, by in found.items()
    }
    for kind, rows in means.items():
        for name, values in rows.items():
            print(f"{kind:9}{name:12}" + "   ".join(f"{key} {value:.4g}" for key, value in values.items()))
    protocol = {"names": [path.name for path in paths], "scale": scale, "chain": CHAINS[scale]}
    write(asked.out, record(__doc__, protocol, means=means, pictures=found))


if __name__ == "__main__":
    main()
