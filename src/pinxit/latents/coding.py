"""An autoencoder's view of given pictures: reconstructions, traversals, maps, morphs, code statistics, anomalies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinxit.data import Batch, open_data
from pinxit.data.render import converted, fit_picture, with_channels
from pinxit.data.sets import ImageSet, parse_spec
from pinxit.errors import DataError, SomeFailedError, UsageError
from pinxit.files import remove_leftovers, write_json
from pinxit.images import grid, save_sheet
from pinxit.images.convert import to_uint8
from pinxit.latents.directions import spread
from pinxit.latents.sampling import COPIES, GenerativeModel, check_room, file_name, finite
from pinxit.losses.latent import kl_to_normal
from pinxit.objectives.mixture import BY_CLASS
from pinxit.objectives.vae import active_units
from pinxit.plots import colormaps
from pinxit.progress import say, track
from pinxit.settings import did_you_mean, sides

SAMPLES = 16
DEVIATIONS = 2.5
SCORE = "-ELBO in nats, or the distortion alone for codes that are points; the most anomalous first"

Vary = Callable[[GenerativeModel, Tensor, int], Iterator[Tensor]]
"""Yields rows of latents (columns, latent), one for each row of a traversal, from a model and a latent (1, latent)."""


@dataclass(frozen=True)
class ModelPictures:
    """Pictures ready for a model: float32 (N, C, H, W) in [0, 1], their names, labels (N,) if it is conditional.

    `unreadable` names the pictures of the set that were left out.
    """

    names: list[str]
    images: Tensor
    labels: Tensor | None
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def check(self) -> None:
        """Raise `SomeFailedError` if pictures were left out, for the end of an action that did the others."""
        if self.unreadable:
            first, of = self.unreadable[0], len(self) + len(self.unreadable)
            raise SomeFailedError(f"{len(self.unreadable)} of {of} pictures cannot be read; the first: {first}")

    def alone(self, what: str) -> Iterator[Batch]:
        """Yield each picture as a batch of its own, so that no result depends on the others; show progress."""
        labels = [None] * len(self) if self.labels is None else self.labels.split(1)
        rows = (
            Batch(image=image, label=label, seed=0, step=0)
            for image, label in zip(self.images.split(1), labels, strict=True)
        )
        return track(rows, what, len(self))


def model_pictures(model: GenerativeModel, source: str, n: int | None = None, only: str | None = None) -> ModelPictures:
    """Return the first `n` pictures of any DATA argument, by default all, at the run's size and channels.

    Pictures with other channels than the model's are converted, and it is said how. `only` keeps the pictures of one
    class, if they have classes. Raises `DataError` if a picture has no class where the model needs one, `UsageError`
    if no picture is of the class, `MemoryLimitError` if they do not fit into the memory.
    """
    recipe = model.recipe.data
    base, part = parse_spec(source)
    opened = open_data(source, recipe.holdout if part else 0)
    _, *remarks = opened.notes  # the first is about training
    for remark in remarks:
        say(remark)
    images = opened.train
    numbers = (np.arange(len(images)) if only is None else _of_class(images, only, base))[:n]
    check_room(len(numbers), model.objective.shape, 4, "-n takes fewer")
    every = images.names
    names = [every[number] for number in numbers]
    labels = _labels(model, images, numbers, base)
    floats = torch.empty(len(numbers), recipe.channels, *sides(recipe.size))
    changed: dict[str, list[str]] = defaultdict(list)
    for row, name, number in zip(floats, names, numbers, strict=True):
        fitted = fit_picture(images[number], sides(recipe.size), recipe.fit)
        row[:], change = converted(fitted, recipe.channels)
        if change:
            changed[change].append(name)
    for change, pictures in changed.items():
        say(f"{len(pictures)} of {len(names)} pictures (the first: {pictures[0]}): {change}")
    unreadable = tuple(name for name in opened.unreadable if n is None or name <= names[-1])
    return ModelPictures(names, floats, labels, unreadable)


def reconstruct(model: GenerativeModel, pictures: ModelPictures) -> np.ndarray:
    """Return the reconstructions of pictures from their codes, (N, H, W, C) uint8."""
    with torch.no_grad():
        return np.concatenate([to_uint8(_restored(model, one)) for one in pictures.alone("reconstructing")])


def before_and_after(model: GenerativeModel, pictures: ModelPictures) -> np.ndarray:
    """Return each picture followed by its reconstruction, (2 N, H, W, C) uint8."""
    both = np.stack([to_uint8(pictures.images), reconstruct(model, pictures)], axis=1)
    return both.reshape(-1, *both.shape[2:])


def traverse(model: GenerativeModel, rows: int, columns: int, seed: int = 0, label: str | None = None) -> np.ndarray:
    """Return (rows, columns, H, W, C) uint8: the picture of `seed`, with one dimension of its code varied in each row.

    The rows are the dimensions that vary most under the model's sampler, each from 2.5 standard deviations below its
    mean to 2.5 above. Before them, a GAN with a code has its categories in turn, and then its values from -1 to 1.
    """
    return _traversed(model, _varied, rows, columns, seed, label)


def along_directions(
    model: GenerativeModel, rows: int, columns: int, seed: int = 0, label: str | None = None
) -> np.ndarray:
    """Return (rows, columns, H, W, C) uint8: the picture of `seed`, moved along a direction in each row.

    The rows are the directions that change pictures most. Each leads from 2.5 standard deviations behind the picture to
    2.5 before it.
    """
    return _traversed(model, _moved, rows, columns, seed, label)


def _traversed(model: GenerativeModel, vary: Vary, rows: int, columns: int, seed: int, label: str | None) -> np.ndarray:
    if rows < 1 or columns < 2:
        raise UsageError("a traversal needs at least one row and two pictures in it")
    check_room(min(rows, model.objective.latent) * columns, model.objective.shape, COPIES, "--columns asks for fewer")
    labels = model.labels(1, label)
    latent = model.latents(1, seed, labels=labels)
    latents = torch.cat(list(islice(vary(model, latent, columns), rows)))
    pictures = model.generate(latents, None if labels is None else labels.expand(len(latents)))
    return pictures.reshape(-1, columns, *pictures.shape[1:])


def _moved(model: GenerativeModel, latent: Tensor, columns: int) -> Iterator[Tensor]:
    """Yield the rows of a traversal along directions, (columns, latent) each, of a latent (1, latent)."""
    places = torch.linspace(-DEVIATIONS, DEVIATIONS, columns)
    for direction in model.directions():
        yield latent + places[:, None] * spread(model.samplers[model.sampler], direction) * direction


def _varied(model: GenerativeModel, latent: Tensor, columns: int) -> Iterator[Tensor]:
    """Yield the rows of a traversal, (columns, latent) each, of a latent (1, latent)."""
    categories = model.code.categories
    if categories:
        yield torch.cat([model.code.chosen(latent, number % categories) for number in range(columns)])
    mean, deviation = model.samplers[model.sampler].moments()
    places = torch.linspace(-DEVIATIONS, DEVIATIONS, columns)
    for number in deviation.argsort(descending=True, stable=True).tolist():
        if number >= categories:  # a code's values come first, because all of its latents vary alike
            row = latent.repeat(columns, 1)
            row[:, number] = mean[number] + places * deviation[number]
            yield row


def morph(model: GenerativeModel, pictures: ModelPictures, start: str, end: str, columns: int) -> np.ndarray:
    """Return (N, columns, H, W, C) uint8: pictures of the class `start` turned step by step into the class `end`.

    Each code gets a growing share, from none to all, of the difference between the classes' mean codes. These are the
    visual attribute vectors of Larsen et al., 2016, with classes for attributes. The means are those of the sampler
    'class-gaussian'. Raises `UsageError` for an unknown class, if the run has no such sampler, or if it is conditional,
    because its codes then do not hold the class.
    """
    if model.objective.shape.classes:
        raise UsageError("the codes of a conditional run do not hold the class; `pinxit sample --label` asks for one")
    by_class = model.using(BY_CLASS)
    check_room(len(pictures) * columns, model.objective.shape, COPIES, "-n and --columns ask for fewer")
    places = torch.linspace(0, 1, columns)[:, None]
    zeros = torch.zeros(1, model.objective.latent)  # without noise, a latent is the mean of its class
    labels = [by_class.labels(1, name) for name in (start, end)]
    first, last = (by_class.samplers[BY_CLASS].latents(zeros, zeros[:, :1], label) for label in labels)
    codes = torch.cat([_posterior(model, one)[0] for one in pictures.alone("coding")])
    moved = codes[:, None] + places * (last - first)
    morphed = model.generate(moved.flatten(0, 1))
    return morphed.reshape(len(pictures), columns, *morphed.shape[1:])


def latent_map(model: GenerativeModel, pictures: ModelPictures, columns: int) -> tuple[np.ndarray, float]:
    """Return a square map of pictures, (columns^2, H, W, C) uint8, and the share of the codes' variance it shows.

    A picture is placed by its code's two leading principal components, the first to the right and the second upwards,
    on one scale. Each component has the sign that makes its largest number positive. A cell shows the picture nearest
    to its centre, or white if there is none.
    """
    codes = torch.cat([_posterior(model, one)[0] for one in pictures.alone("coding")])
    place, share = principal_plane(codes)
    position = (place / place.abs().amax().clamp(min=1e-12) + 1) / 2 * columns
    cell = position.long().clamp(max=columns - 1)
    chosen: dict[int, int] = {}
    for picture in (position - cell - 0.5).square().sum(1).argsort(descending=True, stable=True).tolist():
        right, up = cell[picture].tolist()
        chosen[(columns - 1 - up) * columns + right] = picture  # the nearest comes last
    images = to_uint8(pictures.images)
    sheet = np.full((columns**2, *images.shape[1:]), 255, np.uint8)
    sheet[list(chosen)] = images[list(chosen.values())]
    return sheet, share


def principal_plane(codes: Tensor) -> tuple[Tensor, float]:
    """Return codes (N, D) along their two leading principal components, (N, 2), and the share of variance in these."""
    count, length = codes.shape
    centred = torch.nn.functional.pad(codes - codes.mean(0), (0, max(0, 2 - length), 0, max(0, 2 - count)))
    _, deviation, axes = torch.linalg.svd(centred.double(), full_matrices=False)
    largest = axes[:2].gather(1, axes[:2].abs().argmax(1, keepdim=True))
    variance = deviation.square()
    share = variance[:2].sum() / variance.sum().clamp(min=1e-12)
    return (centred[:count].double() @ (axes[:2] * largest.sign()).mT), share.item()


def read_codes(model: GenerativeModel, pictures: ModelPictures) -> dict[str, Any]:
    """Return statistics of each dimension of the code over given pictures, the most used first, and their totals.

    `varies` is the variance of a dimension's posterior mean over the pictures. `kl` is the mean divergence of its
    posterior from N(0, 1) in nats, None if codes are points. `rate` and `distortion` are means in nats per picture, by
    one sample each. A dimension is active if it varies by more than 0.01 (Burda et al., 2016, section 5.2).
    """
    objective = model.autoencoder
    posteriors, evidence, rate = [], [], []
    for one in pictures.alone("coding"):
        posteriors.append(_posterior(model, one))
        with torch.no_grad():
            shared = objective.reconstruct(one)
            evidence.append(finite(objective.log_likelihood(shared).mean()))
            rate.append(objective.kl(shared).mean() if objective.gaussian else shared.mean.new_zeros(()))
    mean, log_variance = (torch.cat(part) for part in zip(*posteriors, strict=True))
    kl = kl_to_normal(mean, log_variance).mean(0)
    varies = mean.var(0, correction=0)
    order = (kl if objective.gaussian else varies).argsort(descending=True, stable=True).tolist()
    return {
        "pictures": len(pictures),
        "rate": torch.stack(rate).mean().item() if objective.gaussian else None,
        "distortion": -torch.stack(evidence).mean().item(),
        "active": int(active_units(mean)),
        "numbers": [
            {"number": n, "kl": kl[n].item() if objective.gaussian else None, "varies": varies[n].item()} for n in order
        ],
    }


def _posterior(model: GenerativeModel, one: Batch) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        mean, log_variance = model.autoencoder.posterior(one.image, one.label)
        return finite(mean), log_variance


@dataclass(frozen=True)
class Anomaly:
    """How unlike the training pictures a picture is, and where.

    `score` is -ELBO in nats, or the distortion if codes are points; higher is more anomalous. `error` (H, W) is the
    squared error of `reconstruction` (H, W, C) uint8, averaged over channels.
    """

    name: str
    score: float
    error: np.ndarray[Any, Any]
    reconstruction: np.ndarray[Any, Any]


def anomalies(model: GenerativeModel, pictures: ModelPictures) -> list[Anomaly]:
    """Return each picture's anomaly, in the order given; a score is the mean over 16 samples of the posterior."""
    with torch.no_grad():
        return [_anomaly(model, name, one) for name, one in zip(pictures.names, pictures.alone("scoring"), strict=True)]


def save_anomalies(out: Path, pictures: ModelPictures, found: Sequence[Anomaly]) -> dict[str, Any]:
    """Write `anomaly.json` and a sheet for each picture into the folder `out`, and return the content of the JSON.

    All heat maps share one scale, from black at 0 to white at the largest error of all pictures.
    """
    hottest = max(one.error.max() for one in found)
    entries: list[dict[str, Any]] = []
    names = sheets(pictures)
    remove_leftovers(out, ["anomaly.json", *names])
    for sheet, one, image in zip(names, found, to_uint8(pictures.images), strict=True):
        colours = np.uint8(255 * colormaps["inferno"](one.error / max(hottest, 1e-12))[..., :3])
        parts = [with_channels(part, 4)[..., :3] for part in (image, one.reconstruction)]
        save_sheet(out / sheet, grid(np.stack([*parts, colours]), columns=3))
        entries.append({"name": one.name, "score": one.score, "error": float(one.error.mean()), "sheet": sheet})
    document = {"score": SCORE, "pictures": sorted(entries, key=lambda entry: -entry["score"])}
    write_json(out / "anomaly.json", document)
    return document


def sheets(pictures: ModelPictures) -> list[str]:
    """Return the file names of the sheets that `save_anomalies` writes."""
    return [file_name(number, name) for number, name in enumerate(pictures.names)]


def _anomaly(model: GenerativeModel, name: str, one: Batch) -> Anomaly:
    objective = model.autoencoder
    score = -finite(objective.elbo(objective.reconstruct(one, SAMPLES))).item()
    restored = _restored(model, one)
    error = (restored - one.image).square().mean(1)[0].numpy()
    return Anomaly(name, score, error, to_uint8(restored)[0])


def _restored(model: GenerativeModel, one: Batch) -> Tensor:
    return finite(model.objective.sample(model.encode(one.image, one.label), one.label))


def _of_class(images: ImageSet, name: str, source: str) -> np.ndarray:
    """Return the indices of the pictures of a class; all if the pictures have no classes."""
    if images.labels is None:
        return np.arange(len(images))
    present = [images.classes[label] for label in np.unique(images.labels)]
    if name not in present:
        raise UsageError(f"{source}: no such class as {name}{did_you_mean(name, present)}")
    return np.flatnonzero(images.labels == images.classes.index(name))


def _labels(model: GenerativeModel, images: ImageSet, numbers: np.ndarray, source: str) -> Tensor | None:
    """Return the labels of some pictures as indices into the model's classes; None if it is not conditional.

    Pictures without classes of their own are of the class that their folder, or the folder around it, is named after.
    """
    if not model.objective.shape.classes:
        return None
    known, place = model.recipe.data.classes, Path(source).resolve()
    if images.labels is None and (own := {place.name, place.parent.name} & set(known)):
        return torch.full((len(numbers),), known.index(min(own)))
    if images.labels is None or not set(images.classes) <= set(known):
        raise DataError(f"the model needs each picture's class: folders (or labels) named {', '.join(known)}")
    return torch.tensor([known.index(images.classes[label]) for label in images.labels[numbers]])
