"""Train the judges `digits-v1` and `digits-v2` on MNIST and write weights and cards into the package: `make weights`.

The same processor type gives the same bytes each time. If the bytes change, so must the sha256 in
`src/pinxit/metrics/extractors.py`, and no score made with the old ones may stand beside a new one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from pinxit.data import ImageSet, open_data
from pinxit.errors import DivergedError
from pinxit.files import write_whole
from pinxit.nets.lenet import LeNet
from pinxit.progress import say, track

SEEDS = {"digits-v1": 0, "digits-v2": 1}
EPOCHS = 5
BATCH_SIZE = 128
PEAK_RATE = 3e-3
LEAST_ACCURACY = 0.991

FOLDER = Path(__file__).parents[1] / "src" / "pinxit" / "weights"

CARD = """\
# {name}

The network in whose eyes `fd[{name}]`, `kd[{name}]` and `class entropy[{name}]` are told.

- **Network**: LeNet 16-32-128-64-10 (`pinxit.nets.lenet`). Its features are the 128 outputs of the first fully
  connected layer, after ReLU.
- **Data**: the 60,000 training digits of MNIST (LeCun, Cortes and Burges, 1998), values / 255; fingerprint
  `{fingerprint}`.
- **Training**: plain cross-entropy; no augmentation, smoothing, dropout or weight decay. Adam with one cycle up to
  {rate}, {epochs} epochs in batches of {batch_size}, float32, one thread, seed {seed}. Script: `weights/digits.py`.
- **Accuracy**: {accuracy:.2%} of the 10,000 test digits.
- **File**: `{name}.safetensors`, {size:,} bytes, sha256 `{sha256}`.
- **Licence**: Apache-2.0, as the rest of pinxit.

What it cannot do: it has seen nothing but centred, white-on-black digits of 28x28. It gives numbers for any picture,
but they mean something for handwritten digits only. Its scale is its own: its values cannot be compared with those of
another extractor, least of all with `fid` and `kid` of the 2015 Inception network. Another seed can put two close
models in another order, which is why there are two of its kind.
"""


def train(digits: ImageSet, seed: int) -> LeNet:
    """Return a LeNet trained from `seed` on all pictures of a labelled set."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    images, labels = _tensors(digits)
    network = LeNet()
    optimiser = torch.optim.Adam(network.parameters())
    steps = EPOCHS * (len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps)
    order = [
        batch
        for _ in range(EPOCHS)
        for batch in torch.randperm(len(images), generator=rng).split(BATCH_SIZE)
        if len(batch) == BATCH_SIZE
    ]
    for chosen in track(order, f"seed {seed}", steps):
        optimiser.zero_grad()
        F.cross_entropy(network(images[chosen]).logits, labels[chosen]).backward()
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: LeNet, digits: ImageSet) -> float:
    """Return the share of a labelled set that the network names rightly."""
    images, labels = _tensors(digits)
    named = torch.cat([network(batch).logits.argmax(1) for batch in images.split(500)])
    return (named == labels).double().mean().item()


def _tensors(digits: ImageSet) -> tuple[Tensor, Tensor]:
    return digits.tensor(LeNet.side), torch.as_tensor(digits.labels)


def main() -> None:
    """Train, judge and write both networks."""
    torch.set_num_threads(1)
    digits = open_data("mnist")
    for name, seed in SEEDS.items():
        network = train(digits.train, seed)
        right = accuracy(network, digits.held_out)
        if right < LEAST_ACCURACY:
            raise DivergedError(f"{name} names {right:.2%} of the test digits; a judge must name {LEAST_ACCURACY:.1%}")
        weights = save(network.state_dict())
        sha256 = hashlib.sha256(weights).hexdigest()
        card = CARD.format(
            name=name,
            fingerprint=digits.train.fingerprint,
            rate=PEAK_RATE,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            seed=seed,
            accuracy=right,
            size=len(weights),
            sha256=sha256,
        )
        write_whole(FOLDER / f"{name}.safetensors", weights)
        write_whole(FOLDER / f"{name}.md", card)
        say(f"{name}: {right:.2%} of the test digits, sha256 {sha256}")


if __name__ == "__main__":
    main()
