"""The cost of all set metrics with their intervals, against the plain way of writing them.

    python benchmarks/speed/set_metrics.py [--n 10000] [--dimensions 1280] [--out results.json]

Two sets of N rows: features max(0, normal x random matrix) with D columns, float32, and posteriors of 1,000 classes.
Each arm runs once in a process of its own on two threads. It reports seconds, without imports and drawing, and peak
memory (`ru_maxrss`). Beside other jobs its processor seconds are more reliable. The arms:

    ours    `estimates` of all nine metrics of `SETS`, each with its 95 % interval
    same    `values` of fd, precision, recall, density and coverage, the metrics of the plain arm
    plain   these five without intervals: the Frechet distance by `scipy.linalg.sqrtm`, as in pytorch-fid, and dense
            N x N float64 distances with `numpy.argpartition`, as in the package prdc (its scikit-learn distances
            replaced by `torch.cdist`, also a matrix product), k = 5

The plain arm's values must equal ours. The last line of stdout is `ratio X`: plain seconds / `same` seconds.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.linalg
import torch

from pinxit.metrics import sets
from pinxit.metrics.features import Extracted
from pinxit.metrics.intervals import estimates, values
from pinxit.metrics.sets import SETS

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

THREADS, CLASSES, K = 2, 1000, 5


def draw(n: int, dimensions: int, seed: int) -> Extracted:
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(99)) / dimensions**0.5
    features = (torch.randn(n, dimensions, generator=rng) @ mixing).relu()
    return Extracted(features, (3 * torch.randn(n, CLASSES, generator=rng)).softmax(1))


def ours(generated: Extracted, reference: Extracted) -> dict[str, object]:
    return {name: vars(estimate) for name, estimate in estimates(generated, reference, list(SETS)).items()}


def same(generated: Extracted, reference: Extracted) -> dict[str, object]:
    return dict(values(generated, reference, ["fd", "precision", "recall", "density", "coverage"]))


def plain(generated: Extracted, reference: Extracted) -> dict[str, object]:
    fake, real = generated.features.double(), reference.features.double()
    return {"fd": plain_frechet(fake.numpy(), real.numpy()), **plain_prdc(real, fake)}


def plain_frechet(one: np.ndarray, other: np.ndarray) -> float:
    covariance1, covariance2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = scipy.linalg.sqrtm(covariance1 @ covariance2)
    difference = one.mean(0) - other.mean(0)
    return float(difference @ difference + np.trace(covariance1) + np.trace(covariance2) - 2 * np.trace(root.real))


def plain_prdc(real: torch.Tensor, fake: torch.Tensor) -> dict[str, object]:
    real_radii, fake_radii = (kth(torch.cdist(side, side).numpy()) for side in (real, fake))
    across = torch.cdist(real, fake).numpy()
    return {
        "precision": float((across < real_radii[:, None]).any(0).mean()),
        "recall": float((across < fake_radii[None]).any(1).mean()),
        "density": float((across < real_radii[:, None]).sum(0).mean() / K),
        "coverage": float((across.min(1) < real_radii).mean()),
    }


def kth(distances: np.ndarray) -> np.ndarray:
    smallest = np.argpartition(distances, K + 1, axis=-1)[..., : K + 1]
    return np.take_along_axis(distances, smallest, axis=-1).max(-1)


ARMS: dict[str, Callable[[Extracted, Extracted], dict[str, object]]] = {"ours": ours, "same": same, "plain": plain}


def run_arm(arm: str, n: int, dimensions: int) -> dict[str, object]:
    """Measure one arm in this process."""
    torch.set_num_threads(THREADS)
    generated, reference = draw(n, dimensions, 0), draw(n, dimensions, 1)
    started, processor = time.perf_counter(), time.process_time()
    found = ARMS[arm](generated, reference)
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "values": found,
    }


def start_arm(arm: str, n: int, dimensions: int) -> dict[str, object]:
    """Measure one arm in a process of its own."""
    command = [sys.executable, __file__, "--arm", arm, "--n", str(n), "--dimensions", str(dimensions)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def check(same: dict[str, float], plain: dict[str, float], n: int, dimensions: int) -> None:
    """Exit if the plain arm's values are not ours (precision and recall at the package's k = 5)."""
    generated, reference = draw(n, dimensions, 0).features, draw(n, dimensions, 1).features
    expected = same | {name: getattr(sets, name)(generated, reference, K) for name in ("precision", "recall")}
    for name, value in plain.items():
        if abs(value - expected[name]) > 1e-5 * abs(value) + 2e-4:
            raise SystemExit(f"{name}: plain {value}, ours {expected[name]}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=1280)
    parser.add_argument("--arm", choices=ARMS, help="measure only this arm, in this process")
    asked = parser.parse_args()
    if asked.arm:
        print(json.dumps(run_arm(asked.arm, asked.n, asked.dimensions)))
        return
    arms = {arm: start_arm(arm, asked.n, asked.dimensions) for arm in ARMS}
    for arm, measured in arms.items():
        seconds, processor, peak = (measured[key] for key in ("seconds", "processor_seconds", "peak_gb"))
        print(f"{arm}: {seconds:.1f} s ({processor:.1f} s of processors), peak {peak:.2f} GB", flush=True)
    check(arms["same"]["values"], arms["plain"]["values"], asked.n, asked.dimensions)
    ratio = arms["plain"]["seconds"] / arms["same"]["seconds"]
    protocol = {"n": asked.n, "dimensions": asked.dimensions, "classes": CLASSES, "threads": THREADS, "seeds": [0, 1]}
    write(asked.out, record(__doc__, protocol, ratio=ratio, arms=arms))
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
