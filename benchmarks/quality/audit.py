"""What the copy audit finds and what it misses. MNIST, the eyes of digits-v1.

    python benchmarks/quality/audit.py [--photos TRAIN TEST] --out benchmarks/results/audit.json

Replays: 1,000 pictures drawn from 10,000 training pictures, each changed in one way; held out are 4,000 test pictures,
and 1,000 other test pictures are the negative control. Then two runs made here, 1,000 pictures each: a fully connected
GAN trained for 4,000 steps on 50 pictures, audited against these 50, and `pinxit demo`'s GAN, trained for so many
minutes on all 60,000, audited against these. With --photos the same replays of a folder of photographs as lite0 sees
them; TRAIN and TEST are folders, all of TEST is held out.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import pinxit
from pinxit.data import open_data
from pinxit.evaluation.audit import audit
from pinxit.evaluation.pictures import Drawn
from pinxit.metrics.features import EXTRACTORS

RNG = np.random.default_rng(0)


def zoomed(picture: np.ndarray, share: float) -> np.ndarray:
    """The picture made narrower to a share of its width, on black."""
    height, width, channels = picture.shape
    narrow = np.asarray(Image.fromarray(picture.squeeze()).resize((round(width * share), height)))
    spoiled = np.zeros_like(picture)
    left = (width - narrow.shape[1]) // 2
    spoiled[:, left : left + narrow.shape[1]] = narrow.reshape(height, -1, channels)
    return spoiled


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(picture.shape)


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    return (picture + RNG.normal(0, sigma, picture.shape)).round().clip(0, 255).astype(np.uint8)


REPLAYS = {
    "as they are": lambda picture: picture,
    "noise 5": lambda picture: noisy(picture, 5),
    "noise 10": lambda picture: noisy(picture, 10),
    "noise 25": lambda picture: noisy(picture, 25),
    "jpeg 75": lambda picture: jpeg(picture, 75),
    "brightness x 0.8": lambda picture: (picture * 0.8).astype(np.uint8),
    "brightness x 0.5": lambda picture: (picture * 0.5).astype(np.uint8),
    "width x 0.9": lambda picture: zoomed(picture, 0.9),
    "width x 0.8": lambda picture: zoomed(picture, 0.8),
    "shift 1 pixel": lambda picture: np.roll(picture, 1, axis=1),
    "shift 2 pixels": lambda picture: np.roll(picture, 2, axis=1),
    "mirrored": lambda picture: picture[:, ::-1],
}


class Changed:
    """Pictures of a set, each changed when it is asked for; all else is the set's."""

    def __init__(self, images, change) -> None:
        self.images, self.change = images, change

    def __getattr__(self, name: str):
        return getattr(self.images, name)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> np.ndarray:
        return self.change(np.ascontiguousarray(self.images[number]))


def some(images, start: int, count: int) -> Drawn:
    chosen = np.random.default_rng(0).permutation(len(images))[start : start + count]
    return Drawn(images.name, images.rows(chosen, (28, 28)))


def row(name: str, generated, training, held_out, extractor: str) -> dict[str, object]:
    found = audit(generated, training, held_out, EXTRACTORS[extractor]).document()
    told = {"name": name, "extractor": extractor} | {
        key: found[key] for key in found if key not in ("nearest", "protocol")
    }
    print(json.dumps({key: told[key] for key in ("name", "extractor", "verdict", "copying_z")}), flush=True)
    return told


def overfitted(folder: Path, fifty: Drawn) -> Drawn:
    np.savez(folder / "fifty.npz", images=fifty.images)
    training = pinxit.TrainingSettings(steps=4000, batch_size=32, average=0.99)
    settings, data = pinxit.GANSettings(network="dense", r1=0.3), pinxit.DataSettings(holdout=0)
    run = pinxit.train(settings, folder / "fifty.npz", folder / "over", data=data, training=training)
    return Drawn("overfitted", pinxit.load(run.folder).sample(1000)[0])


def honest(folder: Path, minutes: float) -> Drawn:
    training = pinxit.TrainingSettings(minutes=minutes)
    run = pinxit.train(pinxit.GANSettings(), "mnist", folder / "honest", training=training)
    return Drawn("honest", pinxit.load(run.folder).sample(1000)[0])


def rows(photos: list[str], minutes: float):
    """Yield each row as it comes."""
    digits = open_data("mnist")
    training, held_out = some(digits.train, 0, 10_000), some(digits.held_out, 0, 4000)
    source = Drawn("replay", training.images[:1000])
    yield row("other real pictures", some(digits.held_out, 4000, 1000), training, held_out, "digits-v1")
    for name, change in REPLAYS.items():
        yield row(name, Changed(source, change), training, held_out, "digits-v1")
    if photos:
        train, test = (open_data(name, holdout=0).train for name in photos)
        for name, change in REPLAYS.items():
            yield row(name, Changed(train, change), train, test, "lite0")
    with tempfile.TemporaryDirectory() as folder:
        fifty = some(digits.train, 0, 50)
        yield row("GAN overfitted on 50 pictures", overfitted(Path(folder), fifty), fifty, held_out, "digits-v1")
        generated = honest(Path(folder), minutes)
        yield row(f"GAN of {minutes:g} minutes on 60,000", generated, digits.train, held_out, "digits-v1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", nargs=2, default=[])
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    result = {
        "protocol": __doc__.partition("\n\n    ")[2].partition("\n\n")[2],
        "commit": commit.strip(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "seed": 0,
        "rows": [],
    }
    for found in rows(asked.photos, asked.minutes):
        result["rows"].append(found)
        asked.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
