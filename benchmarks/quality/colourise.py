"""How well `colourise` guesses the colours of photographs, and what hints add.

    python benchmarks/quality/colourise.py PHOTOS [--model RUN] [--limit N] [--hints-of N] [--show FOLDER] [--out FILE]

PHOTOS is a folder of photographs that no training saw. Each is made grey, as an 8-bit file of the same lightness L*,
and coloured again. Rows:

grey: the grey picture. mean: one colour for all, the mean a* and b* of the judged photographs themselves, which no
method knows. network: the likeliest colours (--seed 0). seeds: those of --seed 1 and 2, and the best of the three by
error, as a person would choose. hints N: N dabs of the true colour, discs of 4 pixels' radius at random places,
each of one colour, without the network (--no-guess) and with it.

error is the mean distance in a* and b* of a pixel from the photograph's, ciede2000 the mean of that difference
(scikit-image). chroma is the mean distance from grey, as a share of the photographs'. kd[lite0-96] is between results
of every second photograph and the other photographs themselves, so that no scene is on both sides; the floor is
what the photographs themselves get. Hints, and none (0 hints), are judged on the first --hints-of photographs: how many
pixels of dabs are within 5 units of what their dab says, as far as sRGB has that colour at their lightness, and the
farthest from it. lightness is the largest difference in L* of a result, in 8 bits, from its grey picture.

--show writes a picture of each photograph: grey, result of seeds 0, 1 and 2, 10 hints without and with the network,
the photograph. The last line of stdout is the means of each row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from skimage.color import deltaE_ciede2000

from pinxit.colour import from_lab, lab
from pinxit.data import open_data
from pinxit.edits.colourise import Colourised, Hints, colouriser
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import rounded
from pinxit.images import Picture, save_image
from pinxit.images.convert import to_float
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.sets import kernel_distance
from pinxit.progress import track

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

EXTRACTOR, SEEDS, COUNTS, RADIUS, NEAR = "lite0-96", (0, 1, 2), (1, 3, 10, 30), 4, 5.0
SHOWN = ("grey", "network", "seed 1", "seed 2", "10 hints", "10 hints, network", "true")
WITHOUT = {"hints": "grey", "hints, network": "network"}
"""What the photographs that are judged with hints have without."""
EIGHT = np.dtype(np.uint8)


def in_lab(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, 1 or 3) as L*a*b* (H, W, 3)."""
    return lab(to_float(pixels[None]))[0].movedim(0, 2).numpy()


def in_colours(values: np.ndarray) -> np.ndarray:
    """Return L*a*b* (H, W, 3) as pixels of 8 bits."""
    return rounded(from_lab(torch.from_numpy(values).movedim(2, 0)[None])[0].movedim(0, 2).numpy(), EIGHT)


def as_grey(true: np.ndarray) -> np.ndarray:
    """Return the grey picture (H, W, 1) of a photograph's lightness."""
    values = in_lab(true)
    values[..., 1:] = 0
    return in_colours(values)[..., 1:2]


def dabs(true: np.ndarray, count: int, number: int) -> np.ndarray:
    """Return a transparent picture (H, W, 4) with dabs of a photograph's colours."""
    values, drawn = in_lab(true), np.zeros((*true.shape[:2], 4), np.uint8)
    rows, columns = np.mgrid[: true.shape[0], : true.shape[1]]
    rng = np.random.default_rng(number)
    for _ in range(count):
        row, column = (int(rng.integers(RADIUS, side - RADIUS)) for side in true.shape[:2])
        disc = np.hypot(rows - row, columns - column) <= RADIUS
        drawn[disc] = [*in_colours(values[disc].mean(0)[None, None])[0, 0], 255]
    return drawn


def obeyed(result: np.ndarray, hints: Hints) -> np.ndarray:
    """Return how far each pixel of the dabs is from its hint, as far as sRGB has that colour there."""
    found = in_lab(result)[tuple(hints.places.T)]
    wanted = np.concatenate([found[:, :1], hints.colours], 1)[None].astype(np.float32)
    reached = lab(from_lab(torch.from_numpy(wanted).movedim(2, 0)[None]))[0, 1:, 0].T.numpy()
    return np.hypot(*(found[:, 1:] - reached).T)


def rows_of(
    true: np.ndarray, number: int, network: dict[int, Colourised], model: Path | None, with_hints: bool, place: Path
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Yield the name and the result of every row, and how far its dabs are from what they say."""
    given = Picture(as_grey(true), mode="L")
    yield "grey", np.repeat(given.pixels, 3, axis=2), None
    for seed, edit in network.items():
        yield f"seed {seed}" if seed else "network", edit_picture(given, [edit]).pixels, None
    for count in COUNTS if with_hints else ():
        save_image(place, dabs(true, count, number))
        for name, guess in (("hints", False), ("hints, network", True)):
            if guess and not network:
                continue
            edit = colouriser(model if guess else None, place, guess, 0, "cpu")
            result = edit_picture(given, [edit]).pixels
            assert edit.hints is not None
            yield f"{count} {name}", result, obeyed(result, edit.hints)


def judged(result: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return the measures of one result (H, W, 3)."""
    one, other = in_lab(result), in_lab(true)
    return {
        "error": float(np.hypot(*np.moveaxis(one - other, 2, 0)[1:]).mean()),
        "ciede2000": float(deltaE_ciede2000(one, other).mean()),
        "chroma": float(np.hypot(one[..., 1], one[..., 2]).mean()),
        "lightness": float(np.abs(one[..., 0] - in_lab(as_grey(true))[..., 0]).max()),
    }


def prepared(pixels: np.ndarray) -> torch.Tensor:
    """Return what the extractor takes of a picture."""
    return EXTRACTORS[EXTRACTOR].prepare(to_float(pixels[None]))


def distances(sets: dict[str, list[torch.Tensor]]) -> dict[str, float]:
    """Return kd of every row: of every second picture, against the other photographs."""
    features = {name: EXTRACTORS[EXTRACTOR].extract(torch.cat(rows)).features for name, rows in sets.items()}
    others = features["true"][1::2]
    return {name: kernel_distance(rows[::2], others) for name, rows in features.items()}


def card(means: dict[str, dict[str, float]], count: int) -> str:
    """Return the table that the model card has."""
    lines = [
        f"Means over {count} held-out photographs of BSDS500's test part, by `benchmarks/quality/colourise.py`; hints "
        "over fewer:",
        "",
        "| | error in a*, b* | CIEDE2000 | chroma, of the true | kd[lite0-96] |",
        "|---|---|---|---|---|",
    ]
    for name, row in means.items():
        kd = f"{row['kd']:.4g}" if "kd" in row else ""
        lines.append(f"| {name} | {row['error']:.2f} | {row['ciede2000']:.2f} | {row['chroma']:.2f} | {kd} |")
    return "\n".join(lines)


class Judged:
    """What was measured of every row, photograph by photograph."""

    def __init__(self) -> None:
        self.scores: dict[str, list[dict[str, float]]] = {}
        self.away: dict[str, list[np.ndarray]] = {}
        self.sets: dict[str, list[torch.Tensor]] = {}

    def add(self, made: dict[str, np.ndarray], far: dict[str, np.ndarray], true: np.ndarray) -> None:
        """Judge the results of one photograph."""
        for name, result in made.items():
            self.scores.setdefault(name, []).append(judged(result, true))
            if "hint" not in name:
                self.sets.setdefault(name, []).append(prepared(result))
        for name, away in far.items():
            self.away.setdefault(name, []).append(away)
        if "network" in made:
            tried = [self.scores["network" if seed == 0 else f"seed {seed}"][-1] for seed in SEEDS]
            self.scores.setdefault("best of 3 seeds", []).append(min(tried, key=lambda one: one["error"]))

    def means(self) -> dict[str, dict[str, float]]:
        """Return the mean measures of each row."""
        means = {name: {key: mean([row[key] for row in rows]) for key in rows[0]} for name, rows in self.scores.items()}
        for name, rows in self.scores.items():
            means[name]["lightness"] = max(row["lightness"] for row in rows)
            means[name]["chroma"] /= mean([row["chroma"] for row in self.scores["true"][: len(rows)]])
        for name, kd in distances(self.sets).items():
            means[name]["kd"] = kd
        for name, parts in self.away.items():
            far = np.concatenate(parts)
            means[name] |= {"within 5": float((far <= NEAR).mean()), "farthest": float(far.max())}
        return means


def mean(values: list[float]) -> float:
    """Return the mean as a plain number."""
    return float(np.mean(values))


def show(made: dict[str, np.ndarray], place: Path) -> None:
    """Write the results of a photograph side by side."""
    shown = [made[name] for name in SHOWN if name in made]
    Image.fromarray(np.concatenate(shown, axis=1)).save(place)


def main() -> None:
    """Colour, judge, print and record."""
    parser = arguments(__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--without", action="store_true", help="hints only, no network")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--hints-of", type=int, default=40)
    parser.add_argument("--show", type=Path)
    asked = parser.parse_args()
    images = open_data(str(asked.photos), 0).train
    numbers = range(min(len(images), asked.limit or len(images)))
    network = {} if asked.without else {seed: colouriser(asked.model, None, True, seed, "cpu") for seed in SEEDS}
    tint = np.mean([in_lab(images[number])[..., 1:].mean((0, 1)) for number in numbers], axis=0)
    found = Judged()
    with TemporaryDirectory() as folder:
        for number in track(numbers, "photograph", len(numbers)):
            true = np.ascontiguousarray(images[number][..., :3])
            hints = number < asked.hints_of
            rows = list(rows_of(true, number, network, asked.model, hints, Path(folder) / "hint.png"))
            made = {name: result for name, result, _ in rows} | {"mean": tinted(true, tint), "true": true}
            if hints:
                made |= {f"0 {name}": made[row] for name, row in WITHOUT.items() if row in made}
            found.add(made, {name: far for name, _, far in rows if far is not None}, true)
            if asked.show and hints:
                show(made, asked.show / f"{number:03d}.png")
    means = found.means()
    for name, row in means.items():
        print(f"{name:22}" + "   ".join(f"{key} {value:.4g}" for key, value in row.items()))
    protocol = {"pictures": images.name, "fingerprint": images.fingerprint, "count": len(numbers)}
    protocol |= {"hints of": min(asked.hints_of, len(numbers)), "extractor": EXTRACTOR, "weights": weights(network)}
    write(asked.out, record(__doc__, protocol, means=means, card=card(means, len(numbers))))
    print(json.dumps(means))


def tinted(true: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """Return a photograph's lightness in one colour."""
    values = in_lab(as_grey(true))
    values[..., 1:] = tint
    return in_colours(values)


def weights(network: dict[int, Colourised]) -> str:
    """Return the SHA-256 of the shipped weights that were judged; empty for none."""
    return next((sha for edit in network.values() for sha in edit.weights.values()), "")


if __name__ == "__main__":
    main()
