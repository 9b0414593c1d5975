"""The speed of feature extraction by `lite0`, against the plain loop over the network as it was published.

    python benchmarks/speed/lite0_features.py [--rounds 7] [--pictures 48] [--out results.json]

Both arms: the same random pictures of 256 x 256 from seed 0, one resize to 224 x 224, float32, the same batch size,
two threads, in turn in one process. The plain arm is the usual loop: NCHW, each convolution followed by its batch norm,
`eval` and `no_grad`. Ours is `Extractor.extract` with everything it does: checks, batch norm folded, channels_last,
posteriors. The features of both arms must agree to 1e-3 of the largest.

The last line of stdout is `ratio X`: the median over rounds of plain seconds / our seconds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.metrics.extractors import EXTRACTORS
from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.pretrained import BATCH_NORM_EPS, lite0_weights

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

THREADS, SIDE = 2, 256
LITE0 = EXTRACTORS["lite0"]


def published() -> EfficientNetLite0:
    """Return the network with a batch norm after each convolution, which adds only what the bias did."""
    network = EfficientNetLite0()
    network.load_state_dict(lite0_weights())
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d):
                norm = nn.BatchNorm2d(layer.out_channels, BATCH_NORM_EPS)
                norm.running_var.fill_(1 - BATCH_NORM_EPS)
                norm.bias.data.copy_(layer.bias.data)
                layer.bias = None
                setattr(parent, name, nn.Sequential(layer, norm))
    return network.eval()


@torch.no_grad()
def plain(network: nn.Module, pictures: Tensor) -> Tensor:
    return torch.cat(
        [
            network(F.interpolate(rows, (LITE0.side, LITE0.side), mode="bilinear", antialias=True)).features
            for rows in pictures.split(LITE0.rows)
        ]
    )


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(rounds: int, count: int) -> dict[str, Any]:
    torch.set_num_threads(THREADS)
    pictures = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    network = published()
    theirs, ours = plain(network, pictures), LITE0.extract(pictures).features
    difference = float((theirs - ours).abs().max() / theirs.abs().max())
    if difference > 1e-3:
        raise SystemExit(f"the features of the arms differ by {difference:.1e}")
    times = [
        (seconds(lambda: plain(network, pictures)), seconds(lambda: LITE0.extract(pictures))) for _ in range(rounds)
    ]
    return {
        "ratio": statistics.median(a / b for a, b in times),
        "plain_pictures_per_second": count / statistics.median(a for a, _ in times),
        "our_pictures_per_second": count / statistics.median(b for _, b in times),
        "largest_difference": difference,
        "rounds": [[round(a, 3), round(b, 3)] for a, b in times],
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=48)
    asked = parser.parse_args()
    result = measure(asked.rounds, asked.pictures)
    protocol = {**LITE0.protocol(), "rows": LITE0.rows, "pictures": asked.pictures, "side": SIDE, "seed": 0}
    protocol["threads"] = THREADS
    write(asked.out, record(__doc__, protocol, **result))
    print(f"plain: {result['plain_pictures_per_second']:.1f} pictures a second")
    print(f"ours: {result['our_pictures_per_second']:.1f} pictures a second")
    print(f"largest difference of a feature: {result['largest_difference']:.1e} of the largest feature")
    print(f"ratio {result['ratio']:.2f}")


if __name__ == "__main__":
    main()
