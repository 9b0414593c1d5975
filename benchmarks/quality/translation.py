"""How good translations are, where the truth is known.

    python benchmarks/quality/translation.py CASE DATA --work FOLDER [--minutes M | --steps N] [--rows NAME ...]
        [--segmenter-minutes M] [--batch 4] [--threads 2] [--limit N] [--seed 0] [--out FILE]

DATA is the folder of the sets (camvid, facades, emoji64, emoji-twemoji). Cases:

camvid, facades: label maps become photographs, at 128 x 96 and 128 x 128; camvid keeps its own division, of facades
every eighth pair is held out. Rows in Isola's order, with pairs: "L1", "GAN", "cGAN", "L1 + cGAN" (the defaults),
"instance" (these with the papers' norm), and "published" (`benchmarks/published.py`, float32, as many pictures as "L1 +
cGAN" saw). Without pairs: "cycle", which reads labels as planes, and "contrast", which reads them as colour pictures.
"photographs" are the true ones.
camvid-back: photographs become label maps; "L1" and "L1 + cGAN". Only the accuracies are judged, of the map itself.
emoji: Noto's become Twemoji's, over white, at 64 x 64, without pairs; every fifth codepoint is held out of both. Rows:
"cycle", "contrast", "identity" (the picture itself), "mean colour" (that of all training targets).

FCN-score: one segmenter of `pinxit train segment`, trained on the real training photographs, reads what was made;
pixel and class accuracy and mean IoU are over all held-out pixels that have a class. L1 is the mean difference from
the true picture, in units of the image range; st-lpips is [alex]'s. kd[lite0-96] x 1,000 is against the true held-out
pictures; `floor` is that of as many training pictures. Every row has as many minutes, or steps. --work keeps the runs,
so that a second call goes on; it also gets a sheet of 16 held-out pictures: given, each row, true.

The last line of stdout is the mean IoU, or the st-lpips, of each row.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

import pinxit
from pinxit.data.settings import TranslatedSettings
from pinxit.edits import edit
from pinxit.edits.settings import Translate
from pinxit.images import grid, load_image, read_mask, save_sheet
from pinxit.images.convert import to_float
from pinxit.metrics.extractors import EXTRACTORS
from pinxit.metrics.perceptual import PERCEPTUAL
from pinxit.metrics.sets import kernel_distance
from pinxit.recognition import reading
from pinxit.training.run import Run, is_run

sys.path.append(str(Path(__file__).parents[1]))
from published import Pix2Pix
from record import arguments, record, write

EXTRACTOR, LPIPS, VOID, SHOWN = "lite0-96", "st-lpips[alex]", 255, 16
UNLABELLED = 11
"""The class of CamVid that is none."""
PAIRED: dict[str, dict[str, Any]] = {
    "L1": {"adversarial": 0},
    "GAN": {"reconstruction": 0, "conditional": False},
    "cGAN": {"reconstruction": 0},
    "L1 + cGAN": {},
    "instance": {"generator_norm": "instance"},
}
UNPAIRED: dict[str, dict[str, Any]] = {"cycle": {}, "contrast": {"method": "contrast"}}


class Case(NamedTuple):
    """A case in its folder: A/train, B/train, A/test and B/test; its size, and its rows."""

    size: str
    rows: tuple[str, ...]
    judged: str


CASES = {
    "camvid": Case("128x96", (*PAIRED, "published", *UNPAIRED), "photographs"),
    "facades": Case("128", (*PAIRED, "published"), "photographs"),
    "camvid-back": Case("128x96", ("L1", "L1 + cGAN"), "labels"),
    "emoji": Case("64", (*UNPAIRED, "identity", "mean colour"), "pictures"),
}


def sides(size: str) -> tuple[int, int]:
    """Return width and height."""
    wide, _, high = size.partition("x")
    return int(wide), int(high or wide)


def put(path: Path, picture: Image.Image) -> None:
    """Save a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def pairs(case: str, data: Path) -> Iterator[tuple[str, str, Image.Image, Image.Image]]:
    """Yield the part, the name, the label map and the photograph of each pair, at their own size."""
    if case == "facades":
        for number, label in enumerate(sorted((data / "facades" / "label").glob("*.png"))):
            (photo,) = (data / "facades" / "photo").glob(f"{label.stem}.*")
            yield "test" if number % 8 == 7 else "train", label.stem, Image.open(label), Image.open(photo)
        return
    for part, folder in (("train", "train"), ("test", "val")):
        for label in sorted((data / "camvid" / folder / "labels").glob("*.png")):
            (photo,) = (data / "camvid" / folder / "images").glob(f"{label.stem}.*")
            yield part, label.stem, Image.open(label), Image.open(photo)


def emoji(data: Path) -> Iterator[tuple[str, str, Image.Image, Image.Image]]:
    """Yield the part, the name and both makes of each emoji, over white."""
    files = (data / "emoji64" / "emoji64.npz", data / "emoji-twemoji" / "twemoji64.npz")
    one, other = ({name: archive[name] for name in ("x", "codepoint")} for archive in map(np.load, files))
    places = {int(point): number for number, point in enumerate(other["codepoint"])}
    common = [(int(point), number) for number, point in enumerate(one["codepoint"]) if int(point) in places]
    for count, (point, number) in enumerate(sorted(common)):
        both = [white(one["x"][number]), white(other["x"][places[point]])]
        yield "test" if count % 5 == 4 else "train", f"{point:x}", both[0], both[1]


def white(pixels: np.ndarray) -> Image.Image:
    """Return a picture with alpha over white."""
    share = pixels[..., 3:] / 255
    return Image.fromarray((pixels[..., :3] * share + 255 * (1 - share)).round().astype(np.uint8))


def prepare(case: str, data: Path, work: Path, size: str, limit: int | None) -> None:
    """Write the pictures of a case, label maps by the nearest pixel and with one palette."""
    if (work / "ready").exists():
        return
    palette: list[int] | None = None
    counts = {"train": 0, "test": 0}
    for part, name, a, b in emoji(data) if case == "emoji" else pairs(case, data):
        if limit and counts[part] >= limit:
            continue
        counts[part] += 1
        photo = b.convert("RGB").resize(sides(size), Image.Resampling.LANCZOS)
        if case == "emoji":
            put(work / "A" / part / f"{name}.png", a)
            put(work / "B" / part / f"{name}.png", photo)
            continue
        numbers = Image.fromarray(np.asarray(a)).resize(sides(size), Image.Resampling.NEAREST)
        palette = (
            palette
            or a.getpalette()
            or [value for number in range(256) for value in np.random.default_rng(number).integers(0, 256, 3).tolist()]
        )
        numbers.putpalette(palette)
        first, second = (photo, numbers) if case == "camvid-back" else (numbers, photo)
        put(work / "A" / part / f"{name}.png", first)
        put(work / "B" / part / f"{name}.png", second)
        put(work / "segments" / "images" / part / f"{name}.png", photo)
        masks = np.asarray(numbers)
        if case != "facades":
            masks = np.where(masks == UNLABELLED, VOID, masks).astype(np.uint8)
        truth = Image.fromarray(masks)
        put(work / "segments" / "masks" / part / f"{name}.png", truth)
    (work / "ready").write_text("")


def trained(work: Path, name: str, case: Case, asked: Any) -> Path:
    """Return the run of a row, trained now if it is not there."""
    out = work / "runs" / name.replace(" ", "-")
    if is_run(out):
        pinxit.resume(out)
        return out
    unpaired = name in UNPAIRED
    settings = pinxit.OBJECTIVES["translate"].parse({**PAIRED.get(name, {}), **UNPAIRED.get(name, {})})
    data = {"size": case.size, "second": work / "B" / "train", "paired": not unpaired, "holdout": 0}
    if name == "contrast":
        data["labels"] = "none"
    length = {"steps": asked.steps} if asked.steps else {"minutes": asked.minutes}
    training = {**length, "batch_size": asked.batch, "threads": asked.threads, "seed": asked.seed}
    pinxit.train(
        settings, work / "A" / "train", out, TranslatedSettings.parse(data), pinxit.TrainingSettings.parse(training)
    )
    return out


def segmenter(work: Path, size: str, asked: Any) -> reading.Recogniser[Any]:
    """Return the segmenter of real photographs."""
    out = work / "runs" / "segmenter"
    if not is_run(out):
        settings = pinxit.OBJECTIVES["segment"].parse({"network": "lite0"})
        data = settings.pictures.parse({"size": size, "flip": True})
        length = {"steps": asked.steps} if asked.steps else {"minutes": asked.segmenter_minutes}
        training = pinxit.TrainingSettings.parse({**length, "threads": asked.threads})
        pinxit.train(settings, f"{work / 'segments'}:train", out, data, training)
    return reading.load(out)


def published(work: Path, size: str, pictures: int, asked: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return the published way, trained on as many pictures, from class numbers to photographs."""
    torch.manual_seed(asked.seed)
    torch.set_num_threads(asked.threads)
    names = sorted(path.name for path in (work / "A" / "train").iterdir())
    labels = [read_mask(work / "A" / "train" / name).pixels for name in names]
    count = max(int(one[one != VOID].max()) for one in labels) + 1
    photos = [to_float(load_image(work / "B" / "train" / name)[None])[0] for name in names]
    side = math.gcd(*sides(size))
    method = Pix2Pix(count, 3, side)

    def planes(numbers: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((numbers == np.arange(count)).astype(np.float32)).movedim(2, 0)

    rng = np.random.default_rng(asked.seed)
    for _ in range(pictures // asked.batch):
        chosen, mirrored = rng.integers(0, len(names), asked.batch), rng.random(asked.batch) < 0.5
        both = [(planes(labels[one]), photos[one]) for one in chosen]
        rows = [[part.flip(2) if flip else part for part in pair] for pair, flip in zip(both, mirrored, strict=True)]
        method.step(torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows]))

    def translate(numbers: np.ndarray) -> np.ndarray:
        made = method.translate(planes(numbers)[None])[0].clamp(0, 1)
        return (255 * made.movedim(0, 2)).round().byte().numpy()

    return translate


class Judge:
    """Held-out pictures, and the measures of what is made of them."""

    def __init__(self, work: Path, case: Case, segments: Any) -> None:
        self.work, self.case, self.segments = work, case, segments
        self.names = sorted(path.name for path in (work / "A" / "test").iterdir())
        self.true = {name: load_image(work / "B" / "test" / name) for name in self.names}
        self.train = sorted((work / "B" / "train").iterdir())
        self.features: dict[str, torch.Tensor] = {}

    def read(self, pictures: list[np.ndarray]) -> torch.Tensor:
        """Return the features of pictures."""
        rows = torch.cat([EXTRACTORS[EXTRACTOR].prepare(to_float(pixels[None])) for pixels in pictures])
        return EXTRACTORS[EXTRACTOR].extract(rows).features

    def kd(self, pictures: list[np.ndarray]) -> float:
        """Return kd x 1,000 against the true held-out pictures."""
        if "true" not in self.features:
            self.features["true"] = self.read([self.true[name] for name in self.names])
        return 1000 * kernel_distance(self.read(pictures), self.features["true"])

    def floor(self) -> float:
        """Return the kd of as many training pictures."""
        places = np.linspace(0, len(self.train) - 1, min(len(self.names), len(self.train))).astype(int)
        return self.kd([load_image(self.train[place]) for place in places])

    def segmented(self, made: dict[str, np.ndarray]) -> dict[str, float]:
        """Return the FCN-score of pictures, or the accuracies of label maps in their colours."""
        known: np.ndarray | None = None
        for name, pixels in made.items():
            truth = read_mask(self.work / "segments" / "masks" / "test" / name).pixels[..., 0]
            found = self.numbers(pixels) if self.case.judged == "labels" else self.segments.read(pixels)[0]
            counts = np.bincount(256 * truth[truth != VOID].astype(int) + found[truth != VOID], minlength=65536)
            known = counts if known is None else known + counts
        assert known is not None
        table = known.reshape(256, 256)
        true, hits = table.sum(1), table.diagonal()
        there = true > 0
        union = true + table.sum(0) - hits
        return {
            "pixel accuracy": float(hits.sum() / true.sum()),
            "class accuracy": float((hits[there] / true[there]).mean()),
            "mean IoU": float((hits[there] / union[there]).mean()),
        }

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class numbers of a label map in colours."""
        palette = np.array(Image.open(self.train[0]).getpalette(), int).reshape(-1, 3)
        return ((pixels[:, :, None].astype(int) - palette) ** 2).sum(3).argmin(2)

    def scores(self, made: dict[str, np.ndarray]) -> dict[str, float]:
        """Return all measures of a row."""
        found: dict[str, float] = {}
        if self.segments is not None or self.case.judged == "labels":
            found |= self.segmented(made)
        if self.case.judged == "labels":
            return found
        found["L1"] = float(np.mean([np.abs(made[n].astype(int) - self.true[n]).mean() / 255 for n in self.names]))
        if self.case.judged == "pictures":
            pairs = [(to_float(made[n][None]), to_float(self.true[n][None])) for n in self.names]
            found["st-lpips"] = float(np.mean([float(PERCEPTUAL[LPIPS].measure(*pair)) for pair in pairs]))
        return found | {"kd": self.kd([made[name] for name in self.names])}


def results(
    work: Path, name: str, case: Case, judge: Judge, asked: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return what a row makes of the held-out pictures, and facts of its training."""
    given = work / "A" / "test"
    if name == "identity":
        return {one: load_image(given / one) for one in judge.names}, {}
    if name == "mean colour":
        mean = np.mean([load_image(path).mean((0, 1)) for path in judge.train], axis=0).round().astype(np.uint8)
        return {one: np.broadcast_to(mean, true.shape).copy() for one, true in judge.true.items()}, {}
    if name == "published":
        run = Run.open(trained(work, "L1 + cGAN", case, asked))
        translate = published(work, case.size, run.facts()["images"], asked)
        return {one: translate(read_mask(given / one).pixels) for one in judge.names}, {"images": run.facts()["images"]}
    run = Run.open(trained(work, name, case, asked))
    settings = Translate(model=run.folder)
    bound = settings.bind()
    made = {one: edit(load_image(given / one), [bound], device="cpu") for one in judge.names}
    kept = ("images", "seconds", "images_per_second", "steps")
    return made, {key: run.facts().get(key) for key in kept}


def sheet(work: Path, judge: Judge, shown: dict[str, dict[str, np.ndarray]]) -> None:
    """Write a sheet: a line for each of 16 held-out pictures, with what was given, each row, and the truth."""
    lines = []
    for name in judge.names[:: max(1, len(judge.names) // SHOWN)][:SHOWN]:
        columns = [load_image(work / "A" / "test" / name), *(made[name] for made in shown.values()), judge.true[name]]
        lines += [np.broadcast_to(one, (*one.shape[:2], 3)) for one in columns]
    save_sheet(work / "sheet.png", grid(np.stack(lines), len(shown) + 2))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", nargs="*")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--segmenter-minutes", type=float, default=10.0)
    for name, default in (("steps", 0), ("batch", 4), ("threads", 2), ("limit", 0), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    case = CASES[asked.case]
    work = asked.work / asked.case
    prepare(asked.case, asked.data, work, case.size, asked.limit)
    judge = Judge(work, case, segmenter(work, case.size, asked) if case.judged == "photographs" else None)
    rows: dict[str, Any] = {}
    if case.judged != "labels":
        rows["true"] = judge.scores(judge.true) | {"floor": judge.floor()}
    shown: dict[str, dict[str, np.ndarray]] = {}
    for name in asked.rows or case.rows:
        shown[name], facts = results(work, name, case, judge, asked)
        rows[name] = judge.scores(shown[name]) | facts
        print(f"{name}: {json.dumps(rows[name])}", flush=True)
        write(asked.out, record(__doc__, {key: str(value) for key, value in vars(asked).items()}, rows=rows))
    sheet(work, judge, shown)
    judged = "st-lpips" if case.judged == "pictures" else "mean IoU"
    print("  ".join(f"{name} {row[judged]:.3f}" for name, row in rows.items()))


if __name__ == "__main__":
    main()
