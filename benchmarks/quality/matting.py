"""Mattes and the colours that they cut out, on composites with an exact matte.

    python benchmarks/quality/matting.py DATA [--count 200] [--mattes 60] [--size 192] [--out results.json]

DATA has `emoji64` and `sprites-crawl` (npz, RGBA), `cutouts-tuxpaint` (RGBA pictures) and `photos-bsds/test`.
Subjects take turns: emoji and sprites enlarged, cut-outs of photographs, drawn hair, text, and drawn glass whose matte
is 0.3 to 0.7. They are composed over photographs in linear light and rounded to 8 bits.

`colours`: the error of the subject's colours at its edge and the halo index, at the exact matte: the picture's own
colours (plain), what a white matte's edge pixels would get from the nearest opaque pixel (nearest), and what `cutout`
writes. `mattes`: errors of Rhemann et al. of what finds the matte, beside plain rows: from a trimap with the edge grown
by 8 pixels, from a photograph of the scene with noise of its own, and before an uneven green screen with noise. One
thread.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy.ndimage import distance_transform_edt, maximum_filter

import pinxit
from pinxit.colour import encoded, linear
from pinxit.edits.matte import Cutout
from pinxit.images import save_image
from pinxit.metrics.mattes import MATTES, colour_error, halo_index
from pinxit.progress import track

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

FINER, STRANDS, SEED = 4, 350, 0
NOISE, GROWN, SCREEN, UNEVEN = 0.008, 8, (0.12, 0.6, 0.2), 0.15
KNOWN, KEYED = 0.1, 0.25
"""Differences from the empty scene, and from the screen's colour, at which the plain rows cut."""


class Subject(NamedTuple):
    """Colours (H, W, 3) sRGB in [0, 1] and a matte (H, W) of steps of 1/255."""

    kind: str
    colours: np.ndarray
    matte: np.ndarray


def of_picture(kind: str, image: Image.Image, size: int) -> Subject:
    """Return a picture with alpha in the middle of a square; it is enlarged or reduced with its alpha multiplied in."""
    scale = 0.9 * size / max(image.size)
    image = image.convert("RGBa").resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
    whole = Image.new("RGBA", (size, size))
    whole.paste(image.convert("RGBA"), ((size - image.width) // 2, (size - image.height) // 2))
    pixels = np.asarray(whole) / 255
    return Subject(kind, pixels[..., :3], pixels[..., 3])


def hair(size: int, rng: np.random.Generator) -> Subject:
    """Return a head with strands, drawn finer and reduced."""
    side = FINER * size
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    draw.ellipse((side * 0.3, side * 0.35, side * 0.7, side * 0.9), fill=255)
    for angle in rng.uniform(0, 2 * np.pi, STRANDS):
        turns = angle + rng.normal(0, 0.12, 25).cumsum()
        start = side * np.array([0.5 + 0.2 * np.cos(angle), 0.6 + 0.27 * np.sin(angle)])
        places = start + side * 0.008 * np.stack([np.cos(turns), np.sin(turns)], axis=1).cumsum(axis=0)
        draw.line([tuple(place) for place in places], fill=255, width=int(rng.integers(2, 6)))
    return Subject("hair", painted(size, rng), reduced(image, size))


def text(size: int, rng: np.random.Generator) -> Subject:
    """Return words."""
    image = Image.new("L", (FINER * size, FINER * size))
    font, draw = ImageFont.load_default(FINER * size / 7), ImageDraw.Draw(image)
    for line in range(5):
        word = "".join(rng.choice(list("abcdefghiklmnoprstuvwxyz "), 10))
        draw.text((FINER * size * 0.06, FINER * size * (0.08 + 0.17 * line)), word, fill=255, font=font)
    return Subject("text", painted(size, rng), reduced(image, size))


def glass(size: int, rng: np.random.Generator) -> Subject:
    """Return an oval that lets some of the background through everywhere."""
    image = Image.new("L", (size, size))
    box = (size * 0.2, size * 0.15, size * 0.8, size * 0.9)
    ImageDraw.Draw(image).ellipse(box, fill=int(255 * rng.uniform(0.3, 0.7)))
    shade = np.linspace(0.7, 1, size)[:, None, None]
    colours = np.broadcast_to(rng.uniform(0.2, 0.95, 3) * shade, (size, size, 3))
    return Subject("glass", colours, np.asarray(image.filter(ImageFilter.GaussianBlur(1.5))) / 255)


def painted(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a colour with some texture."""
    texture = rng.normal(0, 0.06, (size, size, 1)) + rng.normal(0, 0.02, (size, size, 3))
    return (rng.uniform(0.05, 0.9, 3) + texture).clip(0, 1)


def reduced(image: Image.Image, size: int) -> np.ndarray:
    """Return a matte as the mean of finer pixels, of 8 bits."""
    shares = np.asarray(image).reshape(size, FINER, size, FINER).mean(axis=(1, 3))
    return shares.round() / 255


def pictures_of(folder: Path) -> np.ndarray:
    """Return the pictures (N, H, W, 4) of the npz file in a folder."""
    (path,) = folder.glob("*.npz")
    with np.load(path) as file:
        return next(file[name] for name in file.files if file[name].ndim == 4)


def subjects(data: Path, count: int, size: int) -> Iterator[Subject]:
    """Yield subjects of all kinds in turn."""
    rng = np.random.default_rng(SEED)
    drawn = {kind: pictures_of(data / kind) for kind in ("emoji64", "sprites-crawl")}
    cutouts = sorted((data / "cutouts-tuxpaint").glob("*.webp"))
    made: tuple[Callable[[], Subject], ...] = (
        lambda: of_picture("emoji", Image.fromarray(rng.choice(drawn["emoji64"])), size),
        lambda: hair(size, rng),
        lambda: text(size, rng),
        lambda: glass(size, rng),
        lambda: of_picture("cut-out", Image.open(cutouts[rng.integers(len(cutouts))]).convert("RGBA"), size),
        lambda: of_picture("sprite", Image.fromarray(rng.choice(drawn["sprites-crawl"])), size),
    )
    mixed = (subject for number in itertools.count() if _has_edge(subject := made[number % len(made)]()))
    yield from itertools.islice(mixed, count)


def _has_edge(subject: Subject) -> bool:
    """Return whether a subject is mixed anywhere: some sprites are squares."""
    return bool(((subject.matte > 0.02) & (subject.matte < 0.98)).any())


def backgrounds(data: Path, size: int) -> Iterator[np.ndarray]:
    """Yield squares of photographs (size, size, 3), again and again."""
    files = sorted((data / "photos-bsds" / "test").glob("*.jpg"))
    while True:
        for file in files:
            image = Image.open(file).convert("RGB")
            side = min(image.size)
            yield np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, (0, 0, side, side))) / 255


def composed(subject: Subject, background: np.ndarray) -> np.ndarray:
    """Return a subject before a background, mixed in linear light, sRGB in [0, 1]."""
    share = subject.matte[..., None]
    mixed: np.ndarray = encoded(share * linear(subject.colours) + (1 - share) * linear(background))
    return mixed


def eight_bit(values: np.ndarray) -> np.ndarray:
    """Return values in [0, 1] as 8 bits."""
    return (values * 255).round().clip(0, 255).astype(np.uint8)


def colours_of(subject: Subject, background: np.ndarray, folder: Path) -> dict[str, dict[str, float]]:
    """Return the errors of the subject's colours by what gives them."""
    picture, path = eight_bit(composed(subject, background)), folder / "matte.png"
    save_image(path, eight_bit(subject.matte)[..., None])
    cut = pinxit.edit(picture, Cutout(matte=path))
    opaque = subject.matte >= 0.98
    nearest = picture
    if opaque.any():
        rows, columns = distance_transform_edt(~opaque, return_distances=False, return_indices=True)
        nearest = picture[rows, columns]
    given = {"plain": picture, "nearest": nearest, "cutout": cut[..., :3]}
    return {
        name: {
            "colour error": colour_error(pixels / 255, subject.colours, subject.matte),
            "halo": halo_index(pixels / 255, subject.colours, subject.matte),
        }
        for name, pixels in given.items()
    }


def mattes_of(
    subject: Subject, background: np.ndarray, folder: Path, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield rows of mattes, and the seconds each took."""
    matte, path, size = subject.matte, folder / "given.png", subject.matte.shape[0]

    def noisy(values: np.ndarray) -> np.ndarray:
        return eight_bit(values + rng.normal(0, NOISE, values.shape))

    def found(picture: np.ndarray, edit: Cutout) -> tuple[np.ndarray, float]:
        started = time.perf_counter()
        cut = pinxit.edit(picture, edit)[..., 0] / 255
        return cut, time.perf_counter() - started

    yield "all foreground", np.ones_like(matte), 0.0
    picture = noisy(composed(subject, background))
    unknown = maximum_filter((matte > 0.01) & (matte < 0.99), 2 * GROWN + 1)
    trimap = np.where(unknown, 0.5, matte.round())
    yield "trimap: as drawn", trimap, 0.0
    save_image(path, eight_bit(trimap)[..., None])
    if (trimap == 1).any():
        yield "trimap: closed form", *found(picture, Cutout(trimap=path, only="matte"))
    empty = noisy(background)
    apart = np.abs(picture / 255 - empty / 255).max(axis=2)
    yield "plate: threshold", (apart > KNOWN).astype(float), 0.0
    save_image(path, empty)
    yield "plate: pinxit", *found(picture, Cutout(plate=path, only="matte"))
    light = 1 + UNEVEN * np.linspace(-1, 1, size)[:, None, None]
    screen = np.broadcast_to(encoded(linear(np.array(SCREEN)) * light), (size, size, 3))
    picture = noisy(composed(subject, screen))
    apart = np.abs(picture / 255 - SCREEN).max(axis=2)
    yield "key: threshold", (apart > KEYED).astype(float), 0.0
    yield (
        "key: pinxit",
        *found(picture, Cutout(key="#{:02x}{:02x}{:02x}".format(*eight_bit(np.array(SCREEN))), only="matte")),
    )


def means(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the mean of each number over rows that have it."""
    names = {name: values for row in rows for name, values in row.items()}
    return {
        name: {key: round(float(np.mean([row[name][key] for row in rows if name in row])), 5) for key in values}
        for name, values in names.items()
    }


def main() -> None:
    """Compare, print and write the record."""
    parser = arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--mattes", type=int, default=60)
    parser.add_argument("--size", type=int, default=192)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    colours: dict[str, list[dict[str, dict[str, float]]]] = {"all": []}
    mattes: dict[str, list[dict[str, dict[str, float]]]] = {"all": []}
    rng = np.random.default_rng(SEED)
    protocol = {"count": asked.count, "mattes": asked.mattes, "size": asked.size, "noise": NOISE, "seed": SEED}
    with tempfile.TemporaryDirectory() as name:
        pairs = zip(subjects(asked.data, asked.count, asked.size), backgrounds(asked.data, asked.size), strict=False)
        for number, (subject, background) in enumerate(track(pairs, "composite", asked.count)):
            row = colours_of(subject, background, Path(name))
            for place in ("all", subject.kind):
                colours.setdefault(place, []).append(row)
            if number < asked.mattes:
                found = {
                    way: {metric: measure(matte, subject.matte, None) for metric, measure in MATTES.items()}
                    | {"seconds": seconds}
                    for way, matte, seconds in mattes_of(subject, background, Path(name), rng)
                }
                for place in ("all", subject.kind):
                    mattes.setdefault(place, []).append(found)
    document = record(
        __doc__,
        protocol,
        composites={kind: len(rows) for kind, rows in colours.items()},
        colours={kind: means(rows) for kind, rows in colours.items()},
        mattes={kind: means(rows) for kind, rows in mattes.items()},
    )
    print(json.dumps(document, indent=2))
    write(asked.out, document)


if __name__ == "__main__":
    main()
