"""The speed of VAE training: a whole `pinxit.train` against a whole training by pythae 0.1.2's `BaseTrainer`.

    python3.11 -m venv both && both/bin/pip install -c constraints.txt pythae==0.1.2 -e .
    both/bin/python benchmarks/speed/vae_pythae.py [--epochs 2] [--rounds 3] [--threads 2] [--workers 0] --out X.json

All arms train the same networks (a row of `NETWORKS`: pinxit's, wrapped as pythae's encoder and decoder) from the same
distribution of weights, on the same 60,000 MNIST digits at 28 pixels in [0, 1], in batches of 100, with Adam at 1e-3
and the same loss (Bernoulli cross entropy of the greys plus KL), for as many epochs. The arms run in turn, each in a
process of its own. The clock covers everything a user waits for after the imports. For pinxit that is opening the set,
steps, sheets, checkpoints, samplers and report; for pythae, making the trainer, epochs and the final model. pythae's
pictures are in memory as float32 before the clock starts, and it saves no checkpoint and evaluates nothing on the way;
`--workers` are its loader's processes. pinxit computes in bf16 if the processor has it, which pythae offers only on
CUDA; the arm "float32" is pinxit without it.

`images_per_second` is a median with the lowest and the highest round. `ratio` is the median over rounds of pythae's
seconds / ours. Quality at equal images is -ELBO in nats a picture on the 10,000 test digits, by one function in
float32, with each arm's weights: pinxit's running average, pythae's best epoch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

import pinxit
from pinxit.data import Batch, open_data
from pinxit.nets.shapes import PictureShape

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

SHAPE, BATCH, DIGITS = PictureShape(28, 1), 100, 60_000
NETWORKS = {
    name: pinxit.VAESettings(network=name, channels=channels, latent=16, likelihood="bernoulli")
    for name, channels in (("residual", 16), ("convolutional", 64), ("dense", 64))
}
WEIGHTS = "weights.safetensors"


def ours(asked: argparse.Namespace, folder: Path, precision: str = "auto") -> float:
    """Train by pinxit, leave the weights in the folder, and return the seconds."""
    settings = NETWORKS[asked.network]
    training = pinxit.TrainingSettings(
        steps=asked.epochs * DIGITS // BATCH,
        batch_size=BATCH,
        seed=asked.seed,
        threads=asked.threads,
        precision=precision,
    )
    started = time.perf_counter()
    run = pinxit.train(settings, "mnist", folder / "run", training=training)
    seconds = time.perf_counter() - started
    (folder / WEIGHTS).write_bytes(run.weights.read_bytes())
    return seconds


def theirs(asked: argparse.Namespace, folder: Path) -> float:
    """Train the same networks by pythae, leave the weights in the folder, and return the seconds."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self, networks: nn.ModuleDict) -> None:
            super().__init__()
            self.encoder, self.posterior = networks["encoder"], networks["posterior"]

        def forward(self, image: torch.Tensor) -> ModelOutput:
            mean, log_variance = self.posterior(self.encoder(image), None)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self, networks: nn.ModuleDict) -> None:
            super().__init__()
            self.decoder = networks["decoder"]

        def forward(self, latent: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.decoder(latent).sigmoid())

    torch.set_num_threads(asked.threads)
    torch.manual_seed(asked.seed)
    settings = NETWORKS[asked.network]
    networks = settings.build(SHAPE).networks
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=settings.latent, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(networks), decoder=Decoder(networks))
    digits = BaseDataset(open_data("mnist").train.tensor(28), torch.zeros(DIGITS))
    training = BaseTrainerConfig(
        output_dir=str(folder / "pythae"),
        num_epochs=asked.epochs,
        per_device_train_batch_size=BATCH,
        train_dataloader_num_workers=asked.workers,
        learning_rate=settings.learning_rate,
        seed=asked.seed,
    )
    started = time.perf_counter()
    trainer = BaseTrainer(model, digits, training_config=training)
    trainer.train()
    seconds = time.perf_counter() - started
    best = trainer._best_model
    parts = {"encoder": best.encoder.encoder, "posterior": best.encoder.posterior, "decoder": best.decoder.decoder}
    save_file(nn.ModuleDict(parts).state_dict(), folder / WEIGHTS)
    return seconds


ARMS: dict[str, Callable[[argparse.Namespace, Path], float]] = {
    "pythae": theirs,
    "pinxit": ours,
    "float32": lambda asked, folder: ours(asked, folder, "float32"),
}


def apart(arm: str, network: str, asked: argparse.Namespace) -> dict[str, float]:
    """Run one arm in a process of its own and return its seconds and its -ELBO."""
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--{name}={getattr(asked, name)}" for name in ("epochs", "threads", "workers", "seed")]
        words += ["--arm", arm, "--network", network, "--folder", folder]
        subprocess.run([sys.executable, __file__, *words], check=True)
        seconds = json.loads(Path(folder, "seconds.json").read_text())
        return {"seconds": seconds, "negative_elbo": negative_elbo(network, load_file(Path(folder, WEIGHTS)))}


@torch.no_grad()
def negative_elbo(network: str, weights: dict[str, torch.Tensor]) -> float:
    """Return -ELBO in nats a picture on the test digits, one latent each."""
    objective = NETWORKS[network].build(SHAPE)
    objective.networks.load_state_dict(weights)
    parts = open_data("mnist").held_out.tensor(28).split(500)
    found = [objective.judge(Batch(image=part, seed=0, step=step)) for step, part in enumerate(parts)]
    return statistics.fmean(found)


def spread(numbers: list[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest."""
    return {"median": statistics.median(numbers), "low": min(numbers), "high": max(numbers)}


def measure(network: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Run every arm in turn, round after round, and return the figures of one kind of network."""
    rounds = [{arm: apart(arm, network, asked) for arm in ARMS} for _ in range(asked.rounds)]
    arms = {
        arm: {
            "images_per_second": spread([asked.epochs * DIGITS / row[arm]["seconds"] for row in rounds]),
            "negative_elbo": spread([row[arm]["negative_elbo"] for row in rounds]),
        }
        for arm in ARMS
    }
    ratios = {
        arm: spread([row["pythae"]["seconds"] / row[arm]["seconds"] for row in rounds]) for arm in ("pinxit", "float32")
    }
    return {"ratio": ratios, "arms": arms, "rounds": rounds}


def main() -> None:
    """Measure, or be one arm of a measurement."""
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="processor cores of every arm")
    parser.add_argument("--workers", type=int, default=0, help="processes of pythae's loader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--network", choices=NETWORKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.arm:
        seconds = ARMS[asked.arm](asked, asked.folder)
        (asked.folder / "seconds.json").write_text(json.dumps(seconds))
        return
    protocol = {name: getattr(asked, name) for name in ("epochs", "rounds", "threads", "workers", "seed")}
    protocol["settings"] = {name: settings.model_dump() for name, settings in NETWORKS.items()}
    document = record(__doc__, protocol, networks={})
    for network in asked.networks:
        document["networks"][network] = found = measure(network, asked)
        write(asked.out, document)
        for arm, row in found["arms"].items():
            speed, quality = row["images_per_second"]["median"], row["negative_elbo"]["median"]
            print(f"{network}, {arm}: {speed:,.0f} pictures a second, {quality:.2f} nats at equal images")
        ratio = {arm: row["median"] for arm, row in found["ratio"].items()}
        print(f"{network}: ratio {ratio['pinxit']:.2f}, in float32 {ratio['float32']:.2f}", flush=True)


if __name__ == "__main__":
    main()
