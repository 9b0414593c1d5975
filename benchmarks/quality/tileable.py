"""Do opposite edges of new pictures meet? A small GAN of a texture, drawn as it is and with `--tileable`.

    PYTHONPATH=benchmarks/quality python benchmarks/quality/tileable.py FOLDER [--steps 500] [--out results.json]

The texture is gravel of scikit-image at 256 x 256 pixels, of which the GAN learns 1,500 windows of 32 x 32. Of 256
pictures the mean absolute difference across the edges that meet in a tiling is told, over that of neighbours inside;
and over the same the least and the largest difference between any two rows or columns inside, for these differ too.
Four pictures, each 3 x 3 times, lie in FOLDER, above as they are and below with `--tileable`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from style import fitted, inside, wrap

import pinxit
from pinxit.codes.sampling import load
from pinxit.training.run import machine

SIDE, WINDOW, WINDOWS, PICTURES = 256, 32, 1500, 256


def windows() -> np.ndarray:
    """Return parts of the texture, (N, 32, 32, 1) uint8."""
    whole, rng = fitted(skimage.data.gravel(), SIDE)[..., :1], np.random.default_rng(0)
    corners = rng.integers(0, SIDE - WINDOW, (WINDOWS, 2))
    return np.stack([whole[top : top + WINDOW, left : left + WINDOW] for top, left in corners])


def told(pictures: np.ndarray) -> dict[str, float]:
    """Return the difference across meeting edges, and the least and largest within, over the mean within."""
    mean = float(np.mean([inside(picture) for picture in pictures]))
    values = pictures.astype(float)
    lines = np.concatenate([np.abs(np.diff(values, axis=axis)).mean(axis=(0, 3 - axis, 3)) for axis in (1, 2)])
    across = float(np.mean([wrap(picture) for picture in pictures]))
    return {"across": across / mean, "least_inside": lines.min() / mean, "largest_inside": lines.max() / mean}


def main() -> None:
    """Train, draw, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    np.savez(asked.folder / "windows.npz", images=windows())
    settings = pinxit.GANSettings(network="dcgan", channels=8, latent=32)
    training = pinxit.TrainingSettings(steps=asked.steps, batch_size=16, threads=1)
    pinxit.train(settings, asked.folder / "windows.npz", asked.folder / "run", training=training)
    model = load(asked.folder / "run")
    drawn = {"as_it_is": model.sample(PICTURES)[0], "tileable": model.tiling().sample(PICTURES)[0]}
    rows = [np.concatenate([np.tile(one, (3, 3, 1)) for one in ones[:4]], axis=1) for ones in drawn.values()]
    Image.fromarray(np.concatenate(rows).squeeze(2)).save(asked.folder / "tiles.png")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    protocol = {"about": __doc__, "steps": asked.steps, "settings": settings.model_dump(), "seed": 0}
    results = {name: told(ones) for name, ones in drawn.items()}
    document = {"commit": commit, "machine": machine(), "protocol": protocol, "results": results}
    print(json.dumps(results, indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
