"""Whether opposite edges of samples meet: a small GAN of a texture, sampled with and without `--tileable`.

    python benchmarks/quality/tileable.py FOLDER [--steps 500] [--out results.json]

The texture is scikit-image's gravel at 256 x 256 pixels; the GAN learns 1,500 windows of 32 x 32. For 256 samples, the
mean absolute difference across the edges that meet in a tiling is given relative to that of neighbours inside, and so
are the least and the largest difference between any two rows or columns inside. FOLDER gets four samples, each
repeated 3 x 3 times, without `--tileable` above and with it below.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from style import fitted, inside, wrap

import pinxit
from pinxit.latents.sampling import load

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

SIDE, WINDOW, WINDOWS, PICTURES = 256, 32, 1500, 256


def windows() -> np.ndarray:
    """Return parts of the texture, (N, 32, 32, 1) uint8."""
    whole, rng = fitted(skimage.data.gravel(), SIDE)[..., :1], np.random.default_rng(0)
    corners = rng.integers(0, SIDE - WINDOW, (WINDOWS, 2))
    return np.stack([whole[top : top + WINDOW, left : left + WINDOW] for top, left in corners])


def differences(pictures: np.ndarray) -> dict[str, float]:
    """Return the difference across meeting edges, and the least and largest inside, relative to the mean inside."""
    mean = float(np.mean([inside(picture) for picture in pictures]))
    values = pictures.astype(float)
    lines = np.concatenate([np.abs(np.diff(values, axis=axis)).mean(axis=(0, 3 - axis, 3)) for axis in (1, 2)])
    across = float(np.mean([wrap(picture) for picture in pictures]))
    return {"across": across / mean, "least_inside": lines.min() / mean, "largest_inside": lines.max() / mean}


def main() -> None:
    """Train, sample and measure."""
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    np.savez(asked.folder / "windows.npz", images=windows())
    settings = pinxit.GANSettings(network="dcgan", channels=8, latent=32)
    training = pinxit.TrainingSettings(steps=asked.steps, batch_size=16, threads=1)
    pinxit.train(settings, asked.folder / "windows.npz", asked.folder / "run", training=training)
    model = load(asked.folder / "run")
    samples = {"as_it_is": model.sample(PICTURES)[0], "tileable": model.tiling().sample(PICTURES)[0]}
    rows = [np.concatenate([np.tile(one, (3, 3, 1)) for one in ones[:4]], axis=1) for ones in samples.values()]
    Image.fromarray(np.concatenate(rows).squeeze(2)).save(asked.folder / "tiles.png")
    results = {name: differences(ones) for name, ones in samples.items()}
    print(json.dumps(results, indent=2))
    protocol = {"steps": asked.steps, "settings": settings.model_dump(), "seed": 0}
    write(asked.out, record(__doc__, protocol, results=results))


if __name__ == "__main__":
    main()
