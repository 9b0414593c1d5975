"""Train the networks that restore pictures and publish weights and cards: `make weights PHOTOS=FOLDER`.

    python weights/restoration.py prepare PHOTOS OUT            write the training pictures as PNG files
    python weights/restoration.py train NAME OUT RUN            train or resume the run of a name of `RECIPES`
    python weights/restoration.py publish NAME RUN SCORES       write weights and card into src/pinxit/weights
    python weights/restoration.py all PHOTOS OUT                do all this for every name; it can be resumed

SCORES is the output of `benchmarks/quality/restoration.py TASK OUT --model RUN --held-out 0.05 --out SCORES`. PHOTOS
holds the folders of `SETS`. Lossy pictures are halved with antialiasing, which removes the traces of compression. The
Berkeley set is used unchanged: its JPEG files have quality 90, and the literature trains and measures on them as they
are. A hash of the name chooses the held-out pictures, as for every folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from package import FOLDER, publish

import pinxit
from pinxit.data.settings import DataSettings, PatchSettings, WholeSettings
from pinxit.images import load_image, resize, save_image
from pinxit.objectives.settings import EnhancementSettings, ObjectiveSettings, RestorationSettings
from pinxit.progress import say, track
from pinxit.training.run import Run
from pinxit.training.settings import TrainingSettings

CARD = """\
# {name}

{about}

- **Network**: {network}.
- **Data**: {data.name}, fingerprint `{data.fingerprint}`; {input}; the share
  {data.holdout} of the pictures, by a hash of their names, was never trained on. Made by `prepare` from
{sets}
- **Training**: `pinxit train {objective}` with {settings}; {training.steps:,} steps of {training.batch_size} pictures,
  seed {training.seed}{start}. Script: `weights/restoration.py`.
- **File**: `{name}.safetensors`, {size:,} bytes, sha256 `{sha256}`.
- **Licence**: Apache-2.0, as the rest of pinxit, for the weights themselves; the terms of the data above apply too.

Mean PSNR in dB (and st-lpips[alex] where stated) over {count} held-out photographs, by
`benchmarks/quality/restoration.py {task}`:

{scores}

Limits: {limits}
"""

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "quality" / "restoration.py"
LEAST_SIDE = 64
INPUT = {
    "patch": "patches of {} pixels, mirrored and turned",
    "stretch": "whole pictures, {} pixels wide and high",
}
UNET = "U-Net of residual blocks (`pinxit.nets.restoration`) with a bounded receptive field"


@dataclass(frozen=True)
class Photos:
    """A set of pictures: the factor by which they are reduced, and its terms of use."""

    shrink: int
    terms: str
    free: bool
    """Whether its licence allows any use."""


SETS = {
    "photos-bsds/train": Photos(1, "BSDS500 (Arbelaez et al., 2011), training part: for research and education", False),
    "photos-bsds/test": Photos(1, "BSDS500 (Arbelaez et al., 2011), test part: for research and education", False),
    "photos-paintings-cc0": Photos(2, "photographs and paintings of gcompris-qt-data: public domain or CC0", True),
    "photos-wallpapers": Photos(2, "lomiri-wallpapers: CC BY 4.0, CC BY-SA 3.0 or 4.0, or CC0 by file", True),
}


PICTURES = {
    "photos": tuple(SETS),
    "free": tuple(name for name, kind in SETS.items() if kind.free),
    "untested": tuple(name for name in SETS if name != "photos-bsds/test"),
}
"""The sets that networks are trained on, by the name of the folder that `prepare` makes of them."""


@dataclass(frozen=True)
class Recipe:
    """What is trained and how, and the purpose and limits that its card states."""

    settings: ObjectiveSettings
    training: TrainingSettings
    task: str
    """The task of `benchmarks/quality/restoration.py` that measures it."""
    about: str
    limits: str
    pictures: str = "photos"
    """What it is trained on, a name of `PICTURES`."""
    start: str | None = None
    """The recipe whose weights it starts from."""
    stage: bool = False
    """Whether it only provides the start of another recipe and is not published."""
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
REAL_X2 = "real(scale=2, blur=0.2..1.5) or real(scale=2, blur=0.2..1.5) or downscale(scale=2) | clip"
REAL_X4 = "real(scale=4) or real(scale=4) or downscale(scale=4) | clip"
INVENT = {
    "perceptual": 0.002,
    "grid": 3.0,
    "jitter": 7,
    "adversarial": 0.004,
    "discriminator": "pixels",
    "discriminator_rate": 6e-4,
    "learning_rate": 3e-4,
    "beta1": 0.5,
}
BLUR = "blur(sigma=0.5..2.5) | noise(sigma=0..0.012)"
LIGHT = "dark(gain=0.1..0.3) | clip or dark(gain=0.1..1) | clip or dark(gain=1, read_noise=0)"
TRAINING = TrainingSettings(steps=9_000, batch_size=8, schedule="cosine", warmup=100, clip=1.0, threads=1)

DENOISE = (
    "Removes Gaussian noise of a standard deviation of up to 55 of 255, estimated or given, from grey and colour "
    "pictures, clipped to 8 bits or not."
)
NOT_NOISE = (
    "It keeps noise that is not white, such as that of JPEG files or of resized or sharpened camera pictures. It "
    "removes texture as fine and as weak as the noise."
)
X2 = "Enlarges pictures by 2. Faithful: the result, downscaled again, is nearly the input."
X4 = "Enlarges pictures by 4. Faithful: the result, downscaled again, is nearly the input."
CLEANLY_SMALL = (
    "It was trained on pictures downscaled cleanly (bicubic, antialiased). It enlarges noise and JPEG blocks too, and "
    "does not invent detail that the input lacks."
)
CLEAN_X2 = "Enlarges by 2 pictures with damage: JPEG, blur, noise, earlier resizing. Faithful: it invents nothing."
CLEAN_X4 = CLEAN_X2.replace("by 2", "by 4")
FIRST = "Its first weights, of the network without damage, also learned from `photos-bsds/test`, reduced cleanly."
STILL_SOFT = (
    "What the damage took away stays soft. Weak texture is taken for noise and removed. Blocks of strong JPEG stay in "
    "part, and so does noise that a phone has sharpened. In damaged pictures, letters of less than about 10 pixels may "
    f"look like other letters. {FIRST}"
)
CRISP_X2 = "Enlarges by 2 pictures with or without damage, and invents texture that looks like theirs."
CRISP_X4 = CRISP_X2.replace("by 2", "by 4")
INVENTED = (
    "What it adds is invented: grain, and edges where there may be none. Faces of about 25 pixels melt, and those of "
    "about 50 get hard shadows. Letters of less than about 10 pixels may become other letters. Do not read faces, text "
    "or numbers from it. A fine screen of dots shows along edges, in flat areas beside JPEG blocks and in weak "
    f"texture, less at a lower dial. {FIRST}"
)
FILL = (
    "Fills holes given by a mask: lost pixels, text, scratches, strokes, boxes. Its input has a smooth interpolation "
    "in the holes."
)
NO_INVENTION = "It does not invent content: holes wider than about twenty pixels become blurs."
DEJPEG = "Removes artefacts of JPEG files of quality 5 to 60: blocks, ringing at edges, blotches of colour."
BLOCKS = (
    "The blocks must still be at their places: the picture must not have been cropped or resized since it was saved."
)

RECIPES = {
    "denoise-free-v1": Recipe(
        BLIND,
        TRAINING.changed(steps=8_000),
        "denoise",
        "Removes Gaussian noise as `denoise-v2` does, but was trained only on pictures free for any use.",
        "Those of `denoise-v2`, and it is a little weaker.",
        pictures="free",
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
    "upscale-x4-clean-v1": Recipe(
        LARGER_X4.changed(degrade=REAL_X4, learning_rate=5e-4),
        TRAINING.changed(steps=1_500),
        "real-x4",
        CLEAN_X4,
        STILL_SOFT,
        start="upscale-x4-v2",
        data=PatchSettings(holdout=0.05, size=160),
        pictures="untested",
    ),
    "upscale-x4-crisp-v1": Recipe(
        LARGER_X4.changed(degrade=REAL_X4, **INVENT),
        TRAINING.changed(steps=900, batch_size=4, warmup=20),
        "real-x4",
        CRISP_X4,
        INVENTED,
        start="upscale-x4-clean-v1",
        data=PatchSettings(holdout=0.05, size=128),
        pictures="untested",
    ),
    "upscale-x2-clean-v1": Recipe(
        LARGER_X2.changed(degrade=REAL_X2, learning_rate=5e-4),
        TRAINING.changed(steps=420),
        "real-x2",
        CLEAN_X2,
        STILL_SOFT,
        start="upscale-x2-v1",
        data=PatchSettings(holdout=0.05, size=96),
        pictures="untested",
    ),
    "upscale-x2-crisp-v1": Recipe(
        LARGER_X2.changed(degrade=REAL_X2, **INVENT),
        TRAINING.changed(steps=700, batch_size=4),
        "real-x2",
        CRISP_X2,
        INVENTED,
        start="upscale-x2-clean-v1",
        data=PatchSettings(holdout=0.05, size=96),
        pictures="untested",
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
        "Sharpens pictures that are out of focus: a Gaussian blur of 0.5 to 2.5 pixels, which it estimates.",
        "It does not remove motion blur or blurs of another shape, and was not trained on noise above 3 of 255.",
        start="denoise-v1",
    ),
    "light-v1": Recipe(
        EnhancementSettings(degrade=LIGHT, learning_rate=2e-3),
        TRAINING.changed(steps=3_000, batch_size=32),
        "light",
        "Chooses the tone curve that brightens a picture that is too dark: one gain and one gamma for the whole "
        "picture. Well-lit pictures hardly change. Measured with `denoise-v2` after it, and without (curve).",
        "It corrects an exposure that was too short for the whole picture. It may also brighten a scene without white, "
        "such as a night, and does not brighten single parts of a picture.",
        data=WholeSettings(holdout=0.05),
        network="Three fully connected layers on quantiles of red, green, blue and luma (`pinxit.nets.curve`)",
    ),
}


def prepare(photos: Path, out: Path, names: Sequence[str]) -> None:
    """Write the pictures of the named `SETS` as PNG files, a folder a set."""
    for name in names:
        kind = SETS[name]
        files = sorted(path for path in (photos / name).iterdir() if path.suffix != ".tsv")
        for path in track(files, name, len(files)):
            pixels = load_image(path)
            if pixels.shape[2] == 4:
                continue
            size = pixels.shape[0] // kind.shrink, pixels.shape[1] // kind.shrink
            if min(size) >= LEAST_SIDE:
                save_image(out / name.replace("/", "-") / f"{path.stem}.png", resize(pixels, size))


def train(name: str, pictures: Path, run: Path) -> None:
    """Train or resume the network `name`; the run whose weights it starts from is in the same folder."""
    if (run / "recipe.json").exists():
        pinxit.resume(run)
    else:
        recipe = RECIPES[name]
        start = run.parent / recipe.start if recipe.start else None
        if start is not None and not start.exists():
            start = FOLDER / f"{recipe.start}.safetensors"
        pinxit.train(recipe.settings, pictures, run, recipe.data, recipe.training, start)


def publish_run(name: str, place: Path, scores: Path) -> None:
    """Publish the weights of a finished run and their card with the scores of the benchmark."""
    run, recipe, measured = Run.open(place), RECIPES[name], json.loads(scores.read_text())
    sha256 = publish(
        name,
        run.weights.read_bytes(),
        CARD,
        about=recipe.about,
        limits=recipe.limits,
        sets="\n".join(f"  - `{key}`: {SETS[key].terms}." for key in PICTURES[recipe.pictures]),
        network=recipe.network,
        data=run.recipe.data,
        input=INPUT[run.recipe.data.fit].format(run.recipe.data.size),
        objective=run.recipe.objective,
        settings=run.recipe.settings.model_dump_json(exclude_unset=True),
        training=run.recipe.training,
        start=f", starting from weights of sha256 `{run.recipe.start}`" if run.recipe.start else "",
        count=len(measured["protocol"]["names"]),
        task=recipe.task,
        scores=score_table(measured["means"]),
    )
    say(f'{name}: now put "{name}": "{sha256}" into SHIPPED in src/pinxit/models.py')


def everything(photos: Path, out: Path) -> None:
    """Prepare the pictures, then train, measure and publish every network; finished steps are skipped."""
    for folder, names in PICTURES.items():
        if not (out / folder).exists():
            prepare(photos, out / folder, names)
    for name, recipe in RECIPES.items():
        train(name, out / recipe.pictures, out / name)
        if recipe.stage:
            continue
        scores, share = out / f"{name}.json", str(recipe.data.holdout)
        asked = [recipe.task, out / "photos", "--model", out / name, "--held-out", share, "--out", scores]
        subprocess.run([sys.executable, BENCHMARK, *asked], check=True)  # noqa: S603
        publish_run(name, out / name, scores)


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
    step.add_argument("--of", choices=PICTURES, default="photos", help="which sets")
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
            prepare(asked.photos, asked.out, PICTURES[asked.of])
        case "train":
            train(asked.name, asked.out, asked.run)
        case "publish":
            publish_run(asked.name, asked.run, asked.scores)
        case "all":
            everything(asked.photos, asked.out)


if __name__ == "__main__":
    main()
