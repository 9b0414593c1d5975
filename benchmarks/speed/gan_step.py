"""The speed of our training step against PyTorch's DCGAN example, with the same networks and loss.

    python benchmarks/speed/gan_step.py [--rounds 9] [--steps 8] [--out results.json]

Both arms: DCGAN of 64 channels at 28 x 28, batch 128, non-saturating loss, Adam, two threads, in turn in one process.
The plain arm is written as the example is: float32, NCHW, a DataLoader, fakes made once and detached for the
discriminator, two backward passes into it, and nothing frozen, so the generator's backward pass fills the
discriminator's gradients too. Ours is `Trainer.advance` with everything it does: batch, check for non-finite values,
gradient norms, weight average.

The last line of stdout is `ratio X`: the median over rounds of plain seconds / our seconds.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from pinxit import hardware
from pinxit.data import ImageSet, batch_at, open_data
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.gan import GAN
from pinxit.objectives.settings import GANSettings
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

BATCH, SIZE, THREADS = 128, 28, 2
SAME = GANSettings(network="dcgan", channels=64, loss="non-saturating", discriminator_norm="batch", r1=0, r2=0)
SHAPES = [  # maps, channels in, channels out, side, kernel
    (128, 64, 64, 28, 3), (128, 64, 128, 14, 3), (128, 128, 128, 14, 3), (128, 128, 256, 14, 3),
    (128, 256, 256, 14, 3), (128, 64, 128, 14, 5), (64, 512, 512, 14, 3), (32, 256, 256, 56, 3),
]  # fmt: skip


def ours(settings: GANSettings, images: ImageSet, precision: str = "auto") -> Trainer:
    """Return pinxit's trainer for a GAN on MNIST."""
    torch.manual_seed(0)
    objective = settings.build(PictureShape(SIZE, 1))
    training = TrainingSettings(steps=10**9, batch_size=BATCH, seed=0)
    computing = hardware.choose("cpu", precision, THREADS)
    return Trainer(objective, lambda step: batch_at(images, step, BATCH, 0, size=SIZE), training, computing)


class Plain:
    """The well-known example's step, line by line, on pinxit's networks."""

    def __init__(self, networks: GAN, images: ImageSet) -> None:
        self.generator, self.discriminator = networks.networks["generator"], networks.networks["discriminator"]
        self.latent = networks.settings.latent
        self.criterion = nn.BCEWithLogitsLoss()
        self.optimiser_d = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.optimiser_g = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.loader = self.endless(DataLoader(TensorDataset(images.tensor(SIZE)), BATCH, shuffle=True, drop_last=True))

    @staticmethod
    def endless(loader: DataLoader[tuple[torch.Tensor, ...]]) -> Iterator[torch.Tensor]:
        while True:
            for (image,) in loader:
                yield image

    def step(self) -> None:
        real = next(self.loader)
        label = torch.full((BATCH,), 1.0)
        self.discriminator.zero_grad()
        loss_real = self.criterion(self.discriminator(real), label)
        loss_real.backward()
        fake = self.generator(torch.randn(BATCH, self.latent))
        loss_fake = self.criterion(self.discriminator(fake.detach()), label.fill_(0.0))
        loss_fake.backward()
        self.optimiser_d.step()
        self.generator.zero_grad()
        loss_generator = self.criterion(self.discriminator(fake), label.fill_(1.0))
        loss_generator.backward()
        self.optimiser_g.step()
        (loss_real.item(), loss_fake.item(), loss_generator.item())  # the example prints them


def seconds(step: Callable[[], object], steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - started) / steps


def alternate(
    one: Callable[[], object], other: Callable[[], object], rounds: int, steps: int
) -> list[tuple[float, float]]:
    """Time both in turn, after a warm-up, and return the seconds a step of each round."""
    seconds(one, 3), seconds(other, 3)
    return [(seconds(one, steps), seconds(other, steps)) for _ in range(rounds)]


def peak() -> dict[str, float]:
    """Return the machine's bf16 convolution rate in GFLOP/s (a multiply-add is two) for each shape of `SHAPES`."""
    rates = {}
    for maps, inside, outside, side, kernel in SHAPES:
        layer = nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False, dtype=torch.bfloat16)
        layer.to(memory_format=torch.channels_last)
        x = torch.randn(maps, inside, side, side).bfloat16().contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            layer(x)
            fastest = min(seconds(lambda layer=layer, x=x: layer(x), 3) for _ in range(5))
        rates[f"{maps}x{inside}->{outside} {side}px k{kernel}"] = (
            2 * maps * side**2 * outside * inside * kernel**2 / fastest / 1e9
        )
    return rates


def flops(step: Callable[[], object]) -> float:
    """Return the floating-point operations of one step as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def measure(rounds: int, steps: int) -> dict[str, Any]:
    torch.set_num_threads(THREADS)
    images = open_data("mnist").train
    trainer = ours(SAME, images)
    networks = copy.deepcopy(ours(SAME, images, "float32").objective).networks.to(memory_format=torch.contiguous_format)
    plain_objective = SAME.build(PictureShape(SIZE, 1))
    plain_objective.networks.load_state_dict(networks.state_dict())
    plain = Plain(plain_objective, images)
    times = alternate(plain.step, trainer.advance, rounds, steps)
    operations = flops(ours(SAME, images).advance)
    rates = peak()
    our_rate = operations / statistics.median(mine for _, mine in times) / 1e9

    default = GANSettings()
    fast, slow = ours(default, images), ours(default, images, "float32")
    slow.objective.networks.to(memory_format=torch.contiguous_format)
    slow.hardware = Contiguous(**vars(slow.hardware))
    own = alternate(slow.advance, fast.advance, rounds, steps)
    return {
        "ratio": statistics.median(plain_s / mine for plain_s, mine in times),
        "plain_images_per_second": BATCH / statistics.median(plain_s for plain_s, _ in times),
        "our_images_per_second": BATCH / statistics.median(mine for _, mine in times),
        "our_gflop_per_step": operations / 1e9,
        "our_gflops": our_rate,
        "bf16_convolution_gflops": rates,
        "share_of_peak": our_rate / max(rates.values()),
        "default_recipe_ratio_to_float32_nchw": statistics.median(a / b for a, b in own),
        "default_recipe_images_per_second": BATCH / statistics.median(b for _, b in own),
        "rounds": [[round(a, 5), round(b, 5)] for a, b in times],
        "computing": trainer.hardware.describe(),
    }


class Contiguous(hardware.Hardware):
    """The same hardware in NCHW memory format."""

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.contiguous_format


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=8)
    asked = parser.parse_args()
    result = measure(asked.rounds, asked.steps)
    protocol = {"steps": asked.steps, "batch": BATCH, "size": SIZE, "threads": THREADS}
    write(asked.out, record(__doc__, protocol, **result))
    for name, rate in result["bf16_convolution_gflops"].items():
        print(f"bf16 convolution {name}: {rate:,.0f} GFLOP/s")
    print(
        f"plain {result['plain_images_per_second']:,.0f}, ours {result['our_images_per_second']:,.0f} pictures a second"
    )
    print(f"our step: {result['our_gflop_per_step']:.1f} GFLOP at {result['our_gflops']:,.0f} GFLOP/s")
    print(f"share of this machine's best bf16 convolution: {result['share_of_peak']:.2f}")
    print(f"default recipe against its own float32 NCHW form: {result['default_recipe_ratio_to_float32_nchw']:.2f}")
    print(f"ratio {result['ratio']:.2f}")


if __name__ == "__main__":
    main()
