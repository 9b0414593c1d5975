"""The speed of our training of translators against the published way, and of the methods against each other.

    python benchmarks/speed/translation.py [--rounds 5] [--steps 3] [--size 128] [--batch 4] [--threads 2] [--out FILE]

Pairs of arms, in turn in one process, on the same random pictures in colour: pix2pix and CycleGAN as published
(`benchmarks/published.py`: float32, NCHW, 64 channels), and `Trainer.advance` by the defaults of `pinxit train
translate` with and without pairs, with everything it does. A third pair is our two methods without pairs, `contrast`
against `cycle`. Seconds are those of a step; `memory` is the peak of what tensors hold in a step beside the pictures.

The last lines of stdout are the ratios: the median over rounds of published seconds / our seconds, and of the seconds
and the memory of contrast / those of cycle.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pinxit import hardware
from pinxit.data import Batch
from pinxit.nets.peak import Peak
from pinxit.nets.shapes import PictureShape, Planes, Target
from pinxit.objectives.settings import TranslationSettings
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1]))
from published import CycleGAN, Pix2Pix
from record import arguments, record, write


def pictures(size: int, batch: int, step: int) -> Batch:
    """Return a batch of random pictures with pairs and others."""
    rng = np.random.default_rng(step % 4)
    image, pair = (torch.from_numpy(rng.random((batch, 3, size, size), dtype=np.float32)) for _ in range(2))
    return Batch(image=image, pair=pair, other=pair, seed=0, step=step)


def ours(settings: TranslationSettings, paired: bool, size: int, batch: int, threads: int) -> Callable[[], object]:
    """Return our step."""
    torch.manual_seed(0)
    objective = settings.build(PictureShape(size, 3, target=Target(Planes(3), paired)))
    training = TrainingSettings(steps=10**6, batch_size=batch)
    trainer = Trainer(
        objective, lambda step: pictures(size, batch, step), training, hardware.choose("cpu", "auto", threads)
    )
    return trainer.advance


def published(kind: str, size: int, batch: int) -> Callable[[], object]:
    """Return the published step."""
    torch.manual_seed(0)
    method: Pix2Pix | CycleGAN = Pix2Pix(3, 3, size) if kind == "pairs" else CycleGAN(3, 3)
    made = pictures(size, batch, 0)
    assert made.pair is not None
    return lambda: method.step(made.image, made.pair)  # type: ignore[arg-type]


def seconds(step: Callable[[], object], steps: int) -> float:
    """Return the seconds of a step."""
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - started) / steps


def peak(step: Callable[[], object]) -> int:
    """Return the peak memory of a step in bytes."""
    with Peak() as measured:
        step()
    return int(measured.most)


def main() -> None:
    parser = arguments(__doc__)
    for name, default in (("rounds", 5), ("steps", 3), ("size", 128), ("batch", 4), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    of = (asked.size, asked.batch, asked.threads)
    arms = {
        "pairs": (published("pairs", asked.size, asked.batch), ours(TranslationSettings(), True, *of)),
        "cycle": (published("cycle", asked.size, asked.batch), ours(TranslationSettings(), False, *of)),
        "contrast beside cycle": (
            ours(TranslationSettings(method="contrast"), False, *of), ours(TranslationSettings(), False, *of)
        ),
    }  # fmt: skip
    rows = {}
    for name, pair in arms.items():
        for step in pair:
            step()  # warm up
        times = [[seconds(step, asked.steps) for step in pair] for _ in range(asked.rounds)]
        rows[name] = {
            "seconds": times, "memory": [peak(step) for step in pair],
            "ratio": statistics.median(one / other for one, other in times),
        }  # fmt: skip
        print(f"{name}: seconds {times}, memory {rows[name]['memory']}", flush=True)
        write(asked.out, record(__doc__, vars(asked) | {"out": str(asked.out)}, rows=rows))
    for name in ("pairs", "cycle"):
        print(f"ratio {name} {rows[name]['ratio']:.2f}")
    memory = rows["contrast beside cycle"]["memory"]
    print(f"contrast / cycle: seconds {rows['contrast beside cycle']['ratio']:.2f}, memory {memory[0] / memory[1]:.2f}")


if __name__ == "__main__":
    main()
