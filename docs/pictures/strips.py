"""Make the strips of the README: run its commands, and put each picture beside what was made of it.

    python docs/pictures/strips.py          in the project's folder; writes docs/pictures/*.webp

Each row of `STRIPS` names the README's command by its output, and the pictures that stand before that output.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np

from pinxit.cli import run
from pinxit.images import load_image, resize, save_image

HEIGHT, GAP = 288, 8
PICTURES = Path("docs/pictures")
STRIPS = {
    "painted.png": ("castle.jpg", "church-at-auvers.jpg"),
    "clean.png": ("cat-noisy.png",),
    "large.png": ("astronaut-small.png",),
    "mended.png": ("coffee-scratched.jpg",),
}


def main() -> None:
    """Run the commands and write the strips; `SystemExit` if a command fails."""
    readme = Path("README.md").read_text(encoding="utf-8")
    for output, inputs in STRIPS.items():
        (line,) = re.findall(rf"^pinxit edit .* -o {re.escape(output)}$", readme, re.MULTILINE)
        if code := run([*shlex.split(line)[1:], "-y"]):
            raise SystemExit(code)
        shown = [*(load_image(PICTURES / name) for name in inputs), load_image(Path(output))]
        save_image(PICTURES / f"{Path(output).stem}.webp", strip(shown))
        Path(output).unlink()


def strip(pictures: list[np.ndarray]) -> np.ndarray:
    """Return pictures (H, W, 3) beside each other, all as high, with a white gap between them."""
    same = [resized(picture[..., :3]) for picture in pictures]
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in same for part in (picture, gap)][:-1], axis=1)


def resized(picture: np.ndarray) -> np.ndarray:
    """Return a picture of the strip's height; small ones keep their pixels as squares."""
    high, wide = picture.shape[:2]
    if HEIGHT % high == 0:
        return picture.repeat(HEIGHT // high, 0).repeat(HEIGHT // high, 1)
    return resize(picture, (HEIGHT, round(wide * HEIGHT / high)))


if __name__ == "__main__":
    main()
