"""Train the networks that restore pictures and write weights and cards into the package: `make weights PHOTOS=FOLDER`.

    python weights/restoration.py prepare PHOTOS OUT            the pictures to train on, as PNG files
    python weights/restoration.py train NAME OUT RUN            train, or go on with, the run of a name of `RECIPES`
    python weights/restoration.py publish NAME RUN SCORES       its weights and card into src/pinxit/weights
    python weights/restoration.py all PHOTOS OUT                all this for every name; it can be stopped and goes on

SCORES is what `benchmarks/quality/restoration.py TASK OUT --model RUN --held-out 0.05 --out SCORES` wrote. PHOTOS holds
the folders of `SETS`. Pictures that were saved with losses are made half as large, antialiased, which takes the traces
of that away; but for the Berkeley set, whose JPEG files are of quality 90 and are what the literature trains and
measures on as they are. What is held out to judge by is chosen by a hash of the name, as for every folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pinxit
from pinxit.data.settings import DataSettings, PatchSettings, WholeSettings
from pinxit.files import write_whole
from pinxit.images import load_image, resize, save_image
from pinxit.objectives.settings import EnhancementSettings, ObjectiveSettings, RestorationSettings
from pinxit.progress import say, track
from pinxit.training.run import Run
from pinxit.training.settings import TrainingSettings

CARD = """\
# {name}

{about}

- **Network**: {network}.
- **Data**: {data.name}, fingerprint `{data.fingerprint}`; {drawn}; the share
  {data.holdout} of the pictures, by a hash of their names, was never trained on. It was made by `prepare` from
{sets}
- **Training**: `pinxit train {objective}` with {settings}; {training.steps:,} steps of {training.batch_size} pictures,
  seed {training.seed}{start}. Script: `weights/restoration.py`.
- **File**: `{name}.safetensors`, {size:,} bytes, sha256 `{sha256}`.
- **Licence**: Apache-2.0, as the rest of pinxit, for the numbers themselves; mind the terms of the data above.

Mean PSNR in dB (and st-lpips[alex], where it says so) over {count} photographs that were held out, by
`benchmarks/quality/restoration.py {task}`:

{scores}

What it cannot do: {limits}
"""

FOLDER = Path(__file__).parents[1] / "src" / "pinxit" / "weights"
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "quality" / "restoration.py"
LEAST_SIDE = 64
DRAWN = {
    "patch": "patches of {} pixels, mirrored and turned",
    "stretch": "whole pictures, {} pixels wide and high",
}
UNET = "U-Net of residual blocks (`pinxit.nets.restoration`) that sees a bounded part of the picture"


@dataclass(frozen=True)
class Photos:
    """A set of pictures: how many times smaller they are made, and what its makers ask of those who use it."""

    shrink: int
    terms: str
    free: bool
    """Whether its licence lets anyone make anything of it."""


SETS = {
    "photos-bsds/train": Photos(1, "BSDS500 (Arbelaez et al., 2011), training part: for research and education", False),
    "photos-bsds/test": Photos(1, "BSDS500 (Arbelaez et al., 2011), test part: for research and education", False),
    "photos-paintings-cc0": Photos(2, "photographs and paintings of gcompris-qt-data: public domain or CC0", True),
    "photos-wallpapers": Photos(2, "lomiri-wallpapers: CC BY 4.0, CC BY-SA 3.0 or 4.0, or CC0 by file", True),
}


@dataclass(frozen=True)
class Recipe:
    """What is trained, how, and what its card says it is for and cannot do."""

    settings: ObjectiveSettings
    training: TrainingSettings
    task: str
    """Of `benchmarks/quality/restoration.py`, which measures it."""
    about: str
    limits: str
    free: bool = False
    """Whether it learns from freely usable pictures alone."""
    start: str | None = None
    """The recipe with whose weights it begins."""
    stage: bool = False
    """Whether it is but where another one begins, and does not ship."""
    data: DataSettings = PatchSettings(holdout=0.05)
    network: str = UNET


SIGMA = "noise(sigma=0..0.216)"  # up to 55 of 255
BLIND = RestorationSettings(degrade=f"{SIGMA} or {SIGMA} | clip", grey=0.5, told=0.5, learning_rate=2e-3)
HOLES = (
    "pixels(share=0.1..0.8) or text(share=0.02..0.2) or scratches or strokes(share=0.02..0.2, width=2..12) or "
    "boxes(share=0.02..0.2, side=2..16) or boxes(share=0.02..0.2, side=16..64)"
)
LARGER_X2 = RestorationSettings(degrade="downscale(scale=2)", grey=0.1, channels=48, levels=1, blocks=6)
LARGER_X4 = LARGER_X2.changed(degrade="downscale(scale=4)")
HOLEY = RestorationSettings(degrade=HOLES, grey=0.1, learning_rate=1e-3)
BLUR = "blur(sigma=0.5..2.5) | noise(sigma=0..0.012)"
LIGHT = "dark(gain=0.1..0.3) | clip or dark(gain=0.1..1) | clip or dark(gain=1, read_noise=0)"
TRAINING = TrainingSettings(steps=9_000, batch_size=8, schedule="cosine", warmup=100, clip=1.0, threads=1)

DENOISE = (
    "Takes Gaussian noise away, of a standard deviation of up to 55 of 255 that it sees by itself or is told, from "
    "grey and colour pictures, clipped to 8 bits or not."
)
NOT_NOISE = (
    "Noise that is not white, such as JPEG's or that of a camera's picture made smaller or sharper, it takes for the "
    "picture. Texture as fine and as weak as the noise is gone with it."
)
X2 = "Makes pictures twice as wide and high. Faithful: what it gives, made small again, is nearly the picture."
X4 = "Makes pictures four times as wide and high. Faithful: what it gives, made small again, is nearly the picture."
CLEANLY_SMALL = (
    "It knows pictures that were made small cleanly (bicubic, antialiased). Noise and the blocks of JPEG are enlarged "
    "with the rest; what is too small to be seen in the picture is not invented."
)
FILL = (
    "Fills holes, told by a mask: lost pixels, text, scratches, strokes, boxes. It is given a smooth bridge over "
    "them to begin with."
)
NO_INVENTION = "It invents nothing: holes wider than some twenty pixels are blurs."
DEJPEG = "Takes away what JPEG files of quality 5 to 60 show: blocks, rings around edges, blotches of colour."
BLOCKS = "The blocks must lie where they lay when the picture was saved: not in one that was cut or made smaller since."

RECIPES = {
    "denoise-free-v1": Recipe(
        BLIND,
        TRAINING.changed(steps=8_000),
        "denoise",
        "Takes Gaussian noise away as `denoise-v2` does, and has learned from pictures alone that anyone may use for "
        "anything.",
        "What `denoise-v2` cannot do, and it is a little weaker.",
        free=True,
    ),
    "denoise-v1": Recipe(
        BLIND.changed(learning_rate=1e-3),
        TRAINING.changed(steps=5_000),
        "denoise",
        DENOISE,
        NOT_NOISE,
        start="denoise-free-v1",
        stage=True,
    ),
    "denoise-v2": Recipe(
        BLIND.changed(learning_rate=1e-3),
        TRAINING.changed(steps=40_000),
        "denoise",
        DENOISE,
        NOT_NOISE,
        start="denoise-v1",
    ),
    "upscale-x2-v1": Recipe(LARGER_X2, TRAINING.changed(steps=6_000), "upscale-x2", X2, CLEANLY_SMALL),
    "upscale-x4-v1": Recipe(
        LARGER_X4,
        TRAINING.changed(steps=2_000, batch_size=4),
        "upscale-x4",
        X4,
        CLEANLY_SMALL,
        start="upscale-x2-v1",
        data=PatchSettings(holdout=0.05, size=128),
        stage=True,
    ),
    "upscale-x4-v2": Recipe(
        LARGER_X4.changed(learning_rate=1e-3),
        TRAINING.changed(steps=8_000),
        "upscale-x4",
        X4,
        CLEANLY_SMALL,
        start="upscale-x4-v1",
        data=PatchSettings(holdout=0.05, size=128),
    ),
    "inpaint-v1": Recipe(
        HOLEY,
        TRAINING.changed(steps=16_000, batch_size=4),
        "inpaint",
        FILL,
        NO_INVENTION,
        start="denoise-v1",
        stage=True,
        data=PatchSettings(holdout=0.05, size=96),
    ),
    "inpaint-v2": Recipe(
        HOLEY.changed(perceptual=0.05, learning_rate=5e-4),
        TRAINING.changed(steps=1_500, batch_size=4),
        "inpaint",
        FILL,
        NO_INVENTION,
        start="inpaint-v1",
        data=PatchSettings(holdout=0.05, size=96),
    ),
    "jpeg-v1": Recipe(
        RestorationSettings(degrade="jpeg(quality=5..60)", grey=0.2),
        TRAINING.changed(steps=1_300),
        "jpeg",
        DEJPEG,
        BLOCKS,
        start="denoise-v1",
        stage=True,
    ),
    "jpeg-v2": Recipe(
        RestorationSettings(degrade="jpeg(quality=5..60)", grey=0.2, learning_rate=1e-3),
        TRAINING.changed(steps=6_000),
        "jpeg",
        DEJPEG,
        BLOCKS,
        start="jpeg-v1",
    ),
    "deblur-v1": Recipe(
        RestorationSettings(degrade=f"{BLUR} or {BLUR} | clip", grey=0.2),
        TRAINING.changed(steps=1_300),
        "blur",
        "Sharpens pictures that are out of focus: a Gaussian blur of 0.5 to 2.5 pixels, which it sees by itself.",
        "Motion, and blurs of another shape. Noise of more than 3 of 255 it does not know.",
        start="denoise-v1",
    ),
    "light-v1": Recipe(
        EnhancementSettings(degrade=LIGHT, learning_rate=2e-3),
        TRAINING.changed(steps=3_000, batch_size=32),
        "light",
        "Chooses the curve that brings back the light of a picture that is too dark: one gain and one gamma for all of "
        "it. Pictures in full light stay nearly as they are. Measured with `denoise-v2` after it, and without (curve).",
        "It undoes an exposure that was too short for the whole picture. A scene that holds nothing white, such as the "
        "night, it may take for one; light that is missing in a part of the picture alone it does not bring there.",
        data=WholeSettings(holdout=0.05),
        network="Three fully connected layers on quantiles of red, green, blue and luma (`pinxit.nets.curve`)",
    ),
}


def prepare(photos: Path, out: Path, free: bool) -> None:
    """Write the pictures of `SETS` (of the freely usable ones alone if `free`) into a folder a set, as PNG files."""
    for name, kind in SETS.items():
        if free and not kind.free:
            continue
        files = sorted(path for path in (photos / name).iterdir() if path.suffix != ".tsv")
        for path in track(files, name, len(files)):
            pixels = load_image(path)
            if pixels.shape[2] == 4:
                continue
            size = pixels.shape[0] // kind.shrink, pixels.shape[1] // kind.shrink
            if min(size) >= LEAST_SIDE:
                save_image(out / name.replace("/", "-") / f"{path.stem}.png", resize(pixels, size))


def train(name: str, pictures: Path, run: Path) -> None:
    """Train the network `name`, or go on with it; the run with whose weights it begins lies beside it."""
    if (run / "recipe.json").exists():
        pinxit.resume(run)
    else:
        recipe = RECIPES[name]
        start = run.parent / recipe.start if recipe.start else None
        if start is not None and not start.exists():
            start = FOLDER / f"{recipe.start}.safetensors"
        pinxit.train(recipe.settings, pictures, run, recipe.data, recipe.training, start)


def publish(name: str, place: Path, scores: Path) -> None:
    """Write the weights of a finished run and their card, with the scores of the benchmark, into the package."""
    run, recipe, measured = Run.open(place), RECIPES[name], json.loads(scores.read_text())
    content = run.weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    card = CARD.format(
        name=name,
        about=recipe.about,
        limits=recipe.limits,
        sets="\n".join(f"  - `{key}`: {kind.terms}." for key, kind in SETS.items() if kind.free or not recipe.free),
        network=recipe.network,
        data=run.recipe.data,
        drawn=DRAWN[run.recipe.data.fit].format(run.recipe.data.size),
        objective=run.recipe.objective,
        settings=run.recipe.settings.model_dump_json(exclude_unset=True),
        training=run.recipe.training,
        start=f", beginning with weights of sha256 `{run.recipe.start}`" if run.recipe.start else "",
        count=len(measured["protocol"]["names"]),
        task=recipe.task,
        scores=score_table(measured["means"]),
        size=len(content),
        sha256=digest,
    )
    write_whole(FOLDER / f"{name}.safetensors", content)
    write_whole(FOLDER / f"{name}.md", card)
    say(f'{name}: now put "{name}": "{digest}" into SHIPPED in src/pinxit/models.py')


def everything(photos: Path, out: Path) -> None:
    """Prepare the pictures and train, measure and publish every network, each thing unless it is done."""
    for folder, free in (("photos", False), ("free", True)):
        if not (out / folder).exists():
            prepare(photos, out / folder, free)
    for name, recipe in RECIPES.items():
        train(name, out / ("free" if recipe.free else "photos"), out / name)
        if recipe.stage:
            continue
        scores, share = out / f"{name}.json", str(recipe.data.holdout)
        asked = [recipe.task, out / "photos", "--model", out / name, "--held-out", share, "--out", scores]
        subprocess.run([sys.executable, BENCHMARK, *asked], check=True)  # noqa: S603
        publish(name, out / name, scores)


def score_table(means: dict[str, dict[str, float]]) -> str:
    """Return the benchmark's means as a table of Markdown."""
    rows = list(next(iter(means.values())))  # the first column has all of them
    lines = [["", *rows], ["---"] * (1 + len(rows))]
    lines += [
        [column, *(f"{found[row]:.4g}" if row in found else "" for row in rows)] for column, found in means.items()
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Do one of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("prepare")
    step.add_argument("photos", type=Path)
    step.add_argument("out", type=Path)
    step.add_argument("--free", action="store_true", help="only sets that anyone may use for anything")
    step = steps.add_parser("train")
    step.add_argument("name", choices=RECIPES)
    step.add_argument("out", type=Path)
    step.add_argument("run", type=Path)
    step = steps.add_parser("publish")
    step.add_argument("name", choices=RECIPES)
    step.add_argument("run", type=Path)
    step.add_argument("scores", type=Path)
    step = steps.add_parser("all")
    step.add_argument("photos", type=Path)
    step.add_argument("out", type=Path)
    asked = parser.parse_args()
    match asked.step:
        case "prepare":
            prepare(asked.photos, asked.out, asked.free)
        case "train":
            train(asked.name, asked.out, asked.run)
        case "publish":
            publish(asked.name, asked.run, asked.scores)
        case "all":
            everything(asked.photos, asked.out)


if __name__ == "__main__":
    main()
