"""How well the trained networks restore photographs, against methods that need no training.

    python benchmarks/quality/restoration.py TASK PICTURES [--model RUN] [--held-out 0.05] [--limit N] [--only WORD]
        [--out FILE]

PICTURES is a folder. --held-out uses only the pictures that `--holdout` of the same share keeps out of training; --only
uses those whose name contains a word. A row is the mean PSNR in dB over pictures, of results clipped to [0, 1] and not
rounded. Filled holes and damaged pictures also have the perceptual distance st-lpips[alex], where less is better.

denoise: Gaussian noise of 15, 25 and 50 of 255 on grey (BT.601, rounded) and colour pictures, unclipped, and clipped
and rounded as an 8-bit file. Rows: noisy; 8 x 8 sliding DCT with threshold 2.7 sigma, sigma given; the network; the
network with sigma given, if it takes it. upscale-x2, upscale-x4: the input is MATLAB's imresize(x, 1/scale), rounded
to 8 bits; PSNR is of Y without a border of `scale` pixels. Rows: bicubic, network. inpaint: 50 % random pixels, text,
scratches, boxes of 64 pixels, with the holes given. Rows: biharmonic (scikit-image), Telea (OpenCV, if installed),
network. real-x2, real-x4: the input is damaged by the degradation `real`, or
intact as above; PSNR is of all colours. Rows: bicubic, the network of `upscale` without flags, network. jpeg: quality
10. blur: Gaussian of 1.6 pixels with noise of 2 of 255. Rows: degraded, network. The picture's
number is the seed of noise and holes.

light: a gain of 0.1 to 0.3 with noise of up to 0.02, as an 8-bit file; and the unchanged pictures. Rows: degraded; the
gain that brings the mean to 0.45; the best gamma for each picture, chosen with the clean one; the network's curve
alone; and the curve followed by the denoiser.

The last line of stdout is the network's gain over the best other row, for each column.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pinxit.colour import BT601, luma
from pinxit.data import ImageSet, open_data
from pinxit.degradations import Chain, resize_bicubic
from pinxit.edits.dct import denoise_dct
from pinxit.edits.engine import edit_picture
from pinxit.edits.restore import Enhanced, Fill, Restored
from pinxit.edits.settings import Deblur, Dejpeg, Denoise, Enhance, Inpaint, Upscale
from pinxit.images import Picture
from pinxit.metrics.paired import as_channels, crop, psnr
from pinxit.metrics.perceptual import st_lpips
from pinxit.progress import track

sys.path.append(str(Path(__file__).parents[1]))
from pictures import decibels, rounded
from record import arguments, record, write

SIGMAS = (15, 25, 50)
HOLES = {
    "50 % pixels": "pixels(share=0.5)",
    "text": "text(share=0.1)",
    "scratches": "scratches(share=0.05)",
    "boxes of 64": "boxes(share=0.1, side=64)",
}
DEGRADED = {"jpeg": {"quality 10": "jpeg(quality=10)"}, "blur": {"sigma 1.6": "blur(sigma=1.6) | noise(sigma=0.00784)"}}
DARK = "dark(gain=0.1..0.3, read_noise=0..0.02) | clip"
MEAN, GAMMAS = 0.45, np.geomspace(0.1, 1, 100).tolist()
DISTANCE = "st-lpips"
BASELINES = ("noisy", "dct", "bicubic", "faithful", "biharmonic", "telea", "degraded", "gain", "gamma")

Row = tuple[str, str, float]
"""Column, row and PSNR of one picture."""


def denoise(clean: Tensor, number: int, network: Restored) -> Iterator[Row]:
    """Yield the rows of a colour picture (3, H, W) with noise."""
    pictures = {"grey": rounded(luma(clean[None], BT601)[0]), "colour": clean}
    for kind, picture in pictures.items():
        for level in SIGMAS:
            rng = torch.Generator().manual_seed(1000 * number + level)
            sigma = level / 255
            noisy = picture + sigma * torch.empty(picture.shape).normal_(generator=rng)
            for how, given in (("", noisy), (", clipped", rounded(noisy))):
                column = f"{kind} {level}{how}"
                yield column, "noisy", decibels(given, picture)
                yield column, "dct", decibels(denoise_dct(given, sigma).clamp(0, 1), picture)
                yield column, "network", decibels(network.run(given, None), picture)
                if "sigma" in network.runner.inputs:
                    told = Restored(network.runner, sigma=sigma)
                    yield column, "network, told", decibels(told.run(given, None), picture)


def upscale(clean: Tensor, number: int, network: Restored) -> Iterator[Row]:
    """Yield the rows of a downscaled picture."""
    scale = network.scale
    high, wide = (side // scale * scale for side in clean.shape[1:])
    clean = clean[:, :high, :wide]
    small = rounded(resize_bicubic(clean, (high // scale, wide // scale)))
    for row, large in (("bicubic", resize_bicubic(small, (high, wide))), ("network", network.run(small, None))):
        one, other = (crop(as_channels(picture[None], "y"), scale) for picture in (large.clamp(0, 1), clean))
        yield f"x{scale}", row, psnr(one, other).item()


def inpaint(clean: Tensor, number: int, network: Fill) -> Iterator[Row]:
    """Yield the rows of a picture with holes; wide ones are filled from coarse to fine, as by the edit."""

    def edited(image: Tensor, mask: Tensor) -> Tensor:
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(edit_picture(Picture(pixels), [network], mask[0].numpy()).pixels).permute(2, 0, 1)

    for column, text in HOLES.items():
        holed = Chain.parse(text).degrade(clean, torch.Generator().manual_seed(number))
        for row, fill in (fillers() | {"network": edited}).items():
            picture = fill(holed.image, holed.mask)
            whole = torch.where(holed.mask > 0, picture, clean)
            yield column, row, decibels(whole, clean)
            yield f"{column}, {DISTANCE}", row, st_lpips(whole[None], clean[None]).item()


def fillers() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return the methods without training whose libraries are installed."""

    def biharmonic(image: Tensor, mask: Tensor) -> Tensor:
        from skimage.restoration import inpaint_biharmonic

        filled = inpaint_biharmonic(image.permute(1, 2, 0).numpy(), mask[0].numpy() > 0, channel_axis=2)
        return torch.from_numpy(np.asarray(filled, np.float32)).permute(2, 0, 1).clamp(0, 1)

    def telea(image: Tensor, mask: Tensor) -> Tensor:
        import cv2

        pixels = np.ascontiguousarray((image * 255).permute(1, 2, 0).byte().numpy())
        filled = cv2.inpaint(pixels, (mask[0] > 0).byte().numpy(), 3, cv2.INPAINT_TELEA)
        return torch.from_numpy(filled).permute(2, 0, 1).float() / 255

    return {"biharmonic": biharmonic} | ({"telea": telea} if importlib.util.find_spec("cv2") else {})


def undo(task: str) -> Callable[[Tensor, int, Restored], Iterator[Row]]:
    """Return the function that yields the rows of a picture, degraded in each way of a task."""

    def rows(clean: Tensor, number: int, network: Restored) -> Iterator[Row]:
        for column, text in DEGRADED[task].items():
            given = Chain.parse(text).degrade(clean, torch.Generator().manual_seed(number)).image
            yield column, "degraded", decibels(given, clean)
            yield column, "network", decibels(network.run(given, None), clean)

    return rows


def light(clean: Tensor, number: int, network: Enhanced) -> Iterator[Row]:
    """Yield the rows of a darkened picture and of the unchanged one."""
    dark = Chain.parse(DARK).degrade(clean, torch.Generator().manual_seed(number)).image
    yield "dark", "degraded", decibels(dark, clean)
    yield "dark", "gamma", max(decibels(dark**gamma, clean) for gamma in GAMMAS)
    curve = Enhanced(network.curve, None, {})
    for column, given in (("dark", dark), ("in full light", clean)):
        yield column, "gain", decibels((given * (MEAN / given.mean())).clamp(0, 1), clean)
        yield column, "curve", decibels(curve.run(given, None), clean)
        yield column, "network", decibels(network.run(given, None), clean)


def real(clean: Tensor, number: int, network: Restored) -> Iterator[Row]:
    """Yield the rows of a smaller picture, damaged by the degradation `real` and intact."""
    scale = network.scale
    high, wide = (side // scale * scale for side in clean.shape[1:])
    clean, faithful = clean[:, :high, :wide].contiguous(), Upscale(scale=scale).bind()
    damage = Chain.parse(f"real(scale={scale}, blur={'0.2..1.5' if scale == 2 else '0.2..2'})")
    damaged = damage.degrade(clean, torch.Generator().manual_seed(number)).image
    intact = rounded(resize_bicubic(clean, (high // scale, wide // scale)))
    for column, small in (("damaged", damaged), ("intact", intact)):
        results = {"bicubic": resize_bicubic(small, (high, wide)), "faithful": faithful.run(small, None)}
        for row, large in (results | {"network": network.run(small, None)}).items():
            yield column, row, decibels(large.clamp(0, 1), clean)
            if column == "damaged":
                yield f"{column}, {DISTANCE}", row, st_lpips(large.clamp(0, 1)[None], clean[None]).item()


TASKS = {
    "real-x2": (real, Upscale(scale=2)),
    "real-x4": (real, Upscale(scale=4)),
    "denoise": (denoise, Denoise()),
    "upscale-x2": (upscale, Upscale(scale=2)),
    "upscale-x4": (upscale, Upscale(scale=4)),
    "inpaint": (inpaint, Inpaint()),
    "jpeg": (undo("jpeg"), Dejpeg()),
    "blur": (undo("blur"), Deblur()),
    "light": (light, Enhance()),
}


def chosen(folder: str, share: float | None, limit: int | None, word: str) -> tuple[ImageSet, list[int]]:
    """Return a set of pictures, and the numbers of those to use, in the order of their names."""
    data = open_data(folder, share or 0)
    images = data.train if share is None else data.held_out
    return images, [number for number, name in enumerate(images.names) if word in name][:limit]


def in_colour(pixels: np.ndarray) -> Tensor:
    """Return a picture (H, W, C) as float32 (3, H, W) in [0, 1]."""
    picture = torch.from_numpy(pixels[..., :3].astype(np.float32) / np.iinfo(pixels.dtype).max).permute(2, 0, 1)
    return picture.expand(3, -1, -1).contiguous()


def table(task: str, model: Path | None, images: ImageSet, numbers: list[int]) -> dict[str, dict[str, float]]:
    """Return the mean of every row by column."""
    function, editor = TASKS[task]
    network = (editor if model is None else editor.changed(model=model)).bind()
    found: dict[str, dict[str, list[float]]] = {}
    for number in track(numbers, "picture", len(numbers)):
        for column, row, value in function(in_colour(images[number]), number, network):
            found.setdefault(column, {}).setdefault(row, []).append(value)
    return {column: {row: float(np.mean(values)) for row, values in rows.items()} for column, rows in found.items()}


def main() -> None:
    """Measure, print and record one task."""
    parser = arguments(__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("pictures")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--held-out", type=float)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    images, numbers = chosen(asked.pictures, asked.held_out, asked.limit, asked.only)
    columns = table(asked.task, asked.model, images, numbers)
    gains = {}
    for column, rows in columns.items():
        print(f"{column:24}" + "   ".join(f"{row} {value:.4g}" for row, value in rows.items()))
        others = [rows[row] for row in BASELINES if row in rows]
        gain = min(others) - rows["network"] if DISTANCE in column else rows["network"] - max(others)
        gains[column] = round(gain, 4)
    protocol = {"task": asked.task, "pictures": images.name, "names": [images.names[number] for number in numbers]}
    protocol |= {"fingerprint": images.fingerprint}
    write(asked.out, record(__doc__, protocol, means=columns, gains=gains))
    print(json.dumps(gains))


if __name__ == "__main__":
    main()
