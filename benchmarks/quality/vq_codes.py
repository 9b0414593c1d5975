"""What quantised codes lose: a VQ-VAE against plain vector quantisation of patches, at equal bits.

    python benchmarks/quality/vq_codes.py DATA [MORE ...] [--steps 1000] [--codes 256] [--seed 0] --out results.json
    python benchmarks/quality/vq_codes.py fashion-mnist --prior-steps 10000 [--samples 2000] --out results.json

DATA is any set; the pictures of several folders are taken together and resized to 64 pixels. Every row describes a
picture by a map of a quarter of its sides with one of `codes` codes a place: the VQ-VAE with its straight-through and
with its rotated gradient, and the baseline, whose codes are centres of 4 x 4 patches of training pictures (Lloyd, 1982:
100,000 patches, 20 rounds). The figures are over all held-out pictures: the mean PSNR in dB (of each picture's mean
squared error), the share of codes that occur, and exp(entropy) of their use.

With `--prior-steps`, a transformer learns the codes of the straight-through VQ-VAE, as `pinxit train prior` does, and
`samples` pictures are sampled from it. An independent classifier is trained on the set's training pictures and labels
(the one of `pinxit evaluate --utility`, with four times its steps). For these samples and for all held-out pictures it
gives the entropy in bits of the predicted classes, at most log2 of their number, and the mean probability of the
predicted class. Its accuracy on the held-out pictures is recorded too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import pinxit
from pinxit import hardware
from pinxit.data import DataSet, ImageSet, batch_at, open_data
from pinxit.evaluation.utility import CLASSIFIER, TRAINING
from pinxit.images.convert import to_float
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.recognition import Recognition
from pinxit.objectives.vq import VQVAE
from pinxit.training.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

PATCHES, ROUNDS, PATCH = 100_000, 20, 4


def measured(images: Tensor, restored: Tensor, codes: Tensor, count: int) -> dict[str, float]:
    """Return PSNR and use of codes, of reconstructions (N, C, H, W) and their codes (N, P)."""
    share = codes.flatten().bincount(minlength=count) / codes.numel()
    return {
        "psnr": -10 * (restored - images).square().mean((1, 2, 3)).log10().mean().item(),
        "codes_used": (share > 0).float().mean().item(),
        "perplexity": torch.special.entr(share).sum().exp().item(),
    }


def learned(
    settings: pinxit.VQVAESettings, source: str, training: pinxit.TrainingSettings, images: Tensor, out: Path
) -> dict[str, float]:
    """Train a VQ-VAE in the folder `out` and measure it."""
    run = pinxit.train(settings, source, out, training=training)
    objective, seconds = pinxit.load(run.folder).objective, run.facts()["seconds"]
    assert isinstance(objective, VQVAE)
    with torch.no_grad():
        codes = torch.cat([objective.encode(part) for part in images.split(250)])
        restored = torch.cat([objective.sample(part) for part in codes.split(250)])
    return measured(images, restored, codes, settings.codes) | {"seconds": seconds}


def sampled(run: Path, training: pinxit.TrainingSettings, samples: int) -> tuple[Tensor, float]:
    """Learn a prior over the codes of a run; return samples (N, C, H, W) of it, and its seconds."""
    prior = pinxit.train_prior(pinxit.PriorSettings(), run, training)
    return to_float(pinxit.load(run).sample(samples)[0]), prior.facts()["seconds"]


def classifier(train: ImageSet, side: int, seed: int) -> Recognition:
    """Return a classifier learned from a labelled set."""
    training = TRAINING.changed(steps=4 * TRAINING.steps, seed=seed)
    torch.manual_seed(seed)
    objective = CLASSIFIER.build(PictureShape(side, train.channels, len(train.classes)))
    batches = partial(batch_at, train, batch_size=training.batch_size, seed=seed, size=side)
    trainer = Trainer(objective, batches, training, hardware.choose(threads=torch.get_num_threads()))
    for _ in trainer:
        pass
    objective.networks.update(dict(trainer.average.items()))
    return objective


@torch.no_grad()
def classes_of(network: Recognition, images: Tensor) -> tuple[dict[str, float], Tensor]:
    """Return the entropy in bits of the predicted classes, the mean confidence, and the classes (N,)."""
    confidence, named = torch.cat([network.logits(part).softmax(1) for part in images.split(500)]).max(1)
    share = named.bincount() / len(named)
    entropy = torch.special.entr(share).sum() / torch.tensor(2.0).log()
    return {"class_entropy": entropy.item(), "confidence": confidence.mean().item()}, named


def patches(images: Tensor) -> Tensor:
    """Return the patches of pictures (N, C, H, W), (N, P, C * 16)."""
    return F.unfold(images, PATCH, stride=PATCH).mT


def plain(train: ImageSet, side: int, codes: int, seed: int, images: Tensor) -> dict[str, float]:
    """Quantise patches by their nearest centres and measure the result."""
    rng = torch.Generator().manual_seed(seed)
    known = patches(train.tensor(side, stop=10_000)).flatten(0, 1)
    known = known[torch.randperm(len(known), generator=rng)[:PATCHES]]
    centres = known.unique(dim=0)
    centres = centres[torch.randperm(len(centres), generator=rng)[:codes]]
    for _ in range(ROUNDS):
        near = torch.cdist(known, centres).argmin(1)
        count = near.bincount(minlength=codes)
        total = torch.zeros_like(centres).index_add_(0, near, known)
        centres = torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], centres)
    given = patches(images)
    found = torch.cdist(given.flatten(0, 1), centres).argmin(1).view(given.shape[:2])
    return measured(images, F.fold(centres[found].mT, side, PATCH, stride=PATCH), found, codes)


def gathered(folders: list[str], place: Path) -> str:
    """Return a single set unchanged; for several folders, a folder of links to all their files."""
    if len(folders) == 1:
        return folders[0]
    files = [file.resolve() for folder in folders for file in sorted(Path(folder).rglob("*")) if file.is_file()]
    place.mkdir()
    for number, file in enumerate(files):
        (place / f"{number:05d}-{file.name}").symlink_to(file)
    return str(place)


def main() -> None:
    """Measure every row and write the record."""
    parser = arguments(__doc__, needs_out=True)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--prior-steps", type=int, default=0, help="steps of the learned prior; 0 for none")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as place:
        document = measure(asked, gathered(asked.data, Path(place) / "pictures"), Path(place))
    write(asked.out, document)
    print(json.dumps({part: document[part] for part in ("data", "rows", "prior") if part in document}, indent=2))


def measure(asked: argparse.Namespace, source: str, place: Path) -> dict[str, object]:
    """Return the record; runs are made in the folder `place`."""
    pictures = open_data(source)
    side = pinxit.DataSettings().size_for(pictures.train)[0]
    images = pictures.held_out.tensor(side)
    training = pinxit.TrainingSettings(steps=asked.steps, seed=asked.seed, average=0.99, threads=asked.threads)
    rows = {"patches": plain(pictures.train, side, asked.codes, asked.seed, images)}
    for gradient in ("straight-through", "rotation"):
        settings = pinxit.VQVAESettings(codes=asked.codes, gradient=gradient)
        rows[gradient] = learned(settings, source, training, images, place / gradient)
    document = record(
        __doc__,
        {name: getattr(asked, name) for name in ("steps", "codes", "prior_steps", "samples", "seed", "threads")},
        data={
            "name": "several folders" if len(asked.data) > 1 else pictures.held_out.name,
            "fingerprint": pictures.held_out.fingerprint,
            "side": side,
            "train": len(pictures.train),
            "held_out": len(images),
        },
        rows=rows,
    )
    return document | (prior(asked, place / "straight-through", pictures, side) if asked.prior_steps else {})


def prior(asked: argparse.Namespace, run: Path, pictures: DataSet, side: int) -> dict[str, object]:
    """Return the classifier's figures for samples of a learned prior and for real pictures."""
    training = pinxit.TrainingSettings(steps=asked.prior_steps, seed=asked.seed, threads=asked.threads)
    images, seconds = sampled(run, training, asked.samples)
    network = classifier(pictures.train, side, asked.seed)
    generated, (real, named) = classes_of(network, images)[0], classes_of(network, pictures.held_out.tensor(side))
    accuracy = (named.numpy() == pictures.held_out.labels).mean().item()
    return {"prior": {"samples": generated, "held_out": real, "accuracy": accuracy, "seconds": seconds}}


if __name__ == "__main__":
    main()
