"""Whether the diagnosis names what is wrong with a training, and keeps silent where nothing is.

    python benchmarks/quality/pathologies.py --collect FOLDER --data PICTURES [--seeds 0 1 2] [--cases NAME ...]
    python benchmarks/quality/pathologies.py --judge FOLDER --out results.json

PICTURES is a folder that holds `fashion-mnist`, `emoji64`, `sprites-crawl`, `photos-paintings-cc0` and `photos-bsds`.
`--collect` trains what FOLDER lacks and keeps each run's recipe, log and sheets; a sick training is stopped soon after
its first half. `--judge` trains nothing: it reads these, so a change of the rules is judged within a minute.

A sick case is made by ordinary flags or data. Its `right` names are those a person would accept for it, a set, because
one training can be ill in several ways. It is named rightly if one of them is told as a grave finding in its first
half. A healthy case is a false alarm if any grave finding is told at any time, even if it passes. Both are asked after
every 50 steps, as a training asks itself. Thresholds are set by the cases with an even place in their table; those
with an odd place are reported by themselves. So are the cases of `EARLIER`, a blind test after which two rules were
mended. The cases of `BLIND` were written down and committed before any of them was trained, and no rule was changed
after them.

Each case also has a measure that no rule uses, of 512 samples of the last averaged weights (`measured`), and what a
person saw on the sheets (`seen`). All distances are between pictures of at most 16 x 16 pixels:

near     the mean distance of samples to the nearest training picture; 1 is that of held-out pictures, 0 is a copy
far      the mean distance of held-out pictures to the nearest sample; 1 is that to as many training pictures
spread   the mean distance between samples; 1 is that between training pictures
classes  the entropy in bits of the labels of the samples' nearest training pictures; 3.32 is the most
codes used  the share of the codebook that 512 held-out pictures meet
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import pinxit
from pinxit.data import open_data
from pinxit.errors import DivergedError, StoppedError
from pinxit.images.convert import to_float, to_uint8
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.vq import VQVAE
from pinxit.progress import Event, watched
from pinxit.training.curves import EVERY, Curve, read_log
from pinxit.training.diagnosis import diagnose
from pinxit.training.recipes import FITTING
from pinxit.training.run import LOG, Run

sys.path.append(str(Path(__file__).parents[1]))
from record import arguments, record, write

SAMPLES, KNOWN, SIDE = 512, 4096, 16
MEASURED = "measured.json"
REMARK = (
    "The blind cases were run after the last change of a rule. The reported half is no blind test: the rules were "
    "written while these runs came in, and three of them (gradients against the first window, the patience for a "
    "discriminator that has won, codes that a batch meets) were changed after a miss in it."
)


@dataclass(frozen=True)
class Case:
    """A training: its objective, its set (a row of `SETS`), its settings, and what is right to say of it.

    `right` is empty for a healthy training.
    """

    objective: str
    data: str
    settings: Mapping[str, Any]
    right: frozenset[str] = frozenset()
    steps: int = 1000
    training: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)


def gan(data: str, right: str = "", steps: int = 700, **settings: Any) -> Case:
    """Return a case of a small GAN."""
    training = {name: settings.pop(name) for name in ("clip", "batch_size") if name in settings}
    pictures = {name: settings.pop(name) for name in ("shift", "flip", "fit", "size") if name in settings}
    small = {"channels": 8, "latent": 32} | settings
    return Case("gan", data, small, frozenset(right.split()), steps, training, pictures)


def other(objective: str, data: str, right: str = "", steps: int = 700, **settings: Any) -> Case:
    """Return a case of another objective."""
    pictures = {name: settings.pop(name) for name in ("size",) if name in settings}
    small = {"channels": 8} | settings
    return Case(objective, data, small, frozenset(right.split()), steps, {}, pictures)


def digits(count: int, times: int = 1, label: int | None = None) -> np.ndarray[Any, Any]:
    """Return the first `count` digits of MNIST (of one class if asked), each `times` times, uint8 (N, 28, 28, 1)."""
    train = open_data("mnist").train
    rows = np.arange(len(train)) if label is None else np.flatnonzero(train.labels == label)
    return to_uint8(train.tensor(28)[rows[:count]].repeat(times, 1, 1, 1))


def garments(pictures: Path, count: int, times: int = 1) -> np.ndarray[Any, Any]:
    """Return the first `count` pictures of Fashion-MNIST, each `times` times, uint8 (N, 28, 28, 1)."""
    train = open_data(str(pictures / "fashion-mnist")).train
    return to_uint8(train.tensor(28, stop=count).repeat(times, 1, 1, 1))


# The sets by name: a path below the folder of pictures, or pictures.
SETS: dict[str, str | Callable[[Path], np.ndarray[Any, Any]]] = {
    "mnist": "",
    "fashion": "fashion-mnist",
    "paintings": "photos-paintings-cc0",
    "photos": "photos-bsds/train",
    "emoji": lambda pictures: np.load(pictures / "emoji64" / "emoji64.npz")["x"],
    "sprites": lambda pictures: np.load(pictures / "sprites-crawl" / "crawl32.npz")["x"],
    "twenty digits": lambda _: digits(22),  # two of them are held out
    "500 digits": lambda _: digits(500),
    "one digit 2,000 times": lambda _: digits(1, times=2000),
    "ones only": lambda _: digits(6000, label=1),
    "ten garments": lambda pictures: garments(pictures, 12),  # two of them are held out
    "fifteen emoji": lambda pictures: np.load(pictures / "emoji64" / "emoji64.npz")["x"][:18],
    "one emoji 2,000 times": lambda pictures: np.load(pictures / "emoji64" / "emoji64.npz")["x"][:1].repeat(2000, 0),
    "twelve sprites": lambda pictures: np.load(pictures / "sprites-crawl" / "crawl32.npz")["x"][:14],
    "one sprite 2,000 times": lambda pictures: np.load(pictures / "sprites-crawl" / "crawl32.npz")["x"][:1].repeat(
        2000, 0
    ),
    "500 garments": lambda pictures: garments(pictures, 500),
    "thirty sprites": lambda pictures: np.load(pictures / "sprites-crawl" / "crawl32.npz")["x"][:33],
    "one garment 2,000 times": lambda pictures: garments(pictures, 1, times=2000),
}

RESIDUAL = {"network": "residual", "loss": "relativistic", "r1": 1.0, "r2": 1.0, "learning_rate": 5e-4, "beta1": 0.0}
UNNORMED = {"discriminator_norm": "none"}

SICK = {
    "rate .5": gan("mnist", "discriminator-won dead-units exploding-gradient", learning_rate=0.5),
    "rate 1e-6": gan("mnist", "no-learning", learning_rate=1e-6),
    "strong discriminator, saturating loss": gan(
        "mnist", "vanishing-gradient discriminator-won", loss="saturating", learning_rate=1e-4,
        discriminator_rate=5e-3, **UNNORMED
    ),
    "hinge, discriminator 100 times faster": gan(
        "fashion", "discriminator-won", loss="hinge", learning_rate=2e-5, discriminator_rate=2e-3, **UNNORMED
    ),
    "discriminator hardly moves": gan("mnist", "discriminator-weak", discriminator_rate=1e-7),
    "r1 1e6": gan("mnist", "discriminator-weak", r1=1e6, **UNNORMED),
    "30 discriminator steps": gan("mnist", "no-learning discriminator-won", discriminator_steps=30, learning_rate=2e-4),
    "gradient clip 1e-6, SGD": gan("sprites", "no-learning", optimiser="sgd", clip=1e-6, learning_rate=0.01, size=32),
    "twenty pictures": gan("twenty digits", "discriminator-memorises", steps=1000),
    "codes for one picture": other("vq", "one digit 2,000 times", "dead-codes", codes=512, decay=0.95),
    "one picture 2,000 times": gan("one digit 2,000 times", "collapse discriminator-memorises"),
    "twenty pictures, no norm": gan(
        "twenty digits", "collapse discriminator-memorises", steps=1000, learning_rate=1e-3, **UNNORMED
    ),
    "dense, rate .1": gan("mnist", "exploding-gradient collapse discriminator-won", network="dense", learning_rate=0.1),
    "wasserstein, clip 1": gan(
        "mnist", "exploding-gradient collapse", loss="wasserstein", weight_clip=1.0, learning_rate=1e-3, **UNNORMED
    ),
    "wasserstein, clip 1e-4": gan(
        "mnist", "vanishing-gradient no-learning", loss="wasserstein", weight_clip=1e-4, learning_rate=5e-5,
        optimiser="rmsprop", **UNNORMED
    ),
    "weight decay 1": gan("mnist", "collapse vanishing-gradient discriminator-won", weight_decay=1.0),
    "beta1 .99": gan("mnist", "oscillation collapse discriminator-won", beta1=0.99, learning_rate=5e-3),
    "latent 1": gan("mnist", "partial-collapse collapse", latent=1),
    "beta 50": other("vae", "mnist", "posterior-collapse", network="dense", likelihood="bernoulli", beta=50.0),
    "restoration, rate 1e-8": other("restore", "photos", "no-learning", size=32, learning_rate=1e-8),
}  # fmt: skip

HEALTHY = {
    "mnist": gan("mnist"),
    "hinge": gan("mnist", loss="hinge", r1=0.1, learning_rate=1e-3, **UNNORMED),
    "least squares": gan("mnist", loss="least-squares"),
    "wasserstein": gan(
        "mnist", loss="wasserstein", gradient_penalty=10.0, learning_rate=1e-3, discriminator_steps=2, **UNNORMED
    ),
    "relativistic": gan("mnist", loss="relativistic", r1=1.0, r2=1.0, learning_rate=1e-3, **UNNORMED),
    "residual": gan("fashion", steps=500, size=16, **RESIDUAL),
    "fashion": gan("fashion"),
    "dense": gan("mnist", network="dense", learning_rate=5e-4, channels=16, r1=0.1),
    "emoji": gan(
        "emoji", loss="relativistic", r1=1.0, r2=1.0, learning_rate=1e-3, size=32, flip=True, shift=0.1, **UNNORMED
    ),
    "paintings": gan("paintings", loss="hinge", r1=0.1, learning_rate=5e-4, size=32, flip=True, shift=0.1, **UNNORMED),
    "photos": gan("photos", loss="hinge", r1=0.1, learning_rate=5e-4, size=32, fit="patch", flip=True, **UNNORMED),
    "sprites": gan("sprites", loss="relativistic", r1=1.0, r2=1.0, learning_rate=1e-3, size=32, **UNNORMED),
    "500 digits": gan(
        "500 digits", loss="relativistic", r1=1.0, r2=1.0, learning_rate=1e-3, shift=0.1, **UNNORMED
    ),
    "ones only": gan("ones only"),
    "no norm, rate .01": gan("mnist", learning_rate=0.01, **UNNORMED),
    "VAE": other("vae", "mnist"),
    "VQ": other("vq", "mnist", codes=64),
    "restoration": other("restore", "photos", size=32),
    "VQ, 2,048 codes": other("vq", "mnist", codes=2048, size=16),
    "paintings, no help": gan("paintings", size=32, learning_rate=1e-3, **UNNORMED),
}  # fmt: skip

PHOTOS = dict(FITTING["gan"]["photos"].settings)
DIGITS = dict(FITTING["gan"]["digits"].settings)
FEW = dict(FITTING["gan"]["few"].settings)

SPRITES = dict(FITTING["gan"]["sprites"].settings)

EARLIER = {
    "RMSprop, rate .3": gan(
        "fashion", "exploding-gradient discriminator-won dead-units collapse", optimiser="rmsprop", learning_rate=0.3
    ),
    "SGD, rate 1e-6": gan("fashion", "no-learning", optimiser="sgd", learning_rate=1e-6),
    "historical averaging 1e7": gan("mnist", "no-learning", historical_averaging=1e7),
    "fashion, discriminator 1e-8": gan("fashion", "discriminator-weak", loss="least-squares", discriminator_rate=1e-8),
    "gradient penalty 1e7": gan(
        "fashion", "discriminator-weak vanishing-gradient no-learning", gradient_penalty=1e7, learning_rate=1e-3,
        **UNNORMED
    ),
    "discriminator 500 times faster": gan(
        "sprites", "discriminator-won", learning_rate=1e-5, discriminator_rate=5e-3, size=32, **UNNORMED
    ),
    "50 discriminator steps, hinge": gan(
        "fashion", "no-learning discriminator-won", loss="hinge", discriminator_steps=50, learning_rate=5e-4, **UNNORMED
    ),
    "ten garments": gan("ten garments", "discriminator-memorises collapse", steps=1000),
    "ten garments, hinge": gan(
        "ten garments", "discriminator-memorises collapse discriminator-won", steps=1000, loss="hinge",
        learning_rate=1e-3, **UNNORMED
    ),
    "one garment 2,000 times": gan("one garment 2,000 times", "collapse discriminator-memorises"),
    "fashion, latent 1": gan("fashion", "partial-collapse collapse", latent=1, learning_rate=1e-3),
    "fashion, weight decay .7": gan("fashion", "collapse vanishing-gradient discriminator-won", weight_decay=0.7),
    "fashion, residual, rate .05": gan(
        "fashion", "exploding-gradient collapse discriminator-won dead-units", size=16, steps=500,
        **RESIDUAL | {"learning_rate": 0.05, "r1": 0.0, "r2": 0.0}
    ),
    "fashion, weight clip 1e-4": gan(
        "fashion", "discriminator-weak vanishing-gradient no-learning", weight_clip=1e-4, **UNNORMED
    ),
    "VAE, beta 200": other("vae", "fashion", "posterior-collapse", beta=200.0),
    "VAE, rate 1e-9": other("vae", "fashion", "no-learning", learning_rate=1e-9),
    "512 codes for one garment": other("vq", "one garment 2,000 times", "dead-codes", codes=512, decay=0.95),
    "restoration, SGD, rate 1e-9": other(
        "restore", "fashion", "no-learning", optimiser="sgd", learning_rate=1e-9
    ),
    "rate 1e-3": gan("mnist", learning_rate=1e-3),
    "fashion, hinge": gan("fashion", loss="hinge", r1=0.1, learning_rate=1e-3, **UNNORMED),
    "packing 2": gan("mnist", packing=2),
    "spectral norm": gan("fashion", discriminator_norm="spectral", learning_rate=1e-3),
    "DRAGAN": gan("mnist", dragan=10.0, learning_rate=1e-3, **UNNORMED),
    "feature matching": gan("fashion", feature_matching=0.1),
    "augmentation": gan("mnist", augment_discriminator="translation,cutout"),
    "sprites, adaptive augmentation": gan(
        "sprites", augment_discriminator="translation,cutout,colour", augment_target=0.6, enlarge="nearest", size=32
    ),
    "emoji, bilinear": gan("emoji", enlarge="bilinear", size=32),
    "photos, nearest": gan("photos", enlarge="nearest", learning_rate=1e-3, fit="patch", flip=True, size=32),
    "codes of ten categories": gan("mnist", code_categories=10),
    "label smoothing": gan("fashion", label_smoothing=0.1),
    "deviation": gan("mnist", minibatch="deviation"),
    "latent 8": gan("mnist", latent=8),
    "conditional": gan("fashion", conditional=True),
    "RMSprop": gan("mnist", optimiser="rmsprop", learning_rate=5e-4),
    "VAE of garments": other("vae", "fashion"),
    "VQ of garments": other("vq", "fashion", codes=128),
    "restoration of garments": other("restore", "fashion"),
    "500 digits, augmented": gan("500 digits", augment_discriminator="translation,cutout", augment_target=0.6),
    "emoji, rate .3": gan(
        "emoji", "exploding-gradient discriminator-won dead-units collapse", learning_rate=0.3, size=32
    ),
    "sprites, residual, rate 1e-7": gan("sprites", "no-learning", size=16, **RESIDUAL | {"learning_rate": 1e-7}),
    "paintings, discriminator 1e-8": gan(
        "paintings", "discriminator-weak", loss="hinge", discriminator_rate=1e-8, learning_rate=1e-3, size=32
    ),
    "fashion, hinge, r1 3e5": gan("fashion", "discriminator-weak", loss="hinge", r1=3e5, **UNNORMED),
    "dragan 1e7": gan(
        "mnist", "discriminator-weak vanishing-gradient no-learning", dragan=1e7, learning_rate=1e-3, **UNNORMED
    ),
    "emoji, discriminator 300 times faster": gan(
        "emoji", "discriminator-won vanishing-gradient", loss="least-squares", learning_rate=1e-5,
        discriminator_rate=3e-3, size=32, **UNNORMED
    ),
    "fashion, saturating, slow generator": gan(
        "fashion", "vanishing-gradient discriminator-won", loss="saturating", learning_rate=5e-5,
        discriminator_rate=5e-3, **UNNORMED
    ),
    "fashion, 40 discriminator steps": gan(
        "fashion", "no-learning discriminator-won", loss="least-squares", discriminator_steps=40, learning_rate=3e-4
    ),
    "fifteen emoji": gan("fifteen emoji", "discriminator-memorises collapse", steps=1000, size=32),
    "thirty sprites, hinge": gan(
        "thirty sprites", "discriminator-memorises collapse discriminator-won", steps=1000, loss="hinge",
        learning_rate=1e-3, size=32, **UNNORMED
    ),
    "one emoji 2,000 times": gan("one emoji 2,000 times", "collapse discriminator-memorises", size=32),
    "dense, latent 1": gan("mnist", "partial-collapse collapse", network="dense", latent=1, learning_rate=5e-4, r1=0.1),
    "sprites, weight decay .9": gan(
        "sprites", "collapse vanishing-gradient discriminator-won", weight_decay=0.9, size=32
    ),
    "fashion, beta1 .995": gan(
        "fashion", "oscillation collapse discriminator-won exploding-gradient", beta1=0.995, learning_rate=5e-3
    ),
    "emoji, wasserstein, clip .5": gan(
        "emoji", "exploding-gradient collapse oscillation", loss="wasserstein", weight_clip=0.5, learning_rate=1e-3,
        size=32, **UNNORMED
    ),
    "fashion VAE, beta 100": other(
        "vae", "fashion", "posterior-collapse", network="dense", likelihood="bernoulli", beta=100.0
    ),
    "VAE, SGD, rate 1e-8": other("vae", "mnist", "no-learning", optimiser="sgd", learning_rate=1e-8),
    "1,024 codes for one emoji": other(
        "vq", "one emoji 2,000 times", "dead-codes", codes=1024, decay=0.95, size=32
    ),
    "mnist, its recipe": gan("mnist", **DIGITS),
    "fashion, its recipe": gan("fashion", **DIGITS),
    "ones, their recipe": gan("ones only", **DIGITS),
    "500 digits, their recipe": gan("500 digits", **FEW),
    "photos, their recipe": gan("photos", steps=400, size=32, **PHOTOS),
    "emoji, their recipe": gan("emoji", steps=400, size=32, **PHOTOS),
    "saturating loss": gan("mnist", loss="saturating", learning_rate=1e-3),
    "two rates": gan("fashion", learning_rate=5e-4, discriminator_rate=1e-3),
    "discrimination": gan("mnist", minibatch="discrimination"),
    "attention, spectral norm, hinge": gan(
        "fashion", loss="hinge", attention=7, discriminator_norm="spectral", learning_rate=1e-3
    ),
    "virtual norm": gan("mnist", generator_norm="virtual"),
    "classes by a residual network": gan("fashion", steps=500, size=16, conditional=True, **RESIDUAL),
    "values in the code": gan("mnist", code_values=2),
    "historical averaging": gan("fashion", historical_averaging=0.01),
    "sprites, packing 2": gan("sprites", packing=2, learning_rate=1e-3, size=32),
    "dense VAE": other("vae", "mnist", network="dense", likelihood="bernoulli"),
    "VQ of emoji": other("vq", "emoji", codes=128, size=32),
    "restoration of digits": other("restore", "mnist"),
}  # fmt: skip

BLIND = {
    "sprites, rate .2": gan(
        "sprites", "exploding-gradient discriminator-won dead-units collapse", learning_rate=0.2, size=32
    ),
    "fashion, generator 1e-8": gan(
        "fashion", "no-learning discriminator-won", learning_rate=1e-8, discriminator_rate=2e-3
    ),
    "emoji, spectral norm, discriminator 1e-9": gan(
        "emoji", "discriminator-weak", discriminator_norm="spectral", discriminator_rate=1e-9, learning_rate=1e-3,
        size=32
    ),
    "photos, hinge, r1 1e5": gan(
        "photos", "discriminator-weak", loss="hinge", r1=1e5, learning_rate=1e-3, fit="patch", size=32, **UNNORMED
    ),
    "fashion, wasserstein, penalty 1e7": gan(
        "fashion", "discriminator-weak vanishing-gradient no-learning", loss="wasserstein", gradient_penalty=1e7,
        learning_rate=1e-3, **UNNORMED
    ),
    "mnist, hinge, discriminator 200 times faster": gan(
        "mnist", "discriminator-won", loss="hinge", learning_rate=1e-5, discriminator_rate=2e-3, **UNNORMED
    ),
    "emoji, saturating, strong discriminator": gan(
        "emoji", "vanishing-gradient discriminator-won", loss="saturating", learning_rate=1e-4,
        discriminator_rate=5e-3, size=32, **UNNORMED
    ),
    "sprites, 60 discriminator steps": gan(
        "sprites", "no-learning discriminator-won", discriminator_steps=60, learning_rate=3e-4, size=32
    ),
    "twelve sprites": gan("twelve sprites", "discriminator-memorises collapse discriminator-won", steps=1400, size=32),
    "twenty digits, residual": gan(
        "twenty digits", "discriminator-memorises collapse discriminator-won", steps=1400, size=16,
        **RESIDUAL | {"r1": 0.0, "r2": 0.0, "loss": "non-saturating"}
    ),
    "one sprite 2,000 times": gan("one sprite 2,000 times", "collapse discriminator-memorises", size=32),
    "emoji, latent 1": gan("emoji", "partial-collapse collapse", latent=1, learning_rate=1e-3, size=32),
    "dense, weight decay 1": gan(
        "fashion", "collapse vanishing-gradient discriminator-won", network="dense", weight_decay=1.0,
        learning_rate=5e-4, r1=0.1
    ),
    "sprites, beta1 .99": gan(
        "sprites", "oscillation collapse discriminator-won exploding-gradient", beta1=0.99, learning_rate=5e-3, size=32
    ),
    "fashion, wasserstein, clip 2": gan(
        "fashion", "exploding-gradient collapse oscillation", loss="wasserstein", weight_clip=2.0, learning_rate=1e-3,
        **UNNORMED
    ),
    "sprites VAE, beta 300": other("vae", "sprites", "posterior-collapse", beta=300.0, size=32),
    "VAE of emoji, rate 1e-10": other("vae", "emoji", "no-learning", learning_rate=1e-10, size=32),
    "256 codes for one sprite": other(
        "vq", "one sprite 2,000 times", "dead-codes", codes=256, decay=0.95, size=32
    ),
    "sprites, their recipe": gan("sprites", steps=400, size=32, **SPRITES),
    "paintings, their recipe": gan("paintings", steps=400, size=32, **PHOTOS),
    "500 garments, their recipe": gan("500 garments", **FEW),
    "fashion, least squares, r1": gan("fashion", loss="least-squares", r1=0.1, learning_rate=1e-3, **UNNORMED),
    "fashion, wasserstein": gan(
        "fashion", loss="wasserstein", gradient_penalty=10.0, learning_rate=1e-3, discriminator_steps=2, **UNNORMED
    ),
    "fashion, relativistic": gan(
        "fashion", loss="relativistic", r1=1.0, r2=1.0, learning_rate=1e-3, **UNNORMED
    ),
    "mnist, cutout": gan("mnist", augment_discriminator="cutout"),
    "ten categories of garments": gan("fashion", code_categories=10),
    "emoji, packing 2": gan("emoji", packing=2, learning_rate=1e-3, size=32),
    "latent 100": gan("mnist", latent=100),
    "fashion, batches of 64": gan("fashion", batch_size=64),
    "mnist, bilinear": gan("mnist", enlarge="bilinear"),
    "attention": gan("mnist", attention=7, learning_rate=1e-3),
    "classes of digits": gan("mnist", conditional=True),
    "VAE of emoji": other("vae", "emoji", size=32),
    "ladder": other("vae", "mnist", levels=2),
    "VQ of sprites": other("vq", "sprites", codes=64, size=32),
    "restoration of garments, 16 channels": other("restore", "fashion", channels=16),
}  # fmt: skip

CASES = SICK | HEALTHY | EARLIER | BLIND

# What a person saw on the sheets of the averaged weights.
SEEN = {
    "rate .5": "Stripes and grids that have nothing to do with digits.",
    "rate 1e-6": "The grey noise of the first step, to the last step.",
    "strong discriminator, saturating loss": "The grey noise of the first step, to the last step.",
    "hinge, discriminator 100 times faster": "Grey noise that becomes a faint grid; no clothes.",
    "discriminator hardly moves": "The same noise of full contrast for every latent.",
    "r1 1e6": "The same black and white noise for every latent.",
    "30 discriminator steps": "Grey noise: the generator has moved 23 times in 700 steps.",
    "gradient clip 1e-6, SGD": "The grey noise of the first step, to the last step.",
    "twenty pictures": "Digits of all kinds, torn to blots; twenty pictures are all that there is to learn.",
    "codes for one picture": "The one picture, restored almost; 49 places cannot use 512 codes.",
    "one picture 2,000 times": "The same five for every latent.",
    "twenty pictures, no norm": "One blot for every latent, later another one.",
    "dense, rate .1": "The same black and white noise for every latent, unchanged to the end.",
    "wasserstein, clip 1": "One shape for every latent, another one every hundred steps; scores in the millions.",
    "wasserstein, clip 1e-4": "The grey noise of the first step, to the last step.",
    "weight decay 1": "Grey with a few dark spots, then the same flat grey for every latent.",
    "beta1 .99": "Bars, then squares, then grids: another pattern on every sheet, almost the same for all latents.",
    "latent 1": "Two or three shapes, each many times.",
    "beta 50": "Every picture is restored as the same grey blot.",
    "restoration, rate 1e-8": "Restored patches are as noisy as those given.",
    "mnist": "Blots that look more and more like digits of all kinds.",
    "hinge": "A grey blot, then strokes, then young digits of all kinds.",
    "least squares": "Digits of all kinds.",
    "wasserstein": "Dim strokes, then dim digits of all kinds.",
    "relativistic": "Dim strokes, then dim digits of all kinds.",
    "residual": "Blots of all kinds, none a garment yet: a young training.",
    "fashion": "Shirts, trousers, shoes and bags, blurred.",
    "dense": "Dots, alike until half way; at the end noisy digits of several kinds.",
    "emoji": "Discs and other silhouettes of one colour, all different.",
    "paintings": "Grey until half way; at the end blurred landscapes of blue and brown under a grid.",
    "photos": "Grey-green until half way; at the end patches of blue, brown and yellow, all different.",
    "sprites": "Grey shapes, then shapes of several colours; many are empty, as many sprites nearly are.",
    "500 digits": "Dim strokes, then dim digits of all kinds.",
    "ones only": "Ones of all slants, as the set has.",
    "no norm, rate .01": "Digits of all kinds.",
    "VAE": "Digits restored well; samples are still torn.",
    "VQ": "Digits restored well.",
    "restoration": "Patches with less noise than they were given.",
    "VQ, 2,048 codes": "Digits restored well; 88 % of the codes are used.",
    "paintings, no help": "Blurred patches of white, brown and blue, all different.",
}


def source_of(name: str, pictures: Path, folder: Path) -> str:
    """Return the DATA argument of a set; one of pictures is written as an npz into the folder first."""
    found = SETS[name]
    if isinstance(found, str):
        return str(pictures / found) if found else name
    path = folder / "data" / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, images=found(pictures))
    return str(path)


def place_of(folder: Path, name: str, seed: int) -> Path:
    """Return where a case's log of one seed is kept."""
    return folder / f"{name.replace(' ', '-').replace(',', '')}.{seed}"


def collect(name: str, seed: int, pictures: Path, folder: Path) -> None:
    """Train a case and keep its recipe, log, sheets and measurements."""
    case, place = CASES[name], place_of(folder, name, seed)
    if (place / MEASURED).exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    settings = OBJECTIVES[case.objective].parse(dict(case.settings))
    training = {"batch_size": 32, "threads": 1, "average": 0.95} | case.training
    asked = pinxit.TrainingSettings(steps=case.steps, seed=seed, **training)
    source = source_of(case.data, pictures, folder)
    try:
        with ending_after(case.steps // 2) if case.right else nullcontext():
            pinxit.train(settings, source, place, pinxit.DataSettings(**case.pictures), asked, recipe="plain")
        found = measured(case.objective, place, source)
    except DivergedError as error:
        found = {"diverged": str(error)}
    (place / MEASURED).write_text(json.dumps(found))
    shutil.rmtree(place / "checkpoints", ignore_errors=True)
    for path in place.glob("*.safetensors"):
        path.unlink()


@contextmanager
def ending_after(steps: int) -> Iterator[None]:
    """Stop a training soon after a number of steps, as `kill` would."""

    def listen(event: Event) -> None:
        reached = re.match(r"step ([\d,]+)/", event.text)
        if reached and int(reached[1].replace(",", "")) > steps:
            os.kill(os.getpid(), signal.SIGTERM)

    with watched(listen), suppress(StoppedError):
        yield


def measured(objective: str, place: Path, source: str) -> dict[str, Any]:
    """Return the measure of a finished run that no rule uses."""
    if objective == "restore":
        return {}
    model = pinxit.load(place)
    opened, size = open_data(source), model.objective.shape.size
    real = opened.held_out.tensor(size, stop=SAMPLES)
    if isinstance(model.objective, VQVAE):
        with torch.no_grad():
            codes = model.objective.encode(real)
        return {"codes used": len(codes.unique()) / model.objective.settings.codes}
    images, _ = model.sample(SAMPLES)
    train = opened.train.tensor(size, stop=KNOWN)
    return distances(small(to_float(images)), small(train), small(real), opened.train.labels)


def small(images: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) of at most `SIDE` pixels, flattened."""
    side = min(SIDE, images.shape[2])
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True).flatten(1)


def distances(samples: Tensor, train: Tensor, real: Tensor, labels: np.ndarray[Any, Any] | None) -> dict[str, float]:
    """Return near, far, spread and classes, as the docstring of this file says."""
    to_train, place = torch.cdist(samples, train).min(1)
    other = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: len(samples)]]
    found = {
        "near": float(to_train.mean() / torch.cdist(real, train).amin(1).mean()),
        "far": float(torch.cdist(real, samples).amin(1).mean() / torch.cdist(real, other).amin(1).mean()),
        "spread": float(F.pdist(samples).mean() / F.pdist(other).mean().clamp(min=1e-6)),
    }
    if labels is not None:
        share = torch.from_numpy(np.asarray(labels)[place.numpy()]).bincount() / len(samples)
        found["classes"] = float(torch.special.entr(share.float()).sum() / np.log(2))
    return found


def told(place: Path, last: int) -> dict[str, tuple[int, bool]]:
    """Return each finding that is told of a run up to step `last`: when it was told first, and whether it is grave.

    A training looks at itself after every window of steps, and so does this.
    """
    log, recipe, found = read_log(place / LOG), Run.open(place).recipe, {}
    for step in range(EVERY, last + 1, EVERY):
        cut = {name: Curve(at[at <= step], values[at <= step]) for name, (at, values) in log.items() if at[0] <= step}
        for finding in diagnose(cut, recipe):
            found.setdefault(finding.name, (step, finding.grave))
    return found


def verdict(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return what is told of one run, grave findings by the step at which they are told first, and whether it is right.

    A sick run is judged by its first half, a healthy one by the whole.
    """
    case, place = CASES[name], place_of(folder, name, seed)
    found = told(place, case.steps // 2 if case.right else case.steps)
    grave = {finding: step for finding, (step, heavy) in found.items() if heavy}
    right = bool(case.right & set(grave)) if case.right else not grave
    measure = {
        name: value
        for name, value in json.loads((place / MEASURED).read_text()).items()
        if not isinstance(value, float) or math.isfinite(value)  # copies of one picture have no distances
    }
    return {"seed": seed, "told": grave, "right": right, "measured": measure}


def half_of(name: str) -> str:
    """Return which part of the cases one belongs to."""
    if name in BLIND:
        return "blind"
    if name in EARLIER:
        return "reported"
    table = list(SICK if name in SICK else HEALTHY)
    return "thresholds" if table.index(name) % 2 == 0 else "reported"


def row(name: str, seeds: list[int], folder: Path) -> dict[str, Any]:
    """Return a case's row of the record."""
    case = CASES[name]
    return {
        "sick": bool(case.right),
        "half": half_of(name),
        "right": sorted(case.right),
        "seen": SEEN.get(name),
        "objective": case.objective,
        "data": case.data,
        "steps": case.steps,
        "settings": {**case.settings, **case.training, **case.pictures},
        "runs": [verdict(name, seed, folder) for seed in seeds if (place_of(folder, name, seed) / MEASURED).exists()],
    }


def summary(rows: Mapping[str, Mapping[str, Any]], half: str) -> dict[str, Any]:
    """Return the counts of one half of the cases: sick runs named rightly, and healthy runs with a grave finding."""
    found = {sick: [run for row in rows.values() if row["sick"] is sick and row["half"] == half for run in row["runs"]]
             for sick in (True, False)}  # fmt: skip
    right = {sick: sum(run["right"] for run in runs) for sick, runs in found.items()}
    sick, healthy = len(found[True]), len(found[False])
    return {
        "sick": sick,
        "named": right[True],
        "share_named": right[True] / max(1, sick),
        "healthy": healthy,
        "false_alarms": healthy - right[False],
        "share_of_false_alarms": (healthy - right[False]) / max(1, healthy),
    }


def confusion(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Return, for each set of right names, how many runs have which finding; healthy runs count grave ones only."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows.values():
        for run in row["runs"]:
            table[" or ".join(row["right"]) or "healthy"].update(["runs", *(run["told"] or ["nothing"])])
    return {right: dict(counts) for right, counts in table.items()}


def judge(asked: argparse.Namespace) -> None:
    """Write the record of what the diagnosis finds in the kept logs."""
    rows = {name: row(name, asked.seeds, asked.judge) for name in asked.cases}
    halves = {half: summary(rows, half) for half in ("thresholds", "reported", "blind")}
    results = {"remark": REMARK, "summary": halves, "confusion": confusion(rows), "rows": rows}
    write(asked.out, record(__doc__, {"seeds": asked.seeds}, **results))
    for name, found in rows.items():
        for run in found["runs"]:
            mark = "   " if run["right"] else "!!!"
            names = " ".join(f"{finding}@{step}" for finding, step in run["told"].items())
            print(f"{mark} {found['half'][:3]} {name}.{run['seed']}: {names or '-'}")
    print(json.dumps(halves, indent=2))


def main() -> None:
    """Collect or judge."""
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, help="the folder of pictures")
    parser.add_argument("--collect", type=Path, help="train what this folder lacks")
    parser.add_argument("--judge", type=Path, help="judge the logs of this folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.collect:
        for seed in asked.seeds:
            for name in asked.cases:
                collect(name, seed, asked.data, asked.collect)
    if asked.judge:
        judge(asked)


if __name__ == "__main__":
    main()
