"""Which copies the copy audit finds and which it misses: MNIST with digits-v1, and photographs with lite0.

    python benchmarks/quality/audit.py [--photos TRAIN TEST] --out benchmarks/results/audit.json

Replays are 1,000 of 10,000 training pictures, each changed in one way. Held out are 4,000 test pictures; 1,000 other
test pictures are the negative control. Two runs made here give 1,000 samples each. A fully connected GAN, trained for
4,000 steps on 50 pictures, is audited against those 50. The GAN of `pinxit demo`, trained for --minutes on all 60,000,
is audited against those. --photos does the same for photographs with lite0: one half of the folder TRAIN is the
training set and is replayed, the other half is the negative control, and all of TEST is held out. The whole takes eight
minutes on two cores.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import pinxit
from pinxit.data import open_data
from pinxit.evaluation.audit import audit
from pinxit.evaluation.pictures import Generated
from pinxit.metrics.extractors import EXTRACTORS

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

RNG = np.random.default_rng(0)


def zoomed(picture: np.ndarray, share: float) -> np.ndarray:
    """Return the picture at a share of its width, centred on black."""
    height, width, channels = picture.shape
    narrow = np.asarray(Image.fromarray(picture.squeeze()).resize((round(width * share), height)))
    squeezed = np.zeros_like(picture)
    left = (width - narrow.shape[1]) // 2
    squeezed[:, left : left + narrow.shape[1]] = narrow.reshape(height, -1, channels)
    return squeezed


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
    """A set whose pictures are changed on access; everything else is the set's."""

    def __init__(self, images, change) -> None:
        self.images, self.change = images, change

    def __getattr__(self, name: str):
        return getattr(self.images, name)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> np.ndarray:
        return self.change(np.ascontiguousarray(self.images[number]))


def some(images, start: int, count: int) -> Generated:
    chosen = np.random.default_rng(0).permutation(len(images))[start : start + count]
    return Generated(images.name, images.rows(chosen, (28, 28)))


def row(name: str, generated, training, held_out, extractor: str) -> dict[str, object]:
    found = audit(generated, training, held_out, EXTRACTORS[extractor]).document()
    kept = {"name": name, "extractor": extractor} | {
        key: found[key] for key in found if key not in ("nearest", "protocol")
    }
    print(json.dumps({key: kept[key] for key in ("name", "extractor", "verdict", "copying_z")}), flush=True)
    return kept


def overfitted(folder: Path, fifty: Generated) -> Generated:
    np.savez(folder / "fifty.npz", images=fifty.images)
    training = pinxit.TrainingSettings(steps=4000, batch_size=32, average=0.99)
    settings, data = pinxit.GANSettings(network="dense", r1=0.3), pinxit.DataSettings(holdout=0)
    run = pinxit.train(settings, folder / "fifty.npz", folder / "over", data=data, training=training)
    return Generated("overfitted", pinxit.load(run.folder).sample(1000)[0])


def honest(folder: Path, minutes: float) -> Generated:
    training = pinxit.TrainingSettings(minutes=minutes)
    run = pinxit.train(pinxit.GANSettings(), "mnist", folder / "honest", training=training)
    return Generated("honest", pinxit.load(run.folder).sample(1000)[0])


def rows(photos: list[str], minutes: float):
    """Yield each row as soon as it is measured."""
    digits = open_data("mnist")
    training, held_out = some(digits.train, 0, 10_000), some(digits.held_out, 0, 4000)
    source = Generated("replay", training.images[:1000])
    yield row("other real pictures", some(digits.held_out, 4000, 1000), training, held_out, "digits-v1")
    for name, change in REPLAYS.items():
        yield row(name, Changed(source, change), training, held_out, "digits-v1")
    if photos:
        halves, test = open_data(photos[0], holdout=0.5), open_data(photos[1], holdout=0).train
        yield row("other real pictures", halves.held_out, halves.train, test, "lite0")
        for name, change in REPLAYS.items():
            yield row(name, Changed(halves.train, change), halves.train, test, "lite0")
    with tempfile.TemporaryDirectory() as folder:
        fifty = some(digits.train, 0, 50)
        yield row("GAN overfitted on 50 pictures", overfitted(Path(folder), fifty), fifty, held_out, "digits-v1")
        generated = honest(Path(folder), minutes)
        yield row(f"GAN of {minutes:g} minutes on 60,000", generated, digits.train, held_out, "digits-v1")


def main() -> None:
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("--photos", nargs=2, default=[])
    parser.add_argument("--minutes", type=float, default=2)
    asked = parser.parse_args()
    found: list[dict[str, object]] = []
    document = record(__doc__, {"threads": torch.get_num_threads(), "seed": 0}, rows=found)
    for row_ in rows(asked.photos, asked.minutes):
        found.append(row_)
        write(asked.out, document)


if __name__ == "__main__":
    main()
