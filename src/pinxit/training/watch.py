"""The watch: cheap readings of how a training goes, every `EVERY` steps, for `log.jsonl` under `watch/NAME`.

The watch moves nothing. What the networks remember (the statistics of a batch normalisation, the vectors of a spectral
norm) is as before after each reading, and no global generator is used. What it compares with comes from the recipe's
seed and the pictures at the start of a session, so a checkpoint holds nothing of it.

Distances between pictures are those of `RandomFeatures`, a small random network that is never trained. They are given
in units of the training pictures' own: a `diversity` of 1 means that samples differ as much as training pictures do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pinxit.data import Batch, draws
from pinxit.hardware import Hardware
from pinxit.objectives.gan import GAN
from pinxit.objectives.objective import Objective
from pinxit.objectives.translation import Translation
from pinxit.objectives.vq import VQVAE
from pinxit.training.curves import EVERY

PICTURES = 64
"""The most samples and pictures of one look."""

LEAST = 2
"""The fewest pictures that a distance or a score of a set is read from."""

REFERENCE = 512
"""The most training pictures that samples are compared with."""

CLUSTERS, ROUNDS, PICTURES_A_CLUSTER = 32, 10, 8
"""The most clusters of training pictures, the rounds that find them, and the fewest pictures that make up one."""

SIDE = 32
"""The longest side in pixels of the pictures that `RandomFeatures` sees."""

PLACES = 4
"""Cells a side of the last map of `RandomFeatures`."""

SAME = 0.02
"""Pictures whose features differ by less than this share of what they are do not differ."""

ACTIVATIONS = {F.relu, torch.relu, Tensor.relu, torch.relu_, F.leaky_relu, F.silu, F.gelu, F.elu, F.softplus}


def due(step: int, every: int = 1) -> bool:
    """Say whether a player that moves on every n-th step is looked at in a step: at its first turn of `EVERY` steps."""
    return step % every == 0 and step % EVERY < every


class Watch:
    """Looks at the networks of a training after a step; each reading is one number."""

    def __init__(
        self,
        objective: Objective,
        hardware: Hardware,
        rows: int,
        train: Batch | None,
        held_out: Batch | None,
        reference: Iterable[Tensor],
    ) -> None:
        """Look at `objective` by fixed batches of training and of held-out pictures, None where there are too few.

        They pass the networks in parts of `rows` pictures, as in training, so that statistics of a batch are alike.
        `reference` has what samples are compared with, part by part, at most `REFERENCE`: training pictures
        (N, C, H, W), or those of a translator's side b, as they are shown. Only these two objectives need them.
        """
        self.objective, self.hardware, self.rows = objective, hardware, rows
        self.train, self.held_out = train, held_out
        self.likeness: Likeness | None = None
        if isinstance(objective, GAN | Translation) and train is not None:
            channels = 3 if isinstance(objective, Translation) else train.image.shape[1]
            extractor = RandomFeatures(channels).to(hardware.device)
            self.likeness = Likeness(extractor, (part.to(hardware.device) for part in reference), len(train))

    def read(self) -> dict[str, float]:
        """Return the readings after a step by their names in the log; one that is not finite is left out."""
        with torch.no_grad(), unmoved(self.objective.networks), self.hardware.autocast():
            readings = self._played() if isinstance(self.objective, GAN) else self._learned()
            if isinstance(self.objective, Translation):
                readings |= self._translated(self.objective)
        weights = torch._foreach_norm(list(self.objective.networks.parameters()))
        readings["non_finite"] = torch.stack(weights).isfinite().logical_not().sum()
        values = torch.stack([value.detach().float().cpu() for value in readings.values()]).tolist()
        return {f"watch/{name}": value for name, value in zip(readings, values, strict=True) if math.isfinite(value)}

    def _learned(self) -> dict[str, Tensor]:
        """Return the loss of the player that moves the model, on training pictures and on held-out ones.

        Of quantised codes also how many different ones the training pictures meet.
        """
        readings, units = {}, Units()
        for name, batch in (("train_loss", self.train), ("held_out_loss", self.held_out)):
            if batch is not None:
                losses = [self._loss(part, units) * len(part) for part in self._parts(batch)]
                readings[name] = torch.stack(losses).sum() / len(batch)
                readings[f"{self.objective.player}/dead_units"] = units.dead()
        if isinstance(self.objective, VQVAE) and self.train is not None:
            readings["codes_met"] = codes_met(self.objective.encode(self.train.image), self.objective.settings.codes)
        return readings

    def _loss(self, batch: Batch, units: Units) -> Tensor:
        with units, torch.enable_grad():  # some losses hold a gradient
            loss = self.objective.loss(batch, self.objective.draw(batch))
        return torch.stack([term.detach().float() for term in loss.terms.values()]).sum()

    def _played(self) -> dict[str, Tensor]:
        """Return what the samples are like, and how the discriminator scores samples and real pictures."""
        objective = cast(GAN, self.objective)
        if self.train is None or self.likeness is None:
            return {}
        makers, judges = Units(), Units()

        def made(part: Batch) -> Tensor:
            with makers:
                return objective.preview(part).float()

        def scores(batch: Batch, pictures: Tensor) -> Tensor:
            found = []
            for part, image in zip(self._parts(batch), pictures.split(self.rows), strict=True):
                with judges:
                    found.append(objective.score(image, objective.label(part)).flatten())
            return torch.cat(found)

        samples = torch.cat([made(part) for part in self._parts(self.train)])
        fake, real = scores(self.train, samples), scores(self.train, self.train.image)
        readings = self.likeness.read(samples)
        readings |= {"sample_score": fake.mean(), "train_score": real.mean(), "told_apart": told_apart(real, fake)}
        if self.held_out is not None:
            unseen = scores(self.held_out, self.held_out.image)
            readings |= {"held_out_score": unseen.mean(), "held_out_told_apart": told_apart(unseen, fake)}
        return readings | {"generator/dead_units": makers.dead(), "discriminator/dead_units": judges.dead()}

    def _translated(self, objective: Translation) -> dict[str, Tensor]:
        """Return what translations of held-out pictures are like, if there are some, and how they are scored.

        `identity` is how much a picture changes, beside how much it differs from a picture of the other side;
        `content` how far pictures that are alike become pictures that are alike, as a correlation of distances.
        """
        batch = self.train if self.held_out is None else self.held_out
        if batch is None or self.likeness is None:
            return {}
        units = Units()
        made, real, given = [], [], []
        scores: list[tuple[Tensor, Tensor]] = []
        for part in self._parts(batch):
            with units:
                planes = objective.translate(part.image)
            wanted = objective.wanted(part)
            made.append(objective.shown("b", planes))
            real.append(objective.shown("b", wanted))
            given.append(objective.shown("a", part.image))
            if objective.settings.adversarial:
                scores.append((objective.score_of(part, wanted), objective.score_of(part, planes)))
        results, others, pictures = torch.cat(made).float(), torch.cat(real), torch.cat(given)
        changed, apart_ = (results - pictures).abs().mean(), (others.roll(1, 0) - pictures).abs().mean()
        readings = self.likeness.read(results)
        readings |= {
            "identity": changed / apart_.clamp(min=1e-3),
            "content": alike(self.likeness.extractor(pictures), self.likeness.extractor(results)),
            "generator/dead_units": units.dead(),
        }
        if scores:
            true, fake = (torch.cat(part) for part in zip(*scores, strict=True))
            readings |= {"sample_score": fake.mean(), "train_score": true.mean(), "told_apart": told_apart(true, fake)}
        return readings

    def _parts(self, batch: Batch) -> list[Batch]:
        return [batch.rows(start, start + self.rows) for start in range(0, len(batch), self.rows)]


class Motion:
    """How one step moves a player: the gradient layer by layer, and the size of the update beside the weights'."""

    def __init__(self, module: nn.Module) -> None:
        self.weights = [weight.detach() for weight in module.parameters()]
        self.before = [weight.clone() for weight in self.weights]
        layers = [weight.grad for weight in module.parameters() if weight.grad is not None and weight.ndim > 1]
        self.layers = torch.stack(torch._foreach_norm(layers)) if layers else None
        sizes = [(weight.numel(), weight.grad is None) for weight in module.parameters() if weight.requires_grad]
        self.idle = sum(size for size, idle in sizes if idle) / max(1, sum(size for size, _ in sizes))

    def read(self) -> dict[str, float]:
        """Return, after the step, the norms of the gradient by layer (first, last, least, largest), and the ratio.

        `idle_weights` is the share of the weights that have no gradient: no layer that runs uses them. What is not
        finite is left out, as by the watch.
        """
        moved = torch.stack(torch._foreach_norm(torch._foreach_sub(self.weights, self.before))).norm()
        values = {"update_ratio": moved / torch.stack(torch._foreach_norm(self.before)).norm()}
        if (layers := self.layers) is not None:
            values |= {"gradient_first": layers[0], "gradient_last": layers[-1]}
            values |= {"gradient_least": layers.min(), "gradient_largest": layers.max()}
        read = zip(values, torch.stack(list(values.values())).tolist(), strict=True)
        return {name: value for name, value in read if math.isfinite(value)} | {"idle_weights": self.idle}


class RandomFeatures(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to features (N, D): three random convolutions that are never trained.

    The weights are the same for every run. Colours are seen as far as they are opaque.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels, 16, 32, 64)
        self.filters = nn.ParameterList()
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            keys = draws.row_keys(0, layer, np.arange(outputs), "eyes")
            filters = torch.from_numpy(draws.normal(keys, inputs * 9)).view(outputs, inputs, 3, 3)
            self.filters.append(nn.Parameter(filters * math.sqrt(2 / (inputs * 9)), requires_grad=False))

    def forward(self, image: Tensor) -> Tensor:
        """Return features (N, D)."""
        if image.shape[1] in (2, 4):
            image = torch.cat([image[:, :-1] * image[:, -1:], image[:, -1:]], dim=1)
        x = 2 * F.adaptive_avg_pool2d(image, (min(image.shape[2], SIDE), min(image.shape[3], SIDE))) - 1
        for filters in self.filters:
            x = F.leaky_relu(F.conv2d(x, filters, stride=2, padding=1), 0.2)
        return F.adaptive_avg_pool2d(x, PLACES).flatten(1)


class Likeness:
    """What samples are like beside training pictures, by features (N, D) of `count` samples at a time."""

    def __init__(self, extractor: RandomFeatures, reference: Iterable[Tensor], count: int) -> None:
        self.extractor = extractor
        with torch.no_grad():
            features = torch.cat([extractor(part) for part in reference])
        size = float(features.square().mean().sqrt())
        deviation = features.std(0)
        self.scale = deviation.clamp(min=max(float(deviation.mean()) / 10, SAME * size, 1e-6))
        self.reference = features / self.scale
        self.compared = min(count, len(self.reference))
        distances = apart(self.reference)
        own = float(distances[distances.isfinite()].mean())
        self.own = torch.tensor(float(deviation.square().mean().sqrt()) / max(size, 1e-6))
        self.diversity = max(own, math.sqrt(2 * features.shape[1]) / 10)
        parts = [part for part in self.reference.split(self.compared) if len(part) == self.compared]
        least = self.diversity * SAME  # where pictures are there twice
        self.separation = max(float(torch.stack([apart(part).amin(1).mean() for part in parts]).mean()), least)
        self.nearest = max(float(distances.amin(1).mean()), least)
        half = max(1, len(self.reference) // 2)  # what the clusters are made of does not say what they are met by
        self.anchors = clusters(self.reference[:half], max(1, min(CLUSTERS, half // PICTURES_A_CLUSTER)))
        met = hits(self.reference[-half:], self.anchors).float() / half
        self.covered = float((1 - (1 - met) ** count).sum())

    def read(self, samples: Tensor) -> dict[str, Tensor]:
        """Return readings of samples (N, C, H, W); the first four are 1 where they are like as many training pictures.

        `diversity`: the mean distance between two. `separation`: the mean distance from each to the nearest other.
        `coverage`: how many clusters of the training pictures they meet. `nearest`: the mean distance to the nearest
        training picture, beside that from one training picture to the nearest other. `data_diversity`: how much the
        training pictures differ, as a share of the size of their features; 0 if all are the same.
        """
        features = self.extractor(samples) / self.scale
        distances = apart(features)
        return {
            "diversity": distances[distances.isfinite()].mean() / self.diversity,
            "separation": apart(features[: self.compared]).amin(1).mean() / self.separation,
            "coverage": hits(features, self.anchors).count_nonzero() / self.covered,
            "nearest": torch.cdist(features, self.reference).amin(1).mean() / self.nearest,
            "data_diversity": self.own,
        }


class Units(TorchFunctionMode):
    """Finds, while it is entered, the units that an activation gives the same value for every picture and place.

    It is entered once for each pass of a part of the pictures; what counts is all parts together.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[Tensor, Tensor]] = []
        self.place = 0

    def __enter__(self) -> Units:
        self.place = 0
        super().__enter__()
        return self

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute as without the mode, and note the range of each unit of an activation."""
        result = func(*args, **(kwargs or {}))
        if func in ACTIVATIONS:
            unit = result.ndim - 1 if result.ndim == 3 else 1
            others = [dim for dim in range(result.ndim) if dim != unit]
            self._widen(result.amin(others), result.amax(others))
        return result

    def _widen(self, low: Tensor, high: Tensor) -> None:
        if self.place == len(self.ranges):
            self.ranges.append((low, high))
        before = self.ranges[self.place]
        self.ranges[self.place] = torch.minimum(before[0], low), torch.maximum(before[1], high)
        self.place += 1

    def dead(self) -> Tensor:
        """Return the share of units that were constant."""
        constant = [low == high for low, high in self.ranges]
        return torch.cat(constant).float().mean() if constant else torch.zeros(())


@contextmanager
def unmoved(networks: nn.Module) -> Iterator[None]:
    """Give networks' buffers back the values that they had before."""
    kept = [(buffer, buffer.clone()) for buffer in networks.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)


def apart(features: Tensor) -> Tensor:
    """Return the distances (N, N) between features (N, D); infinite from each to itself."""
    return torch.cdist(features, features).fill_diagonal_(math.inf)


def alike(features: Tensor, others: Tensor) -> Tensor:
    """Return the correlation of the distances between features (N, D) with those between others (N, E)."""
    above = torch.ones(len(features), len(features), device=features.device).triu(1) > 0
    pairs = torch.stack([torch.cdist(one, one)[above] for one in (features, others)])
    return torch.corrcoef(pairs)[0, 1] if pairs.shape[1] > 1 else torch.ones(())


def codes_met(codes: Tensor, count: int) -> Tensor:
    """Return how many different codes there are among some (N, P), of those of a codebook of `count` that could be.

    Unused codes are put where pictures are, so they look alive in the codebook's averages; here copies are not met.
    """
    return torch.tensor(len(codes.unique()) / min(count, codes.numel()))


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """Return in which share of all pairs the real picture's score is the higher one: 0.5 for a guess, 1 for always."""
    return ((real[:, None] > fake).float() + (real[:, None] == fake).float() / 2).mean()


def clusters(features: Tensor, count: int) -> Tensor:
    """Return the centres (count, D) of features' clusters: Lloyd's rounds from the first rows, which are random."""
    centres = features[:count].clone()
    for _ in range(ROUNDS):
        cell = torch.cdist(features, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, cell, features)
        sizes = cell.bincount(minlength=count)[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return centres


def hits(features: Tensor, centres: Tensor) -> Tensor:
    """Return how many of the features (N, D) are nearest to each centre, (K,)."""
    return torch.cdist(features, centres).argmin(1).bincount(minlength=len(centres))
