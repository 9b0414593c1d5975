"""Train the extractors `digits-v1` and `digits-v2` on MNIST and publish weights and cards: `make weights`.

One processor type always gives the same bytes. If the bytes change, update the sha256 in
`src/pinxit/metrics/extractors.py`; old and new scores are then not comparable.
"""

from __future__ import annotations

import torch
from package import publish
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from pinxit.data import ImageSet, open_data
from pinxit.errors import DivergedError
from pinxit.nets.lenet import LeNet
from pinxit.progress import say, track

SEEDS = {"digits-v1": 0, "digits-v2": 1}
EPOCHS = 5
BATCH_SIZE = 128
PEAK_RATE = 3e-3
LEAST_ACCURACY = 0.991

CARD = """\
# {name}

The extractor of the scores `fd[{name}]`, `kd[{name}]` and `class entropy[{name}]`.

- **Network**: LeNet 16-32-128-64-10 (`pinxit.nets.lenet`). Its features are the 128 outputs of the first fully
  connected layer, after ReLU.
- **Data**: the 60,000 training digits of MNIST (LeCun, Cortes and Burges, 1998), values / 255; fingerprint
  `{fingerprint}`.
- **Training**: plain cross-entropy; no augmentation, smoothing, dropout or weight decay. Adam with one cycle up to
  {rate}, {epochs} epochs in batches of {batch_size}, float32, one thread, seed {seed}. Script: `weights/digits.py`.
- **Accuracy**: {accuracy:.2%} of the 10,000 test digits.
- **File**: `{name}.safetensors`, {size:,} bytes, sha256 `{sha256}`.
- **Licence**: Apache-2.0, as the rest of pinxit.

Limits: it was trained only on centred, white-on-black digits of 28x28. It gives values for any picture, but they are
meaningful only for handwritten digits. Its values cannot be compared with those of another extractor, in particular not
with `fid` and `kid` of the 2015 Inception network. Another seed can rank two close models differently, so there are two
such extractors.
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
    """Return the share of a labelled set that the network classifies correctly."""
    images, labels = _tensors(digits)
    predicted = torch.cat([network(batch).logits.argmax(1) for batch in images.split(500)])
    return (predicted == labels).double().mean().item()


def _tensors(digits: ImageSet) -> tuple[Tensor, Tensor]:
    return digits.tensor(LeNet.side), torch.as_tensor(digits.labels)


def main() -> None:
    """Train, test and publish both networks."""
    torch.set_num_threads(1)
    digits = open_data("mnist")
    for name, seed in SEEDS.items():
        network = train(digits.train, seed)
        right = accuracy(network, digits.held_out)
        if right < LEAST_ACCURACY:
            raise DivergedError(f"{name} has an accuracy of {right:.2%}; an extractor needs {LEAST_ACCURACY:.1%}")
        publish(
            name,
            save(network.state_dict()),
            CARD,
            fingerprint=digits.train.fingerprint,
            rate=PEAK_RATE,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            seed=seed,
            accuracy=right,
        )
        say(f"{name}: accuracy {right:.2%} on the test digits")


if __name__ == "__main__":
    main()
