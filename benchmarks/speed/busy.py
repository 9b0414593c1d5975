"""What a busy machine costs a training: alone, two at once, and beside a process that only computes.

    python benchmarks/speed/busy.py [--seconds 6] [--rounds 3] [--set NAME=VALUE,NAME=VALUE ...] [--out results.json]

The training is the default GAN on MNIST with one thread for each core. In the first arm threads wait as libgomp lets
them by itself, and the system chooses their cores; in the second they do as pinxit lets them (`pinxit/threads.py`);
each --set adds an arm with variables of the environment. The trainings of an arm live through the whole benchmark and
compute only when it is their turn; the arms take turns in every round. A measurement begins a second and a half after
the computing. "two" is the sum of two trainings. Each row has the median over rounds of pictures a second, and its
ratio to the first arm alone. The weights after the first steps must be the same in all arms.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinxit.training.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
BEFORE = {"GOMP_SPINCOUNT": "300000", "OMP_PROC_BIND": "false"}  # what libgomp does without a setting
AFTER = dict[str, str]()
HASHED = 30
LEAD = 1.5  # seconds before a measurement


class Training:
    """A training in a process of its own, which computes for some seconds when it is told to."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        environment = {
            name: value for name, value in os.environ.items() if name not in (*WAITING, "OMP_NUM_THREADS")
        } | dict(variables)
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--train"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.weights = self.read()

    def read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def start(self, seconds: float) -> None:
        assert self.process.stdin
        print(seconds, file=self.process.stdin, flush=True)


def measured(trainings: list[Training], seconds: float) -> float:
    """Return the pictures a second of all trainings together."""
    for training in trainings:
        training.start(seconds)
    return sum(float(training.read()) for training in trainings)


def beside_a_stranger(training: Training, seconds: float) -> float:
    """Return the pictures a second beside a process that uses one core."""
    stranger = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        return measured([training], seconds)
    finally:
        stranger.kill()
        stranger.wait()


def train() -> None:
    """Be a training: print the weights' sha256 after some steps, then a rate for each line on stdin."""
    from hashlib import sha256

    import torch

    from pinxit import hardware
    from pinxit.data import batch_at, open_data
    from pinxit.nets.shapes import PictureShape
    from pinxit.objectives.settings import GANSettings
    from pinxit.threads import placed
    from pinxit.training.settings import TrainingSettings
    from pinxit.training.trainer import Trainer

    images = open_data("mnist").train
    torch.manual_seed(0)
    training = TrainingSettings(steps=10**9)
    size = training.batch_size
    computing = hardware.choose("cpu")
    computing.apply()
    objective = GANSettings().build(PictureShape(28, 1))
    trainer = Trainer(objective, lambda step: batch_at(images, step, size, 0, size=28), training, computing)
    for _ in range(HASHED):
        trainer.advance()
    weights = sha256()
    for value in objective.networks.state_dict().values():
        weights.update(value.contiguous().numpy().tobytes())
    print(weights.hexdigest(), flush=True)
    for line in sys.stdin:
        with placed(computing.threads):
            paced(trainer, LEAD)
            rate = paced(trainer, float(line))
        print(size * rate, flush=True)


def measure(arms: Mapping[str, Mapping[str, str]], rounds: int, seconds: float) -> dict[str, Any]:
    """Return the rates of every arm in every situation, and the weights' sha256."""
    trainings = {name: [Training(variables), Training(variables)] for name, variables in arms.items()}
    situations = {
        "alone": lambda pair: measured(pair[:1], seconds),
        "two": lambda pair: measured(pair, seconds),
        "stranger": lambda pair: beside_a_stranger(pair[0], seconds),
    }
    try:
        rates: dict[str, dict[str, list[float]]] = {arm: {name: [] for name in situations} for arm in arms}
        for _ in range(rounds):
            for name, situation in situations.items():
                for arm, pair in trainings.items():
                    rates[arm][name].append(round(situation(pair), 1))
        weights = {arm: sorted({training.weights for training in pair}) for arm, pair in trainings.items()}
    finally:
        for training in (training for pair in trainings.values() for training in pair):
            training.process.kill()
            training.process.wait()
    middle = {arm: {name: median(values) for name, values in of.items()} for arm, of in rates.items()}
    alone = middle["before"]["alone"]
    ratios = {arm: {name: round(value / alone, 3) for name, value in of.items()} for arm, of in middle.items()}
    return {"images_per_second": middle, "ratio_to_before_alone": ratios, "rounds": rates, "weights": weights}


def paced(trainer: Trainer, seconds: float) -> float:
    """Return the steps a second of a trainer that computes for some seconds."""
    steps, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        trainer.advance()
        steps += 1
    return steps / passed


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE,... for another arm")
    parser.add_argument("--train", action="store_true", help="be one of the trainings, told what to do on stdin")
    asked = parser.parse_args()
    if asked.train:
        train()
        return
    arms = {"before": BEFORE, "after": AFTER} | {
        names: dict(part.split("=") for part in names.split(",")) for names in asked.set
    }
    result = measure(arms, asked.rounds, asked.seconds)
    protocol = {"seconds": asked.seconds, "rounds": asked.rounds, "arms": arms, "steps_before_hash": HASHED}
    write(asked.out, record(__doc__, protocol, **result))
    for arm, values in result["images_per_second"].items():
        ratios = result["ratio_to_before_alone"][arm]
        print(f"{arm:<28}", *(f"{name} {value:,.0f} ({ratios[name]:.2f})" for name, value in values.items()), sep="  ")
    hashes = {weights for found in result["weights"].values() for weights in found}
    print("weights", "equal" if len(hashes) == 1 else "DIFFERENT", *hashes)


if __name__ == "__main__":
    main()
