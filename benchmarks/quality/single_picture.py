"""What can be repaired without training data: networks fitted to one picture, against formulas.

    python benchmarks/quality/single_picture.py [--pictures FOLDER | NAME...] [--tasks denoise inpaint upscale]
        [--size 256] [--max-steps 3000] [--channels 32] [--seed 0] [--out results.json]

The middle of each picture, at most `size` pixels a side, is degraded and repaired. Scores are PSNR in dB over all
channels, of results clipped to [0, 1]. NAME is one of scikit-image's pictures. Denoise: Gaussian noise of sigma 25/255,
not clipped. Inpaint: half of the pixels are lost at random; the others are kept unchanged in every row. Upscale: by 2,
from MATLAB's imresize of the picture.

`prior` is the deep image prior with its own stopping rule. `prior, oracle stop` is the best its running mean ever was,
which cannot be known without the clean picture. `prior, all steps` is its running mean at the end. The last line of
stdout is how far the stopping rule is behind the oracle, as the mean over all pictures of each task.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import skimage.data
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from pinxit.degradations import resize_bicubic
from pinxit.edits.dct import SlidingDCT, denoise_dct
from pinxit.edits.mask import unit
from pinxit.edits.settings import DeepPrior, DenoisePrior, DenoiseZeroShot, InpaintPrior, UpscalePrior
from pinxit.edits.single import PATIENCE, WINDOW, FittedPrior, Settling
from pinxit.images import SUFFIXES, load_image

sys.path.append(str(Path(__file__).parents[1]))
from pictures import decibels
from record import arguments, record, write

NAMES = ("astronaut", "camera", "chelsea", "coffee")
SIGMA, LOST = 25 / 255, 0.5
PRIOR, ORACLE, LAST = "prior", "prior, oracle stop", "prior, all steps"

Rows = Iterator[tuple[str, Tensor]]


def denoise(clean: Tensor, rng: torch.Generator, asked: argparse.Namespace) -> Rows:
    noisy = clean + SIGMA * torch.randn(clean.shape, generator=rng)
    pixels = noisy.permute(1, 2, 0).numpy()
    yield "noisy", noisy
    yield "DCT, sigma known", denoise_dct(noisy, SIGMA)
    yield "DCT, sigma estimated", SlidingDCT(None).for_picture(pixels).run(noisy, None)
    yield "zero-shot", DenoiseZeroShot(seed=asked.seed).bind().for_picture(pixels).run(noisy, None)
    yield from prior(DenoisePrior, noisy, None, clean, asked)


def inpaint(clean: Tensor, rng: torch.Generator, asked: argparse.Namespace) -> Rows:
    mask = (torch.rand(1, *clean.shape[1:], generator=rng) < LOST).float()
    holed = clean * (1 - mask)
    for name, fill in FILLS.items():
        filled = fill(holed.permute(1, 2, 0).numpy(), mask[0].bool().numpy())
        yield name, holed + mask * torch.from_numpy(filled).float().permute(2, 0, 1)
    for name, restored in prior(InpaintPrior, holed, mask, clean, asked):
        yield name, holed + mask * restored


def upscale(clean: Tensor, rng: torch.Generator, asked: argparse.Namespace) -> Rows:
    size = clean.shape[1], clean.shape[2]
    small = resize_bicubic(clean, (size[0] // 2, size[1] // 2))
    yield "bicubic", resize_bicubic(small, size)
    yield from prior(UpscalePrior, small, None, clean, asked)


def prior(kind: type[DeepPrior], image: Tensor, mask: Tensor | None, clean: Tensor, asked: argparse.Namespace) -> Rows:
    """Yield the prior's result at its own stop, at the best possible stop, and at the end."""
    bound = kind(max_steps=asked.max_steps, channels=asked.channels, seed=asked.seed).bind()
    if not isinstance(bound, FittedPrior):
        raise TypeError(kind)
    settling, stopped, oracle = Settling(WINDOW, PATIENCE), None, image
    best = float("-inf")
    for restored in bound.restorations(image, mask):
        settling.update(restored)
        if settling.over and stopped is None:
            stopped = settling.best[0]
            print(f"    settled at step {settling.best_count}, known at step {settling.count}", flush=True)
        if (now := decibels(settling.mean[0], clean)) > best:
            best, oracle = now, settling.mean[0].clone()
    yield PRIOR, settling.best[0] if stopped is None else stopped
    yield ORACLE, oracle
    yield LAST, settling.mean[0]


def biharmonic(holed: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return inpaint_biharmonic(holed, mask, channel_axis=2)


def telea(holed: np.ndarray, mask: np.ndarray) -> np.ndarray:
    import cv2

    filled = cv2.inpaint(np.rint(holed * 255).astype(np.uint8).squeeze(), mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return filled.reshape(holed.shape) / 255


FILLS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"biharmonic": biharmonic}
if find_spec("cv2"):  # pinxit[camera]
    FILLS["Telea"] = telea
TASKS = {"denoise": denoise, "inpaint": inpaint, "upscale": upscale}


def pictures(asked: list[str], size: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the middles of the pictures, (C, H, W) in [0, 1] with even sides, by name."""
    folder = Path(asked[0])
    if folder.is_dir():
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        loaded = ((path.stem, load_image(path)[..., :3]) for path in found)
    else:
        loaded = ((name, np.atleast_3d(getattr(skimage.data, name)())) for name in asked)
    for name, pixels in loaded:
        sides = [min(size, side) // 2 * 2 for side in pixels.shape[:2]]
        top, left = ((whole - side) // 2 for whole, side in zip(pixels.shape, sides, strict=False))
        middle = pixels[top : top + sides[0], left : left + sides[1]]
        yield name, torch.from_numpy(unit(middle)).permute(2, 0, 1)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pictures", nargs="+", default=list(NAMES))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--max-steps", type=int, default=3000)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    scores: dict[str, dict[str, dict[str, float]]] = {task: {} for task in asked.tasks}
    for task in asked.tasks:
        for number, (name, clean) in enumerate(pictures(asked.pictures, asked.size)):
            row, started = scores[task].setdefault(name, {}), time.process_time()
            with torch.no_grad():
                for way, image in TASKS[task](clean, torch.Generator().manual_seed(asked.seed + number), asked):
                    row[way] = decibels(image if way == "noisy" else image.clamp(0, 1), clean)
                    print(
                        f"{task}  {name:12} {way:22} {row[way]:6.2f} dB  {time.process_time() - started:7.1f} s",
                        flush=True,
                    )
                    started = time.process_time()
    means = {task: {way: float(np.mean([row[way] for row in rows.values()])) for way in next(iter(rows.values()))}
             for task, rows in scores.items()}  # fmt: skip
    for task, rows in means.items():
        print(f"{task}, mean of {len(scores[task])}: " + ", ".join(f"{way} {value:.2f}" for way, value in rows.items()))
    protocol = {key: getattr(asked, key) for key in ("size", "max_steps", "channels", "seed")}
    write(asked.out, record(__doc__, protocol, psnr=scores, mean=means))
    print("behind the oracle: " + ", ".join(f"{task} {row[ORACLE] - row[PRIOR]:.2f} dB" for task, row in means.items()))


if __name__ == "__main__":
    main()
