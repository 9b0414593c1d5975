"""What is lost on a way through codes? A VQ-VAE beside plain vector quantisation of patches, at equal bits.

    python benchmarks/quality/vq_codes.py DATA [MORE ...] [--steps 1000] [--codes 256] [--seed 0] --out results.json
    python benchmarks/quality/vq_codes.py fashion-mnist --prior-steps 10000 [--samples 2000] --out results.json

DATA is any set; of several folders all pictures are taken together, brought to 64 pixels. Every row describes a picture
by a map of a quarter of its sides in one of `codes` codes: the VQ-VAE with its gradient straight through and rotated,
and the baseline, whose codes are the centres of 4 x 4 patches of training pictures (Lloyd, 1982: 100,000 patches, 20
rounds). Told are, over all held-out pictures, the mean PSNR in dB (of each picture's mean squared error), the share of
codes that occur at all, and exp(entropy) of their use.

With `--prior-steps` a transformer learns the codes of the VQ-VAE whose gradient goes straight through, as `pinxit train
prior` does, and `samples` pictures are drawn from it. A classifier that no other part has seen, learned from the set's
own training pictures and labels (the small one of `pinxit evaluate --utility`, four times its steps), says of them, and
of all held-out pictures: the entropy in bits of the classes that it names, log2 of their number at most, and the mean
probability it gives to the class that it names. Its accuracy on the held-out pictures is told too.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import pinxit
from pinxit import hardware
from pinxit.data import DataSet, ImageSet, batch_at, open_data
from pinxit.evaluation.utility import OPTIMISER, TRAINING
from pinxit.images.convert import to_float
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.recognition import Recognition
from pinxit.objectives.vq import VQVAE
from pinxit.training.trainer import Trainer

PATCHES, ROUNDS, PATCH = 100_000, 20, 4


def judge(images: Tensor, restored: Tensor, codes: Tensor, count: int) -> dict[str, float]:
    """Return what the module's head says of reconstructions (N, C, H, W) and their codes (N, P)."""
    share = codes.flatten().bincount(minlength=count) / codes.numel()
    return {
        "psnr": -10 * (restored - images).square().mean((1, 2, 3)).log10().mean().item(),
        "codes_used": (share > 0).float().mean().item(),
        "perplexity": torch.special.entr(share).sum().exp().item(),
    }


def learned(
    settings: pinxit.VQVAESettings, source: str, training: pinxit.TrainingSettings, images: Tensor, out: Path
) -> dict[str, float]:
    """Train a VQ-VAE in the folder `out` and judge it."""
    run = pinxit.train(settings, source, out, training=training)
    objective, seconds = pinxit.load(run.folder).objective, run.facts()["seconds"]
    assert isinstance(objective, VQVAE)
    with torch.no_grad():
        codes = torch.cat([objective.encode(part) for part in images.split(250)])
        restored = torch.cat([objective.sample(part) for part in codes.split(250)])
    return judge(images, restored, codes, settings.codes) | {"seconds": seconds}


def drawn(run: Path, training: pinxit.TrainingSettings, samples: int) -> tuple[Tensor, float]:
    """Learn a prior over the codes of a run; return pictures (N, C, H, W) drawn from it, and its seconds."""
    prior = pinxit.train_prior(pinxit.PriorSettings(), run, training)
    return to_float(pinxit.load(run).sample(samples)[0]), prior.facts()["seconds"]


def classifier(train: ImageSet, side: int, seed: int) -> Recognition:
    """Return a classifier learned from a labelled set."""
    training = TRAINING.changed(steps=4 * TRAINING.steps, seed=seed)
    torch.manual_seed(seed)
    objective = Recognition(PictureShape(side, train.channels, len(train.classes)), OPTIMISER)
    batches = partial(batch_at, train, batch_size=training.batch_size, seed=seed, size=side)
    trainer = Trainer(objective, batches, training, hardware.choose(threads=torch.get_num_threads()))
    for _ in trainer:
        pass
    objective.networks.update(dict(trainer.average.items()))
    return objective


@torch.no_grad()
def classes_of(judge: Recognition, images: Tensor) -> tuple[dict[str, float], Tensor]:
    """Return the entropy in bits of the classes that pictures show, the mean confidence, and the classes (N,)."""
    confidence, named = torch.cat([judge.logits(part).softmax(1) for part in images.split(500)]).max(1)
    share = named.bincount() / len(named)
    entropy = torch.special.entr(share).sum() / torch.tensor(2.0).log()
    return {"class_entropy": entropy.item(), "confidence": confidence.mean().item()}, named


def patches(images: Tensor) -> Tensor:
    """Return the patches of pictures (N, C, H, W), (N, P, C * 16)."""
    return F.unfold(images, PATCH, stride=PATCH).mT


def plain(train: ImageSet, side: int, codes: int, seed: int, images: Tensor) -> dict[str, float]:
    """Quantise patches by their nearest centres and judge that."""
    rng = torch.Generator().manual_seed(seed)
    seen = patches(train.tensor(side, stop=10_000)).flatten(0, 1)
    seen = seen[torch.randperm(len(seen), generator=rng)[:PATCHES]]
    centres = seen.unique(dim=0)
    centres = centres[torch.randperm(len(centres), generator=rng)[:codes]]
    for _ in range(ROUNDS):
        near = torch.cdist(seen, centres).argmin(1)
        count = near.bincount(minlength=codes)
        total = torch.zeros_like(centres).index_add_(0, near, seen)
        centres = torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], centres)
    given = patches(images)
    found = torch.cdist(given.flatten(0, 1), centres).argmin(1).view(given.shape[:2])
    return judge(images, F.fold(centres[found].mT, side, PATCH, stride=PATCH), found, codes)


def gathered(folders: list[str], place: Path) -> str:
    """Return the one set as it is; of several folders, a folder of links to all their files."""
    if len(folders) == 1:
        return folders[0]
    files = [file.resolve() for folder in folders for file in sorted(Path(folder).rglob("*")) if file.is_file()]
    place.mkdir()
    for number, file in enumerate(files):
        (place / f"{number:05d}-{file.name}").symlink_to(file)
    return str(place)


def main() -> None:
    """Measure every row and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--prior-steps", type=int, default=0, help="steps of the learned prior; 0 for none")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as place:
        document = measure(asked, gathered(asked.data, Path(place) / "pictures"), Path(place))
    asked.out.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps({part: document[part] for part in ("data", "rows", "prior") if part in document}, indent=2))


def measure(asked: argparse.Namespace, source: str, place: Path) -> dict[str, object]:
    """Return the document; runs are made in the folder `place`."""
    pictures = open_data(source)
    side = pinxit.DataSettings().side(pictures.train)[0]
    images = pictures.held_out.tensor(side)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    training = pinxit.TrainingSettings(steps=asked.steps, seed=asked.seed, average=0.99, threads=asked.threads)
    rows = {"patches": plain(pictures.train, side, asked.codes, asked.seed, images)}
    for gradient in ("straight-through", "rotation"):
        settings = pinxit.VQVAESettings(codes=asked.codes, gradient=gradient)
        rows[gradient] = learned(settings, source, training, images, place / gradient)
    return {
        "commit": commit.strip(),
        "machine": {"processor": platform.processor() or platform.machine(), "threads": asked.threads},
        "protocol": {name: getattr(asked, name) for name in ("steps", "codes", "prior_steps", "samples", "seed")}
        | {"about": __doc__},
        "data": {
            "name": "several folders" if len(asked.data) > 1 else pictures.held_out.name,
            "fingerprint": pictures.held_out.fingerprint,
            "side": side,
            "train": len(pictures.train),
            "held_out": len(images),
        },
        "rows": rows,
    } | (prior(asked, place / "straight-through", pictures, side) if asked.prior_steps else {})


def prior(asked: argparse.Namespace, run: Path, pictures: DataSet, side: int) -> dict[str, object]:
    """Return what the held-out classifier says of pictures drawn from a learned prior, and of the real ones."""
    training = pinxit.TrainingSettings(steps=asked.prior_steps, seed=asked.seed, threads=asked.threads)
    images, seconds = drawn(run, training, asked.samples)
    judge = classifier(pictures.train, side, asked.seed)
    told, (real, named) = classes_of(judge, images)[0], classes_of(judge, pictures.held_out.tensor(side))
    accuracy = (named.numpy() == pictures.held_out.labels).mean().item()
    return {"prior": {"samples": told, "held_out": real, "accuracy": accuracy, "seconds": seconds}}


if __name__ == "__main__":
    main()
