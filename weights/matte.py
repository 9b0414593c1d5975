"""Train the networks that find the subject of a picture and publish weights and cards.

    python weights/matte.py prepare DATA OUT            write the training pictures
    python weights/matte.py train NAME OUT              train or resume the run OUT/NAME of a name of `RECIPES`
    python weights/matte.py publish NAME OUT SCORES     write weights and card into src/pinxit/weights

DATA has the folders of `SUBJECTS` and `BACKGROUNDS`. SCORES is the output of `benchmarks/quality/subjects.py DATA
OUT`. A hash of the name chooses the held-out pictures and backgrounds, as for every folder. Pictures of
`saliency-ecssd` that are in BSDS500 too are left out, because the benchmark puts held-out subjects before photographs
of BSDS500.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from package import publish

import pinxit
from pinxit.data.settings import MattedSettings
from pinxit.images import at_most, load_image, save_image
from pinxit.metrics.mattes import MATTES
from pinxit.objectives.settings import MattingSettings
from pinxit.progress import say, track
from pinxit.settings import BASE_NAMES
from pinxit.tensors import read_tensors
from pinxit.training.run import Run
from pinxit.training.settings import TrainingSettings

HOLDOUT = 0.15
LARGEST = 512
"""Pixels of the longer side of a background."""
LEAST_MIXED = 4
"""Pixels that must be transparent for a sprite to be a cut-out."""

CARD = """\
# {name}

{about}

- **Network**: a decoder of {parameters:,} numbers (`pinxit.nets.matting`) over EfficientNet-Lite0, which Google trained
  on ImageNet; that is frozen and not in this file.
- **Data**: {data.name}, fingerprint `{data.fingerprint}`; whole pictures, {data.size} pixels wide and high; the share
  {data.holdout} of them, by a hash of their names, was never trained on. Made by `prepare` from
{subjects}
- **Backgrounds**: {others.name}, fingerprint `{others.fingerprint}`, held out in the same way, from
{backgrounds}
- **Training**: `pinxit train matte` with {settings}; {training.steps:,} steps of {training.batch_size} pictures, seed
  {training.seed}. Script: `weights/matte.py`.
- **File**: `{name}.safetensors`, {size:,} bytes, sha256 `{sha256}`.
- **Licence**: {licence}

Means over held-out pictures, by `benchmarks/quality/subjects.py`; SAD, gradient and connectivity are sums over pictures
of at most {side} x {side} pixels, in thousands:

{scores}

Limits: {limits}
"""


class Cutout(NamedTuple):
    """A subject (H, W, 3 or 4) and its matte (H, W, 1), both uint8."""

    name: str
    pixels: np.ndarray
    matte: np.ndarray


def ecssd(folder: Path) -> Iterator[Cutout]:
    """Yield photographs with a mask of the main object, except those that are BSDS pictures."""
    lines = (folder / "BSDS_OVERLAP.txt").read_text().splitlines()
    overlap = {line.split(" = ")[0] for line in lines}
    for path in sorted((folder / "images").iterdir()):
        if path.name not in overlap:
            mask = load_image(folder / "masks" / f"{path.stem}.png")[..., :1]
            yield Cutout(path.stem, load_image(path)[..., :3], mask)


def pictures(folder: Path) -> Iterator[Cutout]:
    """Yield photographic cut-outs, in the middle of a square."""
    for path in sorted(folder.glob("*.webp")):
        pixels = load_image(path)
        if pixels.shape[2] == 4:
            yield squared(path.stem, pixels)


def arrays(folder: Path) -> Iterator[Cutout]:
    """Yield the sprites of an npz file that have transparent parts."""
    found = (file[name] for path in sorted(folder.glob("*.npz")) for file in [np.load(path)] for name in file.files)
    rows = next(one for one in found if one.ndim == 4 and one.shape[3] == 4)
    for number, pixels in enumerate(rows):
        if (pixels[..., 3] == 0).sum() >= LEAST_MIXED and (pixels[..., 3] == 255).sum() >= LEAST_MIXED:
            yield squared(f"{number:05d}", pixels)


def squared(name: str, pixels: np.ndarray) -> Cutout:
    """Return an RGBA picture in the middle of a square, with its alpha as the matte."""
    side = max(pixels.shape[:2])
    whole = np.zeros((side, side, 4), np.uint8)
    top, left = (side - pixels.shape[0]) // 2, (side - pixels.shape[1]) // 2
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return Cutout(name, whole, whole[..., 3:])


class Source(NamedTuple):
    """A set of pictures: how its subjects are read, and its terms of use."""

    read: Callable[[Path], Iterator[Cutout]]
    terms: str


SUBJECTS = {
    "saliency-ecssd": Source(ecssd, "ECSSD (Shi, Yan, Xu and Jia, 2016): no licence is stated; a research benchmark"),
    "cutouts-tuxpaint": Source(
        pictures, "stamps of Tux Paint: a GPL-2 package; single pictures public domain, CC BY, CC BY-SA or GFDL"
    ),
    "emoji64": Source(arrays, "Noto Color Emoji: OFL-1.1 and Apache-2.0"),
    "sprites-crawl": Source(arrays, "tiles of Dungeon Crawl Stone Soup: CC0"),
    "game-freedoom": Source(arrays, "things of Freedoom: BSD-3-Clause"),
}
BACKGROUNDS = {
    "photos-bsds/train": "BSDS500 (Arbelaez et al., 2011), training part: for research and education",
    "textures-dtd": "Describable Textures (Cimpoi et al., 2014): for research",
    "photos-paintings-cc0": "photographs and paintings of gcompris-qt-data: public domain or CC0",
    "photos-wallpapers": "lomiri-wallpapers: CC BY 4.0, CC BY-SA 3.0 or 4.0, or CC0 by file",
}


@dataclass(frozen=True)
class Recipe:
    """What is trained on what, and the purpose and limits that its card states."""

    sources: tuple[str, ...]
    backgrounds: tuple[str, ...]
    steps: int
    about: str
    licence: str
    limits: str


RESEARCH = """\
research weights. The numbers are under Apache-2.0, as the rest of pinxit; but the photographs that they were
  trained on have no licence, or one for research. Where that matters, `--find person`, a run of
  one's own or a way without a network does without them."""
FREE = "Apache-2.0, as the rest of pinxit, for the weights themselves; the terms of the data above apply too."

RECIPES = {
    "matte-v1": Recipe(
        ("saliency-ecssd", "cutouts-tuxpaint"),
        ("photos-bsds/train", "textures-dtd", "photos-paintings-cc0", "photos-wallpapers"),
        4_500,
        "Finds the subject of a picture, whatever it is: the first guess of `pinxit edit cutout` and `background`,\n"
        "and of `--subject`. Edges are then found anew at the picture's own size.",
        RESEARCH,
        "what the subject is, is a matter of taste. Among several things of equal weight it may take one, all or\n"
        "parts. Of what is thin or transparent (a net, a glass) it finds the outline. A picture that is all subject\n"
        "or all background has no answer.\n\n"
        "The same network trained for 700 steps on drawings free for any use alone (`matte-free-v1` of the script:\n"
        "`emoji64`, `sprites-crawl`, `game-freedoom`) does not find subjects in photographs: iou 0.188 and sad 8.58\n"
        "on things, 0.204 and 9.54 on people, 0.210 and 6.81 on moved ones, 0.304 and 10.69 on cut-outs\n"
        "(`benchmarks/results/subjects_free.json`). So it does not ship.",
    ),
    "matte-free-v1": Recipe(
        ("emoji64", "sprites-crawl", "game-freedoom"),
        ("photos-paintings-cc0", "photos-wallpapers"),
        700,
        "Finds the subject of a picture, as `matte-v1` does, but was trained only on drawings free for any use.",
        FREE,
        "it has seen no photograph of a subject, and finds few of them.",
    ),
}


def prepare(data: Path, out: Path) -> None:
    """Write the pictures of every recipe: images and mattes of equal stems, and backgrounds."""
    for name, recipe in RECIPES.items():
        folder = out / f"{name}-pictures"
        for source in recipe.sources:
            say(f"{name}: {source}")
            for one in SUBJECTS[source].read(data / source):
                stem = f"{source}-{one.name}.png"
                save_image(folder / "images" / stem, one.pixels)
                save_image(folder / "mattes" / stem, one.matte)
        for source in recipe.backgrounds:
            files = [path for path in sorted((data / source).rglob("*")) if path.suffix in (".jpg", ".webp", ".png")]
            for path in track(files, f"{name}: {source}", len(files)):
                target = out / f"{name}-backgrounds" / f"{source.replace('/', '-')}-{path.stem}.png"
                save_image(target, at_most(load_image(path)[..., :3], LARGEST))


def train(name: str, out: Path, minutes: float | None) -> None:
    """Train or resume a network, for its steps or for some minutes."""
    run, recipe = out / name, RECIPES[name]
    if (run / "recipe.json").exists():
        pinxit.resume(run)
        return
    pinxit.train(
        MattingSettings(backgrounds=out / f"{name}-backgrounds"),
        out / f"{name}-pictures",
        run,
        MattedSettings(holdout=HOLDOUT),
        TrainingSettings(threads=1, **({"minutes": minutes} if minutes else {"steps": recipe.steps})),
    )


def publish_run(name: str, out: Path, scores: Path) -> None:
    """Publish the weights of a finished run and their card with the scores of the benchmark."""
    run, recipe, measured = Run.open(out / name), RECIPES[name], json.loads(scores.read_text())
    sha256 = publish(
        name,
        run.weights.read_bytes(),
        CARD,
        about=recipe.about,
        limits=recipe.limits,
        licence=recipe.licence,
        parameters=sum(value.numel() for value in read_tensors(run.weights).values()),
        data=run.recipe.data,
        others=run.recipe.others,
        subjects="\n".join(f"  - `{source}`: {SUBJECTS[source].terms}." for source in recipe.sources),
        backgrounds="\n".join(f"  - `{source}`: {BACKGROUNDS[source]}." for source in recipe.backgrounds),
        settings=run.recipe.settings.model_dump_json(exclude_unset=True, context=BASE_NAMES),
        training=run.recipe.training,
        side=measured["protocol"]["side"],
        scores=score_table(measured["found"]),
    )
    say(f'{name}: now put "{name}": "{sha256}" into SHIPPED in src/pinxit/models.py')


def score_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the benchmark's means as a table of Markdown."""
    names = ("iou", *MATTES)
    lines = [["pictures", "matte", *names], ["---"] * (2 + len(names))]
    lines += [
        [kind, way, *(f"{values[name]:.4g}" for name in names)]
        for kind, rows in found.items()
        for way, values in rows.items()
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Do one of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("prepare")
    step.add_argument("data", type=Path)
    step.add_argument("out", type=Path)
    step = steps.add_parser("train")
    step.add_argument("name", choices=RECIPES)
    step.add_argument("out", type=Path)
    step.add_argument("--minutes", type=float, help="train for this time instead of the recipe's steps")
    step = steps.add_parser("publish")
    step.add_argument("name", choices=RECIPES)
    step.add_argument("out", type=Path)
    step.add_argument("scores", type=Path)
    asked = parser.parse_args()
    match asked.step:
        case "prepare":
            prepare(asked.data, asked.out)
        case "train":
            train(asked.name, asked.out, asked.minutes)
        case "publish":
            publish_run(asked.name, asked.out, asked.scores)


if __name__ == "__main__":
    main()
